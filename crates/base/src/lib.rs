//! What every crate of Stentor may use, and nothing more.
//!
//! | module | what it holds |
//! |---|---|
//! | [`clock`] | the only source of time; a fake one for tests |
//! | [`rng`] | the only source of randomness; seeded in tests and simulation |
//! | [`id`] | names and numbers that two crates must agree on: topic ids, offsets, streams |
//! | [`limits`] | the process-wide memory ledger and the charges against it |
//! | [`error`] | what an error is about (`Kind`) and whether to try again (`Retry`) |
//! | [`metrics`] | the registry; each crate registers one struct, once |
//! | [`tasks`] | tasks and threads with a name and somebody who waits for their end |
//! | [`read_at`] | bytes that lie in a file and may go to a socket without being read |
//! | [`units`] | configuration values with their unit: sizes, durations |
//!
//! The crate stays under 2,000 lines (`cargo xtask tidy` checks it): what only one crate
//! needs lives there.

pub mod clock;
pub mod error;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod read_at;
pub mod rng;
pub mod tasks;
pub mod units;

pub use clock::Clock;
pub use error::{Kind, Retry};
pub use id::{Offset, StreamId, TopicId};
pub use limits::{Charge, Ledger};
pub use metrics::Metrics;
pub use read_at::{FileRange, ReadAt};
pub use rng::Rng;
pub use tasks::{Shutdown, Tasks};
pub use units::{ByteSize, Millis};

/// A hash map whose seed is random in production (flooding by chosen keys) and can be fixed in
/// simulation.
pub type HashMap<K, V> = std::collections::HashMap<K, V, ahash::RandomState>;
/// The set that goes with [`HashMap`].
pub type HashSet<K> = std::collections::HashSet<K, ahash::RandomState>;
