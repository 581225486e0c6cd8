//! What queues cost, in one process and without a protocol.
//!
//! `cargo run --release -p stentor-broker --example queue_bench -- FOLDER flow [seconds] [batch]
//! [bytes]`: one publisher and one consumer of one queue, without and with acknowledgements;
//! messages per second. `… -- FOLDER idle 100000`: resident memory of so many queues. `… -- FOLDER
//! backlog 3000000`: a backlog, every tenth message settled, read back after a restart; time and
//! memory.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ledger, Metrics, Rng, Tasks};
use broker::message::{Attributes, Message};
use broker::queue::{
    Consumer, ConsumerEvent, ConsumerSettings, Delivery, Outcome, Queue, QueueSettings, Take,
};
use broker::{Broker, Parts};
use bytes::Bytes;
use futures_core::Stream;
use store::{FileDisk, Store};

struct Machine {
    broker: Broker,
    clock: Clock,
    tasks: Tasks,
}

impl Machine {
    fn start(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let (tasks, clock, metrics) = (Tasks::current(), Clock::system(), Metrics::default());
        let rng = Rng::system();
        let parts = store::Parts {
            disk: Arc::new(FileDisk::new(folder)?),
            clock: clock.clone(),
            ledger: Ledger::new(512 << 20),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
        };
        let broker = Broker::open(Parts {
            store: Store::open(store::Config::default(), parts)?,
            meta: meta::Meta::open(&folder.join("meta"), rng.clone())?,
            clock: clock.clone(),
            rng,
            tasks: tasks.clone(),
            metrics,
            config: broker::Config::default(),
            groups: broker::group::Config::default(),
            exchanges: broker::exchange::Config::default(),
            queues: broker::queue::Config::default(),
        })?;
        Ok(Self {
            broker,
            clock,
            tasks,
        })
    }

    async fn stop(self) -> Result<(), Box<dyn std::error::Error>> {
        self.broker.close().await?;
        self.broker.release();
        drop(self.broker);
        self.tasks.shut_down(Duration::from_secs(20)).await;
        self.tasks.join_threads();
        Ok(())
    }
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0 / f64::from(1 << 20)
}

async fn next(consumer: &mut Consumer) -> Vec<Delivery> {
    match poll_fn(|cx| Pin::new(&mut *consumer).poll_next(cx)).await {
        Some(ConsumerEvent::Deliveries(deliveries)) => deliveries,
        _ => Vec::new(),
    }
}

async fn publish(broker: &Broker, queue: &Queue, count: usize, value: &Bytes) -> Option<()> {
    let routing_key = Bytes::from_static(b"bench");
    loop {
        let message = || Message {
            value: value.clone(),
            attributes: Attributes {
                exchange: Some(Arc::from("")),
                routing_keys: vec![routing_key.clone()],
                ..Attributes::default()
            },
            ..Message::default()
        };
        match queue.publish((0..count).map(|_| message()).collect()) {
            Ok(_) => return Some(()),
            Err(broker::Error::Store(store::Error::Busy)) => broker.room().await,
            Err(_) => return None,
        }
    }
}

/// Messages per second from a publisher to a consumer.
async fn flow(machine: &Machine, seconds: u64, batch: usize, bytes: usize, acks: bool) -> f64 {
    let queues = machine.broker.queues();
    let name = format!("bench-{acks}");
    let declared = queues.declare("/", &name, QueueSettings::default()).await;
    let Ok(declared) = declared else {
        return 0.0;
    };
    let queue = declared.queue;
    let settings = ConsumerSettings {
        auto_settle: !acks,
        prefetch: if acks { 2000 } else { 0 },
        ..ConsumerSettings::default()
    };
    let Ok(mut consumer) = queue.consume(settings) else {
        return 0.0;
    };
    let publisher = {
        let (broker, queue) = (machine.broker.clone(), queue.clone());
        let value = Bytes::from(vec![b'x'; bytes]);
        machine.tasks.spawn("bench.publish", async move {
            while publish(&broker, &queue, batch, &value).await.is_some() {
                // As a connection would: consumers that are far behind hold it back.
                while queue.stats().ready > 200_000 {
                    tokio::task::yield_now().await;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let started = machine.clock.now();
    let limit = Duration::from_secs(seconds);
    let mut count = 0_u64;
    while machine.clock.now() - started < limit {
        let got = next(&mut consumer).await;
        count += got.len() as u64;
        if acks {
            let receipts: Vec<_> = got.iter().map(|delivery| delivery.receipt).collect();
            queue.settle(&receipts, Outcome::Accept);
        }
    }
    let took = machine.clock.now() - started;
    publisher.abort();
    drop(consumer);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = count as f64 / took.as_secs_f64();
    rate
}

async fn idle(machine: &Machine, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let before = resident();
    let started = machine.clock.now();
    for n in 0..count {
        let settings = QueueSettings {
            durable: false,
            ..QueueSettings::default()
        };
        machine
            .broker
            .queues()
            .declare("/", &format!("q{n}"), settings)
            .await?;
    }
    let took = machine.clock.now() - started;
    let after = resident();
    let each = (after - before) * f64::from(1 << 20) / f64::from(u32::try_from(count)?);
    println!(
        "{count} idle queues: {:.0} MiB, {each:.0} bytes each, {took:.1?}",
        after - before
    );
    Ok(())
}

async fn backlog(folder: &Path, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let machine = Machine::start(folder)?;
    let queues = machine.broker.queues();
    let queue = queues
        .declare("/", "backlog", QueueSettings::default())
        .await?
        .queue;
    let started = machine.clock.now();
    let value = Bytes::from(vec![b'x'; 100]);
    for _ in 0..count / 1000 {
        publish(&machine.broker, &queue, 1000, &value).await;
    }
    println!(
        "published {count} in {:.1?}, {:.0} MiB",
        machine.clock.now() - started,
        resident()
    );
    let started = machine.clock.now();
    let take = Take {
        max: 1000,
        wait: Duration::from_secs(10),
        ..Take::default()
    };
    let mut left = count;
    while left > 0 {
        let got = queue.take(take).await?;
        left = left.saturating_sub(got.len() as u64);
        // All but every tenth: holes all over the backlog.
        let receipts = got.iter().map(|delivery| delivery.receipt);
        let tenth: Vec<_> = receipts.clone().filter(|r| r.offset % 10 == 0).collect();
        let most: Vec<_> = receipts.filter(|r| r.offset % 10 != 0).collect();
        queue.settle(&tenth, Outcome::Accept);
        if left < count - count / 4 {
            queue.settle(&most, Outcome::Accept);
        }
        // Else it stays leased until the end of the process.
    }
    println!(
        "gone through in {:.1?}, {:.0} MiB, {:?}",
        machine.clock.now() - started,
        resident(),
        queue.stats()
    );
    drop(queue);
    machine.stop().await?;
    let before = resident();
    let machine = Machine::start(folder)?;
    let started = machine.clock.now();
    let queue = machine
        .broker
        .queues()
        .get("/", "backlog")
        .ok_or("no queue")?;
    let mut left = queue.stats().ready;
    println!(
        "after a restart: {left} ready, {:.0} MiB (before {before:.0})",
        resident()
    );
    while left > 0 {
        let got = queue.take(take).await?;
        left = left.saturating_sub(got.len() as u64);
        let receipts: Vec<_> = got.iter().map(|delivery| delivery.receipt).collect();
        queue.settle(&receipts, Outcome::Accept);
    }
    println!("read and settled in {:.1?}", machine.clock.now() - started);
    drop(queue);
    machine.stop().await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, default: u64| {
        let given = arguments.get(at).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let [folder, mode, ..] = arguments.as_slice() else {
        println!("usage: queue_bench FOLDER flow|idle|backlog [number…]");
        return Ok(());
    };
    let folder = Path::new(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match mode.as_str() {
            "idle" => {
                let machine = Machine::start(folder)?;
                idle(&machine, usize::try_from(argument(2, 100_000))?).await?;
                machine.stop().await
            }
            "backlog" => backlog(folder, argument(2, 3_000_000)).await,
            _ => {
                let machine = Machine::start(folder)?;
                let seconds = argument(2, 5);
                let batch = usize::try_from(argument(3, 100))?;
                let bytes = usize::try_from(argument(4, 16))?;
                for acks in [false, true] {
                    let rate = flow(&machine, seconds, batch, bytes, acks).await;
                    println!("{bytes} bytes, {batch} a call, acks {acks}: {rate:.0} messages/s");
                }
                machine.stop().await
            }
        }
    })
}
