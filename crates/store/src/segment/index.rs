//! The sparse indexes of a segment: in memory as one list, at rest as Kafka's two files.

use std::io::IoSlice;

use super::path;
use crate::disk::Disk;
use crate::error::Error;

/// Bytes of an entry of `.index`: offset from the first, position.
const PLACE: usize = 8;
/// Bytes of an entry of `.timeindex`: timestamp, offset from the first.
const TIME: usize = 12;
/// An index larger than this is not read but rebuilt.
const LEN_MAX: u64 = 256 << 20;

/// A batch of which the place is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its first offset.
    pub(super) offset: u64,
    /// Where it lies.
    pub(super) position: u64,
    /// The largest timestamp of all batches before it; -1 for none.
    pub(super) max_timestamp: i64,
}

/// The entries, rising in every field.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<Entry>);

impl Index {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, first: u64, entry: Entry) {
        // Kafka's files have 32 bits for both; a segment is rolled before it needs more.
        let fits =
            i32::try_from(entry.offset - first).is_ok() && i32::try_from(entry.position).is_ok();
        if fits {
            self.0.push(entry);
        }
    }

    pub(super) fn keep_below(&mut self, position: u64) {
        self.0
            .truncate(self.0.partition_point(|entry| entry.position < position));
    }

    pub(super) fn pop_last(&mut self) -> Option<Entry> {
        self.0.pop()
    }

    /// The last batch known to begin at or before `offset`.
    pub(super) fn before(&self, offset: u64) -> Option<Entry> {
        let at = self.0.partition_point(|entry| entry.offset <= offset);
        at.checked_sub(1).and_then(|at| self.0.get(at)).copied()
    }

    /// The last batch known to lie at or before `position`.
    pub(super) fn at_or_before(&self, position: u64) -> Option<Entry> {
        let at = self.0.partition_point(|entry| entry.position <= position);
        at.checked_sub(1).and_then(|at| self.0.get(at)).copied()
    }

    /// The last batch known to lie before `position`.
    pub(super) fn before_position(&self, position: u64) -> Option<Entry> {
        let at = self.0.partition_point(|entry| entry.position < position);
        at.checked_sub(1).and_then(|at| self.0.get(at)).copied()
    }

    /// The last batch known to have nothing at or after `timestamp` before it.
    pub(super) fn before_time(&self, timestamp: i64) -> Option<Entry> {
        let at = self
            .0
            .partition_point(|entry| entry.max_timestamp < timestamp);
        at.checked_sub(1).and_then(|at| self.0.get(at)).copied()
    }

    /// What the files say, as far as it makes sense.
    pub(super) fn load(disk: &dyn Disk, folder: &str, first: u64) -> Self {
        let places = read(disk, &path(folder, first, "index"));
        let times = read(disk, &path(folder, first, "timeindex"));
        let mut entries: Vec<Entry> = Vec::new();
        for (place, time) in places.chunks_exact(PLACE).zip(times.chunks_exact(TIME)) {
            let word = |bytes: &[u8], at: usize| -> u64 {
                let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).copied();
                u64::from(u32::from_be_bytes(bytes.unwrap_or_default()))
            };
            let long = time.first_chunk::<8>().copied().unwrap_or_default();
            let entry = Entry {
                offset: first + word(place, 0),
                position: word(place, 4),
                max_timestamp: i64::from_be_bytes(long),
            };
            let same = word(time, 8) == word(place, 0);
            let rises = entries.last().map_or(entry.position == 0, |last| {
                entry.offset > last.offset
                    && entry.position > last.position
                    && entry.max_timestamp >= last.max_timestamp
            });
            if !same || !rises {
                break;
            }
            entries.push(entry);
        }
        Self(entries)
    }

    /// Writes the entries from `from` on to the files.
    pub(super) fn save(
        &self,
        disk: &dyn Disk,
        folder: &str,
        first: u64,
        from: usize,
    ) -> Result<(), Error> {
        let new = self.0.get(from..).unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        let (mut places, mut times) = (Vec::new(), Vec::new());
        for entry in new {
            let offset = u32::try_from(entry.offset - first)
                .unwrap_or(u32::MAX)
                .to_be_bytes();
            places.extend_from_slice(&offset);
            places.extend_from_slice(
                &u32::try_from(entry.position)
                    .unwrap_or(u32::MAX)
                    .to_be_bytes(),
            );
            times.extend_from_slice(&entry.max_timestamp.to_be_bytes());
            times.extend_from_slice(&offset);
        }
        for (ending, bytes, size) in [("index", places, PLACE), ("timeindex", times, TIME)] {
            let path = path(folder, first, ending);
            let fails = |e| Error::disk("write", disk.name(&path), e);
            let file = disk.create(&path).map_err(fails)?;
            file.write_at(&mut [IoSlice::new(&bytes)], (from * size) as u64)
                .map_err(fails)?;
            file.truncate(((from + new.len()) * size) as u64)
                .map_err(fails)?;
        }
        Ok(())
    }
}

/// A file's bytes; none when it cannot be read, for then the log is scanned.
fn read(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let Ok(file) = disk.open(path) else {
        return Vec::new();
    };
    let Ok(len) = file.len() else {
        return Vec::new();
    };
    let len = if len > LEN_MAX {
        0
    } else {
        usize::try_from(len).unwrap_or(0)
    };
    let source: std::sync::Arc<dyn base::ReadAt> = file;
    base::FileRange {
        source,
        position: 0,
        len,
    }
    .read()
    .unwrap_or_default()
}
