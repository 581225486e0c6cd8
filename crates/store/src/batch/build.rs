//! Making batches: from records of our own, and from a producer's with another compression.

use bytes::{BufMut, Bytes, BytesMut};

use super::records::{put_bytes, put_varint};
use super::{BatchError, BatchHeader, Compression, HEADER_LEN, LENGTH_END, compress, seal};

/// A batch in the making.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    records: Vec<u8>,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    count: i32,
    last_offset_delta: i32,
    scratch: Vec<u8>,
    headers: Vec<u8>,
}

impl BatchBuilder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_timestamp: -1,
            last_offset_delta: -1,
            ..Self::default()
        }
    }

    /// Adds a record behind the last one. `timestamp` is in milliseconds since 1970.
    pub fn push<'a>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) {
        let delta = self.last_offset_delta + 1;
        self.push_at(delta, timestamp, key, value, headers);
    }

    /// Adds a record at an offset of its own, which must be larger than the last one's.
    pub fn push_at<'a>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) {
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        put_varint(body, timestamp.wrapping_sub(base));
        put_varint(body, i64::from(offset_delta));
        put_bytes(body, key);
        put_bytes(body, value);
        let encoded = &mut self.headers;
        encoded.clear();
        let mut count = 0;
        for (key, value) in headers {
            put_bytes(encoded, Some(key));
            put_bytes(encoded, value);
            count += 1;
        }
        put_varint(body, count);
        body.extend_from_slice(encoded);
        put_varint(
            &mut self.records,
            i64::try_from(body.len()).unwrap_or(i64::MAX),
        );
        self.records.extend_from_slice(body);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = offset_delta;
        self.count += 1;
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the records take, uncompressed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The batch, at offset 0 and without a producer.
    ///
    /// # Errors
    /// [`BatchError::Compressed`], [`BatchError::Length`] for more than 2 GiB.
    pub fn build(self, codec: Compression) -> Result<Bytes, BatchError> {
        self.build_marked(codec, -1)
    }

    /// [`BatchBuilder::build`] with a base sequence, which means nothing without a producer and may
    /// say who wrote the batch.
    ///
    /// # Errors
    /// As there.
    pub fn build_marked(self, codec: Compression, sequence: i32) -> Result<Bytes, BatchError> {
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: -1,
            crc: 0,
            attributes: 0,
            last_offset_delta: self.last_offset_delta.max(0),
            base_timestamp: self.base_timestamp.unwrap_or(-1),
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: sequence,
            count: self.count,
        };
        rebuild(&header, &self.records, codec, -1)
    }
}

/// The batch of `header` with these records (uncompressed), compressed by `codec`.
///
/// # Errors
/// [`BatchError::Compressed`], [`BatchError::Length`] for more than 2 GiB.
pub fn rebuild(
    header: &BatchHeader,
    records: &[u8],
    codec: Compression,
    level: i32,
) -> Result<Bytes, BatchError> {
    let compressed;
    let body = if codec == Compression::None {
        records
    } else {
        compressed = compress(codec, records, level)?;
        &compressed
    };
    let length = HEADER_LEN - LENGTH_END + body.len();
    let header = BatchHeader {
        length: i32::try_from(length)
            .map_err(|_| BatchError::Length(i64::try_from(length).unwrap_or(i64::MAX)))?,
        attributes: (header.attributes & !0b111) | codec.bits(),
        ..*header
    };
    let mut out = BytesMut::with_capacity(HEADER_LEN + body.len());
    out.put_slice(&header.encode());
    out.put_slice(body);
    seal(&mut out);
    Ok(out.freeze())
}
