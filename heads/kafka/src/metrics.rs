//! What the head counts.

use base::Metrics;
use base::metrics::{Counter, Family};
use kafka_wire::ApiKey;

/// `api="Fetch"`.
type Api = [(&'static str, &'static str); 1];

/// The head's metrics.
#[derive(Clone, Debug)]
pub(crate) struct KafkaMetrics {
    requests: Family<Api, Counter>,
    pub(crate) refused: Counter,
    pub(crate) deferred: Counter,
    pub(crate) fetch_sessions_full: Counter,
}

impl KafkaMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(name, help, Counter::default());
        Self {
            requests: metrics.register("kafka_requests", "Requests by kind", Family::default()),
            refused: counter(
                "kafka_requests_malformed",
                "Requests whose bytes made no sense",
            ),
            deferred: counter(
                "kafka_produce_deferred",
                "Produce requests that waited for room in the commit queue",
            ),
            fetch_sessions_full: counter(
                "kafka_fetch_sessions_refused",
                "Fetches that got no session because there were too many",
            ),
        }
    }

    pub(crate) fn request(&self, key: ApiKey) {
        self.requests.get_or_create(&[("api", key.name())]).inc();
    }
}
