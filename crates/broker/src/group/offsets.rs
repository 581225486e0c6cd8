//! How far a group has read.
//!
//! A commit and a deletion both are durable first and take effect here then, in any order. What
//! counts is their order in the log: each knows its place there. As long as commits are under way,
//! deletions are remembered, so that one that comes late does not bring back what is deleted.

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
    /// How many commits are under way.
    commits: usize,
    /// Where offsets were deleted meanwhile.
    graves: BTreeMap<(String, i32), u64>,
    /// What they take in memory, in bytes.
    size: usize,
}

/// What an offset takes in memory without its text, and what a topic does without its name.
const OFFSET: usize = 128;
const TOPIC: usize = 128;

fn grave_size((topic, _): &(String, i32)) -> usize {
    OFFSET + topic.len()
}

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

    /// A commit is under way, until [`Offsets::end_commit`].
    pub(crate) fn begin_commit(&mut self) {
        self.commits += 1;
    }

    pub(crate) fn end_commit(&mut self) {
        self.commits = self.commits.saturating_sub(1);
        if self.commits == 0 {
            let graves = std::mem::take(&mut self.graves);
            self.size -= graves.keys().map(grave_size).sum::<usize>();
        }
    }

    /// Takes in a commit, unless a later one is there, or a later deletion was.
    pub(crate) fn put(&mut self, topic: &str, partition: i32, committed: Committed) {
        if !self.graves.is_empty() {
            let grave = self.graves.get(&(topic.to_owned(), partition));
            if grave.is_some_and(|place| *place > committed.place) {
                return;
            }
        }
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

    /// Takes in a deletion that is at `place` in the log: what is committed later stays.
    pub(crate) fn bury(&mut self, topic: &str, partition: i32, place: u64) {
        let later = self
            .get(topic, partition)
            .is_some_and(|at| at.place > place);
        if !later {
            self.remove(topic, partition);
        }
        if self.commits > 0 {
            let key = (topic.to_owned(), partition);
            let size = grave_size(&key);
            if self.graves.insert(key, place).is_none() {
                self.size += size;
            }
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

    /// Whether there are none, and none are on their way.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && self.commits == 0
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
