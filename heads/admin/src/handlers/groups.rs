//! Consumer groups: who is in them, how far behind they are.

use std::sync::Arc;
use std::time::Duration;

use broker::group::{Committed, State};
use broker::{Error, ReadFrom, ReadLimits};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body;
use super::records::{From, signed};
use crate::Shared;
use crate::error::Problem;
use crate::routes::Answer;

#[derive(Serialize)]
struct List {
    groups: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    state: &'static str,
    protocol_type: String,
}

fn state(state: State) -> &'static str {
    match state {
        State::Empty => "empty",
        State::PreparingRebalance => "preparing_rebalance",
        State::CompletingRebalance => "completing_rebalance",
        State::Stable => "stable",
        State::Dead => "dead",
    }
}

/// `GET /v1/groups`
pub(crate) async fn list(shared: Arc<Shared>, _: Request) -> Answer {
    let groups = shared
        .broker
        .groups()
        .list()
        .into_iter()
        .map(|group| Listed {
            state: state(group.state),
            name: group.name,
            protocol_type: group.protocol_type,
        });
    Ok(Response::json(
        StatusCode::OK,
        &List {
            groups: groups.collect(),
        },
    ))
}

#[derive(Serialize)]
struct Described {
    name: String,
    state: &'static str,
    protocol_type: String,
    protocol: String,
    members: Vec<Member>,
    offsets: Vec<Progress>,
    lag: u64,
    lag_seconds: f64,
}

#[derive(Serialize)]
struct Member {
    id: String,
    instance_id: Option<String>,
    client_id: String,
    client_host: String,
}

#[derive(Serialize)]
struct Progress {
    topic: String,
    partition: i32,
    committed: i64,
    committed_at: i64,
    metadata: String,
    /// `None` when the topic is gone.
    start: Option<u64>,
    end: Option<u64>,
    /// Records not yet consumed.
    lag: Option<u64>,
    /// Age of the next record to be consumed.
    lag_seconds: Option<f64>,
}

/// `GET /v1/groups/{group}`
pub(crate) async fn describe(shared: Arc<Shared>, request: Request) -> Answer {
    let name = request.param("group");
    let groups = shared.broker.groups();
    let group = groups
        .describe(name)
        .ok_or_else(|| Problem::not_found(format!("there is no group `{name}`")))?;
    let mut offsets = Vec::new();
    for (topic, partition, committed) in groups.all_committed(name) {
        offsets.push(progress(&shared, topic, partition, committed).await);
    }
    let members = group.members.into_iter().map(|member| Member {
        id: member.id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
    });
    let described = Described {
        name: name.to_owned(),
        state: state(group.state),
        protocol_type: group.protocol_type,
        protocol: group.protocol,
        members: members.collect(),
        lag: offsets.iter().filter_map(|p| p.lag).sum(),
        lag_seconds: offsets
            .iter()
            .filter_map(|p| p.lag_seconds)
            .fold(0.0, f64::max),
        offsets,
    };
    Ok(Response::json(StatusCode::OK, &described))
}

async fn progress(
    shared: &Shared,
    topic: String,
    partition: i32,
    committed: Committed,
) -> Progress {
    let found = shared
        .broker
        .topic(&topic)
        .and_then(|topic| topic.partition(partition));
    let mut progress = Progress {
        topic,
        partition,
        committed: committed.offset,
        committed_at: committed.at_ms,
        metadata: committed.metadata,
        start: None,
        end: None,
        lag: None,
        lag_seconds: None,
    };
    let Ok(partition) = found else {
        return progress;
    };
    let (start, end) = (partition.start().0, partition.end().0);
    progress.start = Some(start);
    progress.end = Some(end);
    // What retention has deleted meanwhile is not waiting any more.
    let next = u64::try_from(committed.offset).unwrap_or(0).max(start);
    let lag = end.saturating_sub(next);
    progress.lag = Some(lag);
    if lag == 0 {
        progress.lag_seconds = Some(0.0);
        return progress;
    }
    let wanted = [ReadFrom {
        partition,
        from: signed(next),
    }];
    let limits = ReadLimits {
        records: 1,
        bytes: 1,
        wait: Duration::ZERO,
    };
    let read = shared.broker.read_records(&wanted, limits).await;
    let first = read
        .ok()
        .and_then(|read| read.into_iter().next()?.records.into_iter().next());
    progress.lag_seconds = first.map(|record| {
        let age_ms = shared
            .broker
            .clock()
            .unix_ms()
            .saturating_sub(record.timestamp)
            .max(0);
        Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64()
    });
    progress
}

/// `DELETE /v1/groups/{group}`
pub(crate) async fn delete(shared: Arc<Shared>, request: Request) -> Answer {
    shared
        .broker
        .groups()
        .delete(request.param("group"))
        .await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// Where a group is to read on. One of the three says where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetOffsets {
    topic: String,
    /// All of them when left out.
    partition: Option<i32>,
    /// `earliest` or `latest`.
    to: Option<String>,
    offset: Option<i64>,
    /// Milliseconds since 1970.
    timestamp: Option<i64>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct OffsetsSet {
    group: String,
    dry_run: bool,
    offsets: Vec<OffsetSet>,
}

#[derive(Serialize)]
struct OffsetSet {
    topic: String,
    partition: i32,
    before: Option<i64>,
    after: i64,
}

impl SetOffsets {
    fn target(&self) -> Result<From, Problem> {
        match (self.to.as_deref(), self.offset, self.timestamp) {
            (Some("earliest"), None, None) => Ok(From::Earliest),
            (Some("latest"), None, None) => Ok(From::Latest),
            (None, Some(offset), None) => Ok(From::Offset(offset)),
            (None, None, Some(at)) => Ok(From::Time(at)),
            _ => Err(Problem::invalid(
                "give one of `to` (earliest, latest), `offset` and `timestamp`",
            )),
        }
    }
}

/// `PUT /v1/groups/{group}/offsets`: for a group without members.
pub(crate) async fn set_offsets(shared: Arc<Shared>, request: Request) -> Answer {
    let set: SetOffsets = body(&request)?;
    let target = set.target()?;
    let name = request.param("group");
    let topic = shared.broker.topic(&set.topic)?;
    let partitions = match set.partition {
        Some(index) => vec![topic.partition(index)?],
        None => topic.partitions().to_vec(),
    };
    let groups = shared.broker.groups();
    let mut offsets = Vec::new();
    let mut commits = Vec::new();
    for partition in partitions {
        let (start, end) = (partition.start(), partition.end());
        let after = target.offset(&partition).await?;
        if after < signed(start.0) || after > signed(end.0) {
            return Err(Problem::from(Error::OutOfRange {
                from: after,
                start,
                end,
            }));
        }
        let index = partition.index();
        let before = groups.committed(name, &set.topic, index).map(|c| c.offset);
        offsets.push(OffsetSet {
            topic: set.topic.clone(),
            partition: index,
            before,
            after,
        });
        let mut committed = Committed::default();
        committed.offset = after;
        committed.leader_epoch = -1;
        commits.push((set.topic.clone(), index, committed));
    }
    if !set.dry_run {
        for outcome in groups.commit(name, ("", None, -1), commits).await? {
            outcome?;
        }
    }
    let answer = OffsetsSet {
        group: name.to_owned(),
        dry_run: set.dry_run,
        offsets,
    };
    Ok(Response::json(StatusCode::OK, &answer))
}
