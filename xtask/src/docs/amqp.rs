//! AMQP's methods and the arguments of queues, from the tables that dispatch and check them.

use std::fmt::Write as _;

use anyhow::Result;
use head_amqp::handlers::{ARGUMENTS, METHODS};

use crate::tidy::Tree;

/// One row for each method that clients send.
pub(super) fn methods(_: &Tree) -> Result<String> {
    let mut table = String::from("| method | |\n|---|---|\n");
    for served in METHODS {
        writeln!(table, "| {} | {} |", served.name, served.note)?;
    }
    Ok(table)
}

/// One row for each argument of queues.
pub(super) fn arguments(_: &Tree) -> Result<String> {
    let mut table =
        String::from("| argument | classic | quorum | stream | |\n|---|---|---|---|---|\n");
    for argument in ARGUMENTS {
        let has = |of| {
            if argument.types.contains(of) {
                "yes"
            } else {
                ""
            }
        };
        writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            argument.name,
            has('C'),
            has('Q'),
            has('S'),
            argument.note
        )?;
    }
    Ok(table)
}

/// All methods in a line.
pub(super) fn list() -> String {
    let names: Vec<_> = METHODS.iter().map(|served| served.name).collect();
    names.join(", ")
}
