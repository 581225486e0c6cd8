//! docs/operations/configuration.md, from [`super::schema`]. This test writes it when it is told to
//! (`cargo xtask docs`), and fails when it is out of date.

use std::fmt::Write;

use expect_test::expect_file;

use super::schema::{Key, SECTIONS, Schema};

const HEAD: &str = r#"# Configuration

Made from the code by `cargo xtask docs`: every key, its type, default and meaning.

`stentor.toml`, then the environment (`STENTOR__SECTION__KEY`), then `--set section.key=value`; later ones
win, and unknown keys are refused with the nearest name. `listen = "off"` disables a head. Sizes are
written `"64MiB"`, times `"30s"`; relative paths count from the directory that the server is started in.
`stentor config` shows every value in effect and where it comes from, `stentor config --example` prints a
file to begin with, `stentor config check FILE` says whether a server would take it.
"#;

fn reference() -> String {
    let schema = Schema::read();
    let mut text = HEAD.to_owned();
    let mut shown = 0;
    for section in SECTIONS {
        let (title, about) = match section.name {
            "" => ("At the top".to_owned(), "Before any section."),
            name => (format!("`[{name}]`"), section.about),
        };
        let _ = write!(
            text,
            "\n## {title}\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
        );
        for name in schema.order.iter().filter(|name| is_in(section.name, name)) {
            if let Some(key) = schema.keys.get(name) {
                let _ = writeln!(text, "{}", row(name, key));
                shown += 1;
            }
        }
    }
    assert_eq!(shown, schema.keys.len(), "a key belongs to no section");
    text
}

fn is_in(section: &str, name: &str) -> bool {
    match name.split_once('.') {
        Some((first, _)) => first == section,
        None => section.is_empty(),
    }
}

fn row(name: &str, key: &Key) -> String {
    let default = match &key.default {
        Some(value) if key.is_map() && value.as_table().is_some_and(toml::Table::is_empty) => {
            "empty".to_owned()
        }
        Some(value) => format!("`{value}`"),
        None => "not set".to_owned(),
    };
    let meaning = key.doc.join(" ").replace('|', "\\|");
    format!("| `{name}` | {} | {default} | {meaning} |", kind(key.kind))
}

/// A type, as an operator writes its values.
fn kind(kind: &str) -> &str {
    match kind {
        "ByteSize" => "size",
        "Millis" => "time",
        "PathBuf" => "path",
        "String" => "text",
        "bool" => "true, false",
        "Listen" => "address, `off`",
        "Auth" => "`accept`, `verify`",
        "Format" => "`text`, `json`",
        "Vec<Mechanism>" => "list of mechanisms",
        kind if kind.starts_with("BTreeMap") => "table",
        kind if kind.starts_with("Vec<") => "list",
        kind if kind.starts_with(['u', 'i']) => "number",
        kind => panic!("{kind}: say in reference.rs what an operator writes"),
    }
}

#[test]
fn the_document_lists_every_key() {
    expect_file!["../../../docs/operations/configuration.md"].assert_eq(&reference());
}
