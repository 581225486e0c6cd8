//! Record batches: the unit of the log, in the layout of Kafka's RecordBatch v2.
//!
//! A batch is 61 bytes of header and the records, which may be compressed as a whole. Its checksum
//! (CRC-32C) covers everything from the attributes on, so that where it lies in the log (base
//! offset) and under which leader it was written (epoch) are set without touching it. The store
//! keeps batches as their producers sent them. Source: Apache Kafka's message format documentation.

mod build;
mod compress;
mod records;

use bytes::{Bytes, BytesMut};

pub use build::{BatchBuilder, rebuild};
pub use compress::{Compression, compress, decompress};
pub(crate) use records::put_with_time;
pub use records::{Header, Headers, Record, encoded_records, records};

/// The header's length in bytes.
pub const HEADER_LEN: usize = 61;
/// What lies before the part that `batchLength` counts.
const LENGTH_END: usize = 12;
/// Where the part begins that the checksum covers.
const CHECKED_FROM: usize = 21;
/// The part of the header that the log sets: base offset, length, leader epoch.
pub const PLACE_LEN: usize = 16;

/// Bytes that are not a batch, or records that are not records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header or than announced.
    #[error("cut short")]
    Short,
    /// A format other than 2.
    #[error("format {0} is not 2")]
    Format(i8),
    /// A length that cannot be.
    #[error("a length of {0}")]
    Length(i64),
    /// The bytes are not those that were written.
    #[error("checksum {found:08x} is not {expected:08x}")]
    Checksum {
        /// As written.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A record that breaks the layout.
    #[error("a broken record: {0}")]
    Record(&'static str),
    /// Compressed bytes that cannot be decompressed.
    #[error("{codec}: {why}")]
    Compressed {
        /// The codec's name.
        codec: &'static str,
        /// What it says.
        why: String,
    },
    /// More than the caller's limit once decompressed.
    #[error("more than {0} bytes once decompressed")]
    TooLarge(usize),
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset.
    pub base_offset: i64,
    /// How many bytes follow the length field.
    pub length: i32,
    /// The leader's epoch when it was appended.
    pub leader_epoch: i32,
    /// CRC-32C of everything from `attributes` on.
    pub crc: u32,
    /// Codec (bits 0-2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// The last record's offset, from the first.
    pub last_offset_delta: i32,
    /// The time from which the records' times count, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The largest time.
    pub max_timestamp: i64,
    /// The producer, or -1.
    pub producer_id: i64,
    /// Its incarnation, or -1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// How many records there are.
    pub count: i32,
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    // The caller has checked the length; the zeros cannot be reached.
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk::<N>)
        .copied()
        .unwrap_or([0; N])
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`. It checks its form (length, format), not the
    /// checksum.
    ///
    /// # Errors
    /// [`BatchError::Short`], [`BatchError::Format`], [`BatchError::Length`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Short);
        }
        let format = i8::from_be_bytes(chunk(bytes, 16));
        if format != 2 {
            return Err(BatchError::Format(format));
        }
        let header = Self {
            base_offset: i64::from_be_bytes(chunk(bytes, 0)),
            length: i32::from_be_bytes(chunk(bytes, 8)),
            leader_epoch: i32::from_be_bytes(chunk(bytes, 12)),
            crc: u32::from_be_bytes(chunk(bytes, 17)),
            attributes: i16::from_be_bytes(chunk(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(chunk(bytes, 23)),
            base_timestamp: i64::from_be_bytes(chunk(bytes, 27)),
            max_timestamp: i64::from_be_bytes(chunk(bytes, 35)),
            producer_id: i64::from_be_bytes(chunk(bytes, 43)),
            producer_epoch: i16::from_be_bytes(chunk(bytes, 51)),
            base_sequence: i32::from_be_bytes(chunk(bytes, 53)),
            count: i32::from_be_bytes(chunk(bytes, 57)),
        };
        if header.total_len() < HEADER_LEN || header.length < 0 {
            return Err(BatchError::Length(i64::from(header.length)));
        }
        if header.last_offset_delta < 0 {
            return Err(BatchError::Length(i64::from(header.last_offset_delta)));
        }
        Ok(header)
    }

    /// The batch's length, header included.
    #[must_use]
    pub fn total_len(&self) -> usize {
        usize::try_from(self.length)
            .unwrap_or(0)
            .saturating_add(LENGTH_END)
    }

    /// The codec; `None` for a number that is not in use.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_bits(self.attributes & 0b111)
    }

    /// Whether the broker's time counts.
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & (1 << 3) != 0
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & (1 << 4) != 0
    }

    /// Whether it holds a marker instead of records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & (1 << 5) != 0
    }

    /// Until when tombstones in it are kept, in milliseconds, once compaction has set it.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & (1 << 6) != 0).then_some(self.base_timestamp)
    }

    /// Whether compaction has taken records out of it.
    #[must_use]
    pub fn has_holes(&self) -> bool {
        i64::from(self.count) <= i64::from(self.last_offset_delta)
    }

    /// One past the last record's offset.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        let base = u64::try_from(self.base_offset).unwrap_or(0);
        base + u64::try_from(self.last_offset_delta).unwrap_or(0) + 1
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        put(0, &self.base_offset.to_be_bytes());
        put(8, &self.length.to_be_bytes());
        put(12, &self.leader_epoch.to_be_bytes());
        put(16, &[2]);
        put(17, &self.crc.to_be_bytes());
        put(21, &self.attributes.to_be_bytes());
        put(23, &self.last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &self.producer_id.to_be_bytes());
        put(51, &self.producer_epoch.to_be_bytes());
        put(53, &self.base_sequence.to_be_bytes());
        put(57, &self.count.to_be_bytes());
        bytes
    }
}

/// CRC-32C.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Compares the checksum of one whole batch with its bytes.
///
/// # Errors
/// [`BatchError::Short`], [`BatchError::Checksum`].
pub fn check_crc(batch: &[u8]) -> Result<(), BatchError> {
    let checked = batch.get(CHECKED_FROM..).ok_or(BatchError::Short)?;
    let expected = u32::from_be_bytes(chunk(batch, 17));
    let found = crc32c(checked);
    if found == expected {
        Ok(())
    } else {
        Err(BatchError::Checksum { expected, found })
    }
}

/// The part of a batch's header that says where it lies: to be sent before its bytes from
/// [`PLACE_LEN`] on.
#[must_use]
pub fn place(base_offset: u64, length: i32, epoch: i32) -> [u8; PLACE_LEN] {
    let mut bytes = [0; PLACE_LEN];
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[12..].copy_from_slice(&epoch.to_be_bytes());
    bytes
}

/// The batch with the broker's time on it: attribute bit 3, the largest time, a new checksum.
#[must_use]
pub fn with_append_time(batch: &[u8], at_ms: i64) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    let attributes = i16::from_be_bytes(chunk(batch, 21)) | (1 << 3);
    if let Some(place) = bytes.get_mut(21..23) {
        place.copy_from_slice(&attributes.to_be_bytes());
    }
    if let Some(place) = bytes.get_mut(35..43) {
        place.copy_from_slice(&at_ms.to_be_bytes());
    }
    seal(&mut bytes);
    bytes.freeze()
}

/// Sets the checksum.
fn seal(batch: &mut [u8]) {
    let crc = crc32c(batch.get(CHECKED_FROM..).unwrap_or_default());
    if let Some(place) = batch.get_mut(17..21) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
