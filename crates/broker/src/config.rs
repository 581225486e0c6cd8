//! What an operator sets about topics in general; section `[topics]`.

use std::collections::BTreeMap;

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// Section `[topics]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether a client that names a topic which does not exist creates it.
    pub auto_create: bool,
    /// How many partitions a topic gets when its creator does not say.
    pub partitions: u32,
    /// How many topics there may be.
    pub topics_max: usize,
    /// How many partitions there may be in all topics together.
    pub partitions_max: usize,
    /// How many producers with deduplication state one partition remembers; the one that has
    /// been silent longest is forgotten first.
    pub producers_per_partition_max: usize,
    /// How long a silent producer's deduplication state is kept, in milliseconds.
    pub producer_expiration_ms: u64,
    /// How much is appended to a partition before its producers' state is saved again; bounds
    /// what a restart reads to rebuild it.
    pub producer_snapshot_bytes: ByteSize,
    /// How many bytes one batch may hold once decompressed, when it has to be looked into.
    pub decompressed_bytes_max: ByteSize,
    /// The longest that a read waits for data, whatever its client asks: it is answered with what
    /// there is then, and asks again.
    pub read_wait_max: Millis,
    /// Topic configuration that differs from the built-in defaults, by its key
    /// (`"retention.ms" = "86400000"`).
    pub defaults: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auto_create: true,
            partitions: 4,
            topics_max: 10_000,
            partitions_max: 100_000,
            producers_per_partition_max: 10_000,
            producer_expiration_ms: 86_400_000,
            producer_snapshot_bytes: ByteSize(16 << 20),
            decompressed_bytes_max: ByteSize(32 << 20),
            read_wait_max: Millis(60_000),
            defaults: BTreeMap::new(),
        }
    }
}
