//! What the store's threads do.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::{HashMap, StreamId};
use tracing::{info, warn};

use super::open::CLEAN;
use super::{Shared, WAL_FILES_MAX};
use crate::commit::{Append, Work};
use crate::error::Error;
use crate::stream::Shared as StreamShared;
use crate::wal::{Entry, Part};

impl Shared {
    /// The committer's thread.
    pub(super) fn run_committer(&self) {
        let _serving = self.commits.serve();
        let mut spent = Vec::new();
        while let Some(works) = self.commits.take(std::mem::take(&mut spent)) {
            if let Err(error) = self.commit(&works) {
                self.stop(&error);
                return;
            }
            self.commits.finish(&works);
            if self.commits.is_idle()
                && let Err(error) = self.wal.note_synced()
            {
                self.stop(&error);
                return;
            }
            spent = works;
            spent.clear();
        }
    }

    fn commit(&self, works: &[Work]) -> Result<(), Error> {
        let started = self.parts.clock.now();
        let mut ends: HashMap<base::StreamId, (Arc<StreamShared>, u64)> = HashMap::default();
        let mut entries = Vec::with_capacity(works.len());
        let mut bytes = 0;
        let mut note = |append: &Append| {
            bytes += append.chunk.len();
            let id = append.stream.id;
            let end = ends.entry(id).or_insert_with(|| (append.stream.clone(), 0));
            end.1 = append.chunk.next;
            (id, append.chunk.clone())
        };
        for work in works {
            entries.push(match work {
                Work::Append(append) => {
                    let (id, chunk) = note(append);
                    Entry::Append(id, chunk)
                }
                Work::Group(appends) => {
                    let parts = appends.iter().map(&mut note);
                    Entry::Group(parts.map(|(id, chunk)| Part::new(id, chunk)).collect())
                }
                Work::Removed(id) => Entry::Removed(*id),
            });
        }
        let rolled = self.wal.write(&entries, || {
            ends.values()
                .for_each(|(stream, end)| stream.written.raise(*end));
        })?;
        for (stream, end) in ends.values() {
            stream.written.raise(*end);
            stream.durable.raise(*end);
        }
        let took = self.parts.clock.now().saturating_duration_since(started);
        self.metrics.commits.inc();
        self.metrics.committed_bytes.inc_by(bytes as u64);
        self.metrics.committed_entries.inc_by(works.len() as u64);
        self.metrics.commit_seconds.observe(took.as_secs_f64());
        self.metrics
            .queue_bytes
            .set(self.commits.bytes().cast_signed());
        self.metrics
            .tail_bytes
            .set(self.cache.bytes().cast_signed());
        if rolled {
            self.behind
                .store(self.wal.live() > WAL_FILES_MAX, Ordering::Relaxed);
            self.flush.lock().asked = true;
            self.flush_wake.notify_one();
        }
        Ok(())
    }

    /// The page writer's thread.
    pub(super) fn run_page_writer(&self) {
        let _serving = self.pages.serve();
        let mut spent = Vec::new();
        while let Some(works) = self.pages.take(std::mem::take(&mut spent)) {
            if let Err(error) = self.write_pages(&works) {
                self.stop(&error);
                return;
            }
            self.pages.finish(&works);
            spent = works;
            spent.clear();
        }
    }

    fn write_pages(&self, works: &[Work]) -> Result<(), Error> {
        let mut ends: HashMap<base::StreamId, (Arc<StreamShared>, u64)> = HashMap::default();
        for work in works {
            if let Work::Append(append) = work {
                let id = append.stream.id;
                let end = ends.entry(id).or_insert_with(|| (append.stream.clone(), 0));
                end.1 = append.chunk.next;
            }
        }
        for (stream, end) in ends.values() {
            stream.flush(self, false)?;
            stream.written.raise(*end);
            stream.durable.raise(*end);
        }
        let mut flush = self.flush.lock();
        if !flush.unsynced {
            flush.unsynced = true;
            self.flush_wake.notify_one();
        }
        Ok(())
    }

    /// The flusher's thread: sleeps until a file is full, or until what was written without a sync
    /// has waited long enough.
    pub(super) fn run_flusher(&self) {
        loop {
            let mut flush = self.flush.lock();
            while !flush.asked && !flush.closing && self.check_running().is_ok() {
                if flush.unsynced {
                    let wait = Duration::from_millis(self.config.async_sync_interval.0);
                    if self.flush_wake.wait_for(&mut flush, wait).timed_out() {
                        break;
                    }
                } else {
                    self.flush_wake.wait(&mut flush);
                }
            }
            let closing = flush.closing;
            let unsynced = std::mem::take(&mut flush.unsynced);
            flush.asked = false;
            drop(flush);
            if closing || self.check_running().is_err() {
                break;
            }
            let result = self
                .empty_full_files()
                .and_then(|()| if unsynced { self.sync_pages() } else { Ok(()) });
            if let Err(error) = result {
                self.stop(&error);
                break;
            }
        }
        self.flush.lock().closed = true;
        self.flush_done.notify_all();
    }

    /// Moves what is in all files of the write-ahead log but the newest to segments.
    fn empty_full_files(&self) -> Result<(), Error> {
        while let Some((number, streams)) = self.wal.oldest(false) {
            if !self.is_at_rest(&streams)? {
                break;
            }
            self.wal.release(number)?;
            self.note_files();
        }
        // Also when there was nothing to do: the committer may have counted before the last release.
        self.note_files();
        Ok(())
    }

    /// Moves these streams to segments, up to these offsets. False while the write that filled their
    /// file goes on in the next one: nothing of it counts as durable yet, and when it has ended the
    /// committer asks again.
    fn is_at_rest(&self, streams: &[(StreamId, u64)]) -> Result<bool, Error> {
        for (id, end) in streams {
            let Some(stream) = self.find(*id) else {
                continue;
            };
            if stream.log.lock().state.end < *end {
                stream.flush(self, true)?;
            }
            if stream.log.lock().state.end < *end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes in how many files of the write-ahead log hold entries.
    fn note_files(&self) {
        let live = self.wal.live();
        self.metrics
            .wal_files
            .set(i64::try_from(live).unwrap_or(i64::MAX));
        let behind = live > WAL_FILES_MAX;
        self.behind.store(behind, Ordering::Relaxed);
        if !behind {
            self.commits.wake_room();
        }
    }

    fn sync_pages(&self) -> Result<(), Error> {
        let streams: Vec<_> = self.streams.read().values().cloned().collect();
        for stream in streams.iter().filter(|stream| stream.is_async()) {
            // Whoever appends to the stream waits for the sync of its checkpoint.
            stream.sync_ahead()?;
            stream.flush(self, true)?;
        }
        Ok(())
    }

    /// Moves everything to segments.
    pub(super) fn flush_all(&self) -> Result<(), Error> {
        let streams: Vec<_> = self.streams.read().values().cloned().collect();
        for stream in streams {
            stream.flush(self, true)?;
        }
        Ok(())
    }

    /// Gives back the memory of all tails: what is durable is moved to segments, where readers find
    /// it. It stays in the write-ahead log, so that nothing is synced for this.
    pub(super) fn relieve(&self) {
        let _held = self.upkeep.read();
        if !self.is_open() || self.cache.bytes() == 0 {
            return;
        }
        let streams: Vec<_> = self.streams.read().values().cloned().collect();
        for stream in streams {
            if let Err(error) = stream.flush(self, false) {
                self.stop(&error);
                return;
            }
        }
        self.cache.clear();
    }

    pub(super) fn close_now(&self) -> Result<(), Error> {
        if self.lock.lock().is_none() {
            return Ok(());
        }
        // Whatever works on segments ends, and does not begin again.
        self.closing.store(true, Ordering::Release);
        let _alone = self.upkeep.write();
        // Nothing is acknowledged any more that the last flush does not move to segments: who comes
        // now is refused, and who was taken is done with.
        for queue in [&self.commits, &self.pages] {
            queue.close();
            queue.wait_over();
        }
        let mut flush = self.flush.lock();
        flush.closing = true;
        self.flush_wake.notify_all();
        while !flush.closed {
            self.flush_done.wait(&mut flush);
        }
        drop(flush);
        let result = self.check_running().and_then(|()| self.leave_clean());
        let reason = Error::Stopped(Arc::from("closed"));
        let mut place = self.reason.lock();
        if place.is_none() {
            *place = Some(reason);
        }
        drop(place);
        self.stopped.store(true, Ordering::Release);
        for stream in self.streams.read().values() {
            stream.end_waits();
        }
        *self.lock.lock() = None;
        result
    }

    fn leave_clean(&self) -> Result<(), Error> {
        self.flush_all()?;
        while let Some((number, _)) = self.wal.oldest(true) {
            self.wal.release(number)?;
        }
        let disk = &self.parts.disk;
        let fails = |action| {
            let shown = disk.name(CLEAN);
            move |e| Error::disk(action, shown, e)
        };
        let file = disk.create(CLEAN).map_err(fails("create"))?;
        file.write_at(&mut [IoSlice::new(b"clean\n")], 0)
            .map_err(fails("write"))?;
        file.sync().map_err(fails("sync"))?;
        disk.sync_dir("").map_err(fails("sync the folder of"))?;
        info!("the log was closed in order");
        Ok(())
    }

    /// Runs compaction, as its thread does.
    pub(super) fn compact_due(&self) {
        if let Err(error) = self.compact() {
            warn!(%error, "compaction failed");
            if !matches!(error, Error::Removed(_)) {
                self.stop(&error);
            }
        }
    }

    /// Applies retention to every stream.
    pub(super) fn maintain(&self) {
        let now_ms = self.parts.clock.unix_ms();
        let streams: Vec<_> = self.streams.read().values().cloned().collect();
        for stream in streams {
            if self.check_running().is_err() {
                return;
            }
            if let Err(error) = self.retain(&stream, now_ms) {
                warn!(stream = %stream.id, %error, "retention failed");
                if !matches!(error, Error::Removed(_)) {
                    self.stop(&error);
                }
            }
        }
    }

    /// Moves what is old or large enough for a segment of its own from the tail to segments, and
    /// begins a new one behind it. Without it a quiet stream would stay in the write-ahead log.
    pub(super) fn settle(&self, stream: &Arc<StreamShared>, now_ms: i64) -> Result<(), Error> {
        let config = stream.config.read().clone();
        let (bytes, oldest, newest) = {
            let tail = stream.tail.lock();
            let times = || tail.from(tail.flushed).map(|chunk| chunk.max_timestamp);
            let bytes = tail.from(tail.flushed).map(|chunk| chunk.len() as u64);
            (bytes.sum::<u64>(), times().next(), times().max())
        };
        let is_expired = newest
            .filter(|at| *at >= 0)
            .is_some_and(|at| config.is_expired(at, now_ms));
        let is_old = oldest.filter(|at| *at >= 0).is_some_and(|at| {
            u64::try_from(now_ms.saturating_sub(at)).is_ok_and(|age| age > config.segment_age_max())
        });
        if is_old || is_expired || bytes >= config.segment_bytes {
            stream.flush(self, true)?;
        }
        let mut log = stream.log.lock();
        if !stream.removed.load(Ordering::Acquire) && log.roll_old(&config, now_ms)? {
            *stream.segments.write() = log.segments();
        }
        Ok(())
    }

    fn retain(&self, stream: &Arc<StreamShared>, now_ms: i64) -> Result<(), Error> {
        let _held = self.upkeep.read();
        if !self.is_open() || stream.fenced.get().is_some() {
            return Ok(());
        }
        self.settle(stream, now_ms)?;
        stream.release_forgotten(self)?;
        let config = stream.config.read().clone();
        let start = stream.start.load(Ordering::Acquire);
        if !config.cleanup.delete {
            return Ok(());
        }
        let wanted = {
            let log = stream.log.lock();
            if stream.removed.load(Ordering::Acquire) {
                return Ok(());
            }
            log.retained_start(&config, start, now_ms)
        };
        if wanted > start {
            info!(stream = %stream.id, from = start, to = wanted, "retention moves the start");
            crate::stream::Stream(stream.clone()).trim_to(base::Offset(wanted))?;
        }
        Ok(())
    }
}
