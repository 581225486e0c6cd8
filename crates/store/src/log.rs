//! A stream's segments and its checkpoint. One thread at a time works on it; readers go by a copy
//! of the list of segments.

pub(crate) mod swap;

use std::sync::Arc;

use base::StreamId;
use bytes::Bytes;

use crate::batch::BatchHeader;
use crate::config::StreamConfig;
use crate::disk::Disk;
use crate::error::Error;
use crate::segment::{self, ScanEnd, Segment};
use crate::state::{Newest, State, StateFile};
use crate::tail::Chunk;

/// Where the streams' folders are.
pub(crate) const FOLDER: &str = "streams";
/// What a folder is called while it is being removed.
pub(crate) const REMOVED: &str = ".removed";
/// How many batches go to the disk in one call.
const CHUNKS_MAX: usize = 500;
/// A segment that is smaller and younger (in milliseconds) than this is not ended by the times of
/// records, which clients make up: each would cost a file.
const SMALL: u64 = 1 << 20;
const YOUNG: u64 = 60_000;

/// A stream's folder.
pub(crate) fn folder(id: StreamId) -> String {
    format!("{FOLDER}/{}-{}", id.topic.0, id.partition)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    folder: String,
    exists: bool,
    segments: Vec<Arc<Segment>>,
    file: Option<StateFile>,
    pub(crate) state: State,
    /// Everything below was forgotten before it came to a segment.
    skipped: u64,
    /// Segments that go with the next checkpoint.
    forgotten: Vec<Arc<Segment>>,
    /// Whether segments hold more than the checkpoint says.
    dirty: bool,
    /// What a write or a sync has failed with. Nobody knows what is on the disk since: whoever comes
    /// next, perhaps from another thread, must not write or sync on top of it.
    failed: Option<Error>,
}

/// What opening a stream's folder found.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// Bytes behind the checkpoint that were no batches.
    pub(crate) torn_bytes: u64,
    /// What was durable and is not readable any more.
    pub(crate) damage: Option<Error>,
    /// Whether segments were removed because they follow nothing.
    cut_off: bool,
}

impl Log {
    /// One without a folder; it is made when there is something to put in.
    pub(crate) fn new(disk: Arc<dyn Disk>, id: StreamId) -> Self {
        Self {
            disk,
            folder: folder(id),
            exists: false,
            segments: Vec::new(),
            file: None,
            state: State::default(),
            skipped: 0,
            forgotten: Vec::new(),
            dirty: false,
            failed: None,
        }
    }

    pub(crate) fn segments(&self) -> Arc<[Arc<Segment>]> {
        self.segments.clone().into()
    }

    /// One past the last offset in segments.
    pub(crate) fn end(&self) -> u64 {
        self.segments
            .last()
            .map_or(self.state.end, |segment| segment.next())
            .max(self.state.end)
            .max(self.skipped)
    }

    /// Goes on at `offset` as if everything below had been here: nobody needs it. The segments
    /// are not read any more, and go when the next checkpoint has said so.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.skipped = offset;
        self.forgotten.append(&mut self.segments);
        self.dirty = true;
    }

    /// Whether whole segments lie below `floor`.
    pub(crate) fn has_below(&self, floor: u64) -> bool {
        match self.segments.as_slice() {
            [] => false,
            [only] => only.len() > 0 && only.next() <= floor,
            [_, second, ..] => second.base <= floor,
        }
    }

    /// One past the last offset that a start has found in segments.
    pub(crate) fn found(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.next())
    }

    /// Opens a folder that exists. `seen` gets the headers behind the checkpoint.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        id: StreamId,
        now_ms: i64,
        mut seen: impl FnMut(&BatchHeader),
    ) -> Result<(Self, Opened), Error> {
        let mut log = Self::new(disk.clone(), id);
        log.exists = true;
        let mut opened = Opened::default();
        let mut known = true;
        let (mut file, newest) = StateFile::open(&*disk, &log.folder)?;
        match newest {
            Newest::Nothing => {}
            Newest::State(state) => {
                file.settle(&*disk, &state)?;
                log.state = state;
            }
            Newest::Unreadable => {
                known = false;
                opened.damage = Some(Error::Damaged {
                    path: disk.name(&log.folder),
                    position: 0,
                    what: "neither checkpoint is readable".to_owned(),
                });
            }
        }
        log.file = Some(file);
        swap::recover(&*disk, &log.folder)?;
        let names = disk
            .list(&log.folder)
            .map_err(|e| Error::disk("list", disk.name(&log.folder), e))?;
        let mut bases: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
            .collect();
        bases.sort_unstable();
        for (at, base) in bases.iter().enumerate() {
            // Of a stream that was forgotten as a whole there is no newest segment.
            let (start, active) = (log.state.start, log.state.active);
            let forgotten = (*base < active && active <= start).then_some(active);
            let next = bases.get(at + 1).copied().or(forgotten);
            // What lies behind the checkpoint has to follow it without a gap.
            let gap = *base > active && *base != log.end() && (known || !log.segments.is_empty());
            if gap {
                log.remove_torn(*base, &mut opened)?;
            } else if !log.open_segment(*base, next, &mut opened, &mut seen)? {
                break;
            }
        }
        for segment in &log.segments {
            segment.note_opened(now_ms);
        }
        let settled = log.file.as_ref().is_some_and(|file| file.was_settled());
        let begun = log.segments.last().is_some_and(|last| last.len() == 0);
        if opened.cut_off || log.dirty || begun || !settled {
            // A process that was killed may have left names that only the operating system knows, and
            // what was cut off must not come back behind what is appended from now on.
            disk.sync_dir(&log.folder)
                .map_err(|e| Error::disk("sync", disk.name(&log.folder), e))?;
        }
        let forgotten = log.segments.is_empty() && log.state.start >= log.state.end;
        if log.found() < log.state.end && !forgotten && opened.damage.is_none() {
            opened.damage = Some(log.lost());
        }
        Ok((log, opened))
    }

    /// Opens one segment; whether to go on with the next.
    fn open_segment(
        &mut self,
        base: u64,
        next: Option<u64>,
        opened: &mut Opened,
        seen: &mut impl FnMut(&BatchHeader),
    ) -> Result<bool, Error> {
        let segment = Segment::open(&*self.disk, &self.folder, base)?;
        // Emptied by retention, but not removed any more before the crash.
        if next.is_some_and(|next| next <= self.state.start) {
            segment.remove(&*self.disk)?;
            return Ok(true);
        }
        let (len, end) = (segment.file_len()?, self.state.end);
        // How many bytes a checkpoint counts, and where they end as an offset: compaction may have
        // taken the last batches of all segments but the newest.
        let (trusted, counted) = match base.cmp(&self.state.active) {
            std::cmp::Ordering::Less => (len, base..=next.unwrap_or(end)),
            std::cmp::Ordering::Equal => (self.state.active_len, end..=end),
            std::cmp::Ordering::Greater => (0, base..=base),
        };
        let mut behind = |header: &BatchHeader| {
            if header.next_offset() > end {
                seen(header);
            }
        };
        let scanned = segment.scan(trusted.min(len), counted, len, 4096, &mut behind)?;
        let whole = segment.len();
        let mut damage = None;
        if let ScanEnd::Broken { position, what } = scanned {
            if position < trusted {
                let path = self.disk.name(&segment::path(&self.folder, base, "log"));
                damage = Some(Error::Damaged {
                    path,
                    position,
                    what,
                });
            } else {
                opened.torn_bytes += len - whole;
                segment.truncate()?;
            }
        } else if whole < trusted {
            damage = Some(self.lost());
        }
        if damage.is_none() && whole > trusted {
            segment.rewrite(trusted)?;
        }
        self.dirty |= base > self.state.active || whole > trusted;
        self.segments.push(Arc::new(segment));
        let sound = damage.is_none();
        opened.damage = opened.damage.take().or(damage);
        Ok(sound)
    }

    fn remove_torn(&self, base: u64, opened: &mut Opened) -> Result<(), Error> {
        let segment = Segment::open(&*self.disk, &self.folder, base)?;
        opened.torn_bytes += segment.file_len()?;
        segment.remove(&*self.disk)?;
        opened.cut_off = true;
        Ok(())
    }

    fn lost(&self) -> Error {
        let end = self.state.end;
        Error::Damaged {
            path: self.disk.name(&self.folder),
            position: self.state.active_len,
            what: format!("records up to offset {end} were durable and are not there"),
        }
    }

    fn make_folder(&mut self) -> Result<(), Error> {
        if self.exists {
            return Ok(());
        }
        let fails = |action| {
            let shown = self.disk.name(&self.folder);
            move |e| Error::disk(action, shown, e)
        };
        self.disk
            .create_dir(&self.folder)
            .map_err(fails("create"))?;
        self.disk
            .sync_dir(FOLDER)
            .map_err(fails("sync the folder of"))?;
        self.exists = true;
        Ok(())
    }

    /// Does what changes the disk, unless that has failed before.
    fn unless_failed<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = work(self);
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// Appends batches to the newest segment, and begins new ones where they are due. What was
    /// appended can be read, and is durable after [`Log::checkpoint`].
    pub(crate) fn append(
        &mut self,
        chunks: &[Chunk],
        config: &StreamConfig,
        now_ms: i64,
    ) -> Result<(), Error> {
        self.unless_failed(|log| log.append_chunks(chunks, config, now_ms))
    }

    fn append_chunks(
        &mut self,
        chunks: &[Chunk],
        config: &StreamConfig,
        now_ms: i64,
    ) -> Result<(), Error> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.make_folder()?;
        self.dirty = true;
        let mut rest = chunks;
        while let Some(first) = rest.first() {
            let active = self.active_for(first, config, now_ms)?;
            let mut len = active.len();
            let begins = match len {
                0 => first.max_timestamp,
                _ => active.first_timestamp(),
            };
            let mut taken = 0;
            for chunk in rest.iter().take(CHUNKS_MAX) {
                let fits = len == 0 || len + chunk.len() as u64 <= config.segment_bytes;
                let apart = is_apart(begins, chunk, config) && may_end(&active, len, now_ms);
                if taken > 0 && (!fits || apart || too_far(&active, chunk)) {
                    break;
                }
                len += chunk.len() as u64;
                taken += 1;
            }
            let (now, later) = rest.split_at(taken.max(1));
            active.append(now, config.index_interval_bytes, now_ms)?;
            rest = later;
        }
        Ok(())
    }

    /// The segment that takes `chunk`: the newest, or a new one.
    fn active_for(
        &mut self,
        chunk: &Chunk,
        config: &StreamConfig,
        now_ms: i64,
    ) -> Result<Arc<Segment>, Error> {
        if let Some(active) = self.segments.last() {
            let full = active.len() > 0 && active.len() + chunk.len() as u64 > config.segment_bytes;
            let apart = is_apart(active.first_timestamp(), chunk, config)
                && may_end(active, active.len(), now_ms);
            if !full && !apart && !too_far(active, chunk) {
                return Ok(active.clone());
            }
            active.sync(&*self.disk)?;
        }
        let segment = Arc::new(Segment::create(
            &*self.disk,
            &self.folder,
            chunk.base,
            now_ms,
        )?);
        self.segments.push(segment.clone());
        Ok(segment)
    }

    /// Begins a new segment with the next append, if the newest is old enough for that or for being
    /// deleted.
    pub(crate) fn roll_old(&mut self, config: &StreamConfig, now_ms: i64) -> Result<bool, Error> {
        let Some(active) = self.segments.last().cloned() else {
            return Ok(false);
        };
        // Only what is not the newest segment is deleted.
        let is_expired = config.is_expired(newest(&active), now_ms);
        if active.len() == 0 || !(is_old(&active, config, now_ms) || is_expired) {
            return Ok(false);
        }
        self.unless_failed(|log| {
            active.sync(&*log.disk)?;
            let segment = Segment::create(&*log.disk, &log.folder, active.next(), now_ms)?;
            log.segments.push(Arc::new(segment));
            log.dirty = true;
            Ok(true)
        })
    }

    /// Where this stream's files are.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether there is something to make durable.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The newest segment, if at least `bytes` of it are behind the checkpoint.
    pub(crate) fn unsynced(&self, bytes: u64) -> Option<Arc<Segment>> {
        let active = self.segments.last()?;
        let counted = if active.base == self.state.active {
            self.state.active_len
        } else {
            0
        };
        let much = active.len().saturating_sub(counted) >= bytes;
        (self.dirty && much && self.failed.is_none()).then(|| active.clone())
    }

    /// Somebody else's sync of a segment has failed.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.failed.get_or_insert_with(|| error.clone());
    }

    /// Makes everything durable: segments, then the checkpoint that counts on them.
    pub(crate) fn checkpoint(
        &mut self,
        start: u64,
        epochs: Vec<(i32, u64)>,
        blob: Option<(u64, Bytes)>,
    ) -> Result<(), Error> {
        self.unless_failed(|log| log.sync_and_save(start, epochs, blob))
    }

    fn sync_and_save(
        &mut self,
        start: u64,
        epochs: Vec<(i32, u64)>,
        blob: Option<(u64, Bytes)>,
    ) -> Result<(), Error> {
        self.make_folder()?;
        if let Some(active) = self.segments.last() {
            active.sync(&*self.disk)?;
            (self.state.active, self.state.active_len) = (active.base, active.len());
        } else if self.skipped > 0 {
            (self.state.active, self.state.active_len) = (self.skipped, 0);
        }
        self.state.end = self.end();
        self.state.start = start;
        self.state.epochs = epochs;
        self.state.blob = blob.or_else(|| self.state.blob.take());
        self.save()?;
        self.dirty = false;
        for segment in std::mem::take(&mut self.forgotten) {
            segment.remove(&*self.disk)?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        if self.file.is_none() {
            self.file = Some(StateFile::open(&*self.disk, &self.folder)?.0);
        }
        match &mut self.file {
            Some(file) => file.save(&*self.disk, &self.state),
            None => Ok(()),
        }
    }

    /// Removes the segments that lie below `start`, all but the newest.
    pub(crate) fn remove_below(&mut self, start: u64) -> Result<u64, Error> {
        let mut removed = 0;
        while let [first, second, ..] = self.segments.as_slice() {
            if second.base > start {
                break;
            }
            removed += first.len();
            first.remove(&*self.disk)?;
            self.segments.remove(0);
        }
        Ok(removed)
    }

    /// Where the stream begins once retention has been applied.
    pub(crate) fn retained_start(&self, config: &StreamConfig, start: u64, now_ms: i64) -> u64 {
        let mut start = start;
        let mut size: u64 = self.segments.iter().map(|segment| segment.len()).sum();
        let sealed = self.segments.iter().zip(self.segments.iter().skip(1));
        for (segment, next) in sealed {
            let too_large = config
                .retention_bytes
                .is_some_and(|max| size - segment.len() >= max);
            // Compaction has left nothing in it.
            let empty = segment.len() == 0;
            let too_old = config.is_expired(newest(segment), now_ms);
            if !too_large && !too_old && !empty && next.base > start {
                break;
            }
            size -= segment.len();
            start = start.max(next.base);
        }
        start
    }

    /// Removes the folder: first its name, so that a crash in between leaves nothing half.
    pub(crate) fn remove(&mut self) -> Result<(), Error> {
        let Some(gone) = self.set_aside()? else {
            return Ok(());
        };
        self.disk
            .remove_dir(&gone)
            .map_err(|e| Error::disk("remove", self.disk.name(&gone), e))
    }

    /// Takes the folder's name away; returns the one that is left to be removed. As long as that is
    /// there, it says that the stream is no more.
    pub(crate) fn set_aside(&mut self) -> Result<Option<String>, Error> {
        if !self.exists {
            return Ok(None);
        }
        let gone = format!("{}{REMOVED}", self.folder);
        let fails = |e| Error::disk("remove", self.disk.name(&self.folder), e);
        self.disk.rename(&self.folder, &gone).map_err(fails)?;
        self.disk.sync_dir(FOLDER).map_err(fails)?;
        self.exists = false;
        self.segments.clear();
        Ok(Some(gone))
    }
}

/// Kafka's index has 32 bits for an offset in a segment.
fn too_far(segment: &Segment, chunk: &Chunk) -> bool {
    i32::try_from(chunk.next - segment.base).is_err()
}

/// Whether a chunk's time is so far from that of the segment's first records that a new segment
/// begins with it. Times are compared with each other: how old they are says nothing.
fn is_apart(begins: i64, chunk: &Chunk, config: &StreamConfig) -> bool {
    let apart = chunk.max_timestamp.saturating_sub(begins);
    begins >= 0 && u64::try_from(apart).is_ok_and(|apart| apart > config.segment_age_max())
}

/// The time by which the age of a segment's newest record counts: its own, or when it was written.
fn newest(segment: &Segment) -> i64 {
    match segment.max_timestamp() {
        known @ 0.. => known,
        _ => segment.written_ms(),
    }
}

fn may_end(segment: &Segment, len: u64, now_ms: i64) -> bool {
    len >= SMALL || segment.age(now_ms) >= YOUNG
}

/// Whether the clock says that a segment takes no more. Of what is compacted the records' age
/// counts, because they have to be compacted by then; small segments are joined there.
fn is_old(segment: &Segment, config: &StreamConfig, now_ms: i64) -> bool {
    let age = match segment.first_timestamp() {
        first @ 0.. if config.cleanup.compact => {
            u64::try_from(now_ms.saturating_sub(first)).unwrap_or(0)
        }
        _ => segment.age(now_ms),
    };
    age > config.segment_age_max()
}
