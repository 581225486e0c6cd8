//! What an exchange finds its bindings by.

use std::sync::Arc;

use base::HashMap;
use bytes::Bytes;

use super::binding::{Binding, Match};
use super::bound::{Bound, take_out};
use super::few::Few;
use super::headers::{self, ByHeaders};
use super::kind::{ExchangeKind, HashBy};
use super::spread::{self, ByHash, InOrder};
use super::trie::Trie;
use crate::error::Error;

/// What is known of a message when it is routed.
pub(super) struct Query<'a> {
    pub(super) keys: &'a [Bytes],
    pub(super) headers: &'a dyn Fn(&str) -> Option<Match>,
    pub(super) random: &'a dyn Fn() -> u64,
}

impl Query<'_> {
    fn first_key(&self) -> &[u8] {
        self.keys.first().map_or(&[], |key| key)
    }
}

/// The bindings of one exchange, in the form that its kind looks them up in.
#[derive(Debug)]
pub(super) enum Table {
    Direct(HashMap<Arc<[u8]>, Few<Arc<Bound>>>),
    Fanout(Vec<Arc<Bound>>),
    Topic(Trie<Arc<Bound>>),
    Headers(ByHeaders),
    ConsistentHash(HashBy, ByHash),
    ModulusHash(InOrder),
    Random(InOrder),
}

impl Table {
    pub(super) fn new(kind: &ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(HashMap::default()),
            ExchangeKind::Fanout => Self::Fanout(Vec::new()),
            ExchangeKind::Topic => Self::Topic(Trie::default()),
            ExchangeKind::Headers => Self::Headers(ByHeaders::default()),
            ExchangeKind::ConsistentHash(by) => Self::ConsistentHash(by.clone(), ByHash::default()),
            ExchangeKind::ModulusHash => Self::ModulusHash(InOrder::default()),
            ExchangeKind::Random => Self::Random(InOrder::default()),
            ExchangeKind::Delayed(inside) => Self::new(inside),
        }
    }

    /// Whether the kind takes this binding.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`].
    pub(super) fn check(&self, binding: &Binding) -> Result<(), Error> {
        match self {
            Self::Headers(_) => headers::check(&binding.arguments),
            Self::ConsistentHash(..) => spread::weight(binding.key.as_bytes()).map(drop),
            Self::Direct(_)
            | Self::Fanout(_)
            | Self::Topic(_)
            | Self::ModulusHash(_)
            | Self::Random(_) => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, bound: &Arc<Bound>) {
        match self {
            Self::Direct(keys) => {
                let of_key = keys.entry(bound.key().clone()).or_default();
                of_key.push(bound.clone());
            }
            Self::Fanout(all) => all.push(bound.clone()),
            Self::Topic(trie) => trie.insert(bound.key(), bound.clone()),
            Self::Headers(by) => by.insert(bound),
            Self::ConsistentHash(_, by) => by.insert(bound),
            Self::ModulusHash(all) | Self::Random(all) => all.insert(bound),
        }
    }

    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        match self {
            Self::Direct(keys) => {
                if let Some(of_key) = keys.get_mut(bound.key()) {
                    of_key.remove(bound);
                    if of_key.as_slice().is_empty() {
                        keys.remove(bound.key());
                    }
                }
            }
            Self::Fanout(all) => drop(take_out(all, bound)),
            Self::Topic(trie) => drop(trie.remove(bound.key(), bound)),
            Self::Headers(by) => by.remove(bound),
            Self::ConsistentHash(_, by) => by.remove(bound),
            Self::ModulusHash(all) | Self::Random(all) => all.remove(bound),
        }
    }

    /// Hands `found` the bindings that a message goes by, some of them more than once.
    pub(super) fn visit(&self, query: &Query<'_>, found: &mut dyn FnMut(&Arc<Bound>)) {
        match self {
            Self::Direct(keys) => {
                for key in query.keys {
                    let of_key = keys.get(&key[..]).map_or(&[][..], Few::as_slice);
                    of_key.iter().for_each(&mut *found);
                }
            }
            Self::Fanout(all) => all.iter().for_each(found),
            Self::Topic(trie) => {
                for key in query.keys {
                    trie.visit(key, found);
                }
            }
            Self::Headers(by) => by.visit(query.headers, found),
            Self::ConsistentHash(HashBy::Key, by) => {
                by.choose(query.first_key()).into_iter().for_each(found);
            }
            Self::ConsistentHash(HashBy::Header(name), by) => {
                let text = (query.headers)(name).map_or_else(Vec::new, |value| value.text());
                by.choose(&text).into_iter().for_each(found);
            }
            Self::ModulusHash(all) => all.choose(query.first_key()).into_iter().for_each(found),
            Self::Random(all) => all.at((query.random)()).into_iter().for_each(found),
        }
    }
}
