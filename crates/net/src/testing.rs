//! Scripts of bytes against a [`crate::Session`], without a socket and with the time in the test's hand.

use std::io;

use base::ReadAt;
use bytes::Bytes;

use crate::output::{Output, Part};

/// A "file" in memory, without a descriptor.
#[derive(Debug)]
pub struct MemoryFile(Bytes);

impl MemoryFile {
    /// A file that holds `bytes`.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }
}

impl ReadAt for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let n = buffer.len().min(self.0.len() - from);
        buffer[..n].copy_from_slice(&self.0[from..from + n]);
        Ok(n)
    }
}

/// Takes everything out of `output`, file ranges read.
///
/// # Panics
/// When a file range cannot be read: the test promised bytes that are not there.
pub fn take(output: &mut Output) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(output.len());
    for part in output.drain() {
        match part {
            Part::Owned(part) => bytes.extend_from_slice(&part),
            Part::Shared(part) => bytes.extend_from_slice(&part),
            Part::File(range) => {
                bytes.extend(range.read().expect("the file holds what was promised"));
            }
        }
    }
    bytes
}
