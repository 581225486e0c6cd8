//! What a producer's batch must be before it is appended.
//!
//! The header and the checksum are always looked at; the records only where the topic asks for it
//! (a compacted topic needs keys, a topic with a compression of its own recompresses, bounded
//! timestamps in the past need each record's). Everything else is stored as it came.

use bytes::Bytes;
use store::batch::{self, BatchHeader, Compression, HEADER_LEN};

use crate::config::Config;
use crate::error::BatchProblem;
use crate::message::OWN_SEQUENCE;
use crate::producer::Stamp;
use crate::topic_config::TopicConfig;

/// A batch that may be appended.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) batch: Bytes,
    pub(crate) count: u32,
    pub(crate) max_timestamp: i64,
    /// Present when the producer wants deduplication.
    pub(crate) stamp: Option<Stamp>,
}

/// Checks `bytes` in the order that Kafka's users expect (each step has its own error).
pub(crate) fn check(
    bytes: &Bytes,
    topic: &TopicConfig,
    config: &Config,
    now_ms: i64,
) -> Result<Checked, BatchProblem> {
    let header = whole_batch(bytes, topic)?;
    let count = header_rules(&header)?;
    timestamp_in_bounds(None, header.max_timestamp, topic, now_ms)?;
    let compression = header
        .compression()
        .ok_or(BatchProblem::Compression(header.attributes & 0b111))?;
    can_hold(count, bytes.len() - HEADER_LEN, compression, config)?;
    let recompress = topic.compression.filter(|wanted| *wanted != compression);
    let bounded_past = topic.timestamp_before_max_ms != i64::MAX;
    let batch = if topic.is_compacted() || bounded_past || recompress.is_some() {
        let records = decompressed(bytes, compression, config)?;
        each_record(&records, &header, topic, now_ms)?;
        match recompress {
            Some(wanted) => recompressed(&header, &records, wanted, topic)?,
            None => bytes.clone(),
        }
    } else {
        bytes.clone()
    };
    let stamp = (header.producer_id >= 0).then(|| {
        Stamp::new(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            count,
        )
    });
    Ok(Checked {
        batch,
        count,
        max_timestamp: header.max_timestamp,
        stamp,
    })
}

/// The batch as the topic keeps it, which may be larger than what was sent.
fn recompressed(
    header: &BatchHeader,
    records: &[u8],
    wanted: Compression,
    topic: &TopicConfig,
) -> Result<Bytes, BatchProblem> {
    let batch = batch::rebuild(header, records, wanted, topic.compression_level)
        .map_err(|e| BatchProblem::Invalid(e.to_string()))?;
    has_size(batch.len(), topic)?;
    Ok(batch)
}

/// Exactly one batch of the current format, whole and undamaged.
fn whole_batch(bytes: &Bytes, topic: &TopicConfig) -> Result<BatchHeader, BatchProblem> {
    if bytes.len() < HEADER_LEN {
        return Err(BatchProblem::Corrupt(format!(
            "{} bytes are no batch",
            bytes.len()
        )));
    }
    let magic = bytes.get(16).copied().unwrap_or(0);
    if magic != 2 {
        return Err(BatchProblem::Invalid(format!(
            "record format {magic} is not 2"
        )));
    }
    let header = BatchHeader::parse(bytes).map_err(|e| BatchProblem::Corrupt(e.to_string()))?;
    let len = header.total_len();
    if len > bytes.len() {
        return Err(BatchProblem::Corrupt(format!(
            "{len} bytes announced, {} sent",
            bytes.len()
        )));
    }
    if len < bytes.len() {
        return Err(BatchProblem::Invalid(
            "more than one batch for a partition".to_owned(),
        ));
    }
    has_size(len, topic)?;
    batch::check_crc(bytes).map_err(|e| BatchProblem::Corrupt(e.to_string()))?;
    Ok(header)
}

fn has_size(bytes: usize, topic: &TopicConfig) -> Result<(), BatchProblem> {
    if bytes > topic.max_message_bytes {
        return Err(BatchProblem::TooLarge {
            bytes,
            limit: topic.max_message_bytes,
        });
    }
    let segment = topic.stream.segment_bytes;
    if bytes as u64 > segment {
        return Err(BatchProblem::LargerThanSegment { bytes, segment });
    }
    Ok(())
}

fn header_rules(header: &BatchHeader) -> Result<u32, BatchProblem> {
    let invalid = |why: &str| Err(BatchProblem::Invalid(why.to_owned()));
    if header.compression().is_none() {
        return Err(BatchProblem::Compression(header.attributes & 0b111));
    }
    let Some(count) = u32::try_from(header.count).ok().filter(|count| *count > 0) else {
        return invalid("a batch without records");
    };
    if i64::from(header.last_offset_delta) + 1 != i64::from(count) {
        return invalid("the record count and the last offset disagree");
    }
    if header.is_control() {
        return invalid("producers do not write control batches");
    }
    if header.is_transactional() {
        return invalid("transactions are not served");
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("a producer id without sequence or epoch");
    }
    if header.producer_id < 0 && header.base_sequence == OWN_SEQUENCE {
        return invalid("a base sequence that is the broker's own");
    }
    if header.is_log_append_time() {
        return Err(BatchProblem::Timestamp {
            index: None,
            timestamp: header.max_timestamp,
        });
    }
    Ok(count)
}

fn timestamp_in_bounds(
    index: Option<u32>,
    timestamp: i64,
    topic: &TopicConfig,
    now_ms: i64,
) -> Result<(), BatchProblem> {
    // -1 is a record without a time (KIP-32).
    if timestamp < 0 {
        return Ok(());
    }
    let latest = now_ms.saturating_add(topic.timestamp_after_max_ms);
    let earliest = now_ms.saturating_sub(topic.timestamp_before_max_ms);
    let too_old = index.is_some() && timestamp < earliest;
    if timestamp > latest || too_old {
        return Err(BatchProblem::Timestamp { index, timestamp });
    }
    Ok(())
}

/// How many times its size a batch may have once decompressed, beyond the first MiB.
const EXPANSION_MAX: usize = 128;

/// How large a body of `len` bytes may be once decompressed, in bytes.
fn decompressed_max(len: usize, config: &Config) -> usize {
    // Records compress to a hundredth at best; what claims more is a bomb.
    let plausible = len.saturating_mul(EXPANSION_MAX).saturating_add(1 << 20);
    config.decompressed_bytes_max.as_usize().min(plausible)
}

/// The shortest record, in bytes: its length, attributes, two differences, two lengths of -1, and no
/// headers.
const RECORD_MIN: usize = 7;

/// Offsets are given out for as many records as a header says, and a segment has 32 bits for them:
/// it says no more than `len` bytes can be.
fn can_hold(
    count: u32,
    len: usize,
    compression: Compression,
    config: &Config,
) -> Result<(), BatchProblem> {
    let bytes = if compression == Compression::None {
        len
    } else {
        decompressed_max(len, config)
    };
    if count as usize > bytes / RECORD_MIN {
        return Err(BatchProblem::Invalid(format!(
            "{count} records announced in {len} bytes"
        )));
    }
    Ok(())
}

fn decompressed(
    bytes: &Bytes,
    compression: Compression,
    config: &Config,
) -> Result<Bytes, BatchProblem> {
    let body = bytes.slice(HEADER_LEN..);
    if compression == Compression::None {
        return Ok(body);
    }
    let max = decompressed_max(body.len(), config);
    batch::decompress(compression, &body, max)
        .map(Bytes::from)
        .map_err(|e| BatchProblem::Corrupt(e.to_string()))
}

/// How many records of a batch are blamed by number at most: whoever sends more of that kind will
/// find the others the next time.
const BLAMED_MAX: usize = 100;

fn each_record(
    records: &[u8],
    header: &BatchHeader,
    topic: &TopicConfig,
    now_ms: i64,
) -> Result<(), BatchProblem> {
    let mut seen = 0_u32;
    // Those to blame are named, so that a producer can leave them out.
    let mut blamed = Vec::new();
    for record in batch::records(records) {
        if blamed.len() >= BLAMED_MAX {
            break;
        }
        let record = record.map_err(|e| BatchProblem::Invalid(e.to_string()))?;
        let index = seen;
        if topic.is_compacted() && record.key.is_none() {
            blamed.push((index, "a compacted topic needs a key".to_owned()));
        }
        if i64::from(record.offset_delta) != i64::from(index) {
            blamed.push((
                index,
                "its offset does not follow the one before".to_owned(),
            ));
        }
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        timestamp_in_bounds(Some(index), timestamp, topic, now_ms)?;
        seen += 1;
    }
    if !blamed.is_empty() {
        return Err(BatchProblem::Records(blamed));
    }
    if i64::from(seen) != i64::from(header.count) {
        return Err(BatchProblem::Invalid(format!(
            "{} records announced, {seen} sent",
            header.count
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
