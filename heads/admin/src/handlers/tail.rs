//! A stream of records of all or one of a topic's partitions, for as long as somebody listens.
//!
//! As JSON lines each record is a line; an empty line is a sign of life. As server-sent events
//! each record is an event whose id is `partition:offset`; a comment is a sign of life. The stream
//! is asked for more only as fast as the peer reads.

use std::sync::Arc;

use broker::{ReadFrom, ReadLimits, Records};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use net::http::{Request, Response};

use super::number;
use super::records::{From, signed};
use crate::Shared;
use crate::convert::{Encoding, RecordOut};
use crate::error::Problem;
use crate::routes::Answer;

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Lines,
    Events,
}

struct Tail {
    shared: Arc<Shared>,
    wanted: Vec<ReadFrom>,
    /// Where each partition ends for this reader; `None` follows for ever.
    until: Option<Vec<i64>>,
    limits: ReadLimits,
    encoding: Encoding,
    format: Format,
    left: u64,
    done: bool,
}

/// `GET /v1/topics/{topic}/tail?from=latest&partition=0&follow=true&limit=10&format=ndjson`
pub(crate) async fn tail(shared: Arc<Shared>, request: Request) -> Answer {
    let topic = shared.broker.topic(request.param("topic"))?;
    let format = match request.query_param("format").as_deref() {
        None if request
            .header("accept")
            .is_some_and(|a| a.contains("text/event-stream")) =>
        {
            Format::Events
        }
        None | Some("ndjson") => Format::Lines,
        Some("sse") => Format::Events,
        Some(other) => {
            return Err(Problem::invalid(format!(
                "format `{other}` is not ndjson or sse"
            )));
        }
    };
    let only = number(&request, "partition")?;
    let partitions = match only {
        Some(index) => vec![topic.partition(index)?],
        None => topic.partitions().to_vec(),
    };
    let from = From::of(&request, From::Latest)?;
    let follow = request
        .query_param("follow")
        .is_none_or(|follow| follow != "false");
    let until = (!follow).then(|| partitions.iter().map(|p| signed(p.end().0)).collect());
    let mut wanted = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let mut from = from.offset(&partition).await?;
        if only.is_none() {
            // One offset for all partitions is within few of them.
            from = from.clamp(signed(partition.start().0), signed(partition.end().0));
        }
        wanted.push(ReadFrom { partition, from });
    }
    let limits = ReadLimits {
        records: shared.config.read_records_max,
        bytes: shared.config.read_bytes_max.as_usize(),
        wait: shared.config.tail_heartbeat.into(),
    };
    let encoding = Encoding::parse(request.query_param("encoding").as_deref())?;
    let left = number(&request, "limit")?.unwrap_or(u64::MAX);
    let tail = Tail {
        shared,
        wanted,
        until,
        limits,
        encoding,
        format,
        left,
        done: false,
    };
    let kind = match format {
        Format::Lines => "application/x-ndjson",
        Format::Events => "text/event-stream",
    };
    Ok(Response::stream(
        kind,
        stream::unfold(tail, |mut tail| async move {
            let piece = tail.next().await?;
            Some((piece, tail))
        }),
    ))
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.drop_finished();
            if self.done || self.left == 0 || self.wanted.is_empty() {
                return None;
            }
            let records = usize::try_from(self.left).unwrap_or(usize::MAX);
            let limits = ReadLimits {
                records: records.min(self.limits.records),
                ..self.limits
            };
            let read = match self.shared.broker.read_records(&self.wanted, limits).await {
                Ok(read) => read,
                Err(error) => {
                    self.done = true;
                    return Some(self.last_words(&Problem::from(error)));
                }
            };
            let moved = read
                .iter()
                .zip(&self.wanted)
                .any(|(r, w)| signed(r.next.0) > w.from);
            let mut out = BytesMut::new();
            for (at, records) in read.iter().enumerate() {
                self.take(at, records, &mut out);
            }
            // The next turn begins with another partition, so that a full one starves nobody.
            if self.until.is_none() {
                self.wanted.rotate_left(1);
            }
            if out.is_empty() && moved {
                continue;
            }
            if out.is_empty() {
                out.put_slice(if self.format == Format::Lines {
                    b"\n"
                } else {
                    b":\n\n"
                });
            }
            return Some(out.freeze());
        }
    }

    fn take(&mut self, at: usize, records: &Records, out: &mut BytesMut) {
        let Some(wanted) = self.wanted.get_mut(at) else {
            return;
        };
        let until = self.until.as_ref().and_then(|until| until.get(at)).copied();
        let partition = wanted.partition.index();
        wanted.from = signed(records.next.0);
        for record in &records.records {
            if until.is_some_and(|until| signed(record.offset.0) >= until) || self.left == 0 {
                break;
            }
            self.left -= 1;
            let json = serde_json::to_vec(&RecordOut::new(partition, record, self.encoding));
            let Ok(json) = json else { continue };
            if self.format == Format::Events {
                let id = format!("id: {partition}:{}\ndata: ", record.offset);
                out.put_slice(id.as_bytes());
            }
            out.put_slice(&json);
            out.put_slice(if self.format == Format::Lines {
                b"\n"
            } else {
                b"\n\n"
            });
        }
    }

    /// A reader that does not follow leaves partitions that it has read to their end.
    fn drop_finished(&mut self) {
        let Some(until) = &mut self.until else { return };
        let keep: Vec<bool> = self
            .wanted
            .iter()
            .zip(until.iter())
            .map(|(w, until)| w.from < *until)
            .collect();
        let mut flags = keep.iter();
        self.wanted
            .retain(|_| flags.next().copied().unwrap_or(false));
        let mut flags = keep.iter();
        until.retain(|_| flags.next().copied().unwrap_or(false));
    }

    /// The status was sent long ago: an error is a last line.
    fn last_words(&self, problem: &Problem) -> Bytes {
        let body =
            serde_json::json!({ "error": problem.detail, "status": problem.status.as_u16() });
        match self.format {
            Format::Lines => Bytes::from(format!("{body}\n")),
            Format::Events => Bytes::from(format!("event: error\ndata: {body}\n\n")),
        }
    }
}
