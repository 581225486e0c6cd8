//! Metadata: the broker, the topics, their partitions; and topics made because somebody asked.

use std::sync::Arc;

use base::{HashSet, TopicId};
use broker::{NewTopic, Topic};
use kafka_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_wire::messages::{MetadataRequest, MetadataResponse};
use kafka_wire::{ErrorCode, Str};

use super::Context;
use crate::convert::Operations;
use crate::{convert, error};

/// What a partition takes in an answer, in memory (its replicas are lists of one) and as sent.
const PARTITION: (usize, usize) = (size_of::<MetadataResponsePartition>() + 2 * 32, 48);
/// What a topic does, with its name.
const TOPIC: (usize, usize) = (size_of::<MetadataResponseTopic>() + 512, 320);

pub(super) async fn metadata(context: &Context, request: MetadataRequest) -> MetadataResponse {
    let shared = &context.shared;
    let version = context.version();
    let (host, port) = convert::address(shared, &context.connection);
    let node_id = shared.config.node_id;
    let mut topics = Vec::new();
    // Up to version 0 no topics at all meant all of them.
    let all = match &request.topics {
        None => true,
        Some(named) => version == 0 && named.is_empty(),
    };
    if all {
        for topic in shared.broker.topics() {
            topics.push(describe(context, &topic).await);
        }
    } else {
        let mut seen = HashSet::default();
        for asked in request.topics.unwrap_or_default() {
            // What is asked about twice is answered once, as Kafka does.
            if !seen.insert((asked.name.clone(), asked.topic_id)) {
                continue;
            }
            context.room.step().await;
            let wanted = match asked.name {
                // Ids came to this request with version 10, to be asked for with version 12.
                name if version < 12 && (name.is_none() || !asked.topic_id.is_nil()) => {
                    MetadataResponseTopic {
                        error_code: ErrorCode::InvalidRequest.code(),
                        name: Some(name.unwrap_or_default()),
                        ..MetadataResponseTopic::default()
                    }
                }
                Some(name) => by_name(context, &name, request.allow_auto_topic_creation).await,
                None => by_id(context, asked.topic_id).await,
            };
            topics.push(wanted);
        }
    }
    let operations = Operations::TOPIC.when(request.include_topic_authorized_operations);
    for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
        topic.topic_authorized_operations = operations;
    }
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id,
            host,
            port,
            rack: None,
        }],
        cluster_id: Some(shared.broker.meta().cluster_id().into()),
        controller_id: node_id,
        topics,
        cluster_authorized_operations: Operations::CLUSTER
            .when(request.include_cluster_authorized_operations),
        ..MetadataResponse::default()
    }
}

async fn by_name(context: &Context, name: &Str, may_create: bool) -> MetadataResponseTopic {
    let broker = &context.shared.broker;
    let failed = |code: ErrorCode| MetadataResponseTopic {
        error_code: code.code(),
        name: Some(name.clone()),
        ..MetadataResponseTopic::default()
    };
    let found = match broker.topic(name) {
        Ok(topic) => Ok(topic),
        Err(_) if broker::meta::check_topic_name(name).is_err() => {
            return failed(ErrorCode::InvalidTopicException);
        }
        // Before version 4 nobody could say no.
        Err(_) if broker.config().auto_create && (may_create || context.version() < 4) => {
            let new = NewTopic {
                name: convert::owned(name),
                ..NewTopic::default()
            };
            match broker.create_topic(new, false).await {
                Err(broker::Error::TopicExists(_)) => broker.topic(name),
                other => other,
            }
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(topic) => describe(context, &topic).await,
        Err(error) => failed(error::code(&error)),
    }
}

async fn by_id(context: &Context, id: uuid::Uuid) -> MetadataResponseTopic {
    match context.shared.broker.topic_by_id(TopicId(id)) {
        Ok(topic) => describe(context, &topic).await,
        Err(_) => MetadataResponseTopic {
            error_code: ErrorCode::UnknownTopicId.code(),
            name: None,
            topic_id: id,
            ..MetadataResponseTopic::default()
        },
    }
}

async fn describe(context: &Context, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let node_id = context.shared.config.node_id;
    let partitions = topic.partitions();
    let count = partitions.len();
    context
        .room
        .take(TOPIC.0 + count * PARTITION.0, TOPIC.1 + count * PARTITION.1)
        .await;
    MetadataResponseTopic {
        error_code: 0,
        name: Some((&**topic.name()).into()),
        topic_id: convert::id(topic),
        is_internal: topic.is_internal(),
        partitions: partitions
            .iter()
            .map(|partition| MetadataResponsePartition {
                error_code: 0,
                partition_index: partition.index(),
                leader_id: node_id,
                leader_epoch: partition.epoch(),
                replica_nodes: vec![node_id],
                isr_nodes: vec![node_id],
                offline_replicas: Vec::new(),
            })
            .collect(),
        ..MetadataResponseTopic::default()
    }
}
