//! The read buffer: grows with what arrives, gives its memory back when nothing does.

use bytes::BytesMut;

/// The first and smallest buffer.
const CHUNK_MIN: usize = 8 << 10;
/// The largest buffer that is not asked for by a frame's length: 128 KiB of small requests per
/// system call amortise it.
const CHUNK_MAX: usize = 128 << 10;
/// A frame up to this length is reserved at once, a longer one in growing steps as it arrives: a
/// length alone must not cost memory.
const RESERVE_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Input {
    pub(super) buffer: BytesMut,
    /// The buffer must hold this many bytes before the session is asked again.
    pub(super) wanted: usize,
    /// How much to ask the socket for; follows the traffic.
    chunk: usize,
    /// The size of the allocation behind `buffer`, which frames cut from it keep alive.
    allocated: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            wanted: 1,
            chunk: CHUNK_MIN,
            allocated: 0,
        }
    }

    /// Whether the session has something to look at.
    pub(super) fn is_ready(&self) -> bool {
        self.buffer.len() >= self.wanted
    }

    /// How much room a read needs beyond what the buffer has, 0 for none.
    pub(super) fn room_missing(&self) -> usize {
        let len = self.buffer.len();
        let spare = self.buffer.capacity() - len;
        let mut room = self.wanted.saturating_sub(len).max(1);
        if self.wanted > RESERVE_MAX {
            room = room.min(RESERVE_MAX.max(len.saturating_mul(3)));
        }
        if spare < room || spare < self.chunk / 4 {
            room.max(self.chunk.saturating_sub(len))
        } else {
            0
        }
    }

    /// Makes room for `more` bytes.
    pub(super) fn reserve(&mut self, more: usize) {
        self.buffer.reserve(more);
        self.allocated = self.buffer.capacity();
    }

    /// `n` bytes were read into `room` bytes: ask for more or less next time.
    pub(super) fn learn(&mut self, n: usize, room: usize) {
        if n == room {
            self.chunk = (self.chunk * 2).min(CHUNK_MAX);
        } else if n < self.chunk / 4 {
            self.chunk = (self.chunk / 2).max(CHUNK_MIN);
        }
    }

    /// Bytes of memory behind the buffer and the `taken` bytes that were cut from it and live.
    pub(super) fn held(&self, taken: usize) -> usize {
        (self.buffer.capacity() + taken).max(self.allocated)
    }

    /// Gives the buffer back if it is empty.
    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.allocated = 0;
        }
    }
}
