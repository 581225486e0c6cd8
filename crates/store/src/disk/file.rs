//! Real files.

#![allow(clippy::disallowed_methods, reason = "this is where files are opened")]

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::ReadAt;
use rustix::fs::{FallocateFlags, FlockOperation};

use super::{Disk, DiskFile, DiskLock};

/// How many parts one system call takes.
const PARTS_MAX: usize = 1024;

/// A folder of the operating system.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
}

#[derive(Debug)]
struct OpenFile(File);

#[derive(Debug)]
struct Lock {
    _file: File,
}

impl DiskLock for Lock {}

impl FileDisk {
    /// The folder at `root`, made when there is none.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub fn new(root: &Path) -> io::Result<Self> {
        let is_new = !root.try_exists()?;
        std::fs::create_dir_all(root)?;
        if is_new && let Some(parent) = root.canonicalize()?.parent() {
            // A crash must not take the folder with everything in it.
            File::open(parent)?.sync_all()?;
        }
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl ReadAt for OpenFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn file(&self) -> Option<&File> {
        Some(&self.0)
    }
}

impl DiskFile for OpenFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        let mut parts = parts;
        while !parts.is_empty() {
            let some = &parts[..parts.len().min(PARTS_MAX)];
            let done = match rustix::io::pwritev(&self.0, some, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(done) => done,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            position += done as u64;
            IoSlice::advance_slices(&mut parts, done);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn modified_ms(&self) -> io::Result<Option<i64>> {
        let modified = self.0.metadata()?.modified()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH);
        Ok(since
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok()))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            // Not every file system can; then room is found as it is needed.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }
}

impl Disk for FileDisk {
    fn name(&self, path: &str) -> String {
        self.path(path).display().to_string()
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(path))?;
        Ok(Arc::new(OpenFile(file)))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Arc::new(OpenFile(options.open(self.path(path))?)))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.path(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(path))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(path))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        std::fs::remove_dir_all(self.path(path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        File::open(self.path(path))?.sync_all()
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Box::new(Lock { _file: file })),
            Err(error) => Err(error.into()),
        }
    }
}
