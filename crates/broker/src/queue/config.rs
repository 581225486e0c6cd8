//! Section `[queues]`.

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// Section `[queues]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many queues there may be.
    pub queues_max: usize,
    /// How many consumers one queue may have.
    pub consumers_max: usize,
    /// How many may wait for messages of one queue at a time.
    pub waiters_max: usize,
    /// How many messages of one queue may be under way at a time: leased, returned, hidden after
    /// they were looked at. Then its consumers get nothing more until some are settled.
    pub leases_max: usize,
    /// How many messages of one queue may wait for others of their group. Then its consumers get
    /// no new groups until some have gone on.
    pub parked_max: usize,
    /// How many delayed messages one queue may hold; then no more are taken.
    pub delayed_max: usize,
    /// How many deduplication ids one queue remembers at a time; the oldest is forgotten first.
    pub dedup_max: usize,
    /// How many bytes a message's value may have.
    pub message_bytes_max: ByteSize,
    /// How much of a queue's backlog is read from disk at a time.
    pub read_ahead_bytes: ByteSize,
    /// How long after a message was settled a restart knows of it at the latest, where nobody
    /// waits for that.
    pub settle_interval: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queues_max: 1_000_000,
            consumers_max: 10_000,
            waiters_max: 100_000,
            leases_max: 1_000_000,
            parked_max: 20_000,
            delayed_max: 1_000_000,
            dedup_max: 1_000_000,
            message_bytes_max: ByteSize(128 << 20),
            read_ahead_bytes: ByteSize(512 << 10),
            settle_interval: Millis(20),
        }
    }
}
