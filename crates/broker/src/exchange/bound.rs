//! A binding as the routing tables hold it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::binding::{Binding, Destination, Match};
use crate::queue::QueueId;

/// Where a binding leads. A queue is named with its identity, so that one of the same name that is
/// declared later gets nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Queue(Arc<str>, QueueId),
    Exchange(Arc<str>),
}

impl Target {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Queue(name, _) | Self::Exchange(name) => name,
        }
    }

    pub(super) fn is_exchange(&self) -> bool {
        matches!(self, Self::Exchange(_))
    }
}

/// A binding. One `Bound` equals only itself; by what it says it is compared as [`Same`].
#[derive(Debug)]
pub(super) struct Bound {
    source: Arc<str>,
    target: Target,
    key: Arc<[u8]>,
    /// Most bindings have none; an empty map takes no memory beside its three words.
    arguments: BTreeMap<String, Match>,
    /// The number of its row in the control state; 0 when it has none, and goes with the process.
    row: u64,
}

impl Bound {
    pub(super) fn new(source: &Arc<str>, target: Target, binding: Binding, row: u64) -> Self {
        Self {
            source: source.clone(),
            target,
            key: Arc::from(binding.key.into_bytes()),
            arguments: binding.arguments,
            row,
        }
    }

    pub(super) fn source(&self) -> &Arc<str> {
        &self.source
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn key(&self) -> &Arc<[u8]> {
        &self.key
    }

    pub(super) fn arguments(&self) -> &BTreeMap<String, Match> {
        &self.arguments
    }

    pub(super) fn row(&self) -> Option<u64> {
        (self.row != 0).then_some(self.row)
    }

    pub(super) fn binding(&self) -> Binding {
        let name = self.target.name().to_owned();
        Binding {
            source: self.source.to_string(),
            destination: if self.target.is_exchange() {
                Destination::Exchange(name)
            } else {
                Destination::Queue(name)
            },
            // It was made of a text.
            key: String::from_utf8_lossy(&self.key).into_owned(),
            arguments: self.arguments().clone(),
        }
    }

    /// What one exchange's bindings differ in.
    fn said(&self) -> (&Target, &[u8], &BTreeMap<String, Match>) {
        (&self.target, &self.key, self.arguments())
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}

/// A binding that equals others which say the same.
#[derive(Clone, Debug)]
pub(super) struct Same(pub(super) Arc<Bound>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        self.0.said() == other.0.said()
    }
}

impl Eq for Same {}

impl Hash for Same {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.said().hash(state);
    }
}

/// Takes one out of a list whose order does not matter. Says whether it was there.
pub(super) fn take_out(list: &mut Vec<Arc<Bound>>, bound: &Arc<Bound>) -> bool {
    let at = list.iter().position(|other| Arc::ptr_eq(other, bound));
    if let Some(at) = at {
        list.swap_remove(at);
    }
    at.is_some()
}
