//! Kafka's requests, from the table that dispatches them.

use std::fmt::Write as _;

use anyhow::Result;
use head_kafka::handlers::APIS;

use crate::tidy::Tree;

/// One row for each request.
pub(super) fn table(_: &Tree) -> Result<String> {
    let mut table = String::from("| key | request | versions | |\n|---|---|---|---|\n");
    for api in APIS {
        let (key, name) = (api.key.number(), api.key.name());
        writeln!(
            table,
            "| {key} | {name} | {}-{} | {} |",
            api.min, api.max, api.note
        )?;
    }
    Ok(table)
}

/// All of them in a line.
pub(super) fn list() -> String {
    let one = |api: &head_kafka::handlers::Api| {
        let note = if api.note.is_empty() {
            String::new()
        } else {
            format!(" ({})", api.note)
        };
        format!("{} {}-{}{note}", api.key.name(), api.min, api.max)
    };
    APIS.iter().map(one).collect::<Vec<_>>().join(", ")
}
