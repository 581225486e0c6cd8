//! The one loop that moves bytes between a socket and a session.
//!
//! A connection is one task. Each turn goes from source to sink: what is late, read, take calls,
//! poll replies, write; until nothing moves, then the task waits for whichever of the socket, a
//! call or the alarm comes first. Each step is braked by the limit of the next: a peer that does
//! not read fills the output, so replies are not polled, so calls stay open, so nothing is taken
//! from the input, so nothing is read, and the peer's TCP window closes. What is ready together
//! leaves together, in one vectored write.
//!
//! | module | what it holds |
//! |---|---|
//! | `connection` | the turn |
//! | `input` | the read buffer |
//! | `calls` | calls in lanes, subscriptions |
//! | `account` | charges against the memory ledger |
//! | `alarm` | the one timer |

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use base::{Clock, Ledger};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use self::connection::Connection;
use crate::config::Limits;
use crate::head::{Close, Head, Peer};
use crate::holders::Holders;
use crate::metrics::{HeadMetrics, Metrics};
use crate::socket::Transport;

mod account;
pub(crate) mod alarm;
mod calls;
mod connection;
mod input;
#[cfg(test)]
pub(crate) mod tests;

/// What all connections of one listener share.
#[derive(Debug)]
pub struct Shared<H> {
    pub(crate) head: H,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) holders: Holders,
    pub(crate) metrics: HeadMetrics,
}

impl<H: Head> Shared<H> {
    /// A head with what its connections need.
    #[must_use]
    pub fn new(
        head: H,
        limits: Limits,
        clock: Clock,
        ledger: Ledger,
        holders: Holders,
        metrics: &Metrics,
    ) -> Self {
        Self {
            head,
            limits,
            clock,
            ledger,
            holders,
            metrics: metrics.head(H::NAME),
        }
    }
}

/// The signal that connections are to end their calls and close; cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

/// Gives the signal to all its [`Drain`]s.
#[derive(Debug)]
pub struct DrainSwitch(watch::Sender<bool>);

impl Default for DrainSwitch {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl DrainSwitch {
    /// A receiver of the signal.
    #[must_use]
    pub fn listener(&self) -> Drain {
        Drain(self.0.subscribe())
    }

    /// Gives the signal; for good.
    pub fn drain(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    /// Waits for the signal. A switch that is gone is a signal too.
    pub async fn requested(&mut self) {
        let _ = self.0.wait_for(|drain| *drain).await;
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// Serves one connection until its end, and says why it ended. `opened` is when it was accepted:
/// the handshake limit counts from there.
pub async fn drive<H: Head, T: Transport>(
    shared: Arc<Shared<H>>,
    peer: Peer,
    socket: T,
    opened: Instant,
    mut drain: Drain,
) -> Close {
    let addr = peer.addr;
    let session = shared.head.open(shared.clock.now(), &peer);
    drop(peer);
    let mut connection = Connection::new(Arc::clone(&shared), session, socket, opened);
    let mut draining = false;
    let close = loop {
        tokio::select! {
            biased;
            close = poll_fn(|cx| connection.poll(cx)) => break close,
            () = drain.requested(), if !draining => {
                draining = true;
                connection.drain();
            }
        }
    };
    debug!(head = H::NAME, %addr, reason = %close, "connection ends");
    if connection.farewell(&close) {
        let flush_max = shared.limits.flush_max.into();
        // Not in time: the peer does not read, and loses the last words.
        let _ = timeout(flush_max, poll_fn(|cx| connection.poll_flush(cx))).await;
        connection.linger().await;
    }
    shared.metrics.closed(close.label());
    close
}
