//! A store on a simulated disk, with a clock that a test moves.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Clock, Ledger, Metrics, Millis, StreamId, Tasks, TopicId};
use store::sim::SimDisk;
use store::{Cleanup, Config, Disk, Error, Parts, Store, Stream, StreamConfig};

/// When a test begins.
pub(crate) const T0: i64 = 1_700_000_000_000;

pub(crate) const ID: StreamId = StreamId {
    topic: TopicId(uuid::Uuid::from_u128(1)),
    partition: 0,
};

pub(crate) fn config() -> Config {
    Config {
        wal_file_bytes: ByteSize(64 << 10),
        // Tests say themselves when it is time.
        maintenance_interval: Millis(86_400_000),
        ..Config::default()
    }
}

pub(crate) fn compacted() -> StreamConfig {
    StreamConfig {
        segment_bytes: 3000,
        index_interval_bytes: 300,
        cleanup: Cleanup {
            delete: false,
            compact: true,
        },
        min_cleanable_ratio: 0.0,
        delete_retention_ms: 60_000,
        ..StreamConfig::default()
    }
}

/// An open store.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) stream: Stream,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl World {
    pub(crate) fn open(disk: Arc<dyn Disk>, clock: &Clock) -> Self {
        Self::with(disk, clock, config(), compacted()).unwrap()
    }

    pub(crate) fn with(
        disk: Arc<dyn Disk>,
        clock: &Clock,
        config: Config,
        stream: StreamConfig,
    ) -> Result<Self, Error> {
        let metrics = Metrics::default();
        let parts = Parts {
            disk,
            clock: clock.clone(),
            ledger: Ledger::new(1 << 30),
            tasks: Tasks::current(),
            metrics: metrics.clone(),
        };
        let store = Store::open(config, parts)?;
        let stream = store.create(ID, stream)?;
        Ok(Self {
            store,
            stream,
            clock: clock.clone(),
            metrics,
        })
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Everything into segments, and those compacted.
    pub(crate) fn compact(&self) {
        self.store.flush().unwrap();
        self.store.compact().unwrap();
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("stentor_{name} ")))
            .unwrap_or_else(|| panic!("no metric {name}"));
        line.parse().unwrap()
    }
}

/// The names in the stream's folder.
pub(crate) fn names(disk: &SimDisk) -> Vec<String> {
    let files = disk.files().into_iter();
    files
        .filter_map(|(path, _)| Some(path.strip_prefix("streams/")?.split_once('/')?.1.to_owned()))
        .collect()
}
