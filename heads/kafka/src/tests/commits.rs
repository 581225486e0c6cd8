//! Committed offsets: who may commit, what is kept and for how long, and the records that others
//! read them from.

use std::time::Duration;

use bytes::Bytes;
use kafka_wire::messages as m;
use kafka_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_wire::{ErrorCode, Str};
use net::head::Close;
use store::batch::{self as format, BatchHeader, HEADER_LEN};

use super::groups::{enter, join, prompt, sync};
use super::harness::{Client, START_MS, Server, Settings, on_server, run, with};
use super::messages::fetch;

const DAY: Duration = Duration::from_secs(86_400);

/// A commit for `orders`, by nobody in particular.
fn commit(partition: i32, offset: i64, metadata: &str) -> m::OffsetCommitRequest {
    m::OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "orders".into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(metadata.into()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn committed(client: &mut Client, version: i16, request: m::OffsetCommitRequest) -> i16 {
    client.ask(version, request).await.topics[0].partitions[0].error_code
}

fn wanted(partitions: Vec<i32>) -> OffsetFetchRequestTopic {
    OffsetFetchRequestTopic {
        name: "orders".into(),
        partition_indexes: partitions,
    }
}

/// Offset, epoch and metadata of what `g` has for partition 0 of `orders`.
async fn found(client: &mut Client) -> (i64, i32, Option<Str>) {
    let request = m::OffsetFetchRequest {
        group_id: "g".into(),
        topics: Some(vec![wanted(vec![0])]),
        ..Default::default()
    };
    let answer = client.ask(5, request).await;
    let told = &answer.topics[0].partitions[0];
    (
        told.committed_offset,
        told.committed_leader_epoch,
        told.metadata.clone(),
    )
}

#[test]
fn what_is_committed_is_found_in_every_version() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        for version in 2..=9 {
            let offset = i64::from(version);
            assert_eq!(
                committed(&mut client, version, commit(0, offset, "note")).await,
                0
            );
            assert_eq!(found(&mut client).await, (offset, -1, Some("note".into())));
        }
        for version in 1..=7 {
            let request = m::OffsetFetchRequest {
                group_id: "g".into(),
                topics: Some(vec![wanted(vec![0, 1, 7])]),
                ..Default::default()
            };
            let answer = client.ask(version, request).await;
            assert_eq!(answer.error_code, 0);
            let told: Vec<_> = answer.topics[0]
                .partitions
                .iter()
                .map(|p| (p.committed_offset, p.metadata.clone(), p.error_code))
                .collect();
            let none = (-1, Some(Str::default()), 0);
            assert_eq!(told, [(9, Some("note".into()), 0), none.clone(), none]);
        }
    });
}

/// Consumers that belong to no group commit under no name, since before groups had members.
#[test]
fn a_group_without_a_name_keeps_offsets_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let nameless = || m::OffsetCommitRequest {
        group_id: Str::default(),
        ..commit(0, 5, "note")
    };
    run(folder.path(), Settings::default(), async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for version in 2..=9 {
            assert_eq!(committed(&mut client, version, nameless()).await, 0);
        }
        let member = m::OffsetCommitRequest {
            generation_id_or_member_epoch: 1,
            ..nameless()
        };
        let told = committed(&mut client, 7, member).await;
        assert_eq!(told, ErrorCode::UnknownMemberId.code());
    });
    run(folder.path(), Settings::default(), async |server| {
        let mut client = server.client();
        let asked = || m::OffsetFetchRequest {
            topics: Some(vec![wanted(vec![0])]),
            ..Default::default()
        };
        let answer = client.ask(5, asked()).await;
        assert_eq!(answer.topics[0].partitions[0].committed_offset, 5);
        let request = m::DescribeGroupsRequest {
            groups: vec![Str::default()],
            ..Default::default()
        };
        let answer = client.ask(5, request).await;
        assert_eq!(answer.groups[0].group_state, "Empty");
        let answer = client.ask(0, m::OffsetDeleteRequest::default()).await;
        assert_eq!(answer.error_code, ErrorCode::InvalidGroupId.code());
        let request = m::DeleteGroupsRequest {
            groups_names: vec![Str::default()],
        };
        assert_eq!(client.ask(2, request).await.results[0].error_code, 0);
        let answer = client.ask(5, asked()).await;
        assert_eq!(answer.topics[0].partitions[0].committed_offset, -1);
    });
}

/// It could not be told from others once it is written: its length has 16 bits there.
#[test]
fn a_groups_name_is_not_longer_than_it_can_be_written() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for (length, code) in [(32_767, 0), (32_768, ErrorCode::InvalidGroupId.code())] {
            let request = m::OffsetCommitRequest {
                group_id: "x".repeat(length).into(),
                ..commit(0, 5, "note")
            };
            assert_eq!(committed(&mut client, 8, request).await, code, "{length}");
        }
    });
}

#[test]
fn many_groups_are_asked_about_at_once_from_version_8_on() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        committed(&mut client, 8, commit(0, 5, "")).await;
        let group = |id: &'static str, all: bool| OffsetFetchRequestGroup {
            group_id: id.into(),
            topics: (!all).then(|| {
                vec![OffsetFetchRequestTopics {
                    name: "orders".into(),
                    partition_indexes: vec![0],
                    ..Default::default()
                }]
            }),
            ..Default::default()
        };
        for version in [8, 9] {
            let request = m::OffsetFetchRequest {
                groups: vec![group("g", true), group("none", true), group("none", false)],
                require_stable: true,
                ..Default::default()
            };
            let answer = client.ask(version, request).await;
            let offsets = |at: usize| -> Vec<i64> {
                let topics = answer.groups[at].topics.iter();
                topics
                    .flat_map(|t| &t.partitions)
                    .map(|p| p.committed_offset)
                    .collect()
            };
            assert_eq!(
                (offsets(0), offsets(1), offsets(2)),
                (vec![5], vec![], vec![-1])
            );
            assert!(answer.groups.iter().all(|group| group.error_code == 0));
        }
    });
}

#[test]
fn all_offsets_are_asked_for_by_null_from_version_2_on() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        committed(&mut client, 2, commit(0, 5, "")).await;
        let all = m::OffsetFetchRequest {
            group_id: "g".into(),
            topics: None,
            ..Default::default()
        };
        assert_eq!(client.ask(2, all).await.topics.len(), 1);
        let none = m::OffsetFetchRequest {
            group_id: "g".into(),
            topics: Some(vec![]),
            ..Default::default()
        };
        assert_eq!(client.ask(2, none).await.topics.len(), 0);
        // Version 1 has no null: the body is a name and the length -1.
        client.send_frame(9, 1, b"\0\x01g\xff\xff\xff\xff").unwrap();
        assert!(matches!(client.bytes().await, Err(Close::Protocol(_))));
    });
}

#[test]
fn metadata_comes_back_byte_for_byte_up_to_its_limit() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let longest = "ä".repeat(2048);
        assert_eq!(committed(&mut client, 8, commit(0, 1, &longest)).await, 0);
        assert_eq!(found(&mut client).await, (1, -1, Some(longest.into())));
        let longer = "x".repeat(4097);
        let code = committed(&mut client, 8, commit(0, 2, &longer)).await;
        assert_eq!(code, ErrorCode::OffsetMetadataTooLarge.code());
        assert_eq!(found(&mut client).await.0, 1);
        let mut without = commit(0, 3, "");
        without.topics[0].partitions[0].committed_metadata = None;
        assert_eq!(committed(&mut client, 8, without).await, 0);
        assert_eq!(found(&mut client).await, (3, -1, Some(Str::default())));
    });
}

#[test]
fn unknown_partitions_fail_alone() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut request = commit(0, 5, "");
        request.topics.extend(commit(1, 5, "").topics);
        request.topics.extend(commit(0, 5, "").topics);
        request.topics[2].name = "none".into();
        let answer = server.client().ask(8, request).await;
        let told: Vec<_> = answer
            .topics
            .iter()
            .map(|t| t.partitions[0].error_code)
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(told, [0, unknown, unknown]);
    });
}

#[test]
fn members_commit_in_their_generation_and_others_not_at_all() {
    with(prompt(), async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let joined = enter(&mut client, 5).await;
        let id = joined.member_id.clone();
        let by = |member: &Str, generation: i32| m::OffsetCommitRequest {
            member_id: member.clone(),
            generation_id_or_member_epoch: generation,
            ..commit(0, 5, "")
        };
        let again = ErrorCode::RebalanceInProgress.code();
        assert_eq!(
            committed(&mut client, 7, by(&id, 1)).await,
            again,
            "not shared out yet"
        );
        client.ask(3, sync(&id, 1, &[])).await;
        for (member, generation, code) in [
            (&id, 1, 0),
            (&id, 2, ErrorCode::IllegalGeneration.code()),
            (&"nobody".into(), 1, ErrorCode::UnknownMemberId.code()),
            (&Str::default(), -1, ErrorCode::UnknownMemberId.code()),
        ] {
            assert_eq!(
                committed(&mut client, 7, by(member, generation)).await,
                code
            );
        }
        let mut stranger = by(&id, 1);
        stranger.group_instance_id = Some("a".into());
        let unknown = ErrorCode::UnknownMemberId.code();
        assert_eq!(committed(&mut client, 7, stranger).await, unknown);
        let mut nowhere = by(&id, 1);
        nowhere.group_id = "none".into();
        let code = committed(&mut client, 7, nowhere).await;
        assert_eq!(code, ErrorCode::IllegalGeneration.code());
    });
}

/// Strings of Kafka's old form: a length of two bytes, then the bytes.
fn text(text: &str) -> Vec<u8> {
    let mut out = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

/// Keys and values of all records in `__consumer_offsets`.
async fn records(client: &mut Client) -> Vec<(Bytes, Option<Bytes>)> {
    let answer = client.ask(12, fetch("__consumer_offsets", 0, 0)).await;
    let mut rest = answer.responses[0].partitions[0].records.clone().unwrap();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::parse(&rest).unwrap();
        let batch = rest.split_to(header.total_len());
        for record in format::records(&batch[HEADER_LEN..]).map(Result::unwrap) {
            let copy = Bytes::copy_from_slice;
            all.push((copy(record.key.unwrap()), record.value.map(copy)));
        }
    }
    all
}

#[test]
fn commits_are_records_in_the_form_that_lag_tools_read() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        let mut request = commit(1, 77, "note");
        request.topics[0].partitions[0].committed_leader_epoch = 3;
        committed(&mut client, 8, request).await;
        let key = [
            &1_i16.to_be_bytes()[..],
            &text("g"),
            &text("orders"),
            &1_i32.to_be_bytes(),
        ];
        let value = [
            &3_i16.to_be_bytes()[..],
            &77_i64.to_be_bytes(),
            &3_i32.to_be_bytes(),
            &text("note"),
            &START_MS.to_be_bytes(),
        ];
        let expected = (key.concat().into(), Some(value.concat().into()));
        assert_eq!(records(&mut client).await, std::slice::from_ref(&expected));
        // A topic that goes takes its offsets with it.
        let topic = server.broker.topic("orders").unwrap();
        server.broker.delete_topic(topic).await.unwrap();
        assert_eq!(
            records(&mut client).await,
            [expected.clone(), (expected.0, None)]
        );
        assert!(server.broker.groups().all_committed("g").is_empty());
    });
}

#[test]
fn offsets_survive_a_restart_and_the_latest_counts() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..3 {
        run(
            folder.path(),
            Settings::default(),
            async |server: &Server| {
                let mut client = server.client();
                if start == 0 {
                    server.topic("orders", 1, &[]).await;
                } else {
                    assert_eq!(found(&mut client).await, (10 * start, -1, Some("b".into())));
                }
                committed(&mut client, 8, commit(0, 1, "a")).await;
                committed(&mut client, 8, commit(0, 10 * (start + 1), "b")).await;
            },
        );
    }
}

#[test]
fn a_groups_offsets_are_kept_for_their_time_from_when_it_emptied() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let mut settings = prompt();
    settings.groups.offsets_retention = base::Millis(20 * 60_000);
    with(settings, async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let joined = enter(&mut client, 2).await;
        let id = joined.member_id.clone();
        client.ask(2, sync(&id, 1, &[])).await;
        let mut request = commit(0, 5, "");
        (request.member_id, request.generation_id_or_member_epoch) = (id.clone(), 1);
        committed(&mut client, 7, request).await;
        // A member that lives keeps them, however old they are.
        let beat = || m::HeartbeatRequest {
            group_id: "g".into(),
            member_id: id.clone(),
            generation_id: 1,
            ..Default::default()
        };
        for _ in 0..300 {
            server.advance(Duration::from_secs(9)).await;
            assert_eq!(client.ask(2, beat()).await.error_code, 0);
        }
        settle(server).await;
        assert_eq!(found(&mut client).await.0, 5);
        server.advance(Duration::from_secs(11)).await;
        server.advance(minutes(19)).await;
        settle(server).await;
        assert_eq!(found(&mut client).await.0, 5, "it emptied 19 minutes ago");
        server.advance(minutes(11)).await;
        settle(server).await;
        assert_eq!(found(&mut client).await.0, -1);
        assert!(
            server.broker.groups().list().is_empty(),
            "nothing is left of the group"
        );
    });
}

#[test]
fn a_commit_may_say_how_long_it_is_kept_up_to_version_4() {
    let folder = tempfile::tempdir().unwrap();
    for start in [0, 1] {
        run(
            folder.path(),
            Settings::default(),
            async |server: &Server| {
                let mut client = server.client();
                if start == 0 {
                    server.topic("orders", 2, &[]).await;
                    for (partition, version, keep) in [(0, 4, 3_600_000), (1, 4, -1)] {
                        let mut request = commit(partition, 5, "note");
                        request.retention_time_ms = keep;
                        assert_eq!(committed(&mut client, version, request).await, 0);
                    }
                }
                assert_eq!(found(&mut client).await, (5, -1, Some("note".into())));
                if start == 1 {
                    server.advance(Duration::from_secs(4200)).await;
                    settle(server).await;
                    assert_eq!(found(&mut client).await.0, -1);
                    assert_eq!(server.broker.groups().all_committed("g").len(), 1);
                }
            },
        );
    }
}

#[test]
fn a_group_that_nothing_came_of_is_gone_at_once() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let groups = server.broker.groups();
        // A join that is refused, a commit that is refused.
        let nothing = m::JoinGroupRequest {
            protocols: vec![],
            ..join(0)
        };
        client.ask(0, nothing).await;
        committed(&mut client, 8, commit(7, 1, "")).await;
        committed(&mut client, 8, commit(0, 1, &"x".repeat(5000))).await;
        assert!(groups.list().is_empty());
        // An id that is given out, and not used.
        client.ask(4, join(4)).await;
        assert_eq!(groups.list().len(), 1);
        server.advance(Duration::from_secs(10)).await;
        assert!(groups.list().is_empty());
    });
}

#[test]
fn a_group_without_members_and_offsets_goes() {
    with(prompt(), async |server| {
        let mut client = server.client();
        let joined = enter(&mut client, 2).await;
        client.ask(2, sync(&joined.member_id, 1, &[])).await;
        let leave = m::LeaveGroupRequest {
            group_id: "g".into(),
            member_id: joined.member_id,
            ..Default::default()
        };
        client.ask(2, leave).await;
        assert_eq!(server.broker.groups().list().len(), 1, "it may come back");
        server.advance(Duration::from_secs(1200)).await;
        server.topic("orders", 1, &[]).await;
        settle(server).await;
        assert!(server.broker.groups().list().is_empty());
        let (key, value) = records(&mut client).await.last().cloned().unwrap();
        let of_group = [&2_i16.to_be_bytes()[..], &text("g")].concat();
        assert!(
            records(&mut client)
                .await
                .contains(&(of_group.into(), None)),
            "{key:?} {value:?}"
        );
    });
}

/// Lets what was begun in the background come to its end.
async fn settle(server: &Server) {
    for _ in 0..50 {
        server.advance(Duration::ZERO).await;
        // Waits for the disk once, behind whatever waits for it.
        let mut client = server.client();
        let request = m::OffsetCommitRequest {
            group_id: "settled".into(),
            ..commit(0, 0, "")
        };
        committed(&mut client, 8, request).await;
        server.broker.groups().delete("settled").await.unwrap();
    }
}

#[test]
fn simple_consumers_offsets_go_one_by_one() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        committed(&mut client, 8, commit(0, 5, "")).await;
        server.advance(DAY * 6).await;
        committed(&mut client, 8, commit(1, 6, "")).await;
        server.advance(DAY * 2).await;
        settle(server).await;
        let left: Vec<_> = server
            .broker
            .groups()
            .all_committed("g")
            .into_iter()
            .map(|(_, partition, at)| (partition, at.offset))
            .collect();
        assert_eq!(left, [(1, 6)]);
    });
}

#[test]
fn what_groups_commit_has_room_for_so_much_and_no_more() {
    let mut settings = Settings::default();
    settings.groups.memory_max = base::ByteSize(100_000);
    with(settings, async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let mut taken = 0;
        let code = loop {
            let request = m::OffsetCommitRequest {
                group_id: format!("{taken}{}", "x".repeat(2000)).into(),
                ..commit(0, 5, "")
            };
            match committed(&mut client, 8, request).await {
                0 => taken += 1,
                code => break code,
            }
            assert!(taken < 100);
        };
        assert_eq!(code, ErrorCode::InvalidCommitOffsetSize.code());
        assert!(taken > 5, "{taken}");
        // Who is there already goes on.
        let again = m::OffsetCommitRequest {
            group_id: format!("0{}", "x".repeat(2000)).into(),
            ..commit(0, 6, "")
        };
        assert_eq!(committed(&mut client, 8, again).await, 0);
    });
}
