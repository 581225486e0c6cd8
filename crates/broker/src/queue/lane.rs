//! A lane: one partition of the queue's topic, which of its records are settled, and what is known
//! of those that were looked at and are not. Every record below `next` is settled or has a slot (or
//! lies in the inbox of a consumer that settles at once); nobody has looked at those behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use base::Offset;
use bytes::Bytes;
use store::{Read, Stream};

use super::cursor::Cursor;
use super::slots::{Ready, Slots};
use super::window::{Again, Window};

/// What a record that is not settled waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A consumer, or whoever took it (0), to settle it.
    Leased(u64),
    /// Somebody to take it.
    Ready,
    /// Its time, in milliseconds since 1970.
    Delayed(i64),
    /// Those before it in its group.
    Parked,
    /// To be moved to where dead letters go.
    Dying,
}

/// A record that was looked at and is not settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    /// Of the last lease.
    pub(super) epoch: u32,
    /// Deliveries that count.
    pub(super) attempts: u32,
    /// Bytes of its value.
    pub(super) size: u32,
    /// When it was first delivered; 0 for never.
    pub(super) first_ms: i64,
    /// When the lease ends; `i64::MAX` for never.
    pub(super) deadline: i64,
    pub(super) redelivered: bool,
}

impl Slot {
    pub(super) fn new(place: Place, size: u64) -> Self {
        Self {
            place,
            epoch: 0,
            attempts: 0,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            first_ms: 0,
            deadline: i64::MAX,
            redelivered: false,
        }
    }
}

/// What the journal knew of a record that was delivered before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) attempts: u32,
    pub(super) first_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stream: Stream,
    pub(super) cursor: Cursor,
    /// The first record that nobody has looked at.
    pub(super) next: u64,
    /// Before the start, everything below had been looked at.
    pub(super) seen: u64,
    pub(super) slots: Slots,
    pub(super) ready: Ready,
    /// Counts from before the start, of records that were not looked at since.
    pub(super) counts: BTreeMap<u64, Count>,
    pub(super) window: Window,
    pub(super) again: Again,
    /// Whether a read is under way.
    pub(super) loading: bool,
    /// Settled records at or behind `next`: a start reads from the floor.
    pub(super) settled_ahead: u64,
    /// Records behind `next` that are known to be hidden for now.
    pub(super) delayed_ahead: u64,
    /// Bytes of the values of ready records, as far as they are counted.
    pub(super) bytes: u64,
    /// Records whose bytes are not in `bytes`.
    pub(super) uncounted: Vec<Range<u64>>,
    /// One past the last record that is known to have been appended.
    pub(super) appended: u64,
    /// What the journal has of the lane itself.
    pub(super) kept: Option<super::journal::LaneValue>,
    /// Chunks that have records in the journal.
    pub(super) journaled: BTreeSet<u64>,
    /// Bumped by whatever makes a read that is under way worthless.
    pub(super) reads: u64,
}

impl Lane {
    pub(super) fn new(stream: Stream, floor: u64) -> Self {
        let appended = stream.appended_end().0;
        let floor = floor.clamp(stream.start().0, appended);
        Self {
            cursor: Cursor::new(floor),
            next: floor,
            seen: floor,
            slots: Slots::default(),
            ready: Ready::default(),
            counts: BTreeMap::new(),
            window: Window::default(),
            again: Again::default(),
            loading: false,
            settled_ahead: 0,
            delayed_ahead: 0,
            bytes: 0,
            uncounted: Some(floor..appended)
                .filter(|range| !range.is_empty())
                .into_iter()
                .collect(),
            appended,
            kept: None,
            journaled: BTreeSet::new(),
            reads: 0,
            stream,
        }
    }

    /// Records that nobody has looked at, and that are not settled.
    pub(super) fn unread(&self) -> u64 {
        let ahead = self.appended.saturating_sub(self.next);
        ahead.saturating_sub(self.settled_ahead + self.delayed_ahead)
    }

    /// Whether more will be there in a moment: it is being read or made durable.
    pub(super) fn is_pending(&self) -> bool {
        let soon = self.appended > self.stream.end().0 && self.stream.check_open().is_ok();
        self.loading || soon
    }

    /// Takes in what others have appended to the topic.
    pub(super) fn note_appended(&mut self) {
        let end = self.stream.appended_end().0;
        if end > self.appended {
            self.add_uncounted(self.appended..end);
            self.appended = end;
        }
    }

    pub(super) fn add_uncounted(&mut self, range: Range<u64>) {
        /// Ranges are merged when there are more.
        const RANGES_MAX: usize = 64;
        if range.is_empty() {
            return;
        }
        let many = self.uncounted.len() >= RANGES_MAX;
        match self.uncounted.last_mut() {
            Some(last) if many || last.end == range.start => last.end = range.end,
            _ => self.uncounted.push(range),
        }
    }

    /// Takes a record's bytes out of those that are ready, if they were counted.
    pub(super) fn uncount(&mut self, offset: u64, size: u64) {
        while self.uncounted.first().is_some_and(|r| r.end <= self.next) {
            self.uncounted.remove(0);
        }
        if !self.uncounted.iter().any(|range| range.contains(&offset)) {
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    /// The batches from `from` on, when that needs no disk.
    pub(super) fn read_cached(&self, from: u64, bytes: usize) -> Option<Read> {
        if !self.stream.read_is_cached(Offset(from)) {
            return None;
        }
        self.stream
            .read(Offset(from), bytes)
            .ok()
            .filter(super::window::is_quick)
    }

    /// Where the log may be cut off.
    pub(super) fn floor(&self) -> u64 {
        self.cursor.floor()
    }

    /// Settles every record that has no slot.
    pub(super) fn settle_rest(&mut self) {
        let mut from = self.cursor.floor();
        for offset in self.slots.keys().copied() {
            self.cursor.settle_range(from..offset);
            from = offset + 1;
        }
        self.cursor.settle_range(from..self.appended);
        self.next = self.appended;
        self.counts.clear();
        self.window = Window::default();
        (self.settled_ahead, self.delayed_ahead, self.bytes) = (0, 0, 0);
        self.uncounted.clear();
        self.reads += 1;
        self.loading = false;
    }
}

/// Groups whose messages keep their order. A queue with them has one lane.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: base::HashMap<Bytes, Group>,
    of: BTreeMap<u64, Bytes>,
    parked: usize,
}

#[derive(Debug, Default)]
struct Group {
    /// With who has them; 0 is nobody who may have the next ones, too.
    leased: BTreeMap<u64, u64>,
    parked: BTreeSet<u64>,
    ready: BTreeSet<u64>,
}

impl Group {
    /// Whether nothing before `offset` is leased to anybody but `who`.
    fn is_free(&self, offset: u64, who: u64) -> bool {
        let mut before = self.leased.range(..offset);
        before.all(|(_, holder)| who != 0 && *holder == who)
    }

    fn is_empty(&self) -> bool {
        self.leased.is_empty() && self.parked.is_empty() && self.ready.is_empty()
    }
}

impl Groups {
    /// How many messages wait for others of their group.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Whether a message that was just read may be handed to `who` (0 for anybody who comes).
    pub(super) fn may_have(&self, key: &Bytes, offset: u64, who: u64) -> bool {
        let Some(group) = self.groups.get(key) else {
            return true;
        };
        let behind = group.parked.first().is_some_and(|p| *p < offset)
            || group.ready.first().is_some_and(|r| *r < offset);
        !behind && group.is_free(offset, who)
    }

    pub(super) fn key(&self, offset: u64) -> Option<&Bytes> {
        self.of.get(&offset)
    }

    pub(super) fn lease(&mut self, key: Bytes, offset: u64, who: u64) {
        let group = self.groups.entry(key.clone()).or_default();
        group.ready.remove(&offset);
        group.leased.insert(offset, who);
        self.of.insert(offset, key);
    }

    pub(super) fn park(&mut self, key: Bytes, offset: u64) {
        let group = self.groups.entry(key.clone()).or_default();
        group.ready.remove(&offset);
        group.parked.insert(offset);
        self.parked += 1;
        self.of.insert(offset, key);
    }

    /// A message is ready again, or hidden.
    pub(super) fn release(&mut self, offset: u64, ready: bool) {
        if let Some(group) = self
            .of
            .get(&offset)
            .and_then(|key| self.groups.get_mut(key))
        {
            group.leased.remove(&offset);
            if ready {
                group.ready.insert(offset);
            }
        }
    }

    /// A message is settled.
    pub(super) fn settle(&mut self, offset: u64) -> Option<Bytes> {
        let key = self.of.remove(&offset)?;
        if let Some(group) = self.groups.get_mut(&key) {
            group.leased.remove(&offset);
            group.ready.remove(&offset);
            if group.parked.remove(&offset) {
                self.parked -= 1;
            }
        }
        Some(key)
    }

    /// The message of the group that is no longer parked, if there is one.
    pub(super) fn promote(&mut self, key: &Bytes, who: u64) -> Option<u64> {
        let group = self.groups.get_mut(key)?;
        if group.is_empty() {
            self.groups.remove(key);
            return None;
        }
        let first = *group.parked.first()?;
        let free = group.is_free(first, who);
        let behind = group.ready.first().is_some_and(|ready| *ready < first);
        if !free || behind {
            return None;
        }
        group.parked.pop_first();
        group.ready.insert(first);
        self.parked -= 1;
        Some(first)
    }
}
