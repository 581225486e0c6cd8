//! Bindings that are compared with a message's headers.
//!
//! Looking at every binding for every message would make each binding a cost of each message. So a
//! binding that needs all of its arguments is found under one of them, the one that fewest others
//! are found under, and compared as a whole then; one that needs any of them is under each, and
//! found is enough. A message costs a look at each name that is found under, and at the bindings
//! that have its value there.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::HashMap;

use super::binding::{Match, X_MATCH};
use super::bound::Bound;
use super::few::Few;
use crate::error::Error;

/// How a binding's arguments are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    all: bool,
    /// Whether names that begin with `x-` are compared too.
    with_x: bool,
}

impl Form {
    fn of(arguments: &BTreeMap<String, Match>) -> Option<Self> {
        let form = |all, with_x| Some(Self { all, with_x });
        match arguments.get(X_MATCH) {
            None => form(true, false),
            Some(Match::Text(name)) => match &name[..] {
                b"all" => form(true, false),
                b"any" => form(false, false),
                b"all-with-x" => form(true, true),
                b"any-with-x" => form(false, true),
                _ => None,
            },
            Some(
                Match::Void | Match::Bool(_) | Match::Int(_) | Match::Float(_) | Match::Other(_),
            ) => None,
        }
    }

    fn compared(
        self,
        arguments: &BTreeMap<String, Match>,
    ) -> impl Iterator<Item = (&String, &Match)> {
        arguments.iter().filter(move |(name, _)| {
            name.as_str() != X_MATCH && (self.with_x || !name.starts_with("x-"))
        })
    }
}

/// Whether a headers exchange takes a binding with these arguments.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub(super) fn check(arguments: &BTreeMap<String, Match>) -> Result<(), Error> {
    Form::of(arguments).map(|_| ()).ok_or_else(|| {
        Error::InvalidRequest("x-match is one of all, any, all-with-x and any-with-x".to_owned())
    })
}

/// The bindings of a headers exchange.
#[derive(Debug, Default)]
pub(super) struct ByHeaders {
    /// Those that need nothing.
    always: Vec<Arc<Bound>>,
    /// By the name of a header.
    names: HashMap<String, OfName>,
}

#[derive(Debug, Default)]
struct OfName {
    /// Those that need it to be there.
    present: Vec<Arc<Bound>>,
    /// Those that need a value.
    equal: HashMap<Match, Few<Arc<Bound>>>,
}

impl OfName {
    fn held(&self, value: &Match) -> usize {
        match value {
            Match::Void => self.present.len(),
            Match::Bool(_) | Match::Int(_) | Match::Float(_) | Match::Text(_) | Match::Other(_) => {
                self.equal.get(value).map_or(0, |few| few.as_slice().len())
            }
        }
    }

    fn remove(&mut self, value: &Match, bound: &Arc<Bound>) -> bool {
        if *value == Match::Void {
            return super::bound::take_out(&mut self.present, bound);
        }
        let Some(few) = self.equal.get_mut(value) else {
            return false;
        };
        let removed = few.remove(bound);
        if few.as_slice().is_empty() {
            self.equal.remove(value);
        }
        removed
    }
}

impl ByHeaders {
    pub(super) fn insert(&mut self, bound: &Arc<Bound>) {
        let Some(form) = Form::of(bound.arguments()) else {
            return;
        };
        let mut compared: Vec<_> = form.compared(bound.arguments()).collect();
        if compared.is_empty() {
            if form.all {
                self.always.push(bound.clone());
            }
            return;
        }
        if form.all {
            compared.sort_by_key(|(name, value)| {
                let held = self.names.get(*name).map_or(0, |of| of.held(value));
                (**value == Match::Void, held)
            });
            compared.truncate(1);
        }
        for (name, value) in compared {
            let of_name = self.names.entry(name.clone()).or_default();
            if *value == Match::Void {
                of_name.present.push(bound.clone());
            } else {
                let few = of_name.equal.entry(value.clone()).or_default();
                few.push(bound.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        let Some(form) = Form::of(bound.arguments()) else {
            return;
        };
        super::bound::take_out(&mut self.always, bound);
        for (name, value) in form.compared(bound.arguments()) {
            let Some(of_name) = self.names.get_mut(name) else {
                continue;
            };
            let removed = of_name.remove(value, bound);
            if removed && of_name.present.is_empty() && of_name.equal.is_empty() {
                self.names.remove(name);
            }
        }
    }

    pub(super) fn visit(
        &self,
        headers: &dyn Fn(&str) -> Option<Match>,
        found: &mut dyn FnMut(&Arc<Bound>),
    ) {
        self.always.iter().for_each(&mut *found);
        for (name, of_name) in &self.names {
            let Some(value) = headers(name) else {
                continue;
            };
            let equal = of_name.equal.get(&value).map_or(&[][..], Few::as_slice);
            for bound in of_name.present.iter().chain(equal) {
                if fits(bound.arguments(), headers) {
                    found(bound);
                }
            }
        }
    }
}

/// Whether headers fit a binding that was found under one of its arguments.
fn fits(arguments: &BTreeMap<String, Match>, headers: &dyn Fn(&str) -> Option<Match>) -> bool {
    let Some(form) = Form::of(arguments) else {
        return false;
    };
    !form.all
        || form.compared(arguments).all(|(name, wanted)| {
            headers(name).is_some_and(|value| *wanted == Match::Void || *wanted == value)
        })
}

#[cfg(test)]
mod tests;
