//! A member of a group.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{JoinAnswer, SyncAnswer};

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// When its session ends.
    pub(crate) deadline: Instant,
    /// It waits for the round to begin.
    pub(crate) join: Option<JoinAnswer>,
    /// It waits for its part.
    pub(crate) sync: Option<SyncAnswer>,
    /// It has joined for the first time and was not answered yet.
    pub(crate) is_new: bool,
    /// It has asked for its part in this round.
    pub(crate) synced: bool,
}

impl Member {
    /// Its data for a way of sharing.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// The first of `candidates` in its own order.
    pub(crate) fn vote<'a>(&'a self, candidates: &[&str]) -> Option<&'a str> {
        let mut known = self.protocols.iter().map(|(name, _)| name.as_str());
        known.find(|name| candidates.contains(name))
    }

    /// Whether its session has ended. Who waits for an answer is not silent.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        let waits = (self.join.is_some() && !self.is_new) || self.sync.is_some();
        !waits && self.deadline <= now
    }
}
