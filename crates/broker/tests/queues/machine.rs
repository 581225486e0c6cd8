//! A broker on a simulated disk: the log and the control state lose power together.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Clock, Ledger, Metrics, Millis, Rng, Tasks};
use broker::queue::{Queue, QueueSettings, Queues};
use broker::{Broker, Parts};
use bytes::Bytes;
use meta::Meta;
use store::disk::DiskFile;
use store::sim::SimDisk;
use store::{Disk, Store};

const META: &str = "meta.redb";
const META_NEW: &str = "meta.new";

/// A file of the simulated disk, as the control state's library wants it.
#[derive(Debug)]
struct Backend(Arc<dyn DiskFile>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(&mut [io::IoSlice::new(data)], offset)
    }
}

fn open_meta(disk: &SimDisk, rng: &Rng) -> Result<Meta, String> {
    let text = |error: io::Error| error.to_string();
    if disk.open(META).is_err() {
        if disk.open(META_NEW).is_ok() {
            disk.remove(META_NEW).map_err(text)?;
        }
        let file = disk.create(META_NEW).map_err(text)?;
        drop(Meta::on(Backend(file), rng.clone()).map_err(|e| e.to_string())?);
        disk.rename(META_NEW, META).map_err(text)?;
        disk.sync_dir("").map_err(text)?;
    }
    let file = disk.open(META).map_err(text)?;
    Meta::on(Backend(file), rng.clone()).map_err(|e| e.to_string())
}

/// A running broker.
pub(crate) struct Machine {
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    tasks: Tasks,
}

/// What a test wants otherwise.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) clock: Clock,
    pub(crate) wal_bytes: u64,
    pub(crate) tail_bytes: u64,
    pub(crate) queues: broker::queue::Config,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clock: Clock::manual(1_000_000),
            wal_bytes: 1 << 20,
            tail_bytes: 1 << 20,
            queues: broker::queue::Config::default(),
        }
    }
}

impl Machine {
    /// Starts it as the server does: the log, the control state, the engine.
    pub(crate) fn start(disk: &SimDisk, rng: &Rng, setup: Setup) -> Result<Self, String> {
        let tasks = Tasks::current();
        let clock = setup.clock;
        let parts = store::Parts {
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            ledger: Ledger::new(1 << 30),
            tasks: tasks.clone(),
            metrics: Metrics::default(),
        };
        let config = store::Config {
            wal_file_bytes: ByteSize(setup.wal_bytes),
            tail_bytes: ByteSize(setup.tail_bytes),
            async_sync_interval: Millis(3_600_000),
            ..store::Config::default()
        };
        let meta = open_meta(disk, rng)?;
        let metrics = Metrics::default();
        let store = Store::open(config, parts).map_err(|e| e.to_string())?;
        let parts = Parts {
            store: store.clone(),
            meta,
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            config: broker::Config::default(),
            groups: broker::group::Config {
                offsets_partitions: 1,
                ..broker::group::Config::default()
            },
            queues: setup.queues,
            exchanges: broker::exchange::Config::default(),
        };
        match Broker::open(parts) {
            Ok(broker) => Ok(Self {
                broker,
                clock,
                store,
                metrics,
                tasks,
            }),
            Err(error) => {
                tasks.signal();
                drop(store.close());
                Err(error.to_string())
            }
        }
    }

    pub(crate) fn queues(&self) -> &Queues {
        self.broker.queues()
    }

    pub(crate) async fn declare(&self, name: &str, settings: QueueSettings) -> Queue {
        self.queues()
            .declare("/", name, settings)
            .await
            .unwrap()
            .queue
    }

    /// Closes it in order, if it can be.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let closed = self.broker.close().await.map_err(|e| e.to_string());
        self.broker.release();
        drop((self.broker, self.store));
        // The control state is closed by the last who lets it go: it must not write into what the
        // next start has opened.
        let alive = self.tasks.shut_down(Duration::from_secs(20)).await;
        assert_eq!(alive, 0, "tasks that do not end");
        self.tasks.join_threads();
        closed
    }

    /// It is killed: nothing is written any more.
    pub(crate) async fn kill(self, disk: &SimDisk) -> SimDisk {
        let next = disk.restart();
        let _ = self.stop().await;
        next
    }
}

pub(crate) fn message(text: &str) -> broker::message::Message {
    broker::message::Message {
        value: Bytes::copy_from_slice(text.as_bytes()),
        ..broker::message::Message::default()
    }
}

pub(crate) fn text(delivery: &broker::queue::Delivery) -> String {
    let value = delivery.value.as_deref().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}
