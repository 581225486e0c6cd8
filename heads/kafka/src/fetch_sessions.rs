//! Incremental fetches (KIP-227): the server remembers what a consumer fetches, so that each
//! request names only what changed and each answer only what is new.
//!
//! A session is an ordered set of partitions. An incremental answer names a partition when it has
//! records, an error, or when its end or start moved since the last answer; what was served moves
//! to the back of the order, so that a small `max_bytes` starves nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{HashMap, Rng, TopicId};
use parking_lot::Mutex;

/// A topic as the consumer names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    /// By name, up to version 12.
    Name(Arc<str>),
    /// By id, from version 13.
    Id(TopicId),
}

/// A partition as the consumer names it.
pub(crate) type Key = (TopicKey, i32);

/// What a consumer wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The first offset.
    pub(crate) from: i64,
    /// How many bytes at most.
    pub(crate) max_bytes: usize,
    /// The leader epoch it believes in.
    pub(crate) epoch: Option<i32>,
}

/// A session that cannot go on; the consumer starts a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// There is no such session (any more).
    NotFound,
    /// Requests were lost, repeated or reordered.
    WrongEpoch,
    /// Names and ids are mixed.
    MixedKeys,
}

/// How an answer ended for a partition; decides whether it is worth naming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) end: i64,
    pub(crate) start: i64,
    pub(crate) has_records: bool,
    pub(crate) failed: bool,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    wanted: Wanted,
    /// End and start as last told; `None` when they have to be told again.
    told: Option<(i64, i64)>,
}

#[derive(Debug)]
struct Session {
    by_id: bool,
    /// What the next request must carry; 1.. and around to 1.
    epoch: i32,
    order: BTreeMap<u64, Entry>,
    places: HashMap<Key, u64>,
    next_place: u64,
    /// What it takes in memory, in bytes.
    size: usize,
}

/// What a partition of a session takes in memory, its places in the tables included, but for its
/// topic's name.
const ENTRY: usize = 256;

/// The topic need not exist: its name is whatever the client makes up.
fn size(key: &Key) -> usize {
    match &key.0 {
        TopicKey::Name(name) => ENTRY + name.len(),
        TopicKey::Id(_) => ENTRY,
    }
}

impl Session {
    fn new(by_id: bool) -> Self {
        Self {
            by_id,
            epoch: 1,
            order: BTreeMap::new(),
            places: HashMap::default(),
            next_place: 0,
            size: 0,
        }
    }

    fn put(&mut self, key: Key, wanted: Wanted) {
        if let Some(entry) = self
            .places
            .get(&key)
            .and_then(|place| self.order.get_mut(place))
        {
            entry.wanted = wanted;
            return;
        }
        self.size += size(&key);
        self.places.insert(key.clone(), self.next_place);
        self.order.insert(
            self.next_place,
            Entry {
                key,
                wanted,
                told: None,
            },
        );
        self.next_place += 1;
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
            self.size -= size(key);
        }
    }

    fn parts(&self) -> Vec<(Key, Wanted)> {
        self.order
            .values()
            .map(|entry| (entry.key.clone(), entry.wanted))
            .collect()
    }

    fn tell(&mut self, key: &Key, outcome: Outcome) -> bool {
        let Some(place) = self.places.get(key).copied() else {
            return true;
        };
        let now = Some((outcome.end, outcome.start));
        let Some(entry) = self.order.get_mut(&place) else {
            return true;
        };
        let worth = outcome.has_records || outcome.failed || entry.told != now;
        // After an error the partition is named again, whatever its offsets.
        entry.told = if outcome.failed { None } else { now };
        if outcome.has_records
            && let Some(entry) = self.order.remove(&place)
        {
            self.places.insert(key.clone(), self.next_place);
            self.order.insert(self.next_place, entry);
            self.next_place += 1;
        }
        worth
    }
}

/// All sessions; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FetchSessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    rng: Rng,
    table: Mutex<Table>,
}

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many sessions.
    pub(crate) sessions: usize,
    /// How many partitions each.
    pub(crate) partitions: usize,
    /// What all of them may take in memory, in bytes.
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<i32, Slot>,
    /// What the sessions take in memory.
    bytes: usize,
}

impl Table {
    fn remove(&mut self, id: i32) -> bool {
        let slot = self.slots.remove(&id);
        self.bytes -= slot.as_ref().map_or(0, |slot| slot.bytes);
        slot.is_some()
    }
}

#[derive(Debug)]
struct Slot {
    session: Arc<Mutex<Session>>,
    used: Instant,
    partitions: usize,
    bytes: usize,
}

/// How long a session must be silent before a newcomer may take its place.
const IDLE: Duration = Duration::from_secs(120);

/// One fetch: what to read, and which of it to answer.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// The session's id to answer with; 0 for none.
    pub(crate) id: i32,
    /// What to read, in order.
    pub(crate) parts: Vec<(Key, Wanted)>,
    session: Option<Arc<Mutex<Session>>>,
    incremental: bool,
}

impl Fetch {
    /// Notes what is about to be answered about a partition; whether it is worth naming.
    pub(crate) fn tell(&self, key: &Key, outcome: Outcome) -> bool {
        let worth = self
            .session
            .as_ref()
            .is_none_or(|s| s.lock().tell(key, outcome));
        worth || !self.incremental
    }
}

/// A request's part about sessions.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) wanted: Vec<(Key, Wanted)>,
    pub(crate) forgotten: Vec<Key>,
}

impl FetchSessions {
    pub(crate) fn new(limits: Limits, rng: Rng) -> Self {
        let table = Mutex::default();
        Self(Arc::new(Shared { limits, rng, table }))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.table.lock().slots.len()
    }

    /// What a request means, by its session's id and epoch.
    pub(crate) fn begin(&self, asked: Asked, now: Instant) -> Result<Fetch, Problem> {
        if asked.epoch > 0 {
            return self.go_on(asked, now);
        }
        self.0.table.lock().remove(asked.id);
        if asked.epoch == 0 {
            return Ok(self.open(asked, now));
        }
        Ok(Fetch {
            id: 0,
            parts: asked.wanted,
            session: None,
            incremental: false,
        })
    }

    fn open(&self, asked: Asked, now: Instant) -> Fetch {
        let partitions = asked.wanted.len();
        let bytes = asked.wanted.iter().map(|(key, _)| size(key)).sum();
        let mut table = self.0.table.lock();
        let fits = partitions > 0 && partitions <= self.0.limits.partitions;
        if !fits || !make_room(&mut table, self.0.limits, partitions, bytes, now) {
            return Fetch {
                id: 0,
                parts: asked.wanted,
                session: None,
                incremental: false,
            };
        }
        let mut session = Session::new(asked.by_id);
        for (key, wanted) in asked.wanted {
            session.put(key, wanted);
        }
        let parts = session.parts();
        let (id, bytes) = (self.free_id(&table), session.size);
        let session = Arc::new(Mutex::new(session));
        table.bytes += bytes;
        table.slots.insert(
            id,
            Slot {
                session: session.clone(),
                used: now,
                partitions,
                bytes,
            },
        );
        Fetch {
            id,
            parts,
            session: Some(session),
            incremental: false,
        }
    }

    fn free_id(&self, table: &Table) -> i32 {
        loop {
            let id = i32::try_from(self.0.rng.below(i32::MAX as u64 - 1) + 1).unwrap_or(1);
            if !table.slots.contains_key(&id) {
                return id;
            }
        }
    }

    fn go_on(&self, asked: Asked, now: Instant) -> Result<Fetch, Problem> {
        let mut table = self.0.table.lock();
        let table = &mut *table;
        let slot = table.slots.get_mut(&asked.id).ok_or(Problem::NotFound)?;
        slot.used = now;
        let shared = slot.session.clone();
        let mut session = shared.lock();
        if session.epoch != asked.epoch {
            return Err(Problem::WrongEpoch);
        }
        // Also when it names nothing: the answer could not name what the session holds.
        if session.by_id != asked.by_id {
            return Err(Problem::MixedKeys);
        }
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        for key in &asked.forgotten {
            session.forget(key);
        }
        for (key, wanted) in asked.wanted {
            session.put(key, wanted);
        }
        slot.partitions = session.order.len();
        table.bytes = table.bytes + session.size - slot.bytes;
        slot.bytes = session.size;
        // An emptied session is over; one that outgrew the limit is too, and says so.
        if slot.partitions == 0 {
            drop(session);
            table.remove(asked.id);
            return Ok(Fetch {
                id: 0,
                parts: Vec::new(),
                session: None,
                incremental: false,
            });
        }
        let limits = self.0.limits;
        if slot.partitions > limits.partitions || table.bytes > limits.bytes {
            drop(session);
            table.remove(asked.id);
            return Err(Problem::NotFound);
        }
        let parts = session.parts();
        drop(session);
        Ok(Fetch {
            id: asked.id,
            parts,
            session: Some(shared),
            incremental: true,
        })
    }
}

/// Whether there is a place for a session of `partitions` and `bytes`: a free one, that of one long
/// silent, or that of a smaller one.
fn make_room(
    table: &mut Table,
    limits: Limits,
    partitions: usize,
    bytes: usize,
    now: Instant,
) -> bool {
    let has_room = |table: &Table| {
        table.slots.len() < limits.sessions && table.bytes.saturating_add(bytes) <= limits.bytes
    };
    if has_room(table) {
        return true;
    }
    let silent = table
        .slots
        .iter()
        .filter(|(_, slot)| now.saturating_duration_since(slot.used) > IDLE)
        .min_by_key(|(_, slot)| slot.used)
        .map(|(id, _)| *id);
    let smaller = || {
        table
            .slots
            .iter()
            .filter(|(_, slot)| slot.partitions < partitions)
            .min_by_key(|(_, slot)| slot.partitions)
            .map(|(id, _)| *id)
    };
    match silent.or_else(smaller) {
        Some(id) => table.remove(id) && has_room(table),
        None => false,
    }
}

#[cfg(test)]
mod tests;
