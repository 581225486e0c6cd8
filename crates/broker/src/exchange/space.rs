//! A namespace: its exchanges, routing through several of them, and what goes with what.
//!
//! Everything here is in memory. Changes come one at a time (the registry's lock); routing may
//! happen at any time between their steps, and sees a binding or does not.

use std::sync::Arc;

use base::{HashMap, HashSet};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::binding::Match;
use super::bound::{Bound, Same, Target};
use super::table::Query;
use super::{Exchange, NamespaceSettings};
use crate::queue::QueueId;

/// A queue that a message is routed to.
pub(super) type Found = (Arc<str>, QueueId);

/// The exchanges and bindings of a namespace.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) name: Arc<str>,
    pub(super) settings: RwLock<NamespaceSettings>,
    exchanges: RwLock<HashMap<Arc<str>, Arc<Exchange>>>,
    index: Mutex<Index>,
}

/// Bindings by where they lead.
#[derive(Debug, Default)]
struct Index {
    queues: HashMap<Arc<str>, HashSet<Arc<Bound>>>,
    exchanges: HashMap<Arc<str>, HashSet<Arc<Bound>>>,
    bindings: usize,
}

impl Index {
    fn side(&mut self, exchange: bool) -> &mut HashMap<Arc<str>, HashSet<Arc<Bound>>> {
        if exchange {
            &mut self.exchanges
        } else {
            &mut self.queues
        }
    }

    fn to(&self, name: &str, exchange: bool) -> Vec<Arc<Bound>> {
        let side = if exchange {
            &self.exchanges
        } else {
            &self.queues
        };
        side.get(name).into_iter().flatten().cloned().collect()
    }

    fn insert(&mut self, bound: &Arc<Bound>) {
        let (Target::Queue(name, _) | Target::Exchange(name)) = bound.target();
        let side = self.side(bound.target().is_exchange());
        side.entry(name.clone()).or_default().insert(bound.clone());
        self.bindings += 1;
    }

    fn remove(&mut self, bound: &Arc<Bound>) {
        let name = bound.target().name();
        let side = self.side(bound.target().is_exchange());
        let Some(to) = side.get_mut(name) else {
            return;
        };
        let removed = to.remove(bound);
        if to.is_empty() {
            side.remove(name);
        }
        self.bindings -= usize::from(removed);
    }
}

/// What is to go, together.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) exchanges: Vec<Arc<Exchange>>,
    pub(super) bindings: HashSet<Arc<Bound>>,
}

impl Space {
    pub(super) fn new(name: &str, settings: NamespaceSettings) -> Self {
        Self {
            name: Arc::from(name),
            settings: RwLock::new(settings),
            exchanges: RwLock::default(),
            index: Mutex::default(),
        }
    }

    pub(super) fn get(&self, exchange: &str) -> Option<Arc<Exchange>> {
        self.exchanges.read().get(exchange).cloned()
    }

    /// All exchanges, by name.
    pub(super) fn list(&self) -> Vec<Arc<Exchange>> {
        let mut list: Vec<_> = self.exchanges.read().values().cloned().collect();
        list.sort_by(|a, b| a.name().cmp(b.name()));
        list
    }

    pub(super) fn exchanges(&self) -> usize {
        self.exchanges.read().len()
    }

    pub(super) fn bindings(&self) -> usize {
        self.index.lock().bindings
    }

    pub(super) fn add(&self, exchange: Arc<Exchange>) {
        let name = exchange.name().clone();
        self.exchanges.write().insert(name, exchange);
    }

    /// Puts a binding behind its source, unless one that says the same is there.
    pub(super) fn bind(&self, source: &Exchange, bound: &Arc<Bound>) {
        if source.find(&Same(bound.clone())).is_none() {
            self.index.lock().insert(bound);
            source.insert(bound);
        }
    }

    /// The bindings that lead to a queue.
    pub(super) fn to_queue(&self, queue: &str) -> Vec<Arc<Bound>> {
        self.index.lock().to(queue, false)
    }

    /// The bindings that lead to an exchange.
    pub(super) fn to_exchange(&self, exchange: &str) -> Vec<Arc<Bound>> {
        self.index.lock().to(exchange, true)
    }

    /// What goes when these bindings and exchanges go: the bindings on both sides of an exchange,
    /// and each exchange that is left without any by that and does not outlive it.
    pub(super) fn leaving(
        &self,
        bindings: Vec<Arc<Bound>>,
        exchanges: Vec<Arc<Exchange>>,
    ) -> Leaving {
        let mut leaving = Leaving::default();
        // By source, how many of its bindings go.
        let mut gone: HashMap<Arc<str>, usize> = HashMap::default();
        let mut bindings_next = bindings;
        let mut exchanges_next = exchanges;
        loop {
            while let Some(bound) = bindings_next.pop() {
                let source = bound.source().clone();
                if !leaving.bindings.insert(bound) {
                    continue;
                }
                let count = gone.entry(source.clone()).or_default();
                *count += 1;
                let exchange = self.get(&source).filter(|exchange| {
                    exchange.settings().auto_delete && exchange.bindings() == *count
                });
                exchanges_next.extend(exchange);
            }
            let Some(exchange) = exchanges_next.pop() else {
                return leaving;
            };
            if leaving.exchanges.iter().any(|e| Arc::ptr_eq(e, &exchange)) {
                continue;
            }
            bindings_next.extend(exchange.bound());
            bindings_next.extend(self.to_exchange(exchange.name()));
            leaving.exchanges.push(exchange);
        }
    }

    /// Takes all of it away.
    pub(super) fn remove(&self, leaving: &Leaving) {
        let mut exchanges = self.exchanges.write();
        for exchange in &leaving.exchanges {
            exchanges.remove(exchange.name());
        }
        drop(exchanges);
        let mut by_source: HashMap<&Arc<str>, Vec<Arc<Bound>>> = HashMap::default();
        for bound in &leaving.bindings {
            let of_source = by_source.entry(bound.source()).or_default();
            of_source.push(bound.clone());
        }
        for (source, bounds) in by_source {
            // One that goes as a whole may still be held by whoever publishes.
            let leaving = leaving.exchanges.iter().find(|e| e.name() == source);
            let exchange = leaving.cloned().or_else(|| self.get(source));
            if let Some(exchange) = exchange {
                exchange.remove(&bounds);
            }
        }
        let mut index = self.index.lock();
        leaving
            .bindings
            .iter()
            .for_each(|bound| index.remove(bound));
    }

    /// The queues that a message goes to, each once; `None` when there is no such exchange.
    pub(super) fn route(
        &self,
        exchange: &str,
        keys: &[Bytes],
        headers: &dyn Fn(&str) -> Option<Match>,
        random: &dyn Fn() -> u64,
    ) -> Option<Vec<Found>> {
        let query = Query {
            keys,
            headers,
            random,
        };
        let mut here = self.get(exchange)?;
        let mut found: Vec<Found> = Vec::new();
        // Exchanges that were come to; those from `next` on have not been looked at.
        let mut seen: Vec<Arc<Exchange>> = Vec::new();
        let mut known: Option<HashSet<Arc<str>>> = None;
        let mut next = 0;
        loop {
            let mut any = false;
            let mut further: Vec<Arc<str>> = Vec::new();
            here.visit(&query, &mut |bound| {
                any = true;
                match bound.target() {
                    Target::Queue(name, id) => found.push((name.clone(), *id)),
                    Target::Exchange(name) => further.push(name.clone()),
                }
            });
            if !any {
                further.extend(here.alternate());
            }
            for name in further {
                let known =
                    known.get_or_insert_with(|| [here.name().clone()].into_iter().collect());
                if known.insert(name.clone()) {
                    seen.extend(self.get(&name));
                }
            }
            let Some(exchange) = seen.get(next) else {
                break;
            };
            here = exchange.clone();
            next += 1;
        }
        if found.len() > 1 {
            found.sort_unstable_by_key(|(_, id)| *id);
            found.dedup_by_key(|(_, id)| *id);
        }
        Some(found)
    }
}
