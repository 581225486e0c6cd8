//! Publishing records.

use std::sync::Arc;

use broker::{Ack, Error, NewRecord, NewTopic, Topic};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body;
use crate::Shared;
use crate::convert::{Quota, RecordIn};
use crate::error::Problem;
use crate::routes::Answer;

/// Headers of a record, on average.
const HEADERS: usize = 16;

/// The records are taken apart one by one, so that no more are made of them than may be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish<'a> {
    #[serde(borrow)]
    records: &'a RawValue,
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
    let publish: Publish<'_> = body(&request)?;
    let records = records(publish.records, shared.config.publish_records_max)?;
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

fn records(list: &RawValue, limit: usize) -> Result<Vec<NewRecord>, Problem> {
    let headers = Quota::new(limit.saturating_mul(HEADERS), "headers");
    let quota = Quota::new(limit, "http.publish_records_max");
    let records: Vec<RecordIn> = quota.list(list)?;
    let records = records.into_iter().map(|r| r.into_record(&headers));
    records.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(list: &str, limit: usize) -> Option<String> {
        let list: &RawValue = serde_json::from_str(list).unwrap();
        records(list, limit).err().map(|problem| problem.detail)
    }

    #[test]
    fn no_more_records_and_headers_are_made_than_may_be() {
        let lists = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(problem(&lists(3), 3), None);
        let detail = problem(&lists(4), 3).unwrap();
        assert!(
            detail.contains("more than 3 (http.publish_records_max)"),
            "{detail}"
        );
        let header = r#"{"name":"a","value":"b"}"#;
        let headers = |n| format!(r#"[{{"headers":[{}]}}]"#, vec![header; n].join(","));
        assert_eq!(problem(&headers(16), 1), None);
        let detail = problem(&headers(17), 1).unwrap();
        assert!(detail.contains("more than 16 (headers)"), "{detail}");
    }

    #[test]
    fn the_list_ends_at_the_limit_however_long_it_is() {
        // What is behind the limit is not looked at: it is not even made of records.
        let detail = problem("[{},{},{},7]", 2).unwrap();
        assert!(detail.contains("more than 2"), "{detail}");
    }

    #[test]
    fn a_value_that_is_json_is_kept_as_its_compact_text() {
        let list = r#"[{"value":{ "b" : [1, 2.50, "x y\u0041" ], "a": null }}, {"value":"text\n"},
            {"value":null}, {"value": 7}, {"key":"k"}]"#;
        let list: &RawValue = serde_json::from_str(list).unwrap();
        let records = records(list, 10).unwrap();
        let values: Vec<_> = records.iter().map(|r| r.value.as_deref()).collect();
        let compact = br#"{"b":[1,2.50,"x y\u0041"],"a":null}"#;
        let expected = [Some(&compact[..]), Some(b"text\n"), None, Some(b"7"), None];
        assert_eq!(values, expected);
    }
}
