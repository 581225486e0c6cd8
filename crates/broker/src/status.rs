//! What an operator asks about the engine as a whole, and changes of users.

use std::time::Duration;

use store::StoreState;

use crate::broker::Broker;
use crate::error::Error;

/// How the engine is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Why the log takes no appends any more; `None` while it does.
    pub stopped: Option<String>,
    /// The identity of the cluster.
    pub cluster_id: String,
    /// How often it was started before.
    pub epoch: i32,
    /// Whether the last run ended in order.
    pub clean_start: bool,
    /// Entries of the write-ahead log that the start replayed.
    pub replayed: u64,
    /// Their bytes.
    pub replayed_bytes: u64,
    /// Bytes of unfinished writes that the start cut off.
    pub torn_bytes: u64,
    /// What was acknowledged and cannot be read any more.
    pub damage: Vec<String>,
    /// How long the log's part of the start took.
    pub recovery: Duration,
}

impl Broker {
    /// How the engine is now.
    #[must_use]
    pub fn status(&self) -> Status {
        let stopped = match self.store().state() {
            StoreState::Running => None,
            StoreState::Stopped(reason) => Some(reason.to_string()),
        };
        let report = self.store().recovery();
        Status {
            stopped,
            cluster_id: self.meta().cluster_id(),
            epoch: self.epoch(),
            clean_start: report.clean,
            replayed: report.replayed,
            replayed_bytes: report.replayed_bytes,
            torn_bytes: report.torn_bytes,
            damage: report.damage.iter().map(ToString::to_string).collect(),
            recovery: report.took,
        }
    }

    /// Lets go of the topics and queues, which hold the engine as it holds them. To be called after
    /// [`Broker::close`]: then the last handle that is dropped closes the control state too.
    pub fn release(&self) {
        self.queues().release();
        *self.shared().topics.write() = crate::broker::TopicTable::default();
    }

    /// Makes a user, or gives one a new password; durable when it returns.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for an empty name or password, [`Error::Meta`].
    pub async fn set_password(&self, user: &str, password: String) -> Result<(), Error> {
        if user.is_empty() || password.is_empty() {
            return Err(Error::InvalidRequest(
                "a user has a name and a password".to_owned(),
            ));
        }
        let (meta, user) = (self.meta().clone(), user.to_owned());
        self.shared()
            .blocking("broker.set_password", move || {
                Ok(meta.set_password(&user, &password)?)
            })
            .await
    }

    /// Changes users' tags, permissions and password hashes, all or none; durable when it returns.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a pattern that cannot be compiled; [`Error::Meta`], by its
    /// `UnknownUser` too.
    pub async fn change_users(
        &self,
        changes: Vec<(String, meta::UserChange)>,
    ) -> Result<(), Error> {
        let access = self.access().clone();
        self.shared()
            .blocking("broker.change_users", move || access.change(changes))
            .await
    }

    /// Removes a user; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Meta`], by its `UnknownUser` too.
    pub async fn delete_user(&self, user: &str) -> Result<(), Error> {
        let (meta, user) = (self.meta().clone(), user.to_owned());
        self.shared()
            .blocking("broker.delete_user", move || Ok(meta.delete_user(&user)?))
            .await?;
        self.access().forget();
        Ok(())
    }
}
