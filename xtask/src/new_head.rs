//! `cargo xtask new-head NAME`: a new protocol's crate in the house's shape. It is a small protocol
//! that works (lines, echoed), with its tests; from there it is changed into the real one.
//!
//! The files are templates in `xtask/new-head/`: `@name@` becomes the name, `@snake@` the name in
//! Rust's modules, `@Name@` the name of types.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The files of a head and their templates.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../new-head/Cargo.toml.txt")),
    ("README.md", include_str!("../new-head/README.md.txt")),
    ("src/codec.rs", include_str!("../new-head/codec.rs.txt")),
    ("src/config.rs", include_str!("../new-head/config.rs.txt")),
    ("src/convert.rs", include_str!("../new-head/convert.rs.txt")),
    ("src/error.rs", include_str!("../new-head/error.rs.txt")),
    (
        "src/handlers.rs",
        include_str!("../new-head/handlers.rs.txt"),
    ),
    (
        "src/handlers/echo.rs",
        include_str!("../new-head/handlers/echo.rs.txt"),
    ),
    ("src/lib.rs", include_str!("../new-head/lib.rs.txt")),
    ("src/session.rs", include_str!("../new-head/session.rs.txt")),
    (
        "src/session/tests.rs",
        include_str!("../new-head/session/tests.rs.txt"),
    ),
];

/// Writes the crate and adds it to the workspace.
///
/// # Errors
/// A name that is none, or is taken; files that cannot be written.
pub(crate) fn run(name: &str) -> Result<()> {
    let root = crate::root();
    let folder = root.join("heads").join(name);
    ensure!(!folder.exists(), "heads/{name} exists already");
    let manifest = root.join("Cargo.toml");
    let members = with_member(&std::fs::read_to_string(&manifest)?, name)?;
    write(&folder, name)?;
    std::fs::write(manifest, members)?;
    println!("heads/{name} is there: `cargo test -p stentor-head-{name}`. What is left to do:");
    println!("- make a protocol of it; docs/adding-a-head.md says in which order");
    println!("- `head-{name}` in the workspace's dependencies and in server/Cargo.toml");
    println!("- its section in server/src/config.rs, its line in server/src/serve/heads.rs");
    println!("- docs/protocols/{name}.md, a file in tests/, a target in fuzz/");
    Ok(())
}

/// Writes a head into a workspace of its own under `target/`, and runs its tests.
///
/// # Errors
/// A template that does not compile or whose tests fail.
pub(crate) fn check() -> Result<()> {
    const NAME: &str = "line-echo";
    let root = crate::root();
    let workspace = root.join("target/new-head");
    let folder = workspace.join("heads").join(NAME);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    write(&folder, NAME)?;
    let manifest = alone(
        &std::fs::read_to_string(root.join("Cargo.toml"))?,
        &root,
        NAME,
    )?;
    std::fs::write(workspace.join("Cargo.toml"), manifest)?;
    std::fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--quiet", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(root.join("target"))
        .status()?;
    if !status.success() {
        bail!("a new head does not pass its own tests: see xtask/new-head");
    }
    println!("new-head: in order");
    Ok(())
}

/// The files of a head called `name`, formatted.
fn render(name: &str) -> Result<Vec<(&'static str, String)>> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    ensure!(
        begins && name.bytes().all(plain) && !name.ends_with('-'),
        "`{name}` is not a name such as `amqp` or `line-echo`"
    );
    let render = |(path, template): &(&'static str, &str)| {
        let text = template
            .replace("@name@", name)
            .replace("@snake@", &name.replace('-', "_"))
            .replace("@Name@", &camel(name));
        let is_code = Path::new(path)
            .extension()
            .is_some_and(|extension| extension == "rs");
        Ok((
            *path,
            if is_code {
                crate::codegen::format_code(&text)?
            } else {
                text
            },
        ))
    };
    FILES.iter().map(render).collect()
}

fn write(folder: &Path, name: &str) -> Result<()> {
    for (path, text) in render(name)? {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

fn camel(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(1.min(word.len()));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.split('-').map(word).collect()
}

/// The workspace's manifest with the head in the list of members, in alphabetical order.
fn with_member(manifest: &str, name: &str) -> Result<String> {
    let new = format!("  \"heads/{name}\",");
    let lines: Vec<&str> = manifest.lines().collect();
    let is_head = |line: &&str| line.trim_start().starts_with("\"heads/");
    let first = lines
        .iter()
        .position(is_head)
        .context("no head in the list of members")?;
    let heads = lines.iter().skip(first).take_while(|line| is_head(line));
    let at = first + heads.take_while(|line| **line < new.as_str()).count();
    let (before, after) = lines.split_at(at);
    let all: Vec<&str> = [before, &[new.as_str()], after].concat();
    Ok(all.join("\n") + "\n")
}

/// A manifest for a workspace elsewhere that holds only the head.
fn alone(manifest: &str, root: &Path, name: &str) -> Result<String> {
    let (before, rest) = manifest.split_once("members = [").context("no members")?;
    let (_, after) = rest.split_once("]\n").context("no end of the members")?;
    let skipped =
        |line: &&str| !line.starts_with("default-members") && !line.starts_with("exclude");
    let after: Vec<&str> = after.lines().filter(skipped).collect();
    let after = after
        .join("\n")
        .replace("path = \"", &format!("path = \"{}/", root.display()));
    Ok(format!("{before}members = [\"heads/{name}\"]\n{after}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{Tree, violations};

    #[test]
    fn a_new_head_passes_tidy() {
        let mut tree = Tree::read(&crate::root()).unwrap();
        let before = violations(&tree);
        for (path, text) in render("line-echo").unwrap() {
            assert!(!text.contains('@'), "{path} has an unknown mark");
            tree.insert(&format!("heads/line-echo/{path}"), &text);
        }
        let manifest = with_member(tree.text("Cargo.toml").unwrap(), "line-echo").unwrap();
        tree.insert("Cargo.toml", &manifest);
        let mut after = violations(&tree);
        after.retain(|violation| !before.contains(violation));
        assert_eq!(after, []);
    }

    #[test]
    fn members_stay_in_order() {
        let manifest =
            "members = [\n  \"crates/a\",\n  \"heads/b\",\n  \"heads/d\",\n  \"server\",\n]\n";
        let with = |name| with_member(manifest, name).unwrap();
        assert!(with("a").contains("\"heads/a\",\n  \"heads/b\""));
        assert!(with("c").contains("\"heads/b\",\n  \"heads/c\",\n  \"heads/d\""));
        assert!(with("e").contains("\"heads/d\",\n  \"heads/e\",\n  \"server\""));
    }

    #[test]
    fn names_are_names() {
        assert_eq!(camel("line-echo"), "LineEcho");
        for wrong in ["", "A", "1a", "a b", "a-", "../a"] {
            assert!(render(wrong).is_err(), "{wrong}");
        }
    }
}
