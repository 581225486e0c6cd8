//! A segment: a run of batches in one file, in Kafka's layout, with sparse indexes.
//!
//! `<first offset, 20 digits>.log` holds the batches; `.index` has 8 bytes per entry (offset from
//! the first, position), `.timeindex` 12 (largest timestamp so far, offset from the first). The
//! indexes are hints: entries that make no sense are dropped and the log is scanned from the last
//! good one. Bytes that this process did not write are compared with their checksums before they
//! are first served.

mod age;
mod chain;
mod index;
mod ranges;
mod walk;

use std::io::IoSlice;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base::FileRange;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::batch::{self, BatchHeader, HEADER_LEN};
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::tail::Chunk;
use chain::Last;
use index::{Entry, Index};
use ranges::Ranges;

/// A piece of the answer to a read.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(FileRange),
}

impl Piece {
    /// How many bytes it is.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(range) => range.len,
        }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    folder: String,
    shown: String,
    file: Arc<dyn DiskFile>,
    inner: RwLock<Inner>,
    verified: Mutex<Ranges>,
}

#[derive(Debug)]
struct Inner {
    len: u64,
    next: u64,
    max_timestamp: i64,
    first_timestamp: i64,
    index: Index,
    /// How many index entries are in their file.
    saved: usize,
    since_entry: u64,
    /// When it was made, in milliseconds since 1970; of one that was there at the start, the start.
    created_ms: i64,
    /// When something was last written to it, in milliseconds since 1970, as far as that is known.
    written_ms: i64,
    /// When the first tombstones in it may go, as far as that is known; `i64::MAX` for never.
    horizon: i64,
}

/// How a scan of a segment ended.
#[derive(Debug)]
pub(crate) enum ScanEnd {
    /// With its last byte.
    Whole,
    /// With bytes that are no batch.
    Broken { position: u64, what: String },
}

pub(crate) fn path(folder: &str, base: u64, ending: &str) -> String {
    format!("{folder}/{base:020}.{ending}")
}

impl Segment {
    /// A new, empty one.
    pub(crate) fn create(
        disk: &dyn Disk,
        folder: &str,
        base: u64,
        now_ms: i64,
    ) -> Result<Self, Error> {
        let path = path(folder, base, "log");
        let fails = |action| {
            let shown = disk.name(&path);
            move |e| Error::disk(action, shown, e)
        };
        let file = disk.create(&path).map_err(fails("create"))?;
        // What a crash left under this name was never counted.
        file.truncate(0).map_err(fails("empty"))?;
        for ending in ["index", "timeindex"] {
            let path = self::path(folder, base, ending);
            disk.create(&path)
                .and_then(|file| file.truncate(0))
                .map_err(fails("create the index of"))?;
        }
        disk.sync_dir(folder).map_err(fails("sync the folder of"))?;
        let new = Self::with(disk, folder, base, file, Index::default());
        new.note_written(now_ms);
        new.inner.write().created_ms = now_ms;
        Ok(new)
    }

    /// A new, empty one in a file with another ending. It gets its name and its indexes when it
    /// takes its place ([`Segment::save_index`]).
    pub(crate) fn create_aside(
        disk: &dyn Disk,
        folder: &str,
        base: u64,
        ending: &str,
    ) -> Result<Self, Error> {
        let path = path(folder, base, ending);
        let fails = |e| Error::disk("create", disk.name(&path), e);
        let file = disk.create(&path).map_err(fails)?;
        file.truncate(0).map_err(fails)?;
        Ok(Self::with(disk, folder, base, file, Index::default()))
    }

    /// One that exists, not scanned yet.
    pub(crate) fn open(disk: &dyn Disk, folder: &str, base: u64) -> Result<Self, Error> {
        let path = path(folder, base, "log");
        let file = disk
            .open(&path)
            .map_err(|e| Error::disk("open", disk.name(&path), e))?;
        let index = Index::load(disk, folder, base);
        Ok(Self::with(disk, folder, base, file, index))
    }

    fn with(
        disk: &dyn Disk,
        folder: &str,
        base: u64,
        file: Arc<dyn DiskFile>,
        index: Index,
    ) -> Self {
        let saved = index.len();
        Self {
            base,
            folder: folder.to_owned(),
            shown: disk.name(&path(folder, base, "log")),
            file,
            inner: RwLock::new(Inner {
                len: 0,
                next: base,
                max_timestamp: -1,
                first_timestamp: -1,
                index,
                saved,
                since_entry: u64::MAX / 2,
                created_ms: i64::MIN,
                written_ms: i64::MIN,
                horizon: i64::MAX,
            }),
            verified: Mutex::default(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.inner.read().len
    }

    pub(crate) fn next(&self) -> u64 {
        self.inner.read().next
    }

    /// The largest timestamp, -1 for none.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.inner.read().max_timestamp
    }

    /// The first batch's timestamp, -1 for none.
    pub(crate) fn first_timestamp(&self) -> i64 {
        self.inner.read().first_timestamp
    }

    fn damaged(&self, position: u64, what: impl Into<String>) -> Error {
        Error::Damaged {
            path: self.shown.clone(),
            position,
            what: what.into(),
        }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |error| Error::disk(action, self.shown.clone(), error)
    }

    pub(crate) fn file_len(&self) -> Result<u64, Error> {
        self.file.len().map_err(self.failed("measure"))
    }

    /// Reads exactly `length` bytes.
    fn bytes(&self, position: u64, length: usize) -> Result<Vec<u8>, Error> {
        let source: Arc<dyn base::ReadAt> = self.file.clone();
        FileRange {
            source,
            position,
            len: length,
        }
        .read()
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                self.damaged(position, "the file is shorter than what was written")
            } else {
                Error::disk("read", self.shown.clone(), error)
            }
        })
    }

    /// The header at `position`, which must be below the segment's length.
    fn header(&self, position: u64) -> Result<BatchHeader, Error> {
        let bytes = self.bytes(position, HEADER_LEN)?;
        BatchHeader::parse(&bytes).map_err(|e| self.damaged(position, e.to_string()))
    }

    /// Appends batches, with one system call per thousand parts. They count when it returns.
    pub(crate) fn append(&self, chunks: &[Chunk], interval: u64, now_ms: i64) -> Result<(), Error> {
        let start = self.len();
        let mut parts = Vec::with_capacity(chunks.len() * 2);
        for chunk in chunks {
            parts.push(IoSlice::new(&chunk.head));
            parts.push(IoSlice::new(&chunk.body));
        }
        self.file
            .write_at(&mut parts, start)
            .map_err(self.failed("write"))?;
        let mut inner = self.inner.write();
        for chunk in chunks {
            inner.note(
                self.base,
                chunk.base,
                chunk.next,
                chunk.len() as u64,
                chunk.max_timestamp,
                interval,
            );
        }
        let end = inner.len;
        inner.written_ms = inner.written_ms.max(now_ms);
        drop(inner);
        self.verified.lock().add(start, end);
        Ok(())
    }

    /// Makes what was appended durable. The indexes are written, not synced: they are hints.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> Result<(), Error> {
        self.sync_batches()?;
        self.save_index(disk)
    }

    /// Makes the batches durable, and leaves the indexes alone.
    pub(crate) fn sync_batches(&self) -> Result<(), Error> {
        self.file.sync().map_err(self.failed("sync"))
    }

    /// Writes what the indexes' files lack.
    pub(crate) fn save_index(&self, disk: &dyn Disk) -> Result<(), Error> {
        let mut inner = self.inner.write();
        let from = inner.saved;
        inner.index.save(disk, &self.folder, self.base, from)?;
        inner.saved = inner.index.len();
        Ok(())
    }

    /// Takes in what the file holds. The first `trusted` bytes are known to be whole batches and
    /// may be stepped over by the index, and end in `counted`; behind them checksums are compared,
    /// and offsets have no gaps. Stops at the first byte that is no batch of this place.
    pub(crate) fn scan(
        &self,
        trusted: u64,
        counted: RangeInclusive<u64>,
        limit: u64,
        interval: u64,
        mut seen: impl FnMut(&BatchHeader),
    ) -> Result<ScanEnd, Error> {
        let mut position = match self.resume(trusted) {
            Ok(position) => position,
            Err(Error::Damaged { what, .. }) => return Ok(broken(0, &what)),
            Err(error) => return Err(error),
        };
        let mut last = Last::at(position, self.next());
        let mut counted = Some(counted).filter(|_| trusted > 0);
        loop {
            if position >= trusted
                && let Some(counted) = counted.take()
                && !counted.contains(&self.next())
            {
                let what = format!("offset {} comes next, not {counted:?}", self.next());
                return Ok(self.doubt(last, last.position, &what));
            }
            if position >= limit {
                return Ok(ScanEnd::Whole);
            }
            let header = match self.header_within(position, limit) {
                Ok(header) => header,
                Err(Error::Damaged { what, .. }) => return Ok(broken(position, &what)),
                Err(error) => return Err(error),
            };
            let length = header.total_len() as u64;
            let base = u64::try_from(header.base_offset).unwrap_or(u64::MAX);
            let due = self.next();
            if header.base_offset < 0 || (position >= trusted && base > due) {
                return Ok(broken(position, "an offset that does not follow"));
            }
            if base < due {
                return Ok(self.doubt(last, position, "an offset that does not follow"));
            }
            if position + length > trusted {
                let bytes = self.bytes(position, header.total_len())?;
                if let Err(error) = batch::check_crc(&bytes) {
                    return Ok(broken(position, &error.to_string()));
                }
            }
            seen(&header);
            if let Some(horizon) = header.delete_horizon() {
                self.note_horizon(horizon);
            }
            let next = header.next_offset();
            self.inner.write().note(
                self.base,
                base,
                next,
                length,
                header.max_timestamp,
                interval,
            );
            last = Last {
                position,
                due,
                base,
            };
            position += length;
        }
    }

    /// The header of a batch that ends at `limit` at the latest.
    fn header_within(&self, position: u64, limit: u64) -> Result<BatchHeader, Error> {
        if position + HEADER_LEN as u64 > limit {
            return Err(self.damaged(position, "a header cut short"));
        }
        let header = self.header(position)?;
        if position + header.total_len() as u64 > limit {
            return Err(self.damaged(position, "a batch cut short"));
        }
        Ok(header)
    }

    /// Where a scan may begin: where the index says that a batch of the trusted bytes is, if there
    /// is one; else at the front.
    fn resume(&self, trusted: u64) -> Result<u64, Error> {
        let hint = self.inner.read().index.before_position(trusted);
        if let Some(entry) = hint
            && self.is_there(&entry)?
        {
            let first = self.header(0)?;
            let mut inner = self.inner.write();
            let position = inner.resume(self.base, trusted);
            inner.first_timestamp = first.max_timestamp;
            return Ok(position);
        }
        self.inner.write().forget_index();
        Ok(0)
    }

    /// Cuts off what is behind the last whole batch.
    pub(crate) fn truncate(&self) -> Result<(), Error> {
        self.file
            .truncate(self.len())
            .map_err(self.failed("truncate"))?;
        self.file.sync().map_err(self.failed("sync"))
    }

    /// The position of the batch that holds `offset` or, where there is none, of the next one.
    fn find(&self, offset: u64) -> Result<Option<(u64, BatchHeader)>, Error> {
        let (entry, len) = {
            let inner = self.inner.read();
            (inner.index.before(offset), inner.len)
        };
        let (from, mut least) = self.hinted(entry)?;
        let mut position = from;
        while position < len {
            let header = self.header(position)?;
            let before = least;
            least = self.follow(position, &header, least)?;
            if least > offset {
                // A gap is what compaction leaves, or a header that tells of too few records.
                if u64::try_from(header.base_offset).is_ok_and(|base| base > before) {
                    self.verify_between(from, position)?;
                }
                return Ok(Some((position, header)));
            }
            position += header.total_len() as u64;
        }
        Ok(None)
    }

    /// Whole batches from the one that holds `offset` on: the first always, later ones while all
    /// together are at most `max_bytes`. Returns the piece and one past its last offset. `epoch_of`
    /// says what is known of an offset's epoch.
    pub(crate) fn read(
        &self,
        offset: u64,
        max_bytes: usize,
        epoch_of: &dyn Fn(u64) -> Option<i32>,
    ) -> Result<Option<(Piece, u64)>, Error> {
        let Some((start, first)) = self.find(offset)? else {
            return Ok(None);
        };
        let len = self.len();
        let max_end = start.saturating_add(max_bytes as u64).min(len);
        let mut end = start + first.total_len() as u64;
        let mut next = first.next_offset();
        if end > len {
            return Err(self.damaged(start, "a batch that reaches past the end"));
        }
        // Leap by the index, then step.
        let leap = self.inner.read().index.at_or_before(max_end);
        if let Some(entry) = leap.filter(|entry| entry.position > end)
            && self.is_there(&entry)?
        {
            end = entry.position;
            next = entry.offset;
        }
        while end < max_end {
            let header = self.header(end)?;
            let after = end + header.total_len() as u64;
            if after > max_end {
                break;
            }
            (end, next) = (after, header.next_offset());
        }
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        if self.verified.lock().covers(start, end) {
            let source: Arc<dyn base::ReadAt> = self.file.clone();
            return Ok(Some((
                Piece::File(FileRange {
                    source,
                    position: start,
                    len: length,
                }),
                next,
            )));
        }
        let bytes = Bytes::from(self.bytes(start, length)?);
        self.verify(start, &bytes, epoch_of)?;
        self.verified.lock().add(start, end);
        Ok(Some((Piece::Memory(bytes), next)))
    }

    /// The first batch whose largest timestamp is at least `at`, behind `from`.
    pub(crate) fn by_timestamp(&self, at: i64, from: u64) -> Result<Option<Vec<u8>>, Error> {
        let (entry, len) = {
            let inner = self.inner.read();
            let (time, place) = (inner.index.before_time(at), inner.index.before(from));
            (
                [time, place]
                    .into_iter()
                    .flatten()
                    .max_by_key(|e| e.position),
                inner.len,
            )
        };
        let (mut position, mut least) = self.hinted(entry)?;
        while position < len {
            let header = self.header(position)?;
            least = self.follow(position, &header, least)?;
            if header.max_timestamp >= at && least > from {
                let bytes = self.bytes(position, header.total_len())?;
                self.verify(position, &bytes, &|_| None)?;
                return Ok(Some(bytes));
            }
            position += header.total_len() as u64;
        }
        Ok(None)
    }

    /// Where the batch that holds `offset` lies, or the next one.
    pub(crate) fn position_of(&self, offset: u64) -> Result<Option<u64>, Error> {
        Ok(self.find(offset)?.map(|(position, _)| position))
    }

    /// The header at `position`, where no offset below `least` may be, and where the next one lies;
    /// `None` at the end.
    pub(crate) fn header_at(
        &self,
        position: u64,
        least: u64,
    ) -> Result<Option<(BatchHeader, u64)>, Error> {
        if position >= self.len() {
            return Ok(None);
        }
        let header = self.header(position)?;
        self.follow(position, &header, least)?;
        Ok(Some((header, position + header.total_len() as u64)))
    }

    /// Removes the files; readers that hold ranges keep them.
    pub(crate) fn remove(&self, disk: &dyn Disk) -> Result<(), Error> {
        for ending in ["index", "timeindex", "log"] {
            let path = path(&self.folder, self.base, ending);
            match disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::disk("remove", disk.name(&path), error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn broken(position: u64, what: &str) -> ScanEnd {
    ScanEnd::Broken {
        position,
        what: what.to_owned(),
    }
}

impl Inner {
    fn note(
        &mut self,
        first: u64,
        base: u64,
        next: u64,
        length: u64,
        max_timestamp: i64,
        interval: u64,
    ) {
        if self.len == 0 {
            self.first_timestamp = max_timestamp;
        }
        if self.since_entry >= interval {
            let max_timestamp = self.max_timestamp;
            self.index.push(
                first,
                Entry {
                    offset: base,
                    position: self.len,
                    max_timestamp,
                },
            );
            self.since_entry = 0;
        }
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
        self.since_entry += length;
        self.len += length;
        self.next = next;
    }

    /// The index's files are of no use.
    fn forget_index(&mut self) {
        self.index = Index::default();
        self.saved = 0;
    }

    /// Where a scan may begin: at the last index entry in trusted bytes.
    fn resume(&mut self, first: u64, trusted: u64) -> u64 {
        self.index.keep_below(trusted);
        self.saved = self.saved.min(self.index.len());
        let Some(entry) = self.index.pop_last() else {
            return 0;
        };
        self.saved = self.saved.min(self.index.len());
        self.len = entry.position;
        self.next = entry.offset.max(first);
        self.max_timestamp = entry.max_timestamp;
        self.since_entry = u64::MAX / 2;
        entry.position
    }
}
