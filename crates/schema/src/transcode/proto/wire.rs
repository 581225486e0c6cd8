//! Protobuf's wire format, piece by piece.

use crate::error::{Cause, Error, Result};

const ENDS_EARLY: Cause = Cause::Malformed("ends early");

/// A place in the bytes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The bytes of a nested message, whose places are counted from the outermost.
    pub(crate) fn nested(self, from: usize, to: usize) -> Self {
        let bytes = self.bytes.get(..to).unwrap_or_default();
        Self { bytes, at: from }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn between(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    #[cold]
    pub(crate) fn error(&self, cause: Cause) -> Error {
        Error::at(cause, self.at)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut value = 0_u64;
        for (place, byte) in rest.iter().take(10).enumerate() {
            // Bits above the 64th are dropped, as every implementation does.
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.at += place + 1;
                return Ok(value);
            }
        }
        let cause = if rest.len() < 10 {
            ENDS_EARLY
        } else {
            Cause::Malformed("a varint over ten bytes")
        };
        Err(self.error(cause))
    }

    /// A field's number and wire type, unchecked but for zero and size.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<u32> {
        let value = self.varint()?;
        match u32::try_from(value) {
            Ok(tag) if tag >= 8 => Ok(tag),
            _ => Err(self.error(Cause::Malformed("a field number out of range"))),
        }
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<[u8; 4]> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let bytes = *bytes.ok_or_else(|| self.error(ENDS_EARLY))?;
        self.at += 4;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<[u8; 8]> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let bytes = *bytes.ok_or_else(|| self.error(ENDS_EARLY))?;
        self.at += 8;
        Ok(bytes)
    }

    /// A length, and steps behind what it counts: from where to where that is.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<(usize, usize)> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) if length <= self.left() => {
                let from = self.at;
                self.at += length;
                Ok((from, self.at))
            }
            _ => Err(self.error(ENDS_EARLY)),
        }
    }

    #[inline]
    pub(crate) fn slice(&mut self) -> Result<&'a [u8]> {
        let (from, to) = self.length()?;
        Ok(self.between(from, to))
    }

    /// Steps over the value behind `tag`; `depth` groups may lie in each other.
    pub(crate) fn skip(&mut self, tag: u32, depth: u32) -> Result<()> {
        match tag & 7 {
            0 => self.varint().map(drop),
            1 => self.fixed64().map(drop),
            2 => self.length().map(drop),
            5 => self.fixed32().map(drop),
            3 => self.skip_group(tag >> 3, depth).map(drop),
            4 => Err(self.error(Cause::Malformed("an end without a group"))),
            _ => Err(self.error(Cause::Malformed("no such wire type"))),
        }
    }

    /// Steps over a group to behind its end: where its content ends.
    pub(crate) fn skip_group(&mut self, number: u32, depth: u32) -> Result<usize> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| self.error(Cause::Over(crate::Limit::Depth)))?;
        loop {
            let end = self.at;
            let tag = self.tag()?;
            if tag & 7 == 4 {
                return if tag >> 3 == number {
                    Ok(end)
                } else {
                    Err(self.error(Cause::Malformed("a group with the end of another")))
                };
            }
            self.skip(tag, depth)?;
        }
    }
}

impl Wire<'_> {
    /// Steps over bytes that were looked at; not over the end.
    pub(crate) fn step(&mut self, count: usize) {
        self.at += count.min(self.left());
    }
}
