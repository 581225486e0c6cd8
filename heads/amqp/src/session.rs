//! One connection: the opening, channels, contents that are put together, answers that are
//! written.
//!
//! | module | what it holds |
//! |---|---|
//! | `opening` | protocol header, authentication, tuning, `connection.open` |
//! | `channel` | what a channel remembers |
//! | `content` | runs of publishes, cut from the input as one call |
//! | `settle` | runs of acknowledgements, the same |
//! | `method` | every other method of a channel |
//! | `unacked` | deliveries by their tags |
//! | `write` | answers, deliveries |
//! | `life` | heartbeats and other deadlines |
//!
//! Methods that wait for the disk hold the input back until they are done ([`Holds`]), so that a
//! method sees what the one before it did, and answers keep their order without a thought.
//! Publishes and acknowledgements wait for nothing: they are calls of their own, many to a call.

mod channel;
mod content;
mod life;
mod method;
mod opening;
mod settle;
mod unacked;
mod write;

use std::sync::Arc;
use std::time::Instant;

use base::HashMap;
use bytes::{Buf, Bytes, BytesMut};
use net::head::{Close, Lane, Next, Output, Peer, Session};

pub(crate) use channel::EngineConsumer;

use crate::Shared;
use crate::call::{Call, Holds, Reply, Scope};
use crate::codec::{self, FRAME_HEARTBEAT, FRAME_METHOD, Front, Look, Method, Name};
use crate::error::{Code, Failure};
use channel::Channel;
use life::Life;

/// How many bytes of a frame that is not whole are a sign of life.
const PIECE: usize = 1024;
/// The lane of the connection itself.
const CONNECTION: Lane = Lane(0);

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The protocol's header is awaited.
    Header,
    /// `connection.start` was sent.
    Starting,
    /// Somebody is being authenticated.
    Authenticating,
    /// `connection.tune` was sent.
    Tuning,
    /// `connection.open` is awaited.
    Opening,
    /// Open.
    Running,
    /// The client has closed it; what is its own is being removed.
    Ending,
    /// We have closed it and wait for the answer.
    Closing,
}

/// What the client has told about itself.
#[derive(Clone, Debug, Default)]
struct Client {
    name: String,
    cancel_notify: bool,
    blocked: bool,
    failure_close: bool,
    /// How it has authenticated.
    mechanism: Name,
}

/// A connection's session.
#[derive(Debug)]
pub struct AmqpSession {
    shared: Arc<Shared>,
    peer: Peer,
    state: State,
    client: Client,
    principal: Option<crate::call::Principal>,
    scope: Option<Arc<Scope>>,
    channels: HashMap<u16, Channel>,
    /// Which channel and consumer a lane belongs to.
    lanes: HashMap<Lane, (u16, Name)>,
    /// The lanes of open channels. A number that is opened again gets another lane: what the
    /// channel before it has left behind in its own means nothing to anybody any more.
    channel_lanes: HashMap<Lane, u16>,
    next_lane: u32,
    /// Streams to be dropped of channels that are gone.
    cancels: Vec<Lane>,
    /// Consumers that have ended while a method was not done: whoever deletes a queue hears of
    /// that first, of its own consumers second.
    ended: Vec<Lane>,
    channel_max: u16,
    frame_max: usize,
    holds: Holds,
    life: Life,
    /// How much of a frame that is not whole has been seen.
    partial: usize,
    /// Bytes of contents that are not whole, and of open transactions.
    unfinished: usize,
    nowhere: Arc<str>,
}

/// What a step over the input led to.
enum Step {
    /// The frame is done with; on to the next.
    On,
    /// For the loop.
    Next(Next<Call>),
}

impl AmqpSession {
    pub(crate) fn new(shared: Arc<Shared>, now: Instant, peer: Peer) -> Self {
        let frame_max = shared.config.opening_frame_bytes_max.as_usize();
        shared.metrics.connections.inc();
        Self {
            shared,
            peer,
            state: State::Header,
            client: Client::default(),
            principal: None,
            scope: None,
            channels: HashMap::default(),
            lanes: HashMap::default(),
            channel_lanes: HashMap::default(),
            next_lane: 1,
            cancels: Vec::new(),
            ended: Vec::new(),
            channel_max: 0,
            frame_max,
            holds: Holds::default(),
            life: Life::new(now),
            partial: 0,
            unfinished: 0,
            nowhere: Arc::from(""),
        }
    }

    /// The scope of an open connection.
    fn scope(&self) -> Result<Arc<Scope>, Failure> {
        let unopened = || Failure::new(Code::ChannelError, "the connection is not open");
        self.scope.clone().ok_or_else(unopened)
    }

    /// A lane that nothing is in.
    fn new_lane(&mut self) -> Lane {
        loop {
            let lane = Lane(self.next_lane);
            self.next_lane = self.next_lane.checked_add(1).unwrap_or(1);
            if !self.lanes.contains_key(&lane) && !self.channel_lanes.contains_key(&lane) {
                return lane;
            }
        }
    }

    /// The lane of a channel.
    fn lane(&self, number: u16) -> Lane {
        self.channels
            .get(&number)
            .map_or(CONNECTION, |channel| channel.lane)
    }

    /// The stream of a consumer that is gone, if there is one.
    fn next_cancel(&mut self) -> Option<Lane> {
        let lane = self.cancels.pop()?;
        self.lanes.remove(&lane);
        Some(lane)
    }

    /// What the frame at the front is, and what to do with it.
    fn step(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        output: &mut Output,
    ) -> Result<Step, Close> {
        if self.state == State::Header {
            return self.protocol_header(input, output);
        }
        // A client's limit is off by the overhead as often as not.
        let front = match codec::look(input, self.frame_max) {
            Ok(Look::Need(n)) => {
                if input.len() > self.partial {
                    self.life.heard(now);
                }
                self.partial = input.len();
                let piece = input.len() + PIECE;
                return Ok(Step::Next(Next::Bytes(n.min(piece))));
            }
            Ok(Look::Whole(front)) => front,
            Err(malformed) => {
                input.clear();
                return self.fatal(now, malformed.into(), output);
            }
        };
        self.life.heard(now);
        self.partial = 0;
        if front.kind == FRAME_HEARTBEAT {
            input.advance(front.whole());
            if front.channel != 0 || front.size != 0 {
                let failure = Failure::new(Code::UnexpectedFrame, "not a heartbeat");
                return self.fatal(now, failure, output);
            }
            return Ok(Step::On);
        }
        match self.state {
            State::Closing => self.closing_frame(input, front, output),
            State::Ending | State::Authenticating => Ok(Step::Next(Next::Wait)),
            State::Running if front.channel != 0 => self.channel_frame(now, input, front, output),
            State::Header | State::Starting | State::Tuning | State::Opening | State::Running => {
                self.connection_frame(now, input, front, output)
            }
        }
    }

    /// A frame of a connection that we have closed: only the answer counts.
    fn closing_frame(
        &mut self,
        input: &mut BytesMut,
        front: Front,
        output: &mut Output,
    ) -> Result<Step, Close> {
        let payload = codec::payload(input, front);
        let ids = payload.first_chunk::<4>().copied();
        input.advance(front.whole());
        if front.kind != FRAME_METHOD || front.channel != 0 {
            return Ok(Step::On);
        }
        match ids {
            Some([0, 10, 0, 51]) => Err(Close::Done),
            Some([0, 10, 0, 50]) => {
                put(output, 0, &Method::CloseOk {});
                Err(Close::Done)
            }
            _ => Ok(Step::On),
        }
    }

    /// A frame of the connection itself.
    fn connection_frame(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        front: Front,
        output: &mut Output,
    ) -> Result<Step, Close> {
        let decoded = if front.kind != FRAME_METHOD || front.channel != 0 {
            Err(Failure::new(
                Code::UnexpectedFrame,
                "a method of the connection was expected",
            ))
        } else {
            Method::decode(codec::payload(input, front)).map_err(Failure::from)
        };
        input.advance(front.whole());
        let method = match decoded {
            Ok(method) => method,
            Err(failure) => return self.fatal(now, failure, output),
        };
        let ids = method.ids();
        self.shared.metrics.method(method.name());
        match self.connection_method(now, method, output)? {
            Ok(step) => Ok(step),
            Err(failure) => self.fatal(now, failure.of(ids), output),
        }
    }

    /// A frame of a channel.
    fn channel_frame(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        front: Front,
        output: &mut Output,
    ) -> Result<Step, Close> {
        let number = front.channel;
        let Some(channel) = self.channels.get_mut(&number) else {
            return self.unopened(now, input, front, output);
        };
        if channel.closing {
            return Ok(self.closing_channel(input, front, output));
        }
        if let Some(lane) = channel.cancels.pop_front() {
            self.lanes.remove(&lane);
            return Ok(Step::Next(Next::Cancel(lane)));
        }
        let outcome = if content::is_content(input, front) {
            self.contents(number, input)
        } else if channel.assembly.is_some() {
            Err(content::interrupted(channel))
        } else if codec::hot::is_settlement(input, front) {
            self.settlements(number, input)
        } else {
            self.method_frame(now, input, front, output)
        };
        match outcome {
            Ok(step) => Ok(step),
            Err(failure) => {
                // It may have been taken away already, or not: what it belongs to ends here.
                self.fail(now, number, failure, output)
            }
        }
    }

    /// Any other method of a channel.
    fn method_frame(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        front: Front,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        let decoded = Method::decode(codec::payload(input, front));
        if let Some(lane) = self.cancel_first(front.channel, decoded.as_ref().ok()) {
            self.lanes.remove(&lane);
            return Ok(Step::Next(Next::Cancel(lane)));
        }
        input.advance(front.whole());
        let method = decoded?;
        let ids = method.ids();
        self.shared.metrics.method(method.name());
        self.channel_method(now, front.channel, method, output)
            .map_err(|failure| failure.of(ids))
    }

    /// A frame of a channel that is not open.
    fn unopened(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        front: Front,
        output: &mut Output,
    ) -> Result<Step, Close> {
        let method = if front.kind == FRAME_METHOD {
            Some(Method::decode(codec::payload(input, front)))
        } else {
            None
        };
        input.advance(front.whole());
        let number = front.channel;
        let failure = match method {
            Some(Ok(Method::ChannelOpen { .. })) if number <= self.channel_max => {
                let lane = self.new_lane();
                self.channel_lanes.insert(lane, number);
                self.channels
                    .insert(number, Channel::new(lane, self.nowhere.clone()));
                self.shared.metrics.channels.inc();
                let answer = Method::ChannelOpenOk {
                    channel_id: Bytes::new(),
                };
                put(output, number, &answer);
                return Ok(Step::On);
            }
            Some(Ok(Method::ChannelOpen { .. })) => Failure::new(
                Code::NotAllowed,
                format!(
                    "number of channels opened ({number}) has reached the negotiated channel_max ({})",
                    self.channel_max
                ),
            )
            .of((20, 10)),
            // The answer to a close that crossed another one.
            Some(Ok(Method::ChannelCloseOk {})) => return Ok(Step::On),
            Some(Ok(method)) => Failure::new(Code::ChannelError, "expected 'channel.open'")
                .of(method.ids()),
            Some(Err(malformed)) => malformed.into(),
            None => Failure::new(
                Code::UnexpectedFrame,
                "expected method frame, got non method frame instead",
            ),
        };
        self.fatal(now, failure, output)
    }

    /// A frame of a channel that we have closed: only the answer counts, and the client's own
    /// wish to close, which may have crossed ours.
    fn closing_channel(&mut self, input: &mut BytesMut, front: Front, output: &mut Output) -> Step {
        let ids = codec::payload(input, front).first_chunk::<4>().copied();
        input.advance(front.whole());
        if front.kind == FRAME_METHOD {
            match ids {
                Some([0, 20, 0, 41]) => self.forget_channel(front.channel),
                Some([0, 20, 0, 40]) => put(output, front.channel, &Method::ChannelCloseOk {}),
                _ => {}
            }
        }
        Step::On
    }

    /// Ends a channel, or the connection, for what a method of it was refused for.
    fn fail(
        &mut self,
        now: Instant,
        number: u16,
        failure: Failure,
        output: &mut Output,
    ) -> Result<Step, Close> {
        if failure.hard || number == 0 {
            return self.fatal(now, failure, output);
        }
        self.shared.metrics.failure(failure.code);
        tracing::debug!(client = %self.client.name, channel = number, why = %failure.why, "channel closed");
        let close = Method::ChannelClose {
            code: failure.code.number(),
            text: failure.text(),
            class: failure.ids.0,
            method: failure.ids.1,
        };
        put(output, number, &close);
        self.empty_channel(number);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.closing = true;
        }
        Ok(Step::On)
    }

    /// Ends the connection for an error: the client is told, and its answer awaited.
    fn fatal(
        &mut self,
        now: Instant,
        failure: Failure,
        output: &mut Output,
    ) -> Result<Step, Close> {
        self.shared.metrics.failure(failure.code);
        tracing::debug!(client = %self.client.name, peer = %self.peer.addr, why = %failure.why, "connection closed");
        if matches!(self.state, State::Header | State::Starting) {
            return Err(Close::protocol(failure.why));
        }
        let close = Method::Close {
            code: failure.code.number(),
            text: failure.text(),
            class: failure.ids.0,
            method: failure.ids.1,
        };
        put(output, 0, &close);
        self.drop_channels();
        self.state = State::Closing;
        self.life.closing(now);
        Ok(Step::On)
    }

    /// Ends all that a channel has begun; what was not acknowledged goes back.
    fn empty_channel(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let empty = Channel::new(channel.lane, self.nowhere.clone());
        let mut old = std::mem::replace(channel, empty);
        self.channel_lanes.remove(&old.lane);
        self.unfinished -= content::weight(&old);
        // What a transaction has settled is not settled when it does not end.
        old.roll_back();
        self.cancels.extend(old.cancels.iter().copied());
        let lanes = old.consumers.values().map(|consumer| consumer.lane);
        self.cancels.extend(lanes);
    }

    /// Ends a channel for good.
    fn forget_channel(&mut self, number: u16) {
        self.empty_channel(number);
        if self.channels.remove(&number).is_some() {
            self.shared.metrics.channels.dec();
        }
    }

    /// Ends all channels.
    fn drop_channels(&mut self) {
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        for number in numbers {
            self.forget_channel(number);
        }
    }
}

/// Writes a method.
fn put(output: &mut Output, channel: u16, method: &Method) {
    codec::put_method(output.buf(), channel, method);
}

impl Session for AmqpSession {
    type Call = Call;
    type Reply = Reply;

    fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        output: &mut Output,
    ) -> Result<Next<Call>, Close> {
        loop {
            if let Some(lane) = self.next_cancel() {
                return Ok(Next::Cancel(lane));
            }
            if self.holds.any() {
                if self.client.blocked && self.holds.wait_for_room_now() {
                    let after = self.shared.config.blocked_after.into();
                    self.life.hold_publishing(now, after);
                }
                return Ok(Next::Wait);
            }
            self.life.let_publishing(output);
            self.tell_ended(output);
            let written = output.len();
            let step = self.step(now, input, output)?;
            if output.len() != written {
                self.life.said(now);
            }
            if let Step::Next(next) = step {
                return Ok(next);
            }
        }
    }

    fn reply(
        &mut self,
        now: Instant,
        lane: Lane,
        reply: Reply,
        output: &mut Output,
    ) -> Result<(), Close> {
        self.life.said(now);
        self.write(now, lane, reply, output)?;
        if !self.holds.any() {
            self.tell_ended(output);
        }
        Ok(())
    }

    fn weight(&self, call: &Call, bytes: usize) -> usize {
        match call {
            // The arguments are taken apart, and a table's entry is larger than its bytes.
            Call::Ask(_) | Call::Consume(_) => bytes.saturating_mul(32),
            Call::Authenticate(..)
            | Call::Publish(_)
            | Call::Settle(_)
            | Call::Commit(_)
            | Call::Close(..) => bytes,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.life.deadline()
    }

    fn expire(&mut self, now: Instant, output: &mut Output) -> Result<(), Close> {
        self.life.expire(now, self.holds.any(), output)
    }

    fn is_established(&self) -> bool {
        matches!(self.state, State::Running | State::Ending | State::Closing)
    }

    fn close(&mut self, _now: Instant, why: &Close, output: &mut Output) {
        self.last_words(why, output);
        self.drop_channels();
    }
}

impl Drop for AmqpSession {
    fn drop(&mut self) {
        self.drop_channels();
        self.shared.metrics.connections.dec();
        if let Some(scope) = self.scope.take() {
            self.shared.drop_owner(scope.owner);
        }
    }
}
