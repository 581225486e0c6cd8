//! Who gives way when memory is short.
//!
//! A connection that holds memory is in one list of the process, by the time at which it has held
//! for `limits.hold_max` without getting on. Nobody looks at the list until somebody waits for room
//! in the ledger. Then the first of the list is asked to go, however little it holds, if its time
//! has come; and the next, until as much is on its way back as is wanted. A connection that got on
//! meanwhile is moved back when the look comes to it, so that getting on costs a connection no more
//! than two stores, and a look costs at most [`LOOK_MAX`] steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use base::{Clock, Ledger, Millis};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::sleep;

/// Steps of one look.
const LOOK_MAX: usize = 1024;
/// What one look takes back at most, as a part of the budget: who waits may get it from those who
/// end by themselves.
const TAKEN_PART: usize = 64;
/// Between two looks: long enough for those who were asked to be gone.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Between two looks when nobody's time has come.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// All that hold memory; cheap to clone.
#[derive(Clone, Debug)]
pub struct Holders(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    clock: Clock,
    /// Times are milliseconds since then.
    epoch: Instant,
    ids: AtomicU64,
    /// By the time that was known when it was listed, which may have moved away since; and the id.
    list: Mutex<BTreeMap<(u64, u64), Arc<Holder>>>,
}

#[derive(Debug)]
struct Holder {
    id: u64,
    /// When its time has come, and what it holds, as it knew when it last began to wait.
    due: AtomicU64,
    held: AtomicUsize,
    /// What it waits for itself.
    wants: AtomicUsize,
    /// Its key in the list, [`UNLISTED`] if it is not there; written under the list's lock.
    key: AtomicU64,
    /// It is to go.
    asked: AtomicBool,
    waker: AtomicWaker,
}

const UNLISTED: u64 = u64::MAX;

impl Holders {
    /// Nobody yet, over `ledger`.
    #[must_use]
    pub fn new(ledger: Ledger, clock: Clock) -> Self {
        let epoch = clock.now();
        Self(Arc::new(Inner {
            ledger,
            clock,
            epoch,
            ids: AtomicU64::new(0),
            list: Mutex::default(),
        }))
    }

    /// One more that may come to hold memory, for `limit` without getting on; 0 is no limit.
    pub(crate) fn join(&self, limit: Millis) -> Holding {
        Holding {
            holders: self.clone(),
            limit,
            holder: None,
            waker: None,
        }
    }

    /// Whenever somebody waits for memory, has those give way whose time has come.
    pub async fn watch(self) {
        loop {
            self.0.ledger.shortage().await;
            let pause = self.relieve();
            sleep(pause).await;
        }
    }

    /// One look; when to look again.
    fn relieve(&self) -> Duration {
        let ledger = &self.0.ledger;
        let now = self.millis(self.0.clock.now());
        let all_wanted = ledger.wanted();
        let wanted = all_wanted.min(ledger.limit() / TAKEN_PART).max(1);
        let mut taken = 0;
        let mut list = self.0.list.lock();
        for _ in 0..LOOK_MAX {
            let Some(first) = list.first_entry() else {
                return PAUSE_MAX;
            };
            let (key, id) = *first.key();
            if key > now {
                return Duration::from_millis(key - now).clamp(PAUSE_MIN, PAUSE_MAX);
            }
            let holder = first.remove();
            let held = holder.held.load(Ordering::Relaxed);
            let mut due = holder.due.load(Ordering::Relaxed);
            if held == 0 || holder.wants.load(Ordering::Relaxed) >= all_wanted {
                // Idle: it may hold something later, and has its time then. Or nobody waits but it.
                due = due.max(now + millis(PAUSE_MAX));
            }
            if due > now {
                holder.key.store(due, Ordering::Relaxed);
                list.insert((due, id), holder);
                continue;
            }
            holder.key.store(UNLISTED, Ordering::Relaxed);
            holder.asked.store(true, Ordering::Release);
            holder.waker.wake();
            taken += held;
            if taken >= wanted {
                break;
            }
        }
        PAUSE_MIN
    }

    fn millis(&self, at: Instant) -> u64 {
        millis(at.saturating_duration_since(self.0.epoch))
    }

    fn list(&self, holder: &Arc<Holder>) {
        let mut list = self.0.list.lock();
        if holder.key.load(Ordering::Relaxed) == UNLISTED {
            let due = holder.due.load(Ordering::Relaxed);
            holder.key.store(due, Ordering::Relaxed);
            list.insert((due, holder.id), Arc::clone(holder));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    // One less than what stands for "not listed": half a billion years.
    u64::try_from(duration.as_millis()).map_or(UNLISTED - 1, |n| n.min(UNLISTED - 1))
}

/// One connection's part in it. Leaves the list when it is dropped.
pub(crate) struct Holding {
    holders: Holders,
    limit: Millis,
    /// Made when it first holds something.
    holder: Option<Arc<Holder>>,
    /// What `holder` wakes.
    waker: Option<Waker>,
}

impl Holding {
    /// The connection, which has not got on since `since`, holds `held` bytes and waits for room for
    /// `wants` more, is about to wait.
    pub(crate) fn park(&mut self, cx: &Context<'_>, since: Instant, held: usize, wants: usize) {
        if self.limit.0 == 0 || (held == 0 && self.holder.is_none()) {
            return;
        }
        let holder = self.holder.get_or_insert_with(|| {
            Arc::new(Holder {
                id: self.holders.0.ids.fetch_add(1, Ordering::Relaxed),
                due: AtomicU64::new(0),
                held: AtomicUsize::new(0),
                wants: AtomicUsize::new(0),
                key: AtomicU64::new(UNLISTED),
                asked: AtomicBool::new(false),
                waker: AtomicWaker::new(),
            })
        });
        let due = self.holders.millis(since).saturating_add(self.limit.0);
        holder.due.store(due.min(UNLISTED - 1), Ordering::Relaxed);
        holder.held.store(held, Ordering::Relaxed);
        holder.wants.store(wants, Ordering::Relaxed);
        if held == 0 {
            return;
        }
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            holder.waker.register(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
        if holder.key.load(Ordering::Relaxed) == UNLISTED {
            self.holders.list(holder);
        }
        if holder.asked.load(Ordering::Acquire) {
            // Asked while it was running.
            cx.waker().wake_by_ref();
        }
    }

    /// Whether it has been asked to go, and has still not got on since `since`.
    pub(crate) fn must_go(&mut self, now: Instant, since: Instant) -> bool {
        let Some(holder) = &self.holder else {
            return false;
        };
        if !holder.asked.load(Ordering::Acquire) {
            return false;
        }
        holder.asked.store(false, Ordering::Relaxed);
        // It was used up by the question.
        self.waker = None;
        now.saturating_duration_since(since) >= Duration::from(self.limit)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(holder) = &self.holder {
            let mut list = self.holders.0.list.lock();
            let key = holder.key.load(Ordering::Relaxed);
            list.remove(&(key, holder.id));
        }
    }
}
