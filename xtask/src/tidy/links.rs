//! What documents point at exists: links between files, and the sources they name.

use super::tree::join;
use super::{Tree, Violation};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.with_extension("md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut in_code = false;
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in targets(line).filter(|target| !reaches(tree, folder, target)) {
                let what = format!("`{target}` does not exist");
                found.push(Violation::new(path, at + 1, what, "link to what is there"));
            }
            for name in sources(line).filter(|name| !is_source(tree, name)) {
                let what = format!("there is no `{name}`");
                found.push(Violation::new(path, at + 1, what, "name what is there"));
            }
        }
    }
    found
}

/// The targets of links that are files.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let behind = line.split("](").skip(1);
    let inner = behind.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let plain = inner.map(|target| target.split('#').next().unwrap_or(target));
    plain.filter(|target| {
        !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
    })
}

fn reaches(tree: &Tree, folder: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = Vec::new();
    let whole = join(folder, target);
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    tree.exists(&parts.join("/"))
}

/// Names of Rust sources in backticks.
fn sources(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
        name.len() > 3 && name.ends_with(".rs") && name.bytes().all(plain)
    })
}

fn is_source(tree: &Tree, name: &str) -> bool {
    let ending = format!("/{name}");
    tree.with_extension("rs")
        .any(|(path, _)| path == name || path.ends_with(&ending) || inner(path, name))
}

/// `net/drive.rs` for `crates/net/src/drive.rs`.
fn inner(path: &str, name: &str) -> bool {
    path.replace("/src/", "/").ends_with(&format!("/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_and_missing_sources_are_found() {
        let text = "[a](../b.md) [c](gone.md#x) [d](https://e.f/g.md) `net/drive.rs` `net/dive.rs`\n\
            ```\n[h](nothing.md)\n```\n[i](../docs/)\n";
        let tree = Tree::of(&[
            ("docs/a.md", text),
            ("b.md", ""),
            ("crates/net/src/drive.rs", "//!"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|v| (v.line, v.what)).collect();
        assert_eq!(
            found,
            [
                (1, "`gone.md` does not exist".into()),
                (1, "there is no `net/dive.rs`".to_owned())
            ]
        );
    }
}
