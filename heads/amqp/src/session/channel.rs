//! One channel: what was declared last, who consumes, what waits for acknowledgement, what is held
//! back by a transaction.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{Charge, HashMap};
use broker::queue::{ConsumerId, Credit, Outcome, Queue};
use bytes::{Bytes, BytesMut};
use net::head::Lane;

use super::unacked::{Held, Unacked};
use crate::call::{Publish, Source};
use crate::codec::Name;

/// How a channel's publishes are answered.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    /// Not at all.
    #[default]
    Plain,
    /// Each gets a number, from 1 on; this many were given.
    Confirm(u64),
    /// They are held back until the transaction ends.
    Tx(Box<Tx>),
}

/// What a transaction holds back.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    pub(crate) messages: Vec<Publish>,
    pub(crate) settled: Vec<(Vec<(u64, Held)>, Outcome)>,
    /// What the messages weigh.
    pub(crate) charge: Option<Charge>,
    pub(crate) bytes: usize,
}

/// Ends a consumer of the engine when it goes.
#[derive(Debug)]
pub(crate) struct EngineConsumer {
    pub(crate) queue: Queue,
    pub(crate) id: ConsumerId,
}

impl Drop for EngineConsumer {
    fn drop(&mut self) {
        self.queue.cancel(self.id);
    }
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) lane: Lane,
    pub(crate) no_ack: bool,
    /// Whether deliveries say how often they were tried.
    pub(crate) counts: bool,
    /// `None` until it has begun.
    pub(crate) source: Option<Source>,
}

/// A content that is on its way.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) exchange: Arc<str>,
    pub(crate) routing_key: Bytes,
    pub(crate) mandatory: bool,
    /// What the header says, once it is there.
    pub(crate) header: Option<(usize, Bytes)>,
    pub(crate) body: Body,
    /// What key and properties weigh, once they are copies.
    pub(crate) kept: Option<Charge>,
}

/// A body: a slice of the input as long as it is one piece.
#[derive(Debug)]
pub(crate) enum Body {
    None,
    One(Bytes),
    Many(BytesMut, Charge),
}

impl Assembly {
    /// What it counts against `amqp.unfinished_bytes_max`.
    pub(crate) fn weight(&self) -> usize {
        let body = match &self.body {
            Body::Many(bytes, _) => bytes.len(),
            Body::None | Body::One(_) => 0,
        };
        body + self.kept.as_ref().map_or(0, Charge::bytes)
    }
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes, _) => bytes.len(),
        }
    }

    pub(crate) fn finish(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes, _) => bytes.freeze(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Where its calls are answered.
    pub(crate) lane: Lane,
    /// Whether the server has closed it and waits for the answer.
    pub(crate) closing: bool,
    pub(crate) last_queue: Option<Name>,
    /// The exchange that was published to last; most publishes go to the same.
    pub(crate) last_exchange: Arc<str>,
    pub(crate) assembly: Option<Assembly>,
    pub(crate) mode: Mode,
    pub(crate) consumers: HashMap<Name, Consumer>,
    pub(crate) unacked: Unacked,
    pub(crate) next_tag: u64,
    /// For consumers to come; 0 is no limit.
    pub(crate) prefetch: u32,
    /// The limit of all consumers together; none at first. Every consumer has it from its
    /// beginning, so that a limit that comes later holds for all.
    pub(crate) shared: Credit,
    /// The token of the consumer of direct replies.
    pub(crate) reply_token: Option<Name>,
    /// Consumers whose streams are to be dropped.
    pub(crate) cancels: VecDeque<Lane>,
}

impl Channel {
    pub(crate) fn new(lane: Lane, nowhere: Arc<str>) -> Self {
        Self {
            lane,
            closing: false,
            last_queue: None,
            last_exchange: nowhere,
            assembly: None,
            mode: Mode::Plain,
            consumers: HashMap::default(),
            unacked: Unacked::default(),
            next_tag: 1,
            prefetch: 0,
            shared: Credit::new(0),
            reply_token: None,
            cancels: VecDeque::new(),
        }
    }

    /// What a transaction had settled is unacknowledged again.
    pub(crate) fn roll_back(&mut self) {
        if let Mode::Tx(tx) = &mut self.mode {
            for (taken, _) in tx.settled.drain(..) {
                self.unacked.put_back(taken);
            }
        }
    }

    /// The tag of the next delivery.
    pub(crate) fn take_tag(&mut self) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        tag
    }

    /// The exchange of a name, shared with the last publish if it is the same.
    pub(crate) fn exchange(&mut self, name: &str) -> Arc<str> {
        if &*self.last_exchange != name {
            self.last_exchange = Arc::from(name);
        }
        self.last_exchange.clone()
    }
}
