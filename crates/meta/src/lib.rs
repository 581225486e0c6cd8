//! The control state: topics, queues, users and their rights, settings, producer ids, and the catalog of
//! namespaces, exchanges and bindings. Small, read often, changed rarely.
//!
//! It lives in one file (redb, a copy-on-write B-tree: every change is one synced transaction) and
//! in memory, where it is read, but for the catalog ([`Catalog`]), of which the engine keeps a form
//! of its own. Every change is durable when its call returns.
//!
//! It knows names, ids and texts; what a topic's configuration means is the engine's business.

mod catalog;
mod error;
mod names;
mod open;
mod queues;
mod rights;
mod topics;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Rng, TopicId};
use parking_lot::Mutex;
use redb::{Database, TableDefinition};
use serde::{Deserialize, Serialize};

pub use catalog::{Catalog, Row, RowChange};
pub use error::Error;
pub use names::{InvalidName, TOPIC_NAME_MAX, check_topic_name};
pub use queues::Queue;
pub use rights::{Permission, Rights, TopicPermission, UserChange};
pub use users::{Credential, ITERATIONS, ITERATIONS_MAX, PasswordHash, ScramMechanism, derive};

const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
const DELETING: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("deleting");
const QUEUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("queues");
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
    /// Held over a change, which waits for the disk: one at a time. Taken before `state`.
    changing: Mutex<()>,
    /// Never held while the disk works: sockets' threads read it.
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
        let _changing = self.0.changing.lock();
        self.put_setting(key, value)?;
        let mut state = self.0.state.lock();
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
        let _changing = self.0.changing.lock();
        let (next, end) = {
            let state = self.0.state.lock();
            (state.producer_next, state.producer_end)
        };
        if next == end {
            let end = end + PRODUCER_BLOCK;
            self.put_setting(PRODUCER_ID, &end.to_string())?;
            self.0.state.lock().producer_end = end;
        }
        let mut state = self.0.state.lock();
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
