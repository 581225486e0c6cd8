//! A disk in memory whose files a target can read and change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use base::ReadAt;
use parking_lot::{Mutex, RwLock};
use store::disk::{Disk, DiskFile, DiskLock};

/// Files by their paths.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Folder>>);

#[derive(Debug, Default)]
struct Folder {
    files: BTreeMap<String, Arc<MemoryFile>>,
    folders: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Vec<u8>>);

#[derive(Debug)]
struct Lock;

impl DiskLock for Lock {}

impl MemoryDisk {
    /// A disk with these files.
    #[must_use]
    pub fn with(files: &Files) -> Self {
        let disk = Self::default();
        let mut folder = disk.0.lock();
        for (path, bytes) in files {
            folder.folders.extend(parents(path));
            folder.files.insert(
                path.clone(),
                Arc::new(MemoryFile(RwLock::new(bytes.clone()))),
            );
        }
        drop(folder);
        disk
    }

    /// What is on it now.
    #[must_use]
    pub fn files(&self) -> Files {
        let folder = self.0.lock();
        folder
            .files
            .iter()
            .map(|(path, file)| (path.clone(), file.0.read().clone()))
            .collect()
    }
}

/// The folders above a path.
fn parents(path: &str) -> Vec<String> {
    path.match_indices('/')
        .filter_map(|(at, _)| Some(path.get(..at)?.to_owned()))
        .collect()
}

impl ReadAt for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let bytes = self.0.read();
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let n = buffer.len().min(bytes.len() - from);
        buffer[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut bytes = self.0.write();
        let mut at = usize::try_from(position).map_err(io::Error::other)?;
        for part in parts {
            let end = at + part.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(part);
            at = end;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0
            .write()
            .truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut bytes = self.0.write();
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn name(&self, path: &str) -> String {
        path.to_owned()
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.lock().files.get(path).cloned();
        Ok(file.ok_or(ErrorKind::NotFound)?)
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self
            .0
            .lock()
            .files
            .entry(path.to_owned())
            .or_default()
            .clone())
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut folder = self.0.lock();
        folder.folders.extend(parents(path));
        folder.folders.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let folder = self.0.lock();
        if !path.is_empty() && !folder.folders.contains(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let all = folder.files.keys().chain(&folder.folders);
        let inner = all.filter_map(|name| name.strip_prefix(&prefix));
        Ok(inner
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .map(str::to_owned)
            .collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut folder = self.0.lock();
        if let Some(file) = folder.files.remove(from) {
            folder.files.insert(to.to_owned(), file);
            return Ok(());
        }
        if !folder.folders.remove(from) {
            return Err(ErrorKind::NotFound.into());
        }
        let inner = format!("{from}/");
        let moved = |name: &str| name.strip_prefix(&inner).map(|rest| format!("{to}/{rest}"));
        let files = std::mem::take(&mut folder.files);
        folder.files = files
            .into_iter()
            .map(|(name, file)| (moved(&name).unwrap_or(name), file))
            .collect();
        let folders = std::mem::take(&mut folder.folders);
        folder.folders = folders
            .into_iter()
            .map(|name| moved(&name).unwrap_or(name))
            .collect();
        folder.folders.insert(to.to_owned());
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let gone = self.0.lock().files.remove(path);
        gone.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let mut folder = self.0.lock();
        let inner = format!("{path}/");
        folder.files.retain(|name, _| !name.starts_with(&inner));
        folder
            .folders
            .retain(|name| name != path && !name.starts_with(&inner));
        Ok(())
    }

    fn sync_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &str) -> io::Result<Box<dyn DiskLock>> {
        Ok(Box::new(Lock))
    }
}
