//! Exchanges: what a message goes through to the queues that want it.
//!
//! Each *namespace* has exchanges, and *bindings* that lead from an exchange to queues and other
//! exchanges. A publisher names an exchange; the exchange's kind ([`ExchangeKind`]) compares the
//! message's routing keys or headers with its bindings; where those lead to exchanges, the message
//! goes through them too, each at most once. What comes out is a set of queues. The exchange
//! without a name leads to the queues that the keys name. An exchange that finds no binding hands
//! the message to its *alternate*.
//!
//! | module | what it holds |
//! |---|---|
//! | [`kind`], [`binding`] | the nouns |
//! | [`table`] | the bindings of one exchange; [`trie`], [`headers`], [`spread`] are its forms |
//! | [`space`] | the exchanges of a namespace: routing through several, what goes with what |
//! | [`registry`] | the handle: one change at a time, durable before it is visible; limits |
//! | [`namespace`] | making and deleting namespaces |
//!
//! **Routing takes no lock that another routing waits for.** Each exchange has a read-write lock
//! around its table, held for one look-up and never together with another's. A snapshot that is
//! replaced as a whole would spare readers even that, but each new binding would copy a table of
//! maybe 100,000; a change in place takes microseconds.
//!
//! **What goes with what**: a queue's or exchange's bindings go with it; an exchange that is
//! `auto_delete` goes with the last binding that leads from it. All of that is computed before
//! anything is changed, written as one transaction, and then made visible. An exchange that is not
//! durable is in memory only, as is a binding unless both of its ends are durable.
//!
//! Locks: `changing`, then a namespace's tables, then one exchange's. None is held while a queue's
//! is taken.

mod binding;
mod bound;
mod config;
mod few;
mod headers;
mod kind;
mod namespace;
mod registry;
mod space;
mod spread;
mod table;
mod trie;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

pub use crate::queue::DEFAULT_NAMESPACE;
pub use binding::{Binding, Destination, Match};
pub use config::Config;
pub use kind::{ExchangeKind, HashBy, UnknownKind};
pub use namespace::NamespaceSettings;
pub use registry::Exchanges;
pub(crate) use registry::{check_limit, check_name, check_row};

use bound::{Bound, Same};
use table::{Query, Table};

use crate::error::Error;

/// What is set about an exchange, for its whole life.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ExchangeSettings {
    /// How it chooses among its bindings.
    pub kind: ExchangeKind,
    /// Whether it is there after a restart.
    pub durable: bool,
    /// Whether it is deleted with the last binding that leads from it.
    pub auto_delete: bool,
    /// Whether only other exchanges may publish to it. The heads see to that.
    pub internal: bool,
    /// The exchange that gets what no binding of this one takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternate: Option<String>,
    /// What the head wants to keep; the engine does not read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origin: BTreeMap<String, serde_json::Value>,
}

impl ExchangeSettings {
    /// A durable exchange of this kind with nothing else set.
    #[must_use]
    pub fn durable(kind: ExchangeKind) -> Self {
        Self {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            alternate: None,
            origin: BTreeMap::new(),
        }
    }
}

/// An exchange. A handle outlives its deletion and then leads nowhere.
#[derive(Debug)]
pub struct Exchange {
    name: Arc<str>,
    settings: ExchangeSettings,
    /// From a policy; what the settings say comes first.
    alternate: RwLock<Option<Arc<str>>>,
    routes: RwLock<Routes>,
}

#[derive(Debug)]
struct Routes {
    table: Table,
    all: base::HashSet<Same>,
}

impl Exchange {
    fn new(name: Arc<str>, settings: ExchangeSettings) -> Self {
        Self {
            routes: RwLock::new(Routes {
                table: Table::new(&settings.kind),
                all: base::HashSet::default(),
            }),
            name,
            settings,
            alternate: RwLock::new(None),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What is set about it.
    #[must_use]
    pub fn settings(&self) -> &ExchangeSettings {
        &self.settings
    }

    /// The exchange that gets what no binding takes: the one of the settings, else the one that
    /// [`Exchange::set_alternate`] named last.
    #[must_use]
    pub fn alternate(&self) -> Option<Arc<str>> {
        let set = self.settings.alternate.as_deref();
        set.map(Arc::from).or_else(|| self.alternate.read().clone())
    }

    /// Names an alternate for an exchange whose settings name none, as a policy says; not kept over
    /// a restart.
    pub fn set_alternate(&self, exchange: Option<&str>) {
        *self.alternate.write() = exchange.map(Arc::from);
    }

    /// How many bindings lead from it.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.routes.read().all.len()
    }

    fn bound(&self) -> Vec<Arc<Bound>> {
        let routes = self.routes.read();
        routes.all.iter().map(|same| same.0.clone()).collect()
    }

    fn find(&self, like: &Same) -> Option<Arc<Bound>> {
        let routes = self.routes.read();
        routes.all.get(like).map(|same| same.0.clone())
    }

    fn check(&self, binding: &Binding) -> Result<(), Error> {
        self.routes.read().table.check(binding)
    }

    fn insert(&self, bound: &Arc<Bound>) {
        let mut routes = self.routes.write();
        routes.table.insert(bound);
        routes.all.insert(Same(bound.clone()));
    }

    fn remove(&self, gone: &[Arc<Bound>]) {
        /// Taking out one may cost a look at all of its key; when more than this part of all go,
        /// making the table anew is quicker.
        const PART: usize = 16;
        let mut guard = self.routes.write();
        let routes = &mut *guard;
        for bound in gone {
            routes.all.remove(&Same(bound.clone()));
        }
        if gone.len() > PART && gone.len() * PART > routes.all.len() {
            let mut table = Table::new(&self.settings.kind);
            routes.all.iter().for_each(|same| table.insert(&same.0));
            routes.table = table;
        } else {
            gone.iter().for_each(|bound| routes.table.remove(bound));
        }
    }

    fn visit(&self, query: &Query<'_>, found: &mut dyn FnMut(&Arc<Bound>)) {
        self.routes.read().table.visit(query, found);
    }
}

#[cfg(test)]
mod tests;
