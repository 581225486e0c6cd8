//! Offsets by their time, by name, and by the leader that wrote them.

use kafka_wire::ErrorCode;
use kafka_wire::messages as m;
use kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use super::harness::{Client, Server, Settings, on_server, run};
use super::messages::{produce, timed};

/// Code, offset and timestamp of what `timestamp` asks for.
async fn at(client: &mut Client, version: i16, timestamp: i64) -> (i16, i64, i64) {
    let told = ask(client, version, timestamp, -1).await;
    (told.0, told.1, told.2)
}

async fn ask(
    client: &mut Client,
    version: i16,
    timestamp: i64,
    believed: i32,
) -> (i16, i64, i64, i32) {
    let request = m::ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "orders".into(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: believed,
                timestamp,
            }],
        }],
        ..Default::default()
    };
    let answer = client.ask(version, request).await;
    let told = &answer.topics[0].partitions[0];
    (
        told.error_code,
        told.offset,
        told.timestamp,
        told.leader_epoch,
    )
}

async fn append(client: &mut Client, times: &[i64]) {
    let answer = client.ask(9, produce("orders", 0, timed(times))).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn both_ends_are_known_in_every_version() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        append(&mut client, &[100, 200, 300]).await;
        for version in 1..=10 {
            assert_eq!(at(&mut client, version, -1).await, (0, 3, -1));
            assert_eq!(at(&mut client, version, -2).await, (0, 0, -1));
        }
    });
}

#[test]
fn a_time_finds_the_first_record_that_is_not_older() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        // Times need not rise, within a batch or from batch to batch.
        append(&mut client, &[100, 300, 200]).await;
        append(&mut client, &[150, 400]).await;
        for (time, offset, found) in [
            (0, 0, 100),
            (100, 0, 100),
            (101, 1, 300),
            (300, 1, 300),
            (301, 4, 400),
        ] {
            assert_eq!(at(&mut client, 5, time).await, (0, offset, found), "{time}");
        }
        assert_eq!(at(&mut client, 5, 401).await, (0, -1, -1));
    });
}

#[test]
fn a_special_time_is_known_from_its_version_on() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        assert_eq!(
            at(&mut client, 7, -3).await,
            (0, -1, -1),
            "nothing is there yet"
        );
        append(&mut client, &[100, 300, 200]).await;
        let unsupported = (ErrorCode::UnsupportedVersion.code(), -1, -1);
        for (time, since, told) in [
            (-3, 7, (0, 1, 300)),
            (-4, 8, (0, 0, -1)),
            (-5, 9, (0, -1, -1)),
            (-6, 11, (0, 0, 0)),
        ] {
            for version in 1..=10 {
                let expected = if version < since { unsupported } else { told };
                assert_eq!(
                    at(&mut client, version, time).await,
                    expected,
                    "{time} {version}"
                );
            }
        }
    });
}

#[test]
fn unknown_topics_and_partitions_have_no_positions() {
    on_server(async |server| {
        let told = at(&mut server.client(), 5, -1).await;
        assert_eq!(told, (ErrorCode::UnknownTopicOrPartition.code(), -1, -1));
    });
}

#[test]
fn a_positions_epoch_is_that_of_its_record() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in 0..3_i32 {
        run(
            folder.path(),
            Settings::default(),
            async |server: &Server| {
                let mut client = server.client();
                if epoch == 0 {
                    server.topic("orders", 1, &[]).await;
                }
                let time = 100 * (i64::from(epoch) + 1);
                append(&mut client, &[time, time + 1]).await;
                if epoch < 2 {
                    return;
                }
                assert_eq!(ask(&mut client, 5, 100, -1).await, (0, 0, 100, 0));
                assert_eq!(ask(&mut client, 5, 201, -1).await, (0, 3, 201, 1));
                assert_eq!(ask(&mut client, 5, -1, -1).await, (0, 6, -1, 2));
                assert_eq!(ask(&mut client, 5, -2, -1).await, (0, 0, -1, 0));
                assert_eq!(ask(&mut client, 7, -3, -1).await, (0, 5, 301, 2));
                let fenced = ErrorCode::FencedLeaderEpoch.code();
                assert_eq!(ask(&mut client, 5, -1, 1).await, (fenced, -1, -1, -1));
                let unknown = ErrorCode::UnknownLeaderEpoch.code();
                assert_eq!(ask(&mut client, 5, -1, 3).await, (unknown, -1, -1, -1));

                let mut end = async |asked: i32, believed: i32| {
                    let request = m::OffsetForLeaderEpochRequest {
                        replica_id: -1,
                        topics: vec![OffsetForLeaderTopic {
                            topic: "orders".into(),
                            partitions: vec![OffsetForLeaderPartition {
                                partition: 0,
                                current_leader_epoch: believed,
                                leader_epoch: asked,
                            }],
                        }],
                    };
                    let mut told = Vec::new();
                    for version in 2..=4 {
                        let answer = client.ask(version, request.clone()).await;
                        let one = &answer.topics[0].partitions[0];
                        told.push((one.error_code, one.leader_epoch, one.end_offset));
                    }
                    told.dedup();
                    told
                };
                assert_eq!(end(0, -1).await, [(0, 0, 2)]);
                assert_eq!(end(1, 2).await, [(0, 1, 4)]);
                assert_eq!(end(2, -1).await, [(0, 2, 6)]);
                assert_eq!(end(3, -1).await, [(0, -1, -1)], "not yet");
                assert_eq!(end(-1, -1).await, [(0, -1, -1)], "never");
                assert_eq!(end(0, 1).await, [(fenced, -1, -1)]);
                assert_eq!(end(0, 3).await, [(unknown, -1, -1)]);
            },
        );
    }
}
