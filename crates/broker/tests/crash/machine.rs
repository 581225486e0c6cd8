//! A whole broker on a simulated disk: the log and the control state lose power together.

use std::io;
use std::sync::Arc;

use base::{ByteSize, Clock, Ledger, Metrics, Millis, Rng, Tasks};
use broker::{Broker, Parts};
use meta::Meta;
use store::disk::DiskFile;
use store::sim::SimDisk;
use store::{Disk, Store};

/// The control state's file.
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

/// Opens the control state as `Meta::open` does: a new file gets its name when it is whole.
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
    tasks: Tasks,
}

impl Machine {
    /// Starts it as the server does: the log, the control state, the engine.
    pub(crate) fn start(disk: &SimDisk, rng: &Rng) -> Result<Self, String> {
        Self::with(disk, rng, store::Config::default())
    }

    /// With another configuration of the log, of which only the commit queue's size counts.
    pub(crate) fn with(disk: &SimDisk, rng: &Rng, config: store::Config) -> Result<Self, String> {
        Self::with_topics(disk, rng, config, broker::Config::default())
    }

    pub(crate) fn with_topics(
        disk: &SimDisk,
        rng: &Rng,
        config: store::Config,
        topics: broker::Config,
    ) -> Result<Self, String> {
        let tasks = Tasks::current();
        let clock = Clock::manual(1_000_000);
        let parts = store::Parts {
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            ledger: Ledger::new(1 << 30),
            tasks: tasks.clone(),
            metrics: Metrics::default(),
        };
        let config = store::Config {
            wal_file_bytes: ByteSize(1500),
            tail_bytes: ByteSize(4 << 10),
            async_sync_interval: Millis(3_600_000),
            ..config
        };
        let meta = open_meta(disk, rng)?;
        let store = Store::open(config, parts).map_err(|e| e.to_string())?;
        let parts = Parts {
            store: store.clone(),
            meta,
            clock,
            rng: rng.clone(),
            tasks: tasks.clone(),
            metrics: Metrics::default(),
            config: broker::Config {
                // Often, so that states are saved ahead of their batches.
                producer_snapshot_bytes: ByteSize(300),
                ..topics
            },
            exchanges: broker::exchange::Config::default(),
            groups: broker::group::Config {
                offsets_partitions: 1,
                ..broker::group::Config::default()
            },
            queues: broker::queue::Config::default(),
        };
        match Broker::open(parts) {
            Ok(broker) => Ok(Self { broker, tasks }),
            Err(error) => {
                tasks.signal();
                // Its threads end with it.
                drop(store.close());
                Err(error.to_string())
            }
        }
    }

    /// Closes it in order, if it can be.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let closed = self.broker.close().await.map_err(|e| e.to_string());
        self.tasks.signal();
        drop(self.broker);
        self.tasks.join_threads();
        closed
    }
}
