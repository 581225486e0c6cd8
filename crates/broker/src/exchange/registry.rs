//! The handle: declaring, binding, routing. One change at a time; each is durable in the control
//! state before it is visible, and before it is acknowledged.

use std::sync::{Arc, Weak};

use base::{HashMap, Metrics, Rng};
use bytes::Bytes;
use meta::{Catalog, RowChange};
use parking_lot::{Mutex, RwLock};
use tracing::warn;

use super::binding::{Binding, Destination, Match};
use super::bound::{Bound, Same, Target};
use super::config::Config;
use super::space::{Leaving, Space};
use super::{Exchange, ExchangeSettings};
use crate::broker::Shared;
use crate::error::Error;
use crate::metrics::ExchangeMetrics;
use crate::queue::{Queue, Queues};
use crate::records::RecordHeader;

/// The longest name of an exchange or namespace, in bytes.
pub(super) const NAME_MAX: usize = 255;
/// The most bytes that the row of an exchange or namespace may have: what a head keeps with it is
/// not to fill the control state.
const ROW_MAX: usize = 64 << 10;

/// The exchanges; cheap to clone.
#[derive(Clone, Debug)]
pub struct Exchanges(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) shared: Weak<Shared>,
    pub(super) config: Config,
    pub(super) metrics: ExchangeMetrics,
    rng: Rng,
    pub(super) spaces: RwLock<HashMap<Arc<str>, Arc<Space>>>,
    /// Held by whoever changes anything.
    pub(super) changing: Mutex<Changing>,
}

/// What only who changes something needs.
#[derive(Debug, Default)]
pub(super) struct Changing {
    /// The number of the last binding's row.
    row: u64,
    /// The exchanges that every namespace begins with.
    pub(super) given: Vec<(String, ExchangeSettings)>,
}

impl Exchanges {
    /// Reads everything back. Blocks. Bindings whose queue is gone (it was not durable, or a crash
    /// came between both deletions) are removed.
    pub(crate) fn open(
        config: Config,
        rng: Rng,
        metrics: &Metrics,
        shared: &Arc<Shared>,
        queues: &Queues,
    ) -> Result<Self, Error> {
        let exchanges = Self(Arc::new(Inner {
            shared: Arc::downgrade(shared),
            config,
            metrics: ExchangeMetrics::new(metrics),
            rng,
            spaces: RwLock::default(),
            changing: Mutex::default(),
        }));
        exchanges.load_namespaces(&shared.meta)?;
        for row in shared.meta.catalog(Catalog::Exchanges)? {
            if let Some(space) = exchanges.space_of(&row.namespace) {
                let name = Arc::from(row.name.as_str());
                space.add(Arc::new(Exchange::new(name, row.value)));
            }
        }
        let mut lost = Vec::new();
        for row in shared.meta.catalog::<Binding>(Catalog::Bindings)? {
            let number = u64::from_str_radix(&row.name, 16).unwrap_or(0);
            let mut changing = exchanges.0.changing.lock();
            changing.row = changing.row.max(number);
            drop(changing);
            if !exchanges.load_binding(&row.namespace, row.value, number, queues) {
                lost.push(RowChange::remove(
                    Catalog::Bindings,
                    &row.namespace,
                    &row.name,
                ));
            }
        }
        if !lost.is_empty() {
            warn!(
                bindings = lost.len(),
                "removing bindings of queues that are gone"
            );
            shared.meta.change_catalog(&lost)?;
        }
        exchanges.count();
        Ok(exchanges)
    }

    fn load_binding(&self, namespace: &str, binding: Binding, row: u64, queues: &Queues) -> bool {
        let Some(space) = self.space_of(namespace) else {
            return false;
        };
        let Some(source) = space.get(&binding.source) else {
            return false;
        };
        let Ok((target, _)) = target(&space, &binding.destination, queues) else {
            return false;
        };
        let bound = Arc::new(Bound::new(source.name(), target, binding, row));
        space.bind(&source, &bound);
        true
    }

    pub(super) fn shared(&self) -> Result<Arc<Shared>, Error> {
        self.0.shared.upgrade().ok_or(Error::ShuttingDown)
    }

    fn space_of(&self, namespace: &str) -> Option<Arc<Space>> {
        self.0.spaces.read().get(namespace).cloned()
    }

    pub(super) fn space(&self, namespace: &str) -> Result<Arc<Space>, Error> {
        let space = self.space_of(namespace);
        space.ok_or_else(|| Error::UnknownNamespace(namespace.to_owned()))
    }

    /// Whether there is a namespace of this name.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.0.spaces.read().contains_key(name)
    }

    pub(super) fn count(&self) {
        let spaces = self.0.spaces.read();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let exchanges = spaces.values().map(|space| space.exchanges()).sum();
        let bindings = spaces.values().map(|space| space.bindings()).sum();
        self.0.metrics.namespaces.set(gauge(spaces.len()));
        self.0.metrics.exchanges.set(gauge(exchanges));
        self.0.metrics.bindings.set(gauge(bindings));
    }

    /// Runs a change, which may wait for the disk, where it holds up no socket.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Self, &Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = self.shared()?;
        let (exchanges, of_work) = (self.clone(), shared.clone());
        let work = move || {
            let result = work(&exchanges, &of_work);
            exchanges.count();
            result
        };
        shared.blocking(name, work).await
    }

    /// Declares an exchange; an existing one is returned as it is, with `false`.
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`], [`Error::InvalidRequest`] for a name that is empty or longer
    /// than 255 bytes, [`Error::Limit`], [`Error::Meta`].
    pub async fn declare(
        &self,
        namespace: &str,
        name: &str,
        settings: ExchangeSettings,
    ) -> Result<(Arc<Exchange>, bool), Error> {
        if let Some(exchange) = self.get(namespace, name) {
            return Ok((exchange, false));
        }
        let new = vec![(name.to_owned(), settings)];
        let mut declared = self.declare_all(namespace, new).await?;
        declared.pop().ok_or(Error::ShuttingDown)
    }

    /// Declares all of these or none, as one change.
    ///
    /// # Errors
    /// As [`Exchanges::declare`].
    pub async fn declare_all(
        &self,
        namespace: &str,
        new: Vec<(String, ExchangeSettings)>,
    ) -> Result<Vec<(Arc<Exchange>, bool)>, Error> {
        let namespace = namespace.to_owned();
        self.change("broker.exchange.declare", move |exchanges, shared| {
            let _one_at_a_time = exchanges.0.changing.lock();
            let space = exchanges.space(&namespace)?;
            exchanges.declare_now(&space, new, &shared.meta)
        })
        .await
    }

    pub(super) fn declare_now(
        &self,
        space: &Space,
        new: Vec<(String, ExchangeSettings)>,
        meta: &meta::Meta,
    ) -> Result<Vec<(Arc<Exchange>, bool)>, Error> {
        let mut declared: Vec<(Arc<Exchange>, bool)> = Vec::with_capacity(new.len());
        let mut rows = Vec::new();
        let mut made = 0;
        for (name, settings) in new {
            let twice = declared.iter().find(|(e, _)| **e.name() == *name);
            let there = twice.map(|(e, _)| e.clone()).or_else(|| space.get(&name));
            if let Some(exchange) = there {
                declared.push((exchange, false));
                continue;
            }
            check_name("an exchange's", &name)?;
            made += 1;
            let limit = self.0.config.exchanges_max;
            check_limit("exchanges.exchanges_max", space.exchanges() + made, limit)?;
            let row = RowChange::put(Catalog::Exchanges, &space.name, &name, &settings);
            check_row(&row)?;
            if settings.durable {
                rows.push(row);
            }
            declared.push((Arc::new(Exchange::new(Arc::from(name), settings)), true));
        }
        meta.change_catalog(&rows)?;
        for (exchange, _) in declared.iter().filter(|(_, made)| *made) {
            space.add(exchange.clone());
        }
        Ok(declared)
    }

    /// The exchange called `name`. The one without a name is not among them: it has no settings and
    /// no bindings.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Exchange>> {
        self.space_of(namespace)?.get(name)
    }

    /// The exchanges of a namespace, by name.
    #[must_use]
    pub fn list(&self, namespace: &str) -> Vec<Arc<Exchange>> {
        self.space_of(namespace)
            .map_or_else(Vec::new, |space| space.list())
    }

    /// Whether every namespace begins with an exchange of this name.
    #[must_use]
    pub fn is_predeclared(&self, name: &str) -> bool {
        let changing = self.0.changing.lock();
        changing.given.iter().any(|(given, _)| given == name)
    }

    /// Deletes an exchange, with its bindings and the auto-delete exchanges that are left without
    /// any. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::InUse`] with `if_unused` when a binding leads from it; [`Error::UnknownNamespace`],
    /// [`Error::Meta`].
    pub async fn delete(
        &self,
        namespace: &str,
        name: &str,
        if_unused: bool,
    ) -> Result<bool, Error> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.change("broker.exchange.delete", move |exchanges, shared| {
            let _one_at_a_time = exchanges.0.changing.lock();
            let space = exchanges.space(&namespace)?;
            let Some(exchange) = space.get(&name) else {
                return Ok(false);
            };
            if if_unused && exchange.bindings() > 0 {
                return Err(Error::InUse(name));
            }
            let leaving = space.leaving(Vec::new(), vec![exchange]);
            exchanges.leave(&space, &leaving, &shared.meta)?;
            Ok(true)
        })
        .await
    }

    fn leave(&self, space: &Space, leaving: &Leaving, meta: &meta::Meta) -> Result<(), Error> {
        let durable = leaving.exchanges.iter().filter(|e| e.settings().durable);
        let exchanges =
            durable.map(|e| RowChange::remove(Catalog::Exchanges, &space.name, e.name()));
        let rows = leaving.bindings.iter().filter_map(|bound| bound.row());
        let bindings =
            rows.map(|row| RowChange::remove(Catalog::Bindings, &space.name, &row_name(row)));
        let changes: Vec<_> = exchanges.chain(bindings).collect();
        meta.change_catalog(&changes)?;
        space.remove(leaving);
        Ok(())
    }

    /// Makes a binding. Says whether it is new.
    ///
    /// # Errors
    /// [`Error::UnknownExchange`], [`Error::UnknownQueue`]; [`Error::InvalidRequest`] for what the
    /// source's kind does not take; [`Error::UnknownNamespace`], [`Error::Limit`],
    /// [`Error::Meta`].
    pub async fn bind(&self, namespace: &str, binding: Binding) -> Result<bool, Error> {
        Ok(self.bind_all(namespace, vec![binding]).await? > 0)
    }

    /// Makes all of these bindings or none, as one change. Says how many are new.
    ///
    /// # Errors
    /// As [`Exchanges::bind`].
    pub async fn bind_all(&self, namespace: &str, new: Vec<Binding>) -> Result<usize, Error> {
        let namespace = namespace.to_owned();
        self.change("broker.exchange.bind", move |exchanges, shared| {
            let mut changing = exchanges.0.changing.lock();
            let space = exchanges.space(&namespace)?;
            let queues = shared.queues.get().ok_or(Error::ShuttingDown)?;
            let mut made = base::HashSet::default();
            let mut rows = Vec::new();
            for binding in new {
                let unknown = || Error::UnknownExchange(binding.source.clone());
                let source = space.get(&binding.source).ok_or_else(unknown)?;
                let (target, durable) = target(&space, &binding.destination, queues)?;
                exchanges.check_binding(&source, &binding)?;
                let row = if durable && source.settings().durable {
                    changing.row += 1;
                    changing.row
                } else {
                    0
                };
                let put = RowChange::put(Catalog::Bindings, &namespace, &row_name(row), &binding);
                let bound = Arc::new(Bound::new(source.name(), target, binding, row));
                let known = source.find(&Same(bound.clone())).is_some();
                if known || !made.insert((source.name().clone(), Same(bound))) {
                    continue;
                }
                rows.extend((row != 0).then_some(put));
            }
            let limit = exchanges.0.config.bindings_max;
            check_limit(
                "exchanges.bindings_max",
                space.bindings() + made.len(),
                limit,
            )?;
            shared.meta.change_catalog(&rows)?;
            for (source, Same(bound)) in &made {
                if let Some(source) = space.get(source) {
                    space.bind(&source, bound);
                }
            }
            Ok(made.len())
        })
        .await
    }

    fn check_binding(&self, source: &Exchange, binding: &Binding) -> Result<(), Error> {
        let arguments = binding.arguments.iter();
        let bytes: usize = arguments
            .map(|(name, value)| name.len() + value.size())
            .sum();
        let limit = self.0.config.binding_bytes_max.as_usize();
        check_limit(
            "exchanges.binding_bytes_max",
            bytes + binding.key.len(),
            limit,
        )?;
        source.check(binding)
    }

    /// Takes a binding away, and the source when it is auto-delete and has no other. Says whether
    /// it was there; a binding of what does not exist was not.
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`], [`Error::Meta`].
    pub async fn unbind(&self, namespace: &str, binding: &Binding) -> Result<bool, Error> {
        let (namespace, binding) = (namespace.to_owned(), binding.clone());
        self.change("broker.exchange.unbind", move |exchanges, shared| {
            let _one_at_a_time = exchanges.0.changing.lock();
            let space = exchanges.space(&namespace)?;
            let queues = shared.queues.get().ok_or(Error::ShuttingDown)?;
            let Some(source) = space.get(&binding.source) else {
                return Ok(false);
            };
            let Ok((target, _)) = target(&space, &binding.destination, queues) else {
                return Ok(false);
            };
            let like = Same(Arc::new(Bound::new(source.name(), target, binding, 0)));
            let Some(bound) = source.find(&like) else {
                return Ok(false);
            };
            let leaving = space.leaving(vec![bound], Vec::new());
            exchanges.leave(&space, &leaving, &shared.meta)?;
            Ok(true)
        })
        .await
    }

    /// All bindings of a namespace, by source.
    #[must_use]
    pub fn bindings(&self, namespace: &str) -> Vec<Binding> {
        let exchanges = self.list(namespace);
        sorted(exchanges.iter().flat_map(|exchange| exchange.bound()))
    }

    /// The bindings that lead to a queue.
    #[must_use]
    pub fn of_queue(&self, namespace: &str, queue: &str) -> Vec<Binding> {
        let space = self.space_of(namespace);
        sorted(space.into_iter().flat_map(|space| space.to_queue(queue)))
    }

    /// The bindings that lead from an exchange.
    #[must_use]
    pub fn of_exchange(&self, namespace: &str, exchange: &str) -> Vec<Binding> {
        let exchange = self.get(namespace, exchange);
        sorted(exchange.into_iter().flat_map(|exchange| exchange.bound()))
    }

    /// The bindings that lead to an exchange.
    #[must_use]
    pub fn to_exchange(&self, namespace: &str, exchange: &str) -> Vec<Binding> {
        let space = self.space_of(namespace);
        sorted(
            space
                .into_iter()
                .flat_map(|space| space.to_exchange(exchange)),
        )
    }

    /// The queues that a message with these routing keys and headers goes to, each once. The
    /// exchange without a name leads to the queues that the keys name.
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`], [`Error::UnknownExchange`].
    pub fn route(
        &self,
        namespace: &str,
        exchange: &str,
        keys: &[Bytes],
        headers: &dyn Fn(&str) -> Option<Match>,
    ) -> Result<Vec<Queue>, Error> {
        let shared = self.shared()?;
        let queues = shared.queues.get().ok_or(Error::ShuttingDown)?;
        let found = if exchange.is_empty() {
            named(namespace, keys, queues)
        } else {
            let space = self.space(namespace)?;
            let found = space
                .route(exchange, keys, headers, &|| self.0.rng.next_u64())
                .ok_or_else(|| Error::UnknownExchange(exchange.to_owned()))?;
            // A queue that is being deleted is gone before its bindings are.
            let found = found.into_iter().filter_map(|(name, id)| {
                let queue = queues.get(namespace, &name)?;
                (queue.id() == id).then_some(queue)
            });
            found.collect()
        };
        let metrics = &self.0.metrics;
        if found.is_empty() {
            metrics.unroutable.inc();
        } else {
            metrics.routed.inc();
        }
        Ok(found)
    }

    /// The queues that a stored record goes to, by its headers as text; none where there is no such
    /// exchange.
    pub(crate) fn route_record(
        &self,
        namespace: &str,
        exchange: &str,
        keys: &[Bytes],
        headers: &[RecordHeader],
    ) -> Vec<Queue> {
        let headers = |name: &str| {
            let (_, value) = headers.iter().find(|(key, _)| key == name)?;
            Some(value.clone().map_or(Match::Void, Match::Text))
        };
        let found = self.route(namespace, exchange, keys, &headers);
        found.unwrap_or_default()
    }

    /// Takes away the bindings of a queue that is gone, and the auto-delete exchanges that are left
    /// without any. To be called when nobody finds the queue any more. Blocks for the disk when a
    /// durable binding goes.
    ///
    /// # Errors
    /// [`Error::Meta`]: then the bindings stay, lead nowhere, and go at the next start.
    pub fn queue_deleted(&self, queue: &Queue) -> Result<(), Error> {
        let shared = self.shared()?;
        let _one_at_a_time = self.0.changing.lock();
        let Some(space) = self.space_of(queue.namespace()) else {
            return Ok(());
        };
        let mut bindings = space.to_queue(queue.name());
        // One of the same name that was declared since keeps its own.
        bindings
            .retain(|bound| matches!(bound.target(), Target::Queue(_, id) if *id == queue.id()));
        let leaving = space.leaving(bindings, Vec::new());
        let left = self.leave(&space, &leaving, &shared.meta);
        self.count();
        left
    }
}

fn named(namespace: &str, keys: &[Bytes], queues: &Queues) -> Vec<Queue> {
    let mut found: Vec<Queue> = Vec::new();
    for key in keys {
        let queue = std::str::from_utf8(key)
            .ok()
            .and_then(|name| queues.get(namespace, name));
        let new = queue.filter(|queue| found.iter().all(|other| other.id() != queue.id()));
        found.extend(new);
    }
    found
}

/// Where a binding leads, and whether that is durable.
fn target(
    space: &Space,
    destination: &Destination,
    queues: &Queues,
) -> Result<(Target, bool), Error> {
    match destination {
        Destination::Queue(name) => {
            let queue = queues
                .get(&space.name, name)
                .ok_or_else(|| Error::UnknownQueue(name.clone()))?;
            let settings = queue.settings();
            let durable = settings.durable && settings.owner.is_none();
            Ok((Target::Queue(queue.name().clone(), queue.id()), durable))
        }
        Destination::Exchange(name) => {
            let exchange = space
                .get(name)
                .ok_or_else(|| Error::UnknownExchange(name.clone()))?;
            let durable = exchange.settings().durable;
            Ok((Target::Exchange(exchange.name().clone()), durable))
        }
    }
}

fn sorted(bound: impl Iterator<Item = Arc<Bound>>) -> Vec<Binding> {
    let mut bindings: Vec<_> = bound.map(|bound| bound.binding()).collect();
    bindings.sort_unstable();
    bindings
}

fn row_name(row: u64) -> String {
    format!("{row:016x}")
}

pub(crate) fn check_name(whose: &str, name: &str) -> Result<(), Error> {
    if (1..=NAME_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::InvalidRequest(format!(
        "{whose} name has 1 to {NAME_MAX} bytes; this one has {}",
        name.len()
    )))
}

pub(crate) fn check_limit(name: &'static str, wanted: usize, limit: usize) -> Result<(), Error> {
    if wanted <= limit {
        return Ok(());
    }
    let limit = limit as u64;
    Err(Error::Limit { name, limit })
}

pub(crate) fn check_row(row: &RowChange) -> Result<(), Error> {
    if row.bytes() <= ROW_MAX {
        return Ok(());
    }
    Err(Error::InvalidRequest(format!(
        "its settings have {} bytes; {ROW_MAX} are allowed",
        row.bytes()
    )))
}
