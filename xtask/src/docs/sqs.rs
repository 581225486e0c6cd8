//! SQS's actions, attributes and errors, from the tables that serve them.

use std::fmt::Write as _;

use anyhow::Result;
use head_sqs::handlers::ACTIONS;
use head_sqs::{ATTRIBUTES, AttributeKind as Kind, ERRORS};

use crate::tidy::Tree;

/// One row for each action; what is required is bold.
pub(super) fn actions(_: &Tree) -> Result<String> {
    let mut table = String::from("| action | takes | |\n|---|---|---|\n");
    for action in ACTIONS {
        let member = |member: &head_sqs::Member| {
            if member.required {
                format!("**{}**", member.name)
            } else {
                member.name.to_owned()
            }
        };
        let members: Vec<String> = action.members.iter().map(member).collect();
        writeln!(
            table,
            "| {} | {} | {} |",
            action.name,
            members.join(", "),
            action.note
        )?;
    }
    Ok(table)
}

/// One row for each attribute of a queue.
pub(super) fn attributes(_: &Tree) -> Result<String> {
    let mut table = String::from("| attribute | values |\n|---|---|\n");
    for attribute in ATTRIBUTES {
        let values = match attribute.kind {
            Kind::Number(from, to, default) => format!("{from} to {to}; {default} if not set"),
            Kind::Flag => "`true`, `false`".to_owned(),
            Kind::FifoFlag => "`true`, `false`; FIFO queues only".to_owned(),
            Kind::FifoChoice(a, b) => format!("`{a}`, `{b}`; FIFO queues only"),
            Kind::Json => "JSON; empty removes it".to_owned(),
            Kind::Text => "text; empty removes it".to_owned(),
            Kind::Told => "told, not set".to_owned(),
        };
        writeln!(table, "| {} | {values} |", attribute.name)?;
    }
    Ok(table)
}

/// One row for each error.
pub(super) fn errors(_: &Tree) -> Result<String> {
    let mut table = String::from("| JSON | Query | status |\n|---|---|---|\n");
    for row in ERRORS {
        writeln!(
            table,
            "| {} | {} | {} |",
            row.json,
            row.query,
            row.status.as_u16()
        )?;
    }
    Ok(table)
}

/// All actions in a line.
pub(super) fn list() -> String {
    let names: Vec<&str> = ACTIONS.iter().map(|action| action.name).collect();
    names.join(", ")
}
