//! Stentor and Apache Kafka in turn, on the same work, by the same clients.
//!
//! Each run starts each system over an empty folder, warms it up, and has it do all workloads: the
//! sizes, the numbers of partitions and the acknowledgements below, with each client. What is
//! produced is consumed by the same client, then removed. Latency is measured at a fixed rate.

mod kept;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::driver::{self, Load};
use crate::stats::Figures;
use crate::system::{Running, System};
use crate::{Options, latency, report, tools};

/// The systems of every workload. [`System::KafkaSync`] is measured where records are 1 KiB and
/// acknowledged by all: everywhere it would take hours.
pub(crate) const SYSTEMS: [System; 4] = [
    System::Kafka,
    System::StentorAsync,
    System::Stentor,
    System::KafkaSync,
];
const SIZES: [usize; 3] = [100, 1024, 16 << 10];
const PARTITIONS: [i32; 2] = [1, 12];
const ACKS: [i16; 2] = [-1, 1];
/// Bytes of values for each load of a client.
const BYTES: usize = 400 << 20;
/// Records are not more than this.
const RECORDS_MAX: usize = 2_000_000;
/// For what a server does now and then, such as a sync once a second.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long the rate is kept.
const RATE_SECONDS: usize = 10;

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Driver,
    Java,
    Librdkafka,
}

impl Client {
    pub(crate) const ALL: [Self; 3] = [Self::Driver, Self::Java, Self::Librdkafka];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Java => "java",
            Self::Librdkafka => "librdkafka",
        }
    }

    /// How much more it is given to do than the others. librdkafka's tool counts the second that its
    /// producer takes before the first record.
    fn factor(self) -> usize {
        match self {
            Self::Driver | Self::Java => 1,
            Self::Librdkafka => 4,
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workload {
    pub(crate) size: usize,
    pub(crate) partitions: i32,
    pub(crate) acks: i16,
}

impl Workload {
    pub(crate) fn name(self) -> String {
        let acks = if self.acks == -1 { "all" } else { "1" };
        format!("{}B {}p acks={acks}", self.size, self.partitions)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let pairs = PARTITIONS
            .into_iter()
            .flat_map(|p| ACKS.into_iter().map(move |a| (p, a)));
        SIZES.into_iter().flat_map(move |size| {
            pairs.clone().map(move |(partitions, acks)| Self {
                size,
                partitions,
                acks,
            })
        })
    }

    fn rate(self) -> usize {
        match self.size {
            0..=1000 => 20_000,
            1001..=10_000 => 10_000,
            _ => 1000,
        }
    }
}

/// What was measured for one system, workload and client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Throughput {
    /// Records per second.
    pub(crate) produce: Figures,
    /// Records per second.
    pub(crate) consume: Figures,
    /// The server's CPU seconds per million records produced.
    pub(crate) produce_cpu: Figures,
    /// The server's CPU seconds per million records consumed.
    pub(crate) consume_cpu: Figures,
}

/// Milliseconds from the time at which a record was due to its arrival at the consumer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Percentiles {
    pub(crate) p50: Figures,
    pub(crate) p99: Figures,
    pub(crate) p999: Figures,
}

/// Of a system as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint {
    /// Milliseconds from start to first answer.
    pub(crate) ready: Figures,
    /// MiB before any work.
    pub(crate) idle: Figures,
    /// MiB after all of it.
    pub(crate) after: Figures,
}

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measured {
    /// Records per second produced and consumed, CPU seconds per million of them.
    Throughput(Client, Workload, System, [f64; 4]),
    /// p50, p99, p99.9 in milliseconds.
    Latency(Workload, System, [f64; 3]),
    /// Milliseconds to ready, MiB when idle, MiB after all of it.
    Footprint(System, [f64; 3]),
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) throughput: BTreeMap<(Client, Workload, &'static str), Throughput>,
    pub(crate) latency: BTreeMap<(Workload, &'static str), Percentiles>,
    pub(crate) footprint: BTreeMap<&'static str, Footprint>,
}

impl Results {
    fn add(&mut self, measured: Measured) {
        match measured {
            Measured::Throughput(client, workload, system, figures) => {
                let place = (client, workload, system.name());
                let of = self.throughput.entry(place).or_default();
                of.produce.push(figures[0]);
                of.consume.push(figures[1]);
                of.produce_cpu.push(figures[2]);
                of.consume_cpu.push(figures[3]);
            }
            Measured::Latency(workload, system, figures) => {
                let of = self.latency.entry((workload, system.name())).or_default();
                of.p50.push(figures[0]);
                of.p99.push(figures[1]);
                of.p999.push(figures[2]);
            }
            Measured::Footprint(system, figures) => {
                let of = self.footprint.entry(system.name()).or_default();
                of.ready.push(figures[0]);
                of.idle.push(figures[1]);
                of.after.push(figures[2]);
            }
        }
    }

    /// How many runs there are of everything.
    pub(crate) fn runs(&self) -> usize {
        let counts = self.footprint.values().map(|f| f.ready.count());
        counts.min().unwrap_or(0)
    }
}

/// Measures, prints, and writes the document if one is named.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut results = Results::default();
    if let Some(path) = &options.kept {
        kept::load(path, options, &mut results)?;
    }
    for run in 0..options.runs {
        // What a run that did not end has measured does not count.
        let mut measured = Vec::new();
        for system in SYSTEMS {
            println!("# run {} of {}: {}", run + 1, options.runs, system.name());
            measure(system, options, &mut measured).with_context(|| system.name())?;
        }
        if let Some(path) = &options.kept {
            kept::save(path, options, &measured)?;
        }
        measured.into_iter().for_each(|one| results.add(one));
    }
    let text = report::kafka(&results, options);
    println!("{text}");
    match &options.out {
        Some(path) => report::replace(path, "kafka", &text),
        None => Ok(()),
    }
}

fn measure(system: System, options: &Options, measured: &mut Vec<Measured>) -> Result<()> {
    let mut running = Running::start(system, options)?;
    let ready = running.ready.as_secs_f64() * 1000.0;
    let idle = running.process.resident_mib()?;
    warm_up(&running, options)?;
    let mut number = 0;
    for workload in Workload::all() {
        let sync_only = system == System::KafkaSync;
        if !workload.name().contains(&options.only)
            || (sync_only && (workload.size != 1024 || workload.acks != -1))
        {
            continue;
        }
        for client in Client::ALL {
            if !options.client.is_empty() && options.client != client.name() {
                continue;
            }
            number += 1;
            let mut load = load(workload, number, options);
            load.records *= client.factor();
            let figures = throughput_of(&running, client, &load, options)
                .with_context(|| format!("{} {}", client.name(), workload.name()))?;
            measured.push(Measured::Throughput(client, workload, system, figures));
            running.process.check()?;
        }
        if options.client.is_empty() || options.client == "rate" {
            number += 1;
            let figures = latency_of(&running, workload, number)
                .with_context(|| format!("latency {}", workload.name()))?;
            measured.push(Measured::Latency(workload, system, figures));
        }
    }
    let after = running.process.resident_mib()?;
    measured.push(Measured::Footprint(system, [ready, idle, after]));
    running.process.stop()
}

fn load(workload: Workload, number: usize, options: &Options) -> Load {
    let records = (BYTES / workload.size).min(RECORDS_MAX) * options.percent / 100;
    Load {
        topic: format!("load-{number}"),
        partitions: workload.partitions,
        size: workload.size,
        acks: workload.acks,
        records: records.max(1000),
    }
}

/// Both kinds of compiled code, of the virtual machine and of the page cache, are warm after this.
fn warm_up(running: &Running, options: &Options) -> Result<()> {
    for (number, acks) in ACKS.into_iter().enumerate() {
        let workload = Workload {
            size: 1024,
            partitions: 4,
            acks,
        };
        let mut load = load(workload, number, options);
        load.topic = format!("warm-up-{number}");
        running.create_topic(&load.topic, load.partitions)?;
        driver::produce(running.address, &load)?;
        driver::consume(running.address, &load)?;
        running.delete_topic(&load.topic)?;
    }
    Ok(())
}

fn throughput_of(
    running: &Running,
    client: Client,
    load: &Load,
    options: &Options,
) -> Result<[f64; 4]> {
    let (address, process) = (running.address, &running.process);
    let records = load.records as f64;
    let per_second = |took: Duration| records / took.as_secs_f64();
    running.create_topic(&load.topic, load.partitions)?;
    let before = process.cpu_seconds()?;
    let produced = match client {
        Client::Driver => per_second(driver::produce(address, load)?),
        Client::Java => tools::java_produce(options, address, load)?.rate,
        Client::Librdkafka => tools::rdkafka_produce(options, address, load)?.rate,
    };
    settle()?;
    let between = process.cpu_seconds()?;
    let consumed = match client {
        Client::Driver => per_second(driver::consume(address, load)?),
        Client::Java => tools::java_consume(options, address, load)?,
        Client::Librdkafka => tools::rdkafka_consume(options, address, load)?,
    };
    let after = process.cpu_seconds()?;
    running.delete_topic(&load.topic)?;
    let produce_cpu = (between - before) / records * 1e6;
    let consume_cpu = (after - between) / records * 1e6;
    println!(
        "{:<12} {:<22} produce {produced:>10.0}/s consume {consumed:>10.0}/s",
        client.name(),
        Workload {
            size: load.size,
            partitions: load.partitions,
            acks: load.acks
        }
        .name(),
    );
    Ok([produced, consumed, produce_cpu, consume_cpu])
}

/// Everything that was written gets to the disk before anything is consumed: who has put that off
/// until later gains nothing by it, and who has not loses nothing.
fn settle() -> Result<()> {
    let synced = Command::new("sync").status()?;
    ensure!(synced.success(), "sync: {synced}");
    std::thread::sleep(SETTLE);
    Ok(())
}

fn latency_of(running: &Running, workload: Workload, number: usize) -> Result<[f64; 3]> {
    let rate = workload.rate();
    let load = Load {
        topic: format!("rate-{number}"),
        partitions: workload.partitions,
        size: workload.size,
        acks: workload.acks,
        records: rate * RATE_SECONDS,
    };
    running.create_topic(&load.topic, load.partitions)?;
    let found = latency::measure(running.address, &load, rate)?;
    running.delete_topic(&load.topic)?;
    let (p50, p99, p999) = (
        found.percentile(0.5),
        found.percentile(0.99),
        found.percentile(0.999),
    );
    println!(
        "{:<12} {:<22} {p50:.2} / {p99:.2} / {p999:.2} ms",
        "rate",
        workload.name()
    );
    Ok([p50, p99, p999])
}
