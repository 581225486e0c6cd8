//! Policies: settings for all queues and exchanges whose name fits a pattern.
//!
//! A policy has a definition, a map whose keys the heads know. Of those that fit a name and apply to
//! what it names, the one with the highest priority counts, alone: definitions are not merged. An
//! operator has a layer of their own, which bounds what everybody else sets ([`merge`]).
//!
//! Which one counts, and what both layers come to, are pure functions. What a definition changes
//! about a queue or exchange is for the head to say, which sets it when a policy or the name comes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use base::HashMap;
use meta::{Catalog, RowChange};
use parking_lot::RwLock;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::access::compile;
use crate::broker::Shared;
use crate::error::Error;

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Whoever may configure the namespace.
    Regular,
    /// The operator of the server.
    Operator,
}

/// What a policy applies to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppliesTo {
    /// Queues and exchanges.
    All,
    /// Queues.
    Queues,
    /// Exchanges.
    Exchanges,
    /// A sort of queues that the head tells apart, by its word for it.
    Sort(String),
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Policy {
    /// Its name, unique in its namespace and layer.
    pub name: String,
    /// Whose it is.
    pub layer: Layer,
    /// Which names: a regular expression that is looked for anywhere in them.
    pub pattern: String,
    /// What it applies to.
    pub applies_to: AppliesTo,
    /// Of several that fit, the highest counts; of equal ones, the first by name.
    pub priority: i32,
    /// What it sets.
    pub definition: BTreeMap<String, Value>,
}

/// A policy with its pattern compiled.
#[derive(Clone, Debug)]
pub struct Compiled {
    policy: Policy,
    pattern: Regex,
}

impl Compiled {
    /// Compiles it.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for its pattern.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        let pattern = compile(&policy.pattern)?;
        Ok(Self { policy, pattern })
    }

    /// What was compiled.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// The policy of a layer that counts for `name`: of those whose pattern fits and that `applies`
/// takes, the one with the highest priority.
#[must_use]
pub fn effective<'a>(
    policies: impl IntoIterator<Item = &'a Compiled>,
    layer: Layer,
    name: &str,
    applies: impl Fn(&Policy) -> bool,
) -> Option<&'a Policy> {
    let fitting = policies.into_iter().filter(|compiled| {
        let policy = &compiled.policy;
        policy.layer == layer && applies(policy) && compiled.pattern.is_match(name)
    });
    let of = |compiled: &&'a Compiled| {
        let policy = &compiled.policy;
        (Reverse(policy.priority), &policy.name)
    };
    fitting.min_by_key(of).map(|compiled| &compiled.policy)
}

/// What both layers come to: of two numbers the smaller, otherwise the operator's word.
#[must_use]
pub fn merge(regular: Option<&Policy>, operator: Option<&Policy>) -> BTreeMap<String, Value> {
    let mut merged = regular.map_or_else(BTreeMap::new, |policy| policy.definition.clone());
    for (key, bound) in operator.into_iter().flat_map(|policy| &policy.definition) {
        let smaller = |set: &Value| match (set.as_f64(), bound.as_f64()) {
            (Some(set), Some(bound)) => set < bound,
            _ => false,
        };
        if !merged.get(key).is_some_and(smaller) {
            merged.insert(key.clone(), bound.clone());
        }
    }
    merged
}

/// The policies of all namespaces; cheap to clone.
#[derive(Clone, Debug)]
pub struct Policies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Weak<Shared>,
    policies_max: usize,
    /// By namespace, layer and name. Written by one at a time, which waits for the disk meanwhile:
    /// so readers take the list of a namespace and let go.
    kept: RwLock<HashMap<String, Arc<[Compiled]>>>,
    changing: parking_lot::Mutex<()>,
}

impl Policies {
    /// Reads them back. Blocks.
    pub(crate) fn open(shared: &Arc<Shared>, policies_max: usize) -> Result<Self, Error> {
        let mut kept: HashMap<String, Vec<Compiled>> = HashMap::default();
        for row in shared.meta.catalog::<Policy>(Catalog::Policies)? {
            match Compiled::new(row.value) {
                Ok(policy) => kept.entry(row.namespace).or_default().push(policy),
                // Another release took its pattern; that is no reason not to start.
                Err(error) => warn!(policy = row.name, %error, "a policy is passed over"),
            }
        }
        let kept = kept.into_iter().map(|(name, list)| (name, list.into()));
        Ok(Self(Arc::new(Inner {
            shared: Arc::downgrade(shared),
            policies_max,
            kept: RwLock::new(kept.collect()),
            changing: parking_lot::Mutex::default(),
        })))
    }

    /// The policies of a namespace, compiled, by layer and name.
    #[must_use]
    pub fn list(&self, namespace: &str) -> Arc<[Compiled]> {
        let kept = self.0.kept.read();
        kept.get(namespace).cloned().unwrap_or_else(|| [].into())
    }

    /// What the policies set for `name`, both layers merged, and the regular policy and the
    /// operator's that it comes from.
    #[must_use]
    pub fn effective(
        &self,
        namespace: &str,
        name: &str,
        applies: impl Fn(&Policy) -> bool,
    ) -> Effective {
        let list = self.list(namespace);
        let regular = effective(&*list, Layer::Regular, name, &applies);
        let operator = effective(&*list, Layer::Operator, name, &applies);
        Effective {
            definition: merge(regular, operator),
            regular: regular.map(|policy| policy.name.clone()),
            operator: operator.map(|policy| policy.name.clone()),
        }
    }

    /// Sets policies, over those of their names, all or none. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`], [`Error::InvalidRequest`] for a pattern or a name,
    /// [`Error::Limit`], [`Error::Meta`].
    pub async fn set(&self, namespace: &str, policies: Vec<Policy>) -> Result<(), Error> {
        let mut compiled = Vec::with_capacity(policies.len());
        for policy in policies {
            crate::exchange::check_name("a policy's", &policy.name)?;
            compiled.push(Compiled::new(policy)?);
        }
        self.change(namespace, move |list| {
            for new in compiled {
                list.retain(|old| key(&old.policy) != key(&new.policy));
                list.push(new);
            }
            true
        })
        .await
        .map(drop)
    }

    /// Removes a policy; durable when it returns. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`], [`Error::Meta`].
    pub async fn remove(&self, namespace: &str, layer: Layer, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.change(namespace, move |list| {
            let before = list.len();
            list.retain(|old| key(&old.policy) != (layer, name.as_str()));
            list.len() < before
        })
        .await
    }

    async fn change(
        &self,
        namespace: &str,
        change: impl FnOnce(&mut Vec<Compiled>) -> bool + Send + 'static,
    ) -> Result<bool, Error> {
        let shared = self.0.shared.upgrade().ok_or(Error::ShuttingDown)?;
        let (policies, namespace) = (self.clone(), namespace.to_owned());
        let meta = shared.meta.clone();
        let exchanges = shared.exchanges.get().cloned();
        shared
            .blocking("broker.policies", move || {
                let _one_at_a_time = policies.0.changing.lock();
                if !exchanges.is_some_and(|exchanges| exchanges.has_namespace(&namespace)) {
                    return Err(Error::UnknownNamespace(namespace));
                }
                policies.change_now(&meta, &namespace, change)
            })
            .await
    }

    fn change_now(
        &self,
        meta: &meta::Meta,
        namespace: &str,
        change: impl FnOnce(&mut Vec<Compiled>) -> bool,
    ) -> Result<bool, Error> {
        let before = self.list(namespace);
        let mut list = before.to_vec();
        if !change(&mut list) {
            return Ok(false);
        }
        crate::exchange::check_limit("exchanges.policies_max", list.len(), self.0.policies_max)?;
        list.sort_by(|a, b| key(&a.policy).cmp(&key(&b.policy)));
        let mut rows = Vec::new();
        for old in before.iter() {
            if !list.iter().any(|new| key(&new.policy) == key(&old.policy)) {
                let name = row_name(&old.policy);
                rows.push(RowChange::remove(Catalog::Policies, namespace, &name));
            }
        }
        for new in &list {
            if !before.iter().any(|old| old.policy == new.policy) {
                let name = row_name(&new.policy);
                let row = RowChange::put(Catalog::Policies, namespace, &name, &new.policy);
                crate::exchange::check_row(&row)?;
                rows.push(row);
            }
        }
        meta.change_catalog(&rows)?;
        let mut kept = self.0.kept.write();
        kept.insert(namespace.to_owned(), list.into());
        Ok(true)
    }

    /// Forgets those of a namespace that is gone; their rows went with it.
    pub(crate) fn forget(&self, namespace: &str) {
        self.0.kept.write().remove(namespace);
    }
}

/// What policies come to for one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    /// What is set.
    pub definition: BTreeMap<String, Value>,
    /// The regular policy that counts.
    pub regular: Option<String>,
    /// The operator's policy that counts.
    pub operator: Option<String>,
}

fn key(policy: &Policy) -> (Layer, &str) {
    (policy.layer, &policy.name)
}

fn row_name(policy: &Policy) -> String {
    let layer = match policy.layer {
        Layer::Regular => "regular",
        Layer::Operator => "operator",
    };
    format!("{layer}/{}", policy.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, pattern: &str, priority: i32, definition: &[(&str, Value)]) -> Compiled {
        let definition = definition.iter().cloned();
        Compiled::new(Policy {
            name: name.to_owned(),
            layer: Layer::Regular,
            pattern: pattern.to_owned(),
            applies_to: AppliesTo::Queues,
            priority,
            definition: definition.map(|(k, v)| (k.to_owned(), v)).collect(),
        })
        .unwrap()
    }

    fn name_of(policies: &[Compiled], name: &str) -> Option<String> {
        let queues = |policy: &Policy| policy.applies_to == AppliesTo::Queues;
        let found = effective(policies, Layer::Regular, name, queues);
        found.map(|policy| policy.name.clone())
    }

    #[test]
    fn the_highest_priority_that_fits_counts() {
        let mut policies = vec![
            policy("all", "", -1, &[]),
            policy("b", "^a", 3, &[]),
            policy("a", "^a", 3, &[]),
            policy("high", "^abc$", 10, &[]),
        ];
        policies[0] = policy("all", ".*", -1, &[]);
        assert_eq!(name_of(&policies, "abc").as_deref(), Some("high"));
        assert_eq!(name_of(&policies, "abcd").as_deref(), Some("a"));
        assert_eq!(name_of(&policies, "x").as_deref(), Some("all"));
        policies[3].policy.applies_to = AppliesTo::Exchanges;
        assert_eq!(name_of(&policies, "abc").as_deref(), Some("a"));
        policies
            .iter_mut()
            .for_each(|p| p.policy.layer = Layer::Operator);
        assert_eq!(name_of(&policies, "abc"), None);
    }

    #[test]
    fn an_operator_bounds_numbers_and_decides_the_rest() {
        let number = Value::from;
        let regular = policy(
            "r",
            "",
            0,
            &[
                ("small", number(1)),
                ("large", number(9_000_000_000_u64)),
                ("word", Value::from("theirs")),
                ("alone", Value::Null),
            ],
        );
        let operator = policy(
            "o",
            "",
            0,
            &[
                ("small", number(5)),
                ("large", number(5)),
                ("word", Value::from("ours")),
                ("more", number(7)),
            ],
        );
        let merged = merge(Some(&regular.policy), Some(&operator.policy));
        let expected = [
            ("alone", Value::Null),
            ("large", number(5)),
            ("more", number(7)),
            ("small", number(1)),
            ("word", Value::from("ours")),
        ];
        assert_eq!(merged, expected.map(|(k, v)| (k.to_owned(), v)).into());
        assert_eq!(merge(None, None), BTreeMap::new());
    }
}
