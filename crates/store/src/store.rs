//! The store: one data directory, its streams, and the threads that serve them.
//!
//! Threads: the *committer* writes the write-ahead log; the *page writer* writes what waits for no
//! disk; the *flusher* moves what is in full files of the write-ahead log to segments, so that the
//! files can be used again; *maintenance* applies retention, *compaction* compacts. Locks, outer
//! first: upkeep, a stream's log, the cache, a stream's tail, a queue.

mod compaction;
mod open;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{Clock, HashMap, Ledger, Metrics, StreamId, Tasks};
use parking_lot::{Condvar, Mutex, RwLock};
use tracing::error;

use crate::cache::Cache;
use crate::commit::{Queue, Work};
use crate::config::{Config, StreamConfig};
use crate::disk::{Disk, DiskLock};
use crate::error::Error;
use crate::log::Log;
use crate::metrics::StoreMetrics;
use crate::stream::{Shared as StreamShared, Stream};
use crate::wal::Wal;

/// How many files of the write-ahead log may hold entries before producers have to wait for the
/// flusher.
const WAL_FILES_MAX: usize = 4;

/// What a store is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where it lives.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Clock,
    /// The process's memory.
    pub ledger: Ledger,
    /// Where its threads run.
    pub tasks: Tasks,
    /// Where its metrics are registered.
    pub metrics: Metrics,
}

/// Whether the log takes appends.
#[derive(Clone, Debug)]
pub enum StoreState {
    /// It does.
    Running,
    /// It does not any more, for this reason.
    Stopped(Error),
}

/// What a start found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Whether the last run ended in order.
    pub clean: bool,
    /// How many streams there are.
    pub streams: usize,
    /// Entries replayed from the write-ahead log.
    pub replayed: u64,
    /// Their bytes.
    pub replayed_bytes: u64,
    /// Bytes at the ends of segments that were written but never counted, and cut off.
    pub torn_bytes: u64,
    /// What was acknowledged and cannot be read any more.
    pub damage: Vec<Error>,
    /// How long it took.
    pub took: Duration,
}

/// The store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    pub(crate) metrics: StoreMetrics,
    pub(crate) cache: Cache,
    /// What waits for the write-ahead log.
    pub(crate) commits: Queue,
    /// What waits for the operating system only.
    pub(crate) pages: Queue,
    wal: Wal,
    streams: RwLock<HashMap<StreamId, Arc<StreamShared>>>,
    stopped: AtomicBool,
    reason: Mutex<Option<Error>>,
    behind: AtomicBool,
    flush: Mutex<FlushState>,
    flush_wake: Condvar,
    flush_done: Condvar,
    report: RecoveryReport,
    /// Held by whoever has a batch decompressed in memory to look for a record in it.
    pub(crate) lookup: Mutex<()>,
    /// Set when the store is being closed.
    closing: AtomicBool,
    /// Held by whoever works on segments in the background, so that a close can wait for them.
    upkeep: RwLock<()>,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

#[derive(Debug, Default)]
struct FlushState {
    /// A file is full.
    asked: bool,
    /// Streams written by the page writer since the last sync.
    unsynced: bool,
    closing: bool,
    closed: bool,
}

impl Shared {
    /// The reason why nothing is written any more, as an error.
    pub(crate) fn check_running(&self) -> Result<(), Error> {
        if !self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = self.reason.lock();
        let text = reason
            .as_ref()
            .map_or_else(|| "closed".to_owned(), ToString::to_string);
        Err(Error::Stopped(Arc::from(text)))
    }

    /// Whether the flusher has to catch up before more may be appended.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Nothing is written any more: whoever waits is told. Once only, never undone: after a failed
    /// sync nobody knows what is on disk.
    pub(crate) fn stop(&self, reason: &Error) {
        let mut place = self.reason.lock();
        if place.is_none() {
            error!(%reason, "the log stops");
            *place = Some(reason.clone());
        }
        drop(place);
        self.stopped.store(true, Ordering::Release);
        self.commits.close();
        self.pages.close();
        for stream in self.streams.read().values() {
            stream.end_waits();
        }
        self.flush_wake.notify_all();
        self.flush_done.notify_all();
    }

    fn find(&self, id: StreamId) -> Option<Arc<StreamShared>> {
        self.streams.read().get(&id).cloned()
    }
}

impl Store {
    /// The stream `id`, if there is one.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<Stream> {
        self.0.find(id).map(Stream)
    }

    /// All streams.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        self.0.streams.read().keys().copied().collect()
    }

    /// The stream `id`; made when there is none. It takes no room on disk until it has data.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn create(&self, id: StreamId, config: StreamConfig) -> Result<Stream, Error> {
        self.0.check_running()?;
        let mut streams = self.0.streams.write();
        if let Some(stream) = streams.get(&id) {
            let stream = Stream(stream.clone());
            drop(streams);
            stream.configure(config);
            return Ok(stream);
        }
        let log = Log::new(self.0.parts.disk.clone(), id);
        let stream = Arc::new(StreamShared::new(id, Arc::downgrade(&self.0), config, log));
        streams.insert(id, stream.clone());
        Ok(Stream(stream))
    }

    /// Removes a stream with all that is in it; durable when it returns. Readers that hold file
    /// ranges keep them. The id must not be used again: what the write-ahead log still has of it
    /// would be taken for its successor's. Blocks.
    ///
    /// # Errors
    /// [`Error::Stopped`]; whatever the disk answers: then the store has stopped.
    pub fn remove(&self, id: StreamId) -> Result<(), Error> {
        self.0.check_running()?;
        // A close waits for it.
        let _held = self.0.upkeep.read();
        let Some(stream) = self.0.find(id) else {
            return Ok(());
        };
        {
            // Behind everything that was appended, and nothing comes behind it.
            let tail = stream.tail.lock();
            if !stream.removed.load(Ordering::Acquire) {
                if !self.0.commits.push(Work::Removed(id)) {
                    return Err(Error::Stopped(Arc::from("the store is closing")));
                }
                stream.removed.store(true, Ordering::Release);
                let unflushed = tail.from(tail.flushed).map(crate::tail::Chunk::len).sum();
                self.0.cache.dropped(unflushed);
            }
        }
        stream.end_waits();
        self.0.commits.wait_done();
        self.0.check_running()?;
        // Only now: the flusher gives back files with entries of streams that it does not find. It
        // may have been waiting for this.
        self.0.streams.write().remove(&id);
        self.0.flush.lock().asked = true;
        self.0.flush_wake.notify_one();
        let removed = stream.log.lock().remove();
        removed.inspect_err(|error| self.0.stop(error))
    }

    /// Waits until appends are taken again.
    pub async fn room(&self) {
        self.0.pages.room(|| true).await;
        self.0.commits.room(|| !self.0.is_behind()).await;
    }

    /// Whether the log takes appends.
    #[must_use]
    pub fn state(&self) -> StoreState {
        match self.0.reason.lock().clone() {
            Some(reason) => StoreState::Stopped(reason),
            None => StoreState::Running,
        }
    }

    /// The process's memory, which the tails are charged to.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.0.parts.ledger
    }

    /// What the start found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.0.report
    }

    /// Moves everything durable to segments and makes it durable there. Blocks.
    ///
    /// # Errors
    /// Whatever the disk answers; then the store has stopped.
    pub fn flush(&self) -> Result<(), Error> {
        self.0.check_running()?;
        self.0.commits.wait_done();
        self.0.pages.wait_done();
        // They also end when nothing is written any more.
        self.0.check_running()?;
        let result = self.0.flush_all();
        result.inspect_err(|error| self.0.stop(error))
    }

    /// Applies retention to all streams, now instead of when its time comes. Blocks.
    ///
    /// # Errors
    /// [`Error::Stopped`], also when the disk refused.
    pub fn retain(&self) -> Result<(), Error> {
        self.0.check_running()?;
        self.0.maintain();
        self.0.check_running()
    }

    /// Compacts the streams of which it is due, now instead of when their time comes. Blocks.
    ///
    /// # Errors
    /// Whatever the disk answers; then the store has stopped.
    pub fn compact(&self) -> Result<(), Error> {
        self.0.check_running()?;
        let result = self.0.compact();
        result.inspect_err(|error| self.0.stop(error))
    }

    /// Syncs everything, leaves the mark of a clean end, and lets go of the directory.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the log had stopped before; whatever the disk answers.
    pub async fn close(&self) -> Result<(), Error> {
        let store = self.0.clone();
        let closed = self
            .0
            .parts
            .tasks
            .spawn_blocking("store.close", move || store.close_now());
        match closed.await {
            Ok(result) => result,
            Err(_) => Err(Error::Stopped(Arc::from("the process is going down"))),
        }
    }
}
