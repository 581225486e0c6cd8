//! A message: what queues hand out, and how it lies in a record of the log.
//!
//! Key, value and ordinary headers are the record's own, so that whoever reads the topic sees
//! them. What no protocol has a header for that all others know (routing, priority, expiry, group,
//! history) is one more record header, [`HEADER`]: a list of tag, length, value; it counts in batches
//! that the broker wrote, and is left out of what is read of others. A producer's own
//! block of properties is a header under the name that its protocol chose, byte for byte, so that
//! a message that leaves by the protocol it came by is unchanged.

use std::sync::Arc;

use bytes::Bytes;

use crate::records::RecordHeader;

mod layout;

/// The base sequence of batches that the broker wrote: only in them is [`HEADER`] the broker's word.
/// Of producers without an id nobody reads it, and theirs is refused when it is this.
pub(crate) const OWN_SEQUENCE: i32 = -0x5354;

pub(crate) use layout::{Decoder, HEADER, encode};

/// A message to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Bytes,
    /// What every protocol may see; names may repeat and keep their order.
    pub headers: Vec<RecordHeader>,
    /// Its time in milliseconds since 1970; `None` is now.
    pub timestamp_ms: Option<i64>,
    /// The rest.
    pub attributes: Attributes,
}

/// What a message carries besides its record. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The exchange it was published to.
    pub exchange: Option<Arc<str>>,
    /// What it was routed by; the first is the one that is shown.
    pub routing_keys: Vec<Bytes>,
    /// Whether its publisher asked that it survives a restart.
    pub persistent: bool,
    /// Higher goes first in a queue with lanes.
    pub priority: u8,
    /// When it must not be delivered any more.
    pub expires_ms: Option<i64>,
    /// Until when it is hidden.
    pub deliver_ms: Option<i64>,
    /// Messages of one group keep their order in a queue with ordered groups.
    pub group: Option<Bytes>,
    /// What a queue with a deduplication window knows it by.
    pub dedup: Option<Bytes>,
    /// Its publisher's, or its head's, name for it.
    pub message_id: Option<Bytes>,
    /// When it was first published; kept when it is moved.
    pub sent_ms: Option<i64>,
    /// The queue that it was dead-lettered from last.
    pub source: Option<Arc<str>>,
    /// What it died of, the newest first.
    pub deaths: Vec<Death>,
    /// Its protocol's name and that protocol's properties as they came.
    pub origin: Option<(Arc<str>, Bytes)>,
}

/// That a message left a queue otherwise than by being accepted: once per queue and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Where.
    pub queue: Arc<str>,
    /// Of what.
    pub reason: DeathReason,
    /// How often.
    pub count: u64,
    /// When for the first time, in milliseconds since 1970.
    pub first_ms: i64,
    /// The exchange it had come by.
    pub exchange: Arc<str>,
    /// What it had been routed by.
    pub routing_keys: Vec<Bytes>,
    /// How long it had been meant to live, in milliseconds, if that was said.
    pub original_expiration_ms: Option<u64>,
}

/// Why a message left a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeathReason {
    /// A consumer would not have it.
    Rejected,
    /// Its time was up.
    Expired,
    /// The queue was full.
    MaxLength,
    /// It was delivered too often.
    DeliveryLimit,
}
