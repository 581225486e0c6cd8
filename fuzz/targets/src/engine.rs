//! A real engine on a disk in memory, for targets that speak to it.

use std::sync::Arc;

use base::{ByteSize, Clock, Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use meta::Meta;
use store::Store;
use tokio::runtime::Runtime;

use crate::disk::MemoryDisk;

/// An engine and what it runs on.
#[derive(Debug)]
pub struct Engine {
    /// Its tasks' runtime, of one thread; its time stands still but for timers that are waited for.
    pub runtime: Runtime,
    /// The engine.
    pub broker: Broker,
    /// Time.
    pub clock: Clock,
    /// Randomness, the same each time.
    pub rng: Rng,
    /// Memory.
    pub ledger: Ledger,
    /// Where its tasks run.
    pub tasks: Tasks,
    /// Its metrics.
    pub metrics: Metrics,
}

impl Engine {
    /// An empty one, small: few topics, little memory. With `paused`, time jumps to the next timer
    /// whenever nothing else is to be done.
    #[must_use]
    pub fn new(paused: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(paused)
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let (clock, rng, metrics) = (Clock::system(), Rng::seeded(1), Metrics::default());
        let (tasks, ledger) = (Tasks::current(), Ledger::new(64 << 20));
        let store = Store::open(
            small(),
            store::Parts {
                disk: Arc::new(MemoryDisk::default()),
                clock: clock.clone(),
                ledger: ledger.clone(),
                tasks: tasks.clone(),
                metrics: metrics.clone(),
            },
        );
        let broker = Broker::open(broker::Parts {
            store: store.unwrap(),
            meta: Meta::in_memory(rng.clone()).unwrap(),
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            config: broker::Config {
                topics_max: 40,
                partitions_max: 200,
                decompressed_bytes_max: ByteSize(1 << 20),
                ..broker::Config::default()
            },
            exchanges: broker::exchange::Config::default(),
            groups: broker::group::Config {
                offsets_partitions: 1,
                ..broker::group::Config::default()
            },
            queues: broker::queue::Config::default(),
        });
        drop(_inside);
        Self {
            broker: broker.unwrap(),
            runtime,
            clock,
            rng,
            ledger,
            tasks,
            metrics,
        }
    }
}

/// A configuration that takes little memory.
#[must_use]
pub fn small() -> store::Config {
    store::Config {
        wal_file_bytes: ByteSize(64 << 10),
        commit_queue_bytes: ByteSize(1 << 20),
        tail_bytes: ByteSize(64 << 10),
        ..store::Config::default()
    }
}
