//! Well-formed requests that ask for much more than they are.

use ::bytes::Bytes;
use kafka_wire::{ApiKey, messages as m};

use super::neighbour::{answer, frame};
use super::*;

/// As many elements as a request may have, nearly.
const MANY: usize = 99_000;

/// A thousand partitions, and what there is to ask about each.
fn server_with_much() -> Server {
    let server = server(&[]);
    server.create_topic("wide", 1000);
    server
}

/// Each of the crowd asks five times and reads nothing; then one asks and reads what there is.
fn asks_hurt_nobody_else(server: &Server, request: &[u8]) {
    let mut neighbour = Neighbour::new(server);
    for _ in 0..3 {
        let sockets = crowd(server, 30, &request.repeat(5));
        neighbour.is_well(server, 30);
        drop(sockets);
    }
    let mut socket = TcpStream::connect(server.kafka).unwrap();
    let _ = socket.write_all(request);
    // It may have been hung up on.
    let _ = answer(&mut socket, false);
    neighbour.is_well(server, 5);
}

fn metadata(names: usize) -> Vec<u8> {
    let topic = m::metadata_request::MetadataRequestTopic {
        name: Some("wide".into()),
        ..Default::default()
    };
    let request = m::MetadataRequest {
        topics: Some(vec![topic; names]),
        ..Default::default()
    };
    frame(ApiKey::Metadata, 1, |out| request.encode(out, 1))
}

#[test]
fn a_topic_named_again_and_again_hurts_nobody_else() {
    let server = server_with_much();
    asks_hurt_nobody_else(&server, &metadata(10_900));
    asks_hurt_nobody_else(&server, &metadata(1_300_000));
    let all = m::MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let all = frame(ApiKey::Metadata, 1, |out| all.encode(out, 1));
    asks_hurt_nobody_else(&server, &all.repeat(50));
}

#[test]
fn settings_asked_for_again_and_again_hurt_nobody_else() {
    let server = server_with_much();
    for count in [1000, MANY, 700_000] {
        let resource = m::describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: "wide".into(),
            configuration_keys: None,
        };
        let request = m::DescribeConfigsRequest {
            resources: vec![resource; count],
            include_synonyms: true,
            ..Default::default()
        };
        let request = frame(ApiKey::DescribeConfigs, 1, |out| request.encode(out, 1));
        asks_hurt_nobody_else(&server, &request);
    }
    let creatable = |at: usize| m::create_topics_request::CreatableTopic {
        name: format!("t{at}").into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = m::CreateTopicsRequest {
        topics: (0..MANY).map(creatable).collect(),
        validate_only: true,
        ..Default::default()
    };
    let request = frame(ApiKey::CreateTopics, 5, |out| request.encode(out, 5));
    asks_hurt_nobody_else(&server, &request);
}

#[test]
fn partitions_and_groups_asked_about_again_and_again_hurt_nobody_else() {
    let server = server_with_much();
    let topic = |name: String| m::describe_producers_request::TopicRequest {
        name: name.into(),
        partition_indexes: vec![0; MANY],
    };
    for name in ["wide".to_owned(), "x".repeat(4 << 20)] {
        let request = m::DescribeProducersRequest {
            topics: vec![topic(name)],
        };
        let request = frame(ApiKey::DescribeProducers, 0, |out| request.encode(out, 0));
        asks_hurt_nobody_else(&server, &request);
    }
    let group = m::offset_fetch_request::OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: None,
        ..Default::default()
    };
    let request = m::OffsetFetchRequest {
        groups: vec![group; MANY],
        ..Default::default()
    };
    let request = frame(ApiKey::OffsetFetch, 8, |out| request.encode(out, 8));
    asks_hurt_nobody_else(&server, &request);
    let log_dirs = m::describe_log_dirs_request::DescribableLogDirTopic {
        topic: "wide".into(),
        partitions: (0..1000).cycle().take(MANY).collect(),
    };
    let request = m::DescribeLogDirsRequest {
        topics: Some(vec![log_dirs]),
    };
    let request = frame(ApiKey::DescribeLogDirs, 1, |out| request.encode(out, 1));
    asks_hurt_nobody_else(&server, &request);
}

#[test]
fn produces_of_a_million_nothings_hurt_nobody_else() {
    let server = server_with_much();
    let part = m::produce_request::PartitionProduceData {
        index: 0,
        records: Some(Bytes::new()),
    };
    for count in [MANY, 2_000_000] {
        let request = m::ProduceRequest {
            acks: -1,
            topic_data: vec![m::produce_request::TopicProduceData {
                name: "wide".into(),
                partition_data: vec![part.clone(); count],
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = frame(ApiKey::Produce, 9, |out| request.encode(out, 9));
        let mut neighbour = Neighbour::new(&server);
        let sockets = crowd(&server, 10, &request);
        neighbour.is_well(&server, 50);
        drop(sockets);
    }
}

#[test]
fn long_waits_for_much_hurt_nobody_else() {
    use m::fetch_request::{FetchPartition, FetchTopic};
    let server = server_with_much();
    let idle = FetchTopic {
        topic: "wide".into(),
        partitions: (0..1000)
            .cycle()
            .take(50_000)
            .map(|partition| FetchPartition {
                partition,
                partition_max_bytes: 1 << 20,
                current_leader_epoch: -1,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let request = m::FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: i32::MAX,
        max_bytes: i32::MAX,
        session_epoch: -1,
        topics: vec![idle],
        ..Default::default()
    };
    let request = frame(ApiKey::Fetch, 11, |out| request.encode(out, 11));
    let mut neighbour = Neighbour::new(&server);
    let sockets = crowd(&server, 60, &request);
    neighbour.is_well(&server, 100);
    drop(sockets);
}
