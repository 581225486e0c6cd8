//! Where a sink writes: a buffer of the caller's, with an end.

use crate::error::{Cause, Error, Limit, Result};

#[derive(Debug)]
pub(crate) struct Output<'o> {
    bytes: &'o mut Vec<u8>,
    start: usize,
    /// The length that `bytes` may have.
    max: usize,
}

impl<'o> Output<'o> {
    pub(crate) fn new(bytes: &'o mut Vec<u8>, more: usize) -> Self {
        let start = bytes.len();
        let max = start.saturating_add(more);
        Self { bytes, start, max }
    }

    /// Looks whether `more` bytes are allowed, before they are written.
    #[inline]
    pub(crate) fn room(&self, more: usize) -> Result<()> {
        if more > self.max - self.bytes.len() {
            return Err(Error::new(Cause::Over(Limit::Output)));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.room(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) -> Result<()> {
        self.room(1)?;
        self.bytes.push(byte);
        Ok(())
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut value: u64) -> Result<()> {
        if value < 0x80 {
            return self.byte(value.to_le_bytes()[0]);
        }
        let (mut bytes, mut length) = ([0_u8; 10], 0);
        for byte in &mut bytes {
            *byte = value.to_le_bytes()[0] | 0x80;
            length += 1;
            value >>= 7;
            if value == 0 {
                *byte &= 0x7f;
                break;
            }
        }
        self.put(&bytes[..length])
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The last byte that was written.
    #[inline]
    pub(crate) fn last(&self) -> Option<u8> {
        self.bytes.last().copied()
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Takes back everything.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// What was written from `from` on.
    pub(crate) fn from(&mut self, from: usize) -> &mut [u8] {
        self.bytes.get_mut(from..).unwrap_or_default()
    }

    /// Puts `bytes` at `at`, in the place of `instead` bytes that are there.
    pub(crate) fn splice(&mut self, at: usize, instead: usize, bytes: &[u8]) -> Result<()> {
        let more = bytes.len().saturating_sub(instead);
        self.room(more)?;
        let end = self.bytes.len();
        self.bytes.resize(end + more, 0);
        self.bytes.copy_within(at + instead..end, at + bytes.len());
        if bytes.len() < instead {
            self.bytes.truncate(end - (instead - bytes.len()));
        }
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Writes how long everything behind the byte at `mark` is, into that byte, or moves it.
    #[inline]
    pub(crate) fn close_length(&mut self, mark: usize) -> Result<()> {
        let length = self.bytes.len() - mark - 1;
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => {
                self.bytes[mark] = short;
                Ok(())
            }
            _ => self.long_length(mark, length as u64),
        }
    }

    fn long_length(&mut self, mark: usize, mut length: u64) -> Result<()> {
        let (mut bytes, mut count) = ([0_u8; 10], 0);
        for byte in &mut bytes {
            *byte = length.to_le_bytes()[0] | 0x80;
            count += 1;
            length >>= 7;
            if length == 0 {
                *byte &= 0x7f;
                break;
            }
        }
        self.splice(mark, 1, &bytes[..count])
    }
}
