//! What waits to be written to one connection: copied bytes, shared bytes, ranges of files.
//!
//! Small things are copied one behind the other into a tail; large ones ([`SHARE_MIN`] bytes and
//! more) are shared and not copied; file ranges stay on disk until the socket takes them. The
//! drive writes the parts with one vectored system call, file ranges with sendfile(2).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use base::FileRange;
use bytes::{Buf, Bytes, BytesMut};

/// Shared bytes shorter than this are copied to the tail: a copy of 1 KiB costs less than one
/// more part of a vectored write.
pub const SHARE_MIN: usize = 1024;

/// How many parts are looked at for small file ranges before a write.
const LOAD_PARTS: usize = 16;

/// Bytes on their way to a peer, in order.
#[derive(Debug, Default)]
pub struct Output {
    sealed: VecDeque<Part>,
    /// Bytes in memory in `sealed`.
    sealed_memory: usize,
    /// Bytes in files in `sealed`.
    sealed_files: usize,
    tail: BytesMut,
}

#[derive(Debug)]
pub(crate) enum Part {
    Owned(BytesMut),
    Shared(Bytes),
    File(FileRange),
}

/// A place in an [`Output`] that was left open, to be filled when what follows is known: a length.
#[derive(Debug)]
#[must_use = "a hole that is not filled stays zero"]
pub struct Hole {
    /// The index that the part gets (or has got) in `sealed`.
    part: usize,
    at: usize,
    width: usize,
    /// `len()` right behind the hole.
    end: usize,
}

impl Output {
    /// Nothing to write.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that wait to be written, file ranges included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory() + self.sealed_files
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait and lie in memory: what the ledger is charged for.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.sealed_memory + self.tail.len()
    }

    /// Appends a copy of `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Appends `bytes`, shared when they are [`SHARE_MIN`] or more.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_MIN {
            return self.put(&bytes);
        }
        self.seal();
        self.sealed_memory += bytes.len();
        self.sealed.push_back(Part::Shared(bytes));
    }

    /// Appends bytes that lie in a file. A file that turns out shorter closes the connection: the
    /// peer was promised the length.
    pub fn push_file(&mut self, range: FileRange) {
        if range.len == 0 {
            return;
        }
        self.seal();
        self.sealed_files += range.len;
        self.sealed.push_back(Part::File(range));
    }

    /// The tail that copied bytes are appended to, for encoders that write to a `BufMut`. Append
    /// only: what stands in it already may belong to an earlier reply.
    pub fn buf(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends `width` zero bytes to be filled later with [`Output::fill`], before the session's
    /// method returns.
    pub fn hole(&mut self, width: usize) -> Hole {
        let at = self.tail.len();
        self.tail.resize(at + width, 0);
        Hole {
            part: self.sealed.len(),
            at,
            width,
            end: self.len(),
        }
    }

    /// How many bytes were appended behind `hole`.
    #[must_use]
    pub fn since(&self, hole: &Hole) -> usize {
        self.len().saturating_sub(hole.end)
    }

    /// Fills `hole`.
    ///
    /// # Panics
    /// When `bytes` is not as long as the hole: a bug in an encoder.
    pub fn fill(&mut self, hole: Hole, bytes: &[u8]) {
        assert_eq!(
            bytes.len(),
            hole.width,
            "a hole is filled with its own width"
        );
        let owned = match self.sealed.get_mut(hole.part) {
            Some(Part::Owned(owned)) => owned,
            None => &mut self.tail,
            Some(Part::Shared(_) | Part::File(_)) => {
                unreachable!("the part behind a hole is sealed as it was: owned bytes")
            }
        };
        owned[hole.at..hole.at + hole.width].copy_from_slice(bytes);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let owned = self.tail.split();
            self.sealed_memory += owned.len();
            self.sealed.push_back(Part::Owned(owned));
        }
    }

    /// The file range at the front, if that is what comes next.
    pub(crate) fn front_file(&self) -> Option<&FileRange> {
        match self.sealed.front() {
            Some(Part::File(range)) => Some(range),
            _ => None,
        }
    }

    /// Fills `slices` with what lies in memory before the next file range; returns how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for part in &self.sealed {
            let bytes = match part {
                Part::Owned(bytes) => &bytes[..],
                Part::Shared(bytes) => &bytes[..],
                Part::File(_) => return used,
            };
            let Some(slot) = slices.get_mut(used) else {
                return used;
            };
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        if let (false, Some(slot)) = (self.tail.is_empty(), slices.get_mut(used)) {
            *slot = IoSlice::new(&self.tail);
            used += 1;
        }
        used
    }

    /// Reads file ranges of at most `max` bytes near the front into memory.
    pub(crate) fn load_small(&mut self, max: usize) -> io::Result<()> {
        if self.sealed_files == 0 {
            return Ok(());
        }
        for part in self.sealed.iter_mut().take(LOAD_PARTS) {
            if let Part::File(range) = part
                && range.len <= max
            {
                let bytes = Bytes::from(range.read()?);
                self.sealed_files -= bytes.len();
                self.sealed_memory += bytes.len();
                *part = Part::Shared(bytes);
            }
        }
        Ok(())
    }

    /// Reads up to `max` bytes of the file range at the front into memory.
    pub(crate) fn load_front(&mut self, max: usize) -> io::Result<()> {
        let Some(Part::File(range)) = self.sealed.front_mut() else {
            return Ok(());
        };
        let len = range.len.min(max);
        let head = FileRange {
            source: Arc::clone(&range.source),
            position: range.position,
            len,
        };
        let bytes = Bytes::from(head.read()?);
        range.position += len as u64;
        range.len -= len;
        if range.len == 0 {
            self.sealed.pop_front();
        }
        self.sealed_files -= len;
        self.sealed_memory += len;
        self.sealed.push_front(Part::Shared(bytes));
        Ok(())
    }

    /// Takes the first `n` bytes away: they have been written.
    pub(crate) fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(part) = self.sealed.front_mut() else {
                self.tail.advance(n);
                return;
            };
            let (len, is_file) = match part {
                Part::Owned(bytes) => (bytes.len(), false),
                Part::Shared(bytes) => (bytes.len(), false),
                Part::File(range) => (range.len, true),
            };
            let step = n.min(len);
            if is_file {
                self.sealed_files -= step;
            } else {
                self.sealed_memory -= step;
            }
            if step == len {
                self.sealed.pop_front();
            } else {
                match part {
                    Part::Owned(bytes) => bytes.advance(step),
                    Part::Shared(bytes) => bytes.advance(step),
                    Part::File(range) => {
                        range.position += step as u64;
                        range.len -= step;
                    }
                }
            }
            n -= step;
        }
    }

    /// Takes all parts out.
    pub(crate) fn drain(&mut self) -> VecDeque<Part> {
        self.seal();
        std::mem::take(self).sealed
    }

    /// Gives the buffers back when nothing waits, so that an idle connection holds none.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests;
