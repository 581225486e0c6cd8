//! A stream: batches in the order of their offsets. Appends go to the tail in memory and to a
//! committer's queue; the flusher moves them to segments later. Readers see what is durable.

mod group;
mod place;
mod read;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use base::{Offset, StreamId};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::commit::{Append, Work};
use crate::compact::Pins;
use crate::config::{Durability, StreamConfig};
use crate::error::Error;
use crate::log::Log;
use crate::segment::Segment;
use crate::store;
use crate::tail::{Chunk, Tail};
use crate::wait::{Listener, Mark};

use self::place::{parse, place};
pub use group::GroupAppend;
pub use read::{Headers, Read};

/// Less than this is synced with the checkpoint only, in bytes.
const SYNC_AHEAD_BYTES: u64 = 256 << 10;

/// What an append is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct AppendOptions {
    /// The leader's epoch; must not fall.
    pub epoch: i32,
    /// The broker's time, where it replaces the producer's, in milliseconds since 1970.
    pub log_append_time: Option<i64>,
}

/// Where an append is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub first: Offset,
    /// One past the last record's offset.
    pub next: Offset,
}

/// A stream; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stream(pub(crate) Arc<Shared>);

/// What the handles of a stream share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: StreamId,
    store: Weak<store::Shared>,
    pub(crate) config: RwLock<StreamConfig>,
    pub(crate) tail: Mutex<Tail>,
    pub(crate) start: AtomicU64,
    /// Below this nobody needs anything any more.
    pub(crate) floor: AtomicU64,
    /// One past the last offset that was written, perhaps not synced.
    pub(crate) written: Arc<Mark>,
    /// One past the last offset that readers may see.
    pub(crate) durable: Arc<Mark>,
    pub(crate) log: Mutex<Log>,
    pub(crate) segments: RwLock<Arc<[Arc<Segment>]>>,
    pub(crate) blob: Mutex<Option<(u64, Bytes)>>,
    pub(crate) removed: AtomicBool,
    /// Why it takes nothing more.
    pub(crate) fenced: OnceLock<Error>,
    /// Why it is not compacted any more.
    pub(crate) uncleanable: OnceLock<Error>,
    pub(crate) pins: RwLock<Option<Pins>>,
}

impl Shared {
    pub(crate) fn new(
        id: StreamId,
        store: Weak<store::Shared>,
        config: StreamConfig,
        log: Log,
    ) -> Self {
        let end = log.end();
        let segments = log.segments();
        Self {
            id,
            store,
            config: RwLock::new(config),
            tail: Mutex::new(Tail::new(end, log.state.epochs.clone())),
            start: AtomicU64::new(log.state.start),
            floor: AtomicU64::new(0),
            written: Arc::new(Mark::new(end)),
            durable: Arc::new(Mark::new(end)),
            blob: Mutex::new(log.state.blob.clone()),
            log: Mutex::new(log),
            segments: RwLock::new(segments),
            removed: AtomicBool::new(false),
            fenced: OnceLock::new(),
            uncleanable: OnceLock::new(),
            pins: RwLock::new(None),
        }
    }

    fn store(&self) -> Result<Arc<store::Shared>, Error> {
        self.store
            .upgrade()
            .ok_or_else(|| Error::Stopped(Arc::from("the store is closed")))
    }

    /// Moves what is durable from the tail to segments; with `checkpoint`, makes that durable too.
    /// The log's lock puts those who come here in order.
    pub(crate) fn flush(
        self: &Arc<Self>,
        store: &store::Shared,
        checkpoint: bool,
    ) -> Result<(), Error> {
        let mut log = self.log.lock();
        // Nothing has been appended to a fenced one. A checkpoint of what a start has found of it
        // would give up the rest, which may be intact.
        if self.removed.load(Ordering::Acquire) || self.fenced.get().is_some() {
            return Ok(());
        }
        self.drop_forgotten(store);
        let (chunks, epochs, forgotten) = {
            let tail = self.tail.lock();
            let end = if self.is_async() {
                tail.next
            } else {
                self.durable.get()
            };
            (tail.unflushed(end), tail.epochs.clone(), tail.forgotten)
        };
        if forgotten > log.end() {
            log.skip_to(forgotten);
            if !checkpoint {
                // What is written now is in no write-ahead log, and must not lie behind a gap.
                let start = self.start.load(Ordering::Acquire).min(forgotten);
                log.checkpoint(start, epochs.clone(), None)?;
            }
            *self.segments.write() = log.segments();
            let mut tail = self.tail.lock();
            tail.flushed = tail.flushed.max(forgotten);
        }
        let bytes: usize = chunks.iter().map(Chunk::len).sum();
        let config = self.config.read().clone();
        log.append(&chunks, &config, store.parts.clock.unix_ms())?;
        if let Some(last) = chunks.last() {
            *self.segments.write() = log.segments();
            let removed = {
                let mut tail = self.tail.lock();
                tail.flushed = last.next;
                self.removed.load(Ordering::Acquire)
            };
            // A removal in between has counted them off.
            if !removed {
                store.cache.flushed(self, last.next, bytes);
            }
            store.metrics.flushed_bytes.inc_by(bytes as u64);
        }
        // The engine's state may count on batches that are not written yet. Durable before them, it
        // would speak of what a crash has taken.
        let end = log.end();
        let blob = self.blob.lock().clone().filter(|(at, _)| *at <= end);
        let new_blob = blob.is_some() && blob != log.state.blob;
        if checkpoint && (log.is_dirty() || new_blob) {
            // The start may be in what is durable in the write-ahead log only.
            let start = self.start.load(Ordering::Acquire).min(end);
            log.checkpoint(start, epochs, blob)?;
            store.metrics.flushes.inc();
            if self.floor.load(Ordering::Acquire) > 0 {
                let removed = log.remove_below(start)?;
                store.metrics.retained_bytes.inc_by(removed);
                *self.segments.write() = log.segments();
            }
        }
        Ok(())
    }

    /// Syncs most of what is in the newest segment while others may append to it, so that the sync
    /// of a checkpoint, which they wait for, has little left to do.
    pub(crate) fn sync_ahead(&self) -> Result<(), Error> {
        let Some(segment) = self.log.lock().unsynced(SYNC_AHEAD_BYTES) else {
            return Ok(());
        };
        segment
            .sync_batches()
            .inspect_err(|error| self.log.lock().fail(error))
    }

    /// Makes durable what is in segments already.
    pub(crate) fn flush_dirty(self: &Arc<Self>, store: &store::Shared) -> Result<(), Error> {
        if self.log.lock().is_dirty() {
            self.flush(store, true)?;
        }
        Ok(())
    }

    /// Lets go of what lies below the floor and is in memory only. The caller holds the log's lock,
    /// so that nobody is just writing it.
    fn drop_forgotten(self: &Arc<Self>, store: &store::Shared) {
        let floor = self.floor.load(Ordering::Acquire);
        let (first, flushed) = {
            let tail = self.tail.lock();
            (tail.first(), tail.flushed)
        };
        if first >= floor {
            return;
        }
        if first < flushed {
            store.cache.forget(self, floor);
        }
        let mut tail = self.tail.lock();
        if !self.removed.load(Ordering::Acquire) {
            let dropped = tail.forget_unflushed(floor);
            store.cache.dropped(dropped);
        }
    }

    /// Removes the segments that lie below the floor, if there are any.
    pub(crate) fn release_forgotten(self: &Arc<Self>, store: &store::Shared) -> Result<(), Error> {
        let floor = self.floor.load(Ordering::Acquire);
        if floor == 0 {
            return Ok(());
        }
        let mut log = self.log.lock();
        if self.removed.load(Ordering::Acquire) || !log.has_below(floor) {
            return Ok(());
        }
        if log.end() <= floor {
            let end = log.end();
            log.skip_to(end);
        }
        let start = self.start.load(Ordering::Acquire).min(log.end());
        let epochs = self.tail.lock().epochs.clone();
        log.checkpoint(start, epochs, None)?;
        let removed = log.remove_below(start)?;
        store.metrics.retained_bytes.inc_by(removed);
        *self.segments.write() = log.segments();
        Ok(())
    }

    pub(crate) fn is_async(&self) -> bool {
        self.config.read().durability == Durability::Async
    }

    /// Nobody will be answered any more: the store has stopped or the stream is gone.
    pub(crate) fn end_waits(&self) {
        self.written.end();
        self.durable.end();
    }
}

impl Stream {
    /// Its identity.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// Changes its configuration. Going from [`Durability::Async`] to [`Durability::Sync`] first
    /// syncs what was promised to nobody, the other way it waits for what is under way: it may
    /// block.
    pub fn configure(&self, config: StreamConfig) {
        let was_async = self.0.is_async();
        let to_async = !was_async && config.durability == Durability::Async;
        if to_async && let Ok(store) = self.0.store() {
            // The page writer must not write a part of a group that is not durable yet.
            while store.is_open() {
                let tail = self.0.tail.lock();
                if self.0.durable.get() == tail.next || self.0.durable.is_over() {
                    *self.0.config.write() = config;
                    return;
                }
                drop(tail);
                store.commits.wait_done();
            }
        }
        let to_sync = was_async && config.durability == Durability::Sync;
        if to_sync && let Ok(store) = self.0.store() {
            loop {
                if let Err(error) = self.0.flush(&store, true) {
                    store.stop(&error);
                    break;
                }
                let tail = self.0.tail.lock();
                if tail.flushed == tail.next {
                    *self.0.config.write() = config;
                    return;
                }
            }
        }
        *self.0.config.write() = config;
    }

    /// The first offset kept.
    #[must_use]
    pub fn start(&self) -> Offset {
        Offset(self.0.start.load(Ordering::Acquire))
    }

    /// One past the last offset that readers may see.
    #[must_use]
    pub fn end(&self) -> Offset {
        Offset(self.0.durable.get())
    }

    /// One past the last offset given out.
    #[must_use]
    pub fn appended_end(&self) -> Offset {
        Offset(self.0.tail.lock().next)
    }

    /// Bytes at rest and in the tail.
    #[must_use]
    pub fn size(&self) -> u64 {
        let segments: u64 = self
            .0
            .segments
            .read()
            .iter()
            .map(|segment| segment.len())
            .sum();
        let tail = self.0.tail.lock();
        segments
            + tail
                .from(tail.flushed)
                .map(|chunk| chunk.len() as u64)
                .sum::<u64>()
    }

    /// The largest leader epoch that is at most `epoch`, and one past its last offset.
    #[must_use]
    pub fn epoch_end(&self, epoch: i32) -> Option<(i32, Offset)> {
        let end = self.0.durable.get();
        self.0
            .tail
            .lock()
            .epoch_end(epoch, end)
            .map(|(epoch, end)| (epoch, Offset(end)))
    }

    /// The leader epoch in which the record at `offset` was written, as far as that is kept.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<i32> {
        let tail = self.0.tail.lock();
        let at = tail.epochs.partition_point(|(_, start)| *start <= offset.0);
        at.checked_sub(1)
            .and_then(|at| tail.epochs.get(at))
            .map(|(epoch, _)| *epoch)
    }

    /// Gives one or more whole, validated batches their offsets and queues them. Never waits; the
    /// order of calls is the order in the log. [`Stream::durable`] and [`Stream::written`] wait.
    ///
    /// # Errors
    /// [`Error::Busy`] when too much is waiting to be written; [`Error::Batch`] for bytes that are
    /// no batches; [`Error::Stopped`], [`Error::Removed`], [`Error::Damaged`].
    pub fn append(&self, batches: Bytes, options: AppendOptions) -> Result<Appended, Error> {
        let store = self.0.store()?;
        store.check_running()?;
        if let Some(error) = self.0.fenced.get() {
            return Err(error.clone());
        }
        let parsed = parse(batches, options)?;
        let mut tail = self.0.tail.lock();
        if self.0.removed.load(Ordering::Acquire) {
            return Err(Error::Removed(self.0.id));
        }
        // Decided under the lock under which `configure` turns a stream to `Sync`: what follows in the
        // write-ahead log must not have its predecessor in the pages' queue.
        let queue = if self.0.is_async() {
            &store.pages
        } else {
            &store.commits
        };
        if !queue.has_room() || store.is_behind() {
            store.metrics.busy.inc();
            return Err(Error::Busy);
        }
        let first = tail.next;
        for (header, batch) in parsed {
            let chunk = place(tail.next, &header, batch, options);
            let charge = store.parts.ledger.force_charge(chunk.memory());
            store.cache.added(chunk.len());
            tail.push(chunk.clone(), options.epoch, charge);
            let stream = self.0.clone();
            if !queue.push(Work::Append(Append { stream, chunk })) {
                return Err(Error::Stopped(Arc::from("the store is closing")));
            }
        }
        Ok(Appended {
            first: Offset(first),
            next: Offset(tail.next),
        })
    }

    /// Waits until everything below `next` is as durable as the stream promises.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::Removed`] when it never will be.
    pub async fn durable(&self, next: Offset) -> Result<(), Error> {
        if self.0.durable.reach(next.0).await {
            Ok(())
        } else {
            Err(self.over())
        }
    }

    /// Waits until everything below `next` has been written; a crash of the machine may lose it.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::Removed`] when it never will be.
    pub async fn written(&self, next: Offset) -> Result<(), Error> {
        if self.0.written.reach(next.0).await {
            Ok(())
        } else {
            Err(self.over())
        }
    }

    fn over(&self) -> Error {
        if self.0.removed.load(Ordering::Acquire) {
            return Error::Removed(self.0.id);
        }
        match self.0.store().and_then(|store| store.check_running()) {
            Err(error) => error,
            Ok(()) => Error::Stopped(Arc::from("the store is closing")),
        }
    }

    /// That there may be more to read some time.
    ///
    /// # Errors
    /// [`Error::Stopped`], [`Error::Removed`] when there never will be.
    pub fn check_open(&self) -> Result<(), Error> {
        if self.0.durable.is_over() {
            return Err(self.over());
        }
        Ok(())
    }

    /// Tells of new data.
    #[must_use]
    pub fn changed(&self) -> Changed {
        Changed(self.0.durable.clone())
    }

    /// Deletes what lies below `start`; durable when it returns. Returns the new first offset.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond the end; [`Error::Damaged`] of a fenced stream; whatever the disk
    /// answers: then the store has stopped.
    pub fn trim_to(&self, start: Offset) -> Result<Offset, Error> {
        let store = self.0.store()?;
        store.check_running()?;
        if let Some(error) = self.0.fenced.get() {
            return Err(error.clone());
        }
        let end = self.0.durable.get();
        if start.0 > end {
            return Err(Error::OutOfRange {
                offset: start.0,
                start: self.start().0,
                end,
            });
        }
        let trimmed = self.trim_durably(&store, start.0);
        trimmed.inspect_err(|error| {
            // Half of it may be on the disk.
            if !matches!(error, Error::Removed(_)) {
                store.stop(error);
            }
        })
    }

    fn trim_durably(&self, store: &store::Shared, start: u64) -> Result<Offset, Error> {
        self.0.flush(store, true)?;
        let mut log = self.0.log.lock();
        // Its folder must not come back.
        if self.0.removed.load(Ordering::Acquire) {
            return Err(Error::Removed(self.0.id));
        }
        let before = self.0.start.fetch_max(start, Ordering::AcqRel);
        let start = before.max(start);
        let epochs = {
            let mut tail = self.0.tail.lock();
            tail.trim_epochs(start);
            tail.epochs.clone()
        };
        log.checkpoint(start, epochs, None)?;
        let removed = log.remove_below(start)?;
        store.metrics.retained_bytes.inc_by(removed);
        *self.0.segments.write() = log.segments();
        Ok(Offset(start))
    }

    /// Calls `listener` whenever readers may see more, or never will again, in the place of an
    /// earlier one. It is called on the committer's thread and must not take long.
    pub fn on_durable(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.0.durable.listen(Listener(Box::new(listener)));
    }

    /// Says that nobody needs what lies below `floor` any more. It costs no write of its own: what
    /// is not in segments yet never gets there, whole segments go when the stream is written the
    /// next time or retention comes by. Until then a crash may bring some of it back, so that the
    /// caller must know the floor by itself after a start. Never waits.
    pub fn forget_below(&self, floor: Offset) {
        let floor = floor.0.min(self.0.durable.get());
        if self.0.floor.fetch_max(floor, Ordering::AcqRel) >= floor {
            return;
        }
        self.0.start.fetch_max(floor, Ordering::AcqRel);
        // Whoever holds the log is about to write, and does this first.
        if let (Ok(store), Some(_log)) = (self.0.store(), self.0.log.try_lock()) {
            self.0.drop_forgotten(&store);
        }
    }

    /// Asks `pins` at every compaction for the first offsets of batches of which the headers stay
    /// although no record is left in them. It is called on the compaction's thread and may block
    /// for as long as an append takes.
    pub fn pin_batches(&self, pins: impl Fn() -> Vec<Offset> + Send + Sync + 'static) {
        *self.0.pins.write() = Some(Pins(Box::new(pins)));
    }

    /// Below this offset compaction has been.
    #[must_use]
    pub fn cleaned(&self) -> Offset {
        Offset(self.0.log.lock().state.cleaned)
    }

    /// Keeps `blob`, which belongs to offset `at`, with the next checkpoint that counts everything
    /// below `at`.
    pub fn checkpoint_blob(&self, at: Offset, blob: Bytes) {
        *self.0.blob.lock() = Some((at.0, blob));
    }

    /// The newest blob that was kept.
    #[must_use]
    pub fn blob(&self) -> Option<(Offset, Bytes)> {
        self.0
            .blob
            .lock()
            .clone()
            .map(|(at, blob)| (Offset(at), blob))
    }
}

/// See [`Stream::changed`].
#[derive(Clone, Debug)]
pub struct Changed(Arc<Mark>);

impl Changed {
    /// Waits until readers may see more than what lies below `end`, or never will
    /// ([`Stream::check_open`] tells).
    pub async fn wait_past(&self, end: Offset) {
        self.0.reach(end.0 + 1).await;
    }
}
