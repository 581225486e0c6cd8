//! The broker and its topics as an operator sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker::{Partition, Topic};
use kafka_wire::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_wire::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use kafka_wire::{ErrorCode, Str};

use super::Context;
use crate::convert::{self, Operations, owned};
use crate::error;

/// Kinds of endpoints (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) async fn describe_cluster(
    context: &Context,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let shared = &context.shared;
    let refused = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "this endpoint is a broker's, not a controller's",
        )),
        _ => Some((
            ErrorCode::UnsupportedEndpointType,
            "unknown type of endpoint",
        )),
    };
    if let Some((code, why)) = refused {
        return DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(Str::from_static(why)),
            ..DescribeClusterResponse::default()
        };
    }
    let (host, port) = convert::address(shared, &context.connection);
    let broker_id = shared.config.node_id;
    DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: shared.broker.meta().cluster_id().into(),
        controller_id: broker_id,
        brokers: vec![DescribeClusterBroker {
            broker_id,
            host,
            port,
            rack: None,
            is_fenced: false,
        }],
        cluster_authorized_operations: Operations::CLUSTER
            .when(request.include_cluster_authorized_operations),
        ..DescribeClusterResponse::default()
    }
}

pub(super) async fn describe_log_dirs(
    context: &Context,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let broker = &context.shared.broker;
    let mut topics = Vec::new();
    match request.topics {
        None => {
            for topic in broker.topics() {
                topics.push(sizes(context, &topic, topic.partitions().iter()).await);
            }
        }
        Some(asked) => {
            // What is asked about twice is answered once, as Kafka does.
            let mut wanted: BTreeMap<Str, BTreeSet<i32>> = BTreeMap::new();
            for topic in asked {
                let indexes = wanted.entry(topic.topic).or_default();
                indexes.extend(topic.partitions);
            }
            for (name, indexes) in wanted {
                context.room.step().await;
                let Ok(topic) = broker.topic(&name) else {
                    continue;
                };
                let found = indexes.into_iter().filter_map(|i| topic.partition(i).ok());
                let found: Vec<_> = found.collect();
                topics.push(sizes(context, &topic, found.iter()).await);
            }
        }
    }
    let result = DescribeLogDirsResult {
        log_dir: Str::from_static("data"),
        topics,
        total_bytes: -1,
        usable_bytes: -1,
        ..DescribeLogDirsResult::default()
    };
    DescribeLogDirsResponse {
        results: vec![result],
        ..DescribeLogDirsResponse::default()
    }
}

/// How large these partitions of a topic are.
async fn sizes(
    context: &Context,
    topic: &Topic,
    partitions: impl ExactSizeIterator<Item = &Arc<Partition>>,
) -> DescribeLogDirsTopic {
    let (count, name) = (partitions.len(), topic.name().len());
    let memory = size_of::<DescribeLogDirsTopic>() + name;
    let each = size_of::<DescribeLogDirsPartition>();
    context
        .room
        .take(2 * memory + count * each, name + 16 + count * 24)
        .await;
    DescribeLogDirsTopic {
        name: (&**topic.name()).into(),
        partitions: partitions
            .map(|partition| DescribeLogDirsPartition {
                partition_index: partition.index(),
                partition_size: i64::try_from(partition.size()).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
            })
            .collect(),
    }
}

/// The topics asked about: none are all.
async fn names(context: &Context, request: &DescribeTopicPartitionsRequest) -> Vec<String> {
    if !request.topics.is_empty() {
        let asked = request.topics.iter();
        return asked.map(|topic| owned(&topic.name)).collect();
    }
    let topics = context.shared.broker.topics();
    let texts: usize = topics.iter().map(|topic| topic.name().len()).sum();
    let each = size_of::<String>() + size_of::<DescribeTopicPartitionsResponseTopic>();
    let memory = texts + topics.len() * each;
    context.room.take(memory, texts + topics.len() * 32).await;
    let names = topics.iter().map(|topic| topic.name().to_string());
    names.collect()
}

/// Pages through topics in the order of their names; a cursor says where the next page begins.
pub(super) async fn describe_topic_partitions(
    context: &Context,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let broker = &context.shared.broker;
    let mut names = names(context, &request).await;
    names.sort_unstable();
    names.dedup();
    let limit = context.shared.config.describe_partitions_max;
    let mut left = convert::size(request.response_partition_limit).clamp(1, limit.max(1));
    let cursor = request
        .cursor
        .map(|at| (owned(&at.topic_name), convert::size(at.partition_index)));
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        context.room.step().await;
        let from = match &cursor {
            Some((topic, _)) if name < *topic => continue,
            Some((topic, from)) if name == *topic => *from,
            _ => 0,
        };
        let topic = match broker.topic(&name) {
            Ok(topic) => topic,
            Err(e) => {
                response.topics.push(DescribeTopicPartitionsResponseTopic {
                    error_code: error::code(&e).code(),
                    name: Some(name.into()),
                    ..Default::default()
                });
                continue;
            }
        };
        if left == 0 {
            let partition_index = i32::try_from(from).unwrap_or(0);
            response.next_cursor = Some(Cursor {
                topic_name: name.into(),
                partition_index,
            });
            break;
        }
        let memory = size_of::<DescribeTopicPartitionsResponsePartition>() + 2 * 32;
        let shown = topic.partitions().len().saturating_sub(from).min(left);
        context.room.take(shown * memory, shown * 48).await;
        let described = describe(&topic, from, left, context.shared.config.node_id);
        let shown = described.partitions.len();
        left -= shown;
        response.topics.push(described);
        if from + shown < topic.partitions().len() {
            let partition_index = i32::try_from(from + shown).unwrap_or(0);
            response.next_cursor = Some(Cursor {
                topic_name: name.into(),
                partition_index,
            });
            break;
        }
    }
    response
}

fn describe(
    topic: &Topic,
    from: usize,
    count: usize,
    node_id: i32,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = topic.partitions();
    let shown = partitions.iter().skip(from).take(count);
    DescribeTopicPartitionsResponseTopic {
        error_code: 0,
        name: Some((&**topic.name()).into()),
        topic_id: convert::id(topic),
        is_internal: topic.is_internal(),
        partitions: shown
            .map(|partition| DescribeTopicPartitionsResponsePartition {
                partition_index: partition.index(),
                leader_id: node_id,
                leader_epoch: partition.epoch(),
                replica_nodes: vec![node_id],
                isr_nodes: vec![node_id],
                // Java's client takes no null for these two.
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                ..Default::default()
            })
            .collect(),
        // Nobody can ask for less here.
        topic_authorized_operations: Operations::TOPIC.when(true),
    }
}
