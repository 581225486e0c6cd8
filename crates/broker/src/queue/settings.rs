//! What is set about a queue.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is set about a queue.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct QueueSettings {
    /// Whether it is there after a restart, with its messages.
    pub durable: bool,
    /// Whether it is deleted when its last consumer leaves.
    pub auto_delete: bool,
    /// The connection it belongs to and goes with.
    #[serde(skip)]
    pub owner: Option<Owner>,
    /// One is no priorities; n is the priorities 0 to n - 1. At most [`LANES_MAX`].
    pub lanes: u16,
    /// How long a message may wait before it expires.
    pub message_ttl: Option<Duration>,
    /// How long the queue may be unused before it is deleted.
    pub expires: Option<Duration>,
    /// How long a message is kept before it is dropped in silence: no dead-lettering.
    pub retention: Option<Duration>,
    /// How many messages may be ready.
    pub length_max: Option<u64>,
    /// How many bytes the values of ready messages may have.
    pub bytes_max: Option<u64>,
    /// What happens to a message for which there is no room.
    pub overflow: Overflow,
    /// Where messages go that are rejected, expire, or have no room.
    pub dead_letter: Option<DeadLetter>,
    /// How often a message is delivered at most.
    pub delivery_limit: Option<u32>,
    /// Whether one consumer gets everything while the others wait for its place.
    pub single_active: bool,
    /// How long what is taken stays hidden; `None` until it is released.
    pub lease: Option<Duration>,
    /// How long a message is hidden at first when it does not say so itself.
    pub delay: Option<Duration>,
    /// Whether messages of one group keep their order: while one is leased, later ones wait.
    pub ordered_groups: bool,
    /// Whether a message whose id was seen before is dropped.
    pub dedup: Option<Dedup>,
    /// What the head wants to keep; the engine does not read it.
    pub origin: BTreeMap<String, serde_json::Value>,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            durable: true,
            auto_delete: false,
            owner: None,
            lanes: 1,
            message_ttl: None,
            expires: None,
            retention: None,
            length_max: None,
            bytes_max: None,
            overflow: Overflow::DropHead,
            dead_letter: None,
            delivery_limit: None,
            single_active: false,
            lease: None,
            delay: None,
            ordered_groups: false,
            dedup: None,
            origin: BTreeMap::new(),
        }
    }
}

/// The most lanes of a queue.
pub const LANES_MAX: u16 = 256;

/// A connection, to which queues can belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub u64);

/// What happens to a message for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Overflow {
    /// The oldest goes.
    #[default]
    DropHead,
    /// It is rejected.
    Reject,
    /// It is rejected and dead-lettered.
    RejectDeadLetter,
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum DeadLetter {
    /// To whatever the exchange routes them to.
    Exchange {
        /// Its name, in the queue's namespace.
        exchange: String,
        /// What they are routed by; `None` is what they were routed by before.
        #[serde(with = "optional_bytes")]
        routing_key: Option<Bytes>,
    },
    /// To the queue of this name in the same namespace.
    Queue(String),
}

/// A deduplication window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Dedup {
    /// How long an id is remembered.
    pub window: Duration,
    /// Within what it is unique.
    pub scope: DedupScope,
}

/// Within what a deduplication id is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum DedupScope {
    /// The queue.
    Queue,
    /// The message's group.
    Group,
}

/// When a queue may be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteWhen {
    /// Only without consumers.
    pub unused: bool,
    /// Only without ready messages.
    pub empty: bool,
}

mod optional_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is given")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Vec<u8>>::deserialize(deserializer)?.map(Bytes::from))
    }
}
