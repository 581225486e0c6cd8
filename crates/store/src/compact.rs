//! Compaction: of each key only the last record stays.
//!
//! A pass has two halves. It first goes through the *dirty* part, which no pass has been through,
//! and remembers of each key the last offset (`keys.rs`), as far as memory allows. Then it
//! rewrites the segments from the stream's start to there without the records that a later one
//! replaces (`filter.rs`), several small segments to one, each put in place of the old ones in one
//! step (`log/swap.rs`). When all are done, the stream's checkpoint says how far that was.
//!
//! Never touched: the newest segment, and what is younger than the stream's lag. Segments are
//! rewritten in order, and a pass that cannot go on is given up as a whole: a tombstone only goes
//! in a pass that has gone through everything before it. Readers keep the segments they have.
//!
//! The stream's log is locked to plan and for each swap, not while segments are read and written.

mod filter;
mod keys;
mod plan;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Offset;
use bytes::Bytes;

use crate::batch::{self, PLACE_LEN};
use crate::config::StreamConfig;
use crate::error::Error;
use crate::log::swap::ASIDE;
use crate::segment::Segment;
use crate::store::Shared;
use crate::stream::Shared as StreamShared;
use crate::tail::Chunk;
use filter::{Left, Rules};
use keys::Keys;

pub(crate) use plan::{Plan, plan};

/// How much is written at a time, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// Asks the engine for the first offsets of batches that stay although nothing is left in them.
pub(crate) struct Pins(pub(crate) Box<dyn Fn() -> Vec<Offset> + Send + Sync>);

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pins")
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It went as far as memory allowed: up to this offset.
    Done(u64),
    /// It was given up: the store is closing, the stream changed, or there was no memory. Another
    /// one may be tried later.
    GivenUp,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) removed: u64,
}

/// A pass over one stream.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    store: &'a Shared,
    stream: &'a Arc<StreamShared>,
    plan: &'a Plan,
    config: StreamConfig,
    pub(crate) count: Count,
}

/// A segment in the making.
struct Output {
    segment: Segment,
    path: String,
    chunks: Vec<Chunk>,
    bytes: usize,
    /// Whether it differs from what it is made of.
    changed: bool,
}

/// What keeps a pass from going on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The stream cannot be compacted: it is damaged. Nothing was changed.
    Stream(Error),
    /// The disk refused while a new segment was written. Nothing was changed.
    Aside(Error),
    /// The disk refused while segments were swapped: the store has to stop.
    Swap(Error),
}

impl<'a> Pass<'a> {
    pub(crate) fn new(store: &'a Shared, stream: &'a Arc<StreamShared>, plan: &'a Plan) -> Self {
        Self {
            store,
            stream,
            plan,
            config: stream.config.read().clone(),
            count: Count::default(),
        }
    }

    /// Runs it. Blocks.
    pub(crate) fn run(&mut self) -> Result<Outcome, Failure> {
        let limit = self.store.config.compaction_memory_bytes.as_usize();
        let Some(mut keys) = Keys::new(&self.store.parts.ledger, limit) else {
            return Ok(Outcome::GivenUp);
        };
        let Some(end) = self.collect(&mut keys)? else {
            return Ok(Outcome::GivenUp);
        };
        let log = self.stream.log.lock();
        if !self.may_go_on() {
            return Ok(Outcome::GivenUp);
        }
        log.sync_checkpoints().map_err(Failure::Swap)?;
        drop(log);
        self.store.metrics.compaction.keys.set(as_gauge(keys.len()));
        self.store
            .metrics
            .compaction
            .memory_bytes
            .set(as_gauge(keys.bytes()));
        let pins = self.stream.pins.read().as_ref().map(|pins| (pins.0)());
        let rules = Rules {
            keys,
            end,
            now_ms: self.store.parts.clock.unix_ms(),
            tombstones_ms: i64::try_from(self.config.delete_retention_ms).unwrap_or(i64::MAX),
            pins: pins.unwrap_or_default().iter().map(|pin| pin.0).collect(),
            last: self.plan.stop,
        };
        let mut rest = self.plan.below(end);
        while !rest.is_empty() {
            let Some(taken) = self.rewrite(rest, &rules)? else {
                return Ok(Outcome::GivenUp);
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        if end > self.plan.from {
            let mut log = self.stream.log.lock();
            if self.stream.removed.load(Ordering::Acquire) {
                return Ok(Outcome::GivenUp);
            }
            log.set_cleaned(end).map_err(Failure::Swap)?;
        }
        Ok(Outcome::Done(end))
    }

    fn may_go_on(&self) -> bool {
        self.store.is_open() && !self.stream.removed.load(Ordering::Acquire)
    }

    /// Remembers the last offset of each key in the dirty part; returns up to where.
    fn collect(&mut self, keys: &mut Keys) -> Result<Option<u64>, Failure> {
        let (from, stop) = (self.plan.from, self.plan.stop);
        if from == stop {
            return Ok(Some(stop));
        }
        let dirty = self.plan.segments.iter().filter(|s| s.next() > from);
        for segment in dirty {
            let mut walk = segment.walk(from).map_err(of_stream)?;
            while let Some((header, batch)) = walk.next().map_err(of_stream)? {
                if !self.may_go_on() {
                    return Ok(None);
                }
                self.count.read += batch.len() as u64;
                if header.is_control() {
                    continue;
                }
                let base = u64::try_from(header.base_offset).unwrap_or(0);
                let plain = filter::plain(&header, &batch).map_err(|e| of_stream(e.into()))?;
                let _held = self.charge(batch.len() + plain.len());
                for record in batch::records(&plain) {
                    let record = record.map_err(|e| of_stream(e.into()))?;
                    let offset = base + u64::try_from(record.offset_delta).unwrap_or(0);
                    if let Some(key) = record.key.filter(|_| offset >= from)
                        && !keys.put(key, offset)
                    {
                        return Ok(Some(offset));
                    }
                }
            }
        }
        Ok(Some(stop))
    }

    fn charge(&self, bytes: usize) -> base::Charge {
        self.store.parts.ledger.force_charge(bytes)
    }

    /// Puts what is left of the first of `segments`, and of as many behind it as fit in the same
    /// new one, in their place. Returns how many; `None` when the pass is to be given up.
    fn rewrite(
        &mut self,
        segments: &[Arc<Segment>],
        rules: &Rules,
    ) -> Result<Option<usize>, Failure> {
        let Some(first) = segments.first() else {
            return Ok(Some(0));
        };
        let disk = &*self.store.parts.disk;
        let folder = self.stream.log.lock().folder().to_owned();
        let path = crate::segment::path(&folder, first.base, ASIDE);
        let segment = match Segment::create_aside(disk, &folder, first.base, ASIDE) {
            Ok(segment) => segment,
            // A stream that was removed has no folder any more.
            Err(_) if !self.may_go_on() => return Ok(None),
            Err(error) => return Err(Failure::Aside(error)),
        };
        let mut output = Output {
            segment,
            path,
            chunks: Vec::new(),
            bytes: 0,
            changed: false,
        };
        let taken = match self.fill(segments, rules, &mut output) {
            Ok(Some(taken)) => taken,
            other => {
                discard(disk, &output);
                return other;
            }
        };
        let group = segments.get(..taken).unwrap_or_default();
        if !output.changed && taken == 1 {
            discard(disk, &output);
            first.set_horizon(output.segment.horizon());
            return Ok(Some(taken));
        }
        if let Err(error) = output.segment.sync_batches() {
            discard(disk, &output);
            return Err(Failure::Aside(error));
        }
        self.count.written += output.segment.len();
        Ok(self.swap(group, output)?.then_some(taken))
    }

    /// Writes what is left of `segments` aside, as long as the next one is sure to fit. Returns
    /// how many that were; `None` when the pass is to be given up.
    fn fill(
        &mut self,
        segments: &[Arc<Segment>],
        rules: &Rules,
        output: &mut Output,
    ) -> Result<Option<usize>, Failure> {
        let interval = self.config.index_interval_bytes;
        let mut taken = 0;
        for segment in segments {
            let size = output.segment.len() + output.bytes as u64 + segment.len();
            // The index has 32 bits for an offset.
            let near = i32::try_from(segment.next() - output.segment.base).is_ok();
            let fits = self.plan.is_whole() && size <= self.config.segment_bytes && near;
            if taken > 0 && !fits {
                break;
            }
            taken += 1;
            output.segment.note_written(segment.written_ms());
            let mut walk = segment.walk(segment.base).map_err(of_stream)?;
            while let Some((header, batch)) = walk.next().map_err(of_stream)? {
                if !self.may_go_on() {
                    return Ok(None);
                }
                self.count.read += batch.len() as u64;
                let _held = self.charge(batch.len() * 2);
                let verdict = rules
                    .apply(&header, &batch)
                    .map_err(|e| of_stream(e.into()))?;
                self.count.removed += verdict.removed;
                if let Some(horizon) = verdict.horizon {
                    output.segment.note_horizon(horizon);
                }
                output.changed |= verdict.left != Left::Whole;
                match verdict.left {
                    Left::Nothing => continue,
                    Left::Whole => output.push(batch)?,
                    Left::Some(batch) => output.push(batch)?,
                }
                if output.bytes >= WRITE_BYTES {
                    output.write(interval)?;
                }
            }
        }
        output.write(interval)?;
        Ok(Some(taken))
    }

    fn swap(&self, group: &[Arc<Segment>], output: Output) -> Result<bool, Failure> {
        let disk = &*self.store.parts.disk;
        let mut log = self.stream.log.lock();
        if !self.may_go_on() {
            discard(disk, &output);
            return Ok(false);
        }
        let new = Arc::new(output.segment);
        if !log.replace(group, &new).map_err(Failure::Swap)? {
            // Retention was quicker.
            let _ = disk.remove(&output.path);
            return Ok(false);
        }
        let segments = log.segments();
        let behind = segments.iter().find(|segment| segment.base > new.base);
        let below = behind.map_or(0, |segment| segment.base);
        *self.stream.segments.write() = segments;
        // From now on readers get what is at rest.
        self.store.cache.forget(self.stream, below);
        Ok(true)
    }
}

impl Output {
    fn push(&mut self, batch: Bytes) -> Result<(), Failure> {
        let header =
            batch::BatchHeader::parse(&batch).map_err(|e| Failure::Stream(Error::from(e)))?;
        self.bytes += batch.len();
        self.chunks.push(Chunk {
            base: u64::try_from(header.base_offset).unwrap_or(0),
            next: header.next_offset(),
            max_timestamp: header.max_timestamp,
            head: batch.slice(..PLACE_LEN),
            body: batch.slice(PLACE_LEN..),
        });
        Ok(())
    }

    fn write(&mut self, interval: u64) -> Result<(), Failure> {
        self.bytes = 0;
        if self.chunks.is_empty() {
            return Ok(());
        }
        self.segment
            .append(&self.chunks, interval, i64::MIN)
            .map_err(Failure::Aside)?;
        self.chunks.clear();
        Ok(())
    }
}

/// What a start would remove too.
fn discard(disk: &dyn crate::Disk, output: &Output) {
    let _ = disk.remove(&output.path);
}

fn of_stream(error: Error) -> Failure {
    if matches!(error, Error::Damaged { .. } | Error::Batch(_)) {
        Failure::Stream(error)
    } else {
        Failure::Aside(error)
    }
}

fn as_gauge(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
