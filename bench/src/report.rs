//! The tables of docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Options;
use crate::kafka::{Client, Percentiles, Results, Throughput, Workload};
use crate::stats::Figures;
use crate::system::System;

/// Puts `text` between the marks of `section` in the document.
pub(crate) fn replace(path: &Path, section: &str, text: &str) -> Result<()> {
    let document = std::fs::read_to_string(path)?;
    let (begin, end) = (
        format!("<!-- measured: {section} -->\n"),
        format!("<!-- end: {section} -->"),
    );
    let (before, rest) = document
        .split_once(&begin)
        .context("no mark in the document")?;
    let (_, after) = rest
        .split_once(&end)
        .context("no end mark in the document")?;
    Ok(std::fs::write(
        path,
        format!("{before}{begin}{text}{end}{after}"),
    )?)
}

/// What this machine is, in a line.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |line| line.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let kernel = version.split_whitespace().nth(2).unwrap_or_default();
    format!("{cores} cores ({model}), Linux {kernel}")
}

/// `median (min-max)` of records per second, in thousands.
pub(crate) fn thousands(figures: &Figures) -> String {
    let (low, mid, high) = (
        figures.min() / 1e3,
        figures.median() / 1e3,
        figures.max() / 1e3,
    );
    if mid < 100.0 {
        return format!("{mid:.1} ({low:.1}-{high:.1})");
    }
    format!("{mid:.0} ({low:.0}-{high:.0})")
}

/// How many times `ours` is `theirs`, by their medians.
pub(crate) fn times(ours: &Figures, theirs: &Figures) -> String {
    if theirs.median() == 0.0 || ours.median() == 0.0 {
        return "-".to_owned();
    }
    format!("{:.2}", ours.median() / theirs.median())
}

/// That only a part of the work was done, if so.
pub(crate) fn share(percent: usize) -> String {
    match percent {
        100 => String::new(),
        percent => format!(", {percent} % of the work"),
    }
}

/// All tables of the comparison with Apache Kafka.
pub(crate) fn kafka(results: &Results, options: &Options) -> String {
    let mut out = String::new();
    let share = share(options.percent);
    let _ = writeln!(
        out,
        "{}; {} runs of each system in turn{share}.\n",
        machine(),
        results.runs()
    );
    for client in Client::ALL {
        for (title, pick) in [
            (
                "produce",
                (|t: &Throughput| t.produce.clone()) as fn(&Throughput) -> Figures,
            ),
            ("consume", |t: &Throughput| t.consume.clone()),
        ] {
            rates(&mut out, results, client, title, pick);
        }
        cpu(&mut out, results, client);
    }
    synced(&mut out, results);
    latencies(&mut out, results);
    footprints(&mut out, results);
    out
}

fn workloads(results: &Results, client: Client) -> Vec<Workload> {
    let mut all: Vec<_> = results
        .throughput
        .keys()
        .filter(|key| key.0 == client)
        .map(|key| key.1)
        .collect();
    all.dedup();
    all
}

fn rates(
    out: &mut String,
    results: &Results,
    client: Client,
    title: &str,
    pick: fn(&Throughput) -> Figures,
) {
    let workloads = workloads(results, client);
    if workloads.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "### {title}, {}: thousand records/s, median (min-max)\n",
        client.name()
    );
    out.push_str("| workload | Kafka | Stentor, async | Stentor, synced | async / Kafka | synced / Kafka |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for workload in workloads {
        let of = |system: System| {
            let found = results.throughput.get(&(client, workload, system.name()));
            found.map(pick).unwrap_or_default()
        };
        let (kafka, ours, synced) = (
            of(System::Kafka),
            of(System::StentorAsync),
            of(System::Stentor),
        );
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            workload.name(),
            thousands(&kafka),
            thousands(&ours),
            thousands(&synced),
            times(&ours, &kafka),
            times(&synced, &kafka),
        );
    }
    out.push('\n');
}

fn cpu(out: &mut String, results: &Results, client: Client) {
    let workloads = workloads(results, client);
    if workloads.is_empty() {
        return;
    }
    let name = client.name();
    let _ = writeln!(
        out,
        "### server's CPU seconds per million records, {name}: produce / consume\n"
    );
    out.push_str("| workload | Kafka | Stentor, async | Stentor, synced | synced / Kafka |\n");
    out.push_str("|---|---|---|---|---|\n");
    for workload in workloads {
        let of = |system: System| {
            let found = results.throughput.get(&(client, workload, system.name()));
            found.cloned().unwrap_or_default()
        };
        let both = |t: &Throughput| {
            format!(
                "{:.2} / {:.2}",
                t.produce_cpu.median(),
                t.consume_cpu.median()
            )
        };
        let (kafka, ours, synced) = (
            of(System::Kafka),
            of(System::StentorAsync),
            of(System::Stentor),
        );
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} / {} |",
            workload.name(),
            both(&kafka),
            both(&ours),
            both(&synced),
            times(&synced.produce_cpu, &kafka.produce_cpu),
            times(&synced.consume_cpu, &kafka.consume_cpu),
        );
    }
    out.push('\n');
}

/// Both with a sync before every acknowledgement.
fn synced(out: &mut String, results: &Results) {
    let name = System::KafkaSync.name();
    let keys: Vec<_> = results
        .throughput
        .keys()
        .filter(|key| key.2 == name)
        .collect();
    if keys.is_empty() {
        return;
    }
    out.push_str("### produce, both synced: thousand records/s\n\n");
    out.push_str("| workload | client | Kafka, a sync per batch | Stentor, synced | ratio |\n");
    out.push_str("|---|---|---|---|---|\n");
    for (client, workload, _) in keys {
        let of = |system: System| {
            let found = results.throughput.get(&(*client, *workload, system.name()));
            found.map(|t| t.produce.clone()).unwrap_or_default()
        };
        let (theirs, ours) = (of(System::KafkaSync), of(System::Stentor));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            workload.name(),
            client.name(),
            thousands(&theirs),
            thousands(&ours),
            times(&ours, &theirs),
        );
    }
    out.push('\n');
}

fn latencies(out: &mut String, results: &Results) {
    let mut workloads: Vec<_> = results.latency.keys().map(|key| key.0).collect();
    workloads.dedup();
    if workloads.is_empty() {
        return;
    }
    out.push_str("### end to end at a fixed rate: milliseconds, p50 / p99 / p99.9\n\n");
    out.push_str("| workload | Kafka | Stentor, async | Stentor, synced | Kafka, a sync per batch | p99: async / Kafka | synced / Kafka |\n");
    out.push_str("|---|---|---|---|---|---|---|\n");
    for workload in workloads {
        let of = |system: System| results.latency.get(&(workload, system.name()));
        let all = |found: Option<&Percentiles>| {
            found.map_or_else(
                || "-".to_owned(),
                |p| {
                    format!(
                        "{:.2} / {:.2} / {:.2}",
                        p.p50.median(),
                        p.p99.median(),
                        p.p999.median()
                    )
                },
            )
        };
        let p99 = |system: System| of(system).map(|p| p.p99.clone()).unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            workload.name(),
            all(of(System::Kafka)),
            all(of(System::StentorAsync)),
            all(of(System::Stentor)),
            all(of(System::KafkaSync)),
            times(&p99(System::StentorAsync), &p99(System::Kafka)),
            times(&p99(System::Stentor), &p99(System::Kafka)),
        );
    }
    out.push('\n');
}

fn footprints(out: &mut String, results: &Results) {
    out.push_str("### the process\n\n");
    out.push_str(
        "| system | start to first answer, ms | resident when idle, MiB | after all of it, MiB |\n",
    );
    out.push_str("|---|---|---|---|\n");
    for (name, footprint) in &results.footprint {
        let all = |f: &Figures| format!("{:.0} ({:.0}-{:.0})", f.median(), f.min(), f.max());
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} |",
            all(&footprint.ready),
            all(&footprint.idle),
            all(&footprint.after),
        );
    }
}
