//! `cargo xtask test`: everything, real clients included; `--fast` leaves those out.

use std::process::Command;

use anyhow::{Result, bail};

use crate::clients;

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

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = crate::root();
    let cargo = || {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&root);
        command
    };
    let strict = arguments.strict || std::env::var("CI").is_ok_and(|ci| ci == "true");
    if arguments.filter.is_none() {
        crate::tidy::run()?;
        crate::lint::run(strict)?;
        crate::new_head::check()?;
    }
    if arguments.filter.is_none() {
        let status = cargo()
            .args(["test", "--workspace", "--exclude", "stentor-tests"])
            .status()?;
        if !status.success() {
            bail!("tests failed");
        }
    }
    if arguments.fast {
        println!(
            "\nNot run (--fast): black-box tests with confluent-kafka, kcat, KafkaJS, kafka-python, aiokafka, Java, Go"
        );
        return Ok(());
    }
    let target = root.join("target");
    let installed = target.join("clients");
    std::fs::create_dir_all(&installed)?;
    let missing = clients::install(&root.join("tests/clients"), &installed);
    if !cargo()
        .args(["build", "--release", "-p", "stentor"])
        .status()?
        .success()
    {
        bail!("the server does not build");
    }
    let mut tests = cargo();
    tests.args(["test", "-p", "stentor-tests", "--test", "blackbox", "--"]);
    tests
        .args(arguments.filter.iter())
        .args(["--test-threads", "2"]);
    tests
        .env("STENTOR_BIN", target.join("release/stentor"))
        .env("STENTOR_CLIENTS", &installed);
    let passed = tests.status()?.success();
    println!("\n| client | installed |\n|---|---|");
    for name in ["kcat", "python", "kafkajs", "java", "go"] {
        let why = missing.iter().find(|(client, _)| *client == name);
        println!(
            "| {name} | {} |",
            why.map_or("yes", |(_, why)| why.as_str())
        );
    }
    if !missing.is_empty() && strict {
        bail!("{} clients could not be installed", missing.len());
    }
    if !passed {
        bail!("black-box tests failed");
    }
    Ok(())
}

/// `cargo xtask record-frames`.
pub(crate) fn record_frames() -> Result<()> {
    let root = crate::root();
    let target = root.join("target");
    let installed = target.join("clients");
    std::fs::create_dir_all(&installed)?;
    if let Some((name, why)) = clients::install(&root.join("tests/clients"), &installed).pop() {
        bail!("{name} could not be installed: {why}");
    }
    let cargo = || {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&root);
        command
    };
    let built = cargo()
        .args(["build", "--release", "-p", "stentor"])
        .status()?;
    let frames = root.join("heads/kafka/src/tests/frames");
    std::fs::create_dir_all(&frames)?;
    let recorded = cargo()
        .args(["test", "-p", "stentor-tests", "--test", "blackbox", "--"])
        .arg("requests_are_recorded")
        .env("STENTOR_BIN", target.join("release/stentor"))
        .env("STENTOR_CLIENTS", &installed)
        .env("STENTOR_RECORD", &frames)
        .status()?;
    if !built.success() || !recorded.success() {
        bail!("nothing was recorded");
    }
    Ok(())
}
