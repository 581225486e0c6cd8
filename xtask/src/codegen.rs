//! `cargo xtask codegen`: writes `crates/kafka-wire/src/messages/` from the definition table in
//! `crates/kafka-wire/messages/` (its format is described in that crate's README).

mod emit;
mod table;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Generates; with `check`, only compares with what is there.
///
/// # Errors
/// A table that makes no sense, a missing `rustfmt`, files that cannot be written; with `check`,
/// generated code that is out of date.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = crate::root();
    let generated = generate(&root.join("crates/kafka-wire/messages"))?;
    let into = root.join("crates/kafka-wire/src/messages");
    if check {
        compare(&into, &generated)
    } else {
        write(&into, &generated)
    }
}

fn generate(tables: &Path) -> Result<BTreeMap<String, String>> {
    let mut messages = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(tables)
        .with_context(|| tables.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "kw"))
    {
        let text = std::fs::read_to_string(path)?;
        let parsed = table::parse(&text).with_context(|| path.display().to_string())?;
        messages.extend(parsed);
    }
    ensure!(!messages.is_empty(), "no messages in {}", tables.display());
    let errors = std::fs::read_to_string(tables.join("errors.txt"))?;
    let mut files = BTreeMap::new();
    for message in &messages {
        files.insert(
            format!("{}.rs", emit::module(&message.name)),
            emit::message(message)?,
        );
    }
    files.insert("api_key.rs".to_owned(), emit::api_keys(&messages)?);
    files.insert("error_code.rs".to_owned(), emit::error_codes(&errors)?);
    files.insert("../messages.rs".to_owned(), emit::index(&messages));
    for text in files.values_mut() {
        *text = format_code(text)?;
    }
    Ok(files)
}

/// Formats Rust source.
pub(crate) fn format_code(text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt is needed: `rustup component add rustfmt`")?;
    let mut stdin = child.stdin.take().context("rustfmt has no input")?;
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "rustfmt refused generated code:\n{text}"
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn write(into: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(into)? {
        std::fs::remove_file(entry?.path())?;
    }
    for (name, text) in files {
        std::fs::write(into.join(name), text)?;
    }
    Ok(())
}

fn compare(into: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    let mut stale = Vec::new();
    for (name, text) in files {
        if std::fs::read_to_string(into.join(name)).unwrap_or_default() != *text {
            stale.push(name.clone());
        }
    }
    for entry in std::fs::read_dir(into)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            stale.push(name);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!(
        "out of date: {}; run `cargo xtask codegen`",
        stale.join(", ")
    )
}
