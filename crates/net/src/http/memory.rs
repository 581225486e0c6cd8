//! What HTTP connections hold, charged to the process's ledger.
//!
//! Three things: headers that are on their way in (until their request is answered), bodies (the
//! same), and pieces of answers until the socket has taken them. All of it is charged to a second
//! ledger besides, so that HTTP cannot fill the process's: [`HttpConfig::memory_max`]. Headers have
//! one of their own in turn: who is not served yet still hears that he will not be.
//!
//! How large an answer is turns out when it is made. So a [`Gate`] stands before each step that may
//! make one: where there is no room nothing is made, and what is made is charged before the next.
//!
//! [`HttpConfig::memory_max`]: super::HttpConfig::memory_max

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use base::{Charge, Clock, Ledger, Millis};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::io::Activity;

/// Room that has to be there before something of unknown size is made or read.
const ROOM: usize = 8 << 10;
/// Pieces of an answer that are shorter are not charged: the charge would cost more than they do.
const CHARGED_MIN: usize = 1024;

/// How much of HTTP's memory is for headers.
const HEADERS_PART: usize = 4;

/// The process's ledger and HTTP's share of it.
#[derive(Clone, Debug)]
pub(super) struct Ledgers {
    pub(super) all: Ledger,
    /// For bodies and answers.
    pub(super) share: Ledger,
    pub(super) headers: Ledger,
}

impl Ledgers {
    pub(super) fn new(all: Ledger, memory_max: usize) -> Self {
        let share = memory_max.min(all.limit() / 2);
        Self {
            all,
            share: Ledger::new(share),
            headers: Ledger::new(share / HEADERS_PART),
        }
    }

    /// Charges `bytes` of a body as soon as they fit, within `wait` (0: however long).
    pub(super) async fn charge(&self, bytes: usize, wait: Millis) -> Option<Charges> {
        let charges = async {
            let part = self.share.charge(bytes).await;
            let all = self.all.charge(bytes).await;
            Charges { all, part }
        };
        if wait.0 == 0 {
            return Some(charges.await);
        }
        timeout(wait.into(), charges).await.ok()
    }

    /// Charges `bytes` that exist already to `part`.
    pub(super) fn force_charge(&self, part: &Ledger, bytes: usize) -> Charges {
        Charges {
            all: self.all.force_charge(bytes),
            part: part.force_charge(bytes),
        }
    }

    fn full<'a>(&'a self, part: &'a Ledger) -> Option<&'a Ledger> {
        // A budget of less than that is full when anything is charged to it.
        let is_full = |ledger: &&Ledger| ledger.used() + ROOM.min(ledger.limit()) > ledger.limit();
        [part, &self.all].into_iter().find(is_full)
    }
}

/// The same bytes in the process's ledger and in a part of HTTP's.
#[derive(Debug)]
pub(super) struct Charges {
    all: Charge,
    part: Charge,
}

impl Charges {
    pub(super) fn bytes(&self) -> usize {
        self.all.bytes()
    }

    pub(super) fn merge(&mut self, more: Self) {
        self.all.merge(more.all);
        self.part.merge(more.part);
    }
}

/// Adds to a charge that may not be there yet.
pub(super) fn merge(all: &mut Option<Charges>, more: Charges) {
    match all {
        Some(all) => all.merge(more),
        None => *all = Some(more),
    }
}

/// Lets nothing pass while a ledger is full.
#[derive(Default)]
pub(super) struct Gate {
    waiting: Option<BoxFuture<'static, Charge>>,
}

impl Gate {
    /// Ready when there is room in `part` and in the process's ledger, which it does not take.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ledgers: &Ledgers,
        part: &Ledger,
    ) -> Poll<()> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                // What is granted is the word that there was room. It goes back: others may have
                // made something since, so it is looked at again.
                drop(ready!(waiting.poll_unpin(cx)));
                self.waiting = None;
            }
            let Some(full) = ledgers.full(part).cloned() else {
                return Poll::Ready(());
            };
            self.waiting = Some(async move { full.charge(ROOM).await }.boxed());
        }
    }
}

/// Polls `answer` only where the gate is open, for `wait` at most each time (0: however long);
/// `None` when it was shut for longer.
pub(super) async fn gated<T>(
    answer: impl Future<Output = T>,
    ledgers: &Ledgers,
    wait: Millis,
) -> Option<T> {
    let mut answer = pin!(answer);
    let mut gate = Gate::default();
    loop {
        let open = poll_fn(|cx| gate.poll(cx, ledgers, &ledgers.share));
        if wait.0 == 0 {
            open.await;
        } else if timeout(wait.into(), open).await.is_err() {
            return None;
        }
        let mut polled = false;
        let answered = poll_fn(|cx| {
            // Woken: the gate comes first.
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(None);
            }
            answer.as_mut().poll(cx).map(Some)
        });
        if let Some(answered) = answered.await {
            return Some(answered);
        }
    }
}

/// A piece of an answer, charged until whoever sends it lets it go.
struct Piece {
    bytes: Bytes,
    charges: Charges,
    activity: Arc<Activity>,
    clock: Clock,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = self.charges.bytes();
        self.activity.release(bytes, self.clock.now());
    }
}

/// The same bytes, charged. They exist, so the charge is forced.
pub(super) fn charged(bytes: Bytes, ledgers: &Ledgers, at: &Arc<Activity>, clock: &Clock) -> Bytes {
    if bytes.len() < CHARGED_MIN {
        return bytes;
    }
    let charges = ledgers.force_charge(&ledgers.share, bytes.len());
    at.hold(charges.bytes(), clock.now());
    Bytes::from_owner(Piece {
        bytes,
        charges,
        activity: Arc::clone(at),
        clock: clock.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the gate before the headers is open.
    async fn is_open(ledgers: &Ledgers) -> bool {
        let mut gate = Gate::default();
        poll_fn(|cx| Poll::Ready(gate.poll(cx, ledgers, &ledgers.headers).is_ready())).await
    }

    #[tokio::test]
    async fn a_gate_shuts_when_a_ledger_is_full_however_small() {
        for (limit, memory_max) in [(1 << 20, 1 << 20), (1 << 20, 1000), (1 << 20, 0), (100, 0)] {
            let ledgers = Ledgers::new(Ledger::new(limit), memory_max);
            assert!(is_open(&ledgers).await, "{memory_max} of {limit}");
            let charges = ledgers.force_charge(&ledgers.headers, 1 << 20);
            assert!(!is_open(&ledgers).await, "{memory_max} of {limit}");
            drop(charges);
            assert!(is_open(&ledgers).await, "{memory_max} of {limit}");
        }
    }

    #[tokio::test]
    async fn who_waits_at_a_gate_goes_through_when_there_is_room() {
        let ledgers = Ledgers::new(Ledger::new(1 << 20), 1 << 20);
        let charges = ledgers.force_charge(&ledgers.share, 1 << 20);
        let mut answer = pin!(gated(async { 7 }, &ledgers, Millis(0)));
        let waits = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        drop(charges);
        assert_eq!(answer.await, Some(7));
    }
}
