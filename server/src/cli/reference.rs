//! docs/operations/commands.md, from the definitions of the command line. This test writes it when
//! it is told to (`cargo xtask docs`), and fails when it is out of date.

use std::fmt::Write;

use clap::{Command, CommandFactory};
use expect_test::expect_file;

use super::Cli;
use crate::exit;

const HEAD: &str = "\
# Commands

Made from the code by `cargo xtask docs`. `stentor` without a command serves; every other command but
`config` asks a running server over HTTP (`--server URL`, or `STENTOR_SERVER`), prints JSON with `--json`,
and shows its options with `--help`.
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut root = Cli::command();
    root.build();
    command(&mut text, &root, "");
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (_, number, meaning) in exit::TABLE {
        let _ = writeln!(text, "| {number} | {meaning} |");
    }
    text
}

fn command(text: &mut String, parent: &Command, path: &str) {
    for child in parent.get_subcommands().filter(|c| c.get_name() != "help") {
        let path = format!("{path} {}", child.get_name());
        if child.has_subcommands() && child.get_after_help().is_none() {
            command(text, child, &path);
            continue;
        }
        let about = child
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let _ = write!(text, "\n## `stentor{path}`\n{about}\n");
        let help = child
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        if let Some((_, examples)) = help.split_once(":\n") {
            let lines = examples.lines().map(str::trim_start);
            let block: String = lines.map(|line| format!("{line}\n")).collect();
            let _ = write!(text, "\n```sh\n{block}```\n");
        }
        command(text, child, &path);
    }
}

#[test]
fn the_document_lists_every_command() {
    expect_file!["../../../docs/operations/commands.md"].assert_eq(&reference());
}
