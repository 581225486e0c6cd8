//! The memory ledger as metrics, read when somebody asks.

use base::metrics::collector::Collector;
use base::metrics::encoding::{DescriptorEncoder, EncodeMetric};
use base::metrics::{Counter, Gauge};
use base::{Ledger, Metrics};

#[derive(Debug)]
struct Memory(Ledger);

pub(super) fn register(metrics: &Metrics, ledger: &Ledger) {
    metrics.collector(Box::new(Memory(ledger.clone())));
}

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let ledger = &self.0;
        let mut gauge = |name: &str, help: &str, value: usize| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        gauge(
            "memory_limit_bytes",
            "The budget that connections and appends share",
            ledger.limit(),
        )?;
        gauge(
            "memory_used_bytes",
            "Bytes charged to the budget now",
            ledger.used(),
        )?;
        gauge(
            "memory_peak_bytes",
            "The most bytes ever charged at once",
            ledger.peak(),
        )?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        counter(
            "memory_refused",
            "Requests for memory that were refused",
            ledger.refused(),
        )?;
        counter(
            "memory_waited",
            "Requests for memory that had to wait",
            ledger.waited(),
        )
    }
}
