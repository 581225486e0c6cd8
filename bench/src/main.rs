//! Load tools, and the systems that people run today beside ours.
//!
//! `kafka.rs` says what is measured; `system.rs` starts and stops the servers; `driver.rs` and
//! `latency.rs` are clients of our own, `tools.rs` runs those that people know; `report.rs` writes
//! docs/benchmarks.md. Run it by `cargo xtask bench`, which brings what it needs.

#![allow(clippy::print_stdout, reason = "a command line program")]
#![allow(
    clippy::disallowed_methods,
    reason = "processes, files, threads and time are this program's work"
)]

mod connection;
mod driver;
mod kafka;
mod latency;
mod process;
mod report;
mod stats;
mod system;
mod tools;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "stentor-bench", about = "Ours and the peers on the same work")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Against Apache Kafka.
    Kafka(Options),
}

/// What to run, and on what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The server.
    #[arg(long)]
    stentor: PathBuf,
    /// The folder of Apache Kafka's jars.
    #[arg(long)]
    kafka: PathBuf,
    /// librdkafka's `rdkafka_performance`.
    #[arg(long)]
    rdkafka: PathBuf,
    /// How often each system is started and measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// A part of the work, in percent: less is quicker and less certain.
    #[arg(long, default_value_t = 100)]
    percent: usize,
    /// Only workloads whose name contains this, such as `1024B 12p`.
    #[arg(long, default_value = "")]
    only: String,
    /// Only this client: `driver`, `java`, `librdkafka`, `rate`.
    #[arg(long, default_value = "")]
    client: String,
    /// Where the tables go; without it they are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Kafka(options) => kafka::run(&options),
    }
}
