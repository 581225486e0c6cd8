//! Sessions as scripts: real handlers over a real broker, every byte through the codec, the time
//! in the test's hand.
//!
//! What clients are known to stumble over, and where it is tested:
//!
//! | topic | module |
//! |---|---|
//! | announced versions, frames, oldest and newest version of every request (KIP-511) | `negotiation` |
//! | names, ids, creation, deletion, growth of topics (KIP-516) | `topics` |
//! | validation of batches, record errors (KIP-467) | `produce` |
//! | deduplication, incarnations, sequences of producers (KIP-98) | `producers` |
//! | compressions and their framings, bombs | `compression` |
//! | whole batches, limits, epochs (KIP-320), waits, incremental fetches (KIP-227) | `fetch` |
//! | positions by time and epoch | `positions` |
//! | members, rounds, static members (KIP-345, KIP-814) through the protocol | `groups` |
//! | commits, their expiry and their records | `commits` |
//! | configuration, groups and records for administrators | `admin` |
//! | who may come in | `sasl` |
//! | requests recorded from real clients | `frames` |
//!
//! The group's own machine, state by state, is tested in the engine.

#![allow(
    clippy::disallowed_methods,
    reason = "tests make files and advance the paused time"
)]

mod admin;
mod commits;
mod compression;
mod fetch;
mod frames;
mod groups;
mod harness;
mod messages;
mod negotiation;
mod positions;
mod produce;
mod producers;
mod sasl;
mod topics;
