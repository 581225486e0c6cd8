//! `cargo xtask test`: everything, real clients included; `--fast` leaves those out.
//! `cargo xtask soak`: the tests that may take as long as they like.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::clients::{self, Missing};

/// The black-box tests with a longer form.
const SOAKS: [&str; 2] = ["kills", "suite"];
/// What the black-box tests run, as they report it.
const RUNS: [&str; 16] = [
    "kcat",
    "confluent-kafka",
    "kafka-python",
    "aiokafka",
    "KafkaJS",
    "Java's client",
    "Kafka's console tools",
    "franz-go",
    "sarama",
    "librdkafka's suite",
    "boto3",
    "boto3 (Query)",
    "moto's tests of SQS",
    "AWS SDK for JavaScript",
    "AWS SDK for Java",
    "across protocols",
];

/// What is wanted.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only what needs no clients: unit, engine and session tests.
    #[arg(long)]
    fast: bool,
    /// A client that cannot be installed is a failure. Also with CI=true.
    #[arg(long)]
    strict: bool,
    /// Only black-box tests whose name contains this.
    filter: Option<String>,
}

/// What is wanted.
#[derive(clap::Args)]
pub(crate) struct Soak {
    /// Only tests whose name contains this, instead of all that have a longer form.
    filter: Option<String>,
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root());
    command
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let strict = arguments.strict || std::env::var("CI").is_ok_and(|ci| ci == "true");
    if arguments.filter.is_none() {
        crate::tidy::run()?;
        crate::lint::run(strict)?;
        crate::new_head::check()?;
        let mut tests = cargo();
        tests.args(["test", "--workspace", "--exclude", "stentor-tests"]);
        ensure!(tests.status()?.success(), "tests failed");
    }
    if arguments.fast {
        println!(
            "\nNot run (--fast): black-box tests with {}",
            RUNS.join(", ")
        );
        return Ok(());
    }
    let missing = prepare()?;
    let report = report_file()?;
    let filters: Vec<_> = arguments.filter.iter().map(String::as_str).collect();
    let passed = black_box(&filters, &report, &[])?;
    let lacking = close(&missing, &report)?;
    ensure!(
        missing.is_empty() || !strict,
        "{} clients could not be installed",
        missing.len()
    );
    ensure!(passed, "black-box tests failed");
    ensure!(
        lacking == 0 || !strict || arguments.filter.is_some(),
        "{lacking} were not run"
    );
    Ok(())
}

pub(crate) fn soak(arguments: &Soak) -> Result<()> {
    let missing = prepare()?;
    let report = report_file()?;
    let filters = arguments
        .filter
        .as_deref()
        .map_or_else(|| SOAKS.to_vec(), |filter| vec![filter]);
    let passed = black_box(&filters, &report, &[("STENTOR_SOAK", Path::new("1"))])?;
    close(&missing, &report)?;
    ensure!(
        missing.is_empty(),
        "{} clients could not be installed",
        missing.len()
    );
    ensure!(passed, "black-box tests failed");
    Ok(())
}

/// `cargo xtask record-frames`.
pub(crate) fn record_frames() -> Result<()> {
    let missing = prepare()?;
    ensure!(missing.is_empty(), "not installed: {missing:?}");
    let frames = crate::root().join("heads/kafka/src/tests/frames");
    std::fs::create_dir_all(&frames)?;
    let record = [("STENTOR_RECORD", frames.as_path())];
    let recorded = black_box(&["requests_are_recorded"], &report_file()?, &record)?;
    ensure!(recorded, "nothing was recorded");
    Ok(())
}

/// Installs clients and builds the server; says which clients could not be had.
fn prepare() -> Result<Vec<Missing>> {
    let root = crate::root();
    let installed = root.join("target/clients");
    std::fs::create_dir_all(&installed)?;
    let missing = clients::install(&root.join("tests/clients"), &installed);
    let built = cargo()
        .args(["build", "--release", "-p", "stentor"])
        .status()?;
    ensure!(built.success(), "the server does not build");
    Ok(missing)
}

/// A new file in which the tests say what they run.
fn report_file() -> Result<std::path::PathBuf> {
    let path = crate::root().join("target/clients/report");
    std::fs::write(&path, "")?;
    Ok(path)
}

/// Whether the black-box tests whose name contains one of `filters` passed.
fn black_box(filters: &[&str], report: &Path, more: &[(&str, &Path)]) -> Result<bool> {
    let target = crate::root().join("target");
    let mut tests = cargo();
    tests.args(["test", "-p", "stentor-tests", "--test", "blackbox", "--"]);
    tests.args(filters).args(["--test-threads", "2"]);
    tests.env("STENTOR_BIN", target.join("release/stentor"));
    tests.env("STENTOR_CLIENTS", target.join("clients"));
    tests.env("STENTOR_REPORT", report);
    tests.envs(more.iter().copied());
    Ok(tests.status()?.success())
}

/// The closing table: what was run, what was not. Returns how many of [`RUNS`] were not.
fn close(missing: &[Missing], report: &Path) -> Result<usize> {
    let report = std::fs::read_to_string(report)?;
    println!("\n| client or suite | runs | the last |\n|---|---|---|");
    let mut lacking = 0;
    for name in RUNS {
        let own = report.lines().filter_map(|line| line.split_once('\t'));
        let own: Vec<_> = own.filter(|(ran, _)| *ran == name).collect();
        lacking += usize::from(own.is_empty());
        let last = own.last().map_or("NOT RUN", |(_, what)| what);
        println!("| {name} | {} | {last} |", own.len());
    }
    for (name, why) in missing {
        println!("\nNOT INSTALLED: {name}: {why}");
    }
    Ok(lacking)
}
