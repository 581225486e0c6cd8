//! The write-ahead log: what is acknowledged is here first, all streams in one sequence.
//!
//! A file is a run of frames: 64 bytes of header, the payload, padding to 8 bytes. Files are
//! allocated at full size and used again under a new number; a frame carries the number of the
//! file it was written for, so that leftovers are no entries. The first frame of a file says where
//! the file before it ended.
//!
//! Payloads are what clients send, and after a crash frames are looked for behind bytes that are
//! none. So every file has a random [`Key`], known to nobody outside, that each of its frames
//! carries: bytes in a payload that look like a frame lack it (docs/adr/0006).
//!
//! The committer writes all frames of one *write* with one call and syncs once, and has one write
//! under way at a time. So only the frames of the newest write can be torn, and they were never
//! acknowledged; a bad frame with good ones of a later write behind it is damage ([`replay`]).
//! When nothing is queued, a frame that the next write overwrites says that the newest write was
//! synced. It is not synced itself: it tells rot from a torn write once the operating system has
//! written it.

mod frame;
mod replay;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use base::{HashMap, Rng, StreamId, TopicId};
use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::tail::Chunk;

use self::frame::{
    ALIGN, Frame, HEADER_LEN, Key, Kind, checksum, padded, start_frame, start_payload,
};
pub(crate) use frame::Layout;
pub(crate) use replay::{Found, Replay, replay};

/// Where the files are.
pub(crate) const FOLDER: &str = "wal";
/// The largest payload, in bytes: a frame that says that it has more is none.
pub(crate) const PAYLOAD_MAX: u32 = 1 << 30;
/// How many files are kept for use.
const SPARES_MAX: usize = 2;

pub(crate) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:016}.wal")
}

/// The ending of a file with entries that no start could put in their place.
const KEPT: &str = "kept";

fn spare_path(number: u64) -> String {
    format!("{FOLDER}/{number:016}.spare")
}

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Entry {
    Append(StreamId, Chunk),
    /// One frame, so that its checksum holds for all parts.
    Group(Vec<Part>),
    Removed(StreamId),
}

/// A batch in a frame with others: it says whose it is and how long.
#[derive(Debug)]
pub(crate) struct Part {
    stream: StreamId,
    chunk: Chunk,
    label: [u8; LABEL_LEN],
}

/// Topic, partition and length stand before each batch of a group.
pub(crate) const LABEL_LEN: usize = 24;

impl Part {
    pub(crate) fn new(stream: StreamId, chunk: Chunk) -> Self {
        let mut label = [0; LABEL_LEN];
        label[..16].copy_from_slice(stream.topic.0.as_bytes());
        label[16..20].copy_from_slice(&stream.partition.to_le_bytes());
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        label[20..].copy_from_slice(&length.to_le_bytes());
        Self {
            stream,
            chunk,
            label,
        }
    }

    /// Cuts the first part off a frame's payload; `None` where there is no whole one.
    fn split(payload: &mut Bytes) -> Option<(StreamId, Bytes)> {
        let (label, rest) = payload.split_first_chunk::<LABEL_LEN>()?;
        let (topic, numbers) = label.split_at_checked(16)?;
        let (partition, length) = numbers.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length.first_chunk::<4>()?) as usize;
        if rest.len() < length {
            return None;
        }
        let stream = StreamId {
            topic: TopicId(Uuid::from_slice(topic).ok()?),
            partition: u32::from_le_bytes(*partition),
        };
        payload.advance(LABEL_LEN);
        Some((stream, payload.split_to(length)))
    }
}

impl Entry {
    fn kind(&self) -> Kind {
        match self {
            Self::Append(..) => Kind::Append,
            Self::Group(_) => Kind::Group,
            Self::Removed(_) => Kind::Removed,
        }
    }

    fn stream(&self) -> StreamId {
        match self {
            Self::Append(stream, _) | Self::Removed(stream) => *stream,
            Self::Group(_) => StreamId {
                topic: TopicId(Uuid::nil()),
                partition: 0,
            },
        }
    }

    /// Hands over its bytes, piece by piece.
    fn pieces<'a>(&'a self, mut take: impl FnMut(&'a [u8])) {
        match self {
            Self::Append(_, chunk) => {
                take(&chunk.head);
                take(&chunk.body);
            }
            Self::Group(parts) => {
                for part in parts {
                    take(&part.label);
                    take(&part.chunk.head);
                    take(&part.chunk.body);
                }
            }
            Self::Removed(_) => {}
        }
    }

    fn length(&self) -> usize {
        let mut length = 0;
        self.pieces(|piece| length += piece.len());
        length
    }
}

/// A file that holds entries which are not all in segments yet.
#[derive(Debug)]
struct File {
    number: u64,
    key: Key,
    file: Arc<dyn DiskFile>,
    capacity: u64,
    position: u64,
    /// The streams in it, and where each one's last entry in it ends.
    streams: HashMap<StreamId, u64>,
}

impl File {
    /// Entries of `stream` up to `next` are in it.
    fn holds(&mut self, stream: StreamId, next: u64) {
        let end = self.streams.entry(stream).or_default();
        *end = next.max(*end);
    }
}

/// The files, shared by the committer, who writes to the last, and the flusher, who empties the
/// first.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    file_bytes: u64,
    /// Makes the files' keys. They are secrets: a seed would give them away.
    rng: Rng,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: VecDeque<File>,
    spares: Vec<u64>,
    next_number: u64,
    write: u64,
}

impl Wal {
    /// A log that goes on behind file `last`, with these files free for use.
    pub(crate) fn new(disk: Arc<dyn Disk>, file_bytes: u64, last: u64, spares: Vec<u64>) -> Self {
        let inner = Inner {
            files: VecDeque::new(),
            spares,
            next_number: last + 1,
            write: 0,
        };
        Self {
            disk,
            file_bytes,
            rng: Rng::system(),
            inner: Mutex::new(inner),
        }
    }

    /// How many files hold entries.
    pub(crate) fn live(&self) -> usize {
        self.inner.lock().files.len()
    }

    /// Writes and syncs all entries, in one write if one file holds them. True when a new file was
    /// begun: there is something to flush.
    pub(crate) fn write(&self, entries: &[Entry], written: impl Fn()) -> Result<bool, Error> {
        let mut rolled = false;
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let room = self.room();
            let mut taken = 0;
            let mut bytes = 0;
            for entry in rest {
                let length = padded(entry.length()) as u64;
                if bytes + length > room {
                    break;
                }
                bytes += length;
                taken += 1;
            }
            if taken == 0 {
                rolled |= self.roll(padded(first.length()) as u64)?;
                continue;
            }
            let (now, later) = rest.split_at(taken);
            self.write_frames(now)?;
            if later.is_empty() {
                written();
            }
            self.sync()?;
            rest = later;
        }
        Ok(rolled)
    }

    fn room(&self) -> u64 {
        let inner = self.inner.lock();
        inner
            .files
            .back()
            .map_or(0, |file| file.capacity.saturating_sub(file.position))
    }

    fn write_frames(&self, entries: &[Entry]) -> Result<(), Error> {
        let (file, number, key, position, write) = {
            let mut inner = self.inner.lock();
            inner.write += 1;
            let write = inner.write;
            let file = inner.files.back().ok_or_else(no_file)?;
            (
                file.file.clone(),
                file.number,
                file.key,
                file.position,
                write,
            )
        };
        let last = entries.len().saturating_sub(1);
        let headers: Vec<[u8; HEADER_LEN]> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| {
                let frame = Frame {
                    kind: entry.kind(),
                    last: at == last,
                    length: u32::try_from(entry.length()).unwrap_or(u32::MAX),
                    file: number,
                    write,
                    stream: entry.stream(),
                    key,
                };
                frame.encode(|take| entry.pieces(take))
            })
            .collect();
        const PADDING: [u8; ALIGN] = [0; ALIGN];
        let mut parts = Vec::with_capacity(entries.len() * 4);
        let mut bytes = 0;
        for (header, entry) in headers.iter().zip(entries) {
            let whole = padded(entry.length());
            let padding = whole - HEADER_LEN - entry.length();
            parts.push(IoSlice::new(header));
            entry.pieces(|piece| {
                if !piece.is_empty() {
                    parts.push(IoSlice::new(piece));
                }
            });
            if padding > 0 {
                parts.push(IoSlice::new(&PADDING[..padding]));
            }
            bytes += whole;
        }
        file.write_at(&mut parts, position)
            .map_err(|e| Error::disk("write", self.disk.name(&path(number)), e))?;
        self.note(entries, bytes as u64);
        Ok(())
    }

    fn note(&self, entries: &[Entry], bytes: u64) {
        let mut inner = self.inner.lock();
        let Some(file) = inner.files.back_mut() else {
            return;
        };
        file.position += bytes;
        for entry in entries {
            match entry {
                Entry::Append(stream, chunk) => file.holds(*stream, chunk.next),
                Entry::Group(parts) => {
                    for part in parts {
                        file.holds(part.stream, part.chunk.next);
                    }
                }
                // The file has to outlive nothing: the streams' folder goes next.
                Entry::Removed(stream) => {
                    file.holds(*stream, 0);
                }
            }
        }
    }

    /// Notes, without waiting for the disk, that everything written is durable.
    pub(crate) fn note_synced(&self) -> Result<(), Error> {
        let (file, number, key, position, write) = {
            let inner = self.inner.lock();
            let Some(file) = inner.files.back() else {
                return Ok(());
            };
            if file.position + HEADER_LEN as u64 > file.capacity {
                return Ok(());
            }
            (
                file.file.clone(),
                file.number,
                file.key,
                file.position,
                inner.write,
            )
        };
        let frame = Frame {
            kind: Kind::Synced,
            last: true,
            length: 0,
            file: number,
            write,
            stream: StreamId {
                topic: TopicId(Uuid::nil()),
                partition: 0,
            },
            key,
        };
        file.write_at(&mut [IoSlice::new(&frame.encode(|_| ()))], position)
            .map_err(|e| Error::disk("write", self.disk.name(&path(number)), e))
    }

    fn sync(&self) -> Result<(), Error> {
        let (file, number) = {
            let inner = self.inner.lock();
            let file = inner.files.back().ok_or_else(no_file)?;
            (file.file.clone(), file.number)
        };
        file.sync()
            .map_err(|e| Error::disk("sync", self.disk.name(&path(number)), e))
    }

    /// Begins a new file with room for at least `needed` bytes. True when there was one before.
    fn roll(&self, needed: u64) -> Result<bool, Error> {
        let (number, spare, before) = {
            let mut inner = self.inner.lock();
            let number = inner.next_number;
            inner.next_number += 1;
            let before = inner.files.back().map(|file| (file.number, file.position));
            (number, inner.spares.pop(), before)
        };
        let name = path(number);
        let fails = |action| {
            let shown = self.disk.name(&name);
            move |e| Error::disk(action, shown, e)
        };
        if let Some(spare) = spare {
            self.disk
                .rename(&spare_path(spare), &name)
                .map_err(fails("rename to"))?;
        }
        let file = self.disk.create(&name).map_err(fails("create"))?;
        let payload = start_payload(before);
        let first = padded(payload.len()) as u64;
        let capacity = self.file_bytes.max(needed + first);
        file.allocate(capacity).map_err(fails("allocate"))?;
        self.disk
            .sync_dir(FOLDER)
            .map_err(fails("sync the folder of"))?;
        let mut key = [0; 8];
        self.rng.fill_secret(&mut key);
        let key = Key::from_le_bytes(key);
        let write = self.inner.lock().write;
        let bytes = start_frame((number, key), write, &payload);
        file.write_at(&mut [IoSlice::new(&bytes)], 0)
            .map_err(fails("write"))?;
        file.sync().map_err(fails("sync"))?;
        debug!(number, ?spare, "a new file of the write-ahead log");
        let streams = HashMap::default();
        let new = File {
            number,
            key,
            file,
            capacity,
            position: first,
            streams,
        };
        self.inner.lock().files.push_back(new);
        Ok(before.is_some())
    }

    /// The streams of the oldest file but the current one, and where each ends in it. With
    /// `current`, of the current file too.
    pub(crate) fn oldest(&self, current: bool) -> Option<(u64, Vec<(StreamId, u64)>)> {
        let inner = self.inner.lock();
        if inner.files.len() < 2 && !current {
            return None;
        }
        let file = inner.files.front()?;
        Some((
            file.number,
            file.streams.iter().map(|(id, end)| (*id, *end)).collect(),
        ))
    }

    /// Everything in file `number`, the oldest, is in segments: it may be used again.
    pub(crate) fn release(&self, number: u64) -> Result<(), Error> {
        let name = self.disk.name(&path(number));
        let (keep, ours) = {
            let mut inner = self.inner.lock();
            let ours = inner
                .files
                .front()
                .is_some_and(|file| file.number == number);
            let file = if ours { inner.files.pop_front() } else { None };
            let usual = file.is_some_and(|file| file.capacity == self.file_bytes);
            (usual && inner.spares.len() < SPARES_MAX, ours)
        };
        if !ours {
            return Ok(());
        }
        discard(&*self.disk, number, keep).map_err(|e| Error::disk("release", name, e))?;
        if keep {
            self.inner.lock().spares.push(number);
        }
        Ok(())
    }
}

/// What was to be written has no place: acknowledged, it would be lost.
fn no_file() -> Error {
    Error::Stopped(Arc::from("the write-ahead log has no file to write to"))
}

/// Takes a file out of the log: to be used again, or for good.
pub(crate) fn discard(disk: &dyn Disk, number: u64, keep: bool) -> std::io::Result<()> {
    if keep {
        disk.rename(&path(number), &spare_path(number))?;
    } else {
        disk.remove(&path(number))?;
    }
    disk.sync_dir(FOLDER)
}

/// Takes a file out of the log and keeps it, for a person: nothing here reads it again.
pub(crate) fn keep_aside(disk: &dyn Disk, number: u64) -> Result<(), Error> {
    let kept = format!("{FOLDER}/{number:016}.{KEPT}");
    disk.rename(&path(number), &kept)
        .and_then(|()| disk.sync_dir(FOLDER))
        .map_err(|e| Error::disk("rename to", disk.name(&kept), e))?;
    warn!(
        path = disk.name(&kept),
        "kept: it has entries that were lost"
    );
    Ok(())
}

/// Removes a file that was free for use.
pub(crate) fn discard_spare(disk: &dyn Disk, number: u64) -> Result<(), Error> {
    let path = spare_path(number);
    disk.remove(&path)
        .and_then(|()| disk.sync_dir(FOLDER))
        .map_err(|e| Error::disk("remove", disk.name(&path), e))
}
