//! A stream's checkpoint: how much of its segments is durable, and what is not in them.
//!
//! Two files take turns: the older one is overwritten and synced, so that a crash leaves the other
//! one whole. Once the new state is durable it is written to the other file too, without a sync:
//! sooner or later both hold it, and damage to one of them loses nothing. So a state that both
//! hold is durable; one that only its own file holds may not be, and is written again at a start
//! ([`StateFile::settle`]). Layout, little-endian: magic, CRC-32C of the rest, version, number, start, end,
//! first offset and length of the newest segment, how far compaction got, epochs, blob.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use crate::disk::{Disk, DiskFile};
use crate::error::Error;

const MAGIC: u32 = 0x5354_5331;
const VERSION: u32 = 1;
/// A checkpoint larger than this is not believed.
const LEN_MAX: u64 = 256 << 20;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The first offset kept.
    pub(crate) start: u64,
    /// Everything below is durable in segments.
    pub(crate) end: u64,
    /// First offset of the newest segment.
    pub(crate) active: u64,
    /// How many of its bytes are durable.
    pub(crate) active_len: u64,
    /// Below this, compaction has been.
    pub(crate) cleaned: u64,
    /// Leader epochs and where each begins.
    pub(crate) epochs: Vec<(i32, u64)>,
    /// The engine's own state, and the offset it belongs to.
    pub(crate) blob: Option<(u64, Bytes)>,
}

impl State {
    fn encode(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32_le(MAGIC);
        out.put_u32_le(0);
        out.put_u32_le(VERSION);
        for value in [
            number,
            self.start,
            self.end,
            self.active,
            self.active_len,
            self.cleaned,
        ] {
            out.put_u64_le(value);
        }
        out.put_u32_le(u32::try_from(self.epochs.len()).unwrap_or(u32::MAX));
        for (epoch, start) in &self.epochs {
            out.put_i32_le(*epoch);
            out.put_u64_le(*start);
        }
        let (at, blob) = self.blob.clone().unwrap_or((u64::MAX, Bytes::new()));
        out.put_u64_le(at);
        out.put_u32_le(u32::try_from(blob.len()).unwrap_or(u32::MAX));
        out.put_slice(&blob);
        let crc = crc32c::crc32c(out.get(8..).unwrap_or_default());
        if let Some(place) = out.get_mut(4..8) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        out
    }

    /// The state and its number. Bytes behind it (of a longer one before) are not looked at.
    fn decode(bytes: &[u8]) -> Option<(u64, Self)> {
        let mut rest = bytes;
        let (magic, crc, version) = (
            rest.try_get_u32_le().ok()?,
            rest.try_get_u32_le().ok()?,
            rest.try_get_u32_le().ok()?,
        );
        if magic != MAGIC || version != VERSION {
            return None;
        }
        let mut long = || rest.try_get_u64_le().ok();
        let number = long()?;
        let (start, end, active, active_len, cleaned) =
            (long()?, long()?, long()?, long()?, long()?);
        let count = rest.try_get_u32_le().ok()? as usize;
        if count > rest.len() / 12 {
            return None;
        }
        let mut epochs = Vec::with_capacity(count);
        for _ in 0..count {
            epochs.push((rest.try_get_i32_le().ok()?, rest.try_get_u64_le().ok()?));
        }
        let at = rest.try_get_u64_le().ok()?;
        let length = rest.try_get_u32_le().ok()? as usize;
        let blob = Bytes::copy_from_slice(rest.get(..length)?);
        rest.advance(length);
        let used = bytes.len() - rest.len();
        if crc32c::crc32c(bytes.get(8..used)?) != crc {
            return None;
        }
        let blob = (at != u64::MAX).then_some((at, blob));
        Some((
            number,
            Self {
                start,
                end,
                active,
                active_len,
                cleaned,
                epochs,
                blob,
            },
        ))
    }
}

/// The two files.
#[derive(Debug)]
pub(crate) struct StateFile {
    folder: String,
    files: [Option<Arc<dyn DiskFile>>; 2],
    number: u64,
    /// Whether both files are known to hold the newest state.
    twins: bool,
    /// Whether they did when they were opened.
    settled: bool,
}

/// What the two files hold.
#[derive(Debug)]
pub(crate) enum Newest {
    /// Nothing was ever saved; or the first save was cut short, which nobody had counted on.
    Nothing,
    /// This.
    State(State),
    /// Bytes that were a state.
    Unreadable,
}

/// The file whose turn it is to be synced with the state of this number.
fn slot(number: u64) -> usize {
    usize::from(!number.is_multiple_of(2))
}

impl StateFile {
    fn path(&self, slot: usize) -> String {
        format!("{}/checkpoint.{slot}", self.folder)
    }

    /// Opens the files in `folder`, and reads the newest state.
    pub(crate) fn open(disk: &dyn Disk, folder: &str) -> Result<(Self, Newest), Error> {
        let mut this = Self {
            folder: folder.to_owned(),
            files: [None, None],
            number: 0,
            twins: false,
            settled: false,
        };
        let mut newest = None;
        let mut written = 0;
        for slot in 0..2 {
            let path = this.path(slot);
            let file = match disk.open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::disk("open", disk.name(&path), error)),
            };
            let bytes = read(&*file).map_err(|e| Error::disk("read", disk.name(&path), e))?;
            written += usize::from(!bytes.is_empty());
            match State::decode(&bytes) {
                Some((number, state)) if number > this.number => {
                    this.number = number;
                    newest = Some(state);
                }
                Some((number, _)) => this.twins = number == this.number,
                None => {}
            }
            if let Some(place) = this.files.get_mut(slot) {
                *place = Some(file);
            }
        }
        let newest = match newest {
            Some(state) => Newest::State(state),
            // The second file is written only once the first has been synced.
            None if written == 2 => Newest::Unreadable,
            None => Newest::Nothing,
        };
        Ok((this, newest))
    }

    /// Makes `state`, which [`StateFile::open`] has found, as durable as a saved one.
    pub(crate) fn settle(&mut self, disk: &dyn Disk, state: &State) -> Result<(), Error> {
        self.settled = self.twins;
        if self.twins {
            return Ok(());
        }
        self.put(disk, self.number, state)
    }

    /// Makes what was saved last durable in both files: should the newer one be damaged later, the
    /// other one counts as much.
    pub(crate) fn sync_both(&self, disk: &dyn Disk) -> Result<(), Error> {
        for (slot, file) in self.files.iter().enumerate() {
            if let Some(file) = file {
                file.sync()
                    .map_err(|e| Error::disk("sync", disk.name(&self.path(slot)), e))?;
            }
        }
        Ok(())
    }

    /// Whether the last process had come to the end of its last save.
    pub(crate) fn was_settled(&self) -> bool {
        self.settled
    }

    /// Writes `state` where it replaces the older one; durable when it returns.
    pub(crate) fn save(&mut self, disk: &dyn Disk, state: &State) -> Result<(), Error> {
        self.put(disk, self.number + 1, state)?;
        self.number += 1;
        Ok(())
    }

    fn put(&mut self, disk: &dyn Disk, number: u64, state: &State) -> Result<(), Error> {
        self.make_files(disk)?;
        let bytes = state.encode(number);
        for slot in [slot(number), 1 - slot(number)] {
            let path = self.path(slot);
            let Some(file) = self.files.get(slot).and_then(Option::as_ref) else {
                continue;
            };
            file.write_at(&mut [IoSlice::new(&bytes)], 0)
                .map_err(|e| Error::disk("write", disk.name(&path), e))?;
            // The other file follows when the operating system likes.
            if slot == self::slot(number) {
                file.sync()
                    .map_err(|e| Error::disk("sync", disk.name(&path), e))?;
            }
        }
        self.twins = true;
        Ok(())
    }

    fn make_files(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        if self.files.iter().all(Option::is_some) {
            return Ok(());
        }
        for slot in 0..2 {
            let path = self.path(slot);
            let file = disk
                .create(&path)
                .map_err(|e| Error::disk("create", disk.name(&path), e))?;
            if let Some(place) = self.files.get_mut(slot) {
                *place = Some(file);
            }
        }
        disk.sync_dir(&self.folder)
            .map_err(|e| Error::disk("sync", disk.name(&self.folder), e))
    }
}

fn read(file: &dyn DiskFile) -> std::io::Result<Vec<u8>> {
    let len = file.len()?.min(LEN_MAX);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let mut done = 0;
    while done < bytes.len() {
        let place = bytes.get_mut(done..).unwrap_or_default();
        match file.read_at(place, done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_written_and_every_flip_is_found() {
        let state = State {
            start: 3,
            end: 99,
            active: 50,
            active_len: 4096,
            cleaned: 7,
            epochs: vec![(0, 0), (4, 20)],
            blob: Some((90, Bytes::from_static(b"producers"))),
        };
        let bytes = state.encode(8);
        assert_eq!(State::decode(&bytes), Some((8, state)));
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 4;
            assert_eq!(State::decode(&broken), None, "byte {at}");
        }
        for len in 0..bytes.len() {
            assert_eq!(State::decode(&bytes[..len]), None, "{len} bytes");
        }
    }
}
