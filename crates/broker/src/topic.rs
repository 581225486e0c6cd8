//! A topic: a name, an identity, a configuration and its partitions.

use std::sync::Arc;

use base::TopicId;
use parking_lot::RwLock;

use crate::error::Error;
use crate::partition::Partition;
use crate::topic_config::TopicConfig;

/// A topic. Handles stay valid after its deletion; their operations then fail.
#[derive(Debug)]
pub struct Topic {
    id: TopicId,
    name: Arc<str>,
    internal: bool,
    config: RwLock<Arc<TopicConfig>>,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
}

impl Topic {
    pub(crate) fn new(
        id: TopicId,
        name: Arc<str>,
        internal: bool,
        config: Arc<TopicConfig>,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        Self {
            id,
            name,
            internal,
            config: RwLock::new(config),
            partitions: RwLock::new(partitions.into()),
        }
    }

    /// Its identity for its whole life.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it holds the engine's own state, which clients may read but not write.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.internal
    }

    /// Its configuration now.
    #[must_use]
    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.read().clone()
    }

    /// Its partitions now, by number.
    #[must_use]
    pub fn partitions(&self) -> Arc<[Arc<Partition>]> {
        self.partitions.read().clone()
    }

    /// The partition numbered `index`.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`].
    pub fn partition(&self, index: i32) -> Result<Arc<Partition>, Error> {
        usize::try_from(index)
            .ok()
            .and_then(|at| self.partitions.read().get(at).cloned())
            .ok_or_else(|| Error::UnknownPartition {
                topic: self.name.to_string(),
                partition: i64::from(index),
            })
    }

    pub(crate) fn configure(&self, config: &Arc<TopicConfig>) {
        *self.config.write() = config.clone();
        for partition in self.partitions().iter() {
            partition.configure(config);
        }
    }

    pub(crate) fn set_partitions(&self, partitions: Vec<Arc<Partition>>) {
        *self.partitions.write() = partitions.into();
    }
}
