//! What can go wrong in the engine, by cause. A head maps each to its protocol's own code.

use base::{Kind, Offset, Retry, TopicId};

/// An operation on topics, partitions or records failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No topic has this name.
    #[error("there is no topic `{0}`")]
    UnknownTopic(String),
    /// No topic has this id.
    #[error("there is no topic with id {0}")]
    UnknownTopicId(TopicId),
    /// The topic has no such partition.
    #[error("topic `{topic}` has no partition {partition}")]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// The partition that was asked for.
        partition: i64,
    },
    /// No queue has this name, or it is gone.
    #[error("there is no queue `{0}`")]
    UnknownQueue(String),
    /// No exchange has this name.
    #[error("there is no exchange `{0}`")]
    UnknownExchange(String),
    /// No namespace has this name.
    #[error("there is no namespace `{0}`")]
    UnknownNamespace(String),
    /// Others use the queue, or somebody alone; the exchange has bindings.
    #[error("`{0}` is in use")]
    InUse(String),
    /// The queue has messages.
    #[error("queue `{0}` is not empty")]
    NotEmpty(String),
    /// A topic of this name exists.
    #[error("topic `{0}` exists already")]
    TopicExists(String),
    /// The name breaks the rules for topic names.
    #[error("{0}")]
    InvalidTopicName(String),
    /// The number of partitions is not possible.
    #[error("{0}")]
    InvalidPartitions(String),
    /// A configuration value is not possible.
    #[error("`{key}`: {why}")]
    InvalidConfig {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// The request contradicts itself.
    #[error("{0}")]
    InvalidRequest(String),
    /// The topic's own rules forbid it.
    #[error("{0}")]
    Policy(String),
    /// A limit is reached.
    #[error("the limit `{name}` of {limit} is reached")]
    Limit {
        /// The limit's configuration key.
        name: &'static str,
        /// Its value.
        limit: u64,
    },
    /// An offset outside the log.
    #[error("offset {from} is outside {start}..={end}")]
    OutOfRange {
        /// What was asked for.
        from: i64,
        /// The first offset kept.
        start: Offset,
        /// One past the last readable offset.
        end: Offset,
    },
    /// The caller's leader epoch is older than the partition's.
    #[error("leader epoch {asked} is older than {current}")]
    FencedEpoch {
        /// The caller's.
        asked: i32,
        /// The partition's.
        current: i32,
    },
    /// The caller's leader epoch is newer than the partition's.
    #[error("leader epoch {asked} is newer than {current}")]
    UnknownEpoch {
        /// The caller's.
        asked: i32,
        /// The partition's.
        current: i32,
    },
    /// A batch was refused.
    #[error("the batch was refused: {0}")]
    Batch(BatchProblem),
    /// A producer's batch does not fit what is known of it.
    #[error("{0}")]
    Producer(ProducerProblem),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The control state failed.
    #[error(transparent)]
    Meta(#[from] meta::Error),
    /// The process is going down.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

/// Why a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchProblem {
    /// Cut short, or its checksum is wrong.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// Well-formed, but not what a producer may send.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Some of its records are not allowed: which, and why; the first hundred or so.
    #[error("{} of its records are not allowed, the first: {}", .0.len(), .0.first().map_or("", |(_, why)| why))]
    Records(Vec<(u32, String)>),
    /// A timestamp outside the topic's bounds.
    #[error("timestamp {timestamp} is outside the topic's bounds")]
    Timestamp {
        /// The record's place in the batch, when one record is to blame.
        index: Option<u32>,
        /// In milliseconds since 1970.
        timestamp: i64,
    },
    /// Larger than `max.message.bytes`.
    #[error("{bytes} bytes are more than max.message.bytes, {limit}")]
    TooLarge {
        /// The batch's size.
        bytes: usize,
        /// The topic's limit.
        limit: usize,
    },
    /// Larger than `segment.bytes`: no segment could hold it.
    #[error("{bytes} bytes are more than segment.bytes, {segment}")]
    LargerThanSegment {
        /// The batch's size.
        bytes: usize,
        /// The size of the topic's segments.
        segment: u64,
    },
    /// A compression that this topic does not take.
    #[error("unknown compression {0}")]
    Compression(i16),
}

/// What is wrong with a producer's sequence or epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerProblem {
    /// A gap, or a repeat that is too old to be recognised.
    #[error("sequence {got} follows {last}: out of order")]
    OutOfOrder {
        /// The batch's first sequence.
        got: i32,
        /// The last one appended, -1 for none.
        last: i32,
    },
    /// An older incarnation of the producer.
    #[error("producer epoch {got} is older than {current}")]
    StaleEpoch {
        /// The batch's epoch.
        got: i16,
        /// The newest one seen.
        current: i16,
    },
}

impl Error {
    /// What the error is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::UnknownTopic(_)
            | Self::UnknownTopicId(_)
            | Self::UnknownPartition { .. }
            | Self::UnknownQueue(_)
            | Self::UnknownExchange(_)
            | Self::UnknownNamespace(_) => Kind::NotFound,
            Self::TopicExists(_)
            | Self::InUse(_)
            | Self::NotEmpty(_)
            | Self::FencedEpoch { .. }
            | Self::UnknownEpoch { .. }
            | Self::Producer(_) => Kind::Conflict,
            Self::InvalidTopicName(_)
            | Self::InvalidPartitions(_)
            | Self::InvalidConfig { .. }
            | Self::InvalidRequest(_)
            | Self::OutOfRange { .. }
            | Self::Batch(_) => Kind::Invalid,
            Self::Policy(_) => Kind::Denied,
            Self::Limit { .. } => Kind::Exhausted,
            Self::Store(e) => e.kind(),
            Self::Meta(e) => e.kind(),
            Self::ShuttingDown => Kind::Unavailable,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Store(e) => e.retry(),
            Self::Meta(e) => e.retry(),
            Self::UnknownEpoch { .. } | Self::ShuttingDown => Retry::After,
            Self::UnknownTopic(_)
            | Self::UnknownTopicId(_)
            | Self::UnknownPartition { .. }
            | Self::UnknownQueue(_)
            | Self::UnknownExchange(_)
            | Self::UnknownNamespace(_)
            | Self::InUse(_)
            | Self::NotEmpty(_)
            | Self::TopicExists(_)
            | Self::FencedEpoch { .. }
            | Self::Producer(_)
            | Self::InvalidTopicName(_)
            | Self::InvalidPartitions(_)
            | Self::InvalidConfig { .. }
            | Self::InvalidRequest(_)
            | Self::OutOfRange { .. }
            | Self::Batch(_)
            | Self::Policy(_)
            | Self::Limit { .. } => Retry::Never,
        }
    }
}
