//! Groups through the protocol: what each version can say, and what it is told.

use std::time::Duration;

use bytes::Bytes;
use kafka_wire::messages as m;
use kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::messages::leave_group_request::MemberIdentity;
use kafka_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_wire::{ErrorCode, Str};

use super::harness::{Client, Server, Settings, on_server, park, run, with};

/// How long an empty group waits for others by default.
const DELAY: Duration = Duration::from_secs(3);

pub(super) fn join(version: i16) -> m::JoinGroupRequest {
    m::JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            // A subscription to `orders`, as every version of it begins.
            metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff"),
        }],
        reason: (version >= 8).then(|| "test".into()),
        ..Default::default()
    }
}

/// Settings under which a first round does not wait.
pub(super) fn prompt() -> Settings {
    let groups = broker::group::Config {
        initial_rebalance_delay: base::Millis(0),
        ..Settings::default().groups
    };
    Settings {
        groups,
        ..Settings::default()
    }
}

/// Joins as a client of `version` does, with a second attempt where an id is given first.
pub(super) async fn enter(client: &mut Client, version: i16) -> m::JoinGroupResponse {
    let answer = client.ask(version, join(version)).await;
    if answer.error_code != ErrorCode::MemberIdRequired.code() {
        return answer;
    }
    let again = m::JoinGroupRequest {
        member_id: answer.member_id,
        ..join(version)
    };
    client.ask(version, again).await
}

/// A sync of the leader, which gives each of `parts` its part.
pub(super) fn sync(
    member: &Str,
    generation: i32,
    parts: &[(&Str, &'static str)],
) -> m::SyncGroupRequest {
    m::SyncGroupRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.clone(),
        assignments: parts
            .iter()
            .map(|(id, part)| SyncGroupRequestAssignment {
                member_id: (*id).clone(),
                assignment: Bytes::from_static(part.as_bytes()),
            })
            .collect(),
        ..Default::default()
    }
}

fn beat(member: &Str, generation: i32) -> m::HeartbeatRequest {
    m::HeartbeatRequest {
        group_id: "g".into(),
        member_id: member.clone(),
        generation_id: generation,
        ..Default::default()
    }
}

#[test]
fn every_version_joins_shares_beats_and_leaves() {
    for version in 0..=9 {
        with(prompt(), async |server| {
            let mut client = server.client();
            let joined = enter(&mut client, version).await;
            assert_eq!(
                (joined.error_code, joined.generation_id),
                (0, 1),
                "version {version}"
            );
            assert_eq!(joined.leader, joined.member_id);
            assert!(
                joined.member_id.starts_with("test-"),
                "named after the client"
            );
            assert_eq!(joined.members.len(), 1);
            let id = &joined.member_id;
            let parts = [(id, "all")];
            let synced = client.ask(version.min(5), sync(id, 1, &parts)).await;
            assert_eq!(
                (synced.error_code, &synced.assignment[..]),
                (0, &b"all"[..])
            );
            assert_eq!(client.ask(version.min(4), beat(id, 1)).await.error_code, 0);
            let leave = m::LeaveGroupRequest {
                group_id: "g".into(),
                member_id: if version < 3 {
                    id.clone()
                } else {
                    Str::default()
                },
                members: if version < 3 {
                    vec![]
                } else {
                    vec![MemberIdentity {
                        member_id: id.clone(),
                        ..Default::default()
                    }]
                },
            };
            let left = client.ask(version.min(5), leave).await;
            assert_eq!(left.error_code, 0);
            assert!(left.members.iter().all(|member| member.error_code == 0));
            let gone = client.ask(version.min(4), beat(id, 1)).await;
            assert_eq!(gone.error_code, ErrorCode::UnknownMemberId.code());
        });
    }
}

#[test]
fn an_id_comes_first_from_version_4_on_but_not_for_static_members() {
    with(prompt(), async |server| {
        let mut client = server.client();
        let answer = client.ask(4, join(4)).await;
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        assert!(!answer.member_id.is_empty());
        assert_eq!((answer.generation_id, answer.members.len()), (-1, 0));
        let fixed = m::JoinGroupRequest {
            group_id: "static".into(),
            group_instance_id: Some("a".into()),
            ..join(5)
        };
        let answer = client.ask(5, fixed).await;
        assert_eq!(answer.error_code, 0);
        assert!(
            answer.member_id.starts_with("a-"),
            "named after the instance"
        );
    });
}

#[test]
fn members_meet_share_and_only_the_leader_sees_all() {
    on_server(async |server| {
        let (mut one, mut two) = (server.client(), server.client());
        let mut first = park(enter(&mut one, 2)).await;
        let second = park(enter(&mut two, 2)).await;
        server.advance(DELAY).await;
        assert!(first.waits().await, "somebody came, so more may");
        server.advance(DELAY).await;
        let (first, second) = (first.done().await, second.done().await);
        assert_eq!((first.generation_id, second.generation_id), (1, 1));
        assert_eq!(first.leader, second.leader);
        let (leader, mut leads, follower, mut follows) = if first.leader == first.member_id {
            (first, one, second, two)
        } else {
            (second, two, first, one)
        };
        assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
        let mut waiting = park(follows.ask(2, sync(&follower.member_id, 1, &[]))).await;
        assert!(waiting.waits().await);
        let parts = [(&leader.member_id, "0"), (&follower.member_id, "1")];
        let synced = leads.ask(2, sync(&leader.member_id, 1, &parts)).await;
        assert_eq!(synced.assignment, "0");
        assert_eq!(waiting.done().await.assignment, "1");
        // One falls silent: the other hears of it with its next beat.
        server.advance(Duration::from_secs(6)).await;
        assert_eq!(leads.ask(2, beat(&leader.member_id, 1)).await.error_code, 0);
        server.advance(Duration::from_secs(6)).await;
        let answer = leads.ask(2, beat(&leader.member_id, 1)).await;
        assert_eq!(answer.error_code, ErrorCode::RebalanceInProgress.code());
        let again = m::JoinGroupRequest {
            member_id: leader.member_id.clone(),
            ..join(2)
        };
        let alone = leads.ask(2, again).await;
        assert_eq!((alone.generation_id, alone.members.len()), (2, 1));
    });
}

#[test]
fn session_timeouts_have_bounds() {
    with(prompt(), async |server| {
        let mut client = server.client();
        for millis in [5999, 1_800_001, 0, -1] {
            let request = m::JoinGroupRequest {
                session_timeout_ms: millis,
                ..join(0)
            };
            let answer = client.ask(0, request).await;
            assert_eq!(
                answer.error_code,
                ErrorCode::InvalidSessionTimeout.code(),
                "{millis}"
            );
        }
    });
}

#[test]
fn a_group_needs_a_name_wherever_it_has_members() {
    on_server(async |server| {
        let mut client = server.client();
        let invalid = ErrorCode::InvalidGroupId.code();
        let nameless = m::JoinGroupRequest {
            group_id: Str::default(),
            ..join(0)
        };
        assert_eq!(client.ask(0, nameless).await.error_code, invalid);
        let nameless = m::SyncGroupRequest::default();
        assert_eq!(client.ask(0, nameless).await.error_code, invalid);
        assert_eq!(
            client
                .ask(0, m::HeartbeatRequest::default())
                .await
                .error_code,
            invalid
        );
        assert_eq!(
            client
                .ask(0, m::LeaveGroupRequest::default())
                .await
                .error_code,
            invalid
        );
    });
}

#[test]
fn strangers_to_a_group_that_is_not_there_are_strangers() {
    on_server(async |server| {
        let mut client = server.client();
        let unknown = ErrorCode::UnknownMemberId.code();
        let id = Str::from("nobody");
        let stranger = m::JoinGroupRequest {
            member_id: id.clone(),
            ..join(0)
        };
        assert_eq!(client.ask(0, stranger).await.error_code, unknown);
        assert_eq!(client.ask(0, sync(&id, 1, &[])).await.error_code, unknown);
        assert_eq!(client.ask(0, beat(&id, 1)).await.error_code, unknown);
        let leave = m::LeaveGroupRequest {
            group_id: "g".into(),
            member_id: id,
            ..Default::default()
        };
        assert_eq!(client.ask(0, leave).await.error_code, unknown);
        assert!(
            server.broker.groups().list().is_empty(),
            "asking makes no group"
        );
    });
}

#[test]
fn members_that_leave_together_have_an_outcome_each() {
    with(prompt(), async |server| {
        let mut client = server.client();
        let mut ids = Vec::new();
        for instance in ["a", "b"] {
            let request = m::JoinGroupRequest {
                group_instance_id: Some(instance.into()),
                ..join(5)
            };
            let mut other = server.client();
            let mut joining = park(other.ask(5, request)).await;
            if joining.waits().await {
                // The first has to join again before the second is let in.
                let first = m::JoinGroupRequest {
                    member_id: ids.first().cloned().unwrap(),
                    group_instance_id: Some("a".into()),
                    ..join(5)
                };
                client.ask(5, first).await;
            }
            ids.push(joining.done().await.member_id);
        }
        let member = |id: Str, instance: Option<&'static str>| MemberIdentity {
            member_id: id,
            group_instance_id: instance.map(Str::from),
            ..Default::default()
        };
        let leave = m::LeaveGroupRequest {
            group_id: "g".into(),
            members: vec![
                member(ids[0].clone(), Some("b")),
                member(Str::default(), Some("a")),
                member("nobody".into(), None),
                member(ids[1].clone(), Some("c")),
                member(ids[1].clone(), Some("b")),
            ],
            ..Default::default()
        };
        let answer = client.ask(3, leave).await;
        let told: Vec<_> = answer.members.iter().map(|m| m.error_code).collect();
        let unknown = ErrorCode::UnknownMemberId.code();
        let fenced = ErrorCode::FencedInstanceId.code();
        assert_eq!(
            (answer.error_code, told),
            (0, vec![fenced, 0, unknown, unknown, 0])
        );
    });
}

#[test]
fn what_a_sync_says_of_the_group_must_be_so_from_version_5_on() {
    with(prompt(), async |server| {
        let mut client = server.client();
        let joined = enter(&mut client, 7).await;
        assert_eq!(joined.protocol_type, Some(Str::from("consumer")));
        let request = |kind: &'static str, name: &'static str| m::SyncGroupRequest {
            protocol_type: Some(kind.into()),
            protocol_name: Some(name.into()),
            ..sync(&joined.member_id, 1, &[])
        };
        let inconsistent = ErrorCode::InconsistentGroupProtocol.code();
        assert_eq!(
            client.ask(5, request("connect", "range")).await.error_code,
            inconsistent
        );
        assert_eq!(
            client
                .ask(5, request("consumer", "sticky"))
                .await
                .error_code,
            inconsistent
        );
        let answer = client.ask(5, request("consumer", "range")).await;
        assert_eq!(answer.protocol_name, Some(Str::from("range")));
    });
}

#[test]
fn a_group_is_as_it_was_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let member = std::cell::RefCell::new(Str::default());
    run(folder.path(), prompt(), async |server: &Server| {
        let mut client = server.client();
        let joined = enter(&mut client, 5).await;
        let id = joined.member_id;
        client.ask(3, sync(&id, 1, &[(&id, "all")])).await;
        *member.borrow_mut() = Str::from(id.as_str().to_owned());
    });
    run(folder.path(), prompt(), async |server: &Server| {
        let mut client = server.client();
        let id = member.borrow().clone();
        assert_eq!(client.ask(3, beat(&id, 1)).await.error_code, 0);
        assert_eq!(client.ask(3, sync(&id, 1, &[])).await.assignment, "all");
        // It has a whole session to be heard of again, and no more.
        server.advance(Duration::from_secs(11)).await;
        let gone = client.ask(3, beat(&id, 1)).await;
        assert_eq!(gone.error_code, ErrorCode::UnknownMemberId.code());
    });
}

#[test]
fn an_empty_group_keeps_its_generation_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for generation in [1, 3] {
        run(folder.path(), prompt(), async |server: &Server| {
            let mut client = server.client();
            let joined = enter(&mut client, 2).await;
            assert_eq!(joined.generation_id, generation);
            client
                .ask(2, sync(&joined.member_id, generation, &[]))
                .await;
            let leave = m::LeaveGroupRequest {
                group_id: "g".into(),
                member_id: joined.member_id,
                ..Default::default()
            };
            client.ask(2, leave).await;
        });
    }
}

#[test]
fn coordinators_are_found_one_by_one_and_together() {
    on_server(async |server| {
        let mut client = server.client();
        for version in 0..=3 {
            let request = m::FindCoordinatorRequest {
                key: "g".into(),
                ..Default::default()
            };
            let answer = client.ask(version, request).await;
            assert_eq!((answer.error_code, answer.node_id), (0, 1));
            assert!(answer.port > 0 && !answer.host.is_empty());
        }
        let request = m::FindCoordinatorRequest {
            coordinator_keys: vec!["a".into(), Str::default(), "b".into()],
            ..Default::default()
        };
        let answer = client.ask(4, request).await;
        let told: Vec<_> = answer
            .coordinators
            .iter()
            .map(|c| (c.error_code, c.node_id))
            .collect();
        // The group without a name is for commits of consumers that belong to none.
        assert_eq!(told, [(0, 1); 3]);
        for (kind, code) in [
            (1, ErrorCode::TransactionalIdAuthorizationFailed),
            (2, ErrorCode::InvalidRequest),
            (9, ErrorCode::InvalidRequest),
        ] {
            let request = m::FindCoordinatorRequest {
                key: "t".into(),
                key_type: kind,
                ..Default::default()
            };
            assert_eq!(client.ask(1, request).await.error_code, code.code());
        }
    });
}

#[test]
fn what_members_say_has_room_for_so_much_and_no_more() {
    let mut settings = prompt();
    settings.groups.memory_max = base::ByteSize(1 << 20);
    with(settings, async |server| {
        let mut client = server.client();
        let named = |group: &str, bytes: usize| m::JoinGroupRequest {
            group_id: group.to_owned().into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: vec![0; bytes].into(),
            }],
            ..join(0)
        };
        let full = ErrorCode::GroupMaxSizeReached.code();
        assert_eq!(client.ask(0, named("a", 2 << 20)).await.error_code, full);
        let mut let_in = 0;
        while client
            .ask(0, named(&format!("g{let_in}"), 100_000))
            .await
            .error_code
            == 0
        {
            let_in += 1;
            assert!(let_in < 20);
        }
        assert!(let_in >= 8, "{let_in}");
        // What is given back is there for others.
        server.advance(Duration::from_secs(20)).await;
        assert_eq!(client.ask(0, named("late", 100_000)).await.error_code, 0);
    });
}
