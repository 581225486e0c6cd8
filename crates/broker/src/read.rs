//! Reading several partitions at once, waiting for data when there is none.
//!
//! The rules are those that clients of replayable logs expect: whole batches from the one that
//! holds the wanted offset; the first batch of the whole answer is given even when it is larger
//! than every limit, later ones obey them; an error on any partition answers at once; otherwise
//! the answer waits until `min_bytes` are there or `max_wait` has passed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use base::Offset;
use store::Read;

use crate::broker::Broker;
use crate::error::Error;
use crate::partition::Partition;

/// One partition of a [`ReadRequest`].
#[derive(Clone, Debug)]
pub struct ReadOne {
    /// What to read.
    pub partition: Arc<Partition>,
    /// The first offset wanted.
    pub from: i64,
    /// How many bytes of it at most.
    pub max_bytes: usize,
}

/// A read of several partitions, in the order in which they are served.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The partitions.
    pub parts: Vec<ReadOne>,
    /// How many bytes are worth an answer before `max_wait` has passed.
    pub min_bytes: usize,
    /// How many bytes at most in all.
    pub max_bytes: usize,
    /// How long to wait for `min_bytes`.
    pub max_wait: Duration,
    /// Answer at once whatever was found: the caller has an error to report.
    pub at_once: bool,
}

/// What a read found in one partition.
#[derive(Debug)]
pub struct PartitionRead {
    /// The batches, or why there are none.
    pub result: Result<Option<Read>, Error>,
    /// The first offset kept.
    pub start: Offset,
    /// One past the last readable offset.
    pub end: Offset,
}

impl PartitionRead {
    fn bytes(&self) -> usize {
        self.result
            .as_ref()
            .ok()
            .and_then(Option::as_ref)
            .map_or(0, |read| read.bytes)
    }
}

impl Broker {
    /// Reads; see the module's story for when it waits.
    pub async fn read(&self, request: ReadRequest) -> Vec<PartitionRead> {
        let deadline = tokio::time::sleep(request.max_wait);
        let mut deadline = pin!(deadline);
        loop {
            // The ends as they were before the look: what arrives later ends the wait at once.
            let ends: Vec<Offset> = request.parts.iter().map(|p| p.partition.end()).collect();
            let reads = self.read_once(&request).await;
            let bytes: usize = reads.iter().map(PartitionRead::bytes).sum();
            let failed = reads.iter().any(|read| read.result.is_err());
            if failed || request.at_once || bytes >= request.min_bytes || request.max_wait.is_zero()
            {
                return self.counted(reads, bytes);
            }
            // A full answer cannot grow, whatever arrives.
            if bytes >= request.max_bytes {
                return self.counted(reads, bytes);
            }
            tokio::select! {
                biased;
                () = any_past(&request.parts, &ends) => {}
                () = &mut deadline => return self.counted(reads, bytes),
            }
        }
    }

    fn counted(&self, reads: Vec<PartitionRead>, bytes: usize) -> Vec<PartitionRead> {
        self.shared().metrics.bytes_read.inc_by(bytes as u64);
        reads
    }

    async fn read_once(&self, request: &ReadRequest) -> Vec<PartitionRead> {
        let mut reads = Vec::with_capacity(request.parts.len());
        let mut total = 0;
        for part in &request.parts {
            let left = request.max_bytes.saturating_sub(total);
            let read = self
                .read_one(part, left.min(part.max_bytes), total == 0)
                .await;
            total += read.bytes();
            reads.push(read);
        }
        reads
    }

    async fn read_one(&self, part: &ReadOne, max_bytes: usize, first: bool) -> PartitionRead {
        let partition = &part.partition;
        let (start, end) = (partition.start(), partition.end());
        let wanted = u64::try_from(part.from).ok().map(Offset);
        let Some(from) = wanted.filter(|from| *from >= start && *from <= end) else {
            let result = Err(Error::OutOfRange {
                from: part.from,
                start,
                end,
            });
            return PartitionRead { result, start, end };
        };
        let stream = partition.stream();
        // Nothing more will come of a deleted topic, and a wait for it would not wait.
        let open = stream.check_open().map_err(Error::from);
        if open.is_err() || from == end || (max_bytes == 0 && !first) {
            let result = open.map(|()| None);
            return PartitionRead { result, start, end };
        }
        let result = if stream.read_is_cached(from) {
            stream.read(from, max_bytes).map_err(Error::from)
        } else {
            let stream = stream.clone();
            self.shared()
                .blocking("broker.read", move || Ok(stream.read(from, max_bytes)?))
                .await
        };
        // Only the first batch of the whole answer may be larger than the limits.
        let result = result
            .map(|read| (read.bytes > 0 && (first || read.bytes <= max_bytes)).then_some(read));
        PartitionRead { result, start, end }
    }
}

/// Waits until any of the partitions has data past the end it had.
async fn any_past(parts: &[ReadOne], ends: &[Offset]) {
    let mut waits: Vec<_> = parts
        .iter()
        .zip(ends)
        .map(|(part, end)| {
            let stream = part.partition.stream().clone();
            let end = *end;
            Box::pin(async move { stream.changed().wait_past(end).await })
        })
        .collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    poll_fn(|cx| {
        if waits
            .iter_mut()
            .any(|wait| wait.as_mut().poll(cx).is_ready())
        {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
