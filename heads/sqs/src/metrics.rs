//! What the head counts.

use base::Metrics;
use base::metrics::{Counter, Family};

/// `action="SendMessage"`.
type Action = [(&'static str, &'static str); 1];

/// `code="InvalidParameterValue"`.
type Code = [(&'static str, &'static str); 1];

/// The head's metrics.
#[derive(Clone, Debug)]
pub(crate) struct SqsMetrics {
    requests: Family<Action, Counter>,
    refused: Family<Code, Counter>,
    pub(crate) moved: Counter,
}

impl SqsMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.register("sqs_requests", "Requests by action", Family::default()),
            refused: metrics.register(
                "sqs_errors",
                "Requests that were answered with an error",
                Family::default(),
            ),
            moved: metrics.register(
                "sqs_messages_moved",
                "Messages that move tasks have moved",
                Counter::default(),
            ),
        }
    }

    pub(crate) fn request(&self, action: &'static str) {
        self.requests.get_or_create(&[("action", action)]).inc();
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&[("code", code)]).inc();
    }
}
