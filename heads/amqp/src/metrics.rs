//! What the head counts.

use base::Metrics;
use base::metrics::{Counter, Family, Gauge};

use crate::error::Code;

/// `method="queue.declare"`.
type ByMethod = [(&'static str, &'static str); 1];
/// `code="NOT_FOUND"`.
type ByCode = [(&'static str, &'static str); 1];

/// The head's metrics.
#[derive(Clone, Debug)]
pub(crate) struct AmqpMetrics {
    methods: Family<ByMethod, Counter>,
    failures: Family<ByCode, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) channels: Gauge,
    pub(crate) published: Counter,
    pub(crate) returned: Counter,
    pub(crate) confirmed: Counter,
    pub(crate) rejected: Counter,
    pub(crate) deferred: Counter,
    pub(crate) delivered: Counter,
    pub(crate) settled: Counter,
    pub(crate) replies_dropped: Counter,
    pub(crate) unfinished_refused: Counter,
}

impl AmqpMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        let gauge = |name: &str, help: &str| metrics.register(name, help, Gauge::default());
        Self {
            methods: metrics.register(
                "amqp_methods",
                "Methods but for publishes and acknowledgements",
                Family::default(),
            ),
            failures: metrics.register(
                "amqp_failures",
                "Channels and connections closed for an error",
                Family::default(),
            ),
            connections: gauge("amqp_connections", "Connections"),
            channels: gauge("amqp_channels", "Channels"),
            published: counter("amqp_published", "Messages published"),
            returned: counter("amqp_returned", "Mandatory messages that no queue wanted"),
            confirmed: counter("amqp_confirmed", "Messages confirmed"),
            rejected: counter("amqp_rejected", "Messages that a queue did not take"),
            deferred: counter(
                "amqp_publish_deferred",
                "Runs of publishes that waited for room in the commit queue",
            ),
            delivered: counter("amqp_delivered", "Messages delivered or got"),
            settled: counter("amqp_settled", "Deliveries acknowledged or refused"),
            replies_dropped: counter(
                "amqp_direct_replies_dropped",
                "Direct replies whose requester was gone or did not read",
            ),
            unfinished_refused: counter(
                "amqp_unfinished_refused",
                "Contents and transactions refused by amqp.unfinished_bytes_max or memory.limit",
            ),
        }
    }

    pub(crate) fn method(&self, name: &'static str) {
        self.methods.get_or_create(&[("method", name)]).inc();
    }

    pub(crate) fn failure(&self, code: Code) {
        let label = [("code", code.name())];
        self.failures.get_or_create(&label).inc();
    }
}
