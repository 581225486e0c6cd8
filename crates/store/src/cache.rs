//! How much of the streams' tails is in memory, and whose turn it is to go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::stream::Shared as StreamShared;

/// Counts what tails hold; what is in segments goes when it is too much, the oldest first.
#[derive(Debug)]
pub(crate) struct Cache {
    bytes: AtomicU64,
    bytes_max: u64,
    order: Mutex<VecDeque<Flushed>>,
}

#[derive(Debug)]
struct Flushed {
    stream: Weak<StreamShared>,
    next: u64,
    bytes: u64,
}

impl Cache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            bytes_max,
            order: Mutex::default(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn added(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// `bytes` of a stream, up to `next`, are in segments: they may go when they have to. The
    /// caller holds no lock of a stream's tail.
    pub(crate) fn flushed(&self, stream: &Arc<StreamShared>, next: u64, bytes: usize) {
        let bytes = bytes as u64;
        let mut order = self.order.lock();
        order.push_back(Flushed {
            stream: Arc::downgrade(stream),
            next,
            bytes,
        });
        self.shrink(&mut order, self.bytes_max);
    }

    /// Forgets everything that is in segments. The caller holds no lock of a stream's tail.
    pub(crate) fn clear(&self) {
        self.shrink(&mut self.order.lock(), 0);
    }

    fn shrink(&self, order: &mut VecDeque<Flushed>, bytes_max: u64) {
        while self.bytes() > bytes_max {
            let Some(oldest) = order.pop_front() else {
                break;
            };
            self.bytes.fetch_sub(oldest.bytes, Ordering::Relaxed);
            if let Some(stream) = oldest.stream.upgrade() {
                stream.tail.lock().forget(oldest.next);
            }
        }
    }

    /// What a stream has in segments below `below` goes at once. The caller holds no lock of a
    /// stream's tail.
    pub(crate) fn forget(&self, stream: &Arc<StreamShared>, below: u64) {
        let mut order = self.order.lock();
        let mut gone = stream.tail.lock().forget(below);
        let this = Arc::downgrade(stream);
        // They are the oldest of what is noted for the stream.
        for flushed in order.iter_mut().filter(|f| f.stream.ptr_eq(&this)) {
            let taken = flushed.bytes.min(gone);
            flushed.bytes -= taken;
            gone -= taken;
            self.bytes.fetch_sub(taken, Ordering::Relaxed);
            if gone == 0 {
                break;
            }
        }
        order.retain(|flushed| flushed.bytes > 0);
    }

    /// A stream is gone with this much that was in no segment.
    pub(crate) fn dropped(&self, unflushed: usize) {
        self.bytes.fetch_sub(unflushed as u64, Ordering::Relaxed);
    }
}
