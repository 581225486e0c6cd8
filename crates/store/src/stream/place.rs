//! What came as batches, as chunks of the tail: checked, copied, given their places.

use bytes::{Bytes, BytesMut};

use super::AppendOptions;
use crate::batch::{self, BatchHeader, PLACE_LEN};
use crate::error::Error;
use crate::tail::Chunk;
use crate::wal;

/// The batches in `batches`, each with its header.
pub(super) fn parse(
    batches: Bytes,
    options: AppendOptions,
) -> Result<Vec<(BatchHeader, BytesMut)>, Error> {
    let mut rest = batches;
    let mut parsed = Vec::with_capacity(1);
    while !rest.is_empty() {
        let header = BatchHeader::parse(&rest)?;
        if header.total_len() > rest.len() {
            return Err(batch::BatchError::Short.into());
        }
        // A start would take it for damage.
        if header.total_len() > wal::PAYLOAD_MAX as usize {
            return Err(batch::BatchError::Length(i64::from(header.length)).into());
        }
        let batch = rest.split_to(header.total_len());
        // A copy: what came is a part of what a client has sent at once, all of which would stay as
        // long as this batch does.
        let batch = match options.log_append_time {
            Some(at) => batch::with_append_time(&batch, at)
                .try_into_mut()
                .unwrap_or_else(|shared| BytesMut::from(&shared[..])),
            None => BytesMut::from(&batch[..]),
        };
        parsed.push((header, batch));
    }
    Ok(parsed)
}

/// The chunk of a batch at `base`.
pub(super) fn place(
    base: u64,
    header: &BatchHeader,
    mut batch: BytesMut,
    options: AppendOptions,
) -> Chunk {
    let head = batch::place(base, header.length, options.epoch);
    if let Some(place) = batch.first_chunk_mut::<PLACE_LEN>() {
        *place = head;
    }
    let batch = batch.freeze();
    let records = u64::try_from(header.last_offset_delta).unwrap_or(0) + 1;
    Chunk {
        base,
        next: base + records,
        max_timestamp: options.log_append_time.unwrap_or(header.max_timestamp),
        head: batch.slice(..PLACE_LEN),
        body: batch.slice(PLACE_LEN..),
    }
}
