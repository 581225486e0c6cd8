//! The simulated disk as the store sees it.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use base::ReadAt;

use super::file::FileNode;
use super::names::{Change, FolderNode};
use super::{Action, Fault, Node, SimDisk};
use crate::disk::{Disk, DiskFile, DiskLock};

#[derive(Debug)]
struct SimLock(SimDisk);

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.0.state.lock().locked = false;
    }
}

impl Disk for SimDisk {
    fn name(&self, path: &str) -> String {
        format!("/sim/{path}")
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.state.lock();
        state.check_on()?;
        let node = state.find(path)?;
        state.file(node)?;
        Ok(self.handle(node, path))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        match self.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        let (mut state, power) = self.step(Action::Create, path)?;
        let (folder, name) = state.place(path)?;
        let node = state.add(Node::File(FileNode::default()));
        state.change(folder, Change::Add(name, node))?;
        power.outcome()?;
        Ok(self.handle(node, path))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut made = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = made.clone();
            made = format!("{made}{}{name}", if made.is_empty() { "" } else { "/" });
            if self.0.state.lock().find(&made).is_ok() {
                continue;
            }
            let (mut state, power) = self.step(Action::Create, &made)?;
            let folder = state.find(&above)?;
            let node = state.add(Node::Folder(FolderNode::default()));
            state.change(folder, Change::Add(name.to_owned(), node))?;
            power.outcome()?;
        }
        self.0.state.lock().check_on()
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.0.state.lock();
        state.check_on()?;
        let node = state.find(path)?;
        Ok(state.folder(node)?.names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut state, power) = self.step(Action::Rename, from)?;
        let node = state.find(from)?;
        let ((folder, from), (other, to)) = (state.place(from)?, state.place(to)?);
        if folder != other {
            return Err(ErrorKind::Unsupported.into());
        }
        state.change(folder, Change::Rename { from, to, node })?;
        power.outcome()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        // What is not there is no step: nothing changes.
        self.open(path)?;
        let (mut state, power) = self.step(Action::Remove, path)?;
        let (folder, name) = state.place(path)?;
        state.change(folder, Change::Remove(name))?;
        power.outcome()
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let (mut state, power) = self.step(Action::Remove, path)?;
        let node = state.find(path)?;
        state.empty(node)?;
        let (folder, name) = state.place(path)?;
        state.change(folder, Change::Remove(name))?;
        power.outcome()
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let (mut state, power) = self.step(Action::SyncDir, path)?;
        let node = state.find(path)?;
        power.outcome()?;
        state.folder_mut(node)?.sync();
        Ok(())
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        self.create(path)?;
        let mut state = self.0.state.lock();
        if state.locked {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        Ok(Box::new(SimLock(self.clone())))
    }
}

impl SimDisk {
    fn handle(&self, node: u64, path: &str) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            node,
            path: path.to_owned(),
        })
    }
}

/// An open file; it stays usable when its name is changed or removed.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: u64,
    /// What it was opened as.
    path: String,
}

impl ReadAt for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let (state, _) = self.disk.step(Action::Read, &self.path)?;
        Ok(state.file(self.node)?.read(buffer, position))
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let (mut state, power) = self.disk.step(Action::Write, &self.path)?;
        let mut bytes: Vec<u8> = Vec::new();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let step = state.steps;
        let room = state.room();
        let file = state.file_mut(self.node)?;
        let fits = file.fits(position, bytes.len(), room);
        file.write(position, bytes.get(..fits).unwrap_or(&bytes), step);
        power.outcome()?;
        if fits < bytes.len() {
            return Err(Fault::Full.error());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, power) = self.disk.step(Action::Sync, &self.path)?;
        power.outcome()?;
        state.file_mut(self.node)?.sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.0.state.lock();
        state.check_on()?;
        Ok(state.file(self.node)?.live.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if self.len()? == len {
            return Ok(());
        }
        let (mut state, power) = self.disk.step(Action::Truncate, &self.path)?;
        let step = state.steps;
        state.file_mut(self.node)?.truncate(len, step);
        power.outcome()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? >= len {
            return Ok(());
        }
        let (mut state, power) = self.disk.step(Action::Allocate, &self.path)?;
        let (step, room) = (state.steps, state.room());
        let file = state.file_mut(self.node)?;
        if len - file.live.len() as u64 > room {
            return Err(Fault::Full.error());
        }
        file.truncate(len, step);
        power.outcome()
    }
}
