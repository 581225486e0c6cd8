//! Publishing records.

use std::sync::Arc;

use broker::{Ack, Error, NewTopic, Topic};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body;
use crate::Shared;
use crate::convert::RecordIn;
use crate::error::Problem;
use crate::routes::Answer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    records: Vec<RecordIn>,
    #[serde(default)]
    ack: AckIn,
}

/// What the answer waits for.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AckIn {
    /// As durable as the topic promises.
    #[default]
    All,
    /// Written.
    Leader,
    /// Nothing.
    None,
}

#[derive(Serialize)]
struct Published {
    records: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    partition: i32,
    offset: u64,
}

/// `POST /v1/topics/{topic}/records`
pub(crate) async fn publish(shared: Arc<Shared>, request: Request) -> Answer {
    let publish: Publish = body(&request)?;
    let limit = shared.config.publish_records_max;
    if publish.records.len() > limit {
        return Err(Problem::invalid(format!(
            "{} records in one request are more than http.publish_records_max = {limit}",
            publish.records.len()
        )));
    }
    let records: Result<Vec<_>, _> = publish
        .records
        .into_iter()
        .map(RecordIn::into_record)
        .collect();
    let records = records?;
    let topic = topic(&shared, request.param("topic")).await?;
    let ack = match publish.ack {
        AckIn::All => Ack::Quorum,
        AckIn::Leader => Ack::Leader,
        AckIn::None => Ack::None,
    };
    let published = shared.publisher.publish(&topic, records, ack).await?;
    let places = published.iter().map(|p| Place {
        partition: p.partition,
        offset: p.offset.0,
    });
    Ok(Response::json(
        StatusCode::OK,
        &Published {
            records: places.collect(),
        },
    ))
}

/// The topic; made when there is none and the operator allows that.
async fn topic(shared: &Shared, name: &str) -> Result<Arc<Topic>, Error> {
    match shared.broker.topic(name) {
        Err(Error::UnknownTopic(_)) if shared.broker.config().auto_create => {}
        found => return found,
    }
    let new = NewTopic {
        name: name.to_owned(),
        ..NewTopic::default()
    };
    match shared.broker.create_topic(new, false).await {
        // Somebody else was quicker.
        Err(Error::TopicExists(_)) => shared.broker.topic(name),
        made => made,
    }
}
