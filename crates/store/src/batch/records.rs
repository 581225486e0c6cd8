//! The records of a batch, borrowed from its decompressed bytes.

use super::BatchError;

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its time, from the batch's base.
    pub timestamp_delta: i64,
    /// Its offset, from the batch's base.
    pub offset_delta: i32,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload; `None` deletes the key where the log is compacted.
    pub value: Option<&'a [u8]>,
    /// Its headers, still encoded.
    pub headers: Headers<'a>,
}

/// A record's headers: an iterator that was checked when the record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    count: usize,
    rest: &'a [u8],
}

/// A header: names may repeat and keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl Headers<'_> {
    /// How many are left.
    #[must_use]
    pub fn count_left(&self) -> usize {
        self.count
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        let key = take_bytes(&mut self.rest).ok()??;
        let value = take_bytes(&mut self.rest).ok()?;
        Some(Header { key, value })
    }
}

/// The records in `bytes`, which are what follows the header, decompressed.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, BatchError>> {
    encoded_records(bytes).map(|record| record.map(|(record, _)| record))
}

/// As [`records`], each with its own bytes, its length included.
pub fn encoded_records(
    bytes: &[u8],
) -> impl Iterator<Item = Result<(Record<'_>, &[u8]), BatchError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let before = rest;
        let record = record(&mut rest);
        if record.is_err() {
            rest = &[];
        }
        let encoded = before.get(..before.len() - rest.len()).unwrap_or_default();
        Some(record.map(|record| (record, encoded)))
    })
}

/// Appends the record whose bytes are `encoded` to `out`, with another time.
pub(crate) fn put_with_time(
    out: &mut Vec<u8>,
    mut encoded: &[u8],
    timestamp_delta: i64,
) -> Result<(), BatchError> {
    let rest = &mut encoded;
    varint(rest)?;
    let (attributes, mut rest) = rest.split_first().ok_or(BatchError::Record("attributes"))?;
    varlong(&mut rest)?;
    let mut time = Vec::with_capacity(10);
    put_varint(&mut time, timestamp_delta);
    let length = 1 + time.len() + rest.len();
    put_varint(out, i64::try_from(length).unwrap_or(i64::MAX));
    out.push(*attributes);
    out.extend_from_slice(&time);
    out.extend_from_slice(rest);
    Ok(())
}

fn record<'a>(rest: &mut &'a [u8]) -> Result<Record<'a>, BatchError> {
    let length = usize::try_from(varint(rest)?).map_err(|_| BatchError::Record("length"))?;
    let (mut body, after) = rest
        .split_at_checked(length)
        .ok_or(BatchError::Record("length"))?;
    *rest = after;
    let (_attributes, after) = body.split_first().ok_or(BatchError::Record("attributes"))?;
    body = after;
    let timestamp_delta = varlong(&mut body)?;
    let offset_delta = varint(&mut body)?;
    let key = take_bytes(&mut body)?;
    let value = take_bytes(&mut body)?;
    let count = usize::try_from(varint(&mut body)?).map_err(|_| BatchError::Record("headers"))?;
    let headers = Headers { count, rest: body };
    for _ in 0..count {
        take_bytes(&mut body)?.ok_or(BatchError::Record("a header without a name"))?;
        take_bytes(&mut body)?;
    }
    if !body.is_empty() {
        return Err(BatchError::Record("bytes behind its end"));
    }
    Ok(Record {
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
    })
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BatchError> {
    let length = varint(rest)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| BatchError::Record("length"))?;
    let (bytes, after) = rest
        .split_at_checked(length)
        .ok_or(BatchError::Record("length"))?;
    *rest = after;
    Ok(Some(bytes))
}

/// A signed number, zig-zag, seven bits to a byte, the lowest first.
fn varlong(rest: &mut &[u8]) -> Result<i64, BatchError> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(BatchError::Record("number"))?;
        *rest = after;
        if shift == 63 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    Err(BatchError::Record("number"))
}

fn varint(rest: &mut &[u8]) -> Result<i32, BatchError> {
    i32::try_from(varlong(rest)?).map_err(|_| BatchError::Record("number"))
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
            out.extend_from_slice(bytes);
        }
    }
}
