//! What happens without being asked for: passes that were scheduled, and what is due. A few tasks
//! serve all queues; there is none for a queue or a lease.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::handle::{Inner, Queue, millis};
use super::queues::Shared;

/// How many tasks run passes.
pub(super) const RUNNERS: usize = 2;
/// The longest sleep: clocks may be set.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Queues for which a pass is due.
#[derive(Debug, Default)]
pub(super) struct Runs {
    queues: Mutex<VecDeque<Arc<Inner>>>,
    wake: Notify,
}

impl Runs {
    pub(super) fn push(&self, queue: Arc<Inner>) {
        self.queues.lock().push_back(queue);
        self.wake.notify_one();
    }

    /// Lets go of the queues.
    pub(super) fn clear(&self) {
        self.queues.lock().clear();
    }

    fn pop(&self) -> Option<Arc<Inner>> {
        self.queues.lock().pop_front()
    }
}

/// A task that runs passes.
pub(super) async fn run(shared: Weak<Shared>) {
    let Some(mut shutdown) = shared.upgrade().map(|shared| shared.tasks.shutdown()) else {
        return;
    };
    while let Some(strong) = shared.upgrade() {
        let told = strong.runs.wake.notified();
        tokio::pin!(told);
        // Registered before the look, so that what is pushed in between is not missed.
        told.as_mut().enable();
        let Some(queue) = strong.runs.pop() else {
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                () = told => {}
            }
            continue;
        };
        queue.scheduled.store(false, Ordering::Release);
        queue.dispatch();
        drop(queue);
        tokio::task::yield_now().await;
    }
}

/// When something is due in which queue; the times are in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Timer {
    due: Mutex<Due>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Due {
    queues: BTreeMap<(i64, u64), Weak<Inner>>,
    next: u64,
}

impl Timer {
    /// Looks after `queue` at `at`. An earlier wish of the same queue stays.
    pub(super) fn arm(&self, at: i64, queue: Weak<Inner>) {
        let mut due = self.due.lock();
        let first = due
            .queues
            .first_key_value()
            .is_none_or(|((first, _), _)| at < *first);
        due.next += 1;
        let number = due.next;
        due.queues.insert((at, number), queue);
        drop(due);
        if first {
            self.wake.notify_one();
        }
    }

    /// The queues that are due, or how long until the first is.
    fn take(&self, now_ms: i64) -> Result<Vec<Weak<Inner>>, Duration> {
        let mut due = self.due.lock();
        let Some(((first, _), _)) = due.queues.first_key_value() else {
            return Err(SLEEP_MAX);
        };
        if *first > now_ms {
            let wait = u64::try_from(*first - now_ms).unwrap_or(0);
            return Err(Duration::from_millis(wait).min(SLEEP_MAX));
        }
        let later = due.queues.split_off(&(now_ms.saturating_add(1), 0));
        let ready = std::mem::replace(&mut due.queues, later);
        Ok(ready.into_values().collect())
    }
}

/// The task that looks after what is due.
pub(super) async fn watch(shared: Weak<Shared>) {
    let Some(mut shutdown) = shared.upgrade().map(|shared| shared.tasks.shutdown()) else {
        return;
    };
    while let Some(strong) = shared.upgrade() {
        let told = strong.timer.wake.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        match strong.timer.take(strong.clock.unix_ms()) {
            Ok(queues) => {
                for queue in queues.iter().filter_map(Weak::upgrade) {
                    queue.tick();
                    tokio::task::yield_now().await;
                }
            }
            Err(wait) => {
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = told => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

impl Inner {
    /// Something is due here.
    fn tick(&self) {
        let now_ms = self.shared.clock.unix_ms();
        let mut state = self.state.lock();
        if state.armed.is_some_and(|armed| armed <= now_ms) {
            state.armed = None;
        }
        let expires = state.settings.expires;
        let idle = expires.is_some_and(|after| {
            state.is_unused() && state.used_ms.saturating_add(millis(after)) <= now_ms
        });
        let deleted = state.deleted;
        drop(state);
        if deleted {
            return;
        }
        if idle && let Some(me) = self.me.upgrade() {
            self.shared.delete_later(Queue(me));
            return;
        }
        self.dispatch();
    }
}
