//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Each check is a function from the tree of files to what breaks its rule, in a file of its own
//! below; [`CHECKS`] is the list. A violation names the place, what is wrong, and what to do
//! instead. The same checks run as tests of this crate, so `cargo test --workspace` keeps them.
//!
//! Two lists bend rules, each in a file under `xtask/tidy/`: `sizes.txt` has the files and
//! functions that were too long when the rule came, and may only shrink; `exceptions.txt` has
//! places where a rule is broken for a reason, and the reason. An entry that nothing needs any more
//! is a violation too.

mod arrows;
mod bans;
mod code;
mod dependencies;
mod errors;
mod exceptions;
mod links;
mod manifest;
mod nouns;
mod shape;
mod sizes;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

pub(crate) use code::Code;
pub(crate) use tree::Tree;

/// A rule that is broken somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    /// From 1 on; 0 is the file as a whole.
    pub(crate) line: usize,
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) instead: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            instead: instead.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}; {}",
            self.path, self.line, self.what, self.instead
        )
    }
}

/// What looks at the tree for one kind of violation.
type Check = fn(&Tree) -> Vec<Violation>;

/// All checks by name.
const CHECKS: &[(&str, Check)] = &[
    ("arrows", arrows::check),
    ("bans", bans::check),
    ("dependencies", dependencies::check),
    ("errors", errors::check),
    ("links", links::check),
    ("nouns", nouns::check),
    ("shape", shape::check),
    ("sizes", sizes::check),
];

/// Everything that is wrong in `tree`, in order.
pub(crate) fn violations(tree: &Tree) -> Vec<Violation> {
    let found = CHECKS.iter().flat_map(|(name, check)| {
        let found = check(tree);
        exceptions::apply(tree, name, found)
    });
    let mut all: Vec<_> = found.collect();
    all.extend(exceptions::malformed(
        tree,
        CHECKS.iter().map(|(name, _)| *name),
    ));
    all.sort();
    all
}

/// Checks the tree, and that generated code and documents are up to date.
///
/// # Errors
/// When something is wrong; it has been printed.
pub(crate) fn run() -> Result<()> {
    let all = violations(&Tree::read(&crate::root())?);
    for violation in &all {
        println!("{violation}");
    }
    let stale = [crate::codegen::run(true), crate::docs::run(true)];
    let stale: Vec<_> = stale.into_iter().filter_map(Result::err).collect();
    for error in &stale {
        println!("{error:#}");
    }
    if all.is_empty() && stale.is_empty() {
        println!("tidy: in order");
        return Ok(());
    }
    bail!("tidy: {} violations", all.len() + stale.len())
}
