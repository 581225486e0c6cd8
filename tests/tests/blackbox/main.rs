//! The server as a process, with the clients that people have.
//!
//! `cargo xtask test` builds the server, installs the clients, says where both are
//! (`STENTOR_BIN`, `STENTOR_CLIENTS`), and runs this one binary. Without them every
//! test here fails: nothing is skipped in silence.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests start processes and wait for real time"
)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod admin;
mod client;
mod compaction;
mod cross;
mod hostile;
mod kills;
mod real_data;
mod record;
mod scenario;
mod server;
mod sqs;
mod suite;
mod tools;

/// Whether these tests may take as long as they like: `cargo xtask soak`.
fn soak() -> bool {
    std::env::var_os("STENTOR_SOAK").is_some()
}
