//! Reading the write-ahead log after a start, and telling a torn tail from damage.

use std::sync::Arc;

use base::StreamId;
use bytes::Bytes;

use super::{
    ALIGN, FOLDER, Frame, HEADER_LEN, KEPT, Key, Kind, Layout, PAYLOAD_MAX, Part, checksum, path,
};
use crate::disk::{Disk, DiskFile};
use crate::error::Error;

/// What a start found in the log.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The files with entries, oldest first.
    pub(crate) files: Vec<u64>,
    /// The files that may be used again.
    pub(crate) spares: Vec<u64>,
    /// The largest number of a file that was kept aside by an earlier start.
    kept: u64,
    /// How many entries there were.
    pub(crate) entries: u64,
    /// How many bytes they took.
    pub(crate) bytes: u64,
    /// Whether the newest write was torn; what was torn had not been acknowledged.
    pub(crate) torn: bool,
    /// Bytes that were acknowledged and are not readable.
    pub(crate) damage: Vec<Error>,
}

impl Replay {
    /// The largest number that a file has had.
    pub(crate) fn last(&self) -> u64 {
        let numbers = self.files.iter().chain(&self.spares);
        numbers.max().copied().unwrap_or(0).max(self.kept)
    }
}

/// An entry.
#[derive(Debug)]
pub(crate) enum Found {
    Append(StreamId, Bytes),
    Removed(StreamId),
}

/// Reads all entries in order. Changes nothing.
pub(crate) fn replay(
    disk: &dyn Disk,
    layout: Layout,
    mut entry: impl FnMut(Found) -> Result<(), Error>,
) -> Result<Replay, Error> {
    let mut report = Replay::default();
    let names = disk
        .list(FOLDER)
        .map_err(|e| Error::disk("list", disk.name(FOLDER), e))?;
    for name in names {
        let Some((number, ending)) = name.split_once('.') else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        match ending {
            "wal" => report.files.push(number),
            "spare" => report.spares.push(number),
            KEPT => report.kept = report.kept.max(number),
            _ => {}
        }
    }
    report.files.sort_unstable();
    let mut before: Option<(u64, u64)> = None;
    for number in report.files.clone() {
        let file = read_file(disk, number)?;
        let name = disk.name(&path(number));
        let len = file
            .len()
            .map_err(|e| Error::disk("measure", name.clone(), e))?;
        let mut reader = Reader {
            file: &*file,
            number,
            layout,
            key: None,
            len,
            name,
        };
        let end = if reader.find_key()? {
            replay_file(disk, &reader, before, &mut report, &mut entry)?
        } else {
            0
        };
        before = Some((number, end));
    }
    // What follows a torn file would have been found by its successor's first frame.
    Ok(report)
}

fn read_file(disk: &dyn Disk, number: u64) -> Result<Arc<dyn DiskFile>, Error> {
    let name = path(number);
    let file = disk
        .open(&name)
        .map_err(|e| Error::disk("open", disk.name(&name), e))?;
    // A process that was killed may have left entries that only the operating system knows. What
    // is done because of them must not be durable before them.
    file.sync()
        .map_err(|e| Error::disk("sync", disk.name(&name), e))?;
    Ok(file)
}

struct Reader<'a> {
    file: &'a dyn DiskFile,
    number: u64,
    layout: Layout,
    /// What its frames carry; `None` while that is looked for.
    key: Option<Key>,
    len: u64,
    name: String,
}

impl Reader<'_> {
    fn fill(&self, buffer: &mut [u8], position: u64) -> Result<(), Error> {
        let mut done = 0;
        while done < buffer.len() {
            let rest = buffer.get_mut(done..).unwrap_or_default();
            match self.file.read_at(rest, position + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) => return Err(Error::disk("read", self.name.clone(), error)),
            }
        }
        buffer.get_mut(done..).unwrap_or_default().fill(0);
        Ok(())
    }

    /// The frame at `position`, if a whole and undamaged one of this file is there.
    fn frame(&self, position: u64) -> Result<Option<(Frame, Bytes)>, Error> {
        // Before its payload is read: in vain, as often as somebody likes to write such bytes.
        let ours = |frame: &Frame| {
            frame.file == self.number && self.key.is_none_or(|key| frame.key == key)
        };
        self.frame_that(position, ours)
    }

    fn frame_that(
        &self,
        position: u64,
        is_meant: impl Fn(&Frame) -> bool,
    ) -> Result<Option<(Frame, Bytes)>, Error> {
        let header_len = self.layout.header_len();
        if position + header_len as u64 > self.len {
            return Ok(None);
        }
        let mut buffer = [0; HEADER_LEN];
        let (header, _) = buffer.split_at_mut(header_len);
        self.fill(header, position)?;
        let Some(frame) = Frame::decode(&buffer, self.layout).filter(is_meant) else {
            return Ok(None);
        };
        let end = position + header_len as u64 + u64::from(frame.length);
        if frame.length > PAYLOAD_MAX || end > self.len {
            return Ok(None);
        }
        let mut payload = vec![0; frame.length as usize];
        self.fill(&mut payload, position + header_len as u64)?;
        let header = buffer.get(..header_len).unwrap_or_default();
        let covered = header.get(8..).unwrap_or_default();
        let found = checksum(covered, std::iter::once(&payload[..]));
        let sound = header[4..8] == found.to_le_bytes();
        Ok(sound.then(|| (frame, Bytes::from(payload))))
    }

    /// Finds out what the file's frames carry; false when it was never begun. Its first frame says
    /// it, which is durable before anything else is written.
    fn find_key(&mut self) -> Result<bool, Error> {
        if self.layout == Layout::V1 {
            return Ok(true);
        }
        let found = match self.frame_that(0, |frame| frame.kind == Kind::Start)? {
            Some((frame, _)) => (frame.file == self.number).then_some(frame),
            // It is unreadable, or there is none: an entry behind it decides which. One that only
            // looks so would have to be in a new file's leftovers, which begin with a frame.
            _ => self.next_sound(0)?.map(|(_, frame)| frame),
        };
        self.key = found.map(|frame| frame.key);
        Ok(self.key.is_some())
    }

    /// The first whole frame behind `position`.
    fn next_sound(&self, mut position: u64) -> Result<Option<(u64, Frame)>, Error> {
        const WINDOW: usize = 1 << 20;
        let mut window = vec![0; WINDOW];
        while position < self.len {
            self.fill(&mut window, position)?;
            for at in (0..WINDOW - 4).step_by(ALIGN) {
                let magic = window.get(at..at + 4).unwrap_or_default();
                if magic != self.layout.magic().to_le_bytes() {
                    continue;
                }
                if let Some((frame, _)) = self.frame(position + at as u64)? {
                    return Ok(Some((position + at as u64, frame)));
                }
            }
            position += WINDOW as u64;
        }
        Ok(None)
    }
}

impl Reader<'_> {
    /// Whether a frame from `next` on tells that write `torn` had been synced: one of a later write,
    /// or one that says so.
    fn is_acknowledged(&self, torn: u64, mut next: (u64, Frame)) -> Result<bool, Error> {
        loop {
            let (at, frame) = next;
            let synced = frame.kind == Kind::Synced && frame.write >= torn;
            if frame.write > torn || synced {
                return Ok(true);
            }
            match self.next_sound(at + ALIGN as u64)? {
                Some(later) => next = later,
                None => return Ok(false),
            }
        }
    }
}

/// Replays one file; returns where its entries end.
fn replay_file(
    disk: &dyn Disk,
    reader: &Reader<'_>,
    before: Option<(u64, u64)>,
    report: &mut Replay,
    entry: &mut impl FnMut(Found) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut position = 0;
    // The newest write seen, and whether its last frame was. None is until the first frame, which
    // is durable before anything else is written.
    let mut seen: Option<(u64, bool)> = None;
    loop {
        while let Some((frame, payload)) = reader.frame(position)? {
            match frame.kind {
                Kind::Start => check_start(disk, reader, &payload, before, report),
                Kind::Append => entry(Found::Append(frame.stream, payload))?,
                Kind::Group => replay_group(reader, position, payload, report, entry)?,
                Kind::Removed => entry(Found::Removed(frame.stream))?,
                Kind::Synced => {}
            }
            if matches!(frame.kind, Kind::Append | Kind::Group | Kind::Removed) {
                report.entries += 1;
                report.bytes += u64::from(frame.length);
            }
            seen = Some((frame.write, frame.last));
            position += reader.layout.padded(frame.length as usize) as u64;
        }
        // The bad frame belongs to write `torn` or to none.
        let torn = match seen {
            None => 0,
            Some((write, true)) => write + 1,
            Some((write, false)) => write,
        };
        let Some(next) = reader.next_sound(position + ALIGN as u64)? else {
            report.torn |= seen.is_some_and(|(_, whole)| !whole);
            return Ok(position);
        };
        if !reader.is_acknowledged(torn, next)? {
            report.torn = true;
            return Ok(position);
        }
        report.damage.push(Error::Damaged {
            path: reader.name.clone(),
            position,
            what: format!(
                "{} bytes of acknowledged entries are unreadable",
                next.0 - position
            ),
        });
        position = next.0;
    }
}

/// The batches of a group, all of which the frame's checksum has vouched for.
fn replay_group(
    reader: &Reader<'_>,
    position: u64,
    mut payload: Bytes,
    report: &mut Replay,
    entry: &mut impl FnMut(Found) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut found = Vec::new();
    while !payload.is_empty() {
        let Some(part) = Part::split(&mut payload) else {
            report.damage.push(Error::Damaged {
                path: reader.name.clone(),
                position,
                what: "a group of entries contradicts itself".to_owned(),
            });
            return Ok(());
        };
        found.push(part);
    }
    found
        .into_iter()
        .try_for_each(|(stream, batch)| entry(Found::Append(stream, batch)))
}

/// The file before this one must end where this one says it did.
fn check_start(
    disk: &dyn Disk,
    reader: &Reader<'_>,
    payload: &Bytes,
    before: Option<(u64, u64)>,
    report: &mut Replay,
) {
    let Some((numbers, _)) = payload.split_first_chunk::<8>() else {
        return;
    };
    let said = u64::from_le_bytes(*numbers);
    let end = payload
        .get(8..16)
        .and_then(<[u8]>::first_chunk::<8>)
        .copied()
        .unwrap_or_default();
    let end = u64::from_le_bytes(end);
    let Some((number, found)) = before else {
        return;
    };
    if said == number && end > found {
        report.damage.push(Error::Damaged {
            path: disk.name(&path(number)),
            position: found,
            what: format!(
                "{} bytes of acknowledged entries are unreadable",
                end - found
            ),
        });
    } else if said != 0 && said != number {
        report.damage.push(Error::Damaged {
            path: reader.name.clone(),
            position: 0,
            what: format!("file {said} of the write-ahead log is missing before it"),
        });
    }
}
