//! Section `[groups]`.

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// Section `[groups]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long the first members of an empty group wait for others.
    pub initial_rebalance_delay: Millis,
    /// The shortest session that a member may ask for.
    pub session_timeout_min: Millis,
    /// The longest.
    pub session_timeout_max: Millis,
    /// How many members a group may have.
    pub members_max: usize,
    /// How many groups there may be.
    pub groups_max: usize,
    /// How many bytes all groups together may take: names, what members say, offsets. They are
    /// part of `memory.limit`.
    pub memory_max: ByteSize,
    /// The longest text that may be committed with an offset, in bytes.
    pub metadata_bytes_max: usize,
    /// How long a group without members keeps its offsets, and a consumer that belongs to no group
    /// each of its own.
    pub offsets_retention: Millis,
    /// How many partitions the internal topic gets when it is made.
    pub offsets_partitions: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Millis(3000),
            session_timeout_min: Millis(6000),
            session_timeout_max: Millis(1_800_000),
            members_max: 10_000,
            groups_max: 100_000,
            memory_max: ByteSize(64 << 20),
            metadata_bytes_max: 4096,
            offsets_retention: Millis(7 * 24 * 3_600_000),
            offsets_partitions: 50,
        }
    }
}
