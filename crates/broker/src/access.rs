//! Who may do what: permissions of users in namespaces.
//!
//! A user has, in each namespace that it may enter, three patterns: the names that it may
//! *configure* (declare, delete), *write* (publish to, bind as a destination) and *read* (consume
//! from, bind as a source). A pattern is a regular expression that is looked for anywhere in the
//! name, so `^` and `$` say where it begins and ends; the empty pattern fits the empty name only.
//! For single exchanges there may be patterns of the routing keys besides.
//!
//! Patterns are compiled when they are set, which refuses what cannot be compiled, and when they are
//! first used, which is remembered. They are matched in linear time, and one that would compile to
//! more than a limit is refused: whoever may set permissions cannot stop the server with one.

use std::sync::Arc;

use base::HashMap;
use meta::{Meta, Permission, TopicPermission, UserChange};
use parking_lot::RwLock;
use regex::{Regex, RegexBuilder};

use crate::error::Error;
use crate::metrics::AccessMetrics;

/// The longest pattern, in bytes.
const PATTERN_MAX: usize = 4096;
/// How large a compiled pattern may be, in bytes.
const COMPILED_BYTES_MAX: usize = 256 << 10;
/// How many compiled permissions are remembered; then all are forgotten and compiled again when
/// they are used.
const COMPILED_MAX: usize = 1024;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Declare or delete.
    Configure,
    /// Publish to, or bind as a destination.
    Write,
    /// Consume from, or bind as a source.
    Read,
}

/// Compiles a pattern of names.
///
/// # Errors
/// [`Error::InvalidRequest`] when it is no regular expression or too large. Look-around and
/// back-references are not known, for they could not be matched in linear time.
pub(crate) fn compile(pattern: &str) -> Result<Regex, Error> {
    let refuse = |why: String| Error::InvalidRequest(format!("pattern `{pattern}`: {why}"));
    if pattern.len() > PATTERN_MAX {
        return Err(Error::InvalidRequest(format!(
            "a pattern has {} bytes; {PATTERN_MAX} are allowed",
            pattern.len()
        )));
    }
    let text = if pattern.is_empty() { "^$" } else { pattern };
    RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| refuse(error.to_string()))
}

/// The answer to who may do what; cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    meta: Meta,
    compiled: RwLock<Compiled>,
    metrics: AccessMetrics,
}

/// What is remembered. Only permissions that exist are, so names that are made up fill nothing.
#[derive(Debug, Default)]
struct Compiled {
    /// Counts the changes: what was compiled before one is not remembered after it.
    version: u64,
    names: HashMap<(String, String), Arc<Names>>,
    keys: HashMap<String, Arc<Keys>>,
}

#[derive(Debug)]
struct Names {
    configure: Regex,
    write: Regex,
    read: Regex,
}

#[derive(Debug)]
struct Keys {
    write: Regex,
    read: Regex,
}

impl Access {
    pub(crate) fn new(meta: &Meta, metrics: &base::Metrics) -> Self {
        Self(Arc::new(Inner {
            meta: meta.clone(),
            compiled: RwLock::default(),
            metrics: AccessMetrics::new(metrics),
        }))
    }

    /// Whether the user may enter the namespace: it has a permission there, whichever.
    #[must_use]
    pub fn may_enter(&self, user: &str, namespace: &str) -> bool {
        self.counted(self.0.meta.permission(user, namespace).is_some())
    }

    /// Whether the user has this right on what is called `name` in the namespace.
    #[must_use]
    pub fn may(&self, user: &str, namespace: &str, right: Right, name: &str) -> bool {
        let names = self.names(user, namespace);
        self.counted(names.is_some_and(|names| {
            let pattern = match right {
                Right::Configure => &names.configure,
                Right::Write => &names.write,
                Right::Read => &names.read,
            };
            pattern.is_match(name)
        }))
    }

    /// Whether the user may use this routing key at the exchange: to publish ([`Right::Write`]) or
    /// in a binding ([`Right::Read`]). Who has no permission for the exchange's keys may use all of
    /// them; nobody configures keys, so [`Right::Configure`] is always given. In the patterns,
    /// each `{name}` of `variables` stands for its value.
    #[must_use]
    pub fn may_use_key(
        &self,
        user: &str,
        (namespace, exchange): (&str, &str),
        right: Right,
        key: &str,
        variables: &[(&str, &str)],
    ) -> bool {
        let permission = self.0.meta.topic_permission(user, namespace, exchange);
        let Some(permission) = permission else {
            return true;
        };
        let keys = self.keys(&permission, variables);
        self.counted(keys.is_some_and(|keys| match right {
            Right::Configure => true,
            Right::Write => keys.write.is_match(key),
            Right::Read => keys.read.is_match(key),
        }))
    }

    fn counted(&self, may: bool) -> bool {
        if !may {
            self.0.metrics.denied.inc();
        }
        may
    }

    fn names(&self, user: &str, namespace: &str) -> Option<Arc<Names>> {
        let key = (user.to_owned(), namespace.to_owned());
        let compiled = self.0.compiled.read();
        if let Some(names) = compiled.names.get(&key) {
            return Some(names.clone());
        }
        let version = compiled.version;
        drop(compiled);
        let permission = self.0.meta.permission(user, namespace)?;
        // Patterns were compiled when they were set; one that an older release took may fail here,
        // and then gives no right.
        let names = Arc::new(Names {
            configure: compile(&permission.configure).ok()?,
            write: compile(&permission.write).ok()?,
            read: compile(&permission.read).ok()?,
        });
        let mut compiled = self.0.compiled.write();
        if compiled.version == version {
            if compiled.names.len() >= COMPILED_MAX {
                compiled.names.clear();
            }
            compiled.names.insert(key, names.clone());
        }
        Some(names)
    }

    fn keys(&self, permission: &TopicPermission, variables: &[(&str, &str)]) -> Option<Arc<Keys>> {
        let write = expand(&permission.write, variables);
        let read = expand(&permission.read, variables);
        let key = format!("{write}\0{read}");
        if let Some(keys) = self.0.compiled.read().keys.get(&key) {
            return Some(keys.clone());
        }
        let keys = Arc::new(Keys {
            write: compile(&write).ok()?,
            read: compile(&read).ok()?,
        });
        let mut compiled = self.0.compiled.write();
        if compiled.keys.len() >= COMPILED_MAX {
            compiled.keys.clear();
        }
        compiled.keys.insert(key, keys.clone());
        Some(keys)
    }

    /// Forgets what was compiled.
    pub(crate) fn forget(&self) {
        let mut compiled = self.0.compiled.write();
        compiled.version += 1;
        compiled.names.clear();
        compiled.keys.clear();
    }

    /// Makes changes of users after looking at their patterns. Blocks.
    pub(crate) fn change(&self, changes: Vec<(String, UserChange)>) -> Result<(), Error> {
        for (_, change) in &changes {
            check(change)?;
        }
        self.0.meta.change_users(changes)?;
        self.forget();
        Ok(())
    }
}

fn check(change: &UserChange) -> Result<(), Error> {
    match change {
        UserChange::Permission(
            _,
            Some(Permission {
                configure,
                write,
                read,
            }),
        ) => {
            for pattern in [configure, write, read] {
                compile(pattern)?;
            }
        }
        UserChange::Topic(_, _, Some(TopicPermission { write, read })) => {
            for pattern in [write, read] {
                compile(&without_variables(pattern))?;
            }
        }
        UserChange::PasswordHash(_)
        | UserChange::NoPassword
        | UserChange::Tags(_)
        | UserChange::Permission(_, None)
        | UserChange::Topic(_, _, None) => {}
    }
    Ok(())
}

/// Puts values in the place of `{name}`; a value is text, whatever signs it has.
fn expand(pattern: &str, variables: &[(&str, &str)]) -> String {
    let mut text = pattern.to_owned();
    for (name, value) in variables {
        let name = format!("{{{name}}}");
        if text.contains(&name) {
            text = text.replace(&name, &regex::escape(value));
        }
    }
    text
}

/// The pattern with a letter for each `{name}`, to see whether the rest can be compiled. Names are
/// of small letters and `_`, which no count of repetitions is.
fn without_variables(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        text.push_str(before);
        let close = from.find('}').filter(|close| {
            let name = from.get(1..*close).unwrap_or_default();
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        });
        let (kept, behind) = match close {
            Some(close) => ("v", from.get(close + 1..)),
            None => ("{", from.get(1..)),
        };
        text.push_str(kept);
        rest = behind.unwrap_or_default();
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests;
