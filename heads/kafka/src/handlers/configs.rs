//! What is configured about topics and the broker, and changing it.

use std::collections::BTreeMap;

use base::HashSet;
use broker::topic_config::{self, ValueKind};
use broker::{Broker, ConfigChange, ConfigOperation, Error, TopicConfig};
use kafka_wire::messages::alter_configs_response as ac;
use kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use kafka_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_wire::messages::incremental_alter_configs_response as iac;
use kafka_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_wire::{ErrorCode, Str};

use super::Context;
use crate::Shared;
use crate::convert::owned;
use crate::error;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a value comes from.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

type Refusal = (ErrorCode, String);

fn refusal(error: &Error) -> Refusal {
    (error::code(error), error.to_string())
}

fn kind_number(kind: ValueKind) -> i8 {
    match kind {
        ValueKind::Boolean => 1,
        ValueKind::Text => 2,
        ValueKind::Int => 3,
        ValueKind::Long => 5,
        ValueKind::Double => 6,
        ValueKind::List => 7,
    }
}

pub(super) async fn describe_configs(
    context: &Context,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let show = Show {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        context.room.step().await;
        let configs = match resource.resource_type {
            TOPIC => of_topic(context, &resource, show).await,
            BROKER => of_broker(context, &resource, show).await,
            _ => Err((
                ErrorCode::InvalidRequest,
                "only topics and brokers are configured".to_owned(),
            )),
        };
        let (error_code, error_message, configs) = match configs {
            Ok(configs) => (0, None, configs),
            Err((code, why)) => (code.code(), Some(why.into()), Vec::new()),
        };
        results.push(DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        });
    }
    DescribeConfigsResponse {
        results,
        ..DescribeConfigsResponse::default()
    }
}

#[derive(Clone, Copy)]
struct Show {
    synonyms: bool,
    documentation: bool,
}

/// Which keys are asked about.
struct Wanted<'a>(HashSet<&'a str>);

impl<'a> Wanted<'a> {
    fn of(resource: &'a DescribeConfigsResource) -> Self {
        let keys = resource.configuration_keys.iter().flatten();
        Self(keys.map(Str::as_str).collect())
    }

    /// Null or no keys at all are all of them.
    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(name)
    }
}

/// The values that a topic's key is given, and where they come from; the first is in force.
fn values<'a>(
    broker: &'a Broker,
    config: &'a TopicConfig,
    key: &'static topic_config::Key,
) -> impl Iterator<Item = (&'a str, i8)> {
    let set = config.set.get(key.name);
    let operator = broker.config().defaults.get(key.name);
    let given = [
        set.map(|value| (value.as_str(), SOURCE_TOPIC)),
        operator.map(|value| (value.as_str(), SOURCE_STATIC)),
        Some((key.default, SOURCE_DEFAULT)),
    ];
    given.into_iter().flatten()
}

/// The value of a topic's key that is in force, and where it comes from.
pub(super) fn value<'a>(
    broker: &'a Broker,
    config: &'a TopicConfig,
    key: &'static topic_config::Key,
) -> (&'a str, i8) {
    let first = values(broker, config, key).next();
    first.unwrap_or((key.default, SOURCE_DEFAULT))
}

/// What an entry takes in an answer, in memory and as sent, without its texts.
const ENTRY: (usize, usize) = (size_of::<DescribeConfigsResourceResult>() + 64, 32);
/// What a synonym does.
const SYNONYM: (usize, usize) = (size_of::<DescribeConfigsSynonym>() + 64, 16);

/// What an entry for `key` takes.
fn entry_size(
    key: &topic_config::Key,
    values: impl Iterator<Item = usize>,
    show: Show,
) -> (usize, usize) {
    let doc = if show.documentation { key.doc.len() } else { 0 };
    let (mut memory, mut sent) = (ENTRY.0, ENTRY.1 + key.name.len() + doc);
    if show.synonyms {
        // The smallest list has room for so many.
        memory += 4 * size_of::<DescribeConfigsSynonym>();
    }
    for (at, value) in values.enumerate() {
        if at == 0 {
            memory += value;
            sent += value;
        }
        if show.synonyms {
            memory += SYNONYM.0 + value;
            sent += SYNONYM.1 + key.name.len() + value;
        }
    }
    (memory, sent)
}

async fn of_topic(
    context: &Context,
    resource: &DescribeConfigsResource,
    show: Show,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let broker = &context.shared.broker;
    let name = resource.resource_name.as_str();
    broker::meta::check_topic_name(name)
        .map_err(|why| (ErrorCode::InvalidTopicException, why.to_string()))?;
    let topic = broker.topic(name).map_err(|e| refusal(&e))?;
    let config = topic.config();
    let wanted = Wanted::of(resource);
    let keys = || topic_config::KEYS.iter().filter(|key| wanted.has(key.name));
    let size = keys().fold((0, 0), |sum, key| {
        let lengths = values(broker, &config, key).map(|(value, _)| value.len());
        let size = entry_size(key, lengths, show);
        (sum.0 + size.0, sum.1 + size.1)
    });
    context.room.take(size.0, size.1).await;
    let describe = |key: &'static topic_config::Key| {
        let given = values(broker, &config, key);
        let (value, source) = self::value(broker, &config, key);
        let synonym = |(value, source): (&str, i8)| DescribeConfigsSynonym {
            name: Str::from_static(key.name),
            value: Some(value.into()),
            source,
        };
        DescribeConfigsResourceResult {
            name: Str::from_static(key.name),
            value: Some(value.into()),
            read_only: false,
            config_source: source,
            is_sensitive: false,
            synonyms: if show.synonyms {
                given.map(synonym).collect()
            } else {
                Vec::new()
            },
            config_type: kind_number(key.kind),
            documentation: show.documentation.then(|| Str::from_static(key.doc)),
        }
    };
    Ok(keys().map(describe).collect())
}

/// What clients look for in a broker's configuration; changed in the operator's file only.
async fn of_broker(
    context: &Context,
    resource: &DescribeConfigsResource,
    show: Show,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let shared = &context.shared;
    let name = resource.resource_name.as_str();
    if !name.is_empty() && name != shared.config.node_id.to_string() {
        let why = format!("there is one broker, {}", shared.config.node_id);
        return Err((ErrorCode::InvalidRequest, why));
    }
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Wanted::of(resource);
    let values = broker_values(shared);
    let count = values.len();
    context
        .room
        .take(count * (ENTRY.0 + 64), count * (ENTRY.1 + 128))
        .await;
    let shown = values.into_iter().filter(|(key, ..)| wanted.has(key));
    let entry =
        |(name, kind, value): (&'static str, ValueKind, String)| DescribeConfigsResourceResult {
            name: Str::from_static(name),
            value: Some(value.into()),
            read_only: true,
            config_source: SOURCE_STATIC,
            is_sensitive: false,
            synonyms: Vec::new(),
            config_type: kind_number(kind),
            documentation: show
                .documentation
                .then(|| Str::from_static("Set in stentor.toml.")),
        };
    Ok(shown.map(entry).collect())
}

/// What a client may want to know of the broker, sorted.
fn broker_values(shared: &Shared) -> Vec<(&'static str, ValueKind, String)> {
    let topics = shared.broker.config();
    vec![
        (
            "auto.create.topics.enable",
            ValueKind::Boolean,
            topics.auto_create.to_string(),
        ),
        (
            "broker.id",
            ValueKind::Int,
            shared.config.node_id.to_string(),
        ),
        (
            "connections.max.reauth.ms",
            ValueKind::Long,
            shared.config.sasl_lifetime.0.to_string(),
        ),
        ("default.replication.factor", ValueKind::Int, "1".to_owned()),
        (
            "fetch.max.bytes",
            ValueKind::Int,
            shared.config.fetch_bytes_max.0.to_string(),
        ),
        ("node.id", ValueKind::Int, shared.config.node_id.to_string()),
        (
            "num.partitions",
            ValueKind::Int,
            topics.partitions.to_string(),
        ),
        (
            "producer.id.expiration.ms",
            ValueKind::Int,
            topics.producer_expiration_ms.to_string(),
        ),
        (
            "socket.request.max.bytes",
            ValueKind::Int,
            shared.config.request_bytes_max.0.to_string(),
        ),
    ]
}

fn only_topics(kind: i8) -> Result<(), Refusal> {
    match kind {
        TOPIC => Ok(()),
        BROKER => Err((
            ErrorCode::InvalidConfig,
            "the broker is configured in stentor.toml".to_owned(),
        )),
        _ => Err((
            ErrorCode::InvalidRequest,
            "only topics are configured here".to_owned(),
        )),
    }
}

fn told(outcome: Result<(), Refusal>) -> (i16, Option<Str>) {
    match outcome {
        Ok(()) => (0, None),
        Err((code, why)) => (code.code(), Some(why.into())),
    }
}

pub(super) async fn alter_configs(
    context: &Context,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let broker = &context.shared.broker;
    let mut response = AlterConfigsResponse::default();
    for resource in request.resources {
        context.room.step().await;
        let mut config = BTreeMap::new();
        for entry in &resource.configs {
            if let Some(value) = &entry.value {
                config.insert(owned(&entry.name), owned(value));
            }
        }
        let outcome = match only_topics(resource.resource_type) {
            Ok(()) => broker
                .set_topic_config(&resource.resource_name, config, request.validate_only)
                .await
                .map_err(|e| refusal(&e)),
            Err(refusal) => Err(refusal),
        };
        let (error_code, error_message) = told(outcome);
        response.responses.push(ac::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    response
}

pub(super) async fn incremental_alter_configs(
    context: &Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let broker = &context.shared.broker;
    let mut response = IncrementalAlterConfigsResponse::default();
    for resource in request.resources {
        context.room.step().await;
        let changes: Result<Vec<ConfigChange>, Refusal> = resource
            .configs
            .iter()
            .map(|entry| change(&entry.name, entry.config_operation, entry.value.as_ref()))
            .collect();
        let outcome = match only_topics(resource.resource_type).and(changes) {
            Ok(changes) => broker
                .change_topic_config(&resource.resource_name, changes, request.validate_only)
                .await
                .map_err(|e| refusal(&e)),
            Err(refusal) => Err(refusal),
        };
        let (error_code, error_message) = told(outcome);
        response.responses.push(iac::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    response
}

fn change(key: &Str, operation: i8, value: Option<&Str>) -> Result<ConfigChange, Refusal> {
    let value = value.map(owned);
    let missing = || (ErrorCode::InvalidRequest, format!("`{key}` has no value"));
    let operation = match operation {
        0 => ConfigOperation::Set(value.ok_or_else(missing)?),
        1 => ConfigOperation::Delete,
        2 => ConfigOperation::Append(value.ok_or_else(missing)?),
        3 => ConfigOperation::Subtract(value.ok_or_else(missing)?),
        other => {
            return Err((
                ErrorCode::InvalidRequest,
                format!("unknown operation {other}"),
            ));
        }
    };
    Ok(ConfigChange {
        key: owned(key),
        operation,
    })
}
