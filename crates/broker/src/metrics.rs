//! The engine's metrics; names and units stand in docs/operations/metrics.md.

use base::Metrics;
use base::metrics::{Counter, Gauge};

/// Counters and gauges of the engine.
#[derive(Clone, Debug)]
pub(crate) struct BrokerMetrics {
    pub(crate) topics: Gauge,
    pub(crate) partitions: Gauge,
    pub(crate) batches_appended: Counter,
    pub(crate) records_appended: Counter,
    pub(crate) bytes_appended: Counter,
    pub(crate) batches_refused: Counter,
    pub(crate) batches_duplicate: Counter,
    pub(crate) bytes_read: Counter,
    pub(crate) producers_evicted: Counter,
}

impl BrokerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            topics: metrics.register("broker_topics", "Topics that exist", Gauge::default()),
            partitions: metrics.register(
                "broker_partitions",
                "Partitions that exist",
                Gauge::default(),
            ),
            batches_appended: metrics.register(
                "broker_batches_appended",
                "Batches appended",
                Counter::default(),
            ),
            records_appended: metrics.register(
                "broker_records_appended",
                "Records appended",
                Counter::default(),
            ),
            bytes_appended: metrics.register(
                "broker_bytes_appended",
                "Bytes appended, as they are stored",
                Counter::default(),
            ),
            batches_refused: metrics.register(
                "broker_batches_refused",
                "Batches that failed validation",
                Counter::default(),
            ),
            batches_duplicate: metrics.register(
                "broker_batches_duplicate",
                "Batches recognised as sent before",
                Counter::default(),
            ),
            bytes_read: metrics.register(
                "broker_bytes_read",
                "Bytes handed to readers",
                Counter::default(),
            ),
            producers_evicted: metrics.register(
                "broker_producers_evicted",
                "Producers forgotten because a partition knew too many",
                Counter::default(),
            ),
        }
    }
}

/// Counters and gauges of exchanges.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeMetrics {
    pub(crate) namespaces: Gauge,
    pub(crate) exchanges: Gauge,
    pub(crate) bindings: Gauge,
    pub(crate) routed: Counter,
    pub(crate) unroutable: Counter,
}

impl ExchangeMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            namespaces: metrics.register(
                "broker_namespaces",
                "Namespaces that exist",
                Gauge::default(),
            ),
            exchanges: metrics.register(
                "broker_exchanges",
                "Exchanges that exist, those without a name left out",
                Gauge::default(),
            ),
            bindings: metrics.register("broker_bindings", "Bindings that exist", Gauge::default()),
            routed: metrics.register(
                "broker_messages_routed",
                "Messages that exchanges have led to a queue or more",
                Counter::default(),
            ),
            unroutable: metrics.register(
                "broker_messages_unroutable",
                "Messages that exchanges have led to no queue",
                Counter::default(),
            ),
        }
    }
}

/// What is counted of permissions.
#[derive(Clone, Debug)]
pub(crate) struct AccessMetrics {
    pub(crate) denied: Counter,
}

impl AccessMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            denied: metrics.register(
                "broker_access_denied",
                "Questions who may do what that were answered with no",
                Counter::default(),
            ),
        }
    }
}
