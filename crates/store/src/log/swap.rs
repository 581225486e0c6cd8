//! Putting a compacted segment in the place of those that it was made of.
//!
//! It is written as `<base>.cleaned` and synced. Renamed to `<base>-<end>.swap` it counts: from
//! then on it stands for the offsets from `base` up to `end`, and whatever else lies there is old.
//! That goes, with the indexes, and the new one gets its name. A crash leaves a `.cleaned` file,
//! which is removed, or a `.swap` file, with which a start goes on where the crash was. Between
//! two steps of which the order matters, the folder is synced (docs/adr/0002).

use std::sync::Arc;

use super::Log;
use crate::disk::Disk;
use crate::error::Error;
use crate::segment::{self, Segment};

/// The ending of a segment that does not count yet.
pub(crate) const ASIDE: &str = "cleaned";
const SWAP: &str = "swap";

/// A segment that counts and has not got its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Swap {
    base: u64,
    end: u64,
}

impl Swap {
    fn path(self, folder: &str) -> String {
        format!("{folder}/{:020}-{:020}.{SWAP}", self.base, self.end)
    }

    fn parse(name: &str) -> Option<Self> {
        let (base, end) = name
            .strip_suffix(SWAP)?
            .strip_suffix('.')?
            .split_once('-')?;
        Some(Self {
            base: base.parse().ok()?,
            end: end.parse().ok()?,
        })
    }

    /// Takes away what the new segment stands for, and gives it its name.
    fn finish(self, disk: &dyn Disk, folder: &str) -> Result<(), Error> {
        let log = segment::path(folder, self.base, "log");
        for name in list(disk, folder)? {
            let path = format!("{folder}/{name}");
            let inside = segment_file(&name).is_some_and(|at| at >= self.base && at < self.end);
            // The oldest segment's file goes when the new one takes its name.
            if inside && path != log {
                remove(disk, &path)?;
            }
        }
        sync(disk, folder)?;
        disk.rename(&self.path(folder), &log)
            .map_err(|e| Error::disk("rename to", disk.name(&log), e))?;
        sync(disk, folder)
    }
}

/// The first offset of the segment that `name` belongs to.
fn segment_file(name: &str) -> Option<u64> {
    let (base, ending) = name.split_once('.')?;
    let known = matches!(ending, "log" | "index" | "timeindex");
    known.then(|| base.parse().ok()).flatten()
}

fn list(disk: &dyn Disk, folder: &str) -> Result<Vec<String>, Error> {
    disk.list(folder)
        .map_err(|e| Error::disk("list", disk.name(folder), e))
}

fn remove(disk: &dyn Disk, path: &str) -> Result<(), Error> {
    disk.remove(path)
        .map_err(|e| Error::disk("remove", disk.name(path), e))
}

fn sync(disk: &dyn Disk, folder: &str) -> Result<(), Error> {
    disk.sync_dir(folder)
        .map_err(|e| Error::disk("sync the folder of", disk.name(folder), e))
}

/// Finishes or undoes what a crash interrupted.
pub(super) fn recover(disk: &dyn Disk, folder: &str) -> Result<(), Error> {
    let names = list(disk, folder)?;
    let aside = |name: &&String| {
        name.strip_suffix(ASIDE)
            .is_some_and(|base| base.ends_with('.'))
    };
    for name in names.iter().filter(aside) {
        remove(disk, &format!("{folder}/{name}"))?;
    }
    for swap in names.iter().filter_map(|name| Swap::parse(name)) {
        swap.finish(disk, folder)?;
    }
    Ok(())
}

impl Log {
    /// Puts `new`, which was created aside and is synced, in the place of `old`, sealed segments
    /// that follow each other. False, and nothing has changed, when those are not there any more.
    ///
    /// # Errors
    /// Whatever the disk answers; then nothing may be written any more.
    pub(crate) fn replace(
        &mut self,
        old: &[Arc<Segment>],
        new: &Arc<Segment>,
    ) -> Result<bool, Error> {
        let first = old.first();
        let at = self
            .segments
            .iter()
            .position(|segment| first.is_some_and(|first| Arc::ptr_eq(first, segment)));
        let Some(at) = at else { return Ok(false) };
        let behind = at + old.len();
        let there = self.segments.get(at..behind).unwrap_or_default();
        let same = there.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b));
        let Some(follower) = self.segments.get(behind).filter(|_| same) else {
            return Ok(false);
        };
        let swap = Swap {
            base: new.base,
            end: follower.base,
        };
        self.unless_failed(|log| {
            let (disk, folder) = (&*log.disk, &log.folder);
            let path = swap.path(folder);
            disk.rename(&segment::path(folder, new.base, ASIDE), &path)
                .map_err(|e| Error::disk("rename to", disk.name(&path), e))?;
            sync(disk, folder)?;
            swap.finish(disk, folder)?;
            new.save_index(disk)?;
            log.segments.splice(at..behind, [new.clone()]);
            Ok(true)
        })
    }

    /// Sees to it that every checkpoint a start may find counts what the newest one does: behind
    /// what it counts, a start takes a gap for a torn write.
    pub(crate) fn sync_checkpoints(&self) -> Result<(), Error> {
        match &self.file {
            Some(file) => file.sync_both(&*self.disk),
            None => Ok(()),
        }
    }

    /// Keeps in the checkpoint that compaction has been everywhere below `offset`.
    pub(crate) fn set_cleaned(&mut self, offset: u64) -> Result<(), Error> {
        self.unless_failed(|log| {
            log.state.cleaned = offset;
            log.save()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_segment_stands_for() {
        let swap = Swap { base: 7, end: 5000 };
        let name = swap.path("f");
        assert_eq!(name, "f/00000000000000000007-00000000000000005000.swap");
        assert_eq!(Swap::parse(name.strip_prefix("f/").unwrap()), Some(swap));
        assert_eq!(Swap::parse("00000000000000000007.cleaned"), None);
        assert_eq!(segment_file("00000000000000000007.timeindex"), Some(7));
        assert_eq!(segment_file("00000000000000000007.cleaned"), None);
        assert_eq!(segment_file("checkpoint.0"), None);
    }
}
