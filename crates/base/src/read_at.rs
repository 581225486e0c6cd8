//! Bytes at rest that `net` may send without `store` reading them: the one thing that the two
//! must agree on, since neither knows the other.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Something that can be read at a position: a file, or a simulated one.
pub trait ReadAt: Send + Sync {
    /// Reads into `buffer` from `position`; returns how many bytes, 0 at the end.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// The file behind it, for sendfile(2); a simulated disk has none.
    fn file(&self) -> Option<&File> {
        None
    }
}

/// `len` bytes from `position` on. It keeps the file open, so that a segment that is deleted while
/// it is being sent stays readable.
#[derive(Clone)]
pub struct FileRange {
    /// What to read from.
    pub source: Arc<dyn ReadAt>,
    /// First byte.
    pub position: u64,
    /// How many bytes.
    pub len: usize,
}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRange")
            .field("position", &self.position)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl FileRange {
    /// Reads all of it.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file is shorter than the range; whatever the disk answers.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        let mut done = 0;
        while done < self.len {
            match self
                .source
                .read_at(&mut bytes[done..], self.position + done as u64)?
            {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(bytes)
    }
}
