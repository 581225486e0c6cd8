//! Names: what a folder holds now, what of that is durable, and the changes in between.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::file::FileNode;
use super::{Node, ROOT, State};

/// A folder. Its names are durable once it is synced.
#[derive(Clone, Default)]
pub(super) struct FolderNode {
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// The changes since, with their step.
    pending: Vec<(u64, Change)>,
}

/// A change of a folder's names.
#[derive(Clone)]
pub(super) enum Change {
    Add(String, u64),
    Remove(String),
    Rename { from: String, to: String, node: u64 },
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl FolderNode {
    pub(super) fn with(names: BTreeMap<String, u64>) -> Self {
        Self {
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.live.keys().cloned().collect()
    }

    /// A name that is durable at once.
    pub(super) fn put(&mut self, name: String, node: u64) {
        self.live.insert(name.clone(), node);
        self.durable.insert(name, node);
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.live.clone();
        self.pending.clear();
    }

    /// The names after a crash that keeps the changes for which `keep` says so of their step.
    pub(super) fn settled(&self, mut keep: impl FnMut(u64) -> bool) -> BTreeMap<String, u64> {
        let mut names = self.durable.clone();
        for (step, change) in &self.pending {
            if keep(*step) {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl State {
    /// The node at `path`.
    pub(super) fn find(&self, path: &str) -> io::Result<u64> {
        let mut node = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let next = self.folder(node)?.live.get(name).copied();
            node = next.ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The folder that holds `path`, and its name in there.
    pub(super) fn place(&self, path: &str) -> io::Result<(u64, String)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(folder)?, name.to_owned()))
    }

    pub(super) fn folder(&self, node: u64) -> io::Result<&FolderNode> {
        match self.nodes.get(&node) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn folder_mut(&mut self, node: u64) -> io::Result<&mut FolderNode> {
        match self.nodes.get_mut(&node) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file(&self, node: u64) -> io::Result<&FileNode> {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file_mut(&mut self, node: u64) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Changes a folder's names; pending until it is synced.
    pub(super) fn change(&mut self, folder: u64, change: Change) -> io::Result<()> {
        let step = self.steps;
        let folder = self.folder_mut(folder)?;
        change.apply(&mut folder.live);
        folder.pending.push((step, change));
        Ok(())
    }

    /// Takes all out of a folder.
    pub(super) fn empty(&mut self, folder: u64) -> io::Result<()> {
        let inside: Vec<(String, u64)> = self.folder(folder)?.live.clone().into_iter().collect();
        for (name, node) in inside {
            if self.folder(node).is_ok() {
                self.empty(node)?;
            }
            self.change(folder, Change::Remove(name))?;
        }
        Ok(())
    }

    /// The files below a folder, with their length.
    pub(super) fn walk(&self, node: u64, above: &str, files: &mut Vec<(String, u64)>) {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => files.push((above.to_owned(), file.live.len() as u64)),
            Some(Node::Folder(folder)) => {
                for (name, inner) in &folder.live {
                    let between = if above.is_empty() { "" } else { "/" };
                    self.walk(*inner, &format!("{above}{between}{name}"), files);
                }
            }
            None => {}
        }
    }
}
