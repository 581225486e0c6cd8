//! A simulated disk, for tests: it forgets what was not synced, fails when it is told to, and
//! counts its steps, so that a test can take the power away at each of them.
//!
//! What it models (and what the crash decides, by a seed):
//! - A file's bytes are pending until [`DiskFile::sync`]. After a crash each 512-byte sector (or
//!   each 4 KiB page) is as it was at *some* moment since the last sync, each for itself; so is the
//!   length. Writes are torn, suffixes and arbitrary subsets are lost.
//! - A name is pending until [`Disk::sync_dir`] of its folder: a create, a rename, a removal is
//!   kept or lost, each for itself. A synced file whose name is lost is gone.
//! - A failed sync drops what was pending, as Linux does: reads go on to show it (the page cache),
//!   a later sync succeeds, the disk never gets it.
//! - A full disk takes as much of a write as fits.
//! - Bits rot where a test says so.
//!
//! [`SimDisk::crash`] is what the machine finds after a power loss, [`SimDisk::restart`] what the
//! next process finds after `kill -9`. The disk that it is called on answers every later operation
//! with an error, so that the old store can be dropped but does no more harm.
//!
//! It is not fast and holds everything twice in memory.

mod crash;
mod disk;
mod file;
mod names;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use file::FileNode;
use names::FolderNode;

/// How many steps are remembered for a test that fails.
const TRACE_MAX: usize = 64;
/// The node of the data directory.
const ROOT: u64 = 0;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Of a file's bytes, for the first time or again.
    Write,
    /// Of a file's bytes.
    Sync,
    /// Of a file.
    Truncate,
    /// Of room for a file.
    Allocate,
    /// Of a file or a folder that was not there.
    Create,
    /// Of a file or folder.
    Rename,
    /// Of a file or folder.
    Remove,
    /// Of a folder's names.
    SyncDir,
    /// Of a file's bytes. Not a step: it changes nothing.
    Read,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device does not answer (EIO).
    Io,
    /// No space is left (ENOSPC).
    Full,
    /// The file system is mounted read-only (EROFS).
    ReadOnly,
    /// Permission denied (EACCES).
    Denied,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("input/output error (simulated)"),
            Self::Full => ErrorKind::StorageFull.into(),
            Self::ReadOnly => ErrorKind::ReadOnlyFilesystem.into(),
            Self::Denied => ErrorKind::PermissionDenied.into(),
        }
    }
}

/// See the module. Cheap to clone; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Somebody arrived at a gate, or one was opened.
    gates: Condvar,
}

#[derive(Clone, Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    steps: u64,
    off: bool,
    off_at: Option<u64>,
    planned: Vec<Planned>,
    fails_at: Option<(u64, Fault)>,
    faults: u64,
    gates: Vec<Gate>,
    space: Option<u64>,
    refuses: Option<Fault>,
    locked: bool,
    trace: VecDeque<String>,
}

#[derive(Clone)]
enum Node {
    File(FileNode),
    Folder(FolderNode),
}

/// Which operations are meant: of this kind, whose path contains this, after so many others.
#[derive(Clone, Debug)]
struct Which {
    action: Action,
    path: String,
    skip: u64,
}

impl Which {
    fn is_due(&mut self, action: Action, path: &str) -> bool {
        if self.action != action || !path.contains(&self.path) {
            return false;
        }
        let due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        due
    }
}

#[derive(Clone)]
struct Planned {
    which: Which,
    fault: Fault,
}

#[derive(Clone)]
struct Gate {
    which: Which,
    arrived: bool,
    open: bool,
}

/// What a step is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    /// Its work.
    On,
    /// The power goes in the middle of it: what it does is pending at most, and it fails.
    Lost,
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("SimDisk")
            .field("steps", &state.steps)
            .field("off", &state.off)
            .field("trace", &state.trace)
            .finish_non_exhaustive()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty one without limits.
    #[must_use]
    pub fn new() -> Self {
        let root = Node::Folder(FolderNode::default());
        Self::with(State {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_node: ROOT + 1,
            ..State::default()
        })
    }

    fn with(state: State) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            gates: Condvar::new(),
        }))
    }

    /// How many operations have changed something, or were to.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.state.lock().steps
    }

    /// The last steps, for a test that fails.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.0.state.lock().trace.iter().cloned().collect()
    }

    /// Takes the power away in the middle of the step numbered `step`; the first is 1.
    pub fn power_off_at(&self, step: u64) {
        self.0.state.lock().off_at = Some(step);
    }

    /// Takes the power away now.
    pub fn power_off(&self) {
        self.0.state.lock().off = true;
        self.0.gates.notify_all();
    }

    /// Takes the power away and gives the memory back: nothing is left but the trace.
    pub fn discard(&self) {
        self.power_off();
        self.0.state.lock().nodes.clear();
    }

    /// Whether the power is away.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.state.lock().off
    }

    /// What the machine finds after a power loss now (or when it was). `seed` decides what of all
    /// that was pending is there.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.power_off();
        Self::with(crash::settle(&self.0.state.lock(), seed))
    }

    /// What the next process finds after this one was killed: everything, and what was pending
    /// still is.
    #[must_use]
    pub fn restart(&self) -> Self {
        let copy = self.copy();
        self.power_off();
        copy
    }

    /// Another disk that is as this one is now, without its faults and gates. This one goes on.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut state = self.0.state.lock().clone();
        state.off = false;
        state.off_at = None;
        state.locked = false;
        state.planned.clear();
        state.fails_at = None;
        state.faults = 0;
        state.gates.clear();
        Self::with(state)
    }

    /// Lets one operation fail: of this kind, on a path that contains `path`, after `skip` others
    /// of which the same holds. A failed sync drops what was pending.
    pub fn fail(&self, action: Action, path: &str, skip: u64, fault: Fault) {
        let which = Which {
            action,
            path: path.to_owned(),
            skip,
        };
        self.0.state.lock().planned.push(Planned { which, fault });
    }

    /// Lets the step numbered `step` fail. A failed sync drops what was pending.
    pub fn fail_at(&self, step: u64, fault: Fault) {
        self.0.state.lock().fails_at = Some((step, fault));
    }

    /// How many operations have failed as they were told to.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.0.state.lock().faults
    }

    /// Holds one operation up until [`SimDisk::open_gate`], chosen as by [`SimDisk::fail`]. Returns
    /// the gate's number.
    #[must_use]
    pub fn close_gate(&self, action: Action, path: &str, skip: u64) -> usize {
        let mut state = self.0.state.lock();
        let number = state.gates.len();
        let which = Which {
            action,
            path: path.to_owned(),
            skip,
        };
        state.gates.push(Gate {
            which,
            arrived: false,
            open: false,
        });
        number
    }

    /// Waits until an operation stands before the gate. Blocks.
    pub fn wait_at_gate(&self, number: usize) {
        let mut state = self.0.state.lock();
        while !state.off && state.gates.get(number).is_some_and(|gate| !gate.arrived) {
            self.0.gates.wait(&mut state);
        }
    }

    /// Lets it through.
    pub fn open_gate(&self, number: usize) {
        if let Some(gate) = self.0.state.lock().gates.get_mut(number) {
            gate.open = true;
        }
        self.0.gates.notify_all();
    }

    /// How many bytes fit; `None` for no limit.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.0.state.lock().space = bytes;
    }

    /// How many bytes the files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.state.lock().used()
    }

    /// Lets every step fail so; `None` ends that.
    pub fn refuse(&self, fault: Option<Fault>) {
        self.0.state.lock().refuses = fault;
    }

    /// The files, by path, with their length.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.0.state.lock();
        let mut files = Vec::new();
        state.walk(ROOT, "", &mut files);
        files
    }

    /// A file's bytes as a reader sees them.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.0.state.lock();
        let node = state.find(path).ok()?;
        state.file(node).ok().map(|file| file.live.clone())
    }

    /// Flips a bit of a file, on the disk and in what was read of it before.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` beyond its end.
    pub fn flip_bit(&self, path: &str, bit: u64) -> io::Result<()> {
        let mut state = self.0.state.lock();
        let node = state.find(path)?;
        state.file_mut(node)?.flip(bit)
    }

    /// Puts a file there with these bytes, all of it durable, as if somebody else had.
    ///
    /// # Errors
    /// `NotFound` without its folder.
    pub fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.state.lock();
        let (folder, name) = state.place(path)?;
        let node = state.add(Node::File(FileNode::durable(bytes.to_vec())));
        state.folder_mut(folder)?.put(name, node);
        Ok(())
    }

    /// Counts a step; waits at gates. An error is the operation's outcome.
    fn step(&self, action: Action, path: &str) -> io::Result<(MutexGuard<'_, State>, Power)> {
        let mut state = self.0.state.lock();
        state.check_on()?;
        if action != Action::Read {
            state.steps += 1;
            let line = format!("{} {action:?} {path}", state.steps);
            if state.trace.len() == TRACE_MAX {
                state.trace.pop_front();
            }
            state.trace.push_back(line);
            if state.off_at.is_some_and(|at| state.steps >= at) {
                state.off = true;
                self.0.gates.notify_all();
                return Ok((state, Power::Lost));
            }
        }
        let held = state
            .gates
            .iter_mut()
            .position(|gate| !gate.arrived && gate.which.is_due(action, path));
        if let Some(number) = held {
            if let Some(gate) = state.gates.get_mut(number) {
                gate.arrived = true;
            }
            self.0.gates.notify_all();
            while !state.off && state.gates.get(number).is_some_and(|gate| !gate.open) {
                self.0.gates.wait(&mut state);
            }
            state.check_on()?;
        }
        let due = state
            .planned
            .iter_mut()
            .position(|p| p.which.is_due(action, path));
        let planned = due.map(|at| state.planned.remove(at).fault);
        let by_step = state
            .fails_at
            .filter(|(step, _)| action != Action::Read && *step == state.steps)
            .map(|(_, fault)| fault);
        if let Some(fault) = planned.or(by_step) {
            return Err(self.fault(&mut state, action, path, fault));
        }
        match state.refuses {
            Some(fault) if action != Action::Read => Err(fault.error()),
            _ => Ok((state, Power::On)),
        }
    }

    fn fault(&self, state: &mut State, action: Action, path: &str, fault: Fault) -> io::Error {
        state.faults += 1;
        state.trace.push_back(format!("  which fails: {fault:?}"));
        if action == Action::Sync
            && let Ok(node) = state.find(path)
            && let Ok(file) = state.file_mut(node)
        {
            file.drop_pending();
        }
        fault.error()
    }
}

fn lost() -> io::Error {
    io::Error::other("the power is away (simulated)")
}

impl Power {
    fn outcome(self) -> io::Result<()> {
        match self {
            Self::On => Ok(()),
            Self::Lost => Err(lost()),
        }
    }
}

impl State {
    fn check_on(&self) -> io::Result<()> {
        if self.off { Err(lost()) } else { Ok(()) }
    }

    fn add(&mut self, node: Node) -> u64 {
        let number = self.next_node;
        self.next_node += 1;
        self.nodes.insert(number, node);
        number
    }

    fn used(&self) -> u64 {
        let mut files = Vec::new();
        self.walk(ROOT, "", &mut files);
        files.iter().map(|(_, len)| len).sum()
    }

    /// How many more bytes fit.
    fn room(&self) -> u64 {
        self.space
            .map_or(u64::MAX, |space| space.saturating_sub(self.used()))
    }
}

#[cfg(test)]
mod tests;
