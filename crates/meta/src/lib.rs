//! The control state: topics, users, settings, producer ids. Small, read often, changed rarely.
//!
//! It lives in one file (redb, a copy-on-write B-tree: every change is one synced transaction) and
//! as a whole in memory, where it is read. Every change is durable when its call returns.
//!
//! It knows names, ids and texts; what a topic's configuration means is the engine's business.

mod error;
mod names;
mod open;
mod topics;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Rng, TopicId};
use parking_lot::Mutex;
use redb::{Database, TableDefinition};
use serde::{Deserialize, Serialize};

pub use error::Error;
pub use names::{InvalidName, TOPIC_NAME_MAX, check_topic_name};
pub use users::{Credential, ITERATIONS, ITERATIONS_MAX, ScramMechanism, derive};

const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
const DELETING: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("deleting");
const SETTINGS: TableDefinition<'_, &str, &str> = TableDefinition::new("settings");
const USERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("users");

/// How many producer ids are taken from the file at a time.
const PRODUCER_BLOCK: i64 = 1000;
const PRODUCER_ID: &str = "producer.next_id";
const CLUSTER_ID: &str = "cluster.id";
/// The secret that makes up what is shown of users who do not exist.
const STRANGERS: &str = "users.strangers";

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Topic {
    /// Its identity; a topic of the same name that is created later has another.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// What was configured on it.
    pub config: BTreeMap<String, String>,
    /// Whether it holds the engine's own state.
    pub internal: bool,
}

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// What is configured on it.
    pub config: BTreeMap<String, String>,
    /// Whether it holds the engine's own state.
    pub internal: bool,
}

/// The control state; cheap to clone.
#[derive(Clone, Debug)]
pub struct Meta(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Database,
    path: String,
    rng: Rng,
    /// One change at a time; readers clone what they need.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Topic>,
    listed: Option<Arc<[Topic]>>,
    deleting: BTreeMap<TopicId, Topic>,
    settings: BTreeMap<String, String>,
    users: BTreeMap<String, users::User>,
    producer_next: i64,
    producer_end: i64,
}

impl Meta {
    /// The identity of this cluster, made at the first start.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.setting(CLUSTER_ID).unwrap_or_default()
    }

    /// The setting called `key`.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<String> {
        self.0.state.lock().settings.get(key).cloned()
    }

    /// All settings whose key begins with `prefix`.
    #[must_use]
    pub fn settings(&self, prefix: &str) -> BTreeMap<String, String> {
        let state = self.0.state.lock();
        let from = state.settings.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Sets it. Blocks until it is durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn set_setting(&self, key: &str, value: &str) -> Result<(), Error> {
        let mut state = self.0.state.lock();
        self.put_setting(key, value)?;
        state.settings.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn put_setting(&self, key: &str, value: &str) -> Result<(), Error> {
        self.change(|change| {
            change.open_table(SETTINGS)?.insert(key, value)?;
            Ok(())
        })
    }

    /// A producer id that was never given out before. Blocks for one in a thousand.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn next_producer_id(&self) -> Result<i64, Error> {
        let mut state = self.0.state.lock();
        if state.producer_next == state.producer_end {
            let end = state.producer_end + PRODUCER_BLOCK;
            self.put_setting(PRODUCER_ID, &end.to_string())?;
            state.producer_end = end;
        }
        let id = state.producer_next;
        state.producer_next += 1;
        Ok(id)
    }

    /// One transaction, synced when this returns.
    fn change(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let fails = |error: redb::Error| Error::database(&self.0.path, error);
        let change = self.0.database.begin_write().map_err(|e| fails(e.into()))?;
        work(&change).map_err(fails)?;
        change.commit().map_err(|e| fails(e.into()))
    }
}

#[cfg(test)]
mod tests;
