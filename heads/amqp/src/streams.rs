//! Consuming from a stream: a queue whose messages stay. A consumer reads the queue's topic from
//! an offset on and moves no cursor; what it acknowledges gives it room for more, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use base::Offset;
use broker::queue::Queue;
use broker::{Broker, Partition, ReadFrom, ReadLimits, Record};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::task::AtomicWaker;
use futures_util::{StreamExt, future};

use crate::call::{Consume, Ready, Reply};
use crate::codec::properties::Properties;
use crate::codec::{Table, Value};
use crate::convert;
use crate::error::Failure;
use crate::handlers::Context;
use crate::handlers::arguments::age;
use crate::handlers::consume::texts;

/// How many bytes of batches are read at once.
const READ_BYTES: usize = 256 << 10;
/// How long a read waits before it is asked anew.
const READ_WAIT: Duration = Duration::from_secs(30);

/// How much more a consumer may get.
#[derive(Debug, Default)]
struct Room {
    messages: AtomicUsize,
    waker: AtomicWaker,
}

/// A consumer's hold on its room.
#[derive(Clone, Debug)]
pub(crate) struct Cursor(Arc<Room>);

impl Cursor {
    /// Room for this many more.
    pub(crate) fn grant(&self, messages: usize) {
        self.0.messages.fetch_add(messages, Ordering::AcqRel);
        self.0.waker.wake();
    }

    fn left(&self) -> usize {
        self.0.messages.load(Ordering::Acquire)
    }

    fn take(&self, messages: usize) {
        self.0.messages.fetch_sub(messages, Ordering::AcqRel);
    }

    /// Waits until there is room.
    async fn room(&self) {
        future::poll_fn(|cx| {
            self.0.waker.register(cx.waker());
            if self.left() > 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// Which messages a consumer wants to see.
#[derive(Debug, Default)]
struct Filter {
    values: Vec<Bytes>,
    unfiltered: bool,
}

/// Where a consumer begins.
enum From {
    First,
    Last,
    Next,
    Offset(i64),
    /// Milliseconds since 1970.
    Time(i64),
}

struct Reading {
    broker: Broker,
    partition: Arc<Partition>,
    name: Bytes,
    next: i64,
    from: Option<From>,
    cursor: Cursor,
    filter: Filter,
}

/// Opens a stream for a consumer.
pub(crate) fn open(
    context: &Context,
    consume: &Consume,
    queue: &Queue,
) -> Result<(Cursor, BoxStream<'static, Reply>), Failure> {
    let (name, namespace) = (queue.name(), queue.namespace());
    let shown = format!("queue '{name}' in vhost '{namespace}'");
    if consume.no_ack {
        return Err(Failure::not_implemented(format!(
            "automatic acknowledgement not supported by stream queues {shown}"
        )));
    }
    if consume.prefetch == 0 {
        return Err(Failure::precondition(format!(
            "consumer prefetch count is not set for stream {shown}"
        )));
    }
    let broker = context.shared.broker.clone();
    let partition = queue.topic().partition(0);
    let partition = partition.map_err(|error| context.failure(&error))?;
    let now_ms = broker.clock().unix_ms();
    let from = consume.arguments.get("x-stream-offset");
    let filter = consume.arguments.get("x-stream-filter");
    let cursor = Cursor(Arc::default());
    cursor.grant(usize::try_from(consume.prefetch).unwrap_or(1));
    let reading = Reading {
        name: Bytes::copy_from_slice(name.as_bytes()),
        next: 0,
        from: Some(from.map_or(Ok(From::Next), |value| begin(value, now_ms))?),
        cursor: cursor.clone(),
        filter: Filter {
            values: filter.map(texts).unwrap_or_default(),
            unfiltered: consume.arguments.is_true("x-stream-match-unfiltered"),
        },
        broker,
        partition,
    };
    let mut reading = reading;
    // Whoever begins at the end means the end as it is now.
    if matches!(reading.from, Some(From::Next)) {
        reading.next = offset(reading.partition.end());
        reading.from = None;
    }
    let messages = stream::unfold(reading, |mut reading| async move {
        let reply = reading.read().await?;
        Some((reply, reading))
    });
    Ok((cursor, messages.boxed()))
}

fn offset(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}

/// What `x-stream-offset` says.
fn begin(value: &Value, now_ms: i64) -> Result<From, Failure> {
    let wrong = || Failure::precondition(format!("invalid x-stream-offset: {}", value.show()));
    if let Some(number) = value.integer() {
        return Ok(From::Offset(number.max(0)));
    }
    if let Value::Timestamp(seconds) = value {
        let seconds = i64::try_from(*seconds).map_err(|_| wrong())?;
        return Ok(From::Time(seconds.saturating_mul(1000)));
    }
    match value.as_str() {
        Some("first") => Ok(From::First),
        Some("last") => Ok(From::Last),
        Some("next") => Ok(From::Next),
        Some(text) => {
            let back = age(text).ok_or_else(wrong)?;
            let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
            Ok(From::Time(now_ms.saturating_sub(back)))
        }
        None => Err(wrong()),
    }
}

impl Reading {
    async fn find(&self, from: From) -> i64 {
        let (start, end) = (offset(self.partition.start()), offset(self.partition.end()));
        match from {
            From::First => start,
            From::Last => (end - 1).max(start),
            From::Next => end,
            From::Offset(wanted) => wanted.clamp(start, end),
            From::Time(ms) => match self.partition.by_timestamp(ms).await {
                Ok(Some((found, ..))) => offset(found),
                _ => end,
            },
        }
    }

    /// The next messages; `None` when the stream is gone.
    async fn read(&mut self) -> Option<Reply> {
        if let Some(from) = self.from.take() {
            self.next = self.find(from).await;
        }
        loop {
            self.cursor.room().await;
            let limits = ReadLimits {
                records: self.cursor.left(),
                bytes: READ_BYTES,
                wait: READ_WAIT,
            };
            let wanted = [ReadFrom {
                partition: self.partition.clone(),
                from: self.next,
            }];
            let read = match self.broker.read_records(&wanted, limits).await {
                Ok(mut read) => read.pop()?,
                Err(broker::Error::OutOfRange { start, .. }) if offset(start) > self.next => {
                    // What was to come next is not kept any more.
                    self.next = offset(start);
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "a stream's consumer ends");
                    return Some(Reply::Cancelled);
                }
            };
            self.next = offset(read.next);
            let messages: Vec<Ready> = read
                .records
                .into_iter()
                .filter_map(|record| self.ready(record))
                .collect();
            if !messages.is_empty() {
                self.cursor.take(messages.len());
                return Some(Reply::Messages(messages));
            }
        }
    }

    fn ready(&self, record: Record) -> Option<Ready> {
        let own = record
            .headers
            .iter()
            .find(|(name, _)| name.as_ref() == convert::ORIGIN.as_bytes());
        let foreign;
        let block: &[u8] = match own {
            Some((_, Some(block))) => block,
            _ => {
                foreign = convert::from_records(&record.headers, record.timestamp);
                &foreign
            }
        };
        let all = Properties::read(block).ok()?;
        let mut headers = all.header_table().unwrap_or_default();
        if !self.filter.takes(&headers) {
            return None;
        }
        headers.set("x-stream-offset", Value::I64(offset(record.offset)));
        Some(Ready {
            exchange: Arc::from(""),
            routing_key: self.name.clone(),
            properties: all.write(Some(&headers)),
            body: record.value.unwrap_or_default(),
            charge: None,
        })
    }
}

impl Filter {
    fn takes(&self, headers: &Table) -> bool {
        if self.values.is_empty() {
            return true;
        }
        let value = headers.get("x-stream-filter-value");
        match value.and_then(Value::as_bytes) {
            Some(value) => self.values.contains(value),
            None => self.unfiltered,
        }
    }
}
