//! The durable log: streams of record batches over one write-ahead log.
//!
//! An append gets its offset, goes to the stream's tail in memory and to the committer's queue.
//! The committer writes everything queued with one call, syncs once, and answers all
//! ([`commit`](mod@crate), natural group commit). When a file of the write-ahead log is full, the
//! flusher moves what it holds to the streams' segments, syncs those, writes each stream's
//! checkpoint, and the file is used again. Readers get the tail from memory and older data as
//! ranges of segment files that nobody copies.
//!
//! What it promises: what [`Stream::durable`] has waited for survives the end of the process and
//! of the machine; readers see nothing that is not durable; a crash leaves nothing half; damage is
//! reported with path and position and never cut off in silence; after a failed write or sync
//! nothing is written any more.
//!
//! Where to read on: [`store`](Store) for threads and locks, `wal.rs` for the log's frames,
//! `log.rs` and `segment.rs` for what is at rest, `compact.rs` for compaction, [`batch`] for the layout of batches,
//! `disk.rs` for what is asked of a disk. It knows batches and offsets, but no topic, producer,
//! group or protocol.

pub mod batch;
mod cache;
mod commit;
mod compact;
mod config;
pub mod disk;
mod error;
mod log;
mod metrics;
mod segment;
pub mod sim;
mod state;
mod store;
mod stream;
mod tail;
mod wait;
mod wal;

pub use config::{Cleanup, Config, Durability, StreamConfig};
pub use disk::{Disk, FileDisk};
pub use error::Error;
pub use segment::Piece;
pub use store::{Parts, RecoveryReport, Store, StoreState};
pub use stream::{AppendOptions, Appended, Changed, GroupAppend, Headers, Read, Stream};
