//! What is configured about a topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::topic_config::KEYS;
use broker::{ConfigChange, ConfigOperation, Topic};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body;
use crate::Shared;
use crate::routes::Answer;

#[derive(Serialize)]
struct Configs {
    topic: String,
    config: Vec<Value>,
}

#[derive(Serialize)]
struct Value {
    key: &'static str,
    value: String,
    /// `topic`, `server` or `default`.
    origin: &'static str,
    used: bool,
    doc: &'static str,
}

fn configs(shared: &Shared, topic: &Topic) -> Configs {
    let config = topic.config();
    let defaults = &shared.broker.config().defaults;
    let values = KEYS.iter().map(|key| {
        let (value, origin) = match (config.set.get(key.name), defaults.get(key.name)) {
            (Some(value), _) => (value.clone(), "topic"),
            (None, Some(value)) => (value.clone(), "server"),
            (None, None) => (key.default.to_owned(), "default"),
        };
        Value {
            key: key.name,
            value,
            origin,
            used: key.used,
            doc: key.doc,
        }
    });
    Configs {
        topic: topic.name().to_string(),
        config: values.collect(),
    }
}

/// `GET /v1/topics/{topic}/config`
pub(crate) async fn show(shared: Arc<Shared>, request: Request) -> Answer {
    let topic = shared.broker.topic(request.param("topic"))?;
    Ok(Response::json(StatusCode::OK, &configs(&shared, &topic)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    unset: Vec<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `PATCH /v1/topics/{topic}/config`: all changes or none.
pub(crate) async fn change(shared: Arc<Shared>, request: Request) -> Answer {
    let change: Change = body(&request)?;
    let name = request.param("topic");
    let set = change.set.into_iter();
    let set = set.map(|(key, value)| ConfigChange {
        key,
        operation: ConfigOperation::Set(value),
    });
    let unset = change.unset.into_iter();
    let unset = unset.map(|key| ConfigChange {
        key,
        operation: ConfigOperation::Delete,
    });
    let changes = set.chain(unset).collect();
    shared
        .broker
        .change_topic_config(name, changes, change.dry_run)
        .await?;
    let topic = shared.broker.topic(name)?;
    Ok(Response::json(StatusCode::OK, &configs(&shared, &topic)))
}
