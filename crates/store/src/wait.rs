//! Waiting for an offset to be passed: no polling, and only those are woken who have their wish.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, RwLock};

/// An offset that only rises, and those who wait for it.
#[derive(Debug)]
pub(crate) struct Mark {
    at: AtomicU64,
    /// Set when it will not rise any more.
    over: AtomicBool,
    waiting: Mutex<Waiting>,
    listener: RwLock<Option<Listener>>,
}

/// Is called whenever a mark has risen, or will not rise any more.
pub(crate) struct Listener(pub(crate) Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

#[derive(Debug, Default)]
struct Waiting {
    /// By the offset that has to be reached, then by a number of their own.
    wakers: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

impl Mark {
    pub(crate) fn new(at: u64) -> Self {
        Self {
            at: AtomicU64::new(at),
            over: AtomicBool::new(false),
            waiting: Mutex::default(),
            listener: RwLock::new(None),
        }
    }

    /// Calls `listener` whenever it has risen, in the place of whoever was called before.
    pub(crate) fn listen(&self, listener: Listener) {
        *self.listener.write() = Some(listener);
    }

    pub(crate) fn get(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }

    /// Raises it, and wakes whoever waited for this.
    pub(crate) fn raise(&self, to: u64) {
        if self.at.fetch_max(to, Ordering::AcqRel) >= to {
            return;
        }
        self.wake(to);
        self.tell();
    }

    fn wake(&self, to: u64) {
        let ready = {
            let mut waiting = self.waiting.lock();
            if waiting.wakers.is_empty() {
                return;
            }
            let later = waiting.wakers.split_off(&(to + 1, 0));
            std::mem::replace(&mut waiting.wakers, later)
        };
        ready.into_values().for_each(Waker::wake);
    }

    /// It will not rise any more: wakes everybody.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        let all = std::mem::take(&mut self.waiting.lock().wakers);
        all.into_values().for_each(Waker::wake);
        self.tell();
    }

    fn tell(&self) {
        if let Some(Listener(listener)) = &*self.listener.read() {
            listener();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits until it is at least `target`; false when it never will be.
    pub(crate) fn reach(self: &Arc<Self>, target: u64) -> Reach {
        Reach {
            mark: self.clone(),
            target,
            place: None,
        }
    }
}

/// See [`Mark::reach`].
#[derive(Debug)]
pub(crate) struct Reach {
    mark: Arc<Mark>,
    target: u64,
    place: Option<u64>,
}

impl Reach {
    fn outcome(&self) -> Option<bool> {
        if self.mark.get() >= self.target {
            return Some(true);
        }
        self.mark.is_over().then_some(false)
    }
}

impl Future for Reach {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        let mark = self.mark.clone();
        let mut waiting = mark.waiting.lock();
        // It may have risen before the lock was taken; later risers find the waker.
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        let place = *self.place.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        waiting
            .wakers
            .insert((self.target, place), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.mark
                .waiting
                .lock()
                .wakers
                .remove(&(self.target, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_when_the_target_is_reached() {
        let mark = Arc::new(Mark::new(3));
        assert!(mark.reach(3).await);
        let mut wait = Box::pin(mark.reach(5));
        let polled =
            std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_ready())).await;
        assert!(!polled);
        mark.raise(4);
        assert_eq!(mark.waiting.lock().wakers.len(), 1, "not yet");
        mark.raise(5);
        assert!(mark.waiting.lock().wakers.is_empty());
        assert!(wait.await);
    }

    #[tokio::test]
    async fn an_ended_mark_says_no_and_a_dropped_wait_leaves_nothing() {
        let mark = Arc::new(Mark::new(0));
        let mut wait = Box::pin(mark.reach(1));
        std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_ready())).await;
        drop(wait);
        assert!(mark.waiting.lock().wakers.is_empty());
        mark.end();
        assert!(!mark.reach(1).await);
    }
}
