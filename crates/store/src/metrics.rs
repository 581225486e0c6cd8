//! What the store counts.

use base::Metrics;
use base::metrics::{Counter, Gauge, Histogram};

/// The store's metrics.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    pub(crate) commits: Counter,
    pub(crate) committed_bytes: Counter,
    pub(crate) committed_entries: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) queue_bytes: Gauge,
    pub(crate) tail_bytes: Gauge,
    pub(crate) wal_files: Gauge,
    pub(crate) busy: Counter,
    pub(crate) flushes: Counter,
    pub(crate) flushed_bytes: Counter,
    pub(crate) retained_bytes: Counter,
    pub(crate) damaged: Counter,
    pub(crate) compaction: CompactionMetrics,
}

impl StoreMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        let gauge = |name: &str, help: &str| metrics.register(name, help, Gauge::default());
        let seconds = Histogram::new([
            0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0,
        ]);
        Self {
            commits: counter(
                "store_commits",
                "Writes to the write-ahead log, each synced once",
            ),
            committed_bytes: counter("store_committed_bytes", "Bytes acknowledged as durable"),
            committed_entries: counter(
                "store_committed_entries",
                "Batches acknowledged as durable",
            ),
            commit_seconds: metrics.register(
                "store_commit_seconds",
                "Time of one write and sync of the write-ahead log",
                seconds,
            ),
            queue_bytes: gauge("store_commit_queue_bytes", "Bytes that wait to be written"),
            tail_bytes: gauge(
                "store_tail_bytes",
                "Bytes of the streams' newest data in memory",
            ),
            wal_files: gauge(
                "store_wal_files",
                "Files of the write-ahead log that hold entries",
            ),
            busy: counter(
                "store_busy",
                "Appends that had to wait for room in the commit queue",
            ),
            flushes: counter(
                "store_flushes",
                "Streams whose newest data was moved to segments",
            ),
            flushed_bytes: counter("store_flushed_bytes", "Bytes moved to segments"),
            retained_bytes: counter("store_retention_bytes", "Bytes deleted by retention"),
            damaged: counter("store_damaged", "Reads that met damaged bytes"),
            compaction: CompactionMetrics::new(metrics),
        }
    }
}

/// What compaction counts.
#[derive(Clone, Debug)]
pub(crate) struct CompactionMetrics {
    pub(crate) runs: Counter,
    pub(crate) read_bytes: Counter,
    pub(crate) written_bytes: Counter,
    pub(crate) removed_records: Counter,
    pub(crate) failures: Counter,
    pub(crate) uncleanable: Gauge,
    pub(crate) dirty_bytes: Gauge,
    pub(crate) keys: Gauge,
    pub(crate) memory_bytes: Gauge,
    pub(crate) seconds: Histogram,
}

impl CompactionMetrics {
    fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        let gauge = |name: &str, help: &str| metrics.register(name, help, Gauge::default());
        Self {
            runs: counter(
                "store_compaction_runs",
                "Passes of compaction over a stream",
            ),
            read_bytes: counter(
                "store_compaction_read_bytes",
                "Bytes of segments read by compaction, in both halves of a pass",
            ),
            written_bytes: counter(
                "store_compaction_written_bytes",
                "Bytes of segments written by compaction",
            ),
            removed_records: counter(
                "store_compaction_removed_records",
                "Records that compaction left out",
            ),
            failures: counter(
                "store_compaction_failures",
                "Passes of compaction that failed",
            ),
            uncleanable: gauge(
                "store_compaction_uncleanable_streams",
                "Streams that are not compacted any more because they are damaged",
            ),
            dirty_bytes: gauge(
                "store_compaction_dirty_bytes",
                "Bytes of compacted streams that no pass has been through, at the last look",
            ),
            keys: gauge(
                "store_compaction_keys",
                "Keys that the newest pass of compaction remembered",
            ),
            memory_bytes: gauge(
                "store_compaction_memory_bytes",
                "Memory that the newest pass of compaction took for its keys",
            ),
            seconds: metrics.register(
                "store_compaction_seconds",
                "Time of one pass of compaction",
                Histogram::new([0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0]),
            ),
        }
    }
}
