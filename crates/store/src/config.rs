//! Section `[store]`, and what is configured per stream.

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// Section `[store]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Size of one file of the write-ahead log. Whenever one is full, what it holds is moved to
    /// the streams' segments; about three are in use under load.
    pub wal_file_bytes: ByteSize,
    /// How much may wait to be written before producers have to wait.
    pub commit_queue_bytes: ByteSize,
    /// How much of the streams' newest data is kept in memory for readers, beyond what is not yet
    /// in segments.
    pub tail_bytes: ByteSize,
    /// How often old segments are looked for, and compaction is considered.
    pub maintenance_interval: Millis,
    /// How much memory a pass of compaction takes at most to remember keys, out of `memory.limit`
    /// and as it is needed. 64 MiB are enough for a million keys of any length; where a stream has
    /// more new ones, it takes several passes.
    pub compaction_memory_bytes: ByteSize,
    /// How often what was appended with `durability = "async"` is synced, at the latest.
    pub async_sync_interval: Millis,
    /// Start although the write-ahead log is damaged: keep all that is intact, fence the streams
    /// that lost something. Off: the start is refused, so that a person decides.
    pub accept_damage: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wal_file_bytes: ByteSize(64 << 20),
            commit_queue_bytes: ByteSize(32 << 20),
            tail_bytes: ByteSize(64 << 20),
            maintenance_interval: Millis(60_000),
            compaction_memory_bytes: ByteSize(64 << 20),
            async_sync_interval: Millis(5000),
            accept_damage: false,
        }
    }
}

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    #[default]
    Sync,
    /// When the operating system has it.
    Async,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// They are deleted by age and size.
    pub delete: bool,
    /// Of each key only the last is kept.
    pub compact: bool,
}

/// What is configured about one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// Size at which a new segment begins.
    pub segment_bytes: u64,
    /// Age at which a new segment begins, in milliseconds.
    pub segment_ms: u64,
    /// Distance of two entries of the sparse index, in bytes.
    pub index_interval_bytes: u64,
    /// How long records are kept, in milliseconds.
    pub retention_ms: Option<u64>,
    /// How many bytes are kept.
    pub retention_bytes: Option<u64>,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// How long compaction keeps a tombstone, in milliseconds.
    pub delete_retention_ms: u64,
    /// Share of uncompacted bytes from which compaction is worth its work.
    pub min_cleanable_ratio: f64,
    /// The shortest a record stays uncompacted, in milliseconds.
    pub min_compaction_lag_ms: u64,
    /// The longest, in milliseconds.
    pub max_compaction_lag_ms: u64,
    /// When an append is acknowledged.
    pub durability: Durability,
}

impl StreamConfig {
    /// Age at which a new segment begins, in milliseconds. What must be compacted by a certain age
    /// must be out of the newest segment by then.
    #[must_use]
    pub fn segment_age_max(&self) -> u64 {
        if self.cleanup.compact {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

impl StreamConfig {
    /// Whether what is of `newest` (in milliseconds since 1970) and older is not kept any more.
    pub(crate) fn is_expired(&self, newest: i64, now_ms: i64) -> bool {
        let age = u64::try_from(now_ms.saturating_sub(newest)).unwrap_or(0);
        self.cleanup.delete && self.retention_ms.is_some_and(|keep| age > keep)
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            index_interval_bytes: 4096,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            cleanup: Cleanup {
                delete: true,
                compact: false,
            },
            delete_retention_ms: 86_400_000,
            min_cleanable_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: u64::MAX,
            durability: Durability::Sync,
        }
    }
}
