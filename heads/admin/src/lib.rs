//! The HTTP API for people and scripts: what Stentor's own command line speaks.
//!
//! | path | what |
//! |---|---|
//! | `/healthz`, `/readyz` | whether the process lives; whether it takes appends |
//! | `/metrics` | OpenMetrics text |
//! | `/v1/topics`, `/v1/topics/{topic}` | list, create, describe, delete |
//! | `/v1/topics/{topic}/config`, `/partitions` | read and change |
//! | `/v1/topics/{topic}/records` | publish; read from an offset or a time |
//! | `/v1/topics/{topic}/tail` | a stream of records, JSON lines or server-sent events |
//! | `/v1/queues`, `/v1/queues/{namespace}/{queue}` | list, create, describe, delete |
//! | `/v1/queues/{namespace}/{queue}/purge`, `/peek` | empty it; look without taking |
//! | `/v1/exchanges`, `/v1/exchanges/{namespace}/{exchange}` | list, create, describe, delete |
//! | `/v1/exchanges/{namespace}/{exchange}/bind`, `/unbind` | change its bindings |
//! | `/v1/groups`, `/v1/groups/{group}` | list, describe with lag, delete, set offsets |
//! | `/v1/users`, `/v1/users/{user}` | list, add, change the password, delete |
//! | `/v1/store` | state of the log, and what the start found |
//!
//! [`routes`](Admin::routes) is the table; [`handlers`] has a file per resource; `convert.rs` turns
//! records into JSON and back (text where it is text, base64 where it is not); `error.rs` is the
//! one place where an error of the engine becomes a status with a problem body (RFC 9457).
//!
//! Requests that change something carry a body of the type `application/json` or have a method
//! that a web page of another origin cannot send without asking first; the server never says yes
//! to such a question. Where a token is configured, everything but the health of the process
//! wants it. Where none is, requests must name the server by an address or a name that it
//! knows as its own: a page whose name was made to resolve to it would count as of one origin.
//!
//! It must not know: the store, the async runtime, any other protocol.

mod config;
mod convert;
mod error;
mod handlers;
mod routes;

use std::sync::Arc;

use base::Metrics;
use broker::{Broker, Publisher};

pub use config::Config;

/// What the head is made of.
#[derive(Debug)]
pub struct Parts {
    /// Section `[http]`, the head's own part.
    pub config: Config,
    /// What `config.token_file` holds, without white space around it.
    pub token: Option<String>,
    /// The engine.
    pub broker: Broker,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// The head; cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) token: Option<String>,
    pub(crate) broker: Broker,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
}

impl Admin {
    /// The head over `parts.broker`.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            config,
            token,
            broker,
            metrics,
        } = parts;
        let publisher = Publisher::new(broker.clone());
        Self(Arc::new(Shared {
            config,
            token,
            broker,
            publisher,
            metrics,
        }))
    }
}

#[cfg(test)]
mod tests;
