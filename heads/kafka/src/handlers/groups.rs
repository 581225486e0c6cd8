//! Consumer groups as their members see them.

use std::time::Duration;

use broker::group::{Committed, GroupError, Join, Joined, JoinedMember, Leaving, Sync};
use kafka_wire::messages::find_coordinator_response::Coordinator;
use kafka_wire::messages::join_group_response::JoinGroupResponseMember;
use kafka_wire::messages::leave_group_response::MemberResponse;
use kafka_wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_wire::messages::offset_fetch_response as of;
use kafka_wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_wire::{ErrorCode, Str};

use super::Context;
use crate::convert::{self, owned};
use crate::error::group_code;

fn outcome(result: Result<(), GroupError>) -> i16 {
    result.map_or_else(|error| group_code(&error).code(), |()| 0)
}

fn text(text: Option<String>) -> Option<Str> {
    text.map(Str::from)
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(super) async fn find_coordinator(
    context: &Context,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let (host, port) = convert::address(&context.shared, &context.connection);
    let keys = if context.version() >= 4 {
        request.coordinator_keys
    } else {
        vec![request.key.clone()]
    };
    let refused = match request.key_type {
        0 => None,
        // A code that is not tried again: producers would ask for as long as they live.
        1 => Some((
            ErrorCode::TransactionalIdAuthorizationFailed,
            "transactions are not served",
        )),
        2 => Some((
            ErrorCode::InvalidRequest,
            "only groups have coordinators here",
        )),
        _ => Some((ErrorCode::InvalidRequest, "unknown kind of coordinator")),
    };
    // The name may be empty: consumers that belong to no group commit under none.
    let found = |key: Str| match refused {
        Some((code, why)) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: code.code(),
            error_message: Some(Str::from_static(why)),
            ..Coordinator::default()
        },
        None => Coordinator {
            key,
            node_id: context.shared.config.node_id,
            host: host.clone(),
            port,
            error_code: 0,
            error_message: None,
        },
    };
    context.room.take(0, keys.len() * host.len()).await;
    let coordinators: Vec<_> = keys.into_iter().map(found).collect();
    let Some(first) = coordinators.first().cloned() else {
        return FindCoordinatorResponse::default();
    };
    FindCoordinatorResponse {
        error_code: first.error_code,
        error_message: first.error_message,
        node_id: first.node_id,
        host: first.host,
        port: first.port,
        coordinators,
        ..FindCoordinatorResponse::default()
    }
}

pub(super) async fn join_group(context: &Context, request: JoinGroupRequest) -> JoinGroupResponse {
    let version = context.version();
    let member_id = request.member_id.clone();
    let session_timeout = millis(request.session_timeout_ms);
    let join = Join {
        member_id: owned(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(owned),
        client_id: context.client_id().to_owned(),
        client_host: format!("/{}", context.connection.peer.addr.ip().to_canonical()),
        session_timeout,
        // Version 0 has only one timeout.
        rebalance_timeout: if version == 0 {
            session_timeout
        } else {
            millis(request.rebalance_timeout_ms)
        },
        protocol_type: owned(&request.protocol_type),
        protocols: request
            .protocols
            .iter()
            .map(|p| (owned(&p.name), bytes::Bytes::copy_from_slice(&p.metadata)))
            .collect(),
        require_member_id: version >= 4,
        can_skip_assignment: version >= 9,
    };
    match context
        .shared
        .broker
        .groups()
        .join(&request.group_id, join)
        .await
    {
        Ok(joined) => told_joined(context, joined).await,
        Err(error) => {
            let member_id = if let GroupError::MemberIdRequired(id) = &error {
                id.as_str().into()
            } else {
                member_id
            };
            let error_code = group_code(&error).code();
            JoinGroupResponse {
                error_code,
                member_id,
                ..JoinGroupResponse::default()
            }
        }
    }
}

/// What a member is told when its round begins; the leader is told of all the others.
async fn told_joined(context: &Context, joined: Joined) -> JoinGroupResponse {
    let size = |member: &JoinedMember| {
        let instance = member.instance_id.as_ref().map_or(0, String::len);
        member.id.len() + instance + member.metadata.len() + 32
    };
    let sent: usize = joined.members.iter().map(size).sum();
    let count = joined.members.len();
    let memory = count * size_of::<JoinGroupResponseMember>();
    context.room.take(memory, sent).await;
    JoinGroupResponse {
        error_code: 0,
        generation_id: joined.generation,
        protocol_type: text(joined.protocol_type),
        protocol_name: text(joined.protocol),
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.into(),
        members: joined
            .members
            .into_iter()
            .map(|member| JoinGroupResponseMember {
                member_id: member.id.into(),
                group_instance_id: text(member.instance_id),
                metadata: member.metadata,
            })
            .collect(),
        ..JoinGroupResponse::default()
    }
}

pub(super) async fn sync_group(context: &Context, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = Sync {
        generation: request.generation_id,
        member_id: owned(&request.member_id),
        instance_id: request.group_instance_id.as_ref().map(owned),
        protocol_type: request.protocol_type.as_ref().map(owned),
        protocol: request.protocol_name.as_ref().map(owned),
        assignments: request
            .assignments
            .iter()
            .map(|a| {
                (
                    owned(&a.member_id),
                    bytes::Bytes::copy_from_slice(&a.assignment),
                )
            })
            .collect(),
    };
    match context
        .shared
        .broker
        .groups()
        .sync(&request.group_id, sync)
        .await
    {
        Ok(synced) => {
            context.room.take(0, synced.assignment.len()).await;
            SyncGroupResponse {
                protocol_type: text(synced.protocol_type),
                protocol_name: text(synced.protocol),
                assignment: synced.assignment,
                ..SyncGroupResponse::default()
            }
        }
        Err(error) => {
            let error_code = group_code(&error).code();
            SyncGroupResponse {
                error_code,
                ..SyncGroupResponse::default()
            }
        }
    }
}

pub(super) async fn heartbeat(context: &Context, request: HeartbeatRequest) -> HeartbeatResponse {
    let beat = context.shared.broker.groups().heartbeat(
        &request.group_id,
        &request.member_id,
        request.group_instance_id.as_deref(),
        request.generation_id,
    );
    HeartbeatResponse {
        error_code: outcome(beat),
        ..HeartbeatResponse::default()
    }
}

pub(super) async fn leave_group(
    context: &Context,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let several = context.version() >= 3;
    let leaving: Vec<Leaving> = if several {
        let member = |m: &kafka_wire::messages::leave_group_request::MemberIdentity| Leaving {
            member_id: owned(&m.member_id),
            instance_id: m.group_instance_id.as_ref().map(owned),
        };
        request.members.iter().map(member).collect()
    } else {
        vec![Leaving {
            member_id: owned(&request.member_id),
            instance_id: None,
        }]
    };
    let left = match context
        .shared
        .broker
        .groups()
        .leave(&request.group_id, &leaving)
    {
        Ok(left) => left,
        Err(GroupError::UnknownMember) if several => leaving
            .iter()
            .map(|_| Err(GroupError::UnknownMember))
            .collect(),
        Err(error) => {
            let error_code = group_code(&error).code();
            return LeaveGroupResponse {
                error_code,
                ..LeaveGroupResponse::default()
            };
        }
    };
    if !several {
        let error_code = left.into_iter().next().map_or(0, outcome);
        return LeaveGroupResponse {
            error_code,
            ..LeaveGroupResponse::default()
        };
    }
    let members = leaving
        .into_iter()
        .zip(left)
        .map(|(member, left)| MemberResponse {
            member_id: member.member_id.into(),
            group_instance_id: text(member.instance_id),
            error_code: outcome(left),
        });
    LeaveGroupResponse {
        members: members.collect(),
        ..LeaveGroupResponse::default()
    }
}

/// The code of a commit that failed as a whole: one about the group's size says nothing to who only
/// commits.
fn commit_code(error: &GroupError) -> ErrorCode {
    let about_size = matches!(
        error,
        GroupError::TooManyGroups | GroupError::NoRoom | GroupError::TooLarge
    );
    if about_size {
        return ErrorCode::InvalidCommitOffsetSize;
    }
    group_code(error)
}

/// What a client wants to be kept of a partition.
fn committed(asked: &OffsetCommitRequestPartition) -> Committed {
    let metadata = asked.committed_metadata.as_ref();
    let metadata = metadata.map(owned).unwrap_or_default();
    Committed::new(
        asked.committed_offset,
        asked.committed_leader_epoch,
        metadata,
    )
}

/// What the names take in the records of a commit, in bytes: each offset becomes one with both names
/// in it, and a batch holds all of them once more.
fn names_size(request: &OffsetCommitRequest) -> usize {
    let topics = request.topics.iter().map(|topic| {
        let name = topic.name.len() + request.group_id.len();
        topic.partitions.len().saturating_mul(4 * name)
    });
    topics.sum()
}

pub(super) async fn offset_commit(
    context: &Context,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let broker = &context.shared.broker;
    // Only versions up to 4 say how long; -1 is as long as others.
    let keep = Some(request.retention_time_ms).filter(|ms| *ms >= 0);
    let kept_until = keep.map(|ms| broker.clock().unix_ms().saturating_add(ms));
    context.room.take(names_size(&request), 0).await;
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    // Where in the answer the outcome of each offset goes.
    let mut places = Vec::new();
    for (at, topic) in request.topics.iter().enumerate() {
        context.room.step().await;
        let known = broker.topic(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (within, asked) in topic.partitions.iter().enumerate() {
            let index = asked.partition_index;
            let exists = known
                .as_ref()
                .is_ok_and(|topic| topic.partition(index).is_ok());
            let error_code = if exists {
                0
            } else {
                ErrorCode::UnknownTopicOrPartition.code()
            };
            if exists {
                let offset = committed(asked).kept_until(kept_until);
                offsets.push((owned(&topic.name), index, offset));
                places.push((at, within));
            }
            partitions.push(OffsetCommitResponsePartition {
                partition_index: index,
                error_code,
            });
        }
        topics.push(OffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions,
            ..Default::default()
        });
    }
    let instance = request.group_instance_id.as_deref();
    let member = (
        &*request.member_id,
        instance,
        request.generation_id_or_member_epoch,
    );
    let outcomes = broker
        .groups()
        .commit(&request.group_id, member, offsets)
        .await;
    let codes: Vec<i16> = match outcomes {
        Ok(outcomes) => outcomes.into_iter().map(outcome).collect(),
        Err(error) => vec![commit_code(&error).code(); places.len()],
    };
    for ((at, within), code) in places.into_iter().zip(codes) {
        if let Some(partition) = topics
            .get_mut(at)
            .and_then(|t| t.partitions.get_mut(within))
        {
            partition.error_code = code;
        }
    }
    OffsetCommitResponse {
        topics,
        ..OffsetCommitResponse::default()
    }
}

/// What is told of an offset, or that there is none.
fn told(committed: Option<Committed>) -> (i64, i32, Option<Str>) {
    match committed {
        Some(at) => (at.offset, at.leader_epoch, Some(at.metadata.into())),
        None => (-1, -1, Some(Str::default())),
    }
}

/// The topics asked about with their partitions; `None` is all that the group has.
type Asked = Option<Vec<(Str, Vec<i32>)>>;

/// What a partition takes in an answer, in memory (in the form of old versions, too) and as sent,
/// without its text.
const POSITION: (usize, usize) = (2 * size_of::<of::OffsetFetchResponsePartitions>(), 32);

async fn fetched(
    context: &Context,
    group: &str,
    asked: Asked,
) -> Vec<of::OffsetFetchResponseTopics> {
    let room = &context.room;
    let groups = context.shared.broker.groups();
    let known = groups.positions(group);
    let asked = match (asked, &known) {
        (Some(asked), _) => asked,
        (None, None) => Vec::new(),
        (None, Some(known)) => {
            room.take(known.partitions_size(), 0).await;
            let all = known.partitions().into_iter();
            all.map(|(topic, partitions)| (topic.into(), partitions))
                .collect()
        }
    };
    let mut topics = Vec::with_capacity(asked.len());
    for (name, indexes) in asked {
        let mut partitions = Vec::with_capacity(indexes.len());
        room.take(size_of::<of::OffsetFetchResponseTopics>(), name.len() + 32)
            .await;
        for index in indexes {
            let position = known.as_ref().and_then(|known| known.get(&name, index));
            let text = position.as_ref().map_or(0, |at| at.metadata.len());
            room.take(POSITION.0 + text, POSITION.1 + text).await;
            let (committed_offset, committed_leader_epoch, metadata) = told(position);
            partitions.push(of::OffsetFetchResponsePartitions {
                partition_index: index,
                committed_offset,
                committed_leader_epoch,
                metadata,
                error_code: 0,
            });
        }
        topics.push(of::OffsetFetchResponseTopics {
            name,
            partitions,
            ..Default::default()
        });
    }
    topics
}

pub(super) async fn offset_fetch(
    context: &Context,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if context.version() >= 8 {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            let asked: Asked = group.topics.map(|topics| {
                topics
                    .into_iter()
                    .map(|t| (t.name, t.partition_indexes))
                    .collect()
            });
            let topics = fetched(context, &group.group_id, asked).await;
            groups.push(of::OffsetFetchResponseGroup {
                group_id: group.group_id,
                topics,
                error_code: 0,
            });
        }
        return OffsetFetchResponse {
            groups,
            ..OffsetFetchResponse::default()
        };
    }
    let asked: Asked = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|t| (t.name, t.partition_indexes))
            .collect()
    });
    let old = |topic: of::OffsetFetchResponseTopics| of::OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|p| of::OffsetFetchResponsePartition {
                partition_index: p.partition_index,
                committed_offset: p.committed_offset,
                committed_leader_epoch: p.committed_leader_epoch,
                metadata: p.metadata,
                error_code: p.error_code,
            })
            .collect(),
    };
    let topics = fetched(context, &request.group_id, asked)
        .await
        .into_iter()
        .map(old)
        .collect();
    OffsetFetchResponse {
        topics,
        ..OffsetFetchResponse::default()
    }
}
