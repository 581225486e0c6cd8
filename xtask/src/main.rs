//! The project's own commands: `cargo xtask --help`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "files and processes are this program's work"
)]

mod bench;
mod clients;
mod codegen;
mod docs;
mod lint;
mod new_head;
mod test;
mod tidy;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds and runs every test, with the clients that people have.
    Test(test::Arguments),
    /// Measures ours and a peer in turn, and writes docs/benchmarks.md.
    Bench(bench::Arguments),
    /// Records requests of real clients anew, for the tests of the Kafka head.
    RecordFrames,
    /// Runs the tests that have a longer form: many kills, the whole suite of librdkafka.
    Soak(test::Soak),
    /// Writes the parts of the documents that are made from the code.
    Docs {
        /// Only compare; fail when something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Writes the Kafka messages from their table.
    Codegen {
        /// Only compare; fail when something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Checks the rules of the house that no compiler checks.
    Tidy,
    /// Writes a new protocol's crate in the house's shape.
    NewHead {
        /// Its name: lower case, such as `amqp`.
        name: String,
    },
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::RecordFrames => test::record_frames(),
        Command::Soak(arguments) => test::soak(&arguments),
        Command::Docs { check } => docs::run(check),
        Command::Codegen { check } => codegen::run(check),
        Command::Tidy => tidy::run(),
        Command::NewHead { name } => new_head::run(&name),
    }
}
