//! Consumer groups: who reads which partitions, and how far each was read.
//!
//! A group's members meet at a *join*: all name the ways of sharing that they know, one is chosen,
//! one member becomes the leader and shares out; the *sync* hands everybody its part. Each round is
//! a *generation*. [`state`] is that as a pure machine under a given clock; [`Groups`] is the
//! handle: it finds groups, keeps their deadlines, and writes what must survive to an internal
//! topic ([`journal`]), from which a start reads it back.

mod config;
mod error;
mod handle;
mod journal;
mod offsets;
mod state;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::GroupError;
pub use handle::{Described, DescribedMember, Groups, Listed, Positions};
pub use offsets::Committed;
pub use state::{Join, Joined, JoinedMember, Leaving, State, Sync, Synced};

/// The internal topic in which groups live. Kafka's tools know it by this name.
pub const TOPIC: &str = "__consumer_offsets";
