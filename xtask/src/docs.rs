//! `cargo xtask docs`: the parts of the documents that are made from the code.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

const BEGIN: &str = "<!-- generated: requests -->\n";
const END: &str = "<!-- end -->\n";

/// Writes the table of requests into docs/protocols/kafka.md; with `check`, only compares.
pub(crate) fn run(check: bool) -> Result<()> {
    let path = crate::root().join("docs/protocols/kafka.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .context("the table has no beginning")?;
    let (_, after) = rest.split_once(END).context("the table has no end")?;
    let mut table = String::from("| key | request | versions | |\n|---|---|---|---|\n");
    for api in head_kafka::handlers::APIS {
        let (key, name) = (api.key.number(), api.key.name());
        writeln!(
            table,
            "| {key} | {name} | {}-{} | {} |",
            api.min, api.max, api.note
        )?;
    }
    let new = format!("{before}{BEGIN}{table}{END}{after}");
    if check {
        ensure!(
            new == text,
            "docs/protocols/kafka.md is out of date; run `cargo xtask docs`"
        );
        return Ok(());
    }
    Ok(std::fs::write(path, new)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documents_say_what_the_code_does() {
        super::run(true).unwrap();
        crate::codegen::run(true).unwrap();
    }
}
