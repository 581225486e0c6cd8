//! What a queue hands out, and what it is told about it.

use std::time::Duration;

use bytes::Bytes;

use crate::message::Attributes;
use crate::records::RecordHeader;

/// A message that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What to settle it by.
    pub receipt: Receipt,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// How often it has been delivered, this time included.
    pub attempts: u32,
    /// When it was first delivered, in milliseconds since 1970.
    pub first_ms: i64,
    /// How many messages were ready behind it.
    pub ready_left: u64,
    /// Its time in milliseconds since 1970; -1 for none.
    pub timestamp_ms: i64,
    /// What it is about.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Option<Bytes>,
    /// Its headers, without those that became attributes.
    pub headers: Vec<RecordHeader>,
    /// The rest.
    pub attributes: Attributes,
}

/// Names one delivery of a message. A later delivery of the same message has a larger epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// The lane.
    pub lane: u16,
    /// The message's offset in it.
    pub offset: u64,
    /// Which delivery.
    pub epoch: u32,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done with.
    Accept,
    /// It goes back to its place.
    Release {
        /// Whether the delivery counts against the limit.
        counted: bool,
        /// How long it stays hidden.
        delay: Option<Duration>,
    },
    /// It is dead-lettered, or dropped where there is no place for dead letters.
    Reject,
}

/// What a lease's extension came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// It lasts until the new time.
    Leased,
    /// It had ended, and the message is ready or leased to another.
    Available,
    /// The message is settled.
    Gone,
}

/// How much to take, and how long to wait for it.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    /// How many messages at most.
    pub max: usize,
    /// How long they stay hidden; `None` is what the queue says.
    pub lease: Option<Duration>,
    /// How long to wait when there is none.
    pub wait: Duration,
    /// Whether they are settled at once.
    pub auto_settle: bool,
}

impl Default for Take {
    fn default() -> Self {
        Self {
            max: 1,
            lease: None,
            wait: Duration::ZERO,
            auto_settle: false,
        }
    }
}

/// What became of a message that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the queue.
    Queued {
        /// The lane.
        lane: u16,
        /// Its offset there.
        offset: u64,
    },
    /// The queue has seen its deduplication id: this is the first one's place.
    Duplicate {
        /// The lane.
        lane: u16,
        /// The first one's offset.
        offset: u64,
        /// The first one's id.
        message_id: Option<Bytes>,
    },
    /// The queue is full.
    Rejected,
}

/// How a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that a consumer would get.
    pub ready: u64,
    /// Messages that were delivered and not settled yet.
    pub leased: u64,
    /// Messages that are hidden for now.
    pub delayed: u64,
    /// Consumers.
    pub consumers: usize,
    /// Bytes of the ready messages' values.
    pub ready_bytes: u64,
    /// The time of the oldest message that is kept, as far as that is known without looking on
    /// the disk; in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}
