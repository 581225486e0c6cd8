//! The configuration of a server: `stentor.toml`, then the environment, then the command line.
//!
//! Every crate owns its section's struct; this module puts them together. A value is looked up in
//! layers ([`layers`]): the default, the file, `STENTOR__SECTION__KEY`, `--set section.key=value`;
//! later ones win, and each value remembers where it came from. Which keys there are, and what
//! they mean, is read from the structs' own source ([`schema`]), so that the list of keys, the
//! example file and the messages cannot drift from the code.

pub(crate) mod example;
pub(crate) mod layers;
pub(crate) mod nearest;
#[cfg(test)]
mod reference;
pub(crate) mod schema;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

pub(crate) use layers::Layers;

/// What stands above the sections.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct General {
    /// The directory that holds everything the server keeps; made when there is none.
    pub(crate) data_dir: PathBuf,
    /// How long a shutdown may take before what is still open is cut off. What was acknowledged
    /// is on disk in any case.
    pub(crate) shutdown_max: Millis,
}

impl Default for General {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./stentor-data"),
            shutdown_max: Millis(30_000),
        }
    }
}

/// Section `[log]`: what the server says about itself, on standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`; per part of the server with
    /// `info,store=debug`.
    pub(crate) level: String,
    /// `text` for people, `json` for machines (one object a line).
    pub(crate) format: Format,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: Format::Text,
        }
    }
}

/// Section `[memory]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Memory {
    /// How many bytes requests, answers and waiting appends of all connections may hold together.
    /// What does not fit waits or is refused. At least 16MiB.
    pub(crate) limit: ByteSize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            limit: ByteSize(512 << 20),
        }
    }
}

/// The smallest `memory.limit`: below it not even one large request and its answer fit.
const MEMORY_MIN: ByteSize = ByteSize(16 << 20);

/// Section `[kafka]`: what every listener has, and the head's own.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    pub(crate) listener: net::Config,
    pub(crate) head: head_kafka::Config,
}

/// Section `[amqp]`.
#[derive(Clone, Debug)]
pub(crate) struct Amqp {
    pub(crate) listener: net::Config,
    pub(crate) head: head_amqp::Config,
}

/// Section `[http]`.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) listener: net::Config,
    pub(crate) http: net::http::HttpConfig,
    pub(crate) head: head_admin::Config,
}

/// Section `[sqs]`.
#[derive(Clone, Debug)]
pub(crate) struct Sqs {
    pub(crate) listener: net::Config,
    pub(crate) http: net::http::HttpConfig,
    pub(crate) head: head_sqs::Config,
}

impl Sqs {
    /// Who is not asked for a signature has to be on this machine, or has shown a certificate.
    fn validate(&self) -> Result<(), ConfigError> {
        let Some(net::Listen::At(address)) = &self.listener.listen else {
            return Ok(());
        };
        let certified = self
            .listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some() && !tls.client_cert_optional);
        let head = &self.head;
        if head.auth == head_sqs::Auth::Verify
            || head.accept_anywhere
            || certified
            || is_loopback(address)
        {
            return Ok(());
        }
        Err(ConfigError(format!(
            "sqs.listen = \"{address}\" is no loopback address, and sqs.auth = \"accept\" lets whoever \
             reaches it do everything: set sqs.auth = \"verify\", or sqs.accept_anywhere = true if \
             something else keeps strangers away"
        )))
    }
}

/// Whether only this machine reaches `address`, `host:port`. Of names, only `localhost` is known.
fn is_loopback(address: &str) -> bool {
    let host = net::http::host_of(address);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) general: General,
    pub(crate) log: Log,
    pub(crate) memory: Memory,
    pub(crate) store: store::Config,
    pub(crate) topics: broker::Config,
    pub(crate) groups: broker::group::Config,
    pub(crate) exchanges: broker::exchange::Config,
    pub(crate) queues: broker::queue::Config,
    pub(crate) kafka: Kafka,
    pub(crate) amqp: Amqp,
    pub(crate) http: Http,
    pub(crate) sqs: Sqs,
}

/// A configuration that cannot be used. The text names the key, where it was set, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(pub(crate) String);

impl Config {
    /// Checks what a single value's type cannot say.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.memory.limit < MEMORY_MIN {
            return Err(ConfigError(format!(
                "memory.limit = {} is too small: at least {MEMORY_MIN}",
                self.memory.limit
            )));
        }
        self.kafka.head.advertised_parts().map_err(ConfigError)?;
        self.amqp.head.validate().map_err(ConfigError)?;
        self.sqs.validate()?;
        if self
            .log
            .level
            .parse::<tracing_subscriber::filter::EnvFilter>()
            .is_err()
        {
            return Err(ConfigError(format!(
                "log.level = \"{}\" is not a level such as info, or info,store=debug",
                self.log.level
            )));
        }
        Ok(())
    }
}
