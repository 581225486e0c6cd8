//! Topics, and those that are being deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::TopicId;

use crate::{DELETING, Error, Meta, NewTopic, TOPICS, Topic};

fn row(topic: &Topic) -> Vec<u8> {
    // A structure of texts and numbers is always writable as JSON.
    serde_json::to_vec(topic).unwrap_or_default()
}

impl Meta {
    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Arc<[Topic]> {
        let mut state = self.0.state.lock();
        if let Some(listed) = &state.listed {
            return listed.clone();
        }
        let listed: Arc<[Topic]> = state.topics.values().cloned().collect();
        state.listed = Some(listed.clone());
        listed
    }

    /// The topics whose deletion was begun and not finished.
    #[must_use]
    pub fn deleting(&self) -> Vec<Topic> {
        self.0.state.lock().deleting.values().cloned().collect()
    }

    /// Creates a topic. Blocks until it is durable.
    ///
    /// # Errors
    /// [`Error::TopicExists`]; whatever the disk answers.
    pub fn create_topic(&self, new: NewTopic) -> Result<Topic, Error> {
        let _changing = self.0.changing.lock();
        if self.0.state.lock().topics.contains_key(&new.name) {
            return Err(Error::TopicExists(new.name));
        }
        let topic = Topic {
            id: TopicId(self.0.rng.uuid()),
            name: new.name,
            partitions: new.partitions,
            config: new.config,
            internal: new.internal,
        };
        self.put_topic(&topic)?;
        let mut state = self.0.state.lock();
        state.topics.insert(topic.name.clone(), topic.clone());
        state.listed = None;
        Ok(topic)
    }

    fn known(&self, name: &str) -> Result<Topic, Error> {
        let topic = self.0.state.lock().topics.get(name).cloned();
        topic.ok_or_else(|| Error::UnknownTopic(name.to_owned()))
    }

    fn put_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.change(|change| {
            change
                .open_table(TOPICS)?
                .insert(topic.name.as_str(), row(topic).as_slice())?;
            Ok(())
        })
    }

    fn change_topic(&self, name: &str, change: impl FnOnce(&mut Topic)) -> Result<(), Error> {
        let _changing = self.0.changing.lock();
        let mut topic = self.known(name)?;
        change(&mut topic);
        self.put_topic(&topic)?;
        let mut state = self.0.state.lock();
        state.topics.insert(name.to_owned(), topic);
        state.listed = None;
        Ok(())
    }

    /// Sets how many partitions a topic has. Blocks until it is durable.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; whatever the disk answers.
    pub fn set_partitions(&self, name: &str, partitions: u32) -> Result<(), Error> {
        self.change_topic(name, |topic| topic.partitions = partitions)
    }

    /// Replaces what is configured on a topic. Blocks until it is durable.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; whatever the disk answers.
    pub fn set_topic_config(
        &self,
        name: &str,
        config: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        self.change_topic(name, |topic| topic.config = config)
    }

    /// Begins a topic's deletion: its name is free, and [`Meta::finish_delete`] is due even after
    /// a crash. Blocks until it is durable.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`]; whatever the disk answers.
    pub fn delete_topic(&self, name: &str) -> Result<Topic, Error> {
        let _changing = self.0.changing.lock();
        let topic = self.known(name)?;
        let id = topic.id.0.to_string();
        self.change(|change| {
            change.open_table(TOPICS)?.remove(name)?;
            change
                .open_table(DELETING)?
                .insert(id.as_str(), row(&topic).as_slice())?;
            Ok(())
        })?;
        let mut state = self.0.state.lock();
        state.topics.remove(name);
        state.deleting.insert(topic.id, topic.clone());
        state.listed = None;
        Ok(topic)
    }

    /// Nothing of the topic is left. Blocks until it is durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn finish_delete(&self, id: TopicId) -> Result<(), Error> {
        let _changing = self.0.changing.lock();
        self.change(|change| {
            change
                .open_table(DELETING)?
                .remove(id.0.to_string().as_str())?;
            Ok(())
        })?;
        self.0.state.lock().deleting.remove(&id);
        Ok(())
    }
}
