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
    /// Where it is written: of two commits the later one counts.
    pub(crate) place: u64,
}

/// A group's offsets, by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets(BTreeMap<String, BTreeMap<i32, Committed>>);

impl Committed {
    /// A commit to be made; the time is set when it is.
    #[must_use]
    pub fn new(offset: i64, leader_epoch: i32, metadata: String) -> Self {
        Self {
            offset,
            leader_epoch,
            metadata,
            at_ms: 0,
            place: 0,
        }
    }
}

impl Offsets {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.0.get(topic)?.get(&partition)
    }

    /// Takes in a commit, unless a later one is there.
    pub(crate) fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        if !self.0.contains_key(topic) {
            self.0.insert(topic.to_owned(), BTreeMap::new());
        }
        let Some(partitions) = self.0.get_mut(topic) else {
            return;
        };
        let later = partitions
            .get(&partition)
            .is_some_and(|old| old.place > committed.place);
        if !later {
            partitions.insert(partition, committed);
        }
    }

    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.0.get_mut(topic) else {
            return false;
        };
        let removed = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            self.0.remove(topic);
        }
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, &Committed)> {
        self.0.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, at)| (topic.as_str(), *partition, at))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
