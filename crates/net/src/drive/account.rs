//! A connection's charges against the process's memory ledger.
//!
//! One charge per connection, adjusted once per turn of the loop, instead of one per request: the
//! sum is what matters, and a request then costs no atomic operation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use base::{Charge, Ledger};

/// Charged bytes that are not given back before this many have gathered.
const SLACK: usize = 16 << 10;

struct Wait {
    since: Instant,
    bytes: usize,
    charge: Pin<Box<dyn Future<Output = Charge> + Send>>,
}

pub(super) struct Account {
    ledger: Ledger,
    charge: Option<Charge>,
    waiting: Option<Wait>,
}

impl Account {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            charge: None,
            waiting: None,
        }
    }

    fn charged(&self) -> usize {
        self.charge.as_ref().map_or(0, Charge::bytes)
    }

    fn add(&mut self, more: Charge) {
        match &mut self.charge {
            Some(charge) => charge.merge(more),
            None => self.charge = Some(more),
        }
    }

    /// Whether the connection may come to hold `total` bytes; else it waits for room.
    ///
    /// A small buffer is allowed without being charged if there is room: most are given back
    /// within the same turn, and [`Account::settle`] charges those that are not.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        total: usize,
    ) -> Poll<()> {
        let missing = total.saturating_sub(self.charged());
        let fits = self.ledger.used().saturating_add(missing) <= self.ledger.limit();
        if missing == 0 || (fits && missing <= SLACK) {
            self.waiting = None;
            return Poll::Ready(());
        }
        if self.waiting.is_none() {
            if let Some(more) = self.ledger.try_charge(missing) {
                self.add(more);
                return Poll::Ready(());
            }
            let ledger = self.ledger.clone();
            self.waiting = Some(Wait {
                since: now,
                bytes: missing,
                charge: Box::pin(async move { ledger.charge(missing).await }),
            });
        }
        let Some(waiting) = &mut self.waiting else {
            return Poll::Pending;
        };
        let more = ready!(waiting.charge.as_mut().poll(cx));
        self.waiting = None;
        self.add(more);
        Poll::Ready(())
    }

    /// The room is not needed any more.
    pub(super) fn stop_waiting(&mut self) {
        self.waiting = None;
    }

    /// Since when it waits for room, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.since)
    }

    /// For how many bytes it waits.
    pub(super) fn wants(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    /// Adjusts the charge to what is held: what is allocated already is charged whether it fits or
    /// not, what is charged too much goes back.
    pub(super) fn settle(&mut self, held: usize) {
        let charged = self.charged();
        if held > charged {
            let more = self.ledger.force_charge(held - charged);
            self.add(more);
        } else if held == 0 {
            self.charge = None;
        } else if charged - held >= SLACK
            && let Some(charge) = &mut self.charge
        {
            drop(charge.split(charged - held));
        }
    }
}
