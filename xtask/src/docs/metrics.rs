//! The metrics, read from the sources that register them: `register("name", "help", ..)`, and
//! `counter("name", "help")` or `gauge(..)` where a file has a word for that. A test of the server
//! compares the document with what a running server shows, so nothing slips through.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use crate::tidy::Tree;

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    /// As scrapers see it.
    name: String,
    kind: &'static str,
    labels: String,
    help: String,
}

/// The unit that a name has; without one it counts what it names.
fn unit(name: &str) -> &'static str {
    let has = |unit| name.split('_').any(|word| word == unit);
    ["bytes", "seconds"]
        .into_iter()
        .find(|unit| has(*unit))
        .unwrap_or("")
}

/// One row for each metric, by name.
pub(super) fn table(tree: &Tree) -> Result<String> {
    let mut metrics = Vec::new();
    let sources = tree.written_rust().filter(|(path, text)| {
        let ours = ["crates/", "heads/", "server/"]
            .iter()
            .any(|folder| path.starts_with(folder));
        ours && *path != "crates/base/src/metrics.rs" && text.contains("use base::metrics::")
    });
    for (path, text) in sources {
        metrics.extend(read(text).with_context(|| path.to_owned())?);
    }
    ensure!(!metrics.is_empty(), "no metrics were found");
    metrics.sort();
    let mut table =
        String::from("| name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for Metric {
        name,
        kind,
        labels,
        help,
    } in &metrics
    {
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {labels} | {help} |",
            unit(name)
        )?;
    }
    Ok(table)
}

fn read(text: &str) -> Result<Vec<Metric>> {
    let mut metrics = Vec::new();
    for (at, _) in text.match_indices('(') {
        let (before, behind) = text.split_at(at);
        let word = before
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next();
        let word = word.unwrap_or_default();
        if !matches!(word, "register" | "counter" | "gauge") {
            continue;
        }
        let arguments = behind.get(1..).unwrap_or_default();
        let Some((name, rest)) = literal(arguments) else {
            continue;
        };
        let Some((help, rest)) = literal(rest) else {
            bail!("{name} has no help")
        };
        let (kind, labels) = match word {
            "counter" => ("counter", String::new()),
            "gauge" => ("gauge", String::new()),
            _ => registered(text, before, rest).with_context(|| name.to_owned())?,
        };
        let total = if kind == "counter" { "_total" } else { "" };
        metrics.push(Metric {
            name: format!("stentor_{name}{total}"),
            kind,
            labels,
            help: help.to_owned(),
        });
    }
    Ok(metrics)
}

/// A string at the front of `text`, and what is behind the comma that follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    let (literal, rest) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    Some((literal, rest.trim_start().strip_prefix(',').unwrap_or(rest)))
}

/// The kind and the labels of a metric whose value is the third argument, in `rest`: what it is
/// made of, or else the type of the field that it is put into.
fn registered(text: &str, before: &str, rest: &str) -> Result<(&'static str, String)> {
    let argument = rest.split(')').next().unwrap_or_default();
    for (made, kind) in [("Counter::", "counter"), ("Gauge::", "gauge")] {
        if argument.contains(made) {
            return Ok((kind, String::new()));
        }
    }
    let line = before.rsplit('\n').next().unwrap_or_default();
    let (field, _) = line
        .trim()
        .split_once(':')
        .context("it is not put into a field")?;
    let field = format!("{field}: ");
    let declared = text.lines().map(str::trim).find_map(|line| {
        let line = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        line.strip_prefix(&field)?.strip_suffix(',')
    });
    let declared = declared.context("its field has no type")?;
    let kind = [
        ("Counter", "counter"),
        ("Gauge", "gauge"),
        ("Histogram", "histogram"),
    ]
    .into_iter()
    .find_map(|(name, kind)| declared.contains(name).then_some(kind))
    .with_context(|| format!("{declared} is no metric"))?;
    let labels = match declared
        .strip_prefix("Family<")
        .and_then(|inner| inner.split_once(','))
    {
        Some((alias, _)) => labels(text, alias)?,
        None => String::new(),
    };
    Ok((kind, labels))
}

/// The labels of a family, from the comment above its label type.
fn labels(text: &str, alias: &str) -> Result<String> {
    let declaration = format!("type {alias} =");
    let (before, _) = text
        .split_once(&declaration)
        .context("the label type is not here")?;
    let comment = before.trim_end().rsplit('\n').next().unwrap_or_default();
    let shown = comment
        .split('`')
        .nth(1)
        .filter(|shown| shown.contains('='));
    let shown = shown.with_context(|| format!("{alias}: show the labels, /// `head=\"kafka\"`"))?;
    Ok(format!("`{shown}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
struct M {
    pub(crate) a: Counter,
    b: Family<HeadLabel, Gauge>,
    c_seconds: Histogram,
}
/// `head="kafka"`.
type HeadLabel = [(&'static str, &'static str); 1];
fn new(r: &Metrics) -> M {
    let counter = |name: &str, help: &str| r.register(name, help, Counter::default());
    M {
        a: counter("net_a_bytes", "What a is"),
        b: r.register("net_b", "What b is", Family::default()),
        c_seconds: r.register(
            "net_c_seconds",
            "What c is",
            buckets,
        ),
    }
}
"#;

    #[test]
    fn names_kinds_and_labels_are_read() {
        let found = read(SOURCE).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|m| (m.name.as_str(), m.kind, m.labels.as_str(), unit(&m.name)))
            .collect();
        assert_eq!(
            found,
            [
                ("stentor_net_a_bytes_total", "counter", "", "bytes"),
                ("stentor_net_b", "gauge", "`head=\"kafka\"`", ""),
                ("stentor_net_c_seconds", "histogram", "", "seconds"),
            ]
        );
    }

    #[test]
    fn labels_without_a_comment_are_an_error() {
        assert!(read(&SOURCE.replace("`head=\"kafka\"`", "which")).is_err());
    }
}
