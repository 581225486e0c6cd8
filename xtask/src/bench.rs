//! `cargo xtask bench`: ours and the peers in turn; brings what that needs, writes the document.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::clients;

/// What is wanted.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is measured.
    #[arg(value_parser = ["kafka"])]
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
    let kafka = clients::kafka(&root.join("tests/clients"), &installed)?;
    let rdkafka = clients::librdkafka::performance(&installed)?;
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
    let paths: [(&str, PathBuf); 3] = [
        ("--stentor", release("stentor")),
        ("--kafka", kafka),
        ("--rdkafka", rdkafka),
    ];
    for (name, path) in paths {
        command.arg(name).arg(path);
    }
    if !arguments.dry {
        command.arg("--out").arg(Path::new("docs/benchmarks.md"));
    }
    let status = command.args(&arguments.rest).status()?;
    ensure!(status.success(), "the benchmark failed");
    Ok(())
}
