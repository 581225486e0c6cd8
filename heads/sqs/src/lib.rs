//! Amazon SQS, as its unchanged SDKs speak it, in both of its protocols.
//!
//! A request is an HTTP POST (or, in the older protocol, a GET). [`routes`] sees which protocol it
//! speaks (JSON 1.0 names the action in a header, Query in a parameter), verifies its signature
//! where that is wanted ([`sigv4`]), keeps web pages out where it is not ([`access`]), and finds the action in the one table of
//! [`handlers::ACTIONS`]. What an action takes and answers is declared once, in [`model`], and
//! [`wire`] reads and writes that in either protocol, straight from and into bytes. An error is a
//! row of `error.rs`, which has a name for each protocol.
//!
//! A queue of SQS is a queue of the engine. Its attributes are the queue's settings where the
//! engine has a word for them (visibility timeout: lease; FIFO: ordered groups; redrive policy:
//! dead letters after so many deliveries), and the rest is kept beside them ([`attributes`]).
//! Queues that came by another protocol are seen with the attributes that their settings amount to.
//! Message attributes are a record's headers ([`convert`]), so a Kafka or AMQP client sees them.
//!
//! Nothing is remembered between requests but what bounds time: receipt handles are sealed and
//! self-contained ([`receipt`]); when a queue was purged or deleted last, and what a FIFO receive
//! with an attempt id got ([`recent`]), is kept for minutes and bounded, as is a count of what is in
//! flight ([`in_flight`]). A long poll is a waiter in
//! the engine's queue, no thread and no timer here. Message move tasks ([`moves`]) are kept with
//! the control state and go on after a restart.
//!
//! It must not know: the store, the async runtime, any other protocol.

mod access;
mod attributes;
mod config;
mod convert;
mod digest;
mod error;
pub mod handlers;
mod in_flight;
mod limits;
mod metrics;
mod model;
mod moves;
mod receipt;
mod recent;
mod routes;
mod sigv4;
mod wire;

use std::sync::Arc;

use base::{Metrics, Rng, Tasks};
use broker::Broker;

pub use attributes::{ATTRIBUTES, Attribute, AttributeKind};
pub use config::{Auth, Config};
pub use error::{ERRORS, Row};
pub use model::Member;

use in_flight::InFlight;
use metrics::SqsMetrics;
use moves::Moves;
use receipt::Sealer;
use recent::Recent;
use sigv4::Verifier;

/// The setting that keeps the key of receipt handles.
const KEY_SETTING: &str = "sqs.receipt_key";

/// What the head is made of.
#[derive(Debug)]
pub struct Parts {
    /// Section `[sqs]`, the head's own part.
    pub config: Config,
    /// What `config.credentials_file` holds.
    pub credentials: Option<String>,
    /// The engine.
    pub broker: Broker,
    /// Randomness.
    pub rng: Rng,
    /// Where move tasks run.
    pub tasks: Tasks,
    /// Where metrics are registered.
    pub metrics: Metrics,
}

/// The head; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sqs(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) broker: Broker,
    pub(crate) rng: Rng,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: SqsMetrics,
    pub(crate) sealer: Sealer,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) recent: Recent,
    pub(crate) in_flight: InFlight,
    pub(crate) moves: Moves,
}

impl Sqs {
    /// The head over `parts.broker`; goes on with the move tasks that a stop interrupted. Blocks
    /// when the key of receipt handles is made, at the first start.
    ///
    /// # Errors
    /// What is wrong with the configuration, for the operator; a control state that cannot be
    /// written.
    pub fn new(parts: Parts) -> Result<Self, String> {
        let Parts {
            config,
            credentials,
            broker,
            rng,
            tasks,
            metrics,
        } = parts;
        let verifier = match (config.auth, credentials) {
            (Auth::Accept, _) => None,
            (Auth::Verify, None) => {
                return Err("sqs.auth = \"verify\" wants sqs.credentials_file".to_owned());
            }
            (Auth::Verify, Some(text)) => {
                let secrets =
                    sigv4::secrets(&text).map_err(|why| format!("sqs.credentials_file: {why}"))?;
                Some(Verifier::new(secrets, "sqs"))
            }
        };
        let sealer = Sealer::new(receipt_key(&broker, &rng)?);
        let shared = Arc::new(Shared {
            recent: Recent::new(&config),
            in_flight: InFlight::default(),
            moves: Moves::load(broker.meta()),
            metrics: SqsMetrics::new(&metrics),
            config,
            broker,
            rng,
            tasks,
            sealer,
            verifier,
        });
        moves::resume(&shared);
        Ok(Self(shared))
    }
}

/// The key of receipt handles; made once and kept, so that handles outlive a restart.
fn receipt_key(broker: &Broker, rng: &Rng) -> Result<[u8; 32], String> {
    let meta = broker.meta();
    if let Some(kept) = meta.setting(KEY_SETTING) {
        return digest::unhex(&kept).ok_or_else(|| format!("the setting {KEY_SETTING} is damaged"));
    }
    let mut key = [0; 32];
    rng.fill_secret(&mut key);
    meta.set_setting(KEY_SETTING, &digest::hex(&key))
        .map_err(|error| error.to_string())?;
    Ok(key)
}

#[cfg(test)]
mod tests;
