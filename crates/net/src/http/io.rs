//! The socket under an HTTP connection, watched: when bytes moved last, whether the peer reads.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use base::{Clock, Millis};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpConfig;
use crate::config::Limits;
use crate::head::Close;
use crate::metrics::HeadMetrics;
use crate::socket::Socket;

/// What a connection is doing, seen from its socket and its requests.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When bytes last moved.
    moved: Instant,
    /// Since when the headers of a request are being awaited.
    head: Option<Instant>,
    /// The peer does not read what we have for it.
    blocked: bool,
    /// Requests that are being answered.
    in_flight: usize,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            moved: now,
            head: Some(now),
            blocked: false,
            in_flight: 0,
        };
        Self(Mutex::new(state))
    }

    /// When the connection must end if nothing changes, and why.
    pub(super) fn deadline(&self, http: &HttpConfig, limits: &Limits) -> Option<(Instant, Close)> {
        let after = |since: Instant, limit: Millis| {
            if limit.0 == 0 {
                None
            } else {
                since.checked_add(limit.into())
            }
        };
        let state = self.0.lock();
        let head = state
            .head
            .and_then(|since| after(since, http.header_time_max));
        let quiet = state.in_flight == 0 || state.blocked;
        let idle = if quiet {
            after(state.moved, limits.idle_max)
        } else {
            None
        };
        [(head, Close::Handshake), (idle, Close::Idle)]
            .into_iter()
            .filter_map(|(at, close)| Some((at?, close)))
            .min_by_key(|(at, _)| *at)
    }

    /// A request's headers are there.
    pub(super) fn begin(&self) {
        let mut state = self.0.lock();
        state.head = None;
        state.in_flight += 1;
    }

    /// A request's answer was given to the socket, or given up.
    pub(super) fn end(&self, now: Instant) {
        let mut state = self.0.lock();
        state.in_flight -= 1;
        state.moved = now;
    }

    fn received(&self, now: Instant) {
        let mut state = self.0.lock();
        state.moved = now;
        if state.in_flight == 0 {
            state.head.get_or_insert(now);
        }
    }

    fn sent(&self, now: Instant, is_blocked: bool) {
        let mut state = self.0.lock();
        if !is_blocked {
            state.moved = now;
        }
        state.blocked = is_blocked;
    }
}

/// A socket that tells an [`Activity`] and the metrics what it does.
pub(super) struct Watched {
    pub(super) socket: Socket,
    pub(super) activity: Arc<Activity>,
    pub(super) clock: Clock,
    pub(super) metrics: HeadMetrics,
}

impl Watched {
    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(n)) => {
                self.metrics.sent_bytes.inc_by(*n as u64);
                self.activity.sent(self.clock.now(), false);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.sent(self.clock.now(), true),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let n = buffer.filled().len() - before;
        if n > 0 {
            self.metrics.received_bytes.inc_by(n as u64);
            self.activity.received(self.clock.now());
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
