//! What a queue knows, under its lock: lanes, consumers, who waits, what is due when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use base::{Charge, HashMap, Ledger};

use super::consumer::{ConsumerSlot, Credit};
use super::dedup::DedupWindow;
use super::delivery::{Delivery, QueueStats, Receipt};
use super::lane::{Groups, Lane, Place, Slot};
use super::settings::QueueSettings;
use super::window::Parsed;
use crate::message::{DeathReason, Decoder};

/// What a slot is charged to the ledger with, in bytes: itself and its places in the sets.
const SLOT_BYTES: usize = 128;
/// The ledger is asked for this much at a time.
const CHARGE_STEP: usize = 64 << 10;

/// A record of the queue.
pub(super) type At = (u16, u64);

/// A message that leaves the queue otherwise than by being accepted.
#[derive(Debug)]
pub(super) struct Dying {
    pub(super) at: At,
    pub(super) message: Parsed,
    pub(super) reason: DeathReason,
}

/// Somebody who takes messages once.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) max: usize,
    pub(super) lease_ms: Option<i64>,
    pub(super) auto_settle: bool,
    /// Whether it takes nothing for an answer.
    pub(super) now: bool,
    pub(super) waker: Option<Waker>,
}

/// What a waiter got, until it comes for it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) auto_settle: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Arc<QueueSettings>,
    pub(super) modified_ms: i64,
    pub(super) lanes: Vec<Lane>,
    /// Whether a higher lane goes first; else lanes are partitions that take turns.
    pub(super) by_priority: bool,
    pub(super) turn: usize,
    pub(super) deleted: bool,
    pub(super) consumers: BTreeMap<u64, ConsumerSlot>,
    /// The consumers that may get something, by priority, in turn; no level is empty.
    pub(super) rotation: BTreeMap<Reverse<i32>, VecDeque<u64>>,
    /// The one that gets everything, where there is one.
    pub(super) active: Option<u64>,
    /// Whether there ever was a consumer.
    pub(super) had_consumer: bool,
    /// Those who take, in the order in which they came.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    /// Those of them who take nothing for an answer.
    pub(super) impatient: BTreeSet<u64>,
    pub(super) served: BTreeMap<u64, Served>,
    pub(super) deadlines: BTreeSet<(i64, u16, u64)>,
    pub(super) due: BTreeSet<(i64, u16, u64)>,
    /// Slots by what they wait for; leased ones with those in inboxes that are settled at once.
    pub(super) leased: u64,
    pub(super) delayed: u64,
    pub(super) parked: u64,
    pub(super) groups: Option<Box<Groups>>,
    pub(super) dedup: Option<Box<DedupWindow>>,
    pub(super) dying: Vec<Dying>,
    /// Dying messages whose texts have to be read before they can be moved.
    pub(super) unread_dying: Vec<(At, DeathReason)>,
    /// Dying messages that have no place to go to for now.
    pub(super) kept: Vec<(At, DeathReason)>,
    /// When those are tried again, in milliseconds since 1970.
    pub(super) retry_ms: Option<i64>,
    /// How many slots are dying, in one of these lists or on their way.
    pub(super) dying_count: u64,
    pub(super) next_epoch: u32,
    pub(super) next_id: u64,
    /// When it was last used, in milliseconds since 1970.
    pub(super) used_ms: i64,
    /// Whether the head must be looked at though nobody wants it: it may expire.
    pub(super) watch: bool,
    /// Whether the heads of all lanes were looked at and none has changed since.
    pub(super) head_known: bool,
    /// Whether a message that expires at once was left for somebody who may have credit.
    pub(super) spared: bool,
    /// When the head expires, as far as it was looked at.
    pub(super) head_expires: Option<i64>,
    /// Whether the journal does not know all of it.
    pub(super) dirty: bool,
    /// Where the newest of it ends in the journal.
    pub(super) journal_end: u64,
    /// What the timer was asked for.
    pub(super) armed: Option<i64>,
    pub(super) decoder: Decoder,
    pub(super) charge: Option<Charge>,
    /// Consumers whose inboxes were empty and are not any more.
    pub(super) filled: Vec<u64>,
    /// Shared credits that others may want now.
    pub(super) freed: Vec<Credit>,
    /// Shared credits of consumers that are gone, and how many leases they left behind.
    pub(super) gone: HashMap<u64, (Credit, u32)>,
}

impl State {
    pub(super) fn new(settings: Arc<QueueSettings>, lanes: Vec<Lane>, epoch: u32) -> Self {
        let watch = may_expire(&settings);
        let groups = settings.ordered_groups.then(Box::default);
        let dedup = settings
            .dedup
            .map(|dedup| Box::new(DedupWindow::new(dedup)));
        Self {
            settings,
            modified_ms: 0,
            lanes,
            by_priority: true,
            turn: 0,
            deleted: false,
            consumers: BTreeMap::new(),
            rotation: BTreeMap::new(),
            active: None,
            had_consumer: false,
            waiters: BTreeMap::new(),
            impatient: BTreeSet::new(),
            served: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            due: BTreeSet::new(),
            leased: 0,
            delayed: 0,
            parked: 0,
            groups,
            dedup,
            dying: Vec::new(),
            unread_dying: Vec::new(),
            kept: Vec::new(),
            retry_ms: None,
            dying_count: 0,
            next_epoch: epoch,
            next_id: 1,
            used_ms: 0,
            watch,
            head_known: false,
            spared: false,
            head_expires: None,
            dirty: false,
            journal_end: 0,
            armed: None,
            decoder: Decoder::default(),
            charge: None,
            filled: Vec::new(),
            freed: Vec::new(),
            gone: HashMap::default(),
        }
    }

    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    pub(super) fn lane(&mut self, lane: u16) -> Option<&mut Lane> {
        self.lanes.get_mut(usize::from(lane))
    }

    /// How many messages a consumer would get. Those that wait for others of their group count.
    pub(super) fn ready(&self) -> u64 {
        let of = |lane: &Lane| lane.unread() + lane.ready.len() as u64;
        self.lanes.iter().map(of).sum::<u64>() + self.parked
    }

    pub(super) fn stats(&mut self, now_ms: i64) -> QueueStats {
        self.lanes.iter_mut().for_each(Lane::note_appended);
        self.pass_time(now_ms);
        let ahead: u64 = self.lanes.iter().map(|lane| lane.delayed_ahead).sum();
        QueueStats {
            ready: self.ready(),
            leased: self.leased,
            delayed: self.delayed + ahead,
            consumers: self.consumers.len(),
            ready_bytes: self.lanes.iter().map(|lane| lane.bytes).sum(),
            oldest_ms: self.oldest_ms(),
        }
    }

    /// The time of the first message that is kept, when it is in memory.
    fn oldest_ms(&mut self) -> Option<i64> {
        let decoder = &mut self.decoder;
        let first = |lane: &mut Lane| {
            let floor = lane.floor();
            if floor >= lane.stream.end().0 {
                return None;
            }
            if floor == lane.next
                && let Some(head) = lane.window.peek(floor, decoder)
            {
                return Some(head.sent_ms());
            }
            let read = lane.read_cached(floor, 1)?;
            let mut batch = super::window::unpack(&read, 0).ok()?;
            let mut again = super::window::Again::default();
            again.set(batch.pop());
            Some(again.get(floor, decoder)?.sent_ms())
        };
        self.lanes.iter_mut().filter_map(first).min()
    }

    /// What time alone has changed: leases that ended, delays that are over.
    pub(super) fn pass_time(&mut self, now_ms: i64) {
        while let Some((at, lane, offset)) = self.deadlines.first().copied() {
            if at > now_ms {
                break;
            }
            self.deadlines.pop_first();
            self.release_slot((lane, offset), true, true, None);
        }
        while let Some((at, lane, offset)) = self.due.first().copied() {
            if at > now_ms {
                break;
            }
            self.due.pop_first();
            self.end_delay((lane, offset));
        }
    }

    fn end_delay(&mut self, at: At) {
        let (number, offset) = at;
        self.head_known = false;
        let Some(lane) = self.lane(number) else {
            return;
        };
        if offset >= lane.next {
            lane.delayed_ahead = lane.delayed_ahead.saturating_sub(1);
            return;
        }
        let Some(slot) = lane.slots.get_mut(&offset) else {
            return;
        };
        if matches!(slot.place, Place::Delayed(_)) {
            slot.place = Place::Ready;
            lane.bytes += u64::from(slot.size);
            lane.ready.insert(offset, slot.size);
            self.delayed -= 1;
            if let Some(groups) = &mut self.groups {
                groups.release(offset, true);
            }
        }
    }

    /// Leases a record to a consumer, or to whoever takes it (0).
    pub(super) fn lease(
        &mut self,
        at: At,
        message: &Parsed,
        who: u64,
        deadline: i64,
        now_ms: i64,
    ) -> (Receipt, Slot) {
        self.next_epoch = self.next_epoch.wrapping_add(1);
        let epoch = self.next_epoch;
        let (number, offset) = at;
        let fresh = Slot::new(Place::Ready, message.size());
        let mut leased = fresh;
        if let Some(lane) = self.lane(number) {
            let slot = lane.slots.get_or_insert(offset, fresh);
            slot.place = Place::Leased(who);
            slot.epoch = epoch;
            slot.attempts = slot.attempts.saturating_add(1);
            slot.deadline = deadline;
            if slot.first_ms == 0 {
                slot.first_ms = now_ms;
            }
            leased = *slot;
            if slot.attempts > 1 {
                lane.cursor.touch(offset);
            }
        }
        if deadline < i64::MAX {
            self.deadlines.insert((deadline, number, offset));
        }
        self.leased += 1;
        let receipt = Receipt {
            lane: number,
            offset,
            epoch,
        };
        (receipt, leased)
    }

    /// Ends a lease without settling: the record is ready again, or hidden until `until`.
    pub(super) fn release_slot(
        &mut self,
        at: At,
        counted: bool,
        redelivered: bool,
        until: Option<i64>,
    ) {
        let (number, offset) = at;
        let limit = self.settings.delivery_limit;
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
            return;
        };
        let Some(slot) = lane.slots.get_mut(&offset) else {
            return;
        };
        let Place::Leased(who) = slot.place else {
            return;
        };
        let deadline = slot.deadline;
        if !counted {
            slot.attempts = slot.attempts.saturating_sub(1);
        }
        slot.redelivered |= redelivered;
        if limit.is_some_and(|limit| slot.attempts >= limit) {
            self.watch = true;
        }
        self.head_known = false;
        lane.cursor.touch(offset);
        self.leased -= 1;
        if let Some(until) = until {
            slot.place = Place::Delayed(until);
            self.delayed += 1;
            self.due.insert((until, number, offset));
        } else {
            slot.place = Place::Ready;
            lane.ready.insert(offset, slot.size);
            lane.bytes += u64::from(slot.size);
            if let Some(groups) = &mut self.groups {
                groups.release(offset, true);
            }
        }
        if deadline < i64::MAX {
            self.deadlines.remove(&(deadline, number, offset));
        }
        self.dirty = true;
        self.give_back_credit(who);
    }

    pub(super) fn add_waiter(&mut self, waiter: Waiter) {
        if waiter.now {
            self.impatient.insert(waiter.id);
        }
        self.waiters.insert(waiter.id, waiter);
    }

    pub(super) fn remove_waiter(&mut self, id: u64) -> Option<Waiter> {
        self.impatient.remove(&id);
        self.waiters.remove(&id)
    }

    /// Takes back what was handed out and not come for, as if it had not been.
    pub(super) fn undo(&mut self, delivery: &Delivery, auto_settle: bool) {
        let Receipt {
            lane: number,
            offset,
            ..
        } = delivery.receipt;
        let size = delivery
            .value
            .as_ref()
            .map_or(0, |value| value.len() as u64);
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
            return;
        };
        if auto_settle {
            if lane.cursor.is_settled(offset) {
                // Purged meanwhile.
                self.leased -= 1;
                return;
            }
            lane.slots.insert(offset, Slot::new(Place::Leased(0), size));
        }
        let Some(slot) = lane.slots.get_mut(&offset) else {
            return;
        };
        if slot.deadline < i64::MAX {
            self.deadlines.remove(&(slot.deadline, number, offset));
        }
        slot.deadline = i64::MAX;
        slot.attempts = delivery.attempts.saturating_sub(1);
        slot.redelivered = delivery.redelivered;
        slot.first_ms = if delivery.redelivered {
            delivery.first_ms
        } else {
            0
        };
        slot.place = Place::Ready;
        lane.ready.insert(offset, slot.size);
        lane.bytes += size;
        lane.cursor.touch(offset);
        self.dirty = true;
        self.head_known = false;
        self.leased -= 1;
        if let Some(groups) = &mut self.groups {
            groups.release(offset, true);
        }
    }

    /// Settles a record that has a slot; false when it has none.
    pub(super) fn settle_slot(&mut self, at: At) -> bool {
        let (number, offset) = at;
        let Some(lane) = self.lane(number) else {
            return false;
        };
        let Some(slot) = lane.slots.remove(&offset) else {
            return false;
        };
        lane.cursor.settle(offset);
        self.dirty = true;
        match slot.place {
            Place::Leased(who) => {
                self.leased -= 1;
                if slot.deadline < i64::MAX {
                    self.deadlines.remove(&(slot.deadline, number, offset));
                }
                self.give_back_credit(who);
            }
            Place::Ready => {
                if let Some(lane) = self.lane(number) {
                    lane.ready.remove(&offset);
                    lane.bytes = lane.bytes.saturating_sub(u64::from(slot.size));
                }
            }
            Place::Delayed(until) => {
                self.delayed -= 1;
                self.due.remove(&(until, number, offset));
            }
            Place::Parked => self.parked -= 1,
            Place::Dying => self.dying_count -= 1,
        }
        self.settle_in_group(offset, 0);
        true
    }

    /// Settles a record in whatever place it is, also one that nobody has looked at since the
    /// start; false when it is settled already, or on its way to where dead letters go.
    pub(super) fn settle_any(&mut self, at: At) -> bool {
        let (number, offset) = at;
        let Some(lane) = self.lane(number) else {
            return false;
        };
        if let Some(slot) = lane.slots.get(&offset) {
            return slot.place != Place::Dying && self.settle_slot(at);
        }
        let unread = lane.next..lane.appended;
        if !unread.contains(&offset) || lane.cursor.is_settled(offset) {
            return false;
        }
        lane.cursor.settle(offset);
        lane.counts.remove(&offset);
        lane.settled_ahead += 1;
        self.dirty = true;
        true
    }

    /// The next of a message's group may go once it is settled.
    pub(super) fn settle_in_group(&mut self, offset: u64, who: u64) {
        if let Some(groups) = &mut self.groups
            && let Some(key) = groups.settle(offset)
        {
            self.promote(&key, who);
        }
    }

    pub(super) fn promote(&mut self, key: &bytes::Bytes, who: u64) {
        let Some(groups) = &mut self.groups else {
            return;
        };
        if let Some(offset) = groups.promote(key, who)
            && let Some(lane) = self.lanes.first_mut()
            && let Some(slot) = lane.slots.get_mut(&offset)
        {
            slot.place = Place::Ready;
            lane.ready.insert(offset, slot.size);
            lane.bytes += u64::from(slot.size);
            self.parked -= 1;
        }
    }

    /// Settles a run of records that have no slots: they were settled as they were handed out.
    pub(super) fn settle_run(&mut self, lane: u16, run: std::ops::Range<u64>) {
        self.leased -= run.end - run.start;
        self.dirty = true;
        if let Some(lane) = self.lane(lane) {
            lane.cursor.settle_range(run);
        }
    }

    /// Whether somebody could be given something.
    pub(super) fn has_targets(&self) -> bool {
        !self.waiters.is_empty() || !self.rotation.is_empty()
    }

    /// When something happens by itself next, in milliseconds since 1970.
    pub(super) fn next_time(&self) -> Option<i64> {
        let first = |set: &BTreeSet<(i64, u16, u64)>| set.first().map(|(at, ..)| *at);
        let idle = self
            .settings
            .expires
            .filter(|_| self.is_unused())
            .map(|after| {
                self.used_ms
                    .saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
            });
        let times = [
            first(&self.deadlines),
            first(&self.due),
            self.head_expires,
            self.retry_ms,
            idle,
        ];
        times.into_iter().flatten().min()
    }

    /// Whether nobody uses it now.
    pub(super) fn is_unused(&self) -> bool {
        self.consumers.is_empty() && self.waiters.is_empty()
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.lanes.iter().map(|lane| lane.slots.len()).sum()
    }

    /// Brings what is charged to the ledger near to what is held.
    pub(super) fn recharge(&mut self, ledger: &Ledger) {
        let dedup = self.dedup.as_ref().map_or(0, |dedup| dedup.bytes());
        let chunks: usize = self.lanes.iter().map(|lane| lane.cursor.chunks()).sum();
        let held = self.slots() * SLOT_BYTES + dedup + chunks * 560;
        let charged = self.charge.as_ref().map_or(0, Charge::bytes);
        if held > charged {
            let more = (held - charged).next_multiple_of(CHARGE_STEP);
            let more = ledger.force_charge(more);
            match &mut self.charge {
                Some(charge) => charge.merge(more),
                none => *none = Some(more),
            }
        } else if charged - held >= 2 * CHARGE_STEP
            && let Some(charge) = &mut self.charge
        {
            let less = (charged - held) / CHARGE_STEP * CHARGE_STEP;
            drop(charge.split(less));
        }
    }
}

/// Whether messages of a queue with these settings may leave it by themselves.
pub(super) fn may_expire(settings: &QueueSettings) -> bool {
    settings.message_ttl.is_some()
        || settings.retention.is_some()
        || settings.length_max.is_some()
        || settings.bytes_max.is_some()
}
