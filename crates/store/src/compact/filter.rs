//! What is left of one batch.
//!
//! Offsets stay: a batch that loses records keeps its first and last offset, its producer, epoch
//! and sequence, its leader epoch, its codec and whose time counts; the records that stay keep
//! their bytes. A tombstone (a record without a value) stays until a time that the first pass over
//! it writes on its batch (KIP-534), so that readers who are on their way through the log meet it.

use base::HashSet;
use bytes::Bytes;

use super::keys::Keys;
use crate::batch::{
    self, BatchError, BatchHeader, Compression, HEADER_LEN, encoded_records, put_with_time, rebuild,
};

/// The bit that says that the base timestamp is a delete horizon.
const HORIZON: i16 = 1 << 6;
/// How much a batch may hold once decompressed, in bytes.
const DECOMPRESSED_MAX: usize = 256 << 20;
/// zstd's and gzip's own defaults.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: i32 = -1;

/// By what a pass decides.
#[derive(Debug)]
pub(super) struct Rules {
    /// Of each key its last record in the stretch that the pass looked at.
    pub(super) keys: Keys,
    /// Records from here on are not looked at.
    pub(super) end: u64,
    /// The pass's time, in milliseconds since 1970.
    pub(super) now_ms: i64,
    /// How long a tombstone stays, in milliseconds.
    pub(super) tombstones_ms: i64,
    /// First offsets of batches that are kept even when nothing is left in them.
    pub(super) pins: HashSet<u64>,
    /// So is the batch that ends here: the stream must not seem to end before its end.
    pub(super) last: u64,
}

/// What is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All of it, as it was.
    Whole,
    /// Nothing.
    Nothing,
    /// This.
    Some(Bytes),
}

/// What the filter says of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) left: Left,
    /// How many records went.
    pub(super) removed: u64,
    /// When tombstones that are left may go.
    pub(super) horizon: Option<i64>,
}

impl Verdict {
    fn whole(horizon: Option<i64>) -> Self {
        Self {
            left: Left::Whole,
            removed: 0,
            horizon,
        }
    }
}

/// The batch's records, decompressed.
pub(super) fn plain(header: &BatchHeader, batch: &Bytes) -> Result<Bytes, BatchError> {
    let codec = header.compression().ok_or(BatchError::Record("codec"))?;
    let body = batch.slice(HEADER_LEN.min(batch.len())..);
    if codec == Compression::None || header.count == 0 {
        return Ok(body);
    }
    batch::decompress(codec, &body, DECOMPRESSED_MAX).map(Bytes::from)
}

impl Rules {
    /// What is left of `batch`.
    ///
    /// # Errors
    /// [`BatchError`] for records that cannot be read.
    pub(super) fn apply(&self, header: &BatchHeader, batch: &Bytes) -> Result<Verdict, BatchError> {
        let base = u64::try_from(header.base_offset).unwrap_or(0);
        if header.is_control() || base >= self.end {
            return Ok(Verdict::whole(None));
        }
        let pinned = self.pins.contains(&base) || header.next_offset() == self.last;
        if header.count == 0 {
            let mut verdict = Verdict::whole(None);
            if !pinned {
                verdict.left = Left::Nothing;
            }
            return Ok(verdict);
        }
        let plain = plain(header, batch)?;
        let expired = header.delete_horizon().is_some_and(|at| at <= self.now_ms);
        let (mut kept, mut removed, mut tombstones) = (Vec::new(), 0, false);
        for record in encoded_records(&plain) {
            let (record, encoded) = record?;
            let offset = base + u64::try_from(record.offset_delta).unwrap_or(0);
            let is_tombstone = record.value.is_none();
            if offset < self.end && !self.keeps(record.key, offset, is_tombstone && expired) {
                removed += 1;
                continue;
            }
            tombstones |= is_tombstone && offset < self.end;
            kept.push((record.timestamp_delta, encoded));
        }
        let horizon = tombstones.then(|| {
            let new = self.now_ms.saturating_add(self.tombstones_ms);
            header.delete_horizon().unwrap_or(new)
        });
        let left = if removed == 0 && (horizon.is_none() || header.delete_horizon().is_some()) {
            Left::Whole
        } else if !kept.is_empty() {
            Left::Some(with_records(header, &kept, horizon)?)
        } else if pinned {
            Left::Some(without_records(header)?)
        } else {
            Left::Nothing
        };
        Ok(Verdict {
            left,
            removed,
            horizon,
        })
    }

    fn keeps(&self, key: Option<&[u8]>, offset: u64, expired: bool) -> bool {
        // A record without a key can never be replaced; Kafka drops it too.
        let Some(key) = key else { return false };
        !expired && self.keys.last(key).is_none_or(|last| last <= offset)
    }
}

/// The batch with these records; with a horizon, times count from there.
fn with_records(
    header: &BatchHeader,
    kept: &[(i64, &[u8])],
    horizon: Option<i64>,
) -> Result<Bytes, BatchError> {
    let codec = header.compression().ok_or(BatchError::Record("codec"))?;
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    let shift = header.base_timestamp.wrapping_sub(base_timestamp);
    let mut records = Vec::with_capacity(kept.iter().map(|(_, encoded)| encoded.len() + 8).sum());
    for (delta, encoded) in kept {
        if shift == 0 {
            records.extend_from_slice(encoded);
        } else {
            put_with_time(&mut records, encoded, delta.wrapping_add(shift))?;
        }
    }
    let times = kept
        .iter()
        .map(|(delta, _)| header.base_timestamp.saturating_add(*delta));
    let max_timestamp = if header.is_log_append_time() {
        header.max_timestamp
    } else {
        times.max().unwrap_or(header.max_timestamp)
    };
    let bit = if horizon.is_some() { HORIZON } else { 0 };
    let header = BatchHeader {
        attributes: (header.attributes & !HORIZON) | bit,
        base_timestamp,
        max_timestamp,
        count: i32::try_from(kept.len()).unwrap_or(i32::MAX),
        ..*header
    };
    let level = if codec == Compression::Zstd {
        ZSTD_LEVEL
    } else {
        GZIP_LEVEL
    };
    rebuild(&header, &records, codec, level)
}

/// The batch's header alone.
fn without_records(header: &BatchHeader) -> Result<Bytes, BatchError> {
    let header = BatchHeader {
        attributes: header.attributes & !HORIZON,
        base_timestamp: header.max_timestamp,
        count: 0,
        ..*header
    };
    rebuild(&header, &[], Compression::None, GZIP_LEVEL)
}

#[cfg(test)]
mod tests;
