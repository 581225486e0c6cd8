//! How far a group has read.

use std::collections::BTreeMap;

/// A committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record read; -1 for none.
    pub leader_epoch: i32,
    /// What the client said about it.
    pub metadata: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Until when it is kept, in milliseconds since 1970, where its client has said so.
    pub expires_ms: Option<i64>,
    /// Where it is written: of two commits the later one counts.
    pub(crate) place: u64,
}

/// A group's offsets, by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, Committed>>,
    /// What they take in memory, in bytes.
    size: usize,
}

/// What an offset takes in memory without its text, and what a topic does without its name.
const OFFSET: usize = 128;
const TOPIC: usize = 128;

impl Committed {
    /// A commit to be made; the time is set when it is.
    #[must_use]
    pub fn new(offset: i64, leader_epoch: i32, metadata: String) -> Self {
        Self {
            offset,
            leader_epoch,
            metadata,
            at_ms: 0,
            expires_ms: None,
            place: 0,
        }
    }

    /// The same, kept until `expires_ms` (milliseconds since 1970) whatever becomes of its group.
    #[must_use]
    pub fn kept_until(self, expires_ms: Option<i64>) -> Self {
        Self { expires_ms, ..self }
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        OFFSET + self.metadata.len()
    }
}

impl Offsets {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)
    }

    /// Takes in a commit, unless a later one is there.
    pub(crate) fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), BTreeMap::new());
            self.size += TOPIC + topic.len();
        }
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        let later = partitions
            .get(&partition)
            .is_some_and(|old| old.place > committed.place);
        if !later {
            self.size += committed.size();
            let old = partitions.insert(partition, committed);
            self.size -= old.map_or(0, |old| old.size());
        }
    }

    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return false;
        };
        let removed = partitions.remove(&partition);
        self.size -= removed.as_ref().map_or(0, Committed::size);
        if partitions.is_empty() {
            self.topics.remove(topic);
            self.size -= TOPIC + topic.len();
        }
        removed.is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, &Committed)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, at)| (topic.as_str(), *partition, at))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// What they take in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// By how much taking in these would make it larger, in bytes.
    pub(crate) fn growth(&self, new: &[(String, i32, Committed)]) -> usize {
        let one = |(topic, partition, at): &(String, i32, Committed)| {
            let topic_size = if self.topics.contains_key(topic) {
                0
            } else {
                TOPIC + topic.len()
            };
            let old = self.get(topic, *partition).map_or(0, Committed::size);
            topic_size + at.size().saturating_sub(old)
        };
        new.iter().map(one).sum()
    }
}
