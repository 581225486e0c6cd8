//! The Kafka protocol, as its unchanged clients speak it.
//!
//! A client connects and asks which requests are served ([`handlers::APIS`] is the one table of
//! them). It finds the topics and their partitions (all led by this one broker), produces batches
//! to a partition and fetches batches from an offset on. Members of a consumer group meet at the
//! group's coordinator, which is this broker too.
//!
//! A frame's way: [`session`] cuts it from the input and takes its header off; [`Kafka`] gets it as
//! a call. A produce is appended before `call` returns, so that the order of pipelined requests is
//! the order in the log; everything else is done when its turn to be answered comes. [`handlers`]
//! decodes, asks the broker, encodes. Records are never looked into here: a batch goes to the
//! broker as it came, and leaves as memory or a file range that nobody copies.
//! What an answer may take is bounded and charged in one place, [`room`].
//!
//! The state of a connection is its authentication ([`sasl`]) and whether earlier produce requests
//! wait for room. The state of a consumer that fetches incrementally is in [`fetch_sessions`].
//!
//! Sources: the protocol guide of Apache Kafka and the KIPs named where they matter.

mod codec;
mod config;
mod convert;
mod error;
mod fetch_sessions;
pub mod handlers;
mod metrics;
mod room;
mod sasl;
mod session;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use base::{Metrics, Rng};
use broker::Broker;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use net::head::{Head, Peer};

pub use config::{Config, Mechanism};
pub use session::{Call, KafkaSession};

use codec::Reply;
use fetch_sessions::FetchSessions;
use metrics::KafkaMetrics;

/// What the head's connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) advertised: Option<(String, i32)>,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) rng: Rng,
    pub(crate) metrics: KafkaMetrics,
}

/// The head.
#[derive(Clone, Debug)]
pub struct Kafka(Arc<Shared>);

impl Kafka {
    /// The head over `broker`.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the operator.
    pub fn new(
        config: Config,
        broker: Broker,
        rng: Rng,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let limits = fetch_sessions::Limits {
            sessions: config.fetch_sessions_max,
            partitions: config.fetch_session_partitions_max,
            bytes: config.fetch_sessions_bytes_max.as_usize(),
        };
        let fetch_sessions = FetchSessions::new(limits, rng.clone());
        Ok(Self(Arc::new(Shared {
            broker,
            advertised: config.advertised_parts()?,
            metrics: KafkaMetrics::new(metrics),
            config,
            fetch_sessions,
            rng,
        })))
    }
}

/// What a call becomes: at most one answer.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

impl Head for Kafka {
    type Session = KafkaSession;

    const NAME: &'static str = "kafka";

    fn open(&self, _now: Instant, peer: &Peer) -> KafkaSession {
        KafkaSession::new(self.0.clone(), peer.clone())
    }

    fn call(&self, call: Call) -> impl Stream<Item = Reply> + Send + 'static {
        let pending = handlers::start(&self.0, call);
        stream::once(pending).filter_map(std::future::ready)
    }
}

#[cfg(test)]
mod tests;
