//! Direct replies: a client that asks gets the answer on its own channel, past every queue.
//!
//! It consumes from `amq.rabbitmq.reply-to`, and names that very queue as where to reply to; what
//! goes out has a token in its place that nobody can guess. Who answers publishes to the token.
//! Nothing is kept: an answer for somebody who is gone, or who does not read, is dropped. What
//! waits to be read is bounded in number and in bytes, and charged.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use base::{HashMap, Ledger, Rng};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, RwLock};

use crate::call::{Publish, Ready};

/// The queue that there is not.
pub(crate) const QUEUE: &str = "amq.rabbitmq.reply-to";
/// What a token begins with.
pub(crate) const PREFIX: &str = "amq.rabbitmq.reply-to.";

#[derive(Debug)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    answers: Vec<Ready>,
    bytes: usize,
}

/// How many answers may wait for one consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) answers: usize,
    /// The bytes of all of them. One answer that is larger waits alone.
    pub(crate) bytes: usize,
}

/// Who waits for direct replies.
#[derive(Debug)]
pub(crate) struct Replies {
    limits: Limits,
    ledger: Ledger,
    boxes: RwLock<HashMap<Box<str>, Arc<Mailbox>>>,
}

/// A consumer of direct replies; when it goes, nobody waits any more.
#[derive(Debug)]
pub(crate) struct ReplyConsumer {
    token: Box<str>,
    replies: Weak<Replies>,
}

impl ReplyConsumer {
    /// What stands in the place of the queue's name.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for ReplyConsumer {
    fn drop(&mut self) {
        if let Some(replies) = self.replies.upgrade()
            && let Some(mailbox) = replies.boxes.write().remove(&self.token)
        {
            mailbox.waker.wake();
        }
    }
}

impl Replies {
    /// What waits is charged to `ledger`.
    pub(crate) fn new(limits: Limits, ledger: Ledger) -> Self {
        Self {
            limits,
            ledger,
            boxes: RwLock::default(),
        }
    }

    /// Somebody waits for answers: who, and what it gets.
    pub(crate) fn wait(
        self: &Arc<Self>,
        rng: &Rng,
    ) -> (ReplyConsumer, impl Stream<Item = Vec<Ready>> + Send + use<>) {
        let mut secret = [0; 18];
        rng.fill_secret(&mut secret);
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret)).into_boxed_str();
        let mailbox = Arc::new(Mailbox {
            waiting: Mutex::default(),
            waker: AtomicWaker::new(),
        });
        self.boxes.write().insert(token.clone(), mailbox.clone());
        let consumer = ReplyConsumer {
            token,
            replies: Arc::downgrade(self),
        };
        (consumer, Mail(mailbox))
    }

    /// Whether somebody waits under this token.
    pub(crate) fn is_awaited(&self, token: &str) -> bool {
        self.boxes.read().contains_key(token)
    }

    /// Hands an answer over; `false` when nobody takes it, or there is no room for it.
    pub(crate) fn send(&self, token: &str, publish: &Publish) -> bool {
        let Some(mailbox) = self.boxes.read().get(token).cloned() else {
            return false;
        };
        let mut waiting = mailbox.waiting.lock();
        let (key, properties) = (&publish.routing_key, &publish.properties);
        let weight = size_of::<Ready>() + key.len() + properties.len() + publish.body.len();
        let fits = waiting.answers.is_empty() || waiting.bytes + weight <= self.limits.bytes;
        if waiting.answers.len() >= self.limits.answers || !fits {
            return false;
        }
        let Some(charge) = self.ledger.try_charge(weight) else {
            return false;
        };
        // Slices would keep whole buffers.
        waiting.answers.push(Ready {
            exchange: publish.exchange.clone(),
            routing_key: Bytes::copy_from_slice(key),
            properties: Bytes::copy_from_slice(properties),
            body: Bytes::copy_from_slice(&publish.body),
            charge: Some(charge),
        });
        waiting.bytes += weight;
        drop(waiting);
        mailbox.waker.wake();
        true
    }
}

/// What a consumer of direct replies gets.
struct Mail(Arc<Mailbox>);

impl Stream for Mail {
    type Item = Vec<Ready>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<Ready>>> {
        self.0.waker.register(cx.waker());
        let mut waiting = self.0.waiting.lock();
        if waiting.answers.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Some(std::mem::take(&mut *waiting).answers))
    }
}
