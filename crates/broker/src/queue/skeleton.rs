//! The engine's types without the engine, so that heads can be compiled against them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::{
    DeleteWhen, Delivery, Extended, Outcome, Owner, QueueSettings, QueueStats, Receipt, Take,
    Verdict,
};
use crate::error::Error;
use crate::message::Message;

/// A queue's identity; a queue of the same name that is declared later has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub uuid::Uuid);

/// The queues; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Queues(());

/// What [`Queues::declare`] found or made.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The queue.
    pub queue: Queue,
    /// Whether it was made.
    pub created: bool,
}

/// A queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: QueueId,
    namespace: Arc<str>,
    name: Arc<str>,
    settings: Arc<QueueSettings>,
}

impl Queues {
    /// An owner that no queue has yet.
    #[must_use]
    pub fn new_owner(&self) -> Owner {
        Owner(0)
    }

    /// Declares a queue; an existing one is returned as it is.
    ///
    /// # Errors
    /// Whatever the engine answers.
    pub async fn declare(
        &self,
        _namespace: &str,
        _name: &str,
        _settings: QueueSettings,
    ) -> Result<Declared, Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }

    /// The queue of this name.
    #[must_use]
    pub fn get(&self, _namespace: &str, _name: &str) -> Option<Queue> {
        None
    }

    /// All queues, or those of a namespace, by name.
    #[must_use]
    pub fn list(&self, _namespace: Option<&str>) -> Vec<Queue> {
        Vec::new()
    }

    /// Changes a queue's settings.
    ///
    /// # Errors
    /// Whatever the engine answers.
    pub async fn configure(&self, _queue: &Queue, _settings: QueueSettings) -> Result<(), Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }

    /// Deletes a queue; says how many messages were ready.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotEmpty`].
    pub async fn delete(&self, _queue: &Queue, _when: DeleteWhen) -> Result<u64, Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }

    /// Deletes the queues of an owner that is gone.
    pub async fn drop_owner(&self, _owner: Owner) {
        std::future::ready(()).await;
    }
}

impl Queue {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.0.namespace
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.0.id
    }

    /// What is set about it now.
    #[must_use]
    pub fn settings(&self) -> Arc<QueueSettings> {
        self.0.settings.clone()
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        0
    }

    /// When its settings were last changed, in milliseconds since 1970.
    #[must_use]
    pub fn modified_ms(&self) -> i64 {
        0
    }

    /// How it is.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        QueueStats::default()
    }

    /// Puts messages into the queue.
    ///
    /// # Errors
    /// Whatever the engine answers.
    pub fn publish(&self, _messages: Vec<Message>) -> Result<Publication, Error> {
        Err(Error::ShuttingDown)
    }

    /// Begins to consume.
    ///
    /// # Errors
    /// [`Error::InUse`].
    pub fn consume(&self, _settings: ConsumerSettings) -> Result<Consumer, Error> {
        Err(Error::ShuttingDown)
    }

    /// Ends a consumer: nothing is yielded after this returns.
    pub fn cancel(&self, _id: ConsumerId) {}

    /// Takes messages, waiting for some where there are none.
    ///
    /// # Errors
    /// Whatever the engine answers.
    pub async fn take(&self, _take: Take) -> Result<Vec<Delivery>, Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }

    /// Says what became of deliveries.
    pub fn settle(&self, receipts: &[Receipt], _outcome: Outcome) -> Settled {
        Settled {
            known: vec![false; receipts.len()],
        }
    }

    /// Makes a lease last for `lease` from now.
    #[must_use]
    pub fn extend(&self, _receipt: Receipt, _lease: Duration) -> Extended {
        Extended::Gone
    }

    /// Settles all ready messages, and with `leased_too` all others; says how many.
    ///
    /// # Errors
    /// Whatever the engine answers.
    pub async fn purge(&self, _leased_too: bool) -> Result<u64, Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }

    /// Up to `max` ready messages from the `from`th on, as they lie in the log; they are not leased.
    ///
    /// # Errors
    /// Whatever the engine answers.
    pub async fn peek(&self, _from: usize, _max: usize) -> Result<Vec<Delivery>, Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }
}

/// What publishing came to.
#[derive(Clone, Debug)]
pub struct Publication {
    /// For each message, in order.
    pub verdicts: Vec<Verdict>,
}

impl Publication {
    /// Waits until all of it is durable.
    ///
    /// # Errors
    /// [`Error::Store`] when it never will be.
    pub async fn durable(&self) -> Result<(), Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }
}

/// What settling came to.
#[derive(Clone, Debug)]
pub struct Settled {
    /// For each receipt, in order: whether it named a lease that was there.
    pub known: Vec<bool>,
}

impl Settled {
    /// Waits until a restart will know of it.
    ///
    /// # Errors
    /// [`Error::Store`] when it never will be.
    pub async fn durable(&self) -> Result<(), Error> {
        std::future::ready(Err(Error::ShuttingDown)).await
    }
}

/// How a consumer wants to be served.
#[derive(Clone, Debug, Default)]
pub struct ConsumerSettings {
    /// How many unsettled messages it holds at most; 0 is no limit.
    pub prefetch: u32,
    /// A limit that it shares with others.
    pub shared: Option<Credit>,
    /// Higher is served first.
    pub priority: i32,
    /// Whether it must be the only one.
    pub exclusive: bool,
    /// Whether what it gets is settled at once.
    pub auto_settle: bool,
}

/// A consumer's identity in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// What a consumer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEvent {
    /// Messages.
    Deliveries(Vec<Delivery>),
    /// The queue is gone; nothing more comes.
    Cancelled,
}

/// A consumer. Dropping it ends the deliveries; its leases stay until they are settled.
#[derive(Debug)]
pub struct Consumer(ConsumerId);

impl Consumer {
    /// What to cancel it by.
    #[must_use]
    pub fn id(&self) -> ConsumerId {
        self.0
    }
}

impl futures_core::Stream for Consumer {
    type Item = ConsumerEvent;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<ConsumerEvent>> {
        Poll::Ready(None)
    }
}

/// A limit on unsettled messages that several consumers share; cheap to clone.
#[derive(Clone, Debug)]
pub struct Credit(Arc<AtomicU32>);

impl Credit {
    /// At most `max`; 0 is no limit.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self(Arc::new(AtomicU32::new(max)))
    }

    /// Changes the limit.
    pub fn set(&self, max: u32) {
        self.0.store(max, Ordering::Relaxed);
    }
}
