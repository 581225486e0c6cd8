//! The binary `stentor`: command line, configuration, wiring, signals. It owns no logic.
//!
//! Where to start: `cli.rs` for the commands, `config.rs` for the configuration, `serve.rs` for
//! how a server starts and stops, `serve/heads.rs` for the protocols, `exit.rs` for exit codes.

mod cli;
mod config;
mod exit;
mod out;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
