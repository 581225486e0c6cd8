//! Compaction against a model: whoever reads, from wherever, ends with the same last value of each
//! key as before, finds every record where it was, and nothing that was replaced.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test ends where something unexpected is met"
)]
#![allow(clippy::print_stdout, reason = "shown when a test fails")]

mod crash;
mod model;
mod passes;
mod retention;
mod trouble;
mod world;
