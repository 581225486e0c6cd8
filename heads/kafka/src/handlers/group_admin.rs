//! Consumer groups as an operator sees them.

use std::collections::BTreeSet;

use broker::group::{Described, GroupError, State};
use bytes::Bytes;
use kafka_wire::messages::delete_groups_response::DeletableGroupResult;
use kafka_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_wire::messages::list_groups_response::ListedGroup;
use kafka_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_wire::messages::{
    ConsumerProtocolSubscription, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest,
    OffsetDeleteResponse,
};
use kafka_wire::{Decoder, ErrorCode, Str};

use super::Context;
use crate::convert::{Operations, owned};
use crate::error::group_code;

/// The kind of group whose members' data can be read.
const CONSUMER: &str = "consumer";

fn state_name(state: State) -> &'static str {
    match state {
        State::Empty => "Empty",
        State::PreparingRebalance => "PreparingRebalance",
        State::CompletingRebalance => "CompletingRebalance",
        State::Stable => "Stable",
        State::Dead => "Dead",
    }
}

pub(super) async fn list_groups(
    context: &Context,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let matches = |filter: &[Str], name: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let known = context.shared.broker.groups();
    let size = known.list_size();
    context.room.take(size, 0).await;
    let mut groups = Vec::new();
    for group in known.list() {
        let state = state_name(group.state);
        let wanted =
            matches(&request.states_filter, state) && matches(&request.types_filter, "classic");
        if !wanted {
            continue;
        }
        let texts = group.name.len() + group.protocol_type.len();
        // The list may have room for twice as many.
        let memory = 2 * size_of::<ListedGroup>() + texts;
        context.room.take(memory, texts + 64).await;
        groups.push(ListedGroup {
            group_id: group.name.into(),
            protocol_type: group.protocol_type.into(),
            group_state: Str::from_static(state),
            group_type: Str::from_static("classic"),
        });
    }
    ListGroupsResponse {
        groups,
        ..ListGroupsResponse::default()
    }
}

pub(super) async fn describe_groups(
    context: &Context,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let known = context.shared.broker.groups();
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        // The engine counts for a member and its texts what they take here twice over.
        let (size, offsets) = known.sizes(&group_id);
        let members = size.saturating_sub(offsets);
        context.room.take(members, members).await;
        groups.push(match known.describe(&group_id) {
            Some(group) => DescribedGroup {
                authorized_operations: Operations::GROUP
                    .when(request.include_authorized_operations),
                ..described(group_id, group)
            },
            None => DescribedGroup {
                // Up to version 5 a group that does not exist is a dead one.
                error_code: if context.version() >= 6 {
                    ErrorCode::GroupIdNotFound.code()
                } else {
                    0
                },
                error_message: Some(Str::from(format!("Group {group_id} not found."))),
                group_id,
                group_state: Str::from_static("Dead"),
                ..DescribedGroup::default()
            },
        });
    }
    DescribeGroupsResponse {
        groups,
        ..DescribeGroupsResponse::default()
    }
}

fn described(group_id: Str, group: Described) -> DescribedGroup {
    let stable = group.state == State::Stable;
    let members = group
        .members
        .into_iter()
        .map(|member| DescribedGroupMember {
            member_id: member.id.into(),
            group_instance_id: member.instance_id.map(Str::from),
            client_id: member.client_id.into(),
            client_host: member.client_host.into(),
            member_metadata: if stable {
                member.metadata
            } else {
                Bytes::new()
            },
            member_assignment: if stable {
                member.assignment
            } else {
                Bytes::new()
            },
        });
    DescribedGroup {
        group_id,
        group_state: Str::from_static(state_name(group.state)),
        protocol_type: group.protocol_type.into(),
        protocol_data: if stable {
            group.protocol.into()
        } else {
            Str::default()
        },
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

pub(super) async fn delete_groups(
    context: &Context,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut response = DeleteGroupsResponse::default();
    let mut seen = BTreeSet::new();
    for group_id in request.groups_names {
        // What is named twice is deleted and answered once, as Kafka does.
        if !seen.insert(group_id.clone()) {
            continue;
        }
        // A record for each offset, twice: by itself and in its batch.
        let (_, offsets) = context.shared.broker.groups().sizes(&group_id);
        let names = offsets / 128 * group_id.len();
        context.room.take(2 * (offsets + names), 0).await;
        let deleted = context.shared.broker.groups().delete(&group_id).await;
        let error_code = deleted.map_or_else(|error| group_code(&error).code(), |()| 0);
        response.results.push(DeletableGroupResult {
            group_id,
            error_code,
        });
    }
    response
}

/// The topics that a group's members read; `None` when that cannot be known.
fn subscribed(group: &Described, elements_max: usize) -> Option<BTreeSet<String>> {
    let mut topics = BTreeSet::new();
    for member in &group.members {
        let (version, _) = member.metadata.split_first_chunk::<2>()?;
        let version = i16::from_be_bytes(*version).clamp(0, 3);
        let decoder = || Decoder::new(member.metadata.slice(2..)).with_elements_max(elements_max);
        let subscription = ConsumerProtocolSubscription::decode(&mut decoder(), version)
            .or_else(|_| {
                // What every version begins with.
                ConsumerProtocolSubscription::decode(&mut decoder(), 0)
            })
            .ok()?;
        topics.extend(subscription.topics.iter().map(owned));
    }
    Some(topics)
}

pub(super) async fn offset_delete(
    context: &Context,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let groups = context.shared.broker.groups();
    let refused = |error: &GroupError| OffsetDeleteResponse {
        error_code: group_code(error).code(),
        ..OffsetDeleteResponse::default()
    };
    // Unlike commits, which consumers without a group make under no name.
    if request.group_id.is_empty() {
        return refused(&GroupError::InvalidGroup);
    }
    let (size, offsets) = groups.sizes(&request.group_id);
    let members = size.saturating_sub(offsets);
    let names = request.topics.iter().map(|topic| {
        let name = topic.name.len() + request.group_id.len();
        topic.partitions.len().saturating_mul(3 * name)
    });
    let names: usize = names.sum();
    context.room.take(2 * members + names, 0).await;
    let Some(group) = groups.describe(&request.group_id) else {
        return refused(&GroupError::NotFound);
    };
    let readable = group.members.is_empty() || group.protocol_type == CONSUMER;
    let elements_max = context.shared.config.elements_per_request_max;
    let Some(read) = subscribed(&group, elements_max).filter(|_| readable) else {
        return refused(&GroupError::NonEmpty);
    };
    let mut response = OffsetDeleteResponse::default();
    let mut dead = Vec::new();
    for topic in request.topics {
        context.room.step().await;
        let in_use = read.contains(topic.name.as_str());
        let partition = |index: i32| {
            let error_code = if in_use {
                group_code(&GroupError::Subscribed).code()
            } else {
                0
            };
            OffsetDeleteResponsePartition {
                partition_index: index,
                error_code,
            }
        };
        if !in_use {
            dead.extend(
                topic
                    .partitions
                    .iter()
                    .map(|p| (owned(&topic.name), p.partition_index)),
            );
        }
        let partitions = topic
            .partitions
            .iter()
            .map(|p| partition(p.partition_index))
            .collect();
        response.topics.push(OffsetDeleteResponseTopic {
            name: topic.name,
            partitions,
        });
    }
    if let Err(error) = groups.delete_offsets(&request.group_id, &dead).await {
        return refused(&error);
    }
    response
}
