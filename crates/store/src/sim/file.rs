//! A file: what readers see, what is durable, and what each sector held in between.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

/// What a device writes as a whole.
pub(super) const SECTOR: usize = 512;

/// A file's bytes.
#[derive(Clone, Default)]
pub(super) struct FileNode {
    /// What readers see.
    pub(super) live: Vec<u8>,
    durable: Vec<u8>,
    /// What each sector held since the last sync, with the step that made it so.
    pending: BTreeMap<usize, Vec<(u64, [u8; SECTOR])>>,
    /// Which lengths the file had since the last sync.
    lengths: Vec<(u64, usize)>,
}

/// What decides how a file is found after a crash.
pub(super) trait Fate {
    /// Up to which step the sector's changes are there.
    fn sector(&mut self, sector: usize, steps: &[u64]) -> u64;

    /// Up to which step the length's changes are there.
    fn length(&mut self, steps: &[u64]) -> u64;
}

impl FileNode {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            live: bytes.clone(),
            durable: bytes,
            ..Self::default()
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let rest = self.live.get(from..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(rest) {
            *place = *byte;
        }
        length
    }

    /// How many of `length` bytes at `position` can be written when the file may grow by `room`.
    pub(super) fn fits(&self, position: u64, length: usize, room: u64) -> usize {
        let end_max = (self.live.len() as u64).saturating_add(room);
        let fits = end_max.saturating_sub(position);
        length.min(usize::try_from(fits).unwrap_or(usize::MAX))
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8], step: u64) {
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let end = from + bytes.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        // Again, too, when a failed sync has lost the length.
        if self.durable.len() < end {
            self.lengths.push((step, self.live.len()));
        }
        if let Some(place) = self.live.get_mut(from..end) {
            place.copy_from_slice(bytes);
        }
        self.note(from, end, step);
    }

    /// Cuts the file off, or makes it longer by zeros.
    pub(super) fn truncate(&mut self, len: u64, step: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let before = self.live.len();
        self.live.resize(len, 0);
        self.lengths.push((step, len));
        if len < before {
            self.note(len, before, step);
        }
    }

    /// Notes what the sectors of these bytes hold now.
    fn note(&mut self, from: usize, end: usize, step: u64) {
        for sector in from / SECTOR..end.div_ceil(SECTOR) {
            let mut now = [0; SECTOR];
            let start = sector * SECTOR;
            let stop = (start + SECTOR).min(self.live.len());
            let held = self.live.get(start..stop).unwrap_or_default();
            now.iter_mut().zip(held).for_each(|(to, from)| *to = *from);
            self.pending.entry(sector).or_default().push((step, now));
        }
    }

    pub(super) fn sync(&mut self) {
        let lengths = std::mem::take(&mut self.lengths);
        let pending = std::mem::take(&mut self.pending);
        if !lengths.is_empty() {
            self.durable.resize(self.live.len(), 0);
        }
        // Only what was pending gets to the disk: what an earlier, failed sync dropped does not.
        for (sector, states) in pending {
            if let Some((_, bytes)) = states.last() {
                put(&mut self.durable, sector, bytes);
            }
        }
    }

    /// A sync has failed: what was pending is forgotten, readers go on to see it.
    pub(super) fn drop_pending(&mut self) {
        self.pending.clear();
        self.lengths.clear();
    }

    /// The bytes after a crash.
    pub(super) fn settled(&self, fate: &mut impl Fate) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let steps: Vec<u64> = self.lengths.iter().map(|(step, _)| *step).collect();
        let until = fate.length(&steps);
        let kept = self.lengths.iter().rev().find(|(step, _)| *step <= until);
        bytes.resize(kept.map_or(self.durable.len(), |(_, len)| *len), 0);
        for (sector, states) in &self.pending {
            let steps: Vec<u64> = states.iter().map(|(step, _)| *step).collect();
            let until = fate.sector(*sector, &steps);
            if let Some((_, held)) = states.iter().rev().find(|(step, _)| *step <= until) {
                put(&mut bytes, *sector, held);
            }
        }
        bytes
    }

    pub(super) fn flip(&mut self, bit: u64) -> io::Result<()> {
        let (byte, mask) = (
            usize::try_from(bit / 8).unwrap_or(usize::MAX),
            1 << (bit % 8),
        );
        let place = self.live.get_mut(byte).ok_or(ErrorKind::InvalidInput)?;
        *place ^= mask;
        if let Some(place) = self.durable.get_mut(byte) {
            *place ^= mask;
        }
        for (_, held) in self.pending.entry(byte / SECTOR).or_default() {
            if let Some(place) = held.get_mut(byte % SECTOR) {
                *place ^= mask;
            }
        }
        Ok(())
    }
}

/// Puts a sector into a file, as far as the file reaches.
fn put(bytes: &mut [u8], sector: usize, held: &[u8; SECTOR]) {
    let place = bytes.get_mut(sector * SECTOR..).unwrap_or_default();
    place
        .iter_mut()
        .zip(held)
        .for_each(|(to, from)| *to = *from);
}
