//! The socket under an HTTP connection, watched: when bytes moved last, whether the peer reads.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use base::{Clock, Millis};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpConfig;
use super::memory::{Charges, Gate, Ledgers, merge};
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
    /// When it last got on: a request's headers or body were whole, a piece of an answer was sent,
    /// or it began to hold memory.
    progress: Instant,
    /// Bytes it is charged for.
    held: usize,
    /// A body is on its way in, and for what it waits to read more of it.
    in_body: bool,
    wants: usize,
    /// What came of headers that are not whole yet.
    headers: Option<Charges>,
    /// Since when it waits for memory to read into.
    waits: Option<Instant>,
}

/// What a connection holds.
pub(super) struct Held {
    /// Since when it has not got on.
    pub(super) since: Instant,
    pub(super) bytes: usize,
    /// What it waits for besides.
    pub(super) wants: usize,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            moved: now,
            head: Some(now),
            blocked: false,
            in_flight: 0,
            progress: now,
            held: 0,
            in_body: false,
            wants: 0,
            headers: None,
            waits: None,
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
        // Nothing is to be read while a request is being answered.
        let memory = state
            .waits
            .filter(|_| state.in_flight == 0 || state.in_body)
            .and_then(|since| after(since, limits.memory_wait_max));
        [
            (head, Close::Handshake),
            (idle, Close::Idle),
            (memory, Close::Memory),
        ]
        .into_iter()
        .filter_map(|(at, close)| Some((at?, close)))
        .min_by_key(|(at, _)| *at)
    }

    /// A request's headers are there; what they are charged for.
    pub(super) fn begin(&self, now: Instant) -> Option<Charges> {
        let mut state = self.0.lock();
        state.head = None;
        state.in_flight += 1;
        state.progress = now;
        state.headers.take()
    }

    /// A request's answer was given to the socket, or given up; `held` bytes are not held any more.
    pub(super) fn end(&self, held: usize, now: Instant) {
        let mut state = self.0.lock();
        state.in_flight -= 1;
        state.waits = state.waits.map(|_| now);
        state.moved = now;
        state.progress = now;
        state.held -= held;
    }

    /// Bytes are charged for.
    pub(super) fn hold(&self, bytes: usize, now: Instant) {
        let mut state = self.0.lock();
        if state.held == 0 {
            state.progress = now;
        }
        state.wants = 0;
        state.held += bytes;
    }

    /// They have been sent.
    pub(super) fn release(&self, bytes: usize, now: Instant) {
        let mut state = self.0.lock();
        state.held -= bytes;
        state.progress = now;
    }

    /// A body is to be read.
    pub(super) fn body_begins(&self) {
        self.0.lock().in_body = true;
    }

    /// Bytes of a body are there, and wait for room.
    pub(super) fn want(&self, bytes: usize) {
        self.0.lock().wants = bytes;
    }

    /// A body is whole, or given up.
    pub(super) fn body_is_over(&self, now: Instant) {
        let mut state = self.0.lock();
        state.in_body = false;
        state.wants = 0;
        state.progress = now;
    }

    /// Whether no request is being answered.
    fn is_between(&self) -> bool {
        self.0.lock().in_flight == 0
    }

    /// What it holds and waits for.
    pub(super) fn held(&self) -> Held {
        let state = self.0.lock();
        Held {
            since: state.progress,
            bytes: state.held,
            wants: state.wants,
        }
    }

    fn received(&self, now: Instant, bytes: usize, ledgers: &Ledgers) {
        let mut state = self.0.lock();
        state.moved = now;
        if state.in_flight > 0 {
            return;
        }
        state.head.get_or_insert(now);
        if state.held == 0 {
            state.progress = now;
        }
        // There was room; the bytes are in a buffer already.
        let more = ledgers.force_charge(&ledgers.headers, bytes);
        state.held += bytes;
        merge(&mut state.headers, more);
    }

    fn waits(&self, since: Option<Instant>) {
        let mut state = self.0.lock();
        state.waits = since.map(|since| state.waits.unwrap_or(since));
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
    pub(super) ledgers: Ledgers,
    pub(super) gate: Gate,
    pub(super) is_gated: bool,
}

impl Watched {
    /// Ready when there is memory to read into.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Whatever comes while a request is answered belongs to a body, which is charged for later.
        let part = if self.activity.is_between() {
            &self.ledgers.headers
        } else {
            &self.ledgers.share
        };
        let open = self.gate.poll(cx, &self.ledgers, part);
        let was_gated = std::mem::replace(&mut self.is_gated, open.is_pending());
        if self.is_gated != was_gated {
            let since = self.is_gated.then(|| self.clock.now());
            self.activity.waits(since);
        }
        open
    }

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
        if let Socket::Plain(plain) = &self.socket {
            // An idle peer waits for nothing.
            ready!(plain.poll_read_ready(cx))?;
        }
        ready!(self.poll_room(cx));
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let n = buffer.filled().len() - before;
        if n > 0 {
            self.metrics.received_bytes.inc_by(n as u64);
            self.activity.received(self.clock.now(), n, &self.ledgers);
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
