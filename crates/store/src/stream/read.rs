//! Reading a stream: the tail from memory, the rest from segments.

use std::sync::Arc;

use base::Offset;

use super::Stream;
use crate::batch::{self, BatchHeader, HEADER_LEN};
use crate::error::Error;
use crate::segment::{Piece, Segment};

/// How much a batch may hold once decompressed when a record is looked for in it, in bytes.
const DECOMPRESSED_MAX: usize = 256 << 20;
/// How many times its size, beyond the first MiB, it is thought to hold; what holds more is charged
/// with the most there may be.
const EXPANSION: usize = 32;

/// What a read found: whole batches, the first of which may begin before the offset asked for.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The bytes, in order.
    pub pieces: Vec<Piece>,
    /// How many.
    pub bytes: usize,
    /// One past the last offset in them.
    pub next: Offset,
}

/// The headers of a stream's batches, read as they are asked for ([`Stream::headers`]). Behind an
/// error there is nothing more.
#[derive(Debug)]
pub struct Headers {
    stream: Stream,
    /// The least offset that is wanted next, and where it ends.
    from: u64,
    end: u64,
    /// The segment that is being read, where in it, and the least offset that may be there.
    inside: Option<(Arc<Segment>, u64, u64)>,
}

impl Headers {
    fn read(&mut self) -> Result<Option<BatchHeader>, Error> {
        while self.from < self.end {
            if let Some((segment, position, least)) = self.inside.take() {
                if let Some((header, after)) = segment.header_at(position, least)? {
                    self.from = header.next_offset().max(self.from);
                    self.inside = Some((segment, after, header.next_offset()));
                    return Ok(Some(header));
                }
                self.from = segment.next().max(self.from);
                continue;
            }
            let segments = self.stream.0.segments.read().clone();
            let mut behind = segments.iter().filter(|s| s.next() > self.from);
            if let Some(segment) = behind.next() {
                match segment.position_of(self.from)? {
                    Some(position) => {
                        self.inside = Some((segment.clone(), position, segment.base));
                    }
                    None => self.from = segment.next(),
                }
                continue;
            }
            let tail = self.stream.0.tail.lock();
            let Some(chunk) = tail.from(self.from).next() else {
                // It has been moved to a segment meanwhile; or it is in none, because it is damaged.
                let moved = tail.flushed > self.from && self.stream.holds(self.from);
                drop(tail);
                if moved {
                    continue;
                }
                return Ok(None);
            };
            self.from = chunk.next;
            if let Some(header) = chunk.header() {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

impl Iterator for Headers {
    type Item = Result<BatchHeader, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if !matches!(read, Ok(Some(_))) {
            self.end = 0;
        }
        read.transpose()
    }
}

impl Stream {
    /// Whether [`Stream::read`] from here needs no disk.
    #[must_use]
    pub fn read_is_cached(&self, from: Offset) -> bool {
        self.0.tail.lock().first() <= from.0
    }

    /// Whole batches from the one that holds `from` on: the first always, later ones while all
    /// together are at most `max_bytes`. Empty at the end. May read from disk.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::Damaged`] when bytes on disk are not those that were
    /// written; whatever the disk answers.
    pub fn read(&self, from: Offset, max_bytes: usize) -> Result<Read, Error> {
        let (start, end) = (self.start().0, self.0.durable.get());
        if from.0 < start || from.0 > end {
            return Err(Error::OutOfRange {
                offset: from.0,
                start,
                end,
            });
        }
        if let Some(read) = self.read_tail(from.0, end, max_bytes) {
            return Ok(read);
        }
        let mut read = Read {
            next: from,
            ..Read::default()
        };
        let segments = self.0.segments.read().clone();
        let at = segments.partition_point(|segment| segment.next() <= from.0);
        for segment in segments.iter().skip(at) {
            let left = max_bytes.saturating_sub(read.bytes);
            if read.bytes > 0 && left < HEADER_LEN {
                break;
            }
            let Some((piece, next)) = segment
                .read(read.next.0, left, &|offset| self.epoch_of(Offset(offset)))
                .inspect_err(|error| self.note(error))?
            else {
                continue;
            };
            if read.bytes > 0 && piece.len() > left {
                break;
            }
            read.bytes += piece.len();
            read.next = Offset(next);
            read.pieces.push(piece);
            if next < segment.next() {
                break;
            }
        }
        if read.bytes == 0 {
            // What was in the tail a moment ago is in a segment now, or the other way round.
            let read = self.read_tail(from.0, end, max_bytes).unwrap_or(read);
            return match self.0.fenced.get() {
                Some(error) if read.bytes == 0 && from.0 < end => Err(error.clone()),
                _ => Ok(read),
            };
        }
        Ok(read)
    }

    fn note(&self, error: &Error) {
        if let (Error::Damaged { .. }, Ok(store)) = (error, self.0.store()) {
            store.metrics.damaged.inc();
            tracing::error!(stream = %self.0.id, %error, "damaged bytes were met");
        }
    }

    /// From memory, when the offset is there.
    fn read_tail(&self, from: u64, end: u64, max_bytes: usize) -> Option<Read> {
        let tail = self.0.tail.lock();
        if tail.first() > from {
            return None;
        }
        let mut read = Read {
            next: Offset(from),
            ..Read::default()
        };
        for chunk in tail.from(from).take_while(|chunk| chunk.next <= end) {
            let length = chunk.len();
            if read.bytes > 0 && read.bytes + length > max_bytes {
                break;
            }
            read.bytes += length;
            read.next = Offset(chunk.next);
            read.pieces.push(Piece::Memory(chunk.head.clone()));
            read.pieces.push(Piece::Memory(chunk.body.clone()));
        }
        Some(read)
    }

    /// The first record whose timestamp is at least `at`: offset, timestamp, leader epoch. May
    /// read from disk.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Batch`]; whatever the disk answers.
    pub fn by_timestamp(&self, at: i64) -> Result<Option<(Offset, i64, i32)>, Error> {
        let (start, end) = (self.start().0, self.0.durable.get());
        let segments = self.0.segments.read().clone();
        let mut from = start;
        for segment in segments.iter().filter(|segment| segment.next() > start) {
            while segment.max_timestamp() >= at {
                let Some(batch) = segment.by_timestamp(at, from)? else {
                    break;
                };
                if let Some(found) = self.first_record(&batch, at, start)? {
                    return Ok(Some(found));
                }
                from = BatchHeader::parse(&batch)?.next_offset();
            }
            from = from.max(segment.next());
        }
        let chunks: Vec<_> = {
            let tail = self.0.tail.lock();
            let later = tail.from(from).take_while(|chunk| chunk.next <= end);
            later
                .filter(|chunk| chunk.max_timestamp >= at)
                .cloned()
                .collect()
        };
        for chunk in chunks {
            if let Some(found) = self.first_record(&chunk.whole(), at, start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp: offset, timestamp, leader epoch. May read
    /// from disk.
    ///
    /// # Errors
    /// As [`Stream::by_timestamp`].
    pub fn max_timestamp(&self) -> Result<Option<(Offset, i64, i32)>, Error> {
        let start = self.start().0;
        let segments = self.0.segments.read().clone();
        let kept = segments.iter().filter(|segment| segment.next() > start);
        let at_rest = kept
            .map(|segment| segment.max_timestamp())
            .max()
            .unwrap_or(-1);
        let end = self.0.durable.get();
        let in_tail = {
            let tail = self.0.tail.lock();
            let visible = tail.from(start).take_while(|chunk| chunk.next <= end);
            visible.map(|chunk| chunk.max_timestamp).max().unwrap_or(-1)
        };
        let max = at_rest.max(in_tail);
        if max < 0 {
            return Ok(None);
        }
        if let Some(found) = self.by_timestamp(max)? {
            return Ok(Some(found));
        }
        // Compaction has taken the record, and kept its batch's header.
        let mut max = -1;
        for header in self.headers(Offset(start)) {
            let header = header?;
            if header.count > 0 {
                max = max.max(header.max_timestamp);
            }
        }
        if max < 0 {
            Ok(None)
        } else {
            self.by_timestamp(max)
        }
    }

    /// The headers of the batches from the one that holds `from` on, of those that there are now.
    /// Reads from disk, one after the other.
    #[must_use]
    pub fn headers(&self, from: Offset) -> Headers {
        Headers {
            stream: self.clone(),
            from: from.0.max(self.start().0),
            end: self.appended_end().0,
            inside: None,
        }
    }

    /// Whether a segment reaches past `offset`.
    fn holds(&self, offset: u64) -> bool {
        let segments = self.0.segments.read();
        segments.last().is_some_and(|last| last.next() > offset)
    }
}

impl Stream {
    /// The first record of a batch at or behind `start` whose timestamp is at least `at`.
    fn first_record(
        &self,
        batch: &[u8],
        at: i64,
        start: u64,
    ) -> Result<Option<(Offset, i64, i32)>, Error> {
        let header = BatchHeader::parse(batch)?;
        let base = u64::try_from(header.base_offset).unwrap_or(0);
        let append_time = header.is_log_append_time();
        if append_time && header.max_timestamp >= at && !header.has_holes() {
            return Ok(Some((
                Offset(base.max(start)),
                header.max_timestamp,
                header.leader_epoch,
            )));
        }
        let codec = header
            .compression()
            .ok_or(batch::BatchError::Record("codec"))?;
        let body = batch.get(HEADER_LEN..).unwrap_or_default();
        if codec == batch::Compression::None {
            return find(&header, body, at, start);
        }
        let store = self.0.store()?;
        // One at a time, and charged before it is there: anybody may ask for any time.
        let _turn = store.lookup.lock();
        let likely = body.len().saturating_mul(EXPANSION).saturating_add(1 << 20);
        for max in [likely.min(DECOMPRESSED_MAX), DECOMPRESSED_MAX] {
            let _charge = store.parts.ledger.force_charge(max);
            match batch::decompress(codec, body, max) {
                Err(batch::BatchError::TooLarge(_)) if max < DECOMPRESSED_MAX => {}
                plain => return find(&header, &plain?, at, start),
            }
        }
        Ok(None)
    }
}

/// The first of a batch's `records` at or behind `start` whose timestamp is at least `at`.
fn find(
    header: &BatchHeader,
    records: &[u8],
    at: i64,
    start: u64,
) -> Result<Option<(Offset, i64, i32)>, Error> {
    let base = u64::try_from(header.base_offset).unwrap_or(0);
    let append_time = header.is_log_append_time();
    for record in batch::records(records) {
        let record = record?;
        let offset = base + u64::try_from(record.offset_delta).unwrap_or(0);
        let timestamp = if append_time {
            header.max_timestamp
        } else {
            header.base_timestamp.saturating_add(record.timestamp_delta)
        };
        if timestamp >= at && offset >= start {
            return Ok(Some((Offset(offset), timestamp, header.leader_epoch)));
        }
    }
    Ok(None)
}
