//! The contract between `net` and a protocol: a [`Head`] is the protocol, a [`Session`] is one
//! connection of it.
//!
//! A session is a pure state machine. It never waits, never reads a clock and never touches a
//! socket: the loop in [`crate::drive`] hands it bytes and the time, it hands back calls and
//! bytes. So the loop can own limits, deadlines, backpressure and drain for every protocol, and a
//! protocol can be tested with a script of bytes ([`crate::testing`]).
//!
//! **In.** The loop reads into one buffer and calls [`Session::receive`] again and again. The
//! session looks at the front of the buffer. A whole frame: it takes it with
//! `input.split_to(n).freeze()` (no copy) and returns [`Next::Call`]. Less than a frame:
//! [`Next::Bytes`] with how many bytes the buffer must hold in all before it is worth asking
//! again. A frame that needs no call (a heartbeat, a step of a handshake) is consumed and answered
//! on the spot through `output`, and the session goes on to the next one before it returns.
//!
//! **Calls.** For each [`Next::Call`] the loop invokes [`Head::call`], in the order of arrival and
//! as soon as there is room for the call's weight, and keeps the stream that it returns. *Everything whose order matters is done inside
//! `call`*, before it returns: the append is queued, the acknowledgement is applied. The stream
//! only waits for the outcome. Up to `limits.calls_in_flight_max` calls of a connection are open
//! at a time; at the limit the loop stops asking the session, then stops reading.
//!
//! **Out.** Calls of one [`Lane`] are answered strictly in the order they were made: only the
//! oldest of a lane is polled, until its stream ends; then the next. Calls of different lanes
//! overtake each other. Each item of a stream goes to [`Session::reply`], which encodes it. A
//! stream without items is a call without an answer. Subscriptions ([`Next::Subscribe`]) are not
//! part of the order: each is polled whenever it is ready.
//!
//! **Backpressure.** When `output` holds `limits.output_bytes_max` or more, no stream is polled
//! and `receive` is not asked, until the peer has read some of it. A peer that does not read is
//! thereby not read from, and what it costs stays within its limits.
//!
//! **Memory.** Bytes are charged to the process's ledger when they are read and stay charged until
//! the stream of the call that took them ends. A call that becomes larger says so by
//! [`Session::weight`], and is not begun before there is room for that. Output is charged while it
//! waits to be written. When others wait for room, a connection that holds something and does not
//! get on may be closed ([`crate::holders`]).
//! A slice of the input keeps its whole buffer alive: what outlives the call is copied.
//!
//! **Time.** `now` comes from the loop. A session that wants to be woken (a heartbeat, a
//! handshake's limit, the end of a throttle) says when by [`Session::deadline`]. Idle and
//! handshake limits of `net::Config` are the loop's and need nothing from the session but
//! [`Session::is_established`].
//!
//! **The end.** An `Err(Close)` from any method ends the connection: calls in flight are dropped
//! (which cancels them), [`Session::close`] may add last words, the output is flushed with a
//! deadline, the socket is closed. To answer first and close then, return the error from the
//! `reply` that wrote the answer. When the peer closes its side, the whole frames that arrived
//! before are still turned into calls; then the connection ends with [`Close::Peer`].

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Instant;

use bytes::BytesMut;
use futures_core::Stream;

pub use crate::output::{Hole, Output};
pub use crate::peer::{Peer, TlsInfo};

/// A line in which answers keep the order of their calls: the whole connection for Kafka and
/// Thrift (lane 0), a channel for AMQP, each call by itself for JSON-RPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

/// What [`Session::receive`] found in the input.
#[derive(Debug)]
pub enum Next<C> {
    /// Nothing whole. Ask again when `input` holds this many bytes *in all*: what it holds now and
    /// more; at least one byte more. The loop charges and reserves the room; a number over
    /// `limits.input_bytes_max` closes the connection, so a session checks lengths from the wire
    /// against its own limit first if the protocol has words for it.
    Bytes(usize),
    /// Take nothing more for now (authentication is being decided, the connection is throttled):
    /// ask again after a reply was written, a call ended, or [`Session::expire`] was called. The
    /// loop goes on reading ahead only up to one buffer.
    Wait,
    /// A call that ends by itself. It counts against `limits.calls_in_flight_max`.
    Call(Lane, C),
    /// A call that delivers until it is cancelled. It does not count as in flight (a connection
    /// full of them could never acknowledge) but against `limits.subscriptions_max`. Its lane must
    /// be unused by other subscriptions; its items go to [`Session::reply`] with that lane.
    Subscribe(Lane, C),
    /// Drops the subscription of this lane, if it lives.
    Cancel(Lane),
}

/// Why a connection ends. Counted by [`Close::label`], logged at debug level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// The peer closed it.
    Peer,
    /// The conversation is over by the protocol's own rules.
    Done,
    /// The peer broke the protocol; the text is for the log, not for the peer.
    Protocol(Cow<'static, str>),
    /// The peer may not come in: authentication or authorization failed.
    Denied(Cow<'static, str>),
    /// The peer passed a limit, named by its configuration key.
    Limit(&'static str),
    /// The process's memory budget had no room in time.
    Memory,
    /// It held memory that others waited for, and did not get on.
    Slow,
    /// Nothing moved for the idle limit.
    Idle,
    /// The connection was not established within the handshake limit.
    Handshake,
    /// The server goes down.
    Drain,
    /// The socket failed.
    Io(io::ErrorKind),
}

impl Close {
    /// A breach of the protocol.
    pub fn protocol(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Protocol(text.into())
    }

    /// A refusal.
    pub fn denied(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Denied(text.into())
    }

    /// The value of the label `reason` in the metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Done => "done",
            Self::Protocol(_) => "protocol",
            Self::Denied(_) => "denied",
            Self::Limit(_) => "limit",
            Self::Memory => "memory",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Handshake => "handshake",
            Self::Drain => "drain",
            Self::Io(_) => "io",
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer => f.write_str("closed by the peer"),
            Self::Done => f.write_str("done"),
            Self::Protocol(text) => write!(f, "protocol error: {text}"),
            Self::Denied(text) => write!(f, "denied: {text}"),
            Self::Limit(name) => write!(f, "over the limit `{name}`"),
            Self::Memory => f.write_str("no memory left in the budget"),
            Self::Slow => f.write_str("held memory that others needed, and did not get on"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Handshake => f.write_str("not established in time"),
            Self::Drain => f.write_str("the server is shutting down"),
            Self::Io(kind) => write!(f, "socket error: {kind}"),
        }
    }
}

impl From<io::Error> for Close {
    /// A reset or a broken pipe is the peer's end, anything else an error of the socket.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the standard library adds kinds"
    )]
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Self::Peer,
            kind => Self::Io(kind),
        }
    }
}

/// One connection of one protocol: bytes and the time in, calls and bytes out. See the module.
pub trait Session: Send + 'static {
    /// What a head does for this session: usually an enum, a variant per method.
    type Call: Send;
    /// What a call answers. It carries what is needed to encode it (a correlation id, a version).
    type Reply: Send;

    /// Takes what comes next from the front of `input`. It must either consume bytes, or return
    /// [`Next::Bytes`] or [`Next::Wait`]. A run of small frames of one kind may become one call.
    ///
    /// `output` is for answers that need no call. They are written before the answers of calls
    /// that are still open: a session that must keep order makes a call of them, or waits.
    ///
    /// # Errors
    /// A [`Close`] ends the connection, see the module.
    fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        output: &mut Output,
    ) -> Result<Next<Self::Call>, Close>;

    /// Encodes one item of a call's or a subscription's stream.
    ///
    /// # Errors
    /// A [`Close`] ends the connection after what was put into `output` has been sent.
    fn reply(
        &mut self,
        now: Instant,
        lane: Lane,
        reply: Self::Reply,
        output: &mut Output,
    ) -> Result<(), Close>;

    /// How many bytes `call`, which was made of `bytes` bytes of input, is charged for until it
    /// ends; it waits until they fit. A head whose requests become larger in memory than they were
    /// on the wire says so. More than the whole budget closes the connection.
    fn weight(&self, _call: &Self::Call, bytes: usize) -> usize {
        bytes
    }

    /// When [`Session::expire`] is to be called; `None` for never. Asked after each other method.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed: send a heartbeat, end a throttle, give up on a handshake. It must
    /// move the deadline behind `now` or take it away.
    ///
    /// # Errors
    /// A [`Close`] ends the connection.
    fn expire(&mut self, _now: Instant, _output: &mut Output) -> Result<(), Close> {
        Ok(())
    }

    /// Whether the peer has got past the protocol's opening (authentication, negotiation). Until
    /// then `limits.handshake_max` applies.
    fn is_established(&self) -> bool {
        true
    }

    /// Last words in the protocol's own terms, sent before the socket closes. Not called when the
    /// peer is gone.
    fn close(&mut self, _now: Instant, _why: &Close, _output: &mut Output) {}
}

/// One protocol: opens sessions and carries out their calls on an engine.
pub trait Head: Send + Sync + 'static {
    /// The protocol's state for one connection.
    type Session: Session;

    /// The head's name: its section of the configuration, its label in metrics and logs.
    const NAME: &'static str;

    /// A connection was accepted (and its TLS handshake is done).
    fn open(&self, now: Instant, peer: &Peer) -> Self::Session;

    /// Carries out `call`. What must keep its order is done before this returns; it must not
    /// block. The stream yields the replies; it may yield none; dropping it cancels the call. It
    /// holds no lock between two polls: nobody may poll it for a while.
    fn call(
        &self,
        call: <Self::Session as Session>::Call,
    ) -> impl Stream<Item = <Self::Session as Session>::Reply> + Send + 'static;
}
