//! The handle: opening the engine, finding topics, closing.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, HashMap, Metrics, Rng, StreamId, Tasks, TopicId};
use meta::Meta;
use parking_lot::{Mutex, RwLock};
use store::Store;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::access::Access;
use crate::config::Config;
use crate::error::Error;
use crate::exchange::Exchanges;
use crate::group::Groups;
use crate::metrics::BrokerMetrics;
use crate::partition::Partition;
use crate::policy::Policies;
use crate::queue::Queues;
use crate::topic::Topic;
use crate::topic_config::TopicConfig;

/// The setting that counts the starts; it is the leader epoch of everything appended since.
const EPOCH: &str = "broker.epoch";
/// How often silent producers are looked for.
const PRODUCER_SCAN: Duration = Duration::from_secs(600);
/// How many passwords are hashed at a time. It takes milliseconds of a processor each, which
/// strangers can ask for: they must not have all threads that also read from disk.
const HASHING_MAX: usize = 2;

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The log.
    pub store: Store,
    /// The control state.
    pub meta: Meta,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// Where tasks run.
    pub tasks: Tasks,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Section `[topics]`.
    pub config: Config,
    /// Section `[groups]`.
    pub groups: crate::group::Config,
    /// Section `[exchanges]`.
    pub exchanges: crate::exchange::Config,
    /// Section `[queues]`.
    pub queues: crate::queue::Config,
}

/// The engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Shared>);

/// What the engine's parts share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) meta: Meta,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) config: Config,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) epoch: i32,
    pub(crate) topics: RwLock<TopicTable>,
    pub(crate) groups: std::sync::OnceLock<Groups>,
    pub(crate) queues: std::sync::OnceLock<Queues>,
    pub(crate) exchanges: std::sync::OnceLock<Exchanges>,
    pub(crate) policies: std::sync::OnceLock<Policies>,
    pub(crate) access: Access,
    /// Held by whoever creates, changes or deletes topics: one at a time.
    pub(crate) changing: Mutex<()>,
    /// A permit for each password that may be hashed at a time.
    hashing: Arc<Semaphore>,
}

#[derive(Debug, Default)]
pub(crate) struct TopicTable {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
    /// How many topics have a name that is this in metrics.
    folded: HashMap<String, u32>,
    /// How many topics and partitions belong to queues, which have a limit of their own.
    of_queues: (usize, usize),
    partitions: usize,
}

/// A name as metrics have it.
fn folded(name: &str) -> String {
    name.replace('.', "_")
}

impl TopicTable {
    pub(crate) fn insert(&mut self, topic: Arc<Topic>) {
        *self.folded.entry(folded(topic.name())).or_default() += 1;
        self.partitions += topic.partitions().len();
        self.by_id.insert(topic.id(), topic.clone());
        self.by_name.insert(topic.name().clone(), topic);
    }

    pub(crate) fn remove(&mut self, topic: &Topic) {
        if self.by_id.remove(&topic.id()).is_none() {
            return;
        }
        self.by_name.remove(topic.name());
        self.partitions = self.partitions.saturating_sub(topic.partitions().len());
        let name = folded(topic.name());
        if let Some(count) = self.folded.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                self.folded.remove(&name);
            }
        }
    }

    /// Whether a topic has a name that is the same in metrics.
    pub(crate) fn collides(&self, name: &str) -> bool {
        self.folded.contains_key(&folded(name))
    }

    /// A topic of so many partitions belongs to a queue.
    pub(crate) fn claim(&mut self, partitions: usize) {
        self.of_queues.0 += 1;
        self.of_queues.1 += partitions;
    }

    /// It does not any more.
    pub(crate) fn disclaim(&mut self, partitions: usize) {
        self.of_queues.0 = self.of_queues.0.saturating_sub(1);
        self.of_queues.1 = self.of_queues.1.saturating_sub(partitions);
    }

    /// How many topics and partitions belong to no queue.
    pub(crate) fn own(&self) -> (usize, usize) {
        let (topics, partitions) = self.of_queues;
        let own = self.by_id.len().saturating_sub(topics);
        (own, self.partitions.saturating_sub(partitions))
    }

    pub(crate) fn grow(&mut self, partitions: usize) {
        self.partitions += partitions;
    }

    pub(crate) fn topics(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }
}

impl Shared {
    /// Runs `work`, which may wait for the disk, where it holds up no socket.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match self.tasks.spawn_blocking(name, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::ShuttingDown),
        }
    }
}

impl Broker {
    /// Opens the engine over an open store: loads the topics, finishes deletions that a crash
    /// interrupted, rebuilds what producers and groups need. Blocks.
    ///
    /// # Errors
    /// [`Error::Meta`], [`Error::Store`]; [`Error::InvalidConfig`] for `[topics] defaults`.
    pub fn open(parts: Parts) -> Result<Self, Error> {
        TopicConfig::parse(std::collections::BTreeMap::new(), &parts.config.defaults)?;
        let epoch = next_epoch(&parts.meta)?;
        let access = Access::new(&parts.meta, &parts.metrics);
        let shared = Arc::new(Shared {
            metrics: BrokerMetrics::new(&parts.metrics),
            store: parts.store,
            meta: parts.meta,
            clock: parts.clock.clone(),
            tasks: parts.tasks.clone(),
            config: parts.config,
            epoch,
            topics: RwLock::new(TopicTable::default()),
            groups: std::sync::OnceLock::new(),
            queues: std::sync::OnceLock::new(),
            exchanges: std::sync::OnceLock::new(),
            policies: std::sync::OnceLock::new(),
            access,
            changing: Mutex::new(()),
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
        });
        let broker = Self(shared);
        broker.remove_deleted()?;
        broker.remove_transient();
        for topic in broker.0.meta.topics().iter() {
            broker.load(topic)?;
        }
        broker.report_unknown_streams();
        let groups = broker.open_groups(parts.groups, parts.rng.clone(), &parts.metrics)?;
        broker.finish_deletions(&groups)?;
        let _ = broker.0.groups.set(groups);
        let queues = crate::queue::QueueParts {
            config: parts.queues,
            rng: parts.rng.clone(),
            metrics: parts.metrics.clone(),
        };
        let queues = Queues::open(&broker, queues)?;
        let _ = broker.0.queues.set(queues);
        broker.open_exchanges(parts.exchanges, parts.rng, &parts.metrics)?;
        broker.spawn_producer_expiry();
        Ok(broker)
    }

    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self(shared.clone())
    }

    /// Makes the groups' topic where there is none, and reads the groups back.
    fn open_groups(
        &self,
        config: crate::group::Config,
        rng: Rng,
        metrics: &Metrics,
    ) -> Result<Groups, Error> {
        self.internal_topic(crate::group::TOPIC, config.offsets_partitions)?;
        let groups = Groups::new(config, rng, metrics, &self.0);
        groups.load(self)?;
        Ok(groups)
    }

    /// Reads exchanges, bindings and policies back; after the queues, which bindings lead to.
    fn open_exchanges(
        &self,
        config: crate::exchange::Config,
        rng: Rng,
        metrics: &Metrics,
    ) -> Result<(), Error> {
        let policies = Policies::open(&self.0, config.policies_max)?;
        let _ = self.0.policies.set(policies);
        let exchanges = Exchanges::open(config, rng, metrics, &self.0, self.queues())?;
        let router = exchanges.clone();
        self.queues()
            .set_router(move |namespace, exchange, keys, headers| {
                router.route_record(namespace, exchange, keys, headers)
            });
        let _ = self.0.exchanges.set(exchanges);
        Ok(())
    }

    /// The compacted topic of this name that holds the engine's own state; made when there is none.
    pub(crate) fn internal_topic(&self, name: &str, partitions: u32) -> Result<Arc<Topic>, Error> {
        if let Ok(topic) = self.topic(name) {
            return Ok(topic);
        }
        let settings = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "104857600"),
            ("compression.type", "producer"),
        ];
        let config_map = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let new = crate::admin::NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            config: config_map.into(),
            internal: true,
        };
        self.create_topic_now(new, false)
    }

    /// Whether this is the user's password. Takes milliseconds, which no socket waits for; only
    /// a few are looked at at a time, and who goes away while waiting for that
    /// costs nothing.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub async fn verify_password(&self, user: &str, password: &str) -> Result<bool, Error> {
        let permit = self.0.hashing.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::ShuttingDown)?;
        let (meta, user, password) = (self.0.meta.clone(), user.to_owned(), password.to_owned());
        self.0
            .blocking("broker.verify_password", move || {
                let _permit = permit;
                Ok(meta.verify_password(&user, &password))
            })
            .await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// Removes what deletions have left that a crash interrupted.
    fn remove_deleted(&self) -> Result<(), Error> {
        for topic in self.0.meta.deleting() {
            info!(topic = %topic.name, id = %topic.id, "finishing a deletion");
            for partition in 0..topic.partitions {
                self.0.store.remove(StreamId {
                    topic: topic.id,
                    partition,
                })?;
            }
        }
        Ok(())
    }

    /// Forgets the deleted topics' offsets, too, and then the topics.
    fn finish_deletions(&self, groups: &Groups) -> Result<(), Error> {
        let deleted = self.0.meta.deleting();
        // Of a name that is in use again, the offsets may be the new topic's.
        let names = deleted.iter().map(|topic| topic.name.as_str());
        let names: Vec<&str> = names.filter(|name| self.topic(name).is_err()).collect();
        groups.forget_deleted(self, &names)?;
        for topic in deleted {
            self.0.meta.finish_delete(topic.id)?;
        }
        Ok(())
    }

    /// Puts a topic of the control state into the table, with its streams.
    pub(crate) fn load(&self, topic: &meta::Topic) -> Result<Arc<Topic>, Error> {
        let config = Arc::new(TopicConfig::parse(
            topic.config.clone(),
            &self.0.config.defaults,
        )?);
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let mut partitions = Vec::new();
        for index in 0..topic.partitions {
            partitions.push(self.open_partition(&name, topic.id, index, &config)?);
        }
        let topic = Arc::new(Topic::new(
            topic.id,
            name,
            topic.internal,
            config,
            partitions,
        ));
        self.0.topics.write().insert(topic.clone());
        self.count_topics();
        Ok(topic)
    }

    pub(crate) fn open_partition(
        &self,
        name: &Arc<str>,
        topic: TopicId,
        partition: u32,
        config: &Arc<TopicConfig>,
    ) -> Result<Arc<Partition>, Error> {
        let id = StreamId { topic, partition };
        let stream = self.0.store.create(id, config.stream.clone())?;
        let partition = Partition::open(
            name.clone(),
            stream,
            self.0.epoch,
            config.clone(),
            self.0.clone(),
        )?;
        Ok(Arc::new(partition))
    }

    pub(crate) fn count_topics(&self) {
        let table = self.0.topics.read();
        let as_gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.0.metrics.topics.set(as_gauge(table.topics()));
        self.0.metrics.partitions.set(as_gauge(table.partitions()));
    }

    /// Streams that no topic owns are kept: a lost control state must not delete data.
    fn report_unknown_streams(&self) {
        let table = self.0.topics.read();
        let unknown = self
            .0
            .store
            .streams()
            .into_iter()
            .filter(|id| !table.by_id.contains_key(&id.topic))
            .count();
        if unknown > 0 {
            warn!(
                unknown,
                "the store holds streams of topics that the control state does not know"
            );
        }
    }

    fn spawn_producer_expiry(&self) {
        let shared = Arc::downgrade(&self.0);
        let mut shutdown = self.0.tasks.shutdown();
        self.0.tasks.spawn("broker.producer_expiry", async move {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(PRODUCER_SCAN) => {}
                }
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let keep = i64::try_from(shared.config.producer_expiration_ms).unwrap_or(i64::MAX);
                let before = shared.clock.unix_ms().saturating_sub(keep);
                for topic in Self(shared).topics() {
                    topic
                        .partitions()
                        .iter()
                        .for_each(|p| p.expire_producers(before));
                }
            }
        });
    }

    /// The topic called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        // No topic has a longer name: who makes one up and asks about it a thousand times must not
        // have it hashed and repeated as often.
        if name.len() > meta::TOPIC_NAME_MAX {
            let short: String = name.chars().take(meta::TOPIC_NAME_MAX).collect();
            return Err(Error::UnknownTopic(format!("{short}..")));
        }
        let found = self.0.topics.read().by_name.get(name).cloned();
        found.ok_or_else(|| Error::UnknownTopic(name.to_owned()))
    }

    /// The topic whose id is `id`.
    ///
    /// # Errors
    /// [`Error::UnknownTopicId`].
    pub fn topic_by_id(&self, id: TopicId) -> Result<Arc<Topic>, Error> {
        let found = self.0.topics.read().by_id.get(&id).cloned();
        found.ok_or(Error::UnknownTopicId(id))
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<_> = self.0.topics.read().by_id.values().cloned().collect();
        topics.sort_by(|a, b| a.name().cmp(b.name()));
        topics
    }

    /// The consumer groups.
    ///
    /// # Panics
    /// Never: the groups are set before `open` returns.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        self.0
            .groups
            .get()
            .expect("set by open, before anybody has the handle")
    }

    /// The queues.
    ///
    /// # Panics
    /// Never: they are set before `open` returns.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        self.0
            .queues
            .get()
            .expect("set by open, before anybody has the handle")
    }

    /// The exchanges and their bindings.
    ///
    /// # Panics
    /// Never: they are set before `open` returns.
    #[must_use]
    pub fn exchanges(&self) -> &Exchanges {
        self.0
            .exchanges
            .get()
            .expect("set by open, before anybody has the handle")
    }

    /// The policies.
    ///
    /// # Panics
    /// Never: they are set before `open` returns.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        self.0
            .policies
            .get()
            .expect("set by open, before anybody has the handle")
    }

    /// Who may do what.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// The control state: users, broker configuration, the cluster's id.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// Time, as the engine sees it.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The settings the engine was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The leader epoch of this start.
    #[must_use]
    pub fn epoch(&self) -> i32 {
        self.0.epoch
    }

    /// The log: its state, recovery report and damage, for operators.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The process's memory.
    #[must_use]
    pub fn ledger(&self) -> &base::Ledger {
        self.0.store.ledger()
    }

    /// Waits until the commit queue takes appends again.
    pub async fn room(&self) {
        self.0.store.room().await;
    }

    /// A producer id that was never given out before.
    ///
    /// # Errors
    /// [`Error::Meta`].
    pub async fn new_producer_id(&self) -> Result<i64, Error> {
        let shared = self.0.clone();
        self.0
            .blocking("broker.producer_id", move || {
                Ok(shared.meta.next_producer_id()?)
            })
            .await
    }

    /// Saves what makes the next start quick and closes the store.
    ///
    /// # Errors
    /// [`Error::Store`] when not everything could be synced.
    pub async fn close(&self) -> Result<(), Error> {
        // Whatever stops it stops the store's end, too, which says so.
        let _ = self.queues().close().await;
        for topic in self.topics() {
            topic.partitions().iter().for_each(|p| p.snapshot());
        }
        Ok(self.0.store.close().await?)
    }
}

fn next_epoch(meta: &Meta) -> Result<i32, Error> {
    let last = meta
        .setting(EPOCH)
        .and_then(|text| text.parse::<i32>().ok());
    let epoch = last.map_or(0, |last| last.saturating_add(1));
    meta.set_setting(EPOCH, &epoch.to_string())?;
    Ok(epoch)
}
