//! The `Cargo.toml` files: which crates there are and what they depend on.

use super::Tree;

/// A crate.
#[derive(Clone, Debug)]
pub(super) struct Manifest<'a> {
    /// Its folder; empty for the workspace's own file.
    pub(super) folder: &'a str,
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    pub(super) dependencies: Vec<Dependency<'a>>,
}

/// A line of a table of dependencies.
#[derive(Clone, Debug)]
pub(super) struct Dependency<'a> {
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) table: Table,
    /// What stands behind the name.
    pub(super) value: &'a str,
}

impl Dependency<'_> {
    /// Whether it is another crate of this project: the workspace gives those a path.
    pub(super) fn is_path(&self) -> bool {
        self.value.contains("path = ")
    }
}

/// Which table a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// `[workspace.dependencies]`.
    Workspace,
    /// `[dependencies]`, also for one target only, and `[build-dependencies]`.
    Normal,
    /// `[dev-dependencies]`.
    Dev,
}

impl<'a> Manifest<'a> {
    fn parse(path: &'a str, text: &'a str) -> Self {
        let folder = path
            .strip_suffix("Cargo.toml")
            .unwrap_or("")
            .trim_end_matches('/');
        let mut table = None;
        let mut dependencies = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if let Some(header) = line.strip_prefix('[') {
                let header = header.trim_end().trim_end_matches(']');
                table = match header.rsplit_once('.').map_or(header, |(_, last)| last) {
                    "dependencies" if header.starts_with("workspace.") => Some(Table::Workspace),
                    "dependencies" | "build-dependencies" => Some(Table::Normal),
                    "dev-dependencies" => Some(Table::Dev),
                    _ => None,
                };
                continue;
            }
            let Some(table) = table else { continue };
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let key = key.trim();
            let name = key.split('.').next().unwrap_or(key);
            // A comment, or a line inside a long value.
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            {
                continue;
            }
            dependencies.push(Dependency {
                line: at + 1,
                name,
                table,
                value,
            });
        }
        Self {
            folder,
            path,
            text,
            dependencies,
        }
    }

    /// The name by which the house calls it: the folder's, and `head-` before that of a head.
    pub(super) fn name(&self) -> String {
        match self.folder.rsplit_once('/') {
            Some(("heads", name)) => format!("head-{name}"),
            Some(("fuzz", _)) => "fuzz".to_owned(),
            Some((_, name)) => name.to_owned(),
            None => self.folder.to_owned(),
        }
    }
}

/// All of them.
pub(super) fn all(tree: &Tree) -> Vec<Manifest<'_>> {
    tree.texts()
        .filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml"))
        .map(|(path, text)| Manifest::parse(path, text))
        .collect()
}

/// The members of the workspace.
pub(super) fn members(tree: &Tree) -> Vec<Manifest<'_>> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let members = root
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let listed =
        |folder: &str| members.is_some_and(|(list, _)| list.contains(&format!("\"{folder}\"")));
    all(tree)
        .into_iter()
        .filter(|manifest| listed(manifest.folder))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_apart() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\n\
            c = { version = \"1\" }\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n\
            [dev-dependencies]\ne = \"1\"\n[lints]\nworkspace = true\n";
        let tree = Tree::of(&[("heads/a/Cargo.toml", text)]);
        let manifests = all(&tree);
        let manifest = &manifests[0];
        assert_eq!(
            (manifest.name().as_str(), manifest.folder),
            ("head-a", "heads/a")
        );
        let found: Vec<_> = manifest
            .dependencies
            .iter()
            .map(|d| (d.line, d.name, d.table))
            .collect();
        let normal = Table::Normal;
        assert_eq!(
            found,
            [
                (4, "b", normal),
                (5, "c", normal),
                (7, "d", normal),
                (9, "e", Table::Dev)
            ]
        );
    }
}
