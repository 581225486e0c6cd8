//! How a connection ends: it drains, says its last words, hears the peer's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::super::input::Input;
use super::{Connection, after};
use crate::head::{Close, Head, Session};
use crate::linger::linger;
use crate::output::Output;
use crate::socket::Transport;

impl<H: Head, T: Transport> Connection<H, T> {
    /// Takes no more calls, drops subscriptions, ends when the calls in flight have.
    pub(in crate::drive) fn drain(&mut self) {
        let now = self.shared.clock.now();
        let limit = self.shared.limits.drain_max;
        self.times.drain = Some(after(now, limit).unwrap_or(now));
        self.subscriptions = None;
        self.drop_unstarted();
    }

    fn drop_unstarted(&mut self) {
        if self.unstarted.take().is_some() {
            self.account.stop_waiting();
        }
    }

    /// Cancels everything and has the session say its last words; whether anybody may hear them.
    pub(in crate::drive) fn farewell(&mut self, close: &Close) -> bool {
        self.calls.clear();
        self.subscriptions = None;
        self.drop_unstarted();
        self.input = Input::new();
        let hears = !matches!(close, Close::Peer | Close::Io(_) | Close::Slow);
        if matches!(close, Close::Slow) {
            // What it holds is what others wait for.
            self.output = Output::new();
        }
        let now = self.shared.clock.now();
        if hears {
            self.session.close(now, close, &mut self.output);
        }
        self.settle(now);
        hears
    }

    /// Writes out what waits and closes our side.
    pub(in crate::drive) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let sent = ready!(self.poll_send(cx))?;
            self.output.advance(sent);
            self.shared.metrics.sent_bytes.inc_by(sent as u64);
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Lets the peer read our last words.
    pub(in crate::drive) async fn linger(&mut self) {
        linger(&mut self.socket).await;
    }
}

impl<H: Head, T> Drop for Connection<H, T> {
    fn drop(&mut self) {
        self.shared
            .metrics
            .calls_in_flight
            .dec_by(self.reported as i64);
    }
}
