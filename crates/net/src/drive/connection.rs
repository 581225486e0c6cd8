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
use crate::holders::Holding;
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

mod end;

type CallOf<H> = <<H as Head>::Session as Session>::Call;
type ReplyOf<H> = <<H as Head>::Session as Session>::Reply;

/// A call that has arrived and for whose weight there is no room yet. Nothing is taken before it.
struct Unstarted<C> {
    lane: Lane,
    call: C,
    /// Bytes of input that it was made of.
    used: usize,
    weight: usize,
}

pub(super) struct Connection<H: Head, T> {
    shared: Arc<Shared<H>>,
    session: H::Session,
    socket: T,
    input: Input,
    output: Output,
    calls: Calls<ReplyOf<H>>,
    unstarted: Option<Box<Unstarted<CallOf<H>>>>,
    subscriptions: Option<Box<Subscriptions<ReplyOf<H>>>>,
    account: Account,
    holding: Holding,
    alarm: Alarm,
    times: Times,
    /// The session said [`Next::Wait`].
    waiting: bool,
    /// The peer has closed its side.
    eof: bool,
    /// It held nothing when that was last looked at.
    idle: bool,
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
    /// When it last got on: began to hold memory, had a request whole while nothing else was to be
    /// answered, answered, or was read to the end.
    progress: Instant,
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
        let holding = shared.holders.join(shared.limits.hold_max);
        let times = Times {
            opened,
            established: false,
            moved: opened,
            progress: opened,
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
            unstarted: None,
            subscriptions: None,
            account,
            holding,
            alarm: Alarm::default(),
            times,
            waiting: false,
            eof: false,
            idle: true,
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
                let (held, wants) = (self.held(), self.account.wants());
                self.holding.park(cx, self.times.progress, held, wants);
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
        moved |= self.take(cx, now)?;
        moved |= self.replies(cx, now)?;
        moved |= self.write(cx, now)?;
        self.settle(now);
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
        [
            (self.session.deadline(), None),
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
        if self.holding.must_go(now, self.times.progress) {
            return Err(Close::Slow);
        }
        self.times.established = self.times.established || self.session.is_established();
        match self.deadline() {
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
        if self.eof && self.unstarted.is_none() {
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
        if self.unstarted.is_some() {
            // It is the call that waits for room.
            return Ok(false);
        }
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
            let total = self.held() + missing;
            if self.account.poll_room(cx, now, total).is_pending() {
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
    fn take(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Close> {
        let mut steps = usize::from(self.start_late(cx, now));
        while steps < STEPS_MAX
            && self.unstarted.is_none()
            && !self.waiting
            && self.input.is_ready()
            && self.has_room()
        {
            steps += 1;
            let buffer = &mut self.input.buffer;
            let before = buffer.len();
            let next = self.session.receive(now, buffer, &mut self.output)?;
            let used = before.saturating_sub(buffer.len());
            self.input.wanted = 1;
            if used > 0 || buffer.is_empty() {
                self.times.frame = None;
                // Behind a call that does not end, more requests only hold more.
                if self.calls.in_flight == 0 && self.output.is_empty() {
                    self.times.progress = now;
                }
            }
            match next {
                Next::Bytes(n) => self.want(now, n)?,
                Next::Wait => self.waiting = true,
                Next::Call(lane, call) => self.call(cx, now, lane, call, used)?,
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

    /// Starts a call that was made of `used` bytes, or keeps it until there is room for its weight.
    fn call(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        lane: Lane,
        call: CallOf<H>,
        used: usize,
    ) -> Result<(), Close> {
        let weight = self.session.weight(&call, used);
        if weight > self.shared.ledger.limit() {
            return Err(Close::Memory);
        }
        if self.fits(cx, now, weight) {
            self.start(lane, call, weight);
        } else {
            self.unstarted = Some(Box::new(Unstarted {
                lane,
                call,
                used,
                weight,
            }));
        }
        Ok(())
    }

    /// Starts the call that waits for room, if there is some now; whether it did.
    fn start_late(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(weight) = self.unstarted.as_ref().map(|late| late.weight) else {
            return false;
        };
        if !self.fits(cx, now, weight) {
            return false;
        }
        if let Some(late) = self.unstarted.take() {
            self.start(late.lane, late.call, late.weight);
        }
        true
    }

    fn fits(&mut self, cx: &mut Context<'_>, now: Instant, weight: usize) -> bool {
        let total = self.held_with(weight);
        self.account.poll_room(cx, now, total).is_ready()
    }

    fn start(&mut self, lane: Lane, call: CallOf<H>, weight: usize) {
        let replies = self.shared.head.call(call).boxed();
        self.calls.push(lane, replies, weight);
        self.shared.metrics.calls.inc();
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
        if n > self.shared.ledger.limit() {
            // It would never fit, and have others give way for nothing.
            return Err(Close::Memory);
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
        let unstarted = self.unstarted.as_ref().map_or(0, |late| late.used);
        self.held_with(unstarted)
    }

    /// What is held when `more` bytes of input are to be kept.
    fn held_with(&self, more: usize) -> usize {
        // What was written may still lie in the transport.
        let unsent = if self.unflushed {
            self.socket.unsent_max()
        } else {
            0
        };
        self.input.held(self.calls.bytes + more) + self.output.memory() + unsent
    }

    fn settle(&mut self, now: Instant) {
        let held = self.held();
        if held > 0 && self.idle {
            self.times.progress = now;
        }
        self.idle = held == 0;
        self.account.settle(held);
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
        if self.calls.in_flight == 0 && self.unstarted.is_none() {
            self.input.release();
            self.output.release();
            self.calls.release();
            let held = self.held();
            self.idle = held == 0;
            self.account.settle(held);
        }
    }
}
