//! The produce request by hand against the generated one: both take the same bytes and find the
//! same in them. The first byte chooses the version.

use bytes::{Bytes, BytesMut};
use kafka_wire::messages::ProduceRequest;
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::{DecodeError, Decoder, produce};
use uuid::Uuid;

/// A partition of either.
type Flat = (Vec<u8>, Uuid, i32, Option<Bytes>);

/// Plays one input.
pub fn run(data: &[u8]) {
    let [version, body @ ..] = data else { return };
    let version = 3 + i16::from(*version) % 11;
    let body = Bytes::copy_from_slice(body);
    let (mut ours, mut theirs) = (Decoder::new(body.clone()), Decoder::new(body.clone()));
    let by_hand = produce::Request::decode(&mut ours, version);
    let generated = ProduceRequest::decode(&mut theirs, version);
    match (by_hand, generated) {
        (Ok(by_hand), Ok(generated)) => {
            assert_eq!(ours.rest(), theirs.rest());
            assert_eq!(ours.elements(), theirs.elements());
            let counted = produce::elements(&body, version, usize::MAX);
            assert_eq!(counted, ours.elements());
            assert_eq!(by_hand.transactional_id, generated.transactional_id);
            assert_eq!(by_hand.acks, generated.acks);
            assert_eq!(by_hand.timeout_ms, generated.timeout_ms);
            assert_eq!(flat(&by_hand), flat_generated(&generated));
        }
        // Their structures differ in size, and so in when there are too many of them.
        (Err(DecodeError::TooMany), _) | (_, Err(DecodeError::TooMany)) => {}
        (by_hand, generated) => {
            assert_eq!(by_hand.err(), generated.err());
        }
    }
}

fn flat(request: &produce::Request) -> Vec<Flat> {
    let parts = request.parts.iter();
    parts
        .map(|part| {
            let topic = &request.topics[part.topic];
            (
                topic.name.as_str().into(),
                topic.id,
                part.index,
                part.records.clone(),
            )
        })
        .collect()
}

fn flat_generated(request: &ProduceRequest) -> Vec<Flat> {
    let topics = request.topic_data.iter();
    topics
        .flat_map(|topic| {
            topic.partition_data.iter().map(|part| {
                (
                    topic.name.as_str().into(),
                    topic.topic_id,
                    part.index,
                    part.records.clone(),
                )
            })
        })
        .collect()
}

/// A request of three topics in each version.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let part = |index, records: Option<&'static [u8]>| PartitionProduceData {
        index,
        records: records.map(Bytes::from_static),
    };
    let topic = |name: &str, partition_data| TopicProduceData {
        name: name.into(),
        topic_id: Uuid::from_u128(7),
        partition_data,
    };
    let request = ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![
            topic("orders", vec![part(0, Some(b"abc")), part(3, None)]),
            topic("none", vec![]),
            topic("bills", vec![part(1, Some(b""))]),
        ],
    };
    let encode = |version: i16| {
        let mut out = BytesMut::from(&[u8::try_from(version - 3).unwrap()][..]);
        request.encode(&mut out, version).unwrap();
        out.to_vec()
    };
    produce::VERSIONS.map(encode).collect()
}
