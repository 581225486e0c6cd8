//! A frame of the write-ahead log: how it is laid out, and what vouches for it.

use base::{StreamId, TopicId};
use uuid::Uuid;

pub(super) const MAGIC: u32 = 0x5354_4c32;
pub(super) const HEADER_LEN: usize = 64;
/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 8;

/// What tells the frames of one file from everything else.
pub(super) type Key = u64;

/// How frames are laid out: format 1 has no keys, and is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    V1,
    V2,
}

impl Layout {
    /// That of a directory of `format`.
    pub(crate) fn of(format: u32) -> Self {
        if format < 2 { Self::V1 } else { Self::V2 }
    }

    pub(super) fn magic(self) -> u32 {
        match self {
            Self::V1 => 0x5354_4c31,
            Self::V2 => MAGIC,
        }
    }

    pub(super) fn header_len(self) -> usize {
        match self {
            Self::V1 => 56,
            Self::V2 => HEADER_LEN,
        }
    }

    /// How long a frame with a payload of `length` bytes is.
    pub(super) fn padded(self, length: usize) -> usize {
        (self.header_len() + length).next_multiple_of(ALIGN)
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first of a file: number and end of the file before.
    Start = 1,
    /// A batch of a stream.
    Append = 2,
    /// A stream is no more.
    Removed = 3,
    /// Everything before it is durable. The next write overwrites it.
    Synced = 4,
    /// Batches of several streams, of which a crash leaves all or none.
    Group = 5,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Whether it is the last one of its write.
    pub(crate) last: bool,
    /// Of the payload.
    pub(crate) length: u32,
    pub(crate) file: u64,
    pub(crate) write: u64,
    pub(crate) stream: StreamId,
    /// That of its file; 0 in [`Layout::V1`].
    pub(super) key: Key,
}

impl Frame {
    pub(super) fn encode(&self, pieces: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12] = self.kind as u8;
        bytes[13] = u8::from(self.last);
        bytes[16..24].copy_from_slice(&self.file.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.write.to_le_bytes());
        bytes[32..48].copy_from_slice(self.stream.topic.0.as_bytes());
        bytes[48..52].copy_from_slice(&self.stream.partition.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.key.to_le_bytes());
        let mut crc = crc32c::crc32c(&bytes[8..]);
        pieces(&mut |piece| crc = crc32c::crc32c_append(crc, piece));
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when the bytes are none. The checksum is not looked at. Of the bytes
    /// only those count that a header of `layout` has.
    pub(super) fn decode(bytes: &[u8; HEADER_LEN], layout: Layout) -> Option<Self> {
        let word =
            |at: usize| -> [u8; 4] { [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] };
        let long = |at: usize| {
            u64::from(u32::from_le_bytes(word(at)))
                | (u64::from(u32::from_le_bytes(word(at + 4))) << 32)
        };
        if u32::from_le_bytes(word(0)) != layout.magic() {
            return None;
        }
        let kind = match bytes[12] {
            1 => Kind::Start,
            2 => Kind::Append,
            3 => Kind::Removed,
            4 => Kind::Synced,
            5 => Kind::Group,
            _ => return None,
        };
        let topic = TopicId(Uuid::from_slice(&bytes[32..48]).ok()?);
        Some(Self {
            kind,
            last: bytes[13] != 0,
            length: u32::from_le_bytes(word(8)),
            file: long(16),
            write: long(24),
            stream: StreamId {
                topic,
                partition: u32::from_le_bytes(word(48)),
            },
            key: match layout {
                Layout::V1 => 0,
                Layout::V2 => long(56),
            },
        })
    }
}

pub(super) fn checksum<'a>(header: &[u8], payload: impl Iterator<Item = &'a [u8]>) -> u32 {
    payload.fold(crc32c::crc32c(header), crc32c::crc32c_append)
}

pub(super) fn padded(length: usize) -> usize {
    Layout::V2.padded(length)
}

/// The first frame of a file.
pub(super) fn start_frame((number, key): (u64, Key), write: u64, payload: &[u8]) -> Vec<u8> {
    let frame = Frame {
        kind: Kind::Start,
        last: true,
        length: u32::try_from(payload.len()).unwrap_or(0),
        file: number,
        write,
        stream: StreamId {
            topic: TopicId(Uuid::nil()),
            partition: 0,
        },
        key,
    };
    let mut bytes = frame.encode(|take| take(payload)).to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(padded(payload.len()), 0);
    bytes
}

pub(super) fn start_payload(before: Option<(u64, u64)>) -> Vec<u8> {
    let (number, end) = before.unwrap_or((0, 0));
    let mut payload = number.to_le_bytes().to_vec();
    payload.extend_from_slice(&end.to_le_bytes());
    payload
}
