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
use store::{Read, Stream};

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
    /// How long to wait for `min_bytes`; `topics.read_wait_max` at most.
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
        let wait = request.max_wait.min(self.config().read_wait_max.into());
        let deadline = tokio::time::sleep(wait);
        let mut deadline = pin!(deadline);
        let mut late = false;
        loop {
            // The ends as they were before the look: what arrives later ends the wait at once.
            let ends: Vec<Offset> = request.parts.iter().map(|p| p.partition.end()).collect();
            let reads = self.read_once(&request).await;
            let bytes: usize = reads.iter().map(PartitionRead::bytes).sum();
            let failed = reads.iter().any(|read| read.result.is_err());
            // A full answer cannot grow, whatever arrives.
            let wanted = request.min_bytes.min(request.max_bytes);
            if failed || request.at_once || bytes >= wanted || late || wait.is_zero() {
                self.shared().metrics.bytes_read.inc_by(bytes as u64);
                return reads;
            }
            // Nobody holds what was found while more is waited for; it is read again then.
            drop(reads);
            tokio::select! {
                biased;
                () = grown_by(&request.parts, ends, wanted - bytes) => {}
                () = &mut deadline => late = true,
            }
        }
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

/// Waits until the partitions have got so many bytes past the ends they had, or one of them never
/// will. Only what is new is looked at: appends are many, and a look at everything for each would
/// cost more than the answer.
async fn grown_by(parts: &[ReadOne], mut ends: Vec<Offset>, missing: usize) {
    let mut grown = vec![0_usize; parts.len()];
    loop {
        any_past(parts, &ends).await;
        for ((part, end), grown) in parts.iter().zip(&mut ends).zip(&mut grown) {
            let now = part.partition.end();
            if part.partition.stream().check_open().is_err() {
                return;
            }
            if now <= *end {
                continue;
            }
            let left = part.max_bytes.saturating_sub(*grown);
            match new_bytes(part.partition.stream(), *end, left) {
                Some(bytes) => *grown += bytes.min(left),
                // Not to be had without the disk.
                None => return,
            }
            *end = now;
        }
        if grown.iter().sum::<usize>() >= missing {
            return;
        }
    }
}

/// How many bytes lie behind `from` in memory, a batch more than `max` at most.
fn new_bytes(stream: &Stream, from: Offset, max: usize) -> Option<usize> {
    if max == 0 {
        return Some(0);
    }
    if !stream.read_is_cached(from) {
        return None;
    }
    stream.read(from, max).ok().map(|read| read.bytes)
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
