//! Load tools, and the systems that people run today beside ours.
//!
//! `kafka.rs`, `amqp.rs` and `sqs.rs` say what is measured; `system.rs` starts and stops the servers; `driver.rs` and
//! `latency.rs` are clients of our own, `tools.rs` runs those that people know; `report.rs` writes
//! docs/benchmarks.md. Run it by `cargo xtask bench`, which brings what it needs.

#![allow(clippy::print_stdout, reason = "a command line program")]
#![allow(
    clippy::disallowed_methods,
    reason = "processes, files, threads and time are this program's work"
)]

mod amqp;
mod connection;
mod driver;
mod kafka;
mod latency;
mod process;
mod report;
mod sqs;
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
    /// Against RabbitMQ.
    Amqp(AmqpOptions),
    /// Against ElasticMQ.
    Sqs(SqsOptions),
    /// The driver alone, against a server that runs: for profiles.
    Load(LoadOptions),
}

/// One load of the driver.
#[derive(Clone, Debug, clap::Args)]
struct LoadOptions {
    /// The server.
    #[arg(long)]
    address: std::net::SocketAddr,
    /// The topic, made anew.
    #[arg(long, default_value = "load")]
    topic: String,
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Of a value, in bytes.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// -1 or 1.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    acks: i16,
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// How often it is all consumed.
    #[arg(long, default_value_t = 1)]
    reads: usize,
}

fn load(options: &LoadOptions) -> anyhow::Result<()> {
    let load = driver::Load {
        topic: options.topic.clone(),
        partitions: options.partitions,
        size: options.size,
        acks: options.acks,
        records: options.records,
    };
    let mut connection = connection::Connection::open(options.address)?;
    connection.create_topic(&load.topic, load.partitions, None)?;
    let rate = |took: std::time::Duration| load.records as f64 / took.as_secs_f64();
    println!(
        "produced {:.0} records/s",
        rate(driver::produce(options.address, &load)?)
    );
    for _ in 0..options.reads {
        println!(
            "consumed {:.0} records/s",
            rate(driver::consume(options.address, &load)?)
        );
    }
    Ok(())
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
    /// A file in which whole runs are kept: those that are in it count too, these are added.
    #[arg(long)]
    kept: Option<PathBuf>,
    /// Where the tables go; without it they are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What to run over AMQP, and on what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AmqpOptions {
    /// The server.
    #[arg(long)]
    stentor: PathBuf,
    /// The root folder that RabbitMQ is installed in.
    #[arg(long)]
    rabbitmq: PathBuf,
    /// Its version.
    #[arg(long)]
    version: String,
    /// How often each system is started and measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// A part of the work, in percent: less is quicker and less certain.
    #[arg(long, default_value_t = 100)]
    percent: usize,
    /// Only workloads whose name contains this, such as `1024B 1x1`; `rate`, `backlog`.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the tables go; without it they are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What to run over SQS, and on what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SqsOptions {
    /// The server.
    #[arg(long)]
    stentor: PathBuf,
    /// The folder of ElasticMQ's jars.
    #[arg(long)]
    elasticmq: PathBuf,
    /// Its version.
    #[arg(long)]
    version: String,
    /// How often each system is started and measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// A part of the work, in percent: less is quicker and less certain.
    #[arg(long, default_value_t = 100)]
    percent: usize,
    /// Only workloads whose name contains this, such as `FIFO`.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the tables go; without it they are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Kafka(options) => kafka::run(&options),
        Command::Amqp(options) => amqp::run(&options),
        Command::Sqs(options) => sqs::run(&options),
        Command::Load(options) => load(&options),
    }
}
