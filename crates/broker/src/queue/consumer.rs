//! Consumers: what each holds, who is next, and the limit that several may share.
//!
//! A consumer has an inbox, filled under the queue's lock and emptied when the consumer is polled.
//! It is small, so that a consumer that is not polled holds up little; with
//! [`ConsumerSettings::prefetch`] it counts as held.

use std::cmp::Reverse;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::delivery::{Delivery, Receipt};
use super::handle::{Inner, Queue};
use super::state::State;

/// How many messages an inbox holds at most.
const INBOX_MAX: usize = 256;
/// How many bytes of values, at which nothing is added.
const INBOX_BYTES_MAX: usize = 256 << 10;

/// How a consumer wants to be served.
#[derive(Clone, Debug, Default)]
pub struct ConsumerSettings {
    /// How many unsettled messages it holds at most; 0 is no limit.
    pub prefetch: u32,
    /// A limit that it shares with others.
    pub shared: Option<Credit>,
    /// Higher is served first.
    pub priority: i32,
    /// Whether it must be the only one.
    pub exclusive: bool,
    /// Whether what it gets is settled at once.
    pub auto_settle: bool,
}

/// A consumer's identity in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// What a consumer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEvent {
    /// Messages.
    Deliveries(Vec<Delivery>),
    /// The queue is gone; nothing more comes.
    Cancelled,
}

/// A limit on unsettled messages that several consumers share; cheap to clone.
#[derive(Clone, Debug)]
pub struct Credit(Arc<CreditInner>);

#[derive(Debug)]
struct CreditInner {
    /// 0 is no limit.
    max: AtomicU32,
    used: AtomicU32,
    /// Consumers that would take more.
    parked: Mutex<Vec<(Weak<Inner>, u64)>>,
}

impl Credit {
    /// At most `max`; 0 is no limit.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self(Arc::new(CreditInner {
            max: AtomicU32::new(max),
            used: AtomicU32::new(0),
            parked: Mutex::default(),
        }))
    }

    /// Changes the limit.
    pub fn set(&self, max: u32) {
        self.0.max.store(max, Ordering::Relaxed);
        self.wake();
    }

    fn left(&self) -> u32 {
        match self.0.max.load(Ordering::Relaxed) {
            0 => u32::MAX,
            max => max.saturating_sub(self.0.used.load(Ordering::Acquire)),
        }
    }

    /// Takes one of what is left.
    fn take(&self) -> bool {
        let max = self.0.max.load(Ordering::Relaxed);
        let used = &self.0.used;
        used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            (max == 0 || used < max).then(|| used.saturating_add(1))
        })
        .is_ok()
    }

    fn give_back(&self) {
        let less = |used: u32| Some(used.saturating_sub(1));
        let _ = self
            .0
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// Has a consumer woken when there is credit; false when there is some now. Looked at under
    /// the lock, which whoever gives back takes afterwards: one of the two sees the other.
    fn park(&self, queue: &Weak<Inner>, consumer: u64) -> bool {
        let mut parked = self.0.parked.lock();
        if self.left() > 0 {
            return false;
        }
        parked.push((queue.clone(), consumer));
        true
    }

    /// A parked consumer is gone.
    fn unpark(&self, queue: &Weak<Inner>, consumer: u64) {
        let other = |(of, id): &(Weak<Inner>, u64)| *id != consumer || !of.ptr_eq(queue);
        self.0.parked.lock().retain(other);
    }

    /// Lets those that wait for credit look again. The caller holds no queue's lock.
    pub(super) fn wake(&self) {
        let mut parked = self.0.parked.lock();
        if self.left() == 0 {
            return;
        }
        let woken = std::mem::take(&mut *parked);
        drop(parked);
        for (queue, consumer) in woken {
            if let Some(queue) = queue.upgrade() {
                queue.state.lock().look_again(consumer);
                queue.schedule();
            }
        }
    }
}

/// What a queue knows of a consumer.
#[derive(Debug)]
pub(super) struct ConsumerSlot {
    pub(super) settings: ConsumerSettings,
    /// Unsettled messages, those in the inbox included.
    pub(super) held: u32,
    pub(super) inbox: Vec<Delivery>,
    inbox_bytes: usize,
    waker: Option<Waker>,
    in_rotation: bool,
    /// Whether its shared credit knows that it waits.
    parked: bool,
    queue: Weak<Inner>,
}

impl ConsumerSlot {
    /// How many more it may be given now. Where others hold all of its shared credit it is woken
    /// when they give some back.
    fn capacity(&mut self, id: u64) -> usize {
        let own = self.own_capacity();
        let Some(shared) = self.settings.shared.as_ref().filter(|_| own > 0) else {
            return own;
        };
        loop {
            let left = shared.left() as usize;
            if left > 0 || self.parked {
                return own.min(left);
            }
            self.parked = shared.park(&self.queue, id);
        }
    }

    fn own_capacity(&self) -> usize {
        if self.inbox_bytes >= INBOX_BYTES_MAX {
            return 0;
        }
        let own = match self.settings.prefetch {
            0 => u32::MAX,
            max => max.saturating_sub(self.held),
        };
        let inbox = INBOX_MAX.saturating_sub(self.inbox.len());
        inbox.min(own as usize)
    }
}

impl State {
    pub(super) fn add_consumer(
        &mut self,
        settings: ConsumerSettings,
        queue: Weak<Inner>,
    ) -> ConsumerId {
        let id = self.new_id();
        self.had_consumer = true;
        let slot = ConsumerSlot {
            settings,
            held: 0,
            inbox: Vec::new(),
            inbox_bytes: 0,
            waker: None,
            in_rotation: false,
            parked: false,
            queue,
        };
        self.consumers.insert(id, slot);
        self.choose_active();
        self.rotate_in(id);
        ConsumerId(id)
    }

    /// Whether somebody else has the queue for himself.
    pub(super) fn is_exclusive(&self) -> bool {
        self.consumers.values().any(|one| one.settings.exclusive)
    }

    /// Puts a consumer among those that may get something.
    pub(super) fn rotate_in(&mut self, id: u64) {
        if self.settings.single_active && self.active != Some(id) {
            return;
        }
        if let Some(slot) = self.consumers.get_mut(&id)
            && !slot.in_rotation
            && slot.capacity(id) > 0
        {
            slot.in_rotation = true;
            let level = Reverse(slot.settings.priority);
            self.rotation.entry(level).or_default().push_back(id);
        }
    }

    /// There may be shared credit for a consumer that waited for it.
    fn look_again(&mut self, id: u64) {
        if let Some(slot) = self.consumers.get_mut(&id) {
            slot.parked = false;
        }
        self.rotate_in(id);
    }

    /// Where one consumer gets everything: the first of the highest priority, but the active one
    /// keeps its place while it holds something.
    fn choose_active(&mut self) {
        if !self.settings.single_active {
            return;
        }
        let busy = |id: &u64| self.consumers.get(id).is_some_and(|one| one.held > 0);
        if self.active.as_ref().is_some_and(busy) {
            return;
        }
        let best = self
            .consumers
            .iter()
            .min_by_key(|(id, one)| (Reverse(one.settings.priority), **id))
            .map(|(id, _)| *id);
        if best == self.active {
            return;
        }
        if let Some(before) = self.active.take() {
            self.rotate_out(before);
        }
        self.active = best;
        if let Some(id) = best {
            self.rotate_in(id);
        }
    }

    fn rotate_out(&mut self, id: u64) {
        if let Some(slot) = self.consumers.get_mut(&id)
            && slot.in_rotation
        {
            slot.in_rotation = false;
            let level = Reverse(slot.settings.priority);
            if let Some(ids) = self.rotation.get_mut(&level) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.rotation.remove(&level);
                }
            }
        }
    }

    /// The consumer whose turn it is, and how many it may have in a row.
    pub(super) fn next_consumer(&mut self) -> Option<(u64, usize)> {
        while let Some(mut entry) = self.rotation.first_entry() {
            let level = entry.get_mut();
            while let Some(id) = level.pop_front() {
                let Some(slot) = self.consumers.get_mut(&id) else {
                    continue;
                };
                let capacity = slot.capacity(id);
                if capacity > 0 {
                    level.push_back(id);
                    let run = if level.len() == 1 { capacity } else { 1 };
                    return Some((id, run));
                }
                slot.in_rotation = false;
            }
            entry.remove();
        }
        None
    }

    /// Counts a message that a consumer is given; false when its shared credit is gone meanwhile.
    pub(super) fn take_credit(&mut self, id: u64) -> bool {
        let Some(slot) = self.consumers.get_mut(&id) else {
            return false;
        };
        if slot
            .settings
            .shared
            .as_ref()
            .is_some_and(|shared| !shared.take())
        {
            return false;
        }
        slot.held += 1;
        true
    }

    /// A message that a consumer held is none of its any more.
    pub(super) fn give_back_credit(&mut self, id: u64) {
        if id == 0 {
            return;
        }
        let gone = match self.consumers.get_mut(&id) {
            Some(slot) => {
                slot.held = slot.held.saturating_sub(1);
                slot.settings.shared.clone()
            }
            None => self.credit_of_gone(id),
        };
        if let Some(shared) = gone {
            shared.give_back();
            self.freed.push(shared);
        }
        self.choose_active();
        self.rotate_in(id);
    }

    /// Puts a message into a consumer's inbox.
    pub(super) fn put(&mut self, id: u64, delivery: Delivery) {
        if let Some(slot) = self.consumers.get_mut(&id) {
            if slot.inbox.is_empty() {
                self.filled.push(id);
            }
            slot.inbox_bytes += delivery.value.as_ref().map_or(0, bytes::Bytes::len);
            slot.inbox.push(delivery);
        }
    }

    /// Those to be woken because their inboxes hold something.
    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        let filled = std::mem::take(&mut self.filled);
        let each = filled.iter();
        each.filter_map(|id| self.consumers.get_mut(id)?.waker.take())
            .collect()
    }

    /// Empties a consumer's inbox for it.
    fn empty_inbox(&mut self, id: u64) -> Vec<Delivery> {
        let Some(slot) = self.consumers.get_mut(&id) else {
            return Vec::new();
        };
        slot.inbox_bytes = 0;
        let deliveries = std::mem::take(&mut slot.inbox);
        if slot.settings.auto_settle {
            self.settle_deliveries(&deliveries, id);
        }
        self.rotate_in(id);
        deliveries
    }

    /// Settles what was handed out to somebody who settles at once.
    pub(super) fn settle_deliveries(&mut self, deliveries: &[Delivery], who: u64) {
        let mut run: Option<(u16, std::ops::Range<u64>)> = None;
        for delivery in deliveries {
            let Receipt { lane, offset, .. } = delivery.receipt;
            match &mut run {
                Some((of, range)) if *of == lane && range.end == offset => range.end += 1,
                _ => {
                    if let Some((lane, range)) = run.replace((lane, offset..offset + 1)) {
                        self.settle_run(lane, range);
                    }
                }
            }
            self.settle_in_group(offset, 0);
        }
        if let Some((lane, range)) = run {
            self.settle_run(lane, range);
        }
        for _ in deliveries {
            self.give_back_credit(who);
        }
    }

    /// Takes a consumer out; what it had not come for is released and does not count.
    pub(super) fn remove_consumer(&mut self, id: u64) -> bool {
        self.rotate_out(id);
        let Some(mut slot) = self.consumers.remove(&id) else {
            return false;
        };
        for delivery in std::mem::take(&mut slot.inbox).iter().rev() {
            slot.held = slot.held.saturating_sub(1);
            if let Some(shared) = &slot.settings.shared {
                shared.give_back();
                self.freed.push(shared.clone());
            }
            self.undo(delivery, slot.settings.auto_settle);
        }
        if slot.parked
            && let Some(shared) = &slot.settings.shared
        {
            shared.unpark(&slot.queue, id);
        }
        if slot.held > 0
            && let Some(shared) = slot.settings.shared
        {
            self.gone.insert(id, (shared, slot.held));
        }
        if self.active == Some(id) {
            self.active = None;
        }
        self.choose_active();
        true
    }

    /// The shared credit of a consumer that is gone and left leases behind.
    fn credit_of_gone(&mut self, id: u64) -> Option<Credit> {
        let (shared, held) = self.gone.get_mut(&id)?;
        let shared = shared.clone();
        *held -= 1;
        if *held == 0 {
            self.gone.remove(&id);
        }
        Some(shared)
    }
}

/// A consumer. Dropping it ends the deliveries; its leases stay until they are settled.
#[derive(Debug)]
pub struct Consumer {
    queue: Queue,
    id: u64,
    over: bool,
}

impl Consumer {
    pub(super) fn new(queue: Queue, id: ConsumerId) -> Self {
        Self {
            queue,
            id: id.0,
            over: false,
        }
    }

    /// What to cancel it by.
    #[must_use]
    pub fn id(&self) -> ConsumerId {
        ConsumerId(self.id)
    }

    /// What is in the inbox; where nothing is, `waker` is woken when there is.
    fn look(&self, waker: &Waker) -> Option<Option<ConsumerEvent>> {
        let inner = &self.queue.0;
        let mut state = inner.state.lock();
        let deleted = state.deleted;
        let Some(slot) = state.consumers.get_mut(&self.id) else {
            return Some(deleted.then_some(ConsumerEvent::Cancelled));
        };
        if slot.inbox.is_empty() {
            match &mut slot.waker {
                Some(known) if known.will_wake(waker) => {}
                place => *place = Some(waker.clone()),
            }
            return None;
        }
        let deliveries = state.empty_inbox(self.id);
        let freed = std::mem::take(&mut state.freed);
        let dirty = state.dirty;
        // More may lie there than the inbox had room for.
        let more = state.has_targets();
        drop(state);
        freed.iter().for_each(Credit::wake);
        if dirty {
            inner.note_dirty();
        }
        if more {
            inner.schedule();
        }
        Some(Some(ConsumerEvent::Deliveries(deliveries)))
    }
}

impl futures_core::Stream for Consumer {
    type Item = ConsumerEvent;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<ConsumerEvent>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut found = self.look(context.waker());
        if found.is_none() {
            self.queue.0.dispatch();
            found = self.look(context.waker());
        }
        match found {
            None => Poll::Pending,
            Some(event) => {
                self.over = !matches!(event, Some(ConsumerEvent::Deliveries(_)));
                Poll::Ready(event)
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.queue.cancel(ConsumerId(self.id));
    }
}

/// Wakers of consumers whose queue is gone.
pub(super) fn take_all_wakers(state: &mut State) -> Vec<Waker> {
    let consumers = state.consumers.values_mut();
    consumers.filter_map(|one| one.waker.take()).collect()
}
