//! What is configured about topics and the broker, and changing it.

use std::collections::BTreeMap;

use broker::topic_config::{self, ValueKind};
use broker::{ConfigChange, ConfigOperation, Error};
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
    let describe = |resource: DescribeConfigsResource| {
        let configs = match resource.resource_type {
            TOPIC => of_topic(context, &resource, show),
            BROKER => of_broker(context, &resource, show),
            _ => Err((
                ErrorCode::InvalidRequest,
                "only topics and brokers are configured".to_owned(),
            )),
        };
        let (error_code, error_message, configs) = match configs {
            Ok(configs) => (0, None, configs),
            Err((code, why)) => (code.code(), Some(why.into()), Vec::new()),
        };
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        }
    };
    let results = request.resources.into_iter().map(describe).collect();
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

/// Null or no keys at all are all of them.
fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    keys.is_empty() || keys.iter().any(|key| key == name)
}

fn of_topic(
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
    let keys = topic_config::KEYS
        .iter()
        .filter(|key| is_wanted(resource, key.name));
    let describe = |key: &topic_config::Key| {
        let set = config
            .set
            .get(key.name)
            .map(|value| (value.as_str(), SOURCE_TOPIC));
        let operator = broker.config().defaults.get(key.name);
        let operator = operator.map(|value| (value.as_str(), SOURCE_STATIC));
        let all = [set, operator, Some((key.default, SOURCE_DEFAULT))];
        let mut given = all.into_iter().flatten();
        let (value, source) = given
            .clone()
            .next()
            .unwrap_or((key.default, SOURCE_DEFAULT));
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
                given.by_ref().map(synonym).collect()
            } else {
                Vec::new()
            },
            config_type: kind_number(key.kind),
            documentation: show.documentation.then(|| Str::from_static(key.doc)),
        }
    };
    Ok(keys.map(describe).collect())
}

/// What clients look for in a broker's configuration; changed in the operator's file only.
fn of_broker(
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
    let shown = broker_values(shared)
        .into_iter()
        .filter(|(key, ..)| is_wanted(resource, key));
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
