//! What the store asks of a disk. Two disks exist: files ([`FileDisk`]) and a simulated one
//! ([`crate::sim`]) that forgets what was not synced.
//!
//! Paths are relative to the data directory, with `/` between. A file's bytes are durable after
//! [`DiskFile::sync`], its name after [`Disk::sync_dir`] of the folder that holds it.

mod file;

use std::io::{self, IoSlice};
use std::sync::Arc;

use base::ReadAt;

pub use file::FileDisk;

/// A file that is read and written at positions.
#[expect(
    clippy::len_without_is_empty,
    reason = "asking for the length can fail; nobody asks for emptiness"
)]
pub trait DiskFile: ReadAt + std::fmt::Debug {
    /// Writes all of `parts`, one behind the other, from `position` on.
    ///
    /// # Errors
    /// Whatever the disk answers; then any part of it may have been written.
    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable. After an error the bytes are lost: it must not be
    /// tried again.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn sync(&self) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn len(&self) -> io::Result<u64>;

    /// When its bytes were last changed, in milliseconds since 1970; `None` where that is not kept.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn modified_ms(&self) -> io::Result<Option<i64>> {
        Ok(None)
    }

    /// Cuts it off.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Takes room for `len` bytes, so that writes below do not fail for want of it.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// Holds the data directory; dropped, others may open it.
pub trait DiskLock: Send + Sync + std::fmt::Debug {}

/// A folder of files.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// What an operator knows `path` as.
    fn name(&self, path: &str) -> String;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound`; whatever the disk answers.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file, makes an empty one when there is none.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// The names in a folder.
    ///
    /// # Errors
    /// `NotFound`; whatever the disk answers.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Renames a file or folder; a file that has the new name goes.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Removes a folder with what is in it.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn remove_dir(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// Whatever the disk answers.
    fn sync_dir(&self, path: &str) -> io::Result<()>;

    /// Keeps other processes out for as long as the lock lives.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it; whatever the disk answers.
    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>>;
}
