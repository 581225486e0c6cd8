//! Produce by hand: the request flattened to one list of partitions, records left where they lie.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::decode::{DecodeError, Decoder};
use crate::encode::{EncodeError, put};
use crate::str::Str;

/// The versions that can be read and written.
pub const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;
const FLEXIBLE: i16 = 9;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The transaction it belongs to.
    pub transactional_id: Option<Str>,
    /// -1, 0 or 1, as it came.
    pub acks: i16,
    /// How long the client waits, in milliseconds.
    pub timeout_ms: i32,
    /// The topics, in order.
    pub topics: Vec<Topic>,
    /// The partitions of all topics, in order.
    pub parts: Vec<Part>,
}

/// A topic of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Its name, below version 13.
    pub name: Str,
    /// Its id, from version 13.
    pub id: Uuid,
    /// How many of the request's partitions are its own.
    pub partitions: usize,
}

/// A partition of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The place of its topic in [`Request::topics`].
    pub topic: usize,
    /// Its number.
    pub index: i32,
    /// One batch, if the client keeps the rules.
    pub records: Option<Bytes>,
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not one.
    pub fn decode(d: &mut Decoder, version: i16) -> Result<Self, DecodeError> {
        if !VERSIONS.contains(&version) {
            return Err(DecodeError::Version(version));
        }
        let flexible = version >= FLEXIBLE;
        let mut request = Self {
            transactional_id: d.nullable_string(flexible, true)?,
            acks: d.i16()?,
            timeout_ms: d.i32()?,
            ..Self::default()
        };
        let parts = &mut request.parts;
        let mut at = 0;
        request.topics = d.array(flexible, |d| {
            let mut topic = Topic::default();
            if version >= 13 {
                topic.id = d.uuid()?;
            } else {
                topic.name = d.string(flexible)?;
            }
            topic.partitions = d.array_into(flexible, parts, |d| {
                let (index, records) = (d.i32()?, d.nullable_bytes(flexible, true)?);
                if flexible {
                    d.skip_tags()?;
                }
                Ok(Part {
                    topic: at,
                    index,
                    records,
                })
            })?;
            if flexible {
                d.skip_tags()?;
            }
            at += 1;
            Ok(topic)
        })?;
        if flexible {
            d.skip_tags()?;
        }
        Ok(request)
    }
}

/// How many topics and partitions the body of a request names, found without keeping anything; it
/// stops counting above `max`, and where the bytes are not a request.
#[must_use]
pub fn elements(body: &Bytes, version: i16, max: usize) -> usize {
    let mut count = 0;
    // What is wrong with the bytes is found again, and told, when they are decoded.
    let _ = count_elements(&mut Decoder::new(body.clone()), version, max, &mut count);
    count
}

fn count_elements(
    d: &mut Decoder,
    version: i16,
    max: usize,
    count: &mut usize,
) -> Result<(), DecodeError> {
    let flexible = version >= FLEXIBLE;
    d.pass_string(flexible)?;
    d.pass(2 + 4)?;
    for _ in 0..d.length(flexible)?.unwrap_or(0) {
        *count += 1;
        if *count > max {
            return Ok(());
        }
        if version >= 13 {
            d.pass(16)?;
        } else {
            d.pass_string(flexible)?;
        }
        for _ in 0..d.length(flexible)?.unwrap_or(0) {
            *count += 1;
            if *count > max {
                return Ok(());
            }
            d.pass(4)?;
            let records = d.length(flexible)?.unwrap_or(0);
            d.pass(records)?;
            if flexible {
                d.skip_tags()?;
            }
        }
        if flexible {
            d.skip_tags()?;
        }
    }
    Ok(())
}

/// What became of a partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The partition's number.
    pub index: i32,
    /// 0, or why it was refused.
    pub error_code: i16,
    /// Where it is; -1 when it was refused.
    pub base_offset: i64,
    /// The broker's time on it; -1 where the producer's counts.
    pub log_append_time_ms: i64,
    /// The first offset kept; -1 when it was refused.
    pub log_start_offset: i64,
    /// Which records are to blame, and for what.
    pub record_errors: Vec<(i32, Str)>,
    /// Why it was refused, in words.
    pub error_message: Option<Str>,
}

/// Writes the body of the answer; `outcomes` belong to `request.parts` in order.
///
/// # Errors
/// [`EncodeError`] for a message that is too long.
pub fn put_response(
    out: &mut BytesMut,
    version: i16,
    topics: &[Topic],
    outcomes: &[Outcome],
    throttle_time_ms: i32,
) -> Result<(), EncodeError> {
    let flexible = version >= FLEXIBLE;
    put::length(out, flexible, topics.len())?;
    let mut rest = outcomes;
    for topic in topics {
        if version >= 13 {
            put::uuid(out, topic.id);
        } else {
            put::string(out, flexible, &topic.name)?;
        }
        let (own, others) = rest.split_at(topic.partitions.min(rest.len()));
        rest = others;
        put::length(out, flexible, own.len())?;
        for outcome in own {
            put_outcome(out, version, outcome)?;
        }
        if flexible {
            put::uvarint(out, 0);
        }
    }
    out.put_i32(throttle_time_ms);
    if flexible {
        put::uvarint(out, 0);
    }
    Ok(())
}

fn put_outcome(out: &mut BytesMut, version: i16, outcome: &Outcome) -> Result<(), EncodeError> {
    let flexible = version >= FLEXIBLE;
    out.put_i32(outcome.index);
    out.put_i16(outcome.error_code);
    out.put_i64(outcome.base_offset);
    out.put_i64(outcome.log_append_time_ms);
    if version >= 5 {
        out.put_i64(outcome.log_start_offset);
    }
    if version >= 8 {
        put::length(out, flexible, outcome.record_errors.len())?;
        for (index, message) in &outcome.record_errors {
            out.put_i32(*index);
            put::nullable_string(out, flexible, true, Some(message))?;
            if flexible {
                put::uvarint(out, 0);
            }
        }
        put::nullable_string(out, flexible, true, outcome.error_message.as_ref())?;
    }
    if flexible {
        put::uvarint(out, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use crate::messages::produce_response::{
        BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
    };
    use crate::messages::{ProduceRequest, ProduceResponse};

    fn generated_request() -> ProduceRequest {
        let part = |index: i32, records: Option<&'static [u8]>| PartitionProduceData {
            index,
            records: records.map(Bytes::from_static),
        };
        let topic = |name: &str, partition_data| TopicProduceData {
            name: name.into(),
            topic_id: Uuid::from_u128(7),
            partition_data,
        };
        ProduceRequest {
            transactional_id: Some("t".into()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![
                topic("orders", vec![part(0, Some(b"abc")), part(3, None)]),
                topic("none", vec![]),
                topic("bills", vec![part(1, Some(b""))]),
            ],
        }
    }

    #[test]
    fn every_version_is_read_as_the_table_says() {
        for version in VERSIONS {
            let mut out = BytesMut::new();
            generated_request().encode(&mut out, version).unwrap();
            let mut decoder = Decoder::new(out.freeze());
            let body = decoder.rest().clone();
            let request = Request::decode(&mut decoder, version).unwrap();
            assert!(decoder.is_empty(), "version {version}");
            assert_eq!((elements(&body, version, 100), decoder.elements()), (6, 6));
            for max in 0..6 {
                assert_eq!(elements(&body, version, max), max + 1, "version {version}");
                let mut decoder = Decoder::new(body.clone()).with_elements_max(max);
                let refused = Request::decode(&mut decoder, version);
                assert_eq!(refused, Err(DecodeError::Elements), "version {version}");
            }
            assert_eq!((request.acks, request.timeout_ms), (-1, 30_000));
            let lengths: Vec<_> = request.topics.iter().map(|t| t.partitions).collect();
            assert_eq!(lengths, [2, 0, 1]);
            let parts: Vec<_> = request
                .parts
                .iter()
                .map(|p| (p.topic, p.index, p.records.as_deref()))
                .collect();
            assert_eq!(
                parts,
                [
                    (0, 0, Some(&b"abc"[..])),
                    (0, 3, None),
                    (2, 1, Some(&b""[..]))
                ]
            );
            let names = if version < 13 { "orders" } else { "" };
            assert_eq!(request.topics[0].name, names);
        }
    }

    #[test]
    fn small_partitions_are_counted_before_there_is_memory_for_them() {
        // Version 9: one topic `a` with a thousand partitions of six bytes each.
        let mut body = vec![0, 0xff, 0xff, 0, 0, 0, 1, 2, 2, b'a', 0xe9, 7];
        for index in 0..1000_u32 {
            body.extend_from_slice(&index.to_be_bytes());
            body.extend_from_slice(&[0, 0]);
        }
        body.extend_from_slice(&[0, 0]);
        let body = Bytes::from(body);
        let decode =
            |max: usize| Request::decode(&mut Decoder::new(body.clone()).with_elements_max(max), 9);
        assert_eq!(decode(1001).map(|request| request.parts.len()), Ok(1000));
        assert_eq!(decode(1000), Err(DecodeError::Elements));
        assert_eq!(elements(&body, 9, 500), 501, "it does not count on");
    }

    #[test]
    fn every_version_is_written_as_the_table_says() {
        let topic = |name: &str, partitions| Topic {
            name: name.into(),
            id: Uuid::from_u128(7),
            partitions,
        };
        let outcome = |index, error_code| Outcome {
            index,
            error_code,
            base_offset: 5,
            log_append_time_ms: -1,
            log_start_offset: 2,
            record_errors: (error_code != 0)
                .then(|| (4, "bad".into()))
                .into_iter()
                .collect(),
            error_message: (error_code != 0).then(|| "worse".into()),
        };
        let response = |outcome: &Outcome| PartitionProduceResponse {
            index: outcome.index,
            error_code: outcome.error_code,
            base_offset: 5,
            log_append_time_ms: -1,
            log_start_offset: 2,
            record_errors: outcome
                .record_errors
                .iter()
                .map(|(index, message)| BatchIndexAndErrorMessage {
                    batch_index: *index,
                    batch_index_error_message: Some(message.clone()),
                })
                .collect(),
            error_message: outcome.error_message.clone(),
            ..PartitionProduceResponse::default()
        };
        let outcomes = [outcome(0, 0), outcome(1, 87)];
        for version in VERSIONS {
            let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
            put_response(
                &mut ours,
                version,
                &[topic("a", 2), topic("b", 0)],
                &outcomes,
                9,
            )
            .unwrap();
            let whole = ProduceResponse {
                responses: ["a", "b"]
                    .into_iter()
                    .map(|name| TopicProduceResponse {
                        name: name.into(),
                        topic_id: Uuid::from_u128(7),
                        partition_responses: outcomes
                            .iter()
                            .filter(|_| name == "a")
                            .map(response)
                            .collect(),
                    })
                    .collect(),
                throttle_time_ms: 9,
                ..ProduceResponse::default()
            };
            whole.encode(&mut theirs, version).unwrap();
            assert_eq!(ours, theirs, "version {version}");
        }
    }
}
