//! Opening a data directory: lock, format, segments, write-ahead log.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base::{HashMap, Ledger, StreamId, TopicId};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use tracing::{info, warn};
use uuid::Uuid;

use super::{FlushState, Parts, RecoveryReport, Shared, Store};
use crate::batch::{BatchHeader, PLACE_LEN};
use crate::cache::Cache;
use crate::commit::Queue;
use crate::config::{Cleanup, Config, StreamConfig};
use crate::disk::{Disk, DiskLock};
use crate::error::Error;
use crate::log::{self, Log};
use crate::metrics::StoreMetrics;
use crate::stream::Shared as StreamShared;
use crate::tail::Chunk;
use crate::wal::{self, Found, Layout, Replay, Wal};

/// Held by the process that has the directory open.
const LOCK: &str = "lock";
/// Says in which format the directory is.
const FORMAT: &str = "format";
/// What that file is called until it is whole.
const FORMAT_NEW: &str = "format.new";
/// The newest format that is known. 1 had no keys and no groups in the write-ahead log
/// (docs/adr/0006), and no streams whose segments are all gone.
const FORMAT_MAX: u32 = 2;
/// How long at least it is from one time that memory is given back to the next: what is given back
/// has to be read from disk.
const RELIEF_INTERVAL: Duration = Duration::from_millis(50);
/// How much of the write-ahead log a start has in memory before that goes to segments, in bytes; an
/// entry may be larger.
const REFILL_BYTES: usize = 8 << 20;
/// There when the last run ended in order.
pub(super) const CLEAN: &str = "clean";

impl Store {
    /// Opens the data directory, recovers what a crash left, and starts the threads. Blocks.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::TooNew`], [`Error::ReadOnly`], [`Error::Full`];
    /// [`Error::Damaged`] when acknowledged entries cannot be read and the configuration does not
    /// accept that; whatever the disk answers.
    pub fn open(config: Config, parts: Parts) -> Result<Self, Error> {
        let started = parts.clock.now();
        let disk = parts.disk.clone();
        let (lock, format) = take(&*disk)?;
        let mut report = RecoveryReport {
            clean: take_clean_mark(&*disk)?,
            ..RecoveryReport::default()
        };
        let now_ms = parts.clock.unix_ms();
        let mut recovered = Recovered::open_streams(&disk, now_ms, &mut report)?;
        let layout = Layout::of(format);
        let mut replay = wal::replay(&*disk, layout, |found| recovered.replay(found))?;
        report.replayed = replay.entries;
        report.replayed_bytes = replay.bytes;
        let keep = !replay.damage.is_empty() || recovered.skipped;
        report.damage.append(&mut replay.damage);
        report.damage.extend(recovered.gaps());
        // Up to here nothing of what was acknowledged has been changed.
        if !config.accept_damage
            && let Some(first) = report.damage.first()
        {
            return Err(first.clone());
        }
        let last = replay.last();
        recovered.refill(layout, &parts.ledger, now_ms)?;
        recovered.finish(&*disk, &replay.files, keep)?;
        if format < FORMAT_MAX {
            upgrade(&*disk, &mut replay)?;
        }
        report.streams = recovered.logs.len();
        report.took = parts.clock.now().saturating_duration_since(started);
        let wal = Wal::new(disk, config.wal_file_bytes.0, last, replay.spares);
        let store = Arc::new_cyclic(|weak| {
            let streams = recovered.logs.into_iter().map(|(id, (log, fence))| {
                let stream = StreamShared::new(id, weak.clone(), unconfigured(), log);
                let _ = fence.map(|error| stream.fenced.set(error));
                (id, Arc::new(stream))
            });
            Shared {
                metrics: StoreMetrics::new(&parts.metrics),
                cache: Cache::new(config.tail_bytes.0),
                commits: Queue::new(config.commit_queue_bytes.0),
                pages: Queue::new(config.commit_queue_bytes.0),
                wal,
                streams: RwLock::new(streams.collect()),
                stopped: AtomicBool::new(false),
                reason: Mutex::new(None),
                behind: AtomicBool::new(false),
                flush: Mutex::new(FlushState::default()),
                flush_wake: Condvar::new(),
                flush_done: Condvar::new(),
                report,
                lookup: Mutex::new(()),
                closing: AtomicBool::new(false),
                upkeep: RwLock::new(()),
                lock: Mutex::new(Some(lock)),
                config,
                parts,
            }
        });
        store.start_threads()?;
        let report = &store.report;
        info!(
            streams = report.streams, clean = report.clean, replayed = report.replayed,
            torn_bytes = report.torn_bytes, took = ?report.took, "the log is open"
        );
        Ok(Self(store))
    }
}

impl Shared {
    fn start_threads(self: &Arc<Self>) -> Result<(), Error> {
        let fails = |e| Error::disk("start a thread for", self.parts.disk.name(""), e);
        let tasks = &self.parts.tasks;
        let store = self.clone();
        tasks
            .thread("store.commit", move || store.run_committer())
            .map_err(fails)?;
        let store = self.clone();
        tasks
            .thread("store.pages", move || store.run_page_writer())
            .map_err(fails)?;
        let store = self.clone();
        tasks
            .thread("store.flush", move || store.run_flusher())
            .map_err(fails)?;
        self.spawn_relief();
        self.spawn_upkeep("store.maintain", Self::maintain);
        self.spawn_upkeep("store.compact", Self::compact_due);
        Ok(())
    }

    /// Gives memory back whenever somebody waits for some.
    fn spawn_relief(self: &Arc<Self>) {
        let (weak, ledger) = (Arc::downgrade(self), self.parts.ledger.clone());
        let tasks = self.parts.tasks.clone();
        let mut shutdown = tasks.shutdown();
        self.parts.tasks.spawn("store.relieve", async move {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = ledger.shortage() => {}
                }
                let Some(store) = weak.upgrade() else { return };
                let done = tasks.spawn_blocking("store.relieve", move || store.relieve());
                if done.await.is_err() {
                    return;
                }
                // What waits for the disk can be given back only after that.
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(RELIEF_INTERVAL) => {}
                }
            }
        });
    }

    /// Does `work` every now and then, as long as the store lives.
    fn spawn_upkeep(self: &Arc<Self>, name: &'static str, work: fn(&Self)) {
        let weak = Arc::downgrade(self);
        let every = Duration::from_millis(self.config.maintenance_interval.0.max(1));
        let tasks = self.parts.tasks.clone();
        let mut shutdown = tasks.shutdown();
        self.parts.tasks.spawn(name, async move {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(every) => {}
                }
                let Some(store) = weak.upgrade() else { return };
                let done = tasks.spawn_blocking(name, move || work(&store));
                if done.await.is_err() {
                    return;
                }
            }
        });
    }
}

/// What holds for a stream until somebody says what it is for: nothing of it is deleted.
fn unconfigured() -> StreamConfig {
    StreamConfig {
        cleanup: Cleanup {
            delete: false,
            compact: false,
        },
        ..StreamConfig::default()
    }
}

/// The format of the directory, which is the newest when there was none.
fn check_format(disk: &dyn Disk) -> Result<u32, Error> {
    let fails = |action| {
        let shown = disk.name(FORMAT);
        move |e| Error::disk(action, shown, e)
    };
    let file = match disk.open(FORMAT) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return write_format(disk),
        Err(error) => return Err(fails("open")(error)),
    };
    let mut bytes = [0; 64];
    let read = file.read_at(&mut bytes, 0).map_err(fails("read"))?;
    let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default())
        .trim_matches(['\0', '\n', ' '])
        .to_owned();
    match text.parse::<u32>() {
        Ok(format @ 1..=FORMAT_MAX) => Ok(format),
        Ok(format) if format > FORMAT_MAX => Err(Error::TooNew {
            path: disk.name(FORMAT),
            found: text,
            known: FORMAT_MAX,
        }),
        // A name without its bytes is what a crash may leave of a file that was never synced.
        Err(_) if text.is_empty() => write_format(disk),
        _ => Err(Error::Damaged {
            path: disk.name(FORMAT),
            position: 0,
            what: format!("{text:?} is no format"),
        }),
    }
}

/// Says in which format the directory is. The name comes last: it never stands for half a file.
fn write_format(disk: &dyn Disk) -> Result<u32, Error> {
    let fails = |action| {
        let shown = disk.name(FORMAT);
        move |e| Error::disk(action, shown, e)
    };
    let file = disk.create(FORMAT_NEW).map_err(fails("create"))?;
    let text = format!("{FORMAT_MAX}\n");
    file.write_at(&mut [IoSlice::new(text.as_bytes())], 0)
        .map_err(fails("write"))?;
    file.truncate(text.len() as u64).map_err(fails("write"))?;
    file.sync().map_err(fails("sync"))?;
    disk.rename(FORMAT_NEW, FORMAT)
        .map_err(fails("rename to"))?;
    disk.sync_dir("").map_err(fails("sync the folder of"))?;
    Ok(FORMAT_MAX)
}

/// Makes a directory of an older format, whose write-ahead log is empty, one of the newest.
fn upgrade(disk: &dyn Disk, replay: &mut Replay) -> Result<(), Error> {
    // They are full of frames without keys.
    for number in replay.spares.drain(..) {
        wal::discard_spare(disk, number)?;
    }
    write_format(disk)?;
    info!(format = FORMAT_MAX, "the directory has a newer format now");
    Ok(())
}

/// Locks the directory, looks at its format, and makes the folders in it.
fn take(disk: &dyn Disk) -> Result<(Box<dyn DiskLock>, u32), Error> {
    let lock = disk.lock(LOCK).map_err(|error| {
        let path = disk.name(LOCK);
        if error.kind() == ErrorKind::WouldBlock {
            Error::Locked { path }
        } else {
            Error::disk("lock", path, error)
        }
    })?;
    let format = check_format(disk)?;
    for folder in [wal::FOLDER, log::FOLDER] {
        disk.create_dir(folder)
            .map_err(|e| Error::disk("create", disk.name(folder), e))?;
    }
    // What is listed from here on counts: names that a killed process has made, too.
    for folder in ["", wal::FOLDER, log::FOLDER] {
        disk.sync_dir(folder)
            .map_err(|e| Error::disk("sync", disk.name(folder), e))?;
    }
    Ok((lock, format))
}

/// Whether the last run ended in order; this one has not.
fn take_clean_mark(disk: &dyn Disk) -> Result<bool, Error> {
    match disk.remove(CLEAN) {
        Ok(()) => {
            disk.sync_dir("")
                .map_err(|e| Error::disk("sync", disk.name(""), e))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::disk("remove", disk.name(CLEAN), error)),
    }
}

/// The streams of a directory while its write-ahead log is replayed.
struct Recovered {
    disk: Arc<dyn Disk>,
    logs: HashMap<StreamId, (Log, Option<Error>)>,
    /// Where streams end of which the write-ahead log has more than the segments.
    ends: HashMap<StreamId, u64>,
    /// Streams that are no more, and what their folders are called now. Those go last: a start that
    /// crashes may have read of a removal what was not durable yet.
    removed: HashMap<StreamId, String>,
    /// Streams that the write-ahead log says are no more.
    doomed: HashMap<StreamId, Log>,
    /// Streams of which the write-ahead log goes on where neither it nor a segment has been.
    gaps: Vec<StreamId>,
    /// Whether the write-ahead log has intact entries for which there is no place.
    skipped: bool,
}

impl Recovered {
    fn open_streams(
        disk: &Arc<dyn Disk>,
        now_ms: i64,
        report: &mut RecoveryReport,
    ) -> Result<Self, Error> {
        let mut this = Self {
            disk: disk.clone(),
            logs: HashMap::default(),
            ends: HashMap::default(),
            removed: HashMap::default(),
            doomed: HashMap::default(),
            gaps: Vec::new(),
            skipped: false,
        };
        let names = disk
            .list(log::FOLDER)
            .map_err(|e| Error::disk("list", disk.name(log::FOLDER), e))?;
        for name in names {
            let path = format!("{}/{name}", log::FOLDER);
            let gone = name.strip_suffix(log::REMOVED);
            let Some(id) = stream_id(gone.unwrap_or(&name)) else {
                warn!(
                    path = disk.name(&path),
                    "not the folder of a stream; left alone"
                );
                continue;
            };
            if gone.is_some() {
                this.removed.insert(id, path);
                continue;
            }
            let mut epochs = Vec::new();
            let (mut log, opened) = Log::open(disk.clone(), id, now_ms, |header| {
                epochs.push((
                    header.leader_epoch,
                    u64::try_from(header.base_offset).unwrap_or(0),
                ));
            })?;
            note_epochs(&mut log, epochs);
            report.torn_bytes += opened.torn_bytes;
            report.damage.extend(opened.damage.clone());
            this.logs.insert(id, (log, opened.damage));
        }
        Ok(this)
    }

    /// An entry of the write-ahead log. Changes nothing on the disk: what follows may be damaged.
    fn replay(&mut self, found: Found) -> Result<(), Error> {
        match found {
            Found::Removed(id) => {
                self.ends.remove(&id);
                if let Some((log, _)) = self.logs.remove(&id) {
                    self.doomed.insert(id, log);
                }
            }
            Found::Append(id, _)
                if self.removed.contains_key(&id) || self.doomed.contains_key(&id) => {}
            Found::Append(id, batch) => {
                let header = BatchHeader::parse(&batch)?;
                let base = u64::try_from(header.base_offset).unwrap_or(u64::MAX);
                let disk = &self.disk;
                let (log, fence) = self
                    .logs
                    .entry(id)
                    .or_insert_with(|| (Log::new(disk.clone(), id), None));
                let end = self.ends.get(&id).copied().unwrap_or_else(|| log.end());
                let next = header.next_offset();
                if fence.is_some() {
                    // Also what the segments should have: what they have may be damaged.
                    self.skipped |= next > log.found();
                    return Ok(());
                }
                if next <= end {
                    return Ok(());
                }
                if base != end {
                    self.skipped = true;
                    self.gaps.push(id);
                    *fence = Some(Error::Damaged {
                        path: self.disk.name(&log::folder(id)),
                        position: 0,
                        what: format!("the records from offset {end} to {base} are missing"),
                    });
                    return Ok(());
                }
                note_epochs(log, vec![(header.leader_epoch, base)]);
                self.ends.insert(id, next);
            }
        }
        Ok(())
    }

    /// Reads the write-ahead log once more, now that it is known to be whole, and moves what the
    /// segments lack there, a little at a time.
    fn refill(&mut self, layout: Layout, ledger: &Ledger, now_ms: i64) -> Result<(), Error> {
        let mut pending: HashMap<StreamId, Vec<Chunk>> = HashMap::default();
        let mut held = ledger.force_charge(0);
        let disk = self.disk.clone();
        wal::replay(&*disk, layout, |found| {
            let Found::Append(id, batch) = found else {
                return Ok(());
            };
            let is_gap = self.gaps.contains(&id);
            let Some((log, fence)) = self.logs.get(&id) else {
                return Ok(());
            };
            if fence.is_some() && !is_gap {
                return Ok(());
            }
            let chunk = chunk_of(&batch)?;
            let chunks = pending.entry(id).or_default();
            let end = chunks.last().map_or_else(|| log.end(), |last| last.next);
            // What is there already, and what lies behind a gap.
            if chunk.base != end {
                return Ok(());
            }
            held.merge(ledger.force_charge(chunk.memory()));
            chunks.push(chunk);
            if held.bytes() >= REFILL_BYTES {
                self.append(&mut pending, now_ms)?;
                drop(held.split(usize::MAX));
            }
            Ok(())
        })?;
        self.append(&mut pending, now_ms)
    }

    fn append(
        &mut self,
        pending: &mut HashMap<StreamId, Vec<Chunk>>,
        now_ms: i64,
    ) -> Result<(), Error> {
        for (id, chunks) in pending.drain() {
            if let Some((log, _)) = self.logs.get_mut(&id) {
                log.append(&chunks, &StreamConfig::default(), now_ms)?;
            }
        }
        Ok(())
    }

    /// What the gaps cost.
    fn gaps(&self) -> Vec<Error> {
        let fence = |id| self.logs.get(id)?.1.clone();
        self.gaps.iter().filter_map(fence).collect()
    }

    /// Makes durable what was moved to segments; the write-ahead log can then begin anew. Its files
    /// go, or are kept aside.
    fn finish(&mut self, disk: &dyn Disk, files: &[u64], keep: bool) -> Result<(), Error> {
        for (id, mut log) in self.doomed.drain() {
            if let Some(gone) = log.set_aside()? {
                self.removed.insert(id, gone);
            }
        }
        for (id, (log, fence)) in &mut self.logs {
            // Epochs of which everything was lost never were.
            let end = log.end();
            log.state.epochs.retain(|(_, start)| *start < end);
            // A damaged checkpoint or segment stays as it is. What lies before a gap in the write-ahead
            // log is sound, and is nowhere else any more.
            if log.is_dirty() && (fence.is_none() || self.gaps.contains(id)) {
                let (start, epochs) = (log.state.start, log.state.epochs.clone());
                log.checkpoint(start, epochs, None)?;
            }
        }
        for number in files {
            if keep {
                wal::keep_aside(disk, *number)?;
                continue;
            }
            wal::discard(disk, *number, false)
                .map_err(|e| Error::disk("remove", disk.name(&wal::path(*number)), e))?;
        }
        for path in self.removed.values() {
            disk.remove_dir(path)
                .map_err(|e| Error::disk("remove", disk.name(path), e))?;
        }
        Ok(())
    }
}

/// An entry of the write-ahead log as what a segment takes.
fn chunk_of(batch: &Bytes) -> Result<Chunk, Error> {
    let header = BatchHeader::parse(batch)?;
    Ok(Chunk {
        base: u64::try_from(header.base_offset).unwrap_or(u64::MAX),
        next: header.next_offset(),
        max_timestamp: header.max_timestamp,
        head: batch.slice(..PLACE_LEN),
        body: batch.slice(PLACE_LEN..),
    })
}

fn note_epochs(log: &mut Log, epochs: Vec<(i32, u64)>) {
    for (epoch, start) in epochs {
        if log
            .state
            .epochs
            .last()
            .is_none_or(|(last, _)| *last < epoch)
        {
            log.state.epochs.push((epoch, start));
        }
    }
}

/// The stream whose folder is called `name`.
fn stream_id(name: &str) -> Option<StreamId> {
    let (topic, partition) = name.rsplit_once('-')?;
    Some(StreamId {
        topic: TopicId(Uuid::parse_str(topic).ok()?),
        partition: partition.parse().ok()?,
    })
}
