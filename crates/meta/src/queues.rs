//! Queues. There may be very many, so that they are not kept in memory here: the engine reads all
//! of them once, at its start.

use redb::ReadableDatabase;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use base::TopicId;

use crate::{Error, Meta, QUEUES};

/// A queue.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Queue {
    /// Its identity.
    pub id: Uuid,
    /// Where its name is unique.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The topic that holds its messages.
    pub topic: String,
    /// That topic's identity; `None` while it is being made.
    pub topic_id: Option<TopicId>,
    /// Whether the topic was made for the queue and goes with it.
    pub owns_topic: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since 1970.
    pub modified_ms: i64,
    /// What is set about it, as the engine writes it.
    pub settings: serde_json::Value,
}

impl Meta {
    /// All queues. Blocks.
    ///
    /// # Errors
    /// [`Error::Damaged`]; whatever the disk answers.
    pub fn queues(&self) -> Result<Vec<Queue>, Error> {
        let fails = |error: redb::Error| Error::database(&self.0.path, error);
        let view = self.0.database.begin_read().map_err(|e| fails(e.into()))?;
        let table = view.open_table(QUEUES).map_err(|e| fails(e.into()))?;
        let mut all = Vec::new();
        for row in table.iter().map_err(|e| fails(e.into()))? {
            let (key, value) = row.map_err(|e| fails(e.into()))?;
            all.push(self.parse("queue", key.value(), value.value())?);
        }
        Ok(all)
    }

    /// Creates or replaces a queue. Blocks until it is durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn put_queue(&self, queue: &Queue) -> Result<(), Error> {
        // A structure of texts and numbers is always writable as JSON.
        let row = serde_json::to_vec(queue).unwrap_or_default();
        let key = queue.id.to_string();
        self.change(|change| {
            change
                .open_table(QUEUES)?
                .insert(key.as_str(), row.as_slice())?;
            Ok(())
        })
    }

    /// Forgets a queue. Blocks until it is durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn delete_queue(&self, id: Uuid) -> Result<(), Error> {
        self.change(|change| {
            change.open_table(QUEUES)?.remove(id.to_string().as_str())?;
            Ok(())
        })
    }
}
