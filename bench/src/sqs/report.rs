//! The tables of docs/benchmarks.md.

use std::fmt::Write as _;

use super::{Results, System, Throughput, Workload};
use crate::SqsOptions;
use crate::report::{machine, share, thousands, times};
use crate::stats::Figures;

/// All tables of the comparison with ElasticMQ.
pub(super) fn text(results: &Results, options: &SqsOptions) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}; ElasticMQ {}; {} runs of each system in turn{}.\n",
        machine(),
        options.version,
        options.runs,
        share(options.percent)
    );
    let mut workloads: Vec<Workload> = results.throughput.keys().map(|key| key.0).collect();
    workloads.dedup();
    for (title, pick) in [
        (
            "thousand messages/s sent, received and deleted",
            (|t: &Throughput| t.rate.clone()) as fn(&Throughput) -> Figures,
        ),
        ("thousand requests/s", |t: &Throughput| t.requests.clone()),
        (
            "server's CPU seconds per million messages",
            |t: &Throughput| t.cpu.clone(),
        ),
    ] {
        let _ = writeln!(out, "### {title}, median (min-max)\n");
        out.push_str("| workload | ElasticMQ | Stentor | ratio |\n|---|---|---|---|\n");
        for workload in &workloads {
            let of = |system: System| {
                let found = results.throughput.get(&(*workload, system));
                found.map(pick).unwrap_or_default()
            };
            let (theirs, ours) = (of(System::ElasticMq), of(System::Stentor));
            let shown = |figures: &Figures| {
                if title.starts_with("thousand") {
                    thousands(figures)
                } else {
                    format!("{:.1}", figures.median())
                }
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                workload.name(),
                shown(&theirs),
                shown(&ours),
                times(&ours, &theirs),
            );
        }
        out.push('\n');
    }
    out.push_str("### the process\n\n");
    out.push_str(
        "| system | start to first answer, ms | resident when idle, MiB | after all of it, MiB |\n",
    );
    out.push_str("|---|---|---|---|\n");
    for (system, footprint) in &results.footprint {
        let whole = |f: &Figures| format!("{:.0} ({:.0}-{:.0})", f.median(), f.min(), f.max());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            system.name(),
            whole(&footprint.ready),
            whole(&footprint.idle),
            whole(&footprint.after),
        );
    }
    out
}
