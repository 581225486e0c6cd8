//! What an HTTP connection holds, charged to the process's ledger.
//!
//! Three things: headers that are on their way in (until their request is answered), bodies on
//! their way in, and pieces of answers until the socket has taken them. Bodies have a ledger of
//! their own besides, so that they cannot fill the process's: [`HttpConfig::bodies_bytes_max`].
//!
//! [`HttpConfig::bodies_bytes_max`]: super::HttpConfig::bodies_bytes_max

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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

/// The two ledgers.
#[derive(Clone, Debug)]
pub(super) struct Ledgers {
    pub(super) all: Ledger,
    pub(super) bodies: Ledger,
}

impl Ledgers {
    /// Charges a piece of a body to both as soon as it fits, within `wait` (0: however long).
    pub(super) async fn body(&self, bytes: usize, wait: Millis) -> Option<(Charge, Charge)> {
        let charges = async {
            let body = self.bodies.charge(bytes).await;
            (body, self.all.charge(bytes).await)
        };
        if wait.0 == 0 {
            return Some(charges.await);
        }
        timeout(wait.into(), charges).await.ok()
    }
}

/// Lets nothing pass while the ledger is full.
#[derive(Default)]
pub(super) struct Gate {
    waiting: Option<BoxFuture<'static, Charge>>,
}

impl Gate {
    /// Ready when there is room in `ledger`, which it does not take.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, ledger: &Ledger) -> Poll<()> {
        if self.waiting.is_none() {
            if ledger.used().saturating_add(ROOM) <= ledger.limit() {
                return Poll::Ready(());
            }
            let ledger = ledger.clone();
            self.waiting = Some(async move { ledger.charge(ROOM).await }.boxed());
        }
        let ready = self
            .waiting
            .as_mut()
            .is_none_or(|waiting| waiting.as_mut().poll(cx).is_ready());
        if !ready {
            return Poll::Pending;
        }
        self.waiting = None;
        Poll::Ready(())
    }
}

/// A piece of an answer, charged until whoever sends it lets it go.
struct Piece {
    bytes: Bytes,
    charge: Charge,
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
        self.activity.release(self.charge.bytes(), self.clock.now());
    }
}

/// The same bytes, charged. They exist, so the charge is forced.
pub(super) fn charged(bytes: Bytes, ledger: &Ledger, at: &Arc<Activity>, clock: &Clock) -> Bytes {
    if bytes.len() < CHARGED_MIN {
        return bytes;
    }
    let charge = ledger.force_charge(bytes.len());
    at.hold(charge.bytes());
    Bytes::from_owner(Piece {
        bytes,
        charge,
        activity: Arc::clone(at),
        clock: clock.clone(),
    })
}

/// Waits for [`Gate`] outside of a poll; whether it opened within `wait` (0: however long).
pub(super) async fn room(ledger: &Ledger, wait: Millis) -> bool {
    let mut gate = Gate::default();
    let open = std::future::poll_fn(|cx| Pin::new(&mut gate).get_mut().poll(cx, ledger));
    if wait.0 == 0 {
        open.await;
        return true;
    }
    timeout(wait.into(), open).await.is_ok()
}
