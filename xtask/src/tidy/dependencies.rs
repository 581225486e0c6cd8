//! Every crate from outside has its reason in deny.toml, every reason a crate, every crate a use.

use std::collections::BTreeMap;

use super::manifest::{Manifest, Table, all, members};
use super::{Code, Tree, Violation};

const REASONS: &str = "deny.toml";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = reasons(tree);
    let members = members(tree);
    for member in &members {
        for dependency in &member.dependencies {
            if !dependency.value.contains("workspace = true") && !is_short(member, dependency.line)
            {
                let what = format!("`{}` has a version of its own", dependency.name);
                let instead =
                    "write `.workspace = true`, and the version in the workspace's Cargo.toml";
                found.push(Violation::new(member.path, dependency.line, what, instead));
            }
        }
        found.extend(unused(tree, member));
    }
    for manifest in all(tree) {
        found.extend(unsorted(&manifest));
    }
    found
}

/// Whether the line is `name.workspace = true`.
fn is_short(manifest: &Manifest<'_>, line: usize) -> bool {
    manifest
        .text
        .lines()
        .nth(line - 1)
        .is_some_and(|text| text.contains(".workspace = true"))
}

/// The reasons by name: `# name: reason` at the beginning of the file, with their lines.
fn read(tree: &Tree) -> BTreeMap<&str, usize> {
    let text = tree.text(REASONS).unwrap_or_default();
    let head = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| line.starts_with('#'));
    head.filter_map(|(at, line)| {
        let (name, reason) = line.trim_start_matches(['#', ' ']).split_once(": ")?;
        (!name.contains(' ') && !reason.is_empty()).then_some((name, at + 1))
    })
    .collect()
}

fn reasons(tree: &Tree) -> Vec<Violation> {
    let reasons = read(tree);
    let manifests = all(tree);
    let mut found = Vec::new();
    let mut outside = Vec::new();
    for manifest in &manifests {
        // Members name versions through the workspace; workspaces of their own name them there.
        let own = manifest.dependencies.iter().filter(|dependency| {
            !dependency.is_path()
                && !dependency.value.contains("workspace = true")
                && !is_short(manifest, dependency.line)
        });
        for dependency in own {
            outside.push(dependency.name);
            if !reasons.contains_key(dependency.name) {
                let what = format!("`{}` has no reason", dependency.name);
                let instead = format!("write `# {}: why` in {REASONS}", dependency.name);
                found.push(Violation::new(
                    manifest.path,
                    dependency.line,
                    what,
                    instead,
                ));
            }
        }
    }
    for (name, line) in &reasons {
        if !outside.contains(name) {
            let what = format!("a reason for `{name}`, which nobody depends on");
            found.push(Violation::new(REASONS, *line, what, "remove the line"));
        }
    }
    let ours = members(tree);
    let used = |name: &str| {
        ours.iter()
            .any(|m| m.dependencies.iter().any(|d| d.name == name))
    };
    let root = manifests.iter().find(|manifest| manifest.folder.is_empty());
    let listed = root.into_iter().flat_map(|root| &root.dependencies);
    found.extend(
        listed
            .filter(|d| d.table == Table::Workspace && !used(d.name))
            .map(|d| {
                let what = format!("no member uses `{}`", d.name);
                Violation::new("Cargo.toml", d.line, what, "remove it, and its reason")
            }),
    );
    found
}

/// Dependencies whose name no source of the crate has.
fn unused(tree: &Tree, member: &Manifest<'_>) -> Vec<Violation> {
    let folder = format!("{}/", member.folder);
    let sources: Vec<_> = tree
        .with_extension("rs")
        .filter(|(path, _)| path.starts_with(&folder))
        .map(|(_, text)| Code::new(text))
        .collect();
    let is_used = |name: &str| {
        let name = name.replace('-', "_");
        sources
            .iter()
            .any(|code| code.words().any(|(_, word)| word == name))
    };
    let unused = member
        .dependencies
        .iter()
        .filter(|dependency| !is_used(dependency.name));
    unused
        .map(|dependency| {
            let what = format!("`{}` is not used by this crate", dependency.name);
            Violation::new(member.path, dependency.line, what, "remove the line")
        })
        .collect()
}

fn unsorted(manifest: &Manifest<'_>) -> Vec<Violation> {
    let pairs = manifest.dependencies.windows(2);
    let wrong = pairs.filter_map(|pair| match pair {
        // A line between the two ends an alphabet: another table, a blank line in the workspace.
        [a, b] if b.line == a.line + 1 && a.table == b.table && a.name > b.name => Some((a, b)),
        _ => None,
    });
    wrong
        .map(|(a, b)| {
            let what = format!("`{}` stands behind `{}`", b.name, a.name);
            Violation::new(
                manifest.path,
                b.line,
                what,
                "keep the list in alphabetical order",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_dependencies_belong_together() {
        let tree = Tree::of(&[
            (
                "Cargo.toml",
                "members = [\"a\"]\n[workspace.dependencies]\nb = \"1\"\nc = \"1\"\n",
            ),
            (
                "a/Cargo.toml",
                "[dependencies]\nb.workspace = true\nd = \"1\"\n",
            ),
            ("a/src/lib.rs", "//! a\nuse b::x;\n"),
            ("deny.toml", "# Why.\n#\n# b: because\n# e: because\n"),
        ]);
        let found: Vec<_> = check(&tree)
            .into_iter()
            .map(|v| format!("{} {}: {}", v.path, v.line, v.what))
            .collect();
        assert_eq!(
            found,
            [
                "Cargo.toml 4: `c` has no reason",
                "a/Cargo.toml 3: `d` has no reason",
                "deny.toml 4: a reason for `e`, which nobody depends on",
                "Cargo.toml 4: no member uses `c`",
                "a/Cargo.toml 3: `d` has a version of its own",
                "a/Cargo.toml 3: `d` is not used by this crate",
            ]
        );
    }

    #[test]
    fn lists_are_sorted() {
        let tree = Tree::of(&[(
            "Cargo.toml",
            "[dependencies]\nb = \"1\"\na = \"1\"\n\n[dev-dependencies]\na = \"1\"\n",
        )]);
        let found: Vec<_> = all(&tree)
            .iter()
            .flat_map(unsorted)
            .map(|v| v.line)
            .collect();
        assert_eq!(found, [3]);
    }
}
