//! What a session asks of the head, and what it gets back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Charge;
use broker::queue::{Credit, Delivery, Outcome, Owner, Queue, Receipt};
use bytes::Bytes;

use crate::codec::{Method, Name, Table};
use crate::error::Failure;
use crate::reply_to::ReplyConsumer;
use crate::streams::Cursor;

/// What the channels of one connection have in common, once it is open.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Who it is.
    pub(crate) user: Arc<str>,
    /// Whether it is the user of the configuration, who has all rights.
    pub(crate) is_default_user: bool,
    /// The namespace, which the protocol calls a virtual host.
    pub(crate) namespace: Arc<str>,
    /// Whose exclusive queues are.
    pub(crate) owner: Owner,
}

/// How many calls must end before the session takes more input. Methods that have to wait for the
/// disk are carried out one after the other: what stands behind them in the input sees what they
/// did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    holds: AtomicUsize,
    /// Runs of publishes that wait for room.
    waiting: AtomicUsize,
}

impl Holds {
    /// One more.
    pub(crate) fn hold(&self) -> Hold {
        self.0.holds.fetch_add(1, Ordering::AcqRel);
        Hold(self.clone())
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.0.holds.load(Ordering::Acquire) > 0
    }

    /// Publishes wait for room until what is returned is dropped.
    pub(crate) fn wait_for_room(&self) -> Waiting {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Whether publishes wait for room.
    pub(crate) fn wait_for_room_now(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire) > 0
    }
}

/// A run of publishes waits for room until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Holds);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Holds the session's input back until it is dropped.
#[derive(Debug)]
pub struct Hold(Holds);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a client proves itself with.
#[derive(Debug)]
pub enum Proof {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
        /// Whether it comes from this machine.
        loopback: bool,
    },
    /// The subject of a certificate that TLS has verified.
    Certificate(String),
}

/// A method that is answered when it is done, and what it is to know of its channel.
#[derive(Debug)]
pub struct Ask {
    pub(crate) scope: Arc<Scope>,
    pub(crate) channel: u16,
    /// The queue that was declared last on the channel.
    pub(crate) last_queue: Option<Name>,
    pub(crate) method: Method,
    pub(crate) hold: Hold,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Publish {
    pub(crate) exchange: Arc<str>,
    pub(crate) routing_key: Bytes,
    pub(crate) mandatory: bool,
    /// The properties as they came.
    pub(crate) properties: Bytes,
    pub(crate) body: Bytes,
}

/// Messages that came one behind the other on a channel.
#[derive(Debug)]
pub struct Publishes {
    pub(crate) scope: Arc<Scope>,
    pub(crate) messages: Vec<Publish>,
    /// The number of the first, when the channel confirms.
    pub(crate) confirm: Option<u64>,
    /// The token of the channel's consumer of direct replies.
    pub(crate) reply_token: Option<Name>,
    /// What came behind them and made no sense.
    pub(crate) failure: Option<Failure>,
    pub(crate) holds: Holds,
}

/// Deliveries of one queue that get one outcome.
#[derive(Clone, Debug)]
pub struct Settle {
    pub(crate) queue: Queue,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) outcome: Outcome,
}

/// Settlements that are to be carried out. Where they are not, whatever the reason, the deliveries
/// go back to their queues.
#[derive(Debug)]
pub(crate) struct Unsettled(pub(crate) Vec<Settle>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        let outcome = Outcome::Release {
            counted: true,
            delay: None,
        };
        for settle in self.0.drain(..) {
            let _ = settle.queue.settle(&settle.receipts, outcome);
        }
    }
}

/// `basic.consume` with what its channel adds.
#[derive(Debug)]
pub struct Consume {
    pub(crate) scope: Arc<Scope>,
    pub(crate) last_queue: Option<Name>,
    pub(crate) queue: Name,
    pub(crate) no_ack: bool,
    pub(crate) exclusive: bool,
    pub(crate) nowait: bool,
    pub(crate) arguments: Table,
    pub(crate) prefetch: u32,
    /// The limit that it shares with the channel's other consumers.
    pub(crate) shared: Credit,
    /// Whether the channel consumes direct replies already.
    pub(crate) has_reply_consumer: bool,
    pub(crate) hold: Hold,
}

/// A transaction that is to be carried out.
#[derive(Debug)]
pub struct Commit {
    pub(crate) scope: Arc<Scope>,
    pub(crate) messages: Vec<Publish>,
    /// What the messages weigh.
    pub(crate) charge: Option<Charge>,
    pub(crate) settles: Unsettled,
    pub(crate) reply_token: Option<Name>,
    pub(crate) hold: Hold,
}

/// What a connection asks of the head.
#[derive(Debug)]
pub enum Call {
    /// Who is this?
    Authenticate(Proof, Hold),
    /// A method.
    Ask(Box<Ask>),
    /// Messages.
    Publish(Publishes),
    /// Acknowledgements and refusals.
    Settle(Vec<Settle>),
    /// A consumer begins.
    Consume(Box<Consume>),
    /// A transaction ends.
    Commit(Commit),
    /// The client closes the connection: its exclusive queues go first.
    Close(Owner, Hold),
}

/// Who came in.
#[derive(Debug)]
pub struct Principal {
    pub(crate) user: Arc<str>,
    pub(crate) is_default_user: bool,
}

/// What a consumer gets its messages from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A queue; the guard ends the engine's consumer.
    Queue {
        queue: Queue,
        #[expect(dead_code, reason = "it is there to be dropped")]
        guard: crate::session::EngineConsumer,
    },
    /// A stream; what is acknowledged gives room for more.
    Stream(Cursor),
    /// Direct replies.
    Replies(ReplyConsumer),
}

/// A consumer that has begun.
#[derive(Debug)]
pub struct Consuming {
    pub(crate) nowait: bool,
    /// Whether deliveries say how often they were tried.
    pub(crate) counts: bool,
    pub(crate) source: Source,
}

/// A message that leaves by `basic.deliver`, ready to be written.
#[derive(Debug)]
pub struct Ready {
    pub(crate) exchange: Arc<str>,
    pub(crate) routing_key: Bytes,
    pub(crate) properties: Bytes,
    pub(crate) body: Bytes,
    /// What it weighs while it waits.
    #[expect(dead_code, reason = "it is there to be dropped")]
    pub(crate) charge: Option<Charge>,
}

/// What `basic.get` found.
#[derive(Debug)]
pub struct Got {
    pub(crate) queue: Queue,
    pub(crate) no_ack: bool,
    pub(crate) counts: bool,
    pub(crate) delivery: Option<Box<Delivery>>,
}

/// What a call answers.
#[derive(Debug)]
pub enum Reply {
    /// Who it is, or that it may not come in.
    Authenticated(Option<Principal>),
    /// A method is done; `None` when no answer was asked for.
    Done(Option<Method>),
    /// A queue is declared; its name is the channel's last.
    Declared(Name, Option<Method>),
    /// What a method was refused for.
    Failed(Failure),
    /// Messages that no queue wanted and whose publisher wants them back.
    Returned(Vec<Publish>),
    /// Messages are safe, but for the ones that were rejected (numbers, in order).
    Confirmed {
        /// The first one's number.
        first: u64,
        /// How many.
        count: u64,
        /// Which of them no queue took.
        rejected: Vec<u64>,
    },
    /// A consumer has begun.
    Consuming(Box<Consuming>),
    /// Its queue's messages.
    Deliveries(Vec<Delivery>),
    /// Messages of a stream or direct replies.
    Messages(Vec<Ready>),
    /// The broker has ended a consumer.
    Cancelled,
    /// What `basic.get` found.
    Got(Got),
    /// A transaction is done.
    Committed,
    /// Nothing of this connection is left.
    Closed,
}
