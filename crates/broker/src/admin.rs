//! Creating, changing and deleting topics. One change at a time; each is durable in the control
//! state before it is visible, and before it is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{StreamId, TopicId};
use uuid::Uuid;

use crate::broker::Broker;
use crate::error::Error;
use crate::topic::Topic;
use crate::topic_config::{self, TopicConfig, ValueKind, elements};

/// A topic to be created.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` is the operator's default.
    pub partitions: Option<u32>,
    /// Configuration that differs from the defaults.
    pub config: BTreeMap<String, String>,
    /// Whether it holds the engine's own state.
    pub internal: bool,
}

/// What to do with one configuration value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Sets it.
    Set(String),
    /// Goes back to the default.
    Delete,
    /// Adds elements to a list.
    Append(String),
    /// Takes elements from a list.
    Subtract(String),
}

/// A change of one configuration value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// What to do with it.
    pub operation: ConfigOperation,
}

/// What a queue's topic is set to: the queue says what is kept.
const QUEUE_CONFIG: [(&str, &str); 4] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("segment.bytes", "67108864"),
];

/// The identity of a topic that is gone after a restart: RFC 9562 leaves version 8 to everybody's
/// own use.
fn transient_id(id: Uuid) -> TopicId {
    let mut bytes = id.into_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    TopicId(Uuid::from_bytes(bytes))
}

/// Whether a topic is gone after a restart.
pub(crate) fn is_transient(id: TopicId) -> bool {
    id.0.get_version_num() == 8
}

impl Broker {
    /// Creates a topic, or only says whether it could be (`dry_run`).
    ///
    /// # Errors
    /// [`Error::TopicExists`], [`Error::InvalidTopicName`], [`Error::InvalidPartitions`],
    /// [`Error::InvalidConfig`], [`Error::Limit`], [`Error::Meta`], [`Error::Store`].
    pub async fn create_topic(&self, new: NewTopic, dry_run: bool) -> Result<Arc<Topic>, Error> {
        let broker = self.clone();
        self.shared()
            .blocking("broker.create_topic", move || {
                broker.create_topic_now(new, dry_run)
            })
            .await
    }

    /// [`Broker::create_topic`] for callers that may block.
    pub(crate) fn create_topic_now(
        &self,
        new: NewTopic,
        dry_run: bool,
    ) -> Result<Arc<Topic>, Error> {
        let _one_at_a_time = self.shared().changing.lock();
        meta::check_topic_name(&new.name)
            .map_err(|why| Error::InvalidTopicName(why.to_string()))?;
        if self.topic(&new.name).is_ok() {
            return Err(Error::TopicExists(new.name));
        }
        self.refuse_collision(&new.name)?;
        let partitions = new.partitions.unwrap_or_else(|| self.config().partitions);
        self.check_topics()?;
        self.check_partitions(partitions)?;
        let config = Arc::new(TopicConfig::parse(
            new.config.clone(),
            &self.config().defaults,
        )?);
        if dry_run {
            let id = base::TopicId::default();
            let name: Arc<str> = Arc::from(new.name.as_str());
            return Ok(Arc::new(Topic::new(
                id,
                name,
                new.internal,
                config,
                Vec::new(),
            )));
        }
        let created = self.shared().meta.create_topic(meta::NewTopic {
            name: new.name,
            partitions,
            config: new.config,
            internal: new.internal,
        })?;
        self.load(&created)
    }

    /// `a.b` and `a_b` would be one name in metrics.
    fn refuse_collision(&self, name: &str) -> Result<(), Error> {
        if !self.shared().topics.read().collides(name) {
            return Ok(());
        }
        Err(Error::InvalidTopicName(format!(
            "topic name `{name}` collides with another: `.` and `_` are one in metrics"
        )))
    }

    fn check_topics(&self) -> Result<(), Error> {
        let limit = self.config().topics_max;
        if self.shared().topics.read().own().0 >= limit {
            return Err(Error::Limit {
                name: "topics.topics_max",
                limit: limit as u64,
            });
        }
        Ok(())
    }

    fn check_partitions(&self, more: u32) -> Result<(), Error> {
        if more == 0 {
            return Err(Error::InvalidPartitions(
                "a topic has at least one partition".to_owned(),
            ));
        }
        let config = self.config();
        let table = self.shared().topics.read();
        let (_, partitions) = table.own();
        if partitions.saturating_add(more as usize) > config.partitions_max {
            let limit = config.partitions_max as u64;
            return Err(Error::Limit {
                name: "topics.partitions_max",
                limit,
            });
        }
        Ok(())
    }

    /// Raises the number of a topic's partitions to `total`.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InvalidPartitions`] when `total` is not more than there
    /// are, [`Error::Limit`], [`Error::Meta`], [`Error::Store`].
    pub async fn add_partitions(&self, name: &str, total: i32, dry_run: bool) -> Result<(), Error> {
        let (broker, name) = (self.clone(), name.to_owned());
        self.shared()
            .blocking("broker.add_partitions", move || {
                broker.add_partitions_now(&name, total, dry_run)
            })
            .await
    }

    fn add_partitions_now(&self, name: &str, total: i32, dry_run: bool) -> Result<(), Error> {
        let _one_at_a_time = self.shared().changing.lock();
        let topic = self.topic(name)?;
        let mut partitions = topic.partitions().to_vec();
        let have = partitions.len();
        let total = u32::try_from(total).unwrap_or(0);
        if total as usize <= have {
            return Err(Error::InvalidPartitions(format!(
                "topic `{name}` has {have} partitions; {total} is not more"
            )));
        }
        let more = total - u32::try_from(have).unwrap_or(u32::MAX);
        self.check_partitions(more)?;
        if dry_run {
            return Ok(());
        }
        self.shared().meta.set_partitions(name, total)?;
        let config = topic.config();
        for index in total - more..total {
            partitions.push(self.open_partition(topic.name(), topic.id(), index, &config)?);
        }
        topic.set_partitions(partitions);
        self.shared().topics.write().grow(more as usize);
        self.count_topics();
        Ok(())
    }

    /// Deletes a topic and all that is in it.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::Policy`] for an internal topic, [`Error::Meta`],
    /// [`Error::Store`].
    pub async fn delete_topic(&self, topic: Arc<Topic>) -> Result<(), Error> {
        if topic.is_internal() {
            let why = format!("topic `{}` holds the broker's own state", topic.name());
            return Err(Error::Policy(why));
        }
        self.drop_topic(topic).await
    }

    /// [`Broker::delete_topic`] for the engine itself, which may delete its own.
    pub(crate) async fn drop_topic(&self, topic: Arc<Topic>) -> Result<(), Error> {
        if is_transient(topic.id()) {
            let broker = self.clone();
            return self
                .shared()
                .blocking("broker.delete_topic", move || {
                    broker.shared().topics.write().remove(&topic);
                    broker.count_topics();
                    broker.remove_streams(topic.id(), topic.partitions().len())
                })
                .await;
        }
        let (broker, name) = (self.clone(), topic.name().to_string());
        let id = topic.id();
        self.shared()
            .blocking("broker.delete_topic", move || {
                broker.delete_topic_now(&topic)
            })
            .await?;
        if !self.groups().forget_topic(&name).await {
            // The next start tries again: a later topic of this name must not be read from where
            // this one was.
            return Ok(());
        }
        let shared = self.shared().clone();
        self.shared()
            .blocking("broker.delete_topic", move || {
                Ok(shared.meta.finish_delete(id)?)
            })
            .await
    }

    /// All but its offsets, with which the deletion ends.
    fn delete_topic_now(&self, topic: &Topic) -> Result<(), Error> {
        let _one_at_a_time = self.shared().changing.lock();
        if self.topic_by_id(topic.id()).is_err() {
            return Err(Error::UnknownTopic(topic.name().to_string()));
        }
        let deleted = self.shared().meta.delete_topic(topic.name())?;
        self.shared().topics.write().remove(topic);
        self.remove_streams(deleted.id, deleted.partitions as usize)?;
        self.count_topics();
        Ok(())
    }

    fn remove_streams(&self, topic: TopicId, partitions: usize) -> Result<(), Error> {
        for partition in 0..u32::try_from(partitions).unwrap_or(u32::MAX) {
            self.shared().store.remove(StreamId { topic, partition })?;
        }
        Ok(())
    }

    /// Whether a topic of this name could be created.
    pub(crate) fn is_free(&self, name: &str) -> bool {
        self.topic(name).is_err() && self.refuse_collision(name).is_ok()
    }

    /// A topic for a queue: it keeps what the queue has not settled. Blocks.
    pub(crate) fn queue_topic(
        &self,
        name: &str,
        lanes: u32,
        internal: bool,
    ) -> Result<Arc<Topic>, Error> {
        let _one_at_a_time = self.shared().changing.lock();
        if !self.is_free(name) {
            return Err(Error::TopicExists(name.to_owned()));
        }
        let config = QUEUE_CONFIG.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let created = self.shared().meta.create_topic(meta::NewTopic {
            name: name.to_owned(),
            partitions: lanes,
            config: config.into(),
            internal,
        })?;
        let topic = self.load(&created)?;
        self.shared().topics.write().claim(lanes as usize);
        Ok(topic)
    }

    /// A topic for a queue that is gone after a restart: the control state never knows it, and a
    /// start removes what is left of it.
    pub(crate) fn transient_topic(
        &self,
        id: Uuid,
        name: String,
        lanes: u32,
    ) -> Result<Arc<Topic>, Error> {
        let config = QUEUE_CONFIG.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let topic = meta::Topic {
            id: transient_id(id),
            name,
            partitions: lanes,
            config: config.into(),
            internal: true,
        };
        let topic = self.load(&topic)?;
        self.shared().topics.write().claim(lanes as usize);
        Ok(topic)
    }

    /// Removes what queues have left that ended with an earlier run.
    pub(crate) fn remove_transient(&self) {
        let streams = self.shared().store.streams();
        let gone: Vec<StreamId> = streams
            .into_iter()
            .filter(|id| is_transient(id.topic))
            .collect();
        if gone.is_empty() {
            return;
        }
        // Their ids are never used again: nothing has to wait for it.
        let store = self.shared().store.clone();
        let work = move || {
            for id in gone {
                if store.remove(id).is_err() {
                    return;
                }
            }
        };
        self.shared()
            .tasks
            .spawn_blocking("broker.remove_transient", work);
    }

    /// Replaces everything that was set on a topic.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InvalidConfig`], [`Error::Meta`].
    pub async fn set_topic_config(
        &self,
        name: &str,
        config: BTreeMap<String, String>,
        dry_run: bool,
    ) -> Result<(), Error> {
        let (broker, name) = (self.clone(), name.to_owned());
        self.shared()
            .blocking("broker.set_topic_config", move || {
                let _one_at_a_time = broker.shared().changing.lock();
                broker.replace_config(&name, config, dry_run)
            })
            .await
    }

    /// Changes single values of a topic's configuration; all or none.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InvalidConfig`], [`Error::Meta`].
    pub async fn change_topic_config(
        &self,
        name: &str,
        changes: Vec<ConfigChange>,
        dry_run: bool,
    ) -> Result<(), Error> {
        let (broker, name) = (self.clone(), name.to_owned());
        self.shared()
            .blocking("broker.change_topic_config", move || {
                let _one_at_a_time = broker.shared().changing.lock();
                let topic = broker.topic(&name)?;
                let mut config = topic.config().set.clone();
                for change in changes {
                    apply(&mut config, &change, &broker.config().defaults)?;
                }
                broker.replace_config(&name, config, dry_run)
            })
            .await
    }

    fn replace_config(
        &self,
        name: &str,
        config: BTreeMap<String, String>,
        dry_run: bool,
    ) -> Result<(), Error> {
        let topic = self.topic(name)?;
        let parsed = Arc::new(TopicConfig::parse(config.clone(), &self.config().defaults)?);
        if dry_run {
            return Ok(());
        }
        self.shared().meta.set_topic_config(name, config)?;
        topic.configure(&parsed);
        Ok(())
    }
}

fn apply(
    config: &mut BTreeMap<String, String>,
    change: &ConfigChange,
    defaults: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let fail = |why: &str| {
        Err(Error::InvalidConfig {
            key: change.key.clone(),
            why: why.to_owned(),
        })
    };
    let Some(key) = topic_config::key(&change.key) else {
        return fail("there is no such topic configuration");
    };
    let (words, add) = match &change.operation {
        ConfigOperation::Set(value) => {
            config.insert(change.key.clone(), value.clone());
            return Ok(());
        }
        ConfigOperation::Delete => {
            config.remove(&change.key);
            return Ok(());
        }
        ConfigOperation::Append(words) => (words, true),
        ConfigOperation::Subtract(words) => (words, false),
    };
    if key.kind != ValueKind::List {
        return fail("only a list can be appended to or subtracted from");
    }
    let now = config
        .get(&change.key)
        .or_else(|| defaults.get(&change.key))
        .map_or(key.default, String::as_str);
    let mut list: Vec<&str> = elements(now).collect();
    for word in elements(words) {
        if !add {
            list.retain(|have| *have != word);
        } else if !list.contains(&word) {
            list.push(word);
        }
    }
    let value = list.join(",");
    config.insert(change.key.clone(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(operation: ConfigOperation) -> Result<String, Error> {
        let mut config = BTreeMap::new();
        let change = ConfigChange {
            key: "cleanup.policy".to_owned(),
            operation,
        };
        apply(&mut config, &change, &BTreeMap::new())?;
        Ok(config.remove("cleanup.policy").unwrap_or_default())
    }

    #[test]
    fn lists_grow_and_shrink_by_elements() {
        assert_eq!(
            after(ConfigOperation::Append("compact".into())).unwrap(),
            "delete,compact"
        );
        assert_eq!(
            after(ConfigOperation::Append("delete".into())).unwrap(),
            "delete"
        );
        assert_eq!(
            after(ConfigOperation::Subtract("delete".into())).unwrap(),
            ""
        );
    }

    #[test]
    fn only_lists_do() {
        let mut config = BTreeMap::new();
        let change = ConfigChange {
            key: "retention.ms".to_owned(),
            operation: ConfigOperation::Append("1".to_owned()),
        };
        assert!(apply(&mut config, &change, &BTreeMap::new()).is_err());
    }
}
