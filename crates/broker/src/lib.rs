//! The messaging engine: topics and their partitions, producers, consumer groups, queues.
//!
//! It speaks neutral nouns only. A *topic* has *partitions*; a partition is a stream of record
//! batches in the store with an append path that validates and deduplicates ([`partition`],
//! [`validate`], [`producer`]) and a read path that never decodes ([`read`]). A *group*
//! ([`group`]) shares partitions among members and remembers how far each was read. What is
//! configurable about a topic is one table, [`topic_config::KEYS`]. A *queue* ([`queue`]) is a topic with a
//! cursor: its messages ([`message`]) are handed out and settled one by one.
//!
//! What it must not know: any protocol's requests, versions or error codes. A head converts to
//! and from these nouns; when it cannot, a noun is missing here.
//!
//! Locks: a topic table lock is never held while a partition lock is taken; a partition lock is
//! held across `Stream::append`, which never waits; so is a queue's ([`queue`]). No lock is held over an `.await`.

mod admin;
mod broker;
mod config;
mod error;
pub mod group;
pub mod message;
mod metrics;
mod partition;
mod producer;
pub mod queue;
mod read;
mod records;
mod status;
mod topic;
pub mod topic_config;
mod validate;

pub use admin::{ConfigChange, ConfigOperation, NewTopic};
pub use broker::{Broker, Parts};
pub use config::Config;
pub use error::{BatchProblem, Error, ProducerProblem};
pub use meta;
pub use partition::{Ack, Appended, Partition, ProducerInfo};
pub use read::{PartitionRead, ReadOne, ReadRequest};
pub use records::{
    NewRecord, Published, Publisher, ReadFrom, ReadLimits, Record, RecordHeader, Records,
    partition_of,
};
pub use status::Status;
pub use store::{Piece, Read};
pub use topic::Topic;
pub use topic_config::TopicConfig;
