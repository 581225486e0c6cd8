//! `cargo xtask bench`: ours and the peers in turn; brings what that needs, writes the document.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::clients;

/// What is wanted.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is measured.
    #[arg(value_parser = ["kafka", "amqp", "sqs"])]
    name: String,
    /// Only prints; docs/benchmarks.md stays as it is.
    #[arg(long)]
    dry: bool,
    /// Passed on: `--runs 1`, `--percent 20`, `--only "1024B 12p"`, `--client driver`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Installs the peer and the clients, builds, and measures.
///
/// # Errors
/// What cannot be had, does not build, or ends badly.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = crate::root();
    let installed = root.join("target/clients");
    let peers = peers(&arguments.name, &root, &installed)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "-p", "stentor", "-p", "stentor-bench"]);
    ensure!(
        build.current_dir(&root).status()?.success(),
        "it does not build"
    );
    let release = |name: &str| root.join("target/release").join(name);
    let mut command = Command::new(release("stentor-bench"));
    command.current_dir(&root).arg(&arguments.name);
    command.arg("--stentor").arg(release("stentor"));
    for (name, value) in peers {
        command.arg(name).arg(value);
    }
    if !arguments.dry {
        command.arg("--out").arg(Path::new("docs/benchmarks.md"));
    }
    let status = command.args(&arguments.rest).status()?;
    ensure!(status.success(), "the benchmark failed");
    Ok(())
}

/// What a benchmark is run beside and with, as its arguments.
fn peers(name: &str, root: &Path, installed: &Path) -> Result<Vec<(&'static str, OsString)>> {
    if name == "amqp" {
        let rabbitmq = clients::rabbitmq::install(installed)?;
        return Ok(vec![
            ("--rabbitmq", rabbitmq.root.into()),
            ("--version", rabbitmq.version.into()),
        ]);
    }
    if name == "sqs" {
        let elasticmq = clients::elasticmq::install(installed)?;
        return Ok(vec![
            ("--elasticmq", elasticmq.into()),
            ("--version", clients::elasticmq::VERSION.into()),
        ]);
    }
    let kafka = clients::kafka(&root.join("tests/clients"), installed)?;
    let rdkafka = clients::librdkafka::performance(installed)?;
    Ok(vec![
        ("--kafka", kafka.into()),
        ("--rdkafka", rdkafka.into()),
    ])
}
