//! What tells that a batch is the one that was written here. Its checksum leaves out where it lies
//! (offset, length, epoch): those are compared with the batches around it, with the stream's epochs,
//! and with the index, which is a hint and not believed alone.
//!
//! Compaction leaves gaps between offsets, so that an offset may be larger than expected, but no
//! batch may reach into the next.

use super::index::Entry;
use super::{HEADER_LEN, ScanEnd, Segment, broken};
use crate::batch::{self, BatchHeader};
use crate::error::Error;

/// The batch that a scan has taken in last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) position: u64,
    /// The offset that was due.
    pub(super) due: u64,
    /// The offset that it says.
    pub(super) base: u64,
}

impl Last {
    /// Before the first batch.
    pub(super) fn at(position: u64, due: u64) -> Self {
        Self {
            position,
            due,
            base: due,
        }
    }
}

impl Segment {
    /// A scan has met an offset that does not follow. The batch at `position` is to blame, or the
    /// one before, if that left a gap: then it is forgotten, rather than handed out where it does
    /// not belong.
    pub(super) fn doubt(&self, last: Last, position: u64, what: &str) -> ScanEnd {
        if last.base == last.due {
            return broken(position, what);
        }
        let mut inner = self.inner.write();
        inner.len = last.position;
        inner.next = last.due;
        inner.index.keep_below(last.position);
        inner.saved = inner.saved.min(inner.index.len());
        broken(last.position, what)
    }

    /// One past the last offset of a batch that must not begin before `least`.
    pub(super) fn follow(
        &self,
        position: u64,
        header: &BatchHeader,
        least: u64,
    ) -> Result<u64, Error> {
        // A negative offset is none, also where 0 would be right.
        if u64::try_from(header.base_offset).is_ok_and(|base| base >= least) {
            return Ok(header.next_offset());
        }
        let base = header.base_offset;
        let what = format!("offset {base} where {least} or more must be");
        Err(self.damaged(position, what))
    }

    /// Whether the batch that an entry of the index speaks of is there.
    pub(super) fn is_there(&self, entry: &Entry) -> Result<bool, Error> {
        if entry.position + HEADER_LEN as u64 > self.file_len()? {
            return Ok(false);
        }
        match self.header(entry.position) {
            Ok(header) => Ok(u64::try_from(header.base_offset) == Ok(entry.offset)),
            Err(Error::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where to go from towards what an entry of the index promises: a position, and the least
    /// offset that may be there.
    pub(super) fn hinted(&self, entry: Option<Entry>) -> Result<(u64, u64), Error> {
        match entry {
            Some(entry) if self.is_there(&entry)? => Ok((entry.position, entry.offset)),
            _ => Ok((0, self.base)),
        }
    }

    /// Compares whole batches that lie at `position` with their checksums, with each other, with
    /// what follows them, and with the epochs that `epoch_of` knows.
    pub(super) fn verify(
        &self,
        position: u64,
        bytes: &[u8],
        epoch_of: &dyn Fn(u64) -> Option<i32>,
    ) -> Result<(), Error> {
        let mut at = 0;
        let mut least = self.base;
        while at < bytes.len() {
            let here = position + at as u64;
            let rest = bytes.get(at..).unwrap_or_default();
            let found = |e: batch::BatchError| self.damaged(here, e.to_string());
            let header = BatchHeader::parse(rest).map_err(found)?;
            let whole = rest
                .get(..header.total_len())
                .ok_or_else(|| found(batch::BatchError::Short))?;
            batch::check_crc(whole).map_err(found)?;
            let epoch = epoch_of(u64::try_from(header.base_offset).unwrap_or(0));
            if let Some(epoch) = epoch.filter(|epoch| *epoch != header.leader_epoch) {
                let what = format!("epoch {} where {epoch} must be", header.leader_epoch);
                return Err(self.damaged(here, what));
            }
            least = self.follow(here, &header, least)?;
            at += header.total_len();
        }
        let end = position + at as u64;
        let (len, next) = {
            let inner = self.inner.read();
            (inner.len, inner.next)
        };
        if end < len {
            self.follow(end, &self.header(end)?, least)?;
        } else if least > next {
            let what = format!("offset {least} is past the end, which is {next}");
            return Err(self.damaged(position, what));
        }
        Ok(())
    }

    /// Compares the batches between two positions, unless they are known to be good.
    pub(super) fn verify_between(&self, from: u64, to: u64) -> Result<(), Error> {
        if from >= to || self.verified.lock().covers(from, to) {
            return Ok(());
        }
        let length = usize::try_from(to - from).unwrap_or(usize::MAX);
        self.verify(from, &self.bytes(from, length)?, &|_| None)
    }

    /// Writes again what is there from `position` on, and makes it durable. The operating system
    /// may show bytes that a failed sync kept from the disk; once written again they count.
    pub(crate) fn rewrite(&self, position: u64) -> Result<(), Error> {
        const STEP: u64 = 1 << 20;
        let (mut at, len) = (position, self.len());
        while at < len {
            let length = usize::try_from(STEP.min(len - at)).unwrap_or(0);
            let bytes = self.bytes(at, length)?;
            self.file
                .write_at(&mut [std::io::IoSlice::new(&bytes)], at)
                .map_err(self.failed("write"))?;
            at += length as u64;
        }
        self.sync_batches()
    }
}
