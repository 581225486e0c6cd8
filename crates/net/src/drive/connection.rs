//! One connection's state and the turn of its loop. See the parent module.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use base::Millis;
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;

use super::Shared;
use super::account::Account;
use super::alarm::Alarm;
use super::calls::{Calls, Event, Subscriptions};
use super::input::Input;
use crate::head::{Close, Head, Lane, Next, Session};
use crate::linger::linger;
use crate::output::Output;
use crate::socket::Transport;

/// Turns before the task lets others of its thread run.
const TURNS_MAX: usize = 32;
/// The same as time: beside a few connections that flood the server with tiny requests, each wait
/// of any other connection is this long for each of them.
const TIME_MAX: Duration = Duration::from_millis(1);
/// Calls taken, and replies encoded, in one turn: so that a write comes in between, and the time is
/// looked at.
const STEPS_MAX: usize = 128;
/// Parts of one vectored write.
const SLICES_MAX: usize = 64;
/// While the session waits, the input is read ahead up to this length, to notice the peer's end.
const READ_AHEAD_MAX: usize = 8 << 10;
/// A file range up to this length is read and goes out with its neighbours: one system call less
/// than sendfile(2) for it, and one packet.
const LOAD_SMALL: usize = 16 << 10;
/// Bytes of a file that are read at a time where sendfile(2) is not to be had.
const LOAD_CHUNK: usize = 64 << 10;
/// What a connection may hold while others wait for memory and it does not get on.
const HOLD_FREE: usize = 64 << 10;
/// How often a connection that holds more and does not get on looks whether others wait.
const HOLD_CHECK: Duration = Duration::from_secs(1);

type ReplyOf<H> = <<H as Head>::Session as Session>::Reply;

pub(super) struct Connection<H: Head, T> {
    shared: Arc<Shared<H>>,
    session: H::Session,
    socket: T,
    input: Input,
    output: Output,
    calls: Calls<ReplyOf<H>>,
    subscriptions: Option<Box<Subscriptions<ReplyOf<H>>>>,
    account: Account,
    alarm: Alarm,
    times: Times,
    /// The session said [`Next::Wait`].
    waiting: bool,
    /// The peer has closed its side.
    eof: bool,
    /// Something was written since the last flush.
    unflushed: bool,
    /// Calls in flight as the metrics know it.
    reported: usize,
}

struct Times {
    opened: Instant,
    established: bool,
    /// When bytes last moved, either way.
    moved: Instant,
    /// When a request was last whole, a call ended, or everything was read.
    progress: Instant,
    /// When it last looked whether others wait for the memory it holds.
    checked: Instant,
    /// When the first part of an unfinished frame was seen.
    frame: Option<Instant>,
    /// By when the connection must have drained, if it drains.
    drain: Option<Instant>,
}

/// `since + limit`; a limit of 0 is none.
fn after(since: Instant, limit: Millis) -> Option<Instant> {
    if limit.0 == 0 {
        None
    } else {
        since.checked_add(limit.into())
    }
}

impl<H: Head, T: Transport> Connection<H, T> {
    pub(super) fn new(
        shared: Arc<Shared<H>>,
        session: H::Session,
        socket: T,
        opened: Instant,
    ) -> Self {
        let account = Account::new(shared.ledger.clone());
        let times = Times {
            opened,
            established: false,
            moved: opened,
            progress: opened,
            checked: opened,
            frame: None,
            drain: None,
        };
        Self {
            shared,
            session,
            socket,
            input: Input::new(),
            output: Output::new(),
            calls: Calls::new(),
            subscriptions: None,
            account,
            alarm: Alarm::default(),
            times,
            waiting: false,
            eof: false,
            unflushed: false,
            reported: 0,
        }
    }

    /// Goes on until the connection ends or nothing moves.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Close> {
        let begun = self.shared.clock.now();
        for _ in 0..TURNS_MAX {
            let now = self.shared.clock.now();
            if now.saturating_duration_since(begun) > TIME_MAX {
                break;
            }
            let moved = match self.turn(cx, now) {
                Ok(moved) => moved,
                Err(close) => return Poll::Ready(close),
            };
            if moved {
                continue;
            }
            if let Some(close) = self.ended() {
                return Poll::Ready(close);
            }
            if self
                .alarm
                .poll(cx, now, self.deadline().map(|(at, _)| at))
                .is_pending()
            {
                self.release();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn from source to sink; whether anything moved.
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Close> {
        self.expire(now)?;
        let mut moved = self.read(cx, now)?;
        moved |= self.take(now)?;
        moved |= self.replies(cx, now)?;
        moved |= self.write(cx, now)?;
        self.settle();
        Ok(moved)
    }

    /// The nearest deadline, and what it means; `None` is the session's own.
    fn deadline(&self) -> Option<(Instant, Option<Close>)> {
        let limits = &self.shared.limits;
        let times = &self.times;
        let handshake = if times.established {
            None
        } else {
            after(times.opened, limits.handshake_max)
        };
        let quiet = self.calls.in_flight == 0
            && self.subscriptions.as_ref().is_none_or(|s| s.len() == 0)
            || !self.output.is_empty();
        let idle = if quiet {
            after(times.moved, limits.idle_max)
        } else {
            None
        };
        let memory = self
            .account
            .waiting_since()
            .and_then(|since| after(since, limits.memory_wait_max));
        let frame = times
            .frame
            .and_then(|since| after(since, limits.frame_time_max));
        let hold = if self.held() > HOLD_FREE {
            after(times.progress, limits.hold_max).map(|at| at.max(times.checked + HOLD_CHECK))
        } else {
            None
        };
        [
            (self.session.deadline(), None),
            (hold, Some(Close::Slow)),
            (times.drain, Some(Close::Drain)),
            (memory, Some(Close::Memory)),
            (handshake, Some(Close::Handshake)),
            (frame, Some(Close::Idle)),
            (idle, Some(Close::Idle)),
        ]
        .into_iter()
        .filter_map(|(at, close)| Some((at?, close)))
        .min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    fn expire(&mut self, now: Instant) -> Result<(), Close> {
        self.times.established = self.times.established || self.session.is_established();
        match self.deadline() {
            Some((at, Some(Close::Slow))) if at <= now && !self.shared.ledger.is_short() => {
                self.times.checked = now;
                Ok(())
            }
            Some((at, Some(close))) if at <= now => Err(close),
            Some((at, None)) if at <= now => {
                self.waiting = false;
                self.session.expire(now, &mut self.output)?;
                if self.session.deadline().is_some_and(|at| at <= now) {
                    debug_assert!(false, "a session must move its deadline");
                    return Err(Close::protocol(
                        "bug: the session did not move its deadline",
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether it is over although nobody said so.
    fn ended(&self) -> Option<Close> {
        if self.eof {
            let stuck = self.waiting && self.calls.in_flight == 0;
            if stuck || !self.input.is_ready() {
                return Some(Close::Peer);
            }
        }
        let drained = self.times.drain.is_some()
            && self.calls.in_flight == 0
            && self.output.is_empty()
            && !self.unflushed;
        drained.then_some(Close::Drain)
    }

    fn has_room(&self) -> bool {
        let limits = &self.shared.limits;
        self.times.drain.is_none()
            && self.output.len() < limits.output_bytes_max.as_usize()
            && self.calls.in_flight < limits.calls_in_flight_max
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Close> {
        let has_use = if self.waiting {
            self.input.buffer.len() < READ_AHEAD_MAX
        } else {
            !self.input.is_ready()
        };
        if self.eof || !has_use || !self.has_room() {
            self.account.stop_waiting();
            return Ok(false);
        }
        let missing = self.input.room_missing();
        if missing > 0 {
            let held = self.held();
            if self.account.poll_room(cx, now, held, missing).is_pending() {
                return Ok(false);
            }
            self.input.reserve(missing);
        }
        let buffer = &mut self.input.buffer;
        let room = buffer.capacity() - buffer.len();
        match pin!(self.socket.read_buf(buffer)).poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.eof = true;
                Ok(true)
            }
            // TLS: the peer closed TCP without a word.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.eof = true;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Ready(Ok(n)) => {
                self.times.moved = now;
                self.input.learn(n, room);
                self.shared.metrics.received_bytes.inc_by(n as u64);
                Ok(true)
            }
        }
    }

    /// Takes calls from the input and starts them.
    fn take(&mut self, now: Instant) -> Result<bool, Close> {
        let mut steps = 0;
        while steps < STEPS_MAX && !self.waiting && self.input.is_ready() && self.has_room() {
            steps += 1;
            let buffer = &mut self.input.buffer;
            let before = buffer.len();
            let next = self.session.receive(now, buffer, &mut self.output)?;
            let used = before.saturating_sub(buffer.len());
            self.input.wanted = 1;
            if used > 0 || buffer.is_empty() {
                self.times.frame = None;
                self.times.progress = now;
            }
            match next {
                Next::Bytes(n) => self.want(now, n)?,
                Next::Wait => self.waiting = true,
                Next::Call(lane, call) => {
                    let weight = self.session.weight(&call, used);
                    let replies = self.shared.head.call(call).boxed();
                    self.calls.push(lane, replies, weight);
                    self.shared.metrics.calls.inc();
                }
                Next::Subscribe(lane, call) => self.subscribe(lane, call)?,
                Next::Cancel(lane) => {
                    if let Some(subscriptions) = &mut self.subscriptions {
                        subscriptions.cancel(lane);
                    }
                }
            }
        }
        Ok(steps > 0)
    }

    /// The session needs `n` bytes in all.
    fn want(&mut self, now: Instant, n: usize) -> Result<(), Close> {
        let have = self.input.buffer.len();
        if n <= have {
            debug_assert!(false, "a session must ask for more than there is");
            return Err(Close::protocol("bug: the session asked for what it had"));
        }
        if n > self.shared.limits.input_bytes_max.as_usize() {
            return Err(Close::Limit("limits.input_bytes_max"));
        }
        self.input.wanted = n;
        if have > 0 {
            self.times.frame.get_or_insert(now);
        }
        Ok(())
    }

    fn subscribe(&mut self, lane: Lane, call: <H::Session as Session>::Call) -> Result<(), Close> {
        let subscriptions = self
            .subscriptions
            .get_or_insert_with(|| Box::new(Subscriptions::new()));
        if subscriptions.len() >= self.shared.limits.subscriptions_max {
            return Err(Close::Limit("limits.subscriptions_max"));
        }
        subscriptions.push(lane, self.shared.head.call(call).boxed());
        self.shared.metrics.calls.inc();
        Ok(())
    }

    /// Polls what is open and encodes what it says.
    fn replies(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Close> {
        let output_max = self.shared.limits.output_bytes_max.as_usize();
        let mut steps = 0;
        let mut round = self.calls.begin();
        while steps < STEPS_MAX && self.output.len() < output_max {
            let Poll::Ready(event) = self.calls.poll(cx, &mut round) else {
                break;
            };
            self.answer(now, event)?;
            steps += 1;
        }
        self.calls.tidy();
        let calls_done = steps;
        while steps < calls_done + STEPS_MAX && self.output.len() < output_max {
            let Some(subscriptions) = &mut self.subscriptions else {
                break;
            };
            let Poll::Ready(event) = subscriptions.poll(cx) else {
                break;
            };
            self.answer(now, event)?;
            steps += 1;
        }
        Ok(steps > 0)
    }

    fn answer(&mut self, now: Instant, event: Event<ReplyOf<H>>) -> Result<(), Close> {
        self.waiting = false;
        self.times.progress = now;
        match event {
            Event::Reply(lane, reply) => self.session.reply(now, lane, reply, &mut self.output),
            Event::Ended => Ok(()),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Close> {
        let mut moved = false;
        while !self.output.is_empty() {
            let Poll::Ready(sent) = self.poll_send(cx)? else {
                break;
            };
            self.output.advance(sent);
            self.times.moved = now;
            if self.output.is_empty() {
                self.times.progress = now;
            }
            self.shared.metrics.sent_bytes.inc_by(sent as u64);
            self.unflushed = true;
            moved = true;
        }
        if self.unflushed && Pin::new(&mut self.socket).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
            moved = true;
        }
        Ok(moved)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.output.load_small(LOAD_SMALL)?;
        if let Some(range) = self.output.front_file() {
            if let Some(sent) = ready!(self.socket.poll_send_file(cx, range))? {
                return Poll::Ready(Ok(sent));
            }
            self.output.load_front(LOAD_CHUNK)?;
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let used = self.output.slices(&mut slices);
        match ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices[..used]))? {
            0 => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            sent => Poll::Ready(Ok(sent)),
        }
    }

    fn held(&self) -> usize {
        self.input.held(self.calls.bytes) + self.output.memory()
    }

    fn settle(&mut self) {
        self.account.settle(self.held());
        let (now, before) = (self.calls.in_flight, self.reported);
        if now != before {
            self.shared
                .metrics
                .calls_in_flight
                .inc_by(now as i64 - before as i64);
            self.reported = now;
        }
    }

    /// An idle connection holds no buffers.
    fn release(&mut self) {
        if self.calls.in_flight == 0 {
            self.input.release();
            self.output.release();
            self.calls.release();
            self.account.settle(self.held());
        }
    }

    /// Takes no more calls, drops subscriptions, ends when the calls in flight have.
    pub(super) fn drain(&mut self) {
        let now = self.shared.clock.now();
        let limit = self.shared.limits.drain_max;
        self.times.drain = Some(after(now, limit).unwrap_or(now));
        self.subscriptions = None;
    }

    /// Cancels everything and has the session say its last words; whether anybody may hear them.
    pub(super) fn farewell(&mut self, close: &Close) -> bool {
        self.calls.clear();
        self.subscriptions = None;
        self.input = Input::new();
        let hears = !matches!(close, Close::Peer | Close::Io(_) | Close::Slow);
        if matches!(close, Close::Slow) {
            // What it holds is what others wait for.
            self.output = Output::new();
        }
        if hears {
            let now = self.shared.clock.now();
            self.session.close(now, close, &mut self.output);
        }
        self.settle();
        hears
    }

    /// Writes out what waits and closes our side.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let sent = ready!(self.poll_send(cx))?;
            self.output.advance(sent);
            self.shared.metrics.sent_bytes.inc_by(sent as u64);
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Lets the peer read our last words.
    pub(super) async fn linger(&mut self) {
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
