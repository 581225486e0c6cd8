//! All queues: declaring, finding, changing, deleting, and what a start reads back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use base::{Clock, HashMap, Ledger, Metrics, Rng, Tasks};
use parking_lot::{Mutex, RwLock};
use store::{AppendOptions, Store};
use tracing::warn;

use super::config::Config;
use super::dead::Router;
use super::handle::{Inner, Queue};
use super::journal::{self, Journal};
use super::lane::Lane;
use super::metrics::QueueMetrics;
use super::overview::Measured;
use super::run::{self, RUNNERS, Runs, Timer};
use super::settings::{DeadLetter, DeleteWhen, LANES_MAX, Overflow, Owner, QueueSettings};
use super::state::{State, may_expire};
use super::{Declared, QueueId, publish};
use crate::broker::{Broker, Shared as BrokerShared};
use crate::error::Error;
use crate::message::Message;
use crate::topic::Topic;

/// The namespace whose queues are topics under their own names.
pub const DEFAULT_NAMESPACE: &str = "/";
/// What topics of other queues are called, before the queue's id.
const TOPIC_PREFIX: &str = "queue.";

/// The queues; cheap to clone.
#[derive(Clone, Debug)]
pub struct Queues(pub(super) Arc<Shared>);

/// What all queues share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) store: Store,
    pub(super) metrics: QueueMetrics,
    pub(super) epoch: i32,
    pub(super) decompressed_bytes_max: usize,
    pub(super) journal: Journal,
    pub(super) runs: Runs,
    pub(super) timer: Timer,
    pub(super) measured: Measured,
    rng: Rng,
    broker: Weak<BrokerShared>,
    pub(super) table: RwLock<Table>,
    /// One declaration or deletion at a time.
    changing: tokio::sync::Mutex<()>,
    owners: AtomicU64,
    router: OnceLock<Box<Router>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) namespaces: HashMap<Arc<str>, BTreeMap<Arc<str>, Queue>>,
    /// The queues of a connection, by its number.
    owned: HashMap<u64, Vec<Queue>>,
    count: usize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} queues", self.table.read().count)
    }
}

impl Shared {
    pub(super) fn ledger(&self) -> &Ledger {
        self.store.ledger()
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Queue> {
        let table = self.table.read();
        table.namespaces.get(namespace)?.get(name).cloned()
    }

    /// The queues that an exchange routes a dead letter to.
    pub(super) fn route(&self, namespace: &str, exchange: &str, message: &Message) -> Vec<Queue> {
        let keys = &message.attributes.routing_keys;
        if let Some(router) = self.router.get() {
            return router(namespace, exchange, keys, &message.headers);
        }
        // The exchange without a name knows queues by theirs; others there are none.
        let names = keys.iter().filter_map(|key| std::str::from_utf8(key).ok());
        let named = names.filter(|_| exchange.is_empty());
        named.filter_map(|name| self.get(namespace, name)).collect()
    }

    pub(super) fn insert(&self, queue: Queue) {
        let mut table = self.table.write();
        table.count += 1;
        if let Some(owner) = queue.settings().owner {
            table.owned.entry(owner.0).or_default().push(queue.clone());
        }
        let names = table
            .namespaces
            .entry(queue.namespace().clone())
            .or_default();
        names.insert(queue.name().clone(), queue);
        self.metrics
            .queues
            .set(i64::try_from(table.count).unwrap_or(i64::MAX));
    }

    fn remove(&self, queue: &Queue) {
        let mut table = self.table.write();
        if let Some(names) = table.namespaces.get_mut(queue.namespace())
            && names
                .get(queue.name())
                .is_some_and(|found| found.id() == queue.id())
        {
            names.remove(queue.name());
            let owner = queue.settings().owner;
            if names.is_empty() {
                table.namespaces.remove(queue.namespace());
            }
            table.count -= 1;
            if let Some(owner) = owner
                && let Some(owned) = table.owned.get_mut(&owner.0)
            {
                owned.retain(|other| other.id() != queue.id());
                if owned.is_empty() {
                    table.owned.remove(&owner.0);
                }
            }
        }
        self.metrics
            .queues
            .set(i64::try_from(table.count).unwrap_or(i64::MAX));
    }

    fn broker(&self) -> Result<Broker, Error> {
        let broker = self.broker.upgrade().ok_or(Error::ShuttingDown)?;
        Ok(Broker::of(&broker))
    }

    /// Takes away the bindings of a queue that is being deleted, while its name is still taken.
    async fn unbind(&self, broker: &Broker, queue: &Queue) {
        let Some(exchanges) = broker.shared().exchanges.get().cloned() else {
            return;
        };
        let (of_work, shared) = (queue.clone(), broker.shared().clone());
        let unbound = shared
            .blocking("broker.unbind_queue", move || {
                exchanges.queue_deleted(&of_work)
            })
            .await;
        if let Err(error) = unbound {
            warn!(?queue, %error, "its bindings lead nowhere until the next start");
        }
    }

    /// Deletes a queue that nobody uses any more, if that is still so.
    pub(super) fn delete_later(self: &Arc<Self>, queue: Queue) {
        let queues = Queues(self.clone());
        self.tasks.spawn("broker.queue_unused", async move {
            let when = DeleteWhen {
                unused: true,
                empty: false,
            };
            match queues.delete(&queue, when).await {
                Ok(_) | Err(Error::InUse(_) | Error::UnknownQueue(_) | Error::ShuttingDown) => {}
                Err(error) => warn!(?queue, %error, "an unused queue was not deleted"),
            }
        });
    }

    /// Puts a queue together.
    pub(super) fn make(self: &Arc<Self>, parts: Made, lanes: Vec<Lane>) -> Queue {
        // Receipts of one start are none of another's.
        let epoch = self.epoch.cast_unsigned().wrapping_shl(22);
        let by_priority = lanes.len() == usize::from(parts.settings.lanes.max(1));
        let mut state = State::new(Arc::new(parts.settings), lanes, epoch);
        state.by_priority = by_priority;
        state.modified_ms = parts.modified_ms;
        state.used_ms = self.clock.unix_ms();
        let inner = Arc::new_cyclic(|me| Inner {
            id: parts.id,
            namespace: parts.namespace,
            name: parts.name,
            created_ms: parts.created_ms,
            topic: parts.topic,
            owns_topic: parts.owns_topic,
            durable: parts.durable,
            interested: AtomicBool::new(state.watch),
            state: Mutex::new(state),
            shared: self.clone(),
            me: me.clone(),
            scheduled: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
        });
        let mut state = inner.state.lock();
        state
            .lanes
            .iter()
            .for_each(|lane| publish::listen(lane, &inner));
        inner.after(&mut state);
        drop(state);
        Queue(inner)
    }
}

/// What a queue is made of.
pub(super) struct Made {
    pub(super) id: QueueId,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) topic: Arc<Topic>,
    pub(super) owns_topic: bool,
    pub(super) durable: bool,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    pub(super) settings: QueueSettings,
}

/// What [`Queues::open`] needs.
pub(crate) struct QueueParts {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) metrics: Metrics,
}

impl Queues {
    /// Reads the queues back. Blocks.
    pub(crate) fn open(broker: &Broker, parts: QueueParts) -> Result<Self, Error> {
        let shared = broker.shared();
        let topic = broker.internal_topic(journal::TOPIC, 1)?;
        let partition = topic.partition(0)?;
        let queues = Self(Arc::new(Shared {
            metrics: QueueMetrics::new(&parts.metrics),
            clock: shared.clock.clone(),
            tasks: shared.tasks.clone(),
            store: shared.store.clone(),
            epoch: shared.epoch,
            decompressed_bytes_max: shared.config.decompressed_bytes_max.as_usize(),
            journal: Journal::new(partition.stream().clone()),
            runs: Runs::default(),
            timer: Timer::default(),
            measured: Measured::default(),
            rng: parts.rng,
            broker: Arc::downgrade(shared),
            table: RwLock::default(),
            changing: tokio::sync::Mutex::new(()),
            owners: AtomicU64::new(1),
            router: OnceLock::new(),
            config: parts.config,
        }));
        queues.load(broker)?;
        queues.spawn();
        Ok(queues)
    }

    fn spawn(&self) {
        let weak = Arc::downgrade(&self.0);
        let tasks = &self.0.tasks;
        for _ in 0..RUNNERS {
            tasks.spawn("broker.queue_runs", run::run(weak.clone()));
        }
        tasks.spawn("broker.queue_timer", run::watch(weak.clone()));
        let interval = Duration::from_millis(self.0.config.settle_interval.0);
        tasks.spawn("broker.queue_journal", journal::run(weak, interval));
    }

    /// Asks `router` where an exchange sends a dead letter. To be set once, before messages move.
    pub fn set_router(
        &self,
        router: impl Fn(&str, &str, &[bytes::Bytes], &[crate::RecordHeader]) -> Vec<Queue>
        + Send
        + Sync
        + 'static,
    ) {
        let _ = self.0.router.set(Box::new(router));
    }

    /// An owner that no queue has yet.
    #[must_use]
    pub fn new_owner(&self) -> Owner {
        Owner(self.0.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// Declares a queue; durable when it returns. An existing one is returned as it is, and counts
    /// as used.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for settings that contradict each other, [`Error::Limit`],
    /// [`Error::Meta`], [`Error::Store`].
    pub async fn declare(
        &self,
        namespace: &str,
        name: &str,
        settings: QueueSettings,
    ) -> Result<Declared, Error> {
        let _one_at_a_time = self.0.changing.lock().await;
        if let Some(queue) = self.0.get(namespace, name) {
            queue.0.state.lock().used_ms = self.0.clock.unix_ms();
            return Ok(Declared {
                queue,
                created: false,
            });
        }
        check(&settings)?;
        let exchanges = self.0.broker()?.shared().exchanges.get().cloned();
        if exchanges.is_some_and(|exchanges| !exchanges.has_namespace(namespace)) {
            return Err(Error::UnknownNamespace(namespace.to_owned()));
        }
        let limit = self.0.config.queues_max;
        if self.0.table.read().count >= limit {
            return Err(Error::Limit {
                name: "queues.queues_max",
                limit: limit as u64,
            });
        }
        let this = self.clone();
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let broker = self.0.broker()?;
        let shared = broker.shared().clone();
        let queue = shared
            .blocking("broker.declare_queue", move || {
                this.declare_now(&broker, &namespace, &name, settings)
            })
            .await?;
        self.0.insert(queue.clone());
        Ok(Declared {
            queue,
            created: true,
        })
    }

    fn declare_now(
        &self,
        broker: &Broker,
        namespace: &str,
        name: &str,
        settings: QueueSettings,
    ) -> Result<Queue, Error> {
        let id = QueueId(self.0.rng.uuid());
        let now_ms = self.0.clock.unix_ms();
        let durable = settings.durable && settings.owner.is_none();
        let lanes = u32::from(settings.lanes.max(1));
        let hidden = format!("{TOPIC_PREFIX}{}", id.0.simple());
        let plain = namespace == DEFAULT_NAMESPACE && is_plain(name);
        let existing = broker
            .topic(name)
            .ok()
            .filter(|topic| plain && !topic.is_internal());
        let (topic, owns_topic) = if !durable {
            (broker.transient_topic(id.0, hidden, lanes)?, true)
        } else {
            let free = plain && broker.is_free(name);
            let mut row = meta::Queue {
                id: id.0,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                topic: if plain && (free || existing.is_some()) {
                    name.to_owned()
                } else {
                    hidden
                },
                topic_id: existing.as_ref().map(|topic| topic.id()),
                owns_topic: existing.is_none(),
                created_ms: now_ms,
                modified_ms: now_ms,
                settings: serde_json::to_value(&settings).unwrap_or_default(),
            };
            // The row first: a topic without its queue would look like anybody's.
            self.meta(broker)?.put_queue(&row)?;
            let owns_topic = existing.is_none();
            let topic = match existing {
                Some(topic) => topic,
                None => {
                    let topic = broker.queue_topic(&row.topic, lanes, row.topic != name)?;
                    row.topic_id = Some(topic.id());
                    self.meta(broker)?.put_queue(&row)?;
                    topic
                }
            };
            (topic, owns_topic)
        };
        let partitions = topic.partitions();
        let lanes = partitions.iter().map(|partition| {
            let stream = partition.stream().clone();
            let start = stream.start().0;
            Lane::new(stream, start)
        });
        let lanes = lanes.collect();
        let made = Made {
            id,
            namespace: Arc::from(namespace),
            name: Arc::from(name),
            topic,
            owns_topic,
            durable,
            created_ms: now_ms,
            modified_ms: now_ms,
            settings,
        };
        Ok(self.0.make(made, lanes))
    }

    fn meta(&self, broker: &Broker) -> Result<meta::Meta, Error> {
        Ok(broker.meta().clone())
    }

    /// The queue of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Queue> {
        self.0
            .get(namespace, name)
            .filter(|queue| !queue.is_deleted())
    }

    /// Changes a queue's settings; durable when it returns. Lanes, durability and owner stay what
    /// they are.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::InvalidRequest`], [`Error::Meta`].
    pub async fn configure(&self, queue: &Queue, settings: QueueSettings) -> Result<(), Error> {
        let _one_at_a_time = self.0.changing.lock().await;
        if queue.is_deleted() {
            return Err(queue.0.unknown());
        }
        let before = queue.settings();
        let settings = QueueSettings {
            lanes: before.lanes,
            durable: before.durable,
            owner: before.owner,
            ordered_groups: before.ordered_groups,
            ..settings
        };
        check(&settings)?;
        let now_ms = self.0.clock.unix_ms();
        if queue.0.durable {
            let broker = self.0.broker()?;
            let row = meta::Queue {
                id: queue.0.id.0,
                namespace: queue.namespace().to_string(),
                name: queue.name().to_string(),
                topic: queue.topic().name().to_string(),
                topic_id: Some(queue.topic().id()),
                owns_topic: queue.0.owns_topic,
                created_ms: queue.created_ms(),
                modified_ms: now_ms,
                settings: serde_json::to_value(&settings).unwrap_or_default(),
            };
            let shared = broker.shared().clone();
            let meta = broker.meta().clone();
            shared
                .blocking("broker.configure_queue", move || Ok(meta.put_queue(&row)?))
                .await?;
        }
        queue.0.change(|state| {
            state.watch |= may_expire(&settings);
            state.head_known = false;
            if settings.dedup != before.dedup {
                let made = settings.dedup.map(super::dedup::DedupWindow::new);
                state.dedup = made.map(Box::new);
            }
            state.modified_ms = now_ms;
            state.settings = Arc::new(settings);
        });
        queue.0.interested.store(true, Ordering::Release);
        queue.0.schedule();
        Ok(())
    }

    /// Deletes a queue with its messages; says how many were ready. A topic that it did not make
    /// stays.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`]; [`Error::InUse`], [`Error::NotEmpty`] where `when` asks for it;
    /// [`Error::Meta`], [`Error::Store`].
    pub async fn delete(&self, queue: &Queue, when: DeleteWhen) -> Result<u64, Error> {
        let _one_at_a_time = self.0.changing.lock().await;
        let inner = &queue.0;
        let stats = queue.stats();
        {
            let mut state = inner.state.lock();
            if state.deleted {
                return Err(inner.unknown());
            }
            if when.unused && !state.is_unused() {
                return Err(Error::InUse(inner.name.to_string()));
            }
            if when.empty && stats.ready > 0 {
                return Err(Error::NotEmpty(inner.name.to_string()));
            }
            state.deleted = true;
        }
        inner.end();
        let broker = self.0.broker()?;
        if inner.owns_topic {
            let lanes = inner.topic.partitions().len();
            broker.shared().topics.write().disclaim(lanes);
            match broker.drop_topic(inner.topic.clone()).await {
                Ok(()) | Err(Error::UnknownTopic(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if inner.durable {
            let (meta, id) = (broker.meta().clone(), inner.id.0);
            let shared = broker.shared().clone();
            shared
                .blocking("broker.delete_queue", move || Ok(meta.delete_queue(id)?))
                .await?;
            let now_ms = self.0.clock.unix_ms();
            let batch = journal::forget(inner.id, &inner.state.lock().lanes, now_ms);
            if let Some(batch) = batch {
                let options = AppendOptions {
                    epoch: self.0.epoch,
                    log_append_time: None,
                };
                // What is left of it there, the next start takes away.
                let _ = self.0.journal.stream.append(batch, options);
            }
        }
        self.0.unbind(&broker, queue).await;
        self.0.remove(queue);
        Ok(stats.ready)
    }

    /// Deletes the queues of an owner that is gone.
    pub async fn drop_owner(&self, owner: Owner) {
        let owned = self.0.table.read().owned.get(&owner.0).cloned();
        for queue in owned.unwrap_or_default() {
            if let Err(error) = self.delete(&queue, DeleteWhen::default()).await
                && !matches!(error, Error::UnknownQueue(_))
            {
                warn!(?queue, %error, "the queue of a connection that is gone was not deleted");
            }
        }
    }

    /// Lets go of the queues, which hold the engine as it holds them.
    pub(crate) fn release(&self) {
        let table = std::mem::take(&mut *self.0.table.write());
        drop((table, self.0.journal.release(), self.0.runs.release()));
    }

    /// Writes what the journal does not know yet.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        for queue in self.list(None) {
            queue.0.note_dirty();
        }
        self.0.flush().await
    }
}

/// Whether a queue of this name has a topic of the same name.
fn is_plain(name: &str) -> bool {
    meta::check_topic_name(name).is_ok()
        && !name.starts_with("__")
        && !name.starts_with(TOPIC_PREFIX)
}

fn check(settings: &QueueSettings) -> Result<(), Error> {
    let fails = |why: &str| Err(Error::InvalidRequest(why.to_owned()));
    if settings.lanes == 0 || settings.lanes > LANES_MAX {
        return fails("a queue has 1 to 256 lanes");
    }
    if settings.ordered_groups && settings.lanes > 1 {
        return fails("a queue with ordered groups has one lane");
    }
    if settings.overflow == Overflow::RejectDeadLetter && settings.dead_letter.is_none() {
        return fails("there is no place for dead letters");
    }
    if let Some(DeadLetter::Queue(name)) = &settings.dead_letter
        && name.is_empty()
    {
        return fails("the queue for dead letters has no name");
    }
    Ok(())
}
