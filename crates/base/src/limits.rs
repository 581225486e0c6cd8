//! The memory ledger: one number that the operator sets, and every buffer charged against it.
//!
//! A [`Ledger`] is the process's budget. Whoever is about to hold bytes on somebody else's behalf
//! takes a [`Charge`] first: at once ([`Ledger::try_charge`], else refuse) or when there is room
//! ([`Ledger::charge`], else wait). Dropping the charge gives the bytes back. The ledger counts
//! promises, not the allocator's pages: fixed costs (code, indexes, stacks) are outside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The process's memory budget, in bytes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    refused: AtomicU64,
    waited: AtomicU64,
    waiting: AtomicUsize,
    freed: Notify,
}

impl Ledger {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }))
    }

    /// Takes `bytes` now, or nothing when they don't fit (counted as refused).
    #[must_use]
    pub fn try_charge(&self, bytes: usize) -> Option<Charge> {
        let charge = self.take(bytes);
        if charge.is_none() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        charge
    }

    /// Takes `bytes` as soon as they fit. A request larger than the whole budget never would:
    /// it is cut to the budget, so that it waits for everything else to be given back.
    pub async fn charge(&self, bytes: usize) -> Charge {
        let bytes = bytes.min(self.0.limit);
        if let Some(charge) = self.take(bytes) {
            return charge;
        }
        self.0.waited.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting::new(&self.0);
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // Registered before the second look, so that what is freed between is not missed.
            freed.as_mut().enable();
            if let Some(charge) = self.take(bytes) {
                return charge;
            }
            freed.await;
        }
    }

    /// Takes `bytes` whether they fit or not: for what is already allocated and may not be
    /// refused (replayed data at recovery). Others wait until it is paid back.
    pub fn force_charge(&self, bytes: usize) -> Charge {
        let used = self.0.used.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.0.peak.fetch_max(used, Ordering::Relaxed);
        Charge {
            ledger: self.clone(),
            bytes,
        }
    }

    fn take(&self, bytes: usize) -> Option<Charge> {
        let limit = self.0.limit;
        let previous = self
            .0
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            })
            .ok()?;
        self.0.peak.fetch_max(previous + bytes, Ordering::Relaxed);
        Some(Charge {
            ledger: self.clone(),
            bytes,
        })
    }

    /// Bytes charged now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes ever charged at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// The budget in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many requests were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for room now.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    /// How many requests had to wait.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.0.waited.load(Ordering::Relaxed)
    }
}

/// Counts somebody who waits, until it goes, however it goes.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.waiting.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes taken from a [`Ledger`]; dropping it gives them back.
#[derive(Debug)]
#[must_use = "a charge that is dropped at once charges nothing"]
pub struct Charge {
    ledger: Ledger,
    bytes: usize,
}

impl Charge {
    /// How many bytes it stands for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Cuts `bytes` (at most what it holds) off into a charge of their own.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            ledger: self.ledger.clone(),
            bytes,
        }
    }

    /// Adds another charge of the same ledger to this one.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.ledger.0, &other.ledger.0));
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.ledger.0.used.fetch_sub(self.bytes, Ordering::AcqRel);
            self.ledger.0.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_does_not_fit_and_takes_it_back() {
        let ledger = Ledger::new(100);
        let mut first = ledger.try_charge(80).unwrap();
        assert!(ledger.try_charge(21).is_none());
        assert_eq!(ledger.refused(), 1);
        let half = first.split(40);
        drop(first);
        assert_eq!(ledger.used(), 40);
        drop(half);
        assert_eq!((ledger.used(), ledger.peak()), (0, 80));
    }

    #[tokio::test]
    async fn a_waiter_gets_what_another_gives_back() {
        let ledger = Ledger::new(10);
        let held = ledger.try_charge(10).unwrap();
        let freeing = async {
            assert!(ledger.is_short());
            drop(held);
        };
        let (got, ()) = tokio::join!(ledger.charge(5), freeing);
        assert!(!ledger.is_short());
        assert_eq!(got.bytes(), 5);
        assert_eq!(ledger.waited(), 1);
    }
}
