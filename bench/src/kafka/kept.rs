//! Runs in a file, so that those of different hours count together: a line for each thing that was
//! measured, its parts apart by tabs.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Client, Measured, Results, SYSTEMS, Workload};
use crate::Options;
use crate::system::System;

fn line(measured: &Measured) -> String {
    let (kind, names, figures): (_, Vec<String>, &[f64]) = match measured {
        Measured::Throughput(client, workload, system, figures) => (
            "throughput",
            vec![
                client.name().to_owned(),
                workload.name(),
                system.name().to_owned(),
            ],
            figures,
        ),
        Measured::Latency(workload, system, figures) => (
            "latency",
            vec![workload.name(), system.name().to_owned()],
            figures,
        ),
        Measured::Footprint(system, figures) => {
            ("footprint", vec![system.name().to_owned()], figures)
        }
    };
    let figures = figures.iter().map(f64::to_string);
    let parts = std::iter::once(kind.to_owned()).chain(names).chain(figures);
    parts.collect::<Vec<_>>().join("\t")
}

fn parse(line: &str) -> Option<Measured> {
    let client = |name: &str| Client::ALL.into_iter().find(|c| c.name() == name);
    let workload = |name: &str| Workload::all().find(|w| w.name() == name);
    let system = |name: &str| -> Option<System> { SYSTEMS.into_iter().find(|s| s.name() == name) };
    let parts: Vec<&str> = line.split('\t').collect();
    let figures = |parts: &[&str]| -> Option<Vec<f64>> {
        parts.iter().map(|part| part.parse().ok()).collect()
    };
    match parts.as_slice() {
        ["throughput", c, w, s, rest @ ..] => Some(Measured::Throughput(
            client(c)?,
            workload(w)?,
            system(s)?,
            figures(rest)?.try_into().ok()?,
        )),
        ["latency", w, s, rest @ ..] => Some(Measured::Latency(
            workload(w)?,
            system(s)?,
            figures(rest)?.try_into().ok()?,
        )),
        ["footprint", s, rest @ ..] => Some(Measured::Footprint(
            system(s)?,
            figures(rest)?.try_into().ok()?,
        )),
        _ => None,
    }
}

/// The first line: what the runs were of.
fn head(options: &Options) -> String {
    format!("{} % {}{}", options.percent, options.only, options.client)
}

/// Adds what is in the file; one that is not there is empty.
///
/// # Errors
/// Runs of another part of the work, or of other workloads: they do not count together.
pub(super) fn load(path: &Path, options: &Options, results: &mut Results) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let (of, wanted) = (lines.next().unwrap_or_default(), head(options));
    ensure!(
        of == wanted,
        "{} holds runs of '{of}', not of '{wanted}'",
        path.display()
    );
    for line in lines {
        results.add(parse(line).with_context(|| format!("not understood: {line}"))?);
    }
    Ok(())
}

/// Adds a whole run to the file.
pub(super) fn save(path: &Path, options: &Options, measured: &[Measured]) -> Result<()> {
    let new = !path.exists();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    if new {
        writeln!(file, "{}", head(options))?;
    }
    for one in measured {
        writeln!(file, "{}", line(one))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let workload = Workload::all().last().unwrap();
        for one in [
            Measured::Throughput(
                Client::Java,
                workload,
                System::KafkaSync,
                [1.5, 2.0, 3.0, 0.1],
            ),
            Measured::Latency(workload, System::Stentor, [0.25, 1.0, 9.0]),
            Measured::Footprint(System::StentorAsync, [10.0, 20.0, 30.0]),
        ] {
            assert_eq!(parse(&line(&one)), Some(one));
        }
        assert_eq!(parse("throughput\tjava"), None);
        assert_eq!(parse(""), None);
    }
}
