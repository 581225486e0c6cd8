//! What is played with bytes that nobody wrote.
//!
//! A target is a function from bytes to nothing: it panics when a promise is broken. [`TARGETS`] is
//! the table. Each has seeds (inputs that reach far) which [`mutate`] changes; [`play`] does that
//! with a fixed seed, so that the tests of this crate run the same inputs every time. The workspace
//! in the folder above hands the same functions to libFuzzer.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a panic is the finding"
)]

pub mod admin;
pub mod amqp;
pub mod append;
pub mod batch;
pub mod directory;
pub mod disk;
pub mod engine;
pub mod kafka;
pub mod messages;
pub mod mutate;
pub mod produce;
pub mod sasl;
pub mod schema;
pub mod schema_files;
pub mod sqs;

#[cfg(test)]
mod regressions;

use std::time::Duration;

use base::{Clock, Rng};

/// One thing to play with.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is its file's too.
    pub name: &'static str,
    /// Plays one input.
    pub run: fn(&[u8]),
    /// Inputs that reach far.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many inputs a test plays: about two seconds in a debug build.
    pub rounds: usize,
}

macro_rules! targets {
    ($($name:ident $rounds:literal;)*) => {
        /// All of them, by name.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name::run,
            seeds: $name::seeds,
            rounds: $rounds,
        },)*];

        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $name() {
                super::play_for(stringify!($name));
            })*
        }
    };
}

targets! {
    admin 150;
    amqp 1500;
    append 600;
    batch 6000;
    directory 150;
    kafka 1500;
    messages 30_000;
    produce 20_000;
    sasl 1000;
    sqs 150;
    schema 40_000;
    schema_files 5000;
}

/// Plays the seeds of `target`, then `rounds` changed ones; the same ones for the same `rng`.
pub fn play(target: &Target, rng: &Rng, rounds: usize) {
    let seeds = (target.seeds)();
    for seed in &seeds {
        once(target, seed);
    }
    for _ in 0..rounds {
        once(target, &mutate::mutate(&seeds, rng));
    }
}

fn once(target: &Target, input: &[u8]) {
    let shown = Shown(target.name, input);
    (target.run)(input);
    drop(shown);
}

/// Shows the input when playing it panics.
struct Shown<'a>(&'static str, &'a [u8]);

impl Drop for Shown<'_> {
    #[expect(clippy::print_stderr, reason = "the input is the finding")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{}: {hex}", self.0);
        }
    }
}

/// Plays a target as a test does: a fixed number of inputs, or for `STENTOR_FUZZ_SECONDS`.
pub fn play_for(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seconds = std::env::var("STENTOR_FUZZ_SECONDS").ok();
    let Some(seconds) = seconds.and_then(|text| text.parse().ok()) else {
        play(target, &Rng::seeded(1), target.rounds);
        return;
    };
    let clock = Clock::system();
    let end = clock.now() + Duration::from_secs(seconds);
    let rng = Rng::system();
    while clock.now() < end {
        play(target, &rng, target.rounds);
    }
}
