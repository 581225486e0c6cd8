//! The newest part of a stream, in memory: what is not in segments yet, and what readers that keep
//! up still want.

use std::collections::VecDeque;

use base::Charge;
use bytes::Bytes;

use crate::batch::{BatchHeader, HEADER_LEN, PLACE_LEN};

/// A batch in its place: its first bytes, which say where it lies, and the rest as it came.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) base: u64,
    pub(crate) next: u64,
    pub(crate) max_timestamp: i64,
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

/// What a chunk takes besides its bytes: its place in the tail, and what its memory's owners share.
const OVERHEAD: usize = size_of::<Kept>() + 64;

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.len() + OVERHEAD
    }

    pub(crate) fn header(&self) -> Option<BatchHeader> {
        let mut bytes = [0; HEADER_LEN];
        bytes[..PLACE_LEN].copy_from_slice(self.head.get(..PLACE_LEN)?);
        bytes[PLACE_LEN..].copy_from_slice(self.body.get(..HEADER_LEN - PLACE_LEN)?);
        BatchHeader::parse(&bytes).ok()
    }

    /// The batch in one piece.
    pub(crate) fn whole(&self) -> Vec<u8> {
        [&self.head[..], &self.body[..]].concat()
    }
}

#[derive(Debug)]
struct Kept {
    chunk: Chunk,
    _charge: Charge,
}

/// See the module. Everything is serialised by the stream's lock.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: VecDeque<Kept>,
    /// One past the last offset appended.
    pub(crate) next: u64,
    /// One past the last offset in segments.
    pub(crate) flushed: u64,
    /// Below this, what was not in segments yet has been forgotten: nobody needs it.
    pub(crate) forgotten: u64,
    /// Leader epochs and where each begins.
    pub(crate) epochs: Vec<(i32, u64)>,
}

impl Tail {
    pub(crate) fn new(next: u64, epochs: Vec<(i32, u64)>) -> Self {
        Self {
            kept: VecDeque::new(),
            next,
            flushed: next,
            forgotten: 0,
            epochs,
        }
    }

    pub(crate) fn push(&mut self, chunk: Chunk, epoch: i32, charge: Charge) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.push((epoch, chunk.base));
        }
        self.next = chunk.next;
        self.kept.push_back(Kept {
            chunk,
            _charge: charge,
        });
    }

    /// The first offset that is in memory; `next` when none is.
    pub(crate) fn first(&self) -> u64 {
        self.kept.front().map_or(self.next, |kept| kept.chunk.base)
    }

    /// The chunks from the one that holds `from` on.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = &Chunk> {
        let at = self.kept.partition_point(|kept| kept.chunk.next <= from);
        self.kept.range(at..).map(|kept| &kept.chunk)
    }

    /// The chunks that are not in segments, up to `end`.
    pub(crate) fn unflushed(&self, end: u64) -> Vec<Chunk> {
        self.from(self.flushed)
            .take_while(|chunk| chunk.next <= end)
            .cloned()
            .collect()
    }

    /// Forgets what is in segments and below `below`; returns its bytes.
    pub(crate) fn forget(&mut self, below: u64) -> u64 {
        let mut bytes = 0;
        let below = below.min(self.flushed);
        while self
            .kept
            .front()
            .is_some_and(|kept| kept.chunk.next <= below)
        {
            bytes += self
                .kept
                .pop_front()
                .map_or(0, |kept| kept.chunk.len() as u64);
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(16);
        }
        bytes
    }

    /// Forgets what is below `below` and not in segments; returns its bytes. What is in segments
    /// must be forgotten before: it is counted in another way.
    pub(crate) fn forget_unflushed(&mut self, below: u64) -> usize {
        let mut bytes = 0;
        while let Some(kept) = self.kept.front()
            && kept.chunk.base >= self.flushed
            && kept.chunk.next <= below
        {
            bytes += kept.chunk.len();
            self.forgotten = kept.chunk.next;
            self.kept.pop_front();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(16);
        }
        bytes
    }

    /// The largest epoch that is at most `asked`, and where it ends.
    pub(crate) fn epoch_end(&self, asked: i32, end: u64) -> Option<(i32, u64)> {
        let at = self
            .epochs
            .partition_point(|(epoch, _)| *epoch <= asked)
            .checked_sub(1)?;
        let (epoch, _) = self.epochs.get(at)?;
        Some((
            *epoch,
            self.epochs.get(at + 1).map_or(end, |(_, start)| *start),
        ))
    }

    /// Forgets the epochs that ended at or below `start`.
    pub(crate) fn trim_epochs(&mut self, start: u64) {
        while let [_, (_, second), ..] = self.epochs.as_slice()
            && *second <= start
        {
            self.epochs.remove(0);
        }
    }
}
