//! When compaction runs: every now and then all streams are looked at, and those that are worth it
//! compacted, the dirtiest first. It has a thread of its own, so that retention does not wait.

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::Shared;
use crate::compact::{Failure, Outcome, Pass, Plan, plan};
use crate::error::Error;
use crate::stream::Shared as StreamShared;

impl Shared {
    /// Whether the store is neither closing nor stopped.
    pub(crate) fn is_open(&self) -> bool {
        !self.closing.load(std::sync::atomic::Ordering::Acquire) && self.check_running().is_ok()
    }

    /// Compacts what is due.
    pub(super) fn compact(&self) -> Result<(), Error> {
        let streams: Vec<_> = self.streams.read().values().cloned().collect();
        let mut plans = Vec::new();
        let mut dirty = 0;
        for stream in streams.iter().filter(|stream| is_compacted(stream)) {
            if let Some(plan) = self.prepare(stream)? {
                dirty += plan.dirty;
                if plan.due {
                    plans.push((stream, plan));
                }
            }
        }
        self.metrics
            .compaction
            .dirty_bytes
            .set(i64::try_from(dirty).unwrap_or(i64::MAX));
        plans.sort_by(|(_, a), (_, b)| b.ratio.total_cmp(&a.ratio));
        for (stream, mut plan) in plans {
            // A pass covers what fits in memory; the next one goes on there.
            while self.pass(stream, &plan)? {
                match self.prepare(stream)? {
                    Some(next) if next.due => plan = next,
                    _ => break,
                }
            }
        }
        let damaged = streams.iter().filter(|s| s.uncleanable.get().is_some());
        let damaged = i64::try_from(damaged.count()).unwrap_or(i64::MAX);
        self.metrics.compaction.uncleanable.set(damaged);
        Ok(())
    }

    /// Sees to it that what is old enough is in sealed segments, and looks at what there is.
    fn prepare(&self, stream: &Arc<StreamShared>) -> Result<Option<Plan>, Error> {
        let _held = self.upkeep.read();
        if !self.is_open() || !is_compacted(stream) {
            return Ok(None);
        }
        let now_ms = self.parts.clock.unix_ms();
        self.settle(stream, now_ms)?;
        let config = stream.config.read().clone();
        // Makes the checkpoint's newest segment the newest there is.
        stream.flush_dirty(self)?;
        Ok(plan(stream, &config, now_ms))
    }

    /// Runs a pass; whether it ended well, so that another may follow.
    fn pass(&self, stream: &Arc<StreamShared>, plan: &Plan) -> Result<bool, Error> {
        let _held = self.upkeep.read();
        if !self.is_open() {
            return Ok(false);
        }
        let started = self.parts.clock.now();
        let mut pass = Pass::new(self, stream, plan);
        let outcome = pass.run();
        let count = pass.count;
        let took = self.parts.clock.now().saturating_duration_since(started);
        let metrics = &self.metrics.compaction;
        metrics.runs.inc();
        metrics.read_bytes.inc_by(count.read);
        metrics.written_bytes.inc_by(count.written);
        metrics.removed_records.inc_by(count.removed);
        metrics.seconds.observe(took.as_secs_f64());
        match outcome {
            Ok(Outcome::Done(end)) => {
                info!(
                    stream = %stream.id, from = plan.from, to = end, read = count.read,
                    written = count.written, removed = count.removed, ?took, "compacted"
                );
                Ok(true)
            }
            Ok(Outcome::GivenUp) => {
                debug!(stream = %stream.id, "a pass of compaction was given up");
                Ok(false)
            }
            Err(Failure::Stream(error)) => {
                warn!(stream = %stream.id, %error, "the stream is damaged and not compacted any more");
                metrics.failures.inc();
                self.metrics.damaged.inc();
                let _ = stream.uncleanable.set(error);
                Ok(false)
            }
            Err(Failure::Aside(error)) => {
                warn!(stream = %stream.id, %error, "compaction failed; it is tried again later");
                metrics.failures.inc();
                Ok(false)
            }
            Err(Failure::Swap(error)) => {
                metrics.failures.inc();
                Err(error)
            }
        }
    }
}

fn is_compacted(stream: &Arc<StreamShared>) -> bool {
    stream.config.read().cleanup.compact
        && stream.fenced.get().is_none()
        && stream.uncleanable.get().is_none()
}
