//! The metrics registry. Each crate has a `metrics.rs` with one struct that is built once with
//! [`Metrics::register`]; names are `stentor_<what>_<unit>[_total]` and stand in
//! docs/operations/metrics.md (`cargo xtask tidy` compares).

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::registry::{Metric, Registry};

pub use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
pub use prometheus_client::{collector, encoding, registry};

/// The process's metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("stentor"))))
    }
}

impl Metrics {
    /// Adds `metric` under `stentor_<name>` and hands back the copy to update. Counters are shown
    /// with `_total` behind their name.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().register(name, help, metric.clone());
        metric
    }

    /// Adds a collector: values that are read when somebody asks.
    pub fn collector(&self, collector: Box<dyn collector::Collector>) {
        self.0.lock().register_collector(collector);
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric cannot be written as text, which is a bug in its label types.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.lock())?;
        Ok(text)
    }
}
