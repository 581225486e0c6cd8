//! The journal's records.
//!
//! Layout, little-endian. Key: version, kind, queue (16 bytes), lane, and for a chunk its number.
//! Value of a lane: version, floor, seen, bytes, up to where they are counted, hidden messages.
//! Value of a chunk: version, form (0 nothing, 1 bits, 2 all), the bits, then (place, attempts,
//! time) for each count.

use bytes::{Buf, BufMut};

use super::super::QueueId;
use super::super::cursor::{CHUNK, Chunk};
use super::super::lane::{Count, Lane};

const VERSION: u8 = 1;
const LANE: u8 = 0;
const CHUNK_OF_LANE: u8 = 1;

const NOTHING: u8 = 0;
const BITS: u8 = 1;
const ALL: u8 = 2;

/// What a key is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Key {
    pub(in crate::queue) queue: QueueId,
    pub(in crate::queue) lane: u16,
    pub(in crate::queue) chunk: Option<u64>,
}

impl Key {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28);
        out.put_u8(VERSION);
        out.put_u8(if self.chunk.is_some() {
            CHUNK_OF_LANE
        } else {
            LANE
        });
        out.put_slice(self.queue.0.as_bytes());
        out.put_u16_le(self.lane);
        if let Some(chunk) = self.chunk {
            out.put_u64_le(chunk);
        }
        out
    }

    pub(in crate::queue) fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let kind = rest.try_get_u8().ok()?;
        let (id, after) = rest.split_at_checked(16)?;
        *rest = after;
        let queue = QueueId(uuid::Uuid::from_slice(id).ok()?);
        let lane = rest.try_get_u16_le().ok()?;
        let chunk = match kind {
            LANE => None,
            CHUNK_OF_LANE => Some(rest.try_get_u64_le().ok()?),
            _ => return None,
        };
        Some(Self { queue, lane, chunk })
    }
}

/// What is kept of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct LaneValue {
    pub(in crate::queue) floor: u64,
    pub(in crate::queue) seen: u64,
    pub(in crate::queue) bytes: u64,
    pub(in crate::queue) counted: u64,
    pub(in crate::queue) hidden: u64,
}

impl LaneValue {
    pub(super) fn of(lane: &Lane, hidden: u64) -> Self {
        let held = lane.slots.bytes().saturating_sub(lane.ready.bytes());
        Self {
            floor: lane.floor(),
            seen: lane.next.max(lane.seen),
            bytes: lane.bytes + held,
            counted: if lane.uncounted.is_empty() {
                lane.appended
            } else {
                0
            },
            hidden,
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for value in [self.floor, self.seen, self.bytes, self.counted, self.hidden] {
            out.put_u64_le(value);
        }
        out
    }

    pub(in crate::queue) fn decode(mut rest: &[u8]) -> Option<Self> {
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mut long = || rest.try_get_u64_le().ok();
        Some(Self {
            floor: long()?,
            seen: long()?,
            bytes: long()?,
            counted: long()?,
            hidden: long()?,
        })
    }
}

/// What is kept of a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct ChunkValue {
    pub(in crate::queue) settled: Option<Chunk>,
    /// By the place in the chunk.
    pub(in crate::queue) counts: Vec<(u16, Count)>,
}

impl ChunkValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match &self.settled {
            None => out.put_u8(NOTHING),
            Some(Chunk::Full) => out.put_u8(ALL),
            Some(Chunk::Mixed(bits, _)) => {
                out.put_u8(BITS);
                bits.iter().for_each(|word| out.put_u64_le(*word));
            }
        }
        for (place, count) in &self.counts {
            out.put_u16_le(*place);
            out.put_u32_le(count.attempts);
            out.put_i64_le(count.first_ms);
        }
        out
    }

    pub(in crate::queue) fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let settled = match rest.try_get_u8().ok()? {
            NOTHING => None,
            ALL => Some(Chunk::Full),
            BITS => {
                let mut bits = Box::new([0; (CHUNK / 64) as usize]);
                for word in bits.iter_mut() {
                    *word = rest.try_get_u64_le().ok()?;
                }
                let count: u32 = bits.iter().map(|word| word.count_ones()).sum();
                if u64::from(count) == CHUNK {
                    Some(Chunk::Full)
                } else {
                    Some(Chunk::Mixed(bits, u16::try_from(count).ok()?))
                }
            }
            _ => return None,
        };
        let mut counts = Vec::new();
        while !rest.is_empty() {
            let place = rest.try_get_u16_le().ok()?;
            let attempts = rest.try_get_u32_le().ok()?;
            let first_ms = rest.try_get_i64_le().ok()?;
            counts.push((place, Count { attempts, first_ms }));
        }
        Some(Self { settled, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_written_and_cut_ones_are_not() {
        let queue = QueueId(uuid::Uuid::from_u128(5));
        for chunk in [None, Some(7)] {
            let key = Key {
                queue,
                lane: 3,
                chunk,
            };
            let bytes = key.encode();
            assert_eq!(Key::decode(&bytes), Some(key));
            assert_eq!(Key::decode(&bytes[..bytes.len() - 1]), None);
        }
        let value = LaneValue {
            floor: 1,
            seen: 2,
            bytes: 3,
            counted: 4,
            hidden: 5,
        };
        assert_eq!(LaneValue::decode(&value.encode()), Some(value));
        let mut bits = Box::new([0; 64]);
        bits[3] = 0b101;
        let count = Count {
            attempts: 2,
            first_ms: -1,
        };
        for settled in [None, Some(Chunk::Full), Some(Chunk::Mixed(bits, 2))] {
            let value = ChunkValue {
                settled,
                counts: vec![(4095, count)],
            };
            let bytes = value.encode();
            assert_eq!(ChunkValue::decode(&bytes), Some(value));
            assert_eq!(ChunkValue::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
