//! What `net` counts, per head.

use base::metrics::{Counter, Family, Gauge};

/// The crate's metrics; built once, cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: Family<HeadLabel, Gauge>,
    accepted: Family<HeadLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    closed: Family<ReasonLabel, Counter>,
    received_bytes: Family<HeadLabel, Counter>,
    sent_bytes: Family<HeadLabel, Counter>,
    calls: Family<HeadLabel, Counter>,
    calls_in_flight: Family<HeadLabel, Gauge>,
    accept_errors: Family<HeadLabel, Counter>,
    tls_reloads: Family<ReasonLabel, Counter>,
}

/// `head="kafka"`.
type HeadLabel = [(&'static str, &'static str); 1];

/// `head="kafka", reason="idle"`.
type ReasonLabel = [(&'static str, &'static str); 2];

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &base::Metrics) -> Self {
        let r = registry;
        Self {
            connections: r.register(
                "net_connections",
                "Connections that are open",
                Family::default(),
            ),
            accepted: r.register(
                "net_connections_accepted",
                "Connections that were accepted and not refused",
                Family::default(),
            ),
            refused: r.register(
                "net_connections_refused",
                "Connections refused before a session was opened: total, per_ip, tls, drain",
                Family::default(),
            ),
            closed: r.register(
                "net_connections_closed",
                "Connections that ended, by the reason",
                Family::default(),
            ),
            received_bytes: r.register(
                "net_received_bytes",
                "Bytes received, after TLS",
                Family::default(),
            ),
            sent_bytes: r.register(
                "net_sent_bytes",
                "Bytes sent, before TLS",
                Family::default(),
            ),
            calls: r.register(
                "net_calls",
                "Calls and subscriptions started",
                Family::default(),
            ),
            calls_in_flight: r.register(
                "net_calls_in_flight",
                "Calls that wait for their end, subscriptions not counted",
                Family::default(),
            ),
            accept_errors: r.register(
                "net_accept_errors",
                "Errors of accept(2), out of descriptors for example",
                Family::default(),
            ),
            tls_reloads: r.register(
                "net_tls_reloads",
                "Times certificate files were loaded again, by the outcome: ok, failed",
                Family::default(),
            ),
        }
    }

    /// The metrics of one head, looked up once.
    #[must_use]
    pub(crate) fn head(&self, head: &'static str) -> HeadMetrics {
        let label = [("head", head)];
        HeadMetrics {
            head,
            connections: self.connections.get_or_create_owned(&label),
            accepted: self.accepted.get_or_create_owned(&label),
            received_bytes: self.received_bytes.get_or_create_owned(&label),
            sent_bytes: self.sent_bytes.get_or_create_owned(&label),
            calls: self.calls.get_or_create_owned(&label),
            calls_in_flight: self.calls_in_flight.get_or_create_owned(&label),
            accept_errors: self.accept_errors.get_or_create_owned(&label),
            all: self.clone(),
        }
    }
}

/// One head's metrics.
#[derive(Clone, Debug)]
pub(crate) struct HeadMetrics {
    head: &'static str,
    pub(crate) connections: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) calls: Counter,
    pub(crate) calls_in_flight: Gauge,
    pub(crate) accept_errors: Counter,
    all: Metrics,
}

impl HeadMetrics {
    /// A connection was refused before it had a session.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.all
            .refused
            .get_or_create(&[("head", self.head), ("reason", reason)])
            .inc();
    }

    /// A connection ended.
    pub(crate) fn closed(&self, reason: &'static str) {
        self.all
            .closed
            .get_or_create(&[("head", self.head), ("reason", reason)])
            .inc();
    }

    /// Certificate files were loaded again.
    pub(crate) fn tls_reload(&self, reason: &'static str) {
        self.all
            .tls_reloads
            .get_or_create(&[("head", self.head), ("reason", reason)])
            .inc();
    }
}
