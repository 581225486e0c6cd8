//! `cargo xtask docs`: the parts of the documents that are made from the code, so that they cannot
//! say anything else. Each stands between two comments in its document:
//!
//! ```text
//! <!-- generated: NAME -->
//! <!-- end -->
//! ```
//!
//! What only the server knows (its configuration, its commands) is written by the server's own
//! tests, which compare it on every run; this command runs them with leave to write.

mod amqp;
mod metrics;
mod requests;
mod routes;
mod sqs;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::tidy::Tree;

const END: &str = "<!-- end -->\n";

/// What makes the text of a part.
type Make = fn(&Tree) -> Result<String>;

/// A document, the part's name, and what makes it.
const PARTS: &[(&str, &str, Make)] = &[
    ("README.md", "supported", supported),
    ("docs/operations/metrics.md", "metrics", metrics::table),
    ("docs/protocols/amqp.md", "methods", amqp::methods),
    ("docs/protocols/amqp.md", "arguments", amqp::arguments),
    ("docs/protocols/http.md", "routes", routes::table),
    ("docs/protocols/kafka.md", "requests", requests::table),
    ("docs/protocols/sqs.md", "actions", sqs::actions),
    ("docs/protocols/sqs.md", "attributes", sqs::attributes),
    ("docs/protocols/sqs.md", "errors", sqs::errors),
];

/// The server's tests that write documents.
const SERVER_TESTS: &str = "reference";

/// Writes the parts; with `check`, only compares.
///
/// # Errors
/// A document without the part's comments, code that is not as the makers expect; with `check`, a
/// part that is out of date.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = crate::root();
    let tree = Tree::read(&root)?;
    let mut changed = BTreeMap::new();
    for (path, name, make) in PARTS {
        let kept = || {
            tree.text(path)
                .with_context(|| format!("{path} is missing"))
        };
        // A document may have several parts.
        let old = match changed.get(path) {
            Some(text) => String::clone(text),
            None => kept()?.to_owned(),
        };
        let new = replace(&old, name, &make(&tree)?).with_context(|| (*path).to_owned())?;
        if new != old {
            changed.insert(path, new);
        }
    }
    let stale: Vec<&str> = changed.keys().map(|path| **path).collect();
    if !check {
        for (path, text) in &changed {
            std::fs::write(root.join(path), text)?;
        }
    }
    if check {
        ensure!(
            stale.is_empty(),
            "out of date: {}; run `cargo xtask docs`",
            stale.join(", ")
        );
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--quiet", "--package", "stentor", SERVER_TESTS]);
    if !tests
        .env("UPDATE_EXPECT", "1")
        .current_dir(&root)
        .status()?
        .success()
    {
        bail!("the server could not write its documents");
    }
    Ok(())
}

fn replace(text: &str, name: &str, part: &str) -> Result<String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text
        .split_once(&begin)
        .with_context(|| format!("no {begin}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no {END}"))?;
    Ok(format!("{before}{begin}{part}{END}{after}"))
}

/// The README's table: every request of every protocol.
fn supported(tree: &Tree) -> Result<String> {
    let (kafka, amqp, sqs) = (requests::list(), amqp::list(), sqs::list());
    let http = routes::list(tree)?;
    Ok(format!(
        "| protocol | requests |\n|---|---|\n| Kafka | {kafka} |\n| AMQP 0-9-1 | {amqp} |\n| SQS | {sqs} |\n| HTTP | {http} |\n"
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documents_say_what_the_code_does() {
        super::run(true).unwrap();
        crate::codegen::run(true).unwrap();
    }

    #[test]
    fn only_the_part_is_replaced() {
        let text = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n";
        let new = super::replace(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\nnew\n<!-- end -->\nb\n");
        assert!(super::replace(text, "y", "").is_err());
    }
}
