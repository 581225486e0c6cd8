//! Messages that stop an operator name a page in `docs/errors/`; each page is named by a message.

use std::collections::BTreeSet;

use super::{Tree, Violation};

const FOLDER: &str = "docs/errors/";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut named = BTreeSet::new();
    let mut found = Vec::new();
    // This file's own tests name pages that are made up.
    let sources = tree
        .written_rust()
        .filter(|(path, _)| !path.starts_with("xtask/src/tidy"));
    for (path, text) in sources {
        for (at, line) in text.lines().enumerate() {
            for page in pages(line) {
                if !tree.exists(&page) {
                    let what = format!("`{page}` does not exist");
                    let instead = "write it: what is seen, the cause, the way out";
                    found.push(Violation::new(path, at + 1, what, instead));
                }
                named.insert(page);
            }
        }
    }
    for (path, text) in tree.texts().filter(|(path, _)| path.starts_with(FOLDER)) {
        if !named.contains(path) {
            let what = "no message names this page";
            found.push(Violation::new(
                path,
                1,
                what,
                "name it in the error's text, or remove it",
            ));
        }
        if !text.contains("**Cause.**")
            || !(text.contains("**Way out.**") || text.contains("**At a start**"))
        {
            let what = "a page without `**Cause.**` and `**Way out.**`";
            found.push(Violation::new(
                path,
                1,
                what,
                "an operator reads it in a hurry: say both",
            ));
        }
    }
    found
}

/// The pages that a line names.
fn pages(line: &str) -> impl Iterator<Item = String> {
    line.split(FOLDER).skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once(".md")?;
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain.then(|| format!("{FOLDER}{name}.md"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_messages_belong_together() {
        let page = "**Cause.** a\n**Way out.** b\n";
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "//!\n\"(docs/errors/here.md) (docs/errors/gone.md)\"\n",
            ),
            ("docs/errors/here.md", page),
            ("docs/errors/unnamed.md", page),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|v| (v.path, v.line)).collect();
        assert_eq!(
            found,
            [
                ("crates/a/src/lib.rs".into(), 2),
                ("docs/errors/unnamed.md".into(), 1)
            ]
        );
    }
}
