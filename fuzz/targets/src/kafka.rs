//! A Kafka client that sends anything: the session either answers or ends the connection. Frames
//! are played one after the other against a real engine; its time jumps over what would be waited
//! for.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use head_kafka::{Config, Kafka, KafkaSession};
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::{ApiKey, RequestHeader, messages as m};
use net::head::{Close, Head, Lane, Peer};
use net::testing::{Asked, Script};
use store::batch::Compression;

use crate::batch;
use crate::engine::Engine;

/// The most that a session may answer to one input: an input of 64 KiB asks for nothing larger.
const OUTPUT_MAX: usize = 64 << 20;

thread_local! {
    static HEAD: RefCell<Option<(Engine, Kafka)>> = const { RefCell::new(None) };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    HEAD.with_borrow_mut(|head| {
        let (engine, kafka) = head.get_or_insert_with(|| open(Config::default()));
        let _ = play(engine, kafka, data);
    });
}

/// A head over an engine of its own.
#[must_use]
pub fn open(config: Config) -> (Engine, Kafka) {
    let engine = Engine::new(true);
    let kafka = Kafka::new(
        config,
        engine.broker.clone(),
        engine.rng.clone(),
        &engine.metrics,
    );
    (engine, kafka.unwrap())
}

/// Plays the bytes of one connection; how it ended, if it did, and what was answered.
pub fn play(engine: &Engine, kafka: &Kafka, bytes: &[u8]) -> (Option<Close>, Vec<u8>) {
    let now = engine.clock.now();
    let mut script = Script::new(kafka.open(now, &Peer::loopback()), now);
    script.push(bytes);
    let end = engine.runtime.block_on(converse(kafka, &mut script));
    let end = end.err();
    // A held back refusal comes when its time has come.
    let late = script.advance(std::time::Duration::from_secs(1)).err();
    let output = script.output();
    assert!(
        output.len() <= OUTPUT_MAX,
        "{} bytes answered",
        output.len()
    );
    (end.or(late), output)
}

async fn converse(kafka: &Kafka, script: &mut Script<KafkaSession>) -> Result<(), Close> {
    while let Some(asked) = script.next_asked()? {
        if let Asked::Call(lane, call) = asked {
            answer(kafka, script, lane, call).await?;
        }
    }
    Ok(())
}

async fn answer(
    kafka: &Kafka,
    script: &mut Script<KafkaSession>,
    lane: Lane,
    call: head_kafka::Call,
) -> Result<(), Close> {
    let mut replies = std::pin::pin!(kafka.call(call));
    while let Some(reply) = replies.next().await {
        script.reply(lane, reply)?;
    }
    script.end_call();
    Ok(())
}

/// A frame around a body.
#[must_use]
pub fn frame(key: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let header = RequestHeader {
        api_key: key.number(),
        api_version: version,
        correlation_id: 7,
        client_id: Some("fuzz".into()),
    };
    let mut out = BytesMut::new();
    header.encode(&mut out).unwrap();
    out.extend_from_slice(body);
    let length = u32::try_from(out.len()).unwrap().to_be_bytes();
    [&length[..], &out].concat()
}

macro_rules! request {
    ($key:ident, $name:ident, $version:literal, $($field:ident: $value:expr),*) => {{
        #[allow(clippy::needless_update, reason = "some have no other fields")]
        let request = m::$name { $($field: $value,)* ..m::$name::default() };
        let mut body = BytesMut::new();
        request.encode(&mut body, $version).unwrap();
        frame(ApiKey::$key, $version, &body)
    }};
}

/// What a producer and a consumer say, together and request by request, and an empty request of
/// each kind in its newest version.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let frames = conversation();
    let mut seeds = vec![frames.concat()];
    seeds.extend(frames);
    for api in head_kafka::handlers::APIS {
        for version in [api.min.max(3).min(api.max), api.max] {
            for body in [
                &[0; 40][..],
                &[1; 60],
                &[0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 0],
            ] {
                seeds.push(frame(api.key, version, body));
            }
        }
    }
    seeds
}

fn conversation() -> Vec<Vec<u8>> {
    let part = |records: Bytes| PartitionProduceData {
        index: 0,
        records: Some(records),
    };
    let topic = |records| TopicProduceData {
        name: "orders".into(),
        partition_data: vec![part(records)],
        ..TopicProduceData::default()
    };
    let fetched = FetchTopic {
        topic: "orders".into(),
        partitions: vec![FetchPartition {
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        }],
        ..FetchTopic::default()
    };
    let produce = |codec| {
        request!(Produce, ProduceRequest, 9, acks: -1, timeout_ms: 1000,
            topic_data: vec![topic(batch::example(0, 5, codec))])
    };
    vec![
        request!(ApiVersions, ApiVersionsRequest, 3, client_software_name: "fuzz".into(),
            client_software_version: "1".into()),
        request!(Metadata, MetadataRequest, 12, topics: None),
        request!(InitProducerId, InitProducerIdRequest, 4, transaction_timeout_ms: 1000),
        produce(Compression::None),
        produce(Compression::Zstd),
        request!(Fetch, FetchRequest, 12, max_wait_ms: 10, min_bytes: 1, max_bytes: 1 << 20,
            topics: vec![fetched]),
        request!(FindCoordinator, FindCoordinatorRequest, 4, coordinator_keys: vec!["g".into()]),
        request!(JoinGroup, JoinGroupRequest, 5, group_id: "g".into(), session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000, protocol_type: "consumer".into()),
        request!(Heartbeat, HeartbeatRequest, 3, group_id: "g".into(), generation_id: 1),
        request!(OffsetCommit, OffsetCommitRequest, 8, group_id: "g".into()),
        request!(OffsetFetch, OffsetFetchRequest, 7, group_id: "g".into(), topics: None),
        request!(ListGroups, ListGroupsRequest, 4,),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_answered() {
        let (engine, kafka) = open(Config::default());
        let frames = conversation();
        let (end, output) = play(&engine, &kafka, &frames.concat());
        assert_eq!(end, None);
        let mut rest = &output[..];
        let mut answers = 0;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            rest = &after[u32::from_be_bytes(*length) as usize..];
            answers += 1;
        }
        assert_eq!(answers, frames.len());
    }
}
