//! The handle of all groups: finds them, keeps their deadlines, writes what must survive.

mod durable;
mod expiry;
mod line;
mod load;
mod room;
mod timer;

pub use durable::Positions;
#[cfg(test)]
pub(super) use durable::may_commit;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use base::metrics::Counter;
use base::{Clock, HashMap, Metrics, Rng, Tasks};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::config::Config;
use super::error::GroupError;
use super::state::{Group, Join, Joined, Leaving, State, Sync, SyncStep, Synced, Todo};
use crate::broker::Shared as BrokerShared;
use line::Lines;
use room::{Held, Room};

/// The longest name of a group, in bytes: the length is 16 bits where it is written.
const NAME_BYTES_MAX: usize = i16::MAX as usize;

/// All groups; cheap to clone.
#[derive(Clone, Debug)]
pub struct Groups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    clock: Clock,
    rng: Rng,
    tasks: Tasks,
    broker: Weak<BrokerShared>,
    metrics: GroupMetrics,
    room: Room,
    table: Mutex<HashMap<String, Arc<Mutex<Slot>>>>,
    alarms: Mutex<BTreeSet<(Instant, String)>>,
    alarm: Notify,
    /// Writes that wait for room.
    lines: Lines,
    /// Parts of the groups' topic that a start could not read.
    fenced: OnceLock<Fenced>,
}

/// Of the partitions of the groups' topic, those whose groups are not known, and why.
#[derive(Debug)]
struct Fenced {
    partitions: u32,
    damaged: HashMap<u32, String>,
}

#[derive(Debug)]
struct Slot {
    group: Group,
    /// What it takes in memory.
    held: Option<Held>,
    /// For when the timer knows it.
    scheduled: Option<Instant>,
    /// It was taken out of the table: look again.
    gone: bool,
}

#[derive(Debug)]
struct GroupMetrics {
    rebalances: Counter,
    commits: Counter,
    expired: Counter,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The kind of group; empty when only offsets were committed.
    pub protocol_type: String,
    /// Where it stands.
    pub state: State,
}

/// A group in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The kind of group.
    pub protocol_type: String,
    /// Where it stands.
    pub state: State,
    /// The chosen way of sharing.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it is.
    pub client_host: String,
    /// Its data for the chosen way of sharing.
    pub metadata: Bytes,
    /// Its part.
    pub assignment: Bytes,
}

impl Groups {
    pub(crate) fn new(
        config: Config,
        rng: Rng,
        metrics: &Metrics,
        broker: &Arc<BrokerShared>,
    ) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        let metrics = GroupMetrics {
            rebalances: counter("group_rebalances", "Rounds of consumer groups begun"),
            commits: counter("group_commits", "Offsets committed"),
            expired: counter(
                "group_offsets_expired",
                "Offsets forgotten because their group was empty for too long",
            ),
        };
        let room = Room::new(config.memory_max.as_usize(), broker.store.ledger().clone());
        let groups = Self(Arc::new(Inner {
            config,
            clock: broker.clock.clone(),
            rng,
            tasks: broker.tasks.clone(),
            broker: Arc::downgrade(broker),
            metrics,
            room,
            table: Mutex::new(HashMap::default()),
            alarms: Mutex::new(BTreeSet::new()),
            alarm: Notify::new(),
            lines: Lines::default(),
            fenced: OnceLock::new(),
        }));
        groups.spawn_timer();
        groups.spawn_expiry();
        groups
    }

    /// That the group is known, if there is one: what has been read of it is all of it.
    ///
    /// # Errors
    /// [`GroupError::Unavailable`] when its part of the groups' topic is damaged.
    pub fn check(&self, name: &str) -> Result<(), GroupError> {
        let Some(fenced) = self.0.fenced.get() else {
            return Ok(());
        };
        match fenced.damaged.get(&durable::shard(name, fenced.partitions)) {
            Some(why) => Err(GroupError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Mutex<Slot>>> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        self.0.table.lock().get(name).cloned()
    }

    fn find_or_make(&self, name: &str) -> Result<Arc<Mutex<Slot>>, GroupError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(GroupError::InvalidGroup);
        }
        let mut table = self.0.table.lock();
        if let Some(slot) = table.get(name) {
            return Ok(slot.clone());
        }
        if table.len() >= self.0.config.groups_max {
            return Err(GroupError::TooManyGroups);
        }
        if !self.0.room.has(Group::size_of_empty(name)) {
            return Err(GroupError::NoRoom);
        }
        Ok(self.make(&mut table, name))
    }

    fn make(&self, table: &mut HashMap<String, Arc<Mutex<Slot>>>, name: &str) -> Arc<Mutex<Slot>> {
        let slot = Arc::new(Mutex::new(Slot {
            group: Group::new(name, self.0.clock.unix_ms()),
            held: None,
            scheduled: None,
            gone: false,
        }));
        table.insert(name.to_owned(), slot.clone());
        slot
    }

    /// Does a step with a group: then writes what the step changed, and sets the alarm.
    fn step<T>(
        &self,
        name: &str,
        make: bool,
        step: impl FnOnce(&mut Group, Instant) -> (T, Todo),
    ) -> Result<T, GroupError> {
        self.check(name)?;
        let slot = loop {
            let found = if make {
                Some(self.find_or_make(name)?)
            } else {
                self.find(name)
            };
            let slot = found.ok_or(GroupError::NotFound)?;
            let gone = slot.lock().gone;
            if !gone {
                break slot;
            }
        };
        let mut slot = slot.lock();
        let rounds = slot.group.rebalances;
        let (outcome, todo) = step(&mut slot.group, self.0.clock.now());
        self.0
            .metrics
            .rebalances
            .inc_by(slot.group.rebalances - rounds);
        if todo.save {
            slot.group.since_ms = self.0.clock.unix_ms();
            self.save_in_background(&slot.group);
        }
        self.schedule(&mut slot);
        let bytes = slot.group.size();
        self.0.room.hold(&mut slot.held, bytes);
        let nothing = slot.group.is_bare() && !slot.group.is_saved();
        drop(slot);
        if nothing {
            self.drop_if_bare(name);
        }
        Ok(outcome)
    }

    /// Takes a group without anything in it out of the table.
    fn drop_if_bare(&self, name: &str) {
        let mut table = self.0.table.lock();
        let Some(slot) = table.get(name).cloned() else {
            return;
        };
        let mut slot = slot.lock();
        if slot.group.is_bare() {
            slot.gone = true;
            slot.group.state = State::Dead;
            table.remove(name);
        }
    }

    /// Joins; the answer comes when the round begins.
    ///
    /// # Errors
    /// [`GroupError`], by its variants.
    pub async fn join(&self, name: &str, join: Join) -> Result<Joined, GroupError> {
        let config = &self.0.config;
        let millis = u64::try_from(join.session_timeout.as_millis()).unwrap_or(u64::MAX);
        if name.is_empty() {
            return Err(GroupError::InvalidGroup);
        }
        if millis < config.session_timeout_min.0 || millis > config.session_timeout_max.0 {
            return Err(GroupError::InvalidSessionTimeout);
        }
        if !join.member_id.is_empty() && self.find(name).is_none() {
            return Err(GroupError::UnknownMember);
        }
        let prefix = join.instance_id.as_deref().unwrap_or(&join.client_id);
        let new_id = format!("{prefix}-{}", self.0.rng.uuid());
        let delay = Duration::from_millis(config.initial_rebalance_delay.0);
        let limits = (config.members_max, delay);
        let (sender, answer) = oneshot::channel();
        self.step(name, true, |group, now| {
            if !self.0.room.has(group.growth_by(&join)) {
                let _ = sender.send(Err(GroupError::NoRoom));
                return ((), Todo::default());
            }
            ((), group.join(join, new_id, limits, sender, now))
        })?;
        answer.await.unwrap_or(Err(GroupError::UnknownMember))
    }

    /// Asks for the member's part; the answer comes when the leader has shared out.
    ///
    /// # Errors
    /// [`GroupError`], by its variants.
    pub async fn sync(&self, name: &str, sync: Sync) -> Result<Synced, GroupError> {
        if name.is_empty() {
            return Err(GroupError::InvalidGroup);
        }
        let (sender, answer) = oneshot::channel();
        let parts: usize = sync.assignments.iter().map(|(_, part)| part.len()).sum();
        let step = self.step(name, false, |group, now| {
            if parts > 0 && !self.0.room.has(parts.saturating_sub(group.parts_size())) {
                let _ = sender.send(Err(GroupError::NoRoom));
                return (SyncStep::Answered, Todo::default());
            }
            (group.sync(sync, sender, now), Todo::default())
        });
        match step {
            Err(GroupError::NotFound) => return Err(GroupError::UnknownMember),
            Err(error) => return Err(error),
            Ok(SyncStep::Save { generation }) => self.save_shared_out(name, generation),
            Ok(SyncStep::Answered) => {}
        }
        answer.await.unwrap_or(Err(GroupError::UnknownMember))
    }

    /// Says that a member lives.
    ///
    /// # Errors
    /// [`GroupError`], by its variants.
    pub fn heartbeat(
        &self,
        name: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if name.is_empty() {
            return Err(GroupError::InvalidGroup);
        }
        let beat = self.step(name, false, |group, now| {
            (
                group.heartbeat(member, instance, generation, now),
                Todo::default(),
            )
        });
        match beat {
            Err(GroupError::NotFound) => Err(GroupError::UnknownMember),
            other => other?,
        }
    }

    /// Takes members out; an outcome for each.
    ///
    /// # Errors
    /// [`GroupError::InvalidGroup`], [`GroupError::UnknownMember`] when there is no such group.
    pub fn leave(
        &self,
        name: &str,
        leaving: &[Leaving],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if name.is_empty() {
            return Err(GroupError::InvalidGroup);
        }
        let left = self.step(name, false, |group, now| {
            let mut todo = Todo::default();
            let mut outcomes = Vec::with_capacity(leaving.len());
            for member in leaving {
                let outcome = group.leave(member, now);
                outcomes.push(outcome.map(|more| todo.save |= more.save));
            }
            (outcomes, todo)
        });
        match left {
            Err(GroupError::NotFound) => Err(GroupError::UnknownMember),
            other => other,
        }
    }

    /// What [`Groups::list`] takes in memory, in bytes: for whoever has to know before.
    #[must_use]
    pub fn list_size(&self) -> usize {
        let slots: Vec<_> = self.0.table.lock().values().cloned().collect();
        let size = |slot: &Arc<Mutex<Slot>>| {
            let group = &slot.lock().group;
            let texts = group.name.len() + group.protocol_type.as_ref().map_or(0, String::len);
            size_of::<Listed>() + size_of::<Arc<Mutex<Slot>>>() + texts
        };
        slots.iter().map(size).sum()
    }

    /// What a group takes in memory, and what its offsets do, in bytes; 0 when there is none.
    #[must_use]
    pub fn sizes(&self, name: &str) -> (usize, usize) {
        let Some(slot) = self.find(name) else {
            return (0, 0);
        };
        let slot = slot.lock();
        (slot.group.size(), slot.group.offsets.size())
    }

    /// All groups, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let slots: Vec<_> = self.0.table.lock().values().cloned().collect();
        let mut groups: Vec<Listed> = slots
            .iter()
            .map(|slot| {
                let group = &slot.lock().group;
                Listed {
                    name: group.name.clone(),
                    protocol_type: group.protocol_type.clone().unwrap_or_default(),
                    state: group.state,
                }
            })
            .collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    /// A group in full.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<Described> {
        let slot = self.find(name)?;
        let slot = slot.lock();
        let group = &slot.group;
        let protocol = group.protocol.clone().unwrap_or_default();
        let members = group.members.values().map(|member| DescribedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        });
        Some(Described {
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
            members: members.collect(),
            protocol,
        })
    }
}
