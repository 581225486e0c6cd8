//! Handing out: which message is next, who gets it, and what leaves the queue by itself.
//!
//! The lock is held for one pass over what is in memory; what has to be read from disk is read by
//! a task, which calls for the next pass. Returned messages come first, then lanes from the
//! highest, each from its first record that nobody has looked at.

use std::task::Waker;

use super::delivery::{Delivery, Receipt};
use super::lane::{Lane, Place, Slot};
use super::state::{At, Dying, Served, State};
use super::window::{self, Parsed};

/// How much is read at a time where no disk is needed, in bytes.
const CACHED_BYTES: usize = 128 << 10;
/// How many messages may be on their way to where dead letters go; then no more expire.
pub(super) const DYING_MAX: u64 = 1024;

/// A read that has to be done before a pass can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) lane: u16,
    pub(super) from: u64,
    /// For a returned message: only its own batch.
    pub(super) again: bool,
    /// [`Lane::reads`] when it began.
    pub(super) number: u64,
}

/// A message at the head of a lane.
#[derive(Debug)]
pub(super) enum Head {
    /// Returned, or hidden until now.
    Ready(Box<Parsed>),
    /// In the window.
    Ahead,
    Load(Load),
    Empty,
}

/// What is to be done without the lock.
#[derive(Debug, Default)]
pub(super) struct Todo {
    pub(super) wakers: Vec<Waker>,
    pub(super) loads: Vec<Load>,
    pub(super) dying: Vec<Dying>,
}

/// The limits of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) now_ms: i64,
    pub(super) slots_max: usize,
    pub(super) parked_max: usize,
}

/// Somebody who gets a message.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// A consumer, or 0.
    consumer: u64,
    /// A waiter, or 0.
    waiter: u64,
    auto_settle: bool,
    deadline: i64,
}

impl State {
    /// One pass: what time has changed, what leaves by itself, what can be handed out.
    pub(super) fn pass(&mut self, limits: Limits) -> Todo {
        let mut todo = Todo::default();
        self.lanes.iter_mut().for_each(Lane::note_appended);
        self.pass_time(limits.now_ms);
        self.retry_kept(limits.now_ms);
        if let Some((number, offset)) = self.read_dying(limits.now_ms)
            && let Some(lane) = self.lane(number)
        {
            let load = Load {
                lane: number,
                from: offset,
                again: true,
                number: lane.reads,
            };
            self.request(load, &mut todo);
        }
        self.sweep(limits, &mut todo);
        let mut ready = self.ready();
        let mut short = false;
        while self.has_targets() {
            let Some((number, head)) = self.find(limits, &mut todo) else {
                short = true;
                break;
            };
            let Some((target, run)) = self.next_target(limits.now_ms) else {
                break;
            };
            let mut head = Some(head);
            for _ in 0..run {
                // The first was found already.
                let next = match head.take() {
                    Some(head) => Some((number, head)),
                    None => self.find(limits, &mut todo),
                };
                let Some((number, head)) = next else {
                    break;
                };
                if !self.give(number, head, target, limits.now_ms, &mut ready) {
                    break;
                }
            }
            self.let_full_go(&mut todo);
        }
        self.sweep_spared(limits, &mut todo);
        // Whoever takes nothing for an answer still gets what was published before.
        let pending = self.lanes.iter().any(Lane::is_pending);
        self.answer_waiters(short && !pending, &mut todo);
        todo.wakers.append(&mut self.wakers());
        todo.dying = std::mem::take(&mut self.dying);
        if self.is_unused() && (!self.watch || self.head_known) {
            for lane in &mut self.lanes {
                lane.window = window::Window::default();
                lane.again = window::Again::default();
            }
        }
        todo
    }

    /// The lanes in the order in which they are served.
    pub(super) fn order(&self) -> impl Iterator<Item = u16> + use<> {
        let (count, turn, by_priority) = (self.lanes.len(), self.turn, self.by_priority);
        (0..count).map(move |at| {
            let lane = if by_priority {
                count - 1 - at
            } else {
                (turn + at) % count
            };
            u16::try_from(lane).unwrap_or(u16::MAX)
        })
    }

    /// The next message that may be handed out.
    fn find(&mut self, limits: Limits, todo: &mut Todo) -> Option<(u16, Head)> {
        for number in self.order() {
            loop {
                match self.head(number, limits) {
                    Head::Empty => break,
                    Head::Load(load) => {
                        // A lower lane must not overtake.
                        self.request(load, todo);
                        return None;
                    }
                    head @ (Head::Ready(_) | Head::Ahead) => {
                        if let Some(head) = self.alive(number, head, limits) {
                            self.turn = usize::from(number) + 1;
                            return Some((number, head));
                        }
                        if self.dying_count >= DYING_MAX {
                            return None;
                        }
                    }
                }
            }
        }
        None
    }

    pub(super) fn request(&mut self, load: Load, todo: &mut Todo) {
        if let Some(lane) = self.lane(load.lane)
            && !lane.loading
        {
            lane.loading = true;
            todo.loads.push(load);
        }
    }

    /// The first message of a lane that is not hidden.
    pub(super) fn head(&mut self, number: u16, limits: Limits) -> Head {
        loop {
            let parked = self.parked_too_many(limits);
            let decoder = &mut self.decoder;
            let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
                return Head::Empty;
            };
            if let Some(offset) = lane.ready.first() {
                if !lane.again.covers(offset) {
                    let Some(read) = lane.read_cached(offset, 1) else {
                        return lane.load(number, offset, true);
                    };
                    let batches = window::unpack(&read, 0).unwrap_or_default();
                    lane.again.set(batches.into_iter().next());
                }
                if let Some(parsed) = lane.again.get(offset, decoder) {
                    return Head::Ready(Box::new(parsed));
                }
                // Compaction or retention has taken it.
                self.settle_slot((number, offset));
                continue;
            }
            lane.skip_settled();
            if parked || lane.next >= lane.stream.end().0 {
                return Head::Empty;
            }
            // Counted for lanes only that have something.
            if self.slots() >= limits.slots_max {
                return Head::Empty;
            }
            let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
                return Head::Empty;
            };
            if let Some(parsed) = lane.window.peek(lane.next, &mut self.decoder) {
                let offset = parsed.offset;
                lane.advance_to(offset);
                if !self.hide(number, limits.now_ms) {
                    return Head::Ahead;
                }
                continue;
            }
            if lane.window.end() > lane.next {
                let end = lane.window.end();
                lane.window = window::Window::default();
                lane.advance_to(end);
                continue;
            }
            let (from, start) = (lane.next, lane.stream.start().0);
            if from < start {
                lane.advance_to(start);
                continue;
            }
            let Some(read) = lane.read_cached(from, CACHED_BYTES) else {
                return lane.load(number, from, false);
            };
            if read.bytes == 0 {
                return Head::Empty;
            }
            let batches = window::unpack(&read, 0).unwrap_or_default();
            lane.window.push(batches, read.next.0, None);
        }
    }

    fn parked_too_many(&self, limits: Limits) -> bool {
        let parked = self.groups.as_ref().map_or(0, |groups| groups.parked());
        parked >= limits.parked_max
    }

    /// Passes over the message in the window if its time has not come or others of its group are
    /// before it.
    fn hide(&mut self, number: u16, now_ms: i64) -> bool {
        let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
            return false;
        };
        let Some(parsed) = lane.window.peek(lane.next, &mut self.decoder) else {
            return false;
        };
        let (offset, size) = (parsed.offset, parsed.size());
        let deliver_ms = parsed.attributes.deliver_ms;
        let fresh =
            offset >= lane.seen || lane.counts.get(&offset).is_some_and(|c| c.attempts == 0);
        let delayed = deliver_ms.filter(|at| fresh && *at > now_ms);
        let group = parsed.attributes.group.clone();
        let group = group.filter(|_| self.groups.is_some());
        let parked = match (&group, &self.groups) {
            (Some(key), Some(groups)) if delayed.is_none() => {
                let waits = self.waiters.keys().next().copied().unwrap_or(0);
                !groups.may_have(key, offset, waits)
            }
            _ => false,
        };
        if delayed.is_none() && !parked {
            return false;
        }
        let place = delayed.map_or(Place::Parked, Place::Delayed);
        lane.window.take();
        let (slot, _) = lane.look_at(offset, size, place);
        lane.slots.insert(offset, slot);
        lane.cursor.touch(offset);
        if let Some(at) = delayed {
            self.delayed += 1;
            if !self.due.insert((at, number, offset)) {
                lane.delayed_ahead = lane.delayed_ahead.saturating_sub(1);
            }
        } else {
            self.parked += 1;
        }
        self.dirty = true;
        if let (Some(key), Some(groups)) = (group, &mut self.groups) {
            if parked {
                groups.park(key, offset);
            } else {
                groups.lease(key, offset, 0);
            }
        }
        true
    }

    fn next_target(&mut self, now_ms: i64) -> Option<(Target, usize)> {
        if let Some((_, waiter)) = self.waiters.first_key_value() {
            let target = Target {
                consumer: 0,
                waiter: waiter.id,
                auto_settle: waiter.auto_settle,
                deadline: waiter
                    .lease_ms
                    .map_or(i64::MAX, |lease| now_ms.saturating_add(lease)),
            };
            let got = self
                .served
                .get(&waiter.id)
                .map_or(0, |s| s.deliveries.len());
            return Some((target, waiter.max.saturating_sub(got).max(1)));
        }
        let (consumer, run) = self.next_consumer()?;
        let auto_settle = self
            .consumers
            .get(&consumer)
            .is_some_and(|one| one.settings.auto_settle);
        let target = Target {
            consumer,
            waiter: 0,
            auto_settle,
            deadline: i64::MAX,
        };
        Some((target, run))
    }

    /// Hands a message over; false when the target takes no more.
    fn give(
        &mut self,
        number: u16,
        head: Head,
        target: Target,
        now_ms: i64,
        ready: &mut u64,
    ) -> bool {
        if target.consumer != 0 && !self.take_credit(target.consumer) {
            return false;
        }
        let Some(parsed) = self.take_head(number, head, target) else {
            if target.consumer != 0 {
                self.give_back_credit(target.consumer);
            }
            return true;
        };
        self.head_known = false;
        *ready = ready.saturating_sub(1);
        let at = (number, parsed.offset);
        let delivery = self.deliver(at, parsed, target, now_ms, *ready);
        if target.waiter == 0 {
            self.put(target.consumer, delivery);
            return true;
        }
        let served = self.served.entry(target.waiter).or_insert_with(|| Served {
            deliveries: Vec::new(),
            auto_settle: target.auto_settle,
        });
        served.deliveries.push(delivery);
        true
    }

    /// Takes a message from its place, with a slot in `slots`. `None` when the rest of its group
    /// is before it.
    fn take_head(&mut self, number: u16, head: Head, target: Target) -> Option<Parsed> {
        let parsed = match head {
            Head::Ready(parsed) => {
                let key = self
                    .groups
                    .as_ref()
                    .and_then(|g| g.key(parsed.offset))
                    .cloned();
                if let (Some(key), Some(groups)) = (key, &mut self.groups) {
                    if !groups.may_have(&key, parsed.offset, target.waiter) {
                        groups.park(key, parsed.offset);
                        self.park_slot((number, parsed.offset));
                        return None;
                    }
                    groups.lease(key.clone(), parsed.offset, target.waiter);
                    self.take_ready((number, parsed.offset));
                    self.promote(&key, target.waiter);
                    return Some(*parsed);
                }
                self.take_ready((number, parsed.offset));
                *parsed
            }
            Head::Ahead => {
                let lane = self.lane(number)?;
                let (parsed, slot) = lane.take_ahead(Place::Ready)?;
                if slot.attempts > 0 || !target.auto_settle {
                    lane.slots.insert(parsed.offset, slot);
                }
                if let (Some(key), Some(groups)) = (&parsed.attributes.group, &mut self.groups) {
                    groups.lease(key.clone(), parsed.offset, target.waiter);
                }
                parsed
            }
            Head::Load(_) | Head::Empty => return None,
        };
        Some(parsed)
    }

    fn take_ready(&mut self, at: At) {
        if let Some(lane) = self.lane(at.0)
            && lane.ready.remove(&at.1)
            && let Some(slot) = lane.slots.get(&at.1)
        {
            lane.bytes = lane.bytes.saturating_sub(u64::from(slot.size));
        }
    }

    fn park_slot(&mut self, at: At) {
        self.take_ready(at);
        self.parked += 1;
        if let Some(lane) = self.lane(at.0)
            && let Some(slot) = lane.slots.get_mut(&at.1)
        {
            slot.place = Place::Parked;
        }
    }

    fn deliver(
        &mut self,
        at: At,
        parsed: Parsed,
        target: Target,
        now_ms: i64,
        ready_left: u64,
    ) -> Delivery {
        self.dirty = true;
        let (receipt, slot) = if target.auto_settle {
            self.leased += 1;
            let slot = self.lane(at.0).and_then(|lane| lane.slots.remove(&at.1));
            let mut slot = slot.unwrap_or_else(|| Slot::new(Place::Ready, 0));
            slot.attempts = slot.attempts.saturating_add(1);
            if slot.first_ms == 0 {
                slot.first_ms = now_ms;
            }
            let receipt = Receipt {
                lane: at.0,
                offset: at.1,
                epoch: 0,
            };
            (receipt, slot)
        } else {
            self.lease(at, &parsed, target.consumer, target.deadline, now_ms)
        };
        Delivery {
            receipt,
            redelivered: slot.redelivered,
            attempts: slot.attempts,
            first_ms: slot.first_ms,
            ready_left,
            timestamp_ms: parsed.timestamp_ms,
            key: parsed.key,
            value: parsed.value,
            headers: parsed.headers,
            attributes: parsed.attributes,
        }
    }

    /// The waiter whose turn it was goes when it has all that it wants.
    fn let_full_go(&mut self, todo: &mut Todo) {
        if let Some((_, waiter)) = self.waiters.first_key_value()
            && let Some(served) = self.served.get(&waiter.id)
            && served.deliveries.len() >= waiter.max
            && let Some(mut waiter) = self.remove_waiter(waiter.id)
        {
            todo.wakers.extend(waiter.waker.take());
        }
    }

    /// Lets those go who take nothing for an answer.
    pub(super) fn answer_now(&mut self) -> Vec<Waker> {
        let mut todo = Todo::default();
        self.answer_waiters(true, &mut todo);
        todo.wakers
    }

    /// Lets those go who have something, and those who take nothing for an answer.
    fn answer_waiters(&mut self, empty: bool, todo: &mut Todo) {
        // Only the first may have something: the next is served when it is gone.
        while let Some(id) = self.waiters.keys().next().copied()
            && self.served.contains_key(&id)
        {
            let waiter = self.remove_waiter(id);
            todo.wakers.extend(waiter.and_then(|waiter| waiter.waker));
        }
        if !empty {
            return;
        }
        while let Some(id) = self.impatient.first().copied() {
            let Some(waiter) = self.remove_waiter(id) else {
                continue;
            };
            let nothing = Served {
                deliveries: Vec::new(),
                auto_settle: waiter.auto_settle,
            };
            self.served.insert(id, nothing);
            todo.wakers.extend(waiter.waker);
        }
    }
}
