//! Which part of which stream is compacted, and whether it is worth it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::StreamConfig;
use crate::segment::Segment;
use crate::stream::Shared as StreamShared;

/// What a pass is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The segments to be rewritten, oldest first.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Where the dirty part begins; where it ends, when only tombstones are to go.
    pub(crate) from: u64,
    /// Where it ends: a segment begins here that is not touched.
    pub(crate) stop: u64,
    /// The dirty part's share.
    pub(crate) ratio: f64,
    /// Its bytes.
    pub(crate) dirty: u64,
    /// Whether the pass is due.
    pub(crate) due: bool,
}

/// What there is to do with `stream`, if anything.
pub(crate) fn plan(stream: &StreamShared, config: &StreamConfig, now_ms: i64) -> Option<Plan> {
    let log = stream.log.lock();
    if stream.removed.load(Ordering::Acquire) {
        return None;
    }
    let segments = log.segments();
    // A start counts on it that segments from the checkpoint's newest on have no gaps.
    let sealed = segments.partition_point(|segment| segment.base < log.state.active);
    let cleaned = log.state.cleaned.max(stream.start.load(Ordering::Acquire));
    drop(log);
    let behind = segments.get(sealed)?;
    let sealed = segments.get(..sealed)?;
    let young = young(sealed, cleaned, config, now_ms);
    let stop = young.map_or(behind.base, |segment| segment.base);
    let (clean, dirty): (Vec<_>, Vec<_>) = sealed
        .iter()
        .filter(|segment| segment.base < stop)
        .partition(|segment| segment.next() <= cleaned);
    let size = |of: &[&Arc<Segment>]| of.iter().map(|segment| segment.len()).sum::<u64>();
    let (clean_bytes, dirty_bytes) = (size(&clean), size(&dirty));
    if dirty_bytes > 0 && stop > cleaned {
        #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
        let ratio = dirty_bytes as f64 / (clean_bytes + dirty_bytes) as f64;
        let overdue = dirty
            .iter()
            .find(|segment| segment.first_timestamp() >= 0)
            .is_some_and(|segment| {
                let age = now_ms.saturating_sub(segment.first_timestamp());
                u64::try_from(age).is_ok_and(|age| age > config.max_compaction_lag_ms)
            });
        let due = overdue || ratio > config.min_cleanable_ratio;
        if due || !has_expired(&clean, now_ms) {
            return Some(Plan {
                segments: clean.into_iter().chain(dirty).cloned().collect(),
                from: cleaned,
                stop,
                ratio,
                dirty: dirty_bytes,
                due,
            });
        }
    }
    // Nothing is dirty enough; tombstones whose time is over go all the same.
    let expired: Vec<_> = sealed
        .iter()
        .filter(|segment| segment.next() <= cleaned && is_expired(segment, now_ms))
        .cloned()
        .collect();
    (!expired.is_empty()).then_some(Plan {
        segments: expired,
        from: cleaned,
        stop: cleaned,
        ratio: 0.0,
        dirty: dirty_bytes,
        due: true,
    })
}

/// The first dirty segment that is too young.
fn young<'a>(
    sealed: &'a [Arc<Segment>],
    cleaned: u64,
    config: &StreamConfig,
    now_ms: i64,
) -> Option<&'a Arc<Segment>> {
    if config.min_compaction_lag_ms == 0 {
        return None;
    }
    let lag = i64::try_from(config.min_compaction_lag_ms).unwrap_or(i64::MAX);
    let latest = now_ms.saturating_sub(lag);
    sealed
        .iter()
        .find(|segment| segment.next() > cleaned && segment.max_timestamp() > latest)
}

fn is_expired(segment: &Segment, now_ms: i64) -> bool {
    segment.horizon().is_some_and(|horizon| horizon <= now_ms)
}

fn has_expired(segments: &[&Arc<Segment>], now_ms: i64) -> bool {
    segments.iter().any(|segment| is_expired(segment, now_ms))
}

impl Plan {
    /// The segments that lie below `end`.
    pub(super) fn below(&self, end: u64) -> &[Arc<Segment>] {
        let count = self.segments.partition_point(|segment| segment.base < end);
        self.segments.get(..count).unwrap_or_default()
    }

    /// Whether its segments follow each other, so that several can become one.
    pub(super) fn is_whole(&self) -> bool {
        self.from < self.stop
    }
}
