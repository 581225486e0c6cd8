//! The handle of a queue: what is asked of it, each under its lock, and what follows without it.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;

use super::QueueId;
use super::consumer::{Consumer, ConsumerId, ConsumerSettings, Credit, take_all_wakers};
use super::delivery::{Delivery, Extended, Outcome, QueueStats, Receipt, Take};
use super::dispatch::Limits;
use super::lane::{Place, Slot};
use super::queues::Shared;
use super::settings::QueueSettings;
use super::state::{State, Waiter};
use crate::error::Error;
use crate::topic::Topic;

/// A queue; cheap to clone. Handles stay valid after its deletion; their operations then fail.
#[derive(Clone)]
pub struct Queue(pub(super) Arc<Inner>);

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.0.namespace, self.0.name)
    }
}

/// What the handles of a queue share.
pub(super) struct Inner {
    pub(super) id: QueueId,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) created_ms: i64,
    pub(super) topic: Arc<Topic>,
    /// Whether the topic was made for the queue and goes with it.
    pub(super) owns_topic: bool,
    /// Whether the journal knows it.
    pub(super) durable: bool,
    pub(super) state: Mutex<State>,
    pub(super) shared: Arc<Shared>,
    pub(super) me: Weak<Self>,
    /// Whether a pass is asked for already.
    pub(super) scheduled: AtomicBool,
    /// Whether anybody wants to know of new messages.
    pub(super) interested: AtomicBool,
    /// Whether the journal's task knows that there is something to write.
    pub(super) noted: AtomicBool,
    /// Whether a task waits for room to move dead letters.
    pub(super) stuck: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.namespace, self.name)
    }
}

impl Inner {
    /// Passes as long as there is something to do that waits for nothing.
    pub(super) fn dispatch(&self) {
        loop {
            let mut state = self.state.lock();
            if state.deleted {
                return;
            }
            let config = &self.shared.config;
            let limits = Limits {
                now_ms: self.shared.clock.unix_ms(),
                slots_max: config.leases_max,
                parked_max: config.parked_max,
            };
            // Said before the ends of the lanes are read: what becomes durable after that calls for
            // a pass of its own. The fence keeps the two in this order, as that of `appended` does.
            self.interested.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let todo = state.pass(limits);
            let freed = std::mem::take(&mut state.freed);
            // Whoever becomes interested later asks for a pass, and that says so again.
            if !state.has_targets() && state.is_unused() && !state.watch {
                self.interested.store(false, Ordering::SeqCst);
            }
            self.after(&mut state);
            drop(state);
            freed.iter().for_each(Credit::wake);
            todo.wakers.into_iter().for_each(std::task::Waker::wake);
            for load in todo.loads {
                self.load(load);
            }
            if todo.dying.is_empty() || !self.bury(todo.dying) {
                return;
            }
        }
    }

    /// What follows a change of the state, while it is locked.
    pub(super) fn after(&self, state: &mut State) {
        state.recharge(self.shared.ledger());
        let next = state.next_time();
        if let Some(at) = next
            && state.armed.is_none_or(|armed| at < armed)
        {
            state.armed = Some(at);
            self.shared.timer.arm(at, self.me.clone());
        }
        if state.dirty {
            self.note_dirty();
        }
    }

    /// Asks for a pass soon, on a task.
    pub(super) fn schedule(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel)
            && let Some(me) = self.me.upgrade()
        {
            self.shared.runs.push(me);
        }
    }

    /// Readers may see more: called by whoever has made it durable, which must not be held up.
    pub(super) fn appended(&self) {
        fence(Ordering::SeqCst);
        if self.interested.load(Ordering::SeqCst) {
            self.schedule();
        }
    }

    pub(super) fn unknown(&self) -> Error {
        Error::UnknownQueue(self.name.to_string())
    }

    /// Does something under the lock, and what follows without it.
    pub(super) fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = work(&mut state);
        let freed = std::mem::take(&mut state.freed);
        self.after(&mut state);
        let wanted = state.has_targets() || state.watch;
        drop(state);
        freed.iter().for_each(Credit::wake);
        if wanted {
            self.schedule();
        }
        result
    }

    /// Nobody gets anything any more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.deleted = true;
        let mut wakers = take_all_wakers(&mut state);
        for id in state.consumers.keys().copied().collect::<Vec<_>>() {
            state.remove_consumer(id);
        }
        let waiters = std::mem::take(&mut state.waiters);
        state.impatient.clear();
        wakers.extend(waiters.into_values().filter_map(|waiter| waiter.waker));
        let freed = std::mem::take(&mut state.freed);
        state.charge = None;
        drop(state);
        freed.iter().for_each(Credit::wake);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

impl Queue {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.0.namespace
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.0.id
    }

    /// The topic that holds its messages.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.0.topic
    }

    /// What is set about it now.
    #[must_use]
    pub fn settings(&self) -> Arc<QueueSettings> {
        self.0.state.lock().settings.clone()
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        self.0.created_ms
    }

    /// When its settings were last changed, in milliseconds since 1970.
    #[must_use]
    pub fn modified_ms(&self) -> i64 {
        self.0.state.lock().modified_ms
    }

    /// Whether it has been deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.0.state.lock().deleted
    }

    /// How it is.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let now_ms = self.0.shared.clock.unix_ms();
        self.0.state.lock().stats(now_ms)
    }

    /// Begins to consume.
    ///
    /// # Errors
    /// [`Error::InUse`] when it wants to be the only one and is not, or somebody else is;
    /// [`Error::UnknownQueue`], [`Error::Limit`].
    pub fn consume(&self, settings: ConsumerSettings) -> Result<Consumer, Error> {
        let mut state = self.0.state.lock();
        if state.deleted {
            return Err(self.0.unknown());
        }
        let others = !state.consumers.is_empty();
        if state.is_exclusive() || (settings.exclusive && others) {
            return Err(Error::InUse(self.0.name.to_string()));
        }
        let limit = self.0.shared.config.consumers_max;
        if state.consumers.len() >= limit {
            return Err(Error::Limit {
                name: "queues.consumers_max",
                limit: limit as u64,
            });
        }
        state.used_ms = self.0.shared.clock.unix_ms();
        let id = state.add_consumer(settings, self.0.me.clone());
        drop(state);
        self.0.schedule();
        Ok(Consumer::new(self.clone(), id))
    }

    /// Ends a consumer: nothing is yielded after this returns. What it was given and had not come
    /// for is ready again, as if nobody had had it.
    pub fn cancel(&self, id: ConsumerId) {
        let now_ms = self.0.shared.clock.unix_ms();
        let last = self.0.change(|state| {
            let removed = state.remove_consumer(id.0);
            state.used_ms = now_ms;
            removed && state.consumers.is_empty() && state.settings.auto_delete && !state.deleted
        });
        if last {
            self.0.shared.delete_later(self.clone());
        }
    }

    /// Takes messages. Where there are none it waits; those who wait are served in their order.
    /// Dropping the future takes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Limit`].
    pub async fn take(&self, take: Take) -> Result<Vec<Delivery>, Error> {
        let waiting = self.wait_for(take)?;
        if take.wait.is_zero() {
            return waiting.served().await;
        }
        tokio::select! {
            biased;
            served = waiting.served() => served,
            () = tokio::time::sleep(take.wait) => Ok(Vec::new()),
        }
    }

    fn wait_for(&self, take: Take) -> Result<Waiting, Error> {
        let mut state = self.0.state.lock();
        if state.deleted {
            return Err(self.0.unknown());
        }
        let limit = self.0.shared.config.waiters_max;
        if state.waiters.len() >= limit {
            return Err(Error::Limit {
                name: "queues.waiters_max",
                limit: limit as u64,
            });
        }
        state.used_ms = self.0.shared.clock.unix_ms();
        let id = state.new_id();
        let lease = take.lease.or(state.settings.lease);
        state.add_waiter(Waiter {
            id,
            max: take.max,
            lease_ms: lease.map(millis),
            auto_settle: take.auto_settle,
            now: take.wait.is_zero(),
            waker: None,
        });
        Ok(Waiting {
            queue: self.clone(),
            id,
            auto_settle: take.auto_settle,
        })
    }

    /// Makes a lease last for `lease` from now; zero ends it.
    #[must_use]
    pub fn extend(&self, receipt: Receipt, lease: Duration) -> Extended {
        let now_ms = self.0.shared.clock.unix_ms();
        self.0.change(|state| {
            state.pass_time(now_ms);
            let at = (receipt.lane, receipt.offset);
            let Some(lane) = state.lane(at.0) else {
                return Extended::Gone;
            };
            let Some(slot) = lane.slots.get_mut(&at.1) else {
                let known = receipt.offset < lane.appended;
                let settled = lane.cursor.is_settled(receipt.offset);
                return if known && !settled {
                    Extended::Available
                } else {
                    Extended::Gone
                };
            };
            if !matches!(slot.place, Place::Leased(_)) || slot.epoch != receipt.epoch {
                return Extended::Available;
            }
            if lease.is_zero() {
                state.release_slot(at, true, true, None);
                return Extended::Available;
            }
            let before =
                std::mem::replace(&mut slot.deadline, now_ms.saturating_add(millis(lease)));
            let after = slot.deadline;
            state.deadlines.remove(&(before, at.0, at.1));
            state.deadlines.insert((after, at.0, at.1));
            Extended::Leased
        })
    }

    /// Settles all ready messages, and with `leased_too` all others; says how many. Durable when
    /// it returns.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Store`].
    pub async fn purge(&self, leased_too: bool) -> Result<u64, Error> {
        let count = self.0.change(|state| {
            if state.deleted {
                return None;
            }
            Some(state.purge(leased_too))
        });
        let count = count.ok_or_else(|| self.0.unknown())?;
        self.0.journaled().await?;
        Ok(count)
    }
}

/// A duration in milliseconds.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Somebody who takes; going away before he has got anything takes nothing.
struct Waiting {
    queue: Queue,
    id: u64,
    auto_settle: bool,
}

impl Waiting {
    async fn served(&self) -> Result<Vec<Delivery>, Error> {
        let inner = &self.queue.0;
        inner.dispatch();
        std::future::poll_fn(|context| {
            let mut state = inner.state.lock();
            if let Some(served) = state.served.remove(&self.id) {
                if served.auto_settle {
                    state.settle_deliveries(&served.deliveries, 0);
                }
                inner.after(&mut state);
                return Poll::Ready(Ok(served.deliveries));
            }
            if state.deleted {
                return Poll::Ready(Err(inner.unknown()));
            }
            if let Some(waiter) = state.waiters.get_mut(&self.id) {
                waiter.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (id, auto_settle) = (self.id, self.auto_settle);
        self.queue.0.change(|state| {
            state.remove_waiter(id);
            if let Some(served) = state.served.remove(&id) {
                for delivery in served.deliveries.iter().rev() {
                    state.undo(delivery, auto_settle);
                }
            }
        });
    }
}

impl State {
    /// Settles what is ready, hidden or parked, and with `leased_too` the rest; says how many.
    fn purge(&mut self, leased_too: bool) -> u64 {
        self.lanes
            .iter_mut()
            .for_each(super::lane::Lane::note_appended);
        let before = self.ready() + if leased_too { self.leased } else { 0 };
        let keeps = |place: Place| match place {
            Place::Leased(_) => !leased_too,
            Place::Dying => true,
            Place::Ready | Place::Parked => false,
            Place::Delayed(_) => !leased_too,
        };
        for (at, _) in std::mem::take(&mut self.kept) {
            self.settle_slot(at);
        }
        for number in 0..self.lanes.len() {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let Some(lane) = self.lane(number) else {
                continue;
            };
            let gone = lane.slots.iter().filter(|(_, slot)| !keeps(slot.place));
            let gone: Vec<u64> = gone.map(|(offset, _)| *offset).collect();
            let next = lane.next;
            for offset in gone {
                self.settle_slot((number, offset));
            }
            let ahead = |(_, of, offset): &&(i64, u16, u64)| *of == number && *offset >= next;
            let hidden: Vec<_> = self.due.iter().filter(ahead).copied().collect();
            for entry in hidden {
                if leased_too {
                    self.due.remove(&entry);
                } else if let Some(lane) = self.lane(number) {
                    let slot = Slot::new(Place::Delayed(entry.0), 0);
                    lane.slots.insert(entry.2, slot);
                    self.delayed += 1;
                }
            }
            if let Some(lane) = self.lane(number) {
                lane.settle_rest();
            }
        }
        self.head_known = false;
        self.dirty = true;
        before
    }

    /// What became of a delivery; whether the receipt named it.
    pub(super) fn settle_receipt(
        &mut self,
        receipt: Receipt,
        outcome: Outcome,
        now_ms: i64,
    ) -> bool {
        let at = (receipt.lane, receipt.offset);
        let ordered = self.groups.is_some();
        let Some(slot) = self.lane(at.0).and_then(|lane| lane.slots.get(&at.1)) else {
            return false;
        };
        if slot.epoch != receipt.epoch {
            return false;
        }
        let leased = matches!(slot.place, Place::Leased(_));
        match outcome {
            // A lease that ended is as good as none where order is kept; elsewhere whoever had it
            // last may still say that it is done.
            Outcome::Accept if leased || (!ordered && slot.place == Place::Ready) => {
                self.settle_slot(at)
            }
            Outcome::Release { counted, delay } if leased => {
                let until = delay
                    .filter(|delay| !delay.is_zero())
                    .map(|delay| now_ms.saturating_add(millis(delay)));
                self.release_slot(at, counted, true, until);
                true
            }
            Outcome::Reject if leased => {
                self.reject(at);
                true
            }
            Outcome::Accept | Outcome::Release { .. } | Outcome::Reject => false,
        }
    }
}
