//! What a stream must be found to be, whatever happened.

use base::{Offset, StreamId};
use bytes::Bytes;
use store::batch::BatchHeader;
use store::{Piece, Store, Stream};

/// What happened to a stream as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Lives,
    /// Its removal was begun and not answered.
    Dying,
    Removed,
}

/// How the last process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Power,
    Killed,
    Closed,
}

/// A batch as it must be read.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) base: u64,
    pub(crate) next: u64,
    pub(crate) epoch: i32,
    pub(crate) bytes: Vec<u8>,
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) id: StreamId,
    pub(crate) is_async: bool,
    pub(crate) life: Life,
    /// Everything appended.
    pub(crate) chunks: Vec<Chunk>,
    /// What was acknowledged, in the way of the stream.
    pub(crate) acked: u64,
    /// What survives a power loss for certain.
    pub(crate) synced: u64,
    /// Trims that were answered, and that were asked for.
    pub(crate) start: u64,
    pub(crate) start_asked: u64,
    /// The blobs given, and how many of them are saved for certain.
    pub(crate) blobs: Vec<(u64, Bytes)>,
    pub(crate) blobs_saved: usize,
}

impl Model {
    pub(crate) fn new(id: StreamId, is_async: bool) -> Self {
        Self {
            id,
            is_async,
            life: Life::Lives,
            chunks: Vec::new(),
            acked: 0,
            synced: 0,
            start: 0,
            start_asked: 0,
            blobs: Vec::new(),
            blobs_saved: 0,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.next)
    }

    /// A batch comes next; it may be there after a crash.
    pub(crate) fn appended(&mut self, batch: &[u8], epoch: i32) {
        let header = BatchHeader::parse(batch).unwrap();
        let base = self.end();
        let mut bytes = batch.to_vec();
        bytes[..8].copy_from_slice(&(base as i64).to_be_bytes());
        bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
        self.chunks.push(Chunk {
            base,
            next: base + header.last_offset_delta as u64 + 1,
            epoch,
            bytes,
        });
    }

    /// Everything appended is durable in segments.
    pub(crate) fn flushed(&mut self) {
        (self.acked, self.synced) = (self.end(), self.end());
        self.blobs_saved = self.blobs.len();
    }

    /// Compares the stream with what it must be after an end of this kind, and takes over what was
    /// found where more than one thing is right.
    pub(crate) fn check_reopened(&mut self, store: &Store, end: End) -> Result<(), String> {
        let Some(stream) = store.stream(self.id) else {
            return match self.life {
                Life::Removed | Life::Dying => {
                    self.life = Life::Removed;
                    Ok(())
                }
                // A stream without data has no place on the disk.
                Life::Lives if self.lost_at(end) == 0 && self.blobs_saved == 0 => {
                    self.take_over(0, 0);
                    self.blobs.clear();
                    Ok(())
                }
                Life::Lives => Err(format!("{}: the stream is gone", self.id)),
            };
        };
        if self.life == Life::Removed {
            return Err(format!("{}: a removed stream is back", self.id));
        }
        let found = stream.end().0;
        if self.life == Life::Lives && found < self.lost_at(end) {
            let must = self.lost_at(end);
            return Err(format!(
                "{}: ends at {found}, not at {must} or more",
                self.id
            ));
        }
        if found != 0 && !self.chunks.iter().any(|chunk| chunk.next == found) {
            return Err(format!("{}: the end {found} is that of no batch", self.id));
        }
        let start = stream.start().0;
        if start < self.start || start > self.start_asked {
            let (least, most) = (self.start, self.start_asked);
            return Err(format!(
                "{}: starts at {start}, not in {least}..={most}",
                self.id
            ));
        }
        self.take_over(start, found);
        self.check_blob(&stream)?;
        self.check(&stream)
    }

    /// Where the stream ends at least.
    fn lost_at(&self, end: End) -> u64 {
        match end {
            End::Power => self.synced,
            End::Killed => self.acked,
            End::Closed => self.end(),
        }
    }

    fn take_over(&mut self, start: u64, end: u64) {
        self.chunks.retain(|chunk| chunk.next <= end);
        (self.start, self.start_asked) = (start, start);
        (self.acked, self.synced) = (end, end);
    }

    fn check_blob(&mut self, stream: &Stream) -> Result<(), String> {
        let found = stream.blob();
        let (at, end) = (found.as_ref().map_or(0, |(at, _)| at.0), stream.end().0);
        if at > end {
            let why = format!("{}: a blob of offset {at}, but the end is {end}", self.id);
            return Err(why);
        }
        let given = self.blobs.iter().rposition(|(at, blob)| {
            found
                .as_ref()
                .is_some_and(|(found_at, found)| found_at.0 == *at && found == blob)
        });
        let known = given.map_or(0, |at| at + 1);
        if (found.is_some() && given.is_none()) || known < self.blobs_saved {
            let saved = self.blobs_saved;
            return Err(format!("{}: blob {known}, not {saved} or later", self.id));
        }
        self.blobs.truncate(known);
        self.blobs_saved = known;
        Ok(())
    }

    /// Every byte, every epoch.
    pub(crate) fn check(&self, stream: &Stream) -> Result<(), String> {
        let fails = |what: String| format!("{}: {what}", self.id);
        let (start, end) = (stream.start().0, stream.end().0);
        let mut found = Vec::new();
        let mut at = start;
        while at < end {
            let read = stream
                .read(Offset(at), 5000)
                .map_err(|e| fails(format!("reading at {at}: {e}")))?;
            if read.next.0 <= at {
                return Err(fails(format!(
                    "a read at {at} of {start}..{end} finds nothing"
                )));
            }
            found.extend(bytes(&read.pieces)?);
            at = read.next.0;
        }
        // More may have become durable meanwhile.
        let from = self.chunks.iter().position(|chunk| chunk.next > start);
        let visible: Vec<&Chunk> = self
            .chunks
            .iter()
            .skip(from.unwrap_or(self.chunks.len()))
            .take_while(|chunk| chunk.next <= at)
            .collect();
        let wanted: Vec<u8> = visible
            .iter()
            .flat_map(|chunk| chunk.bytes.clone())
            .collect();
        if found != wanted {
            let differs = found.iter().zip(&wanted).position(|(a, b)| a != b);
            return Err(fails(format!(
                "{} bytes of {start}..{end}, not {}; they differ at {differs:?}",
                found.len(),
                wanted.len()
            )));
        }
        for chunk in visible {
            let first = chunk.base.max(start);
            let epoch = stream.epoch_of(Offset(first));
            if epoch != Some(chunk.epoch) {
                return Err(fails(format!(
                    "epoch {epoch:?} at {first}, not {}",
                    chunk.epoch
                )));
            }
        }
        Ok(())
    }
}

/// All bytes of a read.
pub(crate) fn bytes(pieces: &[Piece]) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(bytes) => all.extend_from_slice(bytes),
            Piece::File(range) => all.extend(range.read().map_err(|e| e.to_string())?),
        }
    }
    Ok(all)
}
