//! The broker and its topics as an operator sees them.

use broker::Topic;
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
    let describe = |topic: &Topic, wanted: Option<&[i32]>| DescribeLogDirsTopic {
        name: (&**topic.name()).into(),
        partitions: topic
            .partitions()
            .iter()
            .filter(|p| wanted.is_none_or(|wanted| wanted.contains(&p.index())))
            .map(|partition| DescribeLogDirsPartition {
                partition_index: partition.index(),
                partition_size: i64::try_from(partition.size()).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
            })
            .collect(),
    };
    let broker = &context.shared.broker;
    let topics = match request.topics {
        None => broker
            .topics()
            .iter()
            .map(|topic| describe(topic, None))
            .collect(),
        Some(topics) => topics
            .iter()
            .filter_map(|asked| {
                let topic = broker.topic(&asked.topic).ok()?;
                Some(describe(&topic, Some(&asked.partitions)))
            })
            .collect(),
    };
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

/// Pages through topics in the order of their names; a cursor says where the next page begins.
pub(super) async fn describe_topic_partitions(
    context: &Context,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let broker = &context.shared.broker;
    let mut names: Vec<String> = if request.topics.is_empty() {
        broker
            .topics()
            .iter()
            .map(|topic| topic.name().to_string())
            .collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| owned(&topic.name))
            .collect()
    };
    names.sort_unstable();
    names.dedup();
    let limit = context.shared.config.describe_partitions_max;
    let mut left = convert::size(request.response_partition_limit).clamp(1, limit.max(1));
    let cursor = request
        .cursor
        .map(|at| (owned(&at.topic_name), convert::size(at.partition_index)));
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
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
