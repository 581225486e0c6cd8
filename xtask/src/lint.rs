//! The format and the lints, as a step of `cargo xtask test`.

use std::process::Command;

use anyhow::{Result, bail};

/// A component of the toolchain: its name, how to ask whether it is there, how it is run.
struct Component {
    name: &'static str,
    there: &'static [&'static str],
    run: &'static [&'static str],
}

const COMPONENTS: &[Component] = &[
    Component {
        name: "rustfmt",
        there: &["fmt", "--version"],
        run: &["fmt", "--all", "--check"],
    },
    Component {
        name: "clippy",
        there: &["clippy", "--version"],
        run: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    },
];

/// Runs both where they are installed.
///
/// # Errors
/// Code that is not formatted, a lint; with `strict`, a component that is not installed.
pub(crate) fn run(strict: bool) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for Component { name, there, run } in COMPONENTS {
        let asked = Command::new(&cargo).args(*there).output();
        if !asked.is_ok_and(|output| output.status.success()) {
            println!("{name}: NOT RUN, it is not installed: `rustup component add {name}`");
            if strict {
                bail!("{name} is not installed");
            }
            continue;
        }
        let status = Command::new(&cargo)
            .args(*run)
            .current_dir(crate::root())
            .status()?;
        if !status.success() {
            bail!("{name} found something: `cargo {}`", run.join(" "));
        }
        println!("{name}: in order");
    }
    Ok(())
}
