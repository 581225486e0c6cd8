//! Stentor and RabbitMQ in turn, on the same work, by the same client.
//!
//! Each run starts each system over an empty folder and has it do all workloads. Two promises are
//! measured: none at all, and everything (persistent messages, confirms, acknowledgements).

mod client;
mod load;
mod peer;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use self::load::{Load, Promise};
use self::peer::{Running, System};
use crate::AmqpOptions;
use crate::kafka::{Footprint, Percentiles};
use crate::stats::Figures;

const SIZES: [usize; 3] = [16, 1024, 16 << 10];
/// Queues, each with a publisher and a consumer of its own.
const QUEUES: [usize; 2] = [1, 10];
const PROMISES: [Promise; 2] = [Promise::None, Promise::All];
/// Bytes of bodies for each load, and the most messages for each promise.
const BYTES: usize = 400 << 20;
const MESSAGES_MAX: [usize; 2] = [2_000_000, 500_000];
/// Queues behind the fanout exchange, and deliveries in all.
const FAN: usize = 100;
const FAN_MESSAGES: usize = 1_000_000;
/// Messages that wait.
const BACKLOG: usize = 10_000_000;
/// Messages a second, and for how many seconds.
const RATE: usize = 5000;
const RATE_SECONDS: usize = 10;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Workload {
    promise: Promise,
    size: usize,
    queues: usize,
    fan: bool,
}

impl Workload {
    fn name(self) -> String {
        let promise = match self.promise {
            Promise::None => "no acks",
            Promise::All => "safe",
        };
        let shape = if self.fan {
            format!("1 to {}", self.queues)
        } else {
            format!("{0}x{0}", self.queues)
        };
        format!("{}B {shape} {promise}", self.size)
    }

    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for promise in PROMISES {
            for size in SIZES {
                all.extend(QUEUES.map(|queues| Self {
                    promise,
                    size,
                    queues,
                    fan: false,
                }));
            }
            all.push(Self {
                promise,
                size: 1024,
                queues: FAN,
                fan: true,
            });
        }
        all
    }

    fn load(self, options: &AmqpOptions) -> Load {
        let most = match (self.fan, self.promise) {
            (true, _) => FAN_MESSAGES,
            (false, Promise::None) => MESSAGES_MAX[0],
            (false, Promise::All) => MESSAGES_MAX[1],
        };
        let messages = if self.fan {
            most
        } else {
            (BYTES / self.size).min(most)
        };
        Load {
            size: self.size,
            queues: self.queues,
            promise: self.promise,
            messages: (messages * options.percent / 100).max(1000),
        }
    }
}

/// What was measured for a system and a workload.
#[derive(Clone, Debug, Default)]
struct Throughput {
    /// Messages delivered a second.
    rate: Figures,
    /// The server's CPU seconds per million of them.
    cpu: Figures,
}

/// What a backlog costs.
#[derive(Clone, Debug, Default)]
struct Backlog {
    /// MiB more than before.
    memory: Figures,
    /// Messages a second while it was filled, and while it was emptied.
    fill: Figures,
    drain: Figures,
}

/// Everything that was measured.
#[derive(Debug, Default)]
struct Results {
    throughput: BTreeMap<(Workload, System), Throughput>,
    latency: BTreeMap<(usize, System), Percentiles>,
    backlog: BTreeMap<System, Backlog>,
    footprint: BTreeMap<System, Footprint>,
}

/// Measures, prints, and writes the document if one is named.
pub(crate) fn run(options: &AmqpOptions) -> Result<()> {
    let mut results = Results::default();
    for run in 0..options.runs {
        for system in System::ALL {
            println!("# run {} of {}: {}", run + 1, options.runs, system.name());
            measure(system, options, &mut results).with_context(|| system.name())?;
        }
    }
    let text = report::text(&results, options);
    println!("{text}");
    match &options.out {
        Some(path) => crate::report::replace(path, "amqp", &text),
        None => Ok(()),
    }
}

fn measure(system: System, options: &AmqpOptions, results: &mut Results) -> Result<()> {
    let mut running = Running::start(system, options)?;
    let footprint = results.footprint.entry(system).or_default();
    footprint.ready.push(running.ready.as_secs_f64() * 1000.0);
    footprint.idle.push(running.process.resident_mib()?);
    for workload in Workload::all() {
        if !workload.name().contains(&options.only) {
            continue;
        }
        let load = workload.load(options);
        // Once for nothing: code and buffers are warm after it.
        let warm_up = Load {
            messages: (load.messages / 10).max(1000),
            ..load
        };
        throughput_of(&running, system, workload, &warm_up)?;
        let (rate, cpu) =
            throughput_of(&running, system, workload, &load).with_context(|| workload.name())?;
        running.process.check()?;
        println!("{:<24} {rate:>10.0}/s {cpu:>8.2} CPU s/M", workload.name());
        let throughput = results.throughput.entry((workload, system)).or_default();
        throughput.rate.push(rate);
        throughput.cpu.push(cpu);
    }
    if options.only.is_empty() || options.only == "rate" {
        for size in SIZES {
            let found = latency_of(&running, system, size)?;
            let percentiles = results.latency.entry((size, system)).or_default();
            percentiles.p50.push(found[0]);
            percentiles.p99.push(found[1]);
            percentiles.p999.push(found[2]);
        }
    }
    if options.only.is_empty() || options.only == "backlog" {
        let backlog = results.backlog.entry(system).or_default();
        backlog_of(&running, system, options, backlog)?;
    }
    let footprint = results.footprint.entry(system).or_default();
    footprint.after.push(running.process.resident_mib()?);
    running.process.stop()
}

fn throughput_of(
    running: &Running,
    system: System,
    workload: Workload,
    load: &Load,
) -> Result<(f64, f64)> {
    let before = running.process.cpu_seconds()?;
    let took = if workload.fan {
        load::fan_out(running.address, system.kind(), load)?
    } else {
        load::run(running.address, system.kind(), load)?
    };
    let cpu = running.process.cpu_seconds()? - before;
    let messages = load.messages as f64;
    Ok((messages / took.as_secs_f64(), cpu / messages * 1e6))
}

fn latency_of(running: &Running, system: System, size: usize) -> Result<[f64; 3]> {
    let load = Load {
        size,
        queues: 1,
        promise: Promise::All,
        messages: RATE * RATE_SECONDS,
    };
    let found = load::latency(running.address, system.kind(), &load, RATE)?;
    let at = |share: f64| {
        let at = (found.len() as f64 * share) as usize;
        let micros = found.get(at.min(found.len().saturating_sub(1)));
        f64::from(micros.copied().unwrap_or(0)) / 1000.0
    };
    let all = [at(0.5), at(0.99), at(0.999)];
    println!(
        "{size}B at {RATE}/s: {:.2} / {:.2} / {:.2} ms",
        all[0], all[1], all[2]
    );
    Ok(all)
}

fn backlog_of(
    running: &Running,
    system: System,
    options: &AmqpOptions,
    backlog: &mut Backlog,
) -> Result<()> {
    let load = Load {
        size: 16,
        queues: 1,
        promise: Promise::All,
        messages: BACKLOG * options.percent / 100,
    };
    let per_second = |took: Duration| load.messages as f64 / took.as_secs_f64();
    let before = running.process.resident_mib()?;
    let fill = per_second(load::fill(running.address, system.kind(), &load)?);
    let memory = running.process.resident_mib()? - before;
    let drain = per_second(load::drain(running.address, &load)?);
    println!(
        "backlog of {}: {memory:.0} MiB, filled {fill:.0}/s, emptied {drain:.0}/s",
        load.messages
    );
    backlog.memory.push(memory);
    backlog.fill.push(fill);
    backlog.drain.push(drain);
    Ok(())
}
