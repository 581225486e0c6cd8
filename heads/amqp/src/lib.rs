//! AMQP 0-9-1, as RabbitMQ's unchanged clients speak it.
//!
//! A client opens a connection to a virtual host (a *namespace* of the engine) and channels in it.
//! On a channel it declares exchanges and queues, publishes to exchanges, consumes from queues,
//! and acknowledges what it got. [`handlers::METHODS`] is the one table of what is served.
//!
//! A frame's way: [`session`] looks at the front of the input. A run of publishes on one channel
//! becomes one call, a run of acknowledgements too; [`handlers`] routes the messages, and each
//! queue gets its share as one append. Confirms, as few as there can be, follow when all of it is
//! durable. Any other method is answered before the next one is looked at.
//!
//! A consumer is a subscription: its stream yields what the engine dispatches to it, `session`
//! gives it delivery tags and writes it. When a channel ends, however it ends, what it holds goes
//! back to the queues: leases, consumers and exclusive queues are tied to values that are dropped.
//!
//! Properties and bodies are never re-encoded: [`convert`] looks into a property block only where
//! its flags say that there is something the broker must know.
//!
//! Sources: the specification of AMQP 0-9-1, and RabbitMQ's documents and behaviour where it
//! extends or contradicts it.

mod access;
mod call;
pub mod codec;
mod config;
mod convert;
mod error;
pub mod handlers;
mod metrics;
mod reply_to;
mod session;
mod streams;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use base::{Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use broker::queue::Owner;
use futures_core::Stream;
use futures_util::stream::BoxStream;
use net::head::{Head, Peer};

pub use call::{Call, Reply};
pub use config::Config;
pub use session::AmqpSession;

use metrics::AmqpMetrics;
use reply_to::Replies;

/// What the head is made of.
#[derive(Debug)]
pub struct Parts {
    /// Section `[amqp]`.
    pub config: Config,
    /// The engine.
    pub broker: Broker,
    /// Randomness.
    pub rng: Rng,
    /// What contents that are not whole are charged to.
    pub ledger: Ledger,
    /// Where the queues of connections that are gone are deleted.
    pub tasks: Tasks,
    /// Where metrics are registered.
    pub metrics: Metrics,
}

/// What the head's connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: AmqpMetrics,
    pub(crate) replies: Arc<Replies>,
    tasks: Tasks,
}

impl Shared {
    /// Deletes the exclusive queues of a connection that is gone.
    pub(crate) fn drop_owner(&self, owner: Owner) {
        let queues = self.broker.queues().clone();
        self.tasks.spawn("amqp.drop_owner", async move {
            queues.drop_owner(owner).await;
        });
    }
}

/// The head.
#[derive(Clone, Debug)]
pub struct Amqp(Arc<Shared>);

impl Amqp {
    /// The head over an engine.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the operator.
    pub fn new(parts: Parts) -> Result<Self, String> {
        parts.config.validate()?;
        let replies = reply_to::Limits {
            answers: parts.config.direct_replies_max,
            bytes: parts.config.direct_replies_bytes_max.as_usize(),
        };
        Ok(Self(Arc::new(Shared {
            metrics: AmqpMetrics::new(&parts.metrics),
            replies: Arc::new(Replies::new(replies, parts.ledger.clone())),
            broker: parts.broker,
            config: parts.config,
            rng: parts.rng,
            ledger: parts.ledger,
            tasks: parts.tasks,
        })))
    }

    /// Makes the exchanges that clients find in every namespace.
    ///
    /// # Errors
    /// The engine's.
    pub async fn prepare(&self) -> Result<(), broker::Error> {
        handlers::exchange::predeclare(&self.0.broker).await
    }
}

/// The answers of a call.
pub(crate) enum Answers {
    /// There are none, and nothing is left to do.
    None,
    /// Those of a stream.
    Stream(BoxStream<'static, Reply>),
}

impl Stream for Answers {
    type Item = Reply;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        match &mut *self {
            Self::None => Poll::Ready(None),
            Self::Stream(stream) => stream.as_mut().poll_next(cx),
        }
    }
}

impl Head for Amqp {
    type Session = AmqpSession;

    const NAME: &'static str = "amqp";

    fn open(&self, now: Instant, peer: &Peer) -> AmqpSession {
        AmqpSession::new(self.0.clone(), now, peer.clone())
    }

    fn call(&self, call: Call) -> impl Stream<Item = Reply> + Send + 'static {
        handlers::start(&self.0, call)
    }
}

#[cfg(test)]
mod tests;
