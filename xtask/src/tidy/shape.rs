//! What every crate and every file has: a README, a story at its beginning, a parent that names
//! it; and the files that every head has.

use super::manifest::members;
use super::tree::join;
use super::{Tree, Violation};

/// What a head has besides `lib.rs`, and why.
const HEAD: &[(&str, &str)] = &[
    ("config.rs", "its section of the configuration"),
    (
        "convert.rs",
        "from the protocol's words to the engine's nouns and back",
    ),
    (
        "error.rs",
        "the one table from the engine's errors to the protocol's codes",
    ),
    ("handlers.rs", "what is served, a file per kind of request"),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in members(tree) {
        if !tree.exists(&join(member.folder, "README.md")) {
            let what = "a crate without README.md";
            let instead = "say in it what the crate is, what it must not know, where to start";
            found.push(Violation::new(member.path, 0, what, instead));
        }
        let named = member
            .text
            .split_once("description = \"")
            .map(|(_, rest)| rest);
        if named.is_none_or(|text| text.starts_with("stentor-") || text.starts_with('"')) {
            let what = "a crate without a description";
            found.push(Violation::new(
                member.path,
                0,
                what,
                "say in one line what it is",
            ));
        }
        if member.folder.starts_with("heads/") {
            found.extend(head(tree, member.folder));
        }
    }
    for (path, text) in tree.with_extension("rs") {
        if !text.starts_with("//!") {
            let what = "a file that does not begin with `//!`";
            found.push(Violation::new(path, 1, what, "say what it holds and why"));
        }
        found.extend(orphan(tree, path));
    }
    found
}

fn head(tree: &Tree, folder: &str) -> Vec<Violation> {
    let source = |name: &str| tree.exists(&format!("{folder}/src/{name}"));
    let mut missing: Vec<_> = HEAD
        .iter()
        .copied()
        .filter(|(name, _)| !source(name))
        .collect();
    let speaks = source("routes.rs") || (source("codec.rs") && source("session.rs"));
    if !speaks {
        missing.push((
            "codec.rs",
            "and session.rs, or routes.rs for a protocol over HTTP",
        ));
    }
    let violation = |(name, why): (&str, &str)| {
        let what = format!("a head without `{name}`");
        Violation::new(folder, 0, what, format!("write it: {why}"))
    };
    missing.into_iter().map(violation).collect()
}

/// A file that no `mod` names is compiled by nobody.
fn orphan(tree: &Tree, path: &str) -> Option<Violation> {
    let (crate_folder, inner) = path.split_once("/src/")?;
    let name = inner.strip_suffix(".rs")?;
    if matches!(name, "lib" | "main") || name.starts_with("bin/") {
        return None;
    }
    let module = name.rsplit('/').next()?;
    let parents = match name.rsplit_once('/') {
        Some((parent, _)) => vec![format!("{crate_folder}/src/{parent}.rs")],
        None => ["lib.rs", "main.rs"]
            .map(|root| format!("{crate_folder}/src/{root}"))
            .to_vec(),
    };
    let wanted = format!("mod {module};");
    let named = parents.iter().any(|parent| {
        let text = tree.text(parent).unwrap_or_default();
        text.lines().any(|line| line.trim_end().ends_with(&wanted))
    });
    let instead = format!(
        "write `{wanted}` in {}, or remove the file",
        parents.join(" or ")
    );
    (!named).then(|| Violation::new(path, 1, "a file that no module names", instead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .into_iter()
            .map(|v| format!("{}: {}", v.path, v.what))
            .collect()
    }

    #[test]
    fn a_crate_has_a_readme_and_a_description_and_its_files_begin_with_a_story() {
        let root = ("Cargo.toml", "members = [\"crates/a\"]");
        let good = ("crates/a/Cargo.toml", "description = \"what it is\"");
        let readme = ("crates/a/README.md", "# a");
        let lib = ("crates/a/src/lib.rs", "//! a\nmod b;\n");
        let module = ("crates/a/src/b.rs", "//! b\n");
        assert_eq!(
            whats(&[root, good, readme, lib, module]),
            Vec::<String>::new()
        );
        let empty = ("crates/a/Cargo.toml", "description = \"stentor-a\"");
        let bare = ("crates/a/src/b.rs", "use c;\n");
        assert_eq!(
            whats(&[root, empty, lib, bare, ("crates/a/src/b/c.rs", "//! c")]),
            [
                "crates/a/Cargo.toml: a crate without README.md",
                "crates/a/Cargo.toml: a crate without a description",
                "crates/a/src/b.rs: a file that does not begin with `//!`",
                "crates/a/src/b/c.rs: a file that no module names",
            ]
        );
    }

    #[test]
    fn a_head_has_the_shape_of_heads() {
        let root = ("Cargo.toml", "members = [\"heads/a\"]");
        let manifest = ("heads/a/Cargo.toml", "description = \"what it is\"");
        let files = [
            root,
            manifest,
            ("heads/a/README.md", ""),
            (
                "heads/a/src/lib.rs",
                "//! a\nmod config;\nmod handlers;\nmod routes;\n",
            ),
            ("heads/a/src/config.rs", "//!"),
            ("heads/a/src/handlers.rs", "//!"),
            ("heads/a/src/routes.rs", "//!"),
        ];
        assert_eq!(
            whats(&files),
            [
                "heads/a: a head without `convert.rs`",
                "heads/a: a head without `error.rs`"
            ]
        );
    }
}
