//! The memory ledger: one number that the operator sets, and every buffer charged against it.
//!
//! A [`Ledger`] is the process's budget. Whoever is about to hold bytes on somebody else's behalf
//! takes a [`Charge`] first: at once ([`Ledger::try_charge`], else refuse) or when there is room
//! ([`Ledger::charge`], else wait). Dropping the charge gives the bytes back. The ledger counts
//! promises, not the allocator's pages: fixed costs (code, indexes, stacks) are outside it.
//!
//! Who waits is served in the order of arrival, by whoever gives something back: nobody is woken
//! for nothing. There are two lines, and the one for little goes first: otherwise a few that want
//! much, and will not get it soon, would hold up everybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Who wants up to this many bytes waits in the line for little.
const LITTLE: usize = 64 << 10;
/// How many of each line are looked at for one who fits: all of them would cost each release time
/// in proportion to who waits.
const LOOK: usize = 16;

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
    /// How many wait, and for how many bytes together.
    waiting: AtomicUsize,
    wanted: AtomicUsize,
    lines: Mutex<Lines>,
    short: Notify,
}

/// Who waits, by order of arrival.
#[derive(Debug, Default)]
struct Lines {
    next: u64,
    little: BTreeMap<u64, Waiter>,
    much: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Charge>,
}

impl Lines {
    fn of(&mut self, bytes: usize) -> &mut BTreeMap<u64, Waiter> {
        if bytes <= LITTLE {
            &mut self.little
        } else {
            &mut self.much
        }
    }
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
            wanted: AtomicUsize::new(0),
            lines: Mutex::default(),
            short: Notify::new(),
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

    /// Takes `bytes` as soon as they fit and it is their turn. A request larger than the whole
    /// budget never would: it is cut to the budget, so that it waits for everything else to be
    /// given back.
    pub async fn charge(&self, bytes: usize) -> Charge {
        let bytes = bytes.min(self.0.limit);
        if let Some(charge) = self.take(bytes) {
            return charge;
        }
        match self.stand_in_line(bytes) {
            Ok(charge) => charge,
            Err((_place, granted)) => granted
                .await
                .expect("who leaves the line while its place lives has got a charge"),
        }
    }

    fn stand_in_line(&self, bytes: usize) -> Result<Charge, (Place, oneshot::Receiver<Charge>)> {
        let inner = &self.0;
        let mut lines = inner.lines.lock();
        // Announced before the second look: who gives back after it sees that somebody waits.
        inner.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(charge) = self.take(bytes) {
            inner.waiting.fetch_sub(1, Ordering::SeqCst);
            return Ok(charge);
        }
        inner.waited.fetch_add(1, Ordering::Relaxed);
        inner.wanted.fetch_add(bytes, Ordering::Relaxed);
        let id = lines.next;
        lines.next += 1;
        let (granted, grant) = oneshot::channel();
        lines.of(bytes).insert(id, Waiter { bytes, granted });
        drop(lines);
        inner.short.notify_waiters();
        let ledger = self.clone();
        Err((Place { ledger, bytes, id }, grant))
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.grant();
        }
    }

    /// Gives what is free to those whose turn it is.
    fn grant(&self) {
        loop {
            let mut lines = self.0.lines.lock();
            let Some((waiter, charge)) = self.next(&mut lines) else {
                return;
            };
            drop(lines);
            if let Err(mut unwanted) = waiter.granted.send(charge) {
                // Its future is being dropped. Given back by hand: a drop would come here again.
                let bytes = std::mem::take(&mut unwanted.bytes);
                self.0.used.fetch_sub(bytes, Ordering::SeqCst);
            }
        }
    }

    fn next(&self, lines: &mut Lines) -> Option<(Waiter, Charge)> {
        for line in [&mut lines.little, &mut lines.much] {
            let fits = |(id, waiter): (&u64, &Waiter)| Some((*id, self.take(waiter.bytes)?));
            if let Some((id, charge)) = line.iter().take(LOOK).find_map(fits) {
                return line.remove(&id).map(|waiter| (waiter, charge));
            }
        }
        None
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
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
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

    /// How many bytes those who wait for room want together.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.0.wanted.load(Ordering::Relaxed)
    }

    /// Waits until somebody waits for room.
    pub async fn shortage(&self) {
        loop {
            let short = self.0.short.notified();
            tokio::pin!(short);
            // Registered before the look, so that who comes between is not missed.
            short.as_mut().enable();
            if self.is_short() {
                return;
            }
            short.await;
        }
    }

    /// How many requests had to wait.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.0.waited.load(Ordering::Relaxed)
    }
}

/// The place in line of somebody who waits, until it goes, however it goes.
struct Place {
    ledger: Ledger,
    bytes: usize,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.ledger.0;
        let left = inner.lines.lock().of(self.bytes).remove(&self.id);
        inner.wanted.fetch_sub(self.bytes, Ordering::Relaxed);
        inner.waiting.fetch_sub(1, Ordering::SeqCst);
        drop(left);
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
            self.ledger.give_back(self.bytes);
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

    #[tokio::test]
    async fn serves_in_order_of_arrival_and_who_wants_little_before_who_wants_much() {
        let ledger = Ledger::new(10 * LITTLE);
        let mut held = ledger.try_charge(10 * LITTLE).unwrap();
        let much = crate::Tasks::current().spawn("test.waiter", {
            let ledger = ledger.clone();
            async move { ledger.charge(5 * LITTLE).await }
        });
        ledger.shortage().await;
        let little: Vec<_> = (0..3)
            .map(|_| {
                let ledger = ledger.clone();
                crate::Tasks::current()
                    .spawn("test.waiter", async move { ledger.charge(LITTLE).await })
            })
            .collect();
        while ledger.wanted() < 8 * LITTLE {
            tokio::task::yield_now().await;
        }
        drop(held.split(2 * LITTLE));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let done: Vec<bool> = little.iter().map(|task| task.is_finished()).collect();
        assert_eq!((done, much.is_finished()), (vec![true, true, false], false));
        drop(held);
        let mut all = vec![much.await.unwrap()];
        for task in little {
            all.push(task.await.unwrap());
        }
        assert_eq!((ledger.used(), ledger.wanted()), (8 * LITTLE, 0));
        assert!(!ledger.is_short());
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let ledger = Ledger::new(10);
        let held = ledger.try_charge(10).unwrap();
        let waiting = crate::Tasks::current().spawn("test.waiter", {
            let ledger = ledger.clone();
            async move { ledger.charge(4).await }
        });
        ledger.shortage().await;
        waiting.abort();
        assert!(waiting.await.is_err());
        assert!(!ledger.is_short());
        assert_eq!(ledger.wanted(), 0);
        drop(held);
        assert_eq!(ledger.used(), 0, "nothing was given to who is gone");
    }
}
