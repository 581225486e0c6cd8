//! The queues' metrics: totals. How deep a queue is, is asked of the queue.

use base::Metrics;
use base::metrics::{Counter, Gauge};

/// Counters and gauges of the queues.
#[derive(Clone, Debug)]
pub(super) struct QueueMetrics {
    pub(super) queues: Gauge,
    pub(super) published: Counter,
    pub(super) settled: Counter,
    pub(super) dead_lettered: Counter,
    pub(super) ready: Gauge,
    pub(super) leased: Gauge,
    pub(super) delayed: Gauge,
    pub(super) oldest_seconds: Gauge,
}

impl QueueMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            queues: metrics.register("queues", "Queues that exist", Gauge::default()),
            published: metrics.register(
                "queue_messages_published",
                "Messages published to queues, duplicates and rejected ones included",
                Counter::default(),
            ),
            settled: metrics.register(
                "queue_messages_settled",
                "Deliveries that were accepted, released or rejected",
                Counter::default(),
            ),
            dead_lettered: metrics.register(
                "queue_messages_dead_lettered",
                "Messages moved to where dead letters go, or dropped where there is no such place",
                Counter::default(),
            ),
            ready: metrics.register(
                "queue_messages_ready",
                "Messages of all queues that consumers would get",
                Gauge::default(),
            ),
            leased: metrics.register(
                "queue_messages_leased",
                "Messages of all queues that were delivered and are not settled",
                Gauge::default(),
            ),
            delayed: metrics.register(
                "queue_messages_delayed",
                "Messages of all queues that are hidden for now",
                Gauge::default(),
            ),
            oldest_seconds: metrics.register(
                "queue_oldest_message_seconds",
                "Age of the oldest message of all queues, as far as memory knows; 0 for none",
                Gauge::default(),
            ),
        }
    }
}
