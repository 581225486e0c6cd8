//! Creating, growing and deleting topics.

use std::collections::{BTreeMap, BTreeSet};

use base::TopicId;
use broker::{Broker, Error, NewTopic, topic_config};
use kafka_wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_wire::messages::create_topics_request::CreatableTopic;
use kafka_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_wire::messages::delete_topics_response::DeletableTopicResult;
use kafka_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};
use kafka_wire::{ErrorCode, Str};
use uuid::Uuid;

use super::{Context, configs};
use crate::convert::{self, owned};
use crate::error;

type Refusal = (ErrorCode, String);

fn refusal(error: &Error) -> Refusal {
    (error::code(error), error.to_string())
}

/// The names that occur more than once: each gets one answer, an error.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names
        .filter(|name| !seen.insert(*name))
        .map(ToOwned::to_owned)
        .collect()
}

pub(super) async fn create_topics(
    context: &Context,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut response = CreateTopicsResponse::default();
    let twice = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut refused = BTreeSet::new();
    // For all of them before anything is made: what is made is answered.
    let own: usize = request
        .topics
        .iter()
        .flat_map(|topic| &topic.configs)
        .map(|entry| entry.value.as_ref().map_or(0, |value| value.len()))
        .sum();
    let size = config_size(&context.shared.broker);
    let count = request.topics.len();
    context
        .room
        .take(own + count * size.0, own + count * size.1)
        .await;
    for topic in request.topics {
        context.room.step().await;
        let name = topic.name.clone();
        let created = if twice.contains(name.as_str()) {
            if !refused.insert(owned(&name)) {
                continue;
            }
            Err((
                ErrorCode::InvalidRequest,
                "the topic is named more than once".to_owned(),
            ))
        } else {
            create(context, topic, request.validate_only).await
        };
        response
            .topics
            .push(created.unwrap_or_else(|(code, why)| CreatableTopicResult {
                name,
                error_code: code.code(),
                error_message: Some(why.into()),
                num_partitions: -1,
                replication_factor: -1,
                configs: None,
                ..CreatableTopicResult::default()
            }));
    }
    response
}

/// What the settings of a new topic take in an answer, in memory and as sent, but for those that
/// the request brings.
fn config_size(broker: &Broker) -> (usize, usize) {
    let mut size = (0, 0);
    for key in topic_config::KEYS {
        let operator = broker.config().defaults.get(key.name);
        let value = operator.map_or(0, String::len).max(key.default.len());
        size.0 += size_of::<CreatableTopicConfigs>() + 32 + value;
        size.1 += key.name.len() + value + 8;
    }
    size
}

async fn create(
    context: &Context,
    topic: CreatableTopic,
    dry_run: bool,
) -> Result<CreatableTopicResult, Refusal> {
    let broker = &context.shared.broker;
    let partitions = wanted_partitions(context, &topic)?;
    let mut config = BTreeMap::new();
    for entry in &topic.configs {
        let Some(value) = &entry.value else {
            return Err((
                ErrorCode::InvalidConfig,
                format!("`{}` has no value", entry.name),
            ));
        };
        config.insert(owned(&entry.name), owned(value));
    }
    let new = NewTopic {
        name: owned(&topic.name),
        partitions,
        config,
        internal: false,
    };
    let count = partitions.unwrap_or_else(|| broker.config().partitions);
    let created = broker
        .create_topic(new, dry_run)
        .await
        .map_err(|e| refusal(&e))?;
    let config = created.config();
    let configs = topic_config::KEYS.iter().map(|key| {
        let (value, config_source) = configs::value(broker, &config, key);
        CreatableTopicConfigs {
            name: Str::from_static(key.name),
            value: Some(value.into()),
            read_only: false,
            config_source,
            is_sensitive: false,
        }
    });
    Ok(CreatableTopicResult {
        name: topic.name,
        topic_id: if dry_run {
            Uuid::nil()
        } else {
            convert::id(&created)
        },
        num_partitions: i32::try_from(count).unwrap_or(i32::MAX),
        replication_factor: 1,
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    })
}

/// How many partitions a new topic is to have; `None` is the operator's default.
fn wanted_partitions(context: &Context, topic: &CreatableTopic) -> Result<Option<u32>, Refusal> {
    let node_id = context.shared.config.node_id;
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let why = "partitions are assigned by hand and counted as well".to_owned();
            return Err((ErrorCode::InvalidRequest, why));
        }
        let mut indexes: Vec<i32> = topic
            .assignments
            .iter()
            .map(|a| a.partition_index)
            .collect();
        indexes.sort_unstable();
        let dense = indexes
            .iter()
            .zip(0..)
            .all(|(index, expected)| *index == expected);
        if !dense || topic.assignments.iter().any(|a| a.broker_ids != [node_id]) {
            let why = format!("there is one broker, {node_id}; assign partitions 0.. to it");
            return Err((ErrorCode::InvalidReplicaAssignment, why));
        }
        return Ok(u32::try_from(indexes.len()).ok());
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let why = format!(
            "replication factor {}: there is one broker",
            topic.replication_factor
        );
        return Err((ErrorCode::InvalidReplicationFactor, why));
    }
    match topic.num_partitions {
        -1 => Ok(None),
        count if count > 0 => Ok(u32::try_from(count).ok()),
        count => Err((ErrorCode::InvalidPartitions, format!("{count} partitions"))),
    }
}

fn invalid<T>(why: &str) -> Result<T, Refusal> {
    Err((ErrorCode::InvalidRequest, why.to_owned()))
}

/// The topics that a deletion names more than once, by name or by id: nobody can know what was
/// meant, so they stay.
fn named_twice(broker: &Broker, wanted: &[(Option<Str>, Uuid)]) -> BTreeSet<TopicId> {
    let mut seen = BTreeSet::new();
    let topic = |(name, id): &(Option<Str>, Uuid)| match name {
        Some(name) if id.is_nil() => broker.topic(name).ok().map(|topic| topic.id()),
        Some(_) => None,
        None => Some(TopicId(*id)),
    };
    wanted
        .iter()
        .filter_map(topic)
        .filter(|id| !seen.insert(*id))
        .collect()
}

pub(super) async fn delete_topics(
    context: &Context,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let mut response = DeleteTopicsResponse::default();
    let broker = &context.shared.broker;
    let mut wanted: Vec<(Option<Str>, Uuid)> = request
        .topic_names
        .into_iter()
        .map(|name| (Some(name), Uuid::nil()))
        .collect();
    wanted.extend(
        request
            .topics
            .into_iter()
            .map(|topic| (topic.name, topic.topic_id)),
    );
    let twice = named_twice(broker, &wanted);
    let mut refused = BTreeSet::new();
    for (name, id) in wanted {
        context.room.step().await;
        let found = match (&name, id.is_nil()) {
            (Some(_), false) => invalid("both name and id"),
            (None, true) => invalid("neither name nor id"),
            (Some(name), true) => broker.topic(name).map_err(|e| refusal(&e)),
            (None, false) => broker.topic_by_id(TopicId(id)).map_err(|e| refusal(&e)),
        };
        let found = match found {
            Ok(topic) if twice.contains(&topic.id()) => {
                if !refused.insert(topic.id()) {
                    continue;
                }
                invalid("the topic is named more than once")
            }
            found => found,
        };
        let mut answer = DeletableTopicResult {
            name,
            topic_id: id,
            ..Default::default()
        };
        let deleted = match found {
            Ok(topic) => {
                answer.name = Some((&**topic.name()).into());
                answer.topic_id = convert::id(&topic);
                broker.delete_topic(topic).await.map_err(|e| refusal(&e))
            }
            Err(refusal) => Err(refusal),
        };
        if let Err((code, why)) = deleted {
            answer.error_code = code.code();
            answer.error_message = Some(why.into());
        }
        response.responses.push(answer);
    }
    response
}

/// What is wrong with the places that a client gives to new partitions; none given is fine.
fn wrong_assignment(
    context: &Context,
    topic: &str,
    count: i32,
    assigned: &[Vec<i32>],
) -> Option<String> {
    let node_id = context.shared.config.node_id;
    if assigned.iter().any(|brokers| *brokers != [node_id]) {
        return Some(format!("there is one broker, {node_id}"));
    }
    let have = context.shared.broker.topic(topic).ok()?.partitions().len();
    let new = usize::try_from(count).ok()?.checked_sub(have)?;
    let wrong = !assigned.is_empty() && assigned.len() != new;
    wrong.then(|| format!("{new} new partitions, but {} assignments", assigned.len()))
}

pub(super) async fn create_partitions(
    context: &Context,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut response = CreatePartitionsResponse::default();
    let twice = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut refused = BTreeSet::new();
    for topic in request.topics {
        context.room.step().await;
        let assigned = topic.assignments.unwrap_or_default();
        let assigned: Vec<_> = assigned.into_iter().map(|a| a.broker_ids).collect();
        let outcome = if twice.contains(topic.name.as_str()) {
            if !refused.insert(owned(&topic.name)) {
                continue;
            }
            Err((
                ErrorCode::InvalidRequest,
                "the topic is named more than once".to_owned(),
            ))
        } else if let Some(why) = wrong_assignment(context, &topic.name, topic.count, &assigned) {
            Err((ErrorCode::InvalidReplicaAssignment, why))
        } else {
            let broker = &context.shared.broker;
            let grown = broker
                .add_partitions(&topic.name, topic.count, request.validate_only)
                .await;
            grown.map_err(|e| refusal(&e))
        };
        let (code, why) = match outcome {
            Ok(()) => (0, None),
            Err((code, why)) => (code.code(), Some(why.into())),
        };
        let (name, error_message) = (topic.name, why);
        response.results.push(CreatePartitionsTopicResult {
            name,
            error_code: code,
            error_message,
        });
    }
    response
}
