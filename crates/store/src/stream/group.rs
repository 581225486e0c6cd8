//! Appending to several streams at once: after a crash all of it is there, or nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Offset;
use bytes::Bytes;

use super::{AppendOptions, Appended, Stream, parse, place};
use crate::batch::BatchError;
use crate::commit::{Append, Work};
use crate::error::Error;
use crate::store::Store;

/// The most bytes of one group: it is one entry of the write-ahead log.
const GROUP_BYTES_MAX: usize = 256 << 20;

/// Batches for one stream, as [`Store::append_all`] wants them.
#[derive(Clone, Debug)]
pub struct GroupAppend {
    /// Where they go.
    pub stream: Stream,
    /// One or more whole batches.
    pub batches: Bytes,
    /// As for [`Stream::append`].
    pub options: AppendOptions,
}

impl Store {
    /// [`Stream::append`] to several streams: one entry of the write-ahead log, of which a crash
    /// leaves all or nothing, and readers of the one stream see theirs only when all of it is
    /// durable. Never waits. An answer for each append, in order; a stream may occur twice.
    ///
    /// # Errors
    /// As for [`Stream::append`], and then nothing was appended; [`Error::NotAtomic`] for a stream
    /// that does not wait for the disk.
    pub fn append_all(&self, appends: Vec<GroupAppend>) -> Result<Vec<Appended>, Error> {
        let store = &self.0;
        store.check_running()?;
        let mut parsed = Vec::with_capacity(appends.len());
        let mut bytes = 0_usize;
        for append in &appends {
            if let Some(error) = append.stream.0.fenced.get() {
                return Err(error.clone());
            }
            bytes = bytes.saturating_add(append.batches.len());
            parsed.push(parse(append.batches.clone(), append.options)?);
        }
        if bytes > GROUP_BYTES_MAX {
            let length = i64::try_from(bytes).unwrap_or(i64::MAX);
            return Err(BatchError::Length(length).into());
        }
        // Locked in one order, so that two groups do not wait for each other.
        let mut order: Vec<usize> = (0..appends.len()).collect();
        let id = |at: &usize| appends.get(*at).map(|append| append.stream.id());
        order.sort_by_key(id);
        order.dedup_by_key(|at| id(at));
        let streams: Vec<&Stream> = order
            .iter()
            .filter_map(|at| appends.get(*at))
            .map(|append| &append.stream)
            .collect();
        let mut tails: Vec<_> = streams.iter().map(|stream| stream.0.tail.lock()).collect();
        for stream in &streams {
            if stream.0.removed.load(Ordering::Acquire) {
                return Err(Error::Removed(stream.id()));
            }
            if stream.0.is_async() {
                return Err(Error::NotAtomic(stream.id()));
            }
        }
        if !store.commits.has_room() || store.is_behind() {
            store.metrics.busy.inc();
            return Err(Error::Busy);
        }
        let mut group = Vec::new();
        let mut answers = Vec::with_capacity(appends.len());
        for (append, batches) in appends.iter().zip(parsed) {
            let at = streams.iter().position(|s| s.id() == append.stream.id());
            let Some(tail) = at.and_then(|at| tails.get_mut(at)) else {
                continue;
            };
            let first = tail.next;
            for (header, batch) in batches {
                let chunk = place(tail.next, &header, batch, append.options);
                let charge = store.parts.ledger.force_charge(chunk.memory());
                store.cache.added(chunk.len());
                tail.push(chunk.clone(), append.options.epoch, charge);
                let stream = append.stream.0.clone();
                group.push(Append { stream, chunk });
            }
            answers.push(Appended {
                first: Offset(first),
                next: Offset(tail.next),
            });
        }
        // Still under the locks: the queue must be in the order of the offsets.
        if !group.is_empty() && !store.commits.push(Work::Group(group)) {
            return Err(Error::Stopped(Arc::from("the store is closing")));
        }
        Ok(answers)
    }
}
