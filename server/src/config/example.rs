//! A `stentor.toml` with every key, its meaning and its default, from [`super::schema`].

use std::fmt::Write;

use super::schema::{Key, SECTIONS, Schema};

/// The file's text. Every key is commented out: as it stands it changes nothing.
pub(crate) fn example() -> String {
    let schema = Schema::read();
    let mut text = String::from(
        "# Stentor's configuration. Every key is shown with its default, commented out.\n\
         # Later wins: this file, then the environment (STENTOR__SECTION__KEY), then --set\n\
         # section.key=value. Sizes are written \"64MiB\", times \"30s\"; relative paths count from\n\
         # the directory that the server is started in.\n",
    );
    for section in SECTIONS {
        if !section.name.is_empty() {
            let _ = write!(text, "\n# {}\n[{}]\n", section.about, section.name);
        }
        let own =
            |name: &&String| inner(section.name, name).is_some_and(|rest| !rest.contains('.'));
        for name in schema.order.iter().filter(own) {
            key(&mut text, name, &schema);
        }
        tables(&mut text, section.name, &schema);
    }
    text
}

/// The name within the section.
fn inner<'a>(section: &str, name: &'a str) -> Option<&'a str> {
    if section.is_empty() {
        return (!name.contains('.')).then_some(name);
    }
    name.strip_prefix(section)?.strip_prefix('.')
}

/// Tables within the section come last, as TOML wants it.
fn tables(text: &mut String, section: &str, schema: &Schema) {
    let mut table = "";
    for name in &schema.order {
        let Some((of, _)) = name.rsplit_once('.') else {
            continue;
        };
        if section.is_empty() || of.len() <= section.len() || inner(section, of).is_none() {
            continue;
        }
        if table != of {
            table = of;
            // A table with a required key must not stand there empty.
            let optional = schema
                .keys
                .get(name)
                .is_some_and(|key| key.default.is_none());
            let _ = write!(text, "\n{}[{of}]\n", if optional { "#" } else { "" });
        }
        key(text, name, schema);
    }
}

fn key(text: &mut String, name: &str, schema: &Schema) {
    let Some(found) = schema.keys.get(name) else {
        return;
    };
    for line in &found.doc {
        let _ = writeln!(text, "# {line}");
    }
    if found.optional {
        text.push_str("# Not set unless you do.\n");
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    let _ = writeln!(text, "#{last} = {}", value(found));
}

fn value(key: &Key) -> String {
    match &key.default {
        Some(value) if key.is_map() && value.as_table().is_some_and(toml::Table::is_empty) => {
            "{}".to_owned()
        }
        Some(value) => value.to_string(),
        None if key.kind == "PathBuf" => "\"FILE\"".to_owned(),
        None if key.kind == "bool" => "false".to_owned(),
        None => "\"60s\"".to_owned(),
    }
}
