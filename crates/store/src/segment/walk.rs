//! Going through a segment from one batch to the next, with few reads.

use bytes::Bytes;

use super::Segment;
use crate::batch::{self, BatchHeader, HEADER_LEN};
use crate::error::Error;

/// How much is read at a time, in bytes; a larger batch is read alone.
const WINDOW: usize = 1 << 20;

/// The batches of a segment, in order, compared with their checksums.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    position: u64,
    end: u64,
    /// The least offset that the next batch may have.
    least: u64,
    window: Bytes,
}

impl Segment {
    /// The batches from the one that holds `offset` on, of those that are there now.
    pub(crate) fn walk(&self, offset: u64) -> Result<Walk<'_>, Error> {
        let end = self.len();
        let position = self.find(offset)?.map_or(end, |(position, _)| position);
        Ok(Walk {
            segment: self,
            position,
            end,
            least: self.base,
            window: Bytes::new(),
        })
    }
}

impl Walk<'_> {
    /// The next batch; `None` behind the last one.
    ///
    /// # Errors
    /// [`Error::Damaged`] with its place; whatever the disk answers.
    pub(crate) fn next(&mut self) -> Result<Option<(BatchHeader, Bytes)>, Error> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.fill(HEADER_LEN)?;
        let at = self.position;
        let found = |e: batch::BatchError| self.segment.damaged(at, e.to_string());
        let header = BatchHeader::parse(&self.window).map_err(found)?;
        let length = header.total_len();
        if length as u64 > self.end - at {
            return Err(found(batch::BatchError::Short));
        }
        self.fill(length)?;
        let batch = self.window.split_to(length);
        batch::check_crc(&batch).map_err(|e| self.segment.damaged(at, e.to_string()))?;
        self.least = self.segment.follow(at, &header, self.least)?;
        self.position += length as u64;
        Ok(Some((header, batch)))
    }

    /// Sees to it that the window holds `needed` bytes, as long as the segment has them.
    fn fill(&mut self, needed: usize) -> Result<(), Error> {
        if self.window.len() >= needed {
            return Ok(());
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let length = left.min(needed.max(WINDOW));
        self.window = Bytes::from(self.segment.bytes(self.position, length)?);
        Ok(())
    }
}
