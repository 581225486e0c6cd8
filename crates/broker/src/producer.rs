//! Deduplication of idempotent producers: per partition and producer id the epoch and the last
//! five batches (KIP-98; five because clients keep that many requests in flight).
//!
//! The state is a pure function of the batches in the log. It is saved beside the log now and
//! then (`encode`) and rebuilt at the start from the last save and the batch headers after it.

use base::HashMap;
use base::Offset;

use crate::error::ProducerProblem;

/// How many batches are remembered for each producer.
const REMEMBERED: usize = 5;
/// Layout of [`ProducerTable::encode`]: version 1, count, then one fixed-size entry each.
const VERSION: u8 = 1;

/// The part of a batch header that deduplication looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    pub(crate) first: i32,
    pub(crate) last: i32,
}

impl Stamp {
    /// The stamp of a batch of `count` records; sequences wrap from `i32::MAX` to 0.
    pub(crate) fn new(producer: i64, epoch: i16, first: i32, count: u32) -> Self {
        let last = (i64::from(first) + i64::from(count) - 1) % (i64::from(i32::MAX) + 1);
        Self {
            producer,
            epoch,
            first,
            last: i32::try_from(last).unwrap_or(0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remembered {
    first: i32,
    last: i32,
    offset: Offset,
    next: Offset,
    timestamp: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    epoch: i16,
    /// Oldest first, at most [`REMEMBERED`].
    batches: Vec<Remembered>,
    /// Wall time of the last append, in milliseconds.
    seen_ms: i64,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New: append it.
    Append,
    /// Appended before, at these offsets and with this largest timestamp.
    Duplicate {
        first: Offset,
        next: Offset,
        timestamp: i64,
    },
}

/// A producer as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerInfo {
    /// The producer's id.
    pub id: i64,
    /// Its newest epoch.
    pub epoch: i16,
    /// The last sequence appended.
    pub last_sequence: i32,
    /// When, in milliseconds since 1970.
    pub last_timestamp: i64,
}

/// The producers that one partition knows.
#[derive(Debug, Default)]
pub(crate) struct ProducerTable {
    states: HashMap<i64, State>,
}

impl ProducerTable {
    /// What to do with a batch stamped so.
    pub(crate) fn check(&self, stamp: Stamp) -> Result<Verdict, ProducerProblem> {
        let Some(state) = self.states.get(&stamp.producer) else {
            // Nothing known: the state may have expired, so any first sequence is taken.
            return Ok(Verdict::Append);
        };
        if stamp.epoch < state.epoch {
            return Err(ProducerProblem::StaleEpoch {
                got: stamp.epoch,
                current: state.epoch,
            });
        }
        let last = state.batches.last().map_or(-1, |b| b.last);
        if stamp.epoch > state.epoch {
            return if stamp.first == 0 {
                Ok(Verdict::Append)
            } else {
                Err(ProducerProblem::OutOfOrder {
                    got: stamp.first,
                    last,
                })
            };
        }
        let known = state
            .batches
            .iter()
            .find(|b| b.first == stamp.first && b.last == stamp.last);
        if let Some(batch) = known {
            return Ok(Verdict::Duplicate {
                first: batch.offset,
                next: batch.next,
                timestamp: batch.timestamp,
            });
        }
        let expected = if last == i32::MAX { 0 } else { last + 1 };
        if last == -1 || stamp.first == expected {
            Ok(Verdict::Append)
        } else {
            Err(ProducerProblem::OutOfOrder {
                got: stamp.first,
                last,
            })
        }
    }

    /// Remembers an appended batch. Returns how many others had to be forgotten for it.
    pub(crate) fn record(
        &mut self,
        stamp: Stamp,
        offsets: (Offset, Offset),
        timestamp: i64,
        now_ms: i64,
        limit: usize,
    ) -> u64 {
        let evicted = if self.states.contains_key(&stamp.producer) {
            0
        } else {
            self.make_room(limit)
        };
        let state = self.states.entry(stamp.producer).or_default();
        if state.epoch != stamp.epoch {
            state.epoch = stamp.epoch;
            state.batches.clear();
        }
        if state.batches.len() == REMEMBERED {
            state.batches.remove(0);
        }
        let (offset, next) = offsets;
        state.batches.push(Remembered {
            first: stamp.first,
            last: stamp.last,
            offset,
            next,
            timestamp,
        });
        state.seen_ms = now_ms;
        evicted
    }

    fn make_room(&mut self, limit: usize) -> u64 {
        let mut evicted = 0;
        while self.states.len() >= limit.max(1) {
            let Some(oldest) = self
                .states
                .iter()
                // All that a start has read back were seen at the same time.
                .min_by_key(|(_, s)| (s.seen_ms, s.batches.last().map(|batch| batch.offset)))
                .map(|(id, _)| *id)
            else {
                break;
            };
            self.states.remove(&oldest);
            evicted += 1;
        }
        evicted
    }

    /// Forgets who has been silent since before `before_ms`.
    pub(crate) fn expire(&mut self, before_ms: i64) {
        self.states.retain(|_, state| state.seen_ms >= before_ms);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The first offsets of all batches that are remembered.
    pub(crate) fn batches(&self) -> Vec<Offset> {
        let states = self.states.values();
        states
            .flat_map(|state| state.batches.iter().map(|batch| batch.offset))
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn list(&self) -> Vec<ProducerInfo> {
        let mut list: Vec<_> = self
            .states
            .iter()
            .map(|(id, state)| ProducerInfo {
                id: *id,
                epoch: state.epoch,
                last_sequence: state.batches.last().map_or(-1, |b| b.last),
                last_timestamp: state.batches.last().map_or(-1, |b| b.timestamp),
            })
            .collect();
        list.sort_by_key(|p| p.id);
        list
    }

    /// As bytes: version u8, count u32, then per producer id i64, epoch i16, seen i64, batches u8,
    /// and per batch first i32, last i32, offset u64, next u64, timestamp i64; all big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(
            &u32::try_from(self.states.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        let mut states: Vec<_> = self.states.iter().collect();
        states.sort_by_key(|(id, _)| **id);
        for (id, state) in states {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&state.epoch.to_be_bytes());
            out.extend_from_slice(&state.seen_ms.to_be_bytes());
            out.push(u8::try_from(state.batches.len()).unwrap_or(0));
            for batch in &state.batches {
                out.extend_from_slice(&batch.first.to_be_bytes());
                out.extend_from_slice(&batch.last.to_be_bytes());
                out.extend_from_slice(&batch.offset.0.to_be_bytes());
                out.extend_from_slice(&batch.next.0.to_be_bytes());
                out.extend_from_slice(&batch.timestamp.to_be_bytes());
            }
        }
        out
    }

    /// Reads what [`ProducerTable::encode`] wrote; `None` when the bytes are something else, in
    /// which case the whole log has to be replayed.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.take::<1>()? != [VERSION] {
            return None;
        }
        let count = u32::from_be_bytes(input.take()?);
        let mut table = Self::default();
        for _ in 0..count {
            let id = i64::from_be_bytes(input.take()?);
            let epoch = i16::from_be_bytes(input.take()?);
            let seen_ms = i64::from_be_bytes(input.take()?);
            let [batches] = input.take()?;
            let mut state = State {
                epoch,
                batches: Vec::new(),
                seen_ms,
            };
            for _ in 0..batches {
                state.batches.push(Remembered {
                    first: i32::from_be_bytes(input.take()?),
                    last: i32::from_be_bytes(input.take()?),
                    offset: Offset(u64::from_be_bytes(input.take()?)),
                    next: Offset(u64::from_be_bytes(input.take()?)),
                    timestamp: i64::from_be_bytes(input.take()?),
                });
            }
            table.states.insert(id, state);
        }
        input.0.is_empty().then_some(table)
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

#[cfg(test)]
mod tests;
