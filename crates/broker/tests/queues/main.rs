//! Queues over a whole engine on a simulated disk.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test ends where something unexpected is met"
)]

mod basics;
mod dead;
mod features;
mod machine;
mod model;
mod overview;
mod restart;
