//! Loads over AMQP: as fast as it goes, and at a fixed rate.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};

use super::client::{Connection, Event, publish};

/// Bytes written to the socket at a time.
const WRITE_BYTES: usize = 64 << 10;
/// Messages that may be unconfirmed at a time.
const WINDOW: usize = 2000;
/// Messages that a consumer may hold, and how many it acknowledges at a time.
const PREFETCH: u16 = 1000;
const ACK_EVERY: u64 = 200;
/// How often due messages leave at a fixed rate.
const TICK: Duration = Duration::from_millis(1);
/// Messages in the first part of a run at a fixed rate do not count.
const WARM_UP: Duration = Duration::from_secs(2);

/// What a message must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// Nothing: no confirms, no acknowledgements, transient.
    None,
    /// Everything: persistent, confirmed, acknowledged.
    All,
}

/// How many publish and consume, and what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) size: usize,
    /// Queues; each has a publisher and a consumer of its own.
    pub(crate) queues: usize,
    pub(crate) promise: Promise,
    /// Of all queues together.
    pub(crate) messages: usize,
}

fn queue(at: usize) -> String {
    format!("load-{at}")
}

/// Publishes `count` messages to `key` of `exchange`; returns when all are written and, if they
/// are confirmed, safe.
pub(crate) fn produce(
    address: SocketAddr,
    exchange: &str,
    key: &str,
    size: usize,
    promise: Promise,
    count: usize,
) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let one = publish(exchange, key, promise == Promise::All, &vec![b'x'; size]);
    let per_write = (WRITE_BYTES / one.len()).clamp(1, WINDOW / 4);
    let many = one.repeat(per_write);
    if promise == Promise::All {
        connection.confirm()?;
    }
    let (mut sent, mut safe) = (0, Confirms::default());
    while sent < count {
        let now = per_write.min(count - sent);
        connection.send(many.get(..now * one.len()).unwrap_or_default())?;
        sent += now;
        if promise == Promise::All {
            while sent - safe.count > WINDOW - per_write {
                safe.wait(&mut connection)?;
            }
        }
    }
    while promise == Promise::All && safe.count < sent {
        safe.wait(&mut connection)?;
    }
    if promise == Promise::None {
        // Everything before this has been taken when it is answered.
        connection.confirm()?;
    }
    Ok(())
}

/// How many publishes are safe. Single confirms may overtake each other, so they are counted.
#[derive(Default)]
struct Confirms {
    count: usize,
    /// All up to this tag.
    below: u64,
    /// Single ones above it.
    singles: std::collections::BTreeSet<u64>,
}

impl Confirms {
    fn wait(&mut self, connection: &mut Connection) -> Result<()> {
        match connection.next()? {
            Event::Confirmed { tag, multiple } => {
                if multiple {
                    self.below = self.below.max(tag);
                    self.singles = self.singles.split_off(&(tag + 1));
                } else {
                    self.singles.insert(tag);
                }
                while self.singles.remove(&(self.below + 1)) {
                    self.below += 1;
                }
                self.count = usize::try_from(self.below)? + self.singles.len();
                Ok(())
            }
            Event::Delivered { .. } => bail!("a delivery to a publisher"),
        }
    }
}

/// Takes `count` messages from `queue`; `each` sees the body of each.
fn consume(
    connection: &mut Connection,
    promise: Promise,
    count: usize,
    mut each: impl FnMut(&Bytes) -> Result<()>,
) -> Result<()> {
    let mut seen = 0;
    let mut acked = 0;
    while seen < count {
        let Event::Delivered { tag, body } = connection.next()? else {
            bail!("a confirm to a consumer");
        };
        seen += 1;
        each(&body)?;
        let due = tag - acked >= ACK_EVERY || seen == count || !connection.has_input();
        if promise == Promise::All && due {
            connection.ack(tag)?;
            acked = tag;
        }
    }
    Ok(())
}

fn prefetch(promise: Promise) -> u16 {
    match promise {
        Promise::None => 0,
        Promise::All => PREFETCH,
    }
}

fn joined<T>(result: std::thread::Result<Result<T>>) -> Result<T> {
    result.map_err(|_| anyhow!("a client panicked"))?
}

/// Publishes and consumes at the same time; how long until the last message was consumed.
pub(crate) fn run(address: SocketAddr, kind: &str, load: &Load) -> Result<Duration> {
    let mut control = Connection::open(address)?;
    let each = load.messages / load.queues;
    let mut consumers = Vec::new();
    for at in 0..load.queues {
        control.declare(&queue(at), kind)?;
        let mut consumer = Connection::open(address)?;
        consumer.consume(&queue(at), prefetch(load.promise))?;
        consumers.push(consumer);
    }
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for (at, mut consumer) in consumers.into_iter().enumerate() {
            threads.push(scope.spawn(move || {
                consume(&mut consumer, load.promise, each, |body| {
                    ensure!(body.len() == load.size.min(body.len()), "a cut body");
                    Ok(())
                })
            }));
            threads
                .push(scope.spawn(move || {
                    produce(address, "", &queue(at), load.size, load.promise, each)
                }));
        }
        threads.into_iter().try_for_each(|t| joined(t.join()))
    })?;
    let took = started.elapsed();
    for at in 0..load.queues {
        control.delete(&queue(at))?;
    }
    Ok(took)
}

/// One publisher, a fanout exchange, `load.queues` queues, one connection that consumes from all.
pub(crate) fn fan_out(address: SocketAddr, kind: &str, load: &Load) -> Result<Duration> {
    let mut control = Connection::open(address)?;
    control.fanout("fan")?;
    let mut consumer = Connection::open(address)?;
    for at in 0..load.queues {
        control.declare(&queue(at), kind)?;
        control.bind(&queue(at), "fan")?;
        consumer.consume(&queue(at), prefetch(load.promise))?;
    }
    let each = load.messages / load.queues;
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let publisher = scope.spawn(|| produce(address, "fan", "", load.size, load.promise, each));
        let all = each * load.queues;
        consume(&mut consumer, load.promise, all, |_| Ok(()))?;
        joined(publisher.join())
    })?;
    let took = started.elapsed();
    for at in 0..load.queues {
        control.delete(&queue(at))?;
    }
    Ok(took)
}

/// Fills a queue and leaves it so; then [`drain`] empties it.
pub(crate) fn fill(address: SocketAddr, kind: &str, load: &Load) -> Result<Duration> {
    Connection::open(address)?.declare(&queue(0), kind)?;
    let started = Instant::now();
    produce(
        address,
        "",
        &queue(0),
        load.size,
        load.promise,
        load.messages,
    )?;
    Ok(started.elapsed())
}

/// Consumes everything that [`fill`] has left.
pub(crate) fn drain(address: SocketAddr, load: &Load) -> Result<Duration> {
    let mut consumer = Connection::open(address)?;
    let started = Instant::now();
    consumer.consume(&queue(0), prefetch(load.promise))?;
    consume(&mut consumer, load.promise, load.messages, |_| Ok(()))?;
    let took = started.elapsed();
    Connection::open(address)?.delete(&queue(0))?;
    Ok(took)
}

/// Latencies from the time at which a message was due to its arrival, in microseconds, sorted:
/// `rate` messages a second, whatever the server does.
pub(crate) fn latency(
    address: SocketAddr,
    kind: &str,
    load: &Load,
    rate: usize,
) -> Result<Vec<u32>> {
    Connection::open(address)?.declare(&queue(0), kind)?;
    let mut consumer = Connection::open(address)?;
    consumer.consume(&queue(0), prefetch(load.promise))?;
    let mut all = Vec::with_capacity(load.messages);
    let start = Instant::now() + Duration::from_millis(200);
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let publisher = scope.spawn(|| {
            let result = at_rate(address, load, rate, start);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            result
        });
        consume(&mut consumer, load.promise, load.messages, |body| {
            ensure!(!failed.load(Ordering::Relaxed), "the publisher failed");
            let due = body.first_chunk::<8>().copied().unwrap_or_default();
            let due = Duration::from_nanos(u64::from_be_bytes(due));
            if due >= WARM_UP {
                let late = start.elapsed().saturating_sub(due);
                all.push(u32::try_from(late.as_micros())?);
            }
            Ok(())
        })?;
        joined(publisher.join())
    })?;
    Connection::open(address)?.delete(&queue(0))?;
    all.sort_unstable();
    Ok(all)
}

fn at_rate(address: SocketAddr, load: &Load, rate: usize, start: Instant) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let due = |at: usize| Duration::from_secs_f64(at as f64 / rate as f64);
    let mut body = vec![b'x'; load.size.max(8)];
    let mut sent = 0;
    while sent < load.messages {
        std::thread::sleep(due(sent).saturating_sub(start.elapsed()).max(TICK));
        let now = start.elapsed();
        let mut out = BytesMut::new();
        while sent < load.messages && due(sent) <= now {
            let nanos = u64::try_from(due(sent).as_nanos())?;
            body.splice(..8, nanos.to_be_bytes());
            out.extend_from_slice(&publish("", &queue(0), load.promise == Promise::All, &body));
            sent += 1;
        }
        connection.send(&out)?;
    }
    // Everything before this has been taken when it is answered.
    connection.confirm()
}
