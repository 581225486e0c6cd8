//! Direct replies: a client that asks gets the answer on its own channel, past every queue.
//!
//! It consumes from `amq.rabbitmq.reply-to`, and names that very queue as where to reply to; what
//! goes out has a token in its place that nobody can guess. Who answers publishes to the token.
//! Nothing is kept: an answer for somebody who is gone, or who does not read, is dropped.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use base::{HashMap, Rng};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_core::Stream;
use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, RwLock};

use crate::call::Ready;

/// The queue that there is not.
pub(crate) const QUEUE: &str = "amq.rabbitmq.reply-to";
/// What a token begins with.
pub(crate) const PREFIX: &str = "amq.rabbitmq.reply-to.";

#[derive(Debug)]
struct Mailbox {
    waiting: Mutex<VecDeque<Ready>>,
    waker: AtomicWaker,
}

/// Who waits for direct replies.
#[derive(Debug)]
pub(crate) struct Replies {
    max: usize,
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
    /// At most `max` answers wait for one consumer.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
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

    /// Hands an answer over; `false` when nobody takes it.
    pub(crate) fn send(&self, token: &str, message: Ready) -> bool {
        let Some(mailbox) = self.boxes.read().get(token).cloned() else {
            return false;
        };
        let mut waiting = mailbox.waiting.lock();
        if waiting.len() >= self.max {
            return false;
        }
        waiting.push_back(message);
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
        if waiting.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Some(waiting.drain(..).collect()))
    }
}
