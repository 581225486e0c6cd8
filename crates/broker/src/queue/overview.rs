//! Looking over all queues: lists, and totals for the metrics.
//!
//! Nothing keeps totals while messages come and go: a queue learns of what was appended to its
//! topic when somebody looks. So they are made when they are asked for, on a thread that holds up
//! no socket, and not again before twenty times as long as that took has passed. With a thousand
//! queues they are always fresh; with a million they cost a twentieth of a core at most.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::delivery::QueueStats;
use super::handle::Queue;
use super::queues::{Queues, Shared};

/// How many times as long as a measurement takes the next one waits at least.
const REST: u32 = 20;
/// How many queues a measurement takes hold of at a time.
const STEP: usize = 1024;

/// When totals were made last.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Held by who measures; until when what it found is good enough.
    until: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

/// Sums, and the oldest.
#[derive(Debug, Default)]
struct Totals {
    ready: u64,
    leased: u64,
    delayed: u64,
    oldest_ms: Option<i64>,
}

impl Totals {
    fn add(&mut self, stats: QueueStats) {
        self.ready += stats.ready;
        self.leased += stats.leased;
        self.delayed += stats.delayed;
        let both = [self.oldest_ms, stats.oldest_ms];
        self.oldest_ms = both.into_iter().flatten().min();
    }
}

impl Queues {
    /// All queues, or those of a namespace, by namespace and name.
    #[must_use]
    pub fn list(&self, namespace: Option<&str>) -> Vec<Queue> {
        self.page(namespace, None, usize::MAX)
    }

    /// At most `max` queues, or of those of a namespace, by namespace and name: those behind the one
    /// of this namespace and name, which need not be there.
    #[must_use]
    pub fn page(
        &self,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
        max: usize,
    ) -> Vec<Queue> {
        let table = self.0.table.read();
        let mut spaces: Vec<&Arc<str>> = table.namespaces.keys().collect();
        spaces.retain(|space| {
            namespace.is_none_or(|wanted| wanted == &***space)
                && after.is_none_or(|(last, _)| &***space >= last)
        });
        spaces.sort_unstable();
        let mut page = Vec::new();
        for space in spaces {
            let from = match after {
                Some((last, name)) if last == &**space => Bound::Excluded(name),
                _ => Bound::Unbounded,
            };
            if let Some(names) = table.namespaces.get(space) {
                let names = names.range::<str, _>((from, Bound::Unbounded));
                let left = max - page.len();
                page.extend(names.take(left).map(|(_, queue)| queue.clone()));
            }
        }
        page
    }

    /// Sets the metrics that are totals over all queues. Does nothing while somebody else does, and
    /// for a while after that took long.
    pub async fn measure(&self) {
        let Ok(mut until) = self.0.measured.until.clone().try_lock_owned() else {
            return;
        };
        if until.is_some_and(|until| self.0.clock.now() < until) {
            return;
        }
        let queues = self.clone();
        let measuring = self.0.tasks.spawn_blocking("broker.queue_totals", move || {
            let begun = queues.0.clock.now();
            queues.measure_now();
            let now = queues.0.clock.now();
            *until = Some(now + now.saturating_duration_since(begun) * REST);
        });
        // It only fails where the process is going down.
        let _ = measuring.await;
    }

    fn measure_now(&self) {
        let mut totals = Totals::default();
        let mut page = self.page(None, None, STEP);
        while let Some(last) = page.last().cloned() {
            page.iter().for_each(|queue| totals.add(queue.stats()));
            page = self.page(None, Some((last.namespace(), last.name())), STEP);
        }
        self.0.show(&totals);
    }
}

impl Shared {
    fn show(&self, totals: &Totals) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        metrics.ready.set(gauge(totals.ready));
        metrics.leased.set(gauge(totals.leased));
        metrics.delayed.set(gauge(totals.delayed));
        let now_ms = self.clock.unix_ms();
        let age_ms = totals.oldest_ms.map_or(0, |at| now_ms.saturating_sub(at));
        metrics.oldest_seconds.set(age_ms.max(0) / 1000);
    }
}
