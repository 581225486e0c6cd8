//! The answer to a fetch by hand, piece by piece, so that whoever writes it can put the records
//! between the pieces: bytes that are in memory, or a range of a file.
//!
//! The order is [`put_head`]; for each topic [`put_topic`], for each of its partitions
//! [`put_partition`], the records, [`put_end`]; after a topic's partitions [`put_end`]; after the
//! topics [`put_end`]. The request is read by the generated code.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

use crate::encode::{EncodeError, put};

/// The versions that can be written.
pub const VERSIONS: std::ops::RangeInclusive<i16> = 4..=17;
const FLEXIBLE: i16 = 12;

/// A partition of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// 0, or why there are no records.
    pub error_code: i16,
    /// One past the last offset that readers may see; -1 when unknown.
    pub high_watermark: i64,
    /// The first offset kept; -1 when unknown.
    pub log_start_offset: i64,
    /// How many bytes of records follow.
    pub records: usize,
    /// Whether the reader asked for committed transactions only; then it is told that none were
    /// aborted.
    pub read_committed: bool,
}

/// What stands before the topics.
///
/// # Errors
/// [`EncodeError`] when there are too many.
pub fn put_head(
    out: &mut BytesMut,
    version: i16,
    throttle_time_ms: i32,
    error_code: i16,
    session_id: i32,
    topics: usize,
) -> Result<(), EncodeError> {
    out.put_i32(throttle_time_ms);
    if version >= 7 {
        out.put_i16(error_code);
        out.put_i32(session_id);
    }
    put::length(out, version >= FLEXIBLE, topics)
}

/// What stands before a topic's partitions.
///
/// # Errors
/// [`EncodeError`] when there are too many.
pub fn put_topic(
    out: &mut BytesMut,
    version: i16,
    name: &str,
    id: Uuid,
    partitions: usize,
) -> Result<(), EncodeError> {
    if version >= 13 {
        put::uuid(out, id);
    } else {
        put::string(out, version >= FLEXIBLE, name)?;
    }
    put::length(out, version >= FLEXIBLE, partitions)
}

/// What stands before a partition's records.
///
/// # Errors
/// [`EncodeError`] when there are too many.
pub fn put_partition(
    out: &mut BytesMut,
    version: i16,
    partition: &Partition,
) -> Result<(), EncodeError> {
    let flexible = version >= FLEXIBLE;
    out.put_i32(partition.index);
    out.put_i16(partition.error_code);
    out.put_i64(partition.high_watermark);
    // Without transactions everything that may be read is stable.
    out.put_i64(partition.high_watermark);
    if version >= 5 {
        out.put_i64(partition.log_start_offset);
    }
    let aborted = partition.read_committed.then_some(0);
    put::nullable_length(out, flexible, true, aborted)?;
    if version >= 11 {
        out.put_i32(-1);
    }
    put::length(out, flexible, partition.records)
}

/// What stands after a partition's records, after a topic's partitions, after the topics.
pub fn put_end(out: &mut BytesMut, version: i16) {
    if version >= FLEXIBLE {
        put::uvarint(out, 0);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::messages::FetchResponse;
    use crate::messages::fetch_response::{FetchableTopicResponse, PartitionData};

    fn ours(version: i16, committed: bool) -> BytesMut {
        let mut out = BytesMut::new();
        put_head(&mut out, version, 3, 0, 77, 1).unwrap();
        put_topic(&mut out, version, "orders", Uuid::from_u128(9), 2).unwrap();
        for (index, records) in [(0, &b"records"[..]), (1, b"")] {
            let partition = Partition {
                index,
                error_code: 0,
                high_watermark: 10,
                log_start_offset: 2,
                records: records.len(),
                read_committed: committed,
            };
            put_partition(&mut out, version, &partition).unwrap();
            out.put_slice(records);
            put_end(&mut out, version);
        }
        put_end(&mut out, version);
        put_end(&mut out, version);
        out
    }

    #[test]
    fn every_version_is_written_as_the_table_says() {
        for (version, committed) in VERSIONS.flat_map(|v| [(v, false), (v, true)]) {
            let partition = |index, records: &'static [u8]| PartitionData {
                partition_index: index,
                high_watermark: 10,
                last_stable_offset: 10,
                log_start_offset: 2,
                aborted_transactions: committed.then(Vec::new),
                records: Some(Bytes::from_static(records)),
                ..PartitionData::default()
            };
            let response = FetchResponse {
                throttle_time_ms: 3,
                session_id: 77,
                responses: vec![FetchableTopicResponse {
                    topic: "orders".into(),
                    topic_id: Uuid::from_u128(9),
                    partitions: vec![partition(0, b"records"), partition(1, b"")],
                }],
                ..FetchResponse::default()
            };
            let mut theirs = BytesMut::new();
            response.encode(&mut theirs, version).unwrap();
            assert_eq!(ours(version, committed), theirs, "version {version}");
        }
    }
}
