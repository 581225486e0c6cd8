//! Reading records of one partition.

use std::sync::Arc;
use std::time::Duration;

use broker::{Partition, ReadFrom, ReadLimits};
use net::http::{Request, Response, StatusCode};
use serde::Serialize;

use super::number;
use crate::Shared;
use crate::convert::{Encoding, RecordOut};
use crate::error::Problem;
use crate::routes::Answer;

/// How many records an answer holds when nobody says.
const LIMIT: usize = 100;

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Earliest,
    Latest,
    Offset(i64),
    /// Milliseconds since 1970.
    Time(i64),
    /// This many records before the end.
    Last(u64),
}

impl From {
    /// `from=earliest|latest|OFFSET|-N`, or `timestamp=MILLISECONDS`.
    pub(crate) fn of(request: &Request, default: Self) -> Result<Self, Problem> {
        if let Some(at) = number(request, "timestamp")? {
            return Ok(Self::Time(at));
        }
        let Some(text) = request.query_param("from") else {
            return Ok(default);
        };
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            other => match other.parse::<i64>() {
                Ok(offset) if offset < 0 => Ok(Self::Last(offset.unsigned_abs())),
                Ok(offset) => Ok(Self::Offset(offset)),
                Err(_) => Err(Problem::invalid(format!(
                    "`from={other}` is not earliest, latest, an offset, or -N for the last N"
                ))),
            },
        }
    }

    pub(crate) async fn offset(self, partition: &Arc<Partition>) -> Result<i64, Problem> {
        let end = signed(partition.end().0);
        Ok(match self {
            Self::Earliest => signed(partition.start().0),
            Self::Latest => end,
            Self::Offset(offset) => offset,
            Self::Last(n) => signed(partition.end().0.saturating_sub(n).max(partition.start().0)),
            Self::Time(at) => {
                let found = partition.by_timestamp(at).await?;
                found.map_or(end, |(offset, ..)| signed(offset.0))
            }
        })
    }
}

pub(crate) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

#[derive(Serialize)]
struct Records {
    partition: i32,
    records: Vec<RecordOut>,
    /// Where to read on.
    next: u64,
    start: u64,
    end: u64,
}

/// `GET /v1/topics/{topic}/records?partition=0&from=earliest&limit=100&max_wait_ms=0`
pub(crate) async fn read(shared: Arc<Shared>, request: Request) -> Answer {
    let topic = shared.broker.topic(request.param("topic"))?;
    let partition = topic.partition(number(&request, "partition")?.unwrap_or(0))?;
    let encoding = Encoding::parse(request.query_param("encoding").as_deref())?;
    let limit = number(&request, "limit")?
        .unwrap_or(LIMIT)
        .min(shared.config.read_records_max);
    let wait: u64 = number(&request, "max_wait_ms")?.unwrap_or(0);
    let from = From::of(&request, From::Earliest)?
        .offset(&partition)
        .await?;
    let limits = ReadLimits {
        records: limit,
        bytes: shared.config.read_bytes_max.as_usize(),
        wait: Duration::from_millis(wait.min(shared.config.wait_max.0)),
    };
    let wanted = [ReadFrom { partition, from }];
    let read = shared.broker.read_records(&wanted, limits).await?;
    let Some(read) = read.first() else {
        return Err(Problem::not_found("nothing was read"));
    };
    let index = wanted.first().map_or(0, |wanted| wanted.partition.index());
    let records = read
        .records
        .iter()
        .map(|r| RecordOut::new(index, r, encoding))
        .collect();
    let (next, start, end) = (read.next.0, read.start.0, read.end.0);
    let answer = Records {
        partition: index,
        records,
        next,
        start,
        end,
    };
    Ok(Response::json(StatusCode::OK, &answer))
}
