//! The load tools that people know: Kafka's own in Java, and librdkafka's. They say the rate at
//! which they produced or consumed; a virtual machine's start is not in it, but the second that
//! librdkafka's producer takes before its first record is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::Options;
use crate::driver::Load;

/// How long a tool may run, in seconds.
const PATIENCE: &str = "300";

/// What a producer measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Produced {
    /// Records per second.
    pub(crate) rate: f64,
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{text}",
        output.status
    );
    Ok(text)
}

/// A command that is ended when it takes too long.
fn patient(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", PATIENCE, program]);
    command
}

fn java(jars: &Path, class: &str) -> Command {
    let mut command = patient("java");
    command.args(["-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-cp"]);
    command
        .arg(jars.join("*"))
        .arg(format!("org.apache.kafka.tools.{class}"));
    command
}

/// The number before `unit` in `text`, the last time that it is there.
fn number_before(text: &str, unit: &str) -> Result<f64> {
    let before = text
        .rsplit_once(unit)
        .with_context(|| format!("no '{unit}' in: {text}"))?
        .0;
    let word = before.split_whitespace().next_back().unwrap_or_default();
    word.parse()
        .with_context(|| format!("'{word}' before '{unit}' is no number"))
}

/// Kafka's `kafka-producer-perf-test`.
pub(crate) fn java_produce(
    options: &Options,
    address: SocketAddr,
    load: &Load,
) -> Result<Produced> {
    let acks = if load.acks == -1 {
        "acks=all"
    } else {
        "acks=1"
    };
    let mut command = java(&options.kafka, "ProducerPerformance");
    command.args(["--topic", &load.topic, "--throughput", "-1"]);
    command.args(["--num-records", &load.records.to_string()]);
    command.args(["--record-size", &load.size.to_string()]);
    command.args([
        "--command-property",
        acks,
        &format!("bootstrap.servers={address}"),
    ]);
    command.arg(format!("enable.idempotence={}", load.is_idempotent()));
    let text = run(&mut command)?;
    Ok(Produced {
        rate: number_before(&text, " records/sec")?,
    })
}

/// Kafka's `kafka-consumer-perf-test`: records per second while it fetched.
pub(crate) fn java_consume(options: &Options, address: SocketAddr, load: &Load) -> Result<f64> {
    let mut command = java(&options.kafka, "ConsumerPerformance");
    command.args([
        "--topic",
        &load.topic,
        "--bootstrap-server",
        &address.to_string(),
    ]);
    command.args(["--num-records", &load.records.to_string(), "--hide-header"]);
    let text = run(&mut command)?;
    // start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    let line = text.lines().rfind(|line| line.split(", ").count() == 10);
    let last = line.and_then(|line| line.split(", ").last());
    let last = last.with_context(|| format!("no summary in: {text}"))?;
    Ok(last.trim().parse()?)
}

fn rdkafka(options: &Options, address: SocketAddr, load: &Load) -> Result<Command> {
    let Some(path) = options.rdkafka.to_str() else {
        bail!("a path that is no text");
    };
    let mut command = patient(path);
    command.args([
        "-b",
        &address.to_string(),
        "-t",
        &load.topic,
        "-q",
        "-i",
        "600000",
    ]);
    command.args(["-c", &load.records.to_string()]);
    Ok(command)
}

/// librdkafka's `rdkafka_performance -P`.
pub(crate) fn rdkafka_produce(
    options: &Options,
    address: SocketAddr,
    load: &Load,
) -> Result<Produced> {
    let mut command = rdkafka(options, address, load)?;
    command.args([
        "-P",
        "-s",
        &load.size.to_string(),
        "-a",
        &load.acks.to_string(),
    ]);
    command.args([
        "-X",
        &format!("enable.idempotence={}", load.is_idempotent()),
    ]);
    if load.partitions == 1 {
        command.args(["-p", "0"]);
    }
    let text = run(&mut command)?;
    Ok(Produced {
        rate: number_before(&text, " msgs/s and")?,
    })
}

/// librdkafka's `rdkafka_performance -G`: records per second.
pub(crate) fn rdkafka_consume(options: &Options, address: SocketAddr, load: &Load) -> Result<f64> {
    let mut command = rdkafka(options, address, load)?;
    // A member of a group; `-C` reads one partition only.
    let command = command.args(["-G", &format!("bench-{}", load.topic)]);
    let command = command.args(["-X", "auto.offset.reset=earliest"]);
    let text = run(command)?;
    number_before(&text, " msgs/s (")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_before_a_unit_counts() {
        let text = "5 records sent, 10.5 records/sec (x)\n9 records sent, 12.25 records/sec (y)";
        assert_eq!(number_before(text, " records/sec").unwrap(), 12.25);
        number_before("nothing", " records/sec").unwrap_err();
        number_before("many records/sec", " records/sec").unwrap_err();
    }
}
