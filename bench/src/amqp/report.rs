//! The tables of docs/benchmarks.md.

use std::fmt::Write as _;

use super::{BACKLOG, RATE, Results, System};
use crate::AmqpOptions;
use crate::report::{machine, share, thousands, times};
use crate::stats::Figures;

/// All tables of the comparison with RabbitMQ.
pub(super) fn text(results: &Results, options: &AmqpOptions) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}; RabbitMQ {}; {} runs of each system in turn{}.\n",
        machine(),
        options.version,
        options.runs,
        share(options.percent)
    );
    rates(&mut out, results);
    cpu(&mut out, results);
    latencies(&mut out, results);
    backlogs(&mut out, results, options);
    footprints(&mut out, results);
    out
}

fn heads(out: &mut String, first: &str, rest: &[&str]) {
    let names = System::ALL.map(System::name);
    let _ = writeln!(
        out,
        "| {first} | {} | {} |",
        names.join(" | "),
        rest.join(" | ")
    );
    let _ = writeln!(out, "|{}", "---|".repeat(1 + names.len() + rest.len()));
}

fn rates(out: &mut String, results: &Results) {
    out.push_str("### thousand messages/s delivered, median (min-max)\n\n");
    heads(out, "workload", &["ours / quorum", "ours / classic"]);
    let mut workloads: Vec<_> = results.throughput.keys().map(|key| key.0).collect();
    workloads.dedup();
    for workload in workloads {
        let of = |system: System| {
            let found = results.throughput.get(&(workload, system));
            found.map(|t| t.rate.clone()).unwrap_or_default()
        };
        let all = System::ALL.map(|system| thousands(&of(system)));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            workload.name(),
            all.join(" | "),
            times(&of(System::Stentor), &of(System::Quorum)),
            times(&of(System::Stentor), &of(System::Classic)),
        );
    }
    out.push('\n');
}

fn cpu(out: &mut String, results: &Results) {
    out.push_str("### server's CPU seconds per million deliveries\n\n");
    heads(out, "workload", &["ours / quorum"]);
    let mut workloads: Vec<_> = results.throughput.keys().map(|key| key.0).collect();
    workloads.dedup();
    for workload in workloads {
        let of = |system: System| {
            let found = results.throughput.get(&(workload, system));
            found.map(|t| t.cpu.clone()).unwrap_or_default()
        };
        let all = System::ALL.map(|system| format!("{:.2}", of(system).median()));
        let ratio = times(&of(System::Stentor), &of(System::Quorum));
        let _ = writeln!(
            out,
            "| {} | {} | {ratio} |",
            workload.name(),
            all.join(" | ")
        );
    }
    out.push('\n');
}

fn latencies(out: &mut String, results: &Results) {
    let mut sizes: Vec<_> = results.latency.keys().map(|key| key.0).collect();
    sizes.dedup();
    if sizes.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "### end to end at {RATE} messages/s, persistent and acknowledged: milliseconds, p50 / p99 / p99.9\n"
    );
    heads(out, "size", &["p99: ours / quorum"]);
    for size in sizes {
        let of = |system: System| results.latency.get(&(size, system));
        let all = System::ALL.map(|system| {
            of(system).map_or_else(
                || "-".to_owned(),
                |p| {
                    let (p50, p99, p999) = (p.p50.median(), p.p99.median(), p.p999.median());
                    format!("{p50:.2} / {p99:.2} / {p999:.2}")
                },
            )
        });
        let p99 = |system: System| of(system).map(|p| p.p99.clone()).unwrap_or_default();
        let ratio = times(&p99(System::Stentor), &p99(System::Quorum));
        let _ = writeln!(out, "| {size} B | {} | {ratio} |", all.join(" | "));
    }
    out.push('\n');
}

fn backlogs(out: &mut String, results: &Results, options: &AmqpOptions) {
    if results.backlog.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "### a backlog of {} messages of 16 B\n",
        BACKLOG * options.percent / 100
    );
    out.push_str("| system | MiB more | filled, thousand/s | emptied, thousand/s |\n");
    out.push_str("|---|---|---|---|\n");
    for (system, backlog) in &results.backlog {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            system.name(),
            whole(&backlog.memory),
            thousands(&backlog.fill),
            thousands(&backlog.drain),
        );
    }
    out.push('\n');
}

fn whole(figures: &Figures) -> String {
    format!(
        "{:.0} ({:.0}-{:.0})",
        figures.median(),
        figures.min(),
        figures.max()
    )
}

fn footprints(out: &mut String, results: &Results) {
    out.push_str("### the process\n\n");
    out.push_str("| system | start to first channel, ms | resident when idle, MiB | after all of it, MiB |\n");
    out.push_str("|---|---|---|---|\n");
    for (system, footprint) in &results.footprint {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            system.name(),
            whole(&footprint.ready),
            whole(&footprint.idle),
            whole(&footprint.after),
        );
    }
}
