//! Clients that make up names: of groups, members, instances, transactions, topics.

use kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::{ApiKey, messages as m};

use super::neighbour::{answer, frame};
use super::*;

fn join(group: String, instance: Option<String>, metadata: usize) -> Vec<u8> {
    let request = m::JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 1_800_000,
        group_instance_id: instance.map(Into::into),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: vec![0; metadata].into(),
        }],
        ..Default::default()
    };
    frame(ApiKey::JoinGroup, 5, |out| request.encode(out, 5))
}

fn commit(group: String) -> Vec<u8> {
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let request = m::OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "orders".into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 1,
                committed_metadata: Some("x".repeat(4000).into()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    frame(ApiKey::OffsetCommit, 7, |out| request.encode(out, 7))
}

/// Sends each and reads its answer.
fn say(server: &Server, requests: impl Iterator<Item = Vec<u8>>) {
    let mut socket = TcpStream::connect(server.kafka).unwrap();
    for request in requests {
        socket.write_all(&request).unwrap();
        answer(&mut socket, false).expect("it is answered");
    }
}

#[test]
fn groups_and_members_with_made_up_names_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    let long = "x".repeat(10_000);
    // Ids are given out, and never used.
    say(
        &server,
        (0..5000).map(|at| join(format!("{at}{long}"), None, 0)),
    );
    neighbour.is_well(&server, 20);
    say(&server, (0..20_000).map(|at| commit(format!("{at}{long}"))));
    neighbour.is_well(&server, 20);
}

#[test]
fn giant_subscriptions_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    // The joins wait: their connections stay.
    let mut sockets = Vec::new();
    for at in 0..100 {
        let group = format!("g{at}");
        let instance = Some("i".to_owned());
        sockets.extend(crowd(&server, 1, &join(group, instance, 4 << 20)));
        if at % 10 == 0 {
            neighbour.is_well(&server, 10);
        }
    }
    neighbour.is_well(&server, 50);
}

#[test]
fn transactions_topics_and_sessions_with_made_up_names_hurt_nobody_else() {
    let server = server(&[("TOPICS__TOPICS_MAX", "200")]);
    let mut neighbour = Neighbour::new(&server);
    let transaction = |at: usize| {
        let request = m::InitProducerIdRequest {
            transactional_id: Some(format!("{at}{}", "x".repeat(10_000)).into()),
            transaction_timeout_ms: 1000,
            ..Default::default()
        };
        frame(ApiKey::InitProducerId, 1, |out| request.encode(out, 1))
    };
    say(&server, (0..5000).map(transaction));
    neighbour.is_well(&server, 10);
    let topic = |at: usize| {
        let request = m::MetadataRequest {
            topics: Some(vec![m::metadata_request::MetadataRequestTopic {
                name: Some(format!("topic-{at}").into()),
                ..Default::default()
            }]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        frame(ApiKey::Metadata, 8, |out| request.encode(out, 8))
    };
    say(&server, (0..1000).map(topic));
    neighbour.is_well(&server, 10);
    let session = |at: usize| {
        use m::fetch_request::{FetchPartition, FetchTopic};
        let partition = |partition| FetchPartition {
            partition,
            ..Default::default()
        };
        let topic = |n: usize| FetchTopic {
            topic: format!("{at}-{n}-{}", "x".repeat(10_000)).into(),
            partitions: vec![partition(0)],
            ..Default::default()
        };
        let request = m::FetchRequest {
            max_bytes: 1,
            session_epoch: 0,
            topics: (0..100).map(topic).collect(),
            ..Default::default()
        };
        frame(ApiKey::Fetch, 11, |out| request.encode(out, 11))
    };
    say(&server, (0..2000).map(session));
    neighbour.is_well(&server, 10);
}
