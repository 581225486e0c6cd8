//! Topics: list, create, describe, delete, more partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{NewTopic, Topic};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body;
use crate::Shared;
use crate::routes::Answer;

#[derive(Serialize)]
struct List {
    topics: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    id: String,
    partitions: usize,
    internal: bool,
    records: u64,
    bytes: u64,
}

/// `GET /v1/topics`
pub(crate) async fn list(shared: Arc<Shared>, _: Request) -> Answer {
    let topics = shared.broker.topics();
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions();
        Listed {
            name: topic.name().to_string(),
            id: topic.id().to_string(),
            partitions: partitions.len(),
            internal: topic.is_internal(),
            records: partitions
                .iter()
                .map(|p| p.end().0.saturating_sub(p.start().0))
                .sum(),
            bytes: partitions.iter().map(|p| p.size()).sum(),
        }
    });
    Ok(Response::json(
        StatusCode::OK,
        &List {
            topics: topics.collect(),
        },
    ))
}

#[derive(Serialize)]
struct Described {
    name: String,
    id: String,
    internal: bool,
    config: BTreeMap<String, String>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    partition: i32,
    start: u64,
    end: u64,
    bytes: u64,
}

fn described(topic: &Topic) -> Described {
    let partitions = topic.partitions();
    let partitions = partitions.iter().map(|p| Partition {
        partition: p.index(),
        start: p.start().0,
        end: p.end().0,
        bytes: p.size(),
    });
    Described {
        name: topic.name().to_string(),
        id: topic.id().to_string(),
        internal: topic.is_internal(),
        config: topic.config().set.clone(),
        partitions: partitions.collect(),
    }
}

/// `GET /v1/topics/{topic}`
pub(crate) async fn describe(shared: Arc<Shared>, request: Request) -> Answer {
    let topic = shared.broker.topic(request.param("topic"))?;
    Ok(Response::json(StatusCode::OK, &described(&topic)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    #[serde(default)]
    partitions: Option<u32>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /v1/topics`
pub(crate) async fn create(shared: Arc<Shared>, request: Request) -> Answer {
    let create: Create = body(&request)?;
    let new = NewTopic {
        name: create.name,
        partitions: create.partitions,
        config: create.config,
        internal: false,
    };
    let topic = shared.broker.create_topic(new, create.dry_run).await?;
    let status = if create.dry_run {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(Response::json(status, &described(&topic)))
}

/// `DELETE /v1/topics/{topic}`
pub(crate) async fn delete(shared: Arc<Shared>, request: Request) -> Answer {
    let topic = shared.broker.topic(request.param("topic"))?;
    shared.broker.delete_topic(topic).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grow {
    total: i32,
    #[serde(default)]
    dry_run: bool,
}

/// `POST /v1/topics/{topic}/partitions`
pub(crate) async fn grow(shared: Arc<Shared>, request: Request) -> Answer {
    let grow: Grow = body(&request)?;
    let name = request.param("topic");
    shared
        .broker
        .add_partitions(name, grow.total, grow.dry_run)
        .await?;
    Ok(Response::json(
        StatusCode::OK,
        &described(&*shared.broker.topic(name)?),
    ))
}
