//! The committer: takes everything that has been queued since its last write, writes it once,
//! syncs it once, and lets everybody know (natural group commit). A second one of its kind serves
//! the streams that do not wait for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::StreamId;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::stream::Shared as StreamShared;
use crate::tail::Chunk;

/// A queued append.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) stream: Arc<StreamShared>,
    pub(crate) chunk: Chunk,
}

/// What is queued.
#[derive(Debug)]
pub(crate) enum Work {
    Append(Append),
    /// All of them or none.
    Group(Vec<Append>),
    Removed(StreamId),
}

impl Work {
    fn bytes(&self) -> u64 {
        match self {
            Self::Append(append) => append.chunk.len() as u64,
            Self::Group(appends) => appends.iter().map(|append| append.chunk.len() as u64).sum(),
            Self::Removed(_) => 0,
        }
    }
}

/// What waits for a committer.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    work: Condvar,
    done: Condvar,
    /// Bytes queued or being written.
    bytes: AtomicU64,
    bytes_max: u64,
    room: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<Work>,
    pushed: u64,
    done: u64,
    /// Nothing more is taken; what is there is still done.
    closed: bool,
    /// Nobody does anything any more.
    over: bool,
}

impl Queue {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            inner: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            bytes: AtomicU64::new(0),
            bytes_max,
            room: Notify::new(),
        }
    }

    /// Whether another append may be queued.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.bytes_max
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until there is room, and `also` holds.
    pub(crate) async fn room(&self, also: impl Fn() -> bool) {
        loop {
            // Made before the look, so that what happens in between is not missed.
            let told = self.room.notified();
            if (self.has_room() && also()) || self.inner.lock().closed {
                return;
            }
            told.await;
        }
    }

    /// There may be room again.
    pub(crate) fn wake_room(&self) {
        self.room.notify_waiters();
    }

    /// Queues; its place is the order of calls. Nothing is taken any more once it is closed.
    pub(crate) fn push(&self, work: Work) -> bool {
        let bytes = work.bytes();
        let mut inner = self.inner.lock();
        if inner.closed {
            return false;
        }
        inner.pushed += 1;
        let first = inner.waiting.is_empty();
        inner.waiting.push(work);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        drop(inner);
        if first {
            self.work.notify_one();
        }
        true
    }

    /// Waits for work; `None` when the queue is closed and empty. The vector that is handed in
    /// becomes the new queue.
    pub(crate) fn take(&self, spent: Vec<Work>) -> Option<Vec<Work>> {
        let mut inner = self.inner.lock();
        while inner.waiting.is_empty() {
            if inner.closed {
                return None;
            }
            self.work.wait(&mut inner);
        }
        Some(std::mem::replace(&mut inner.waiting, spent))
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.lock().waiting.is_empty()
    }

    /// What was taken is done.
    pub(crate) fn finish(&self, works: &[Work]) {
        let bytes: u64 = works.iter().map(Work::bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        inner.done += works.len() as u64;
        self.done.notify_all();
        drop(inner);
        self.room.notify_waiters();
    }

    /// Waits until everything queued by now is done, or never will be. Blocks.
    pub(crate) fn wait_done(&self) {
        let mut inner = self.inner.lock();
        let target = inner.pushed;
        while inner.done < target && !inner.over {
            self.done.wait(&mut inner);
        }
    }

    /// Waits until its thread has come to its end, which it does once the queue is closed. Blocks.
    pub(crate) fn wait_over(&self) {
        let mut inner = self.inner.lock();
        while !inner.over {
            self.done.wait(&mut inner);
        }
    }

    /// What its thread holds as long as it serves the queue.
    pub(crate) fn serve(&self) -> Serving<'_> {
        Serving(self)
    }

    /// Takes nothing more; what is queued is still done.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.work.notify_all();
        self.room.notify_waiters();
    }
}

/// Dropped when a queue's thread ends, however it does: nobody waits for it in vain.
#[derive(Debug)]
pub(crate) struct Serving<'a>(&'a Queue);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        (inner.closed, inner.over) = (true, true);
        self.0.done.notify_all();
        drop(inner);
        self.0.room.notify_waiters();
    }
}
