//! What every listening section of the configuration has: where, TLS, limits.
//!
//! A head's own section holds these three keys ([`Config::KEYS`]) beside its own:
//!
//! ```toml
//! [kafka]
//! listen = "0.0.0.0:9093"        # or "off"
//! [kafka.tls]
//! cert = "server.pem"
//! key = "server.key"
//! [kafka.limits]
//! connections_max = 2000
//! ```

use std::fmt;
use std::path::PathBuf;

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// A listening section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `"host:port"` (port 0: any free one), or `"off"`. Left out: the head's own default.
    pub listen: Option<Listen>,
    /// Left out: plain TCP.
    pub tls: Option<TlsConfig>,
    /// Bounds of every connection of this listener.
    pub limits: Limits,
}

impl Config {
    /// The keys of this struct: a head's section is split into these and its own.
    pub const KEYS: [&str; 3] = ["listen", "tls", "limits"];

    /// The same, listening at `address` if the section did not say where.
    #[must_use]
    pub fn or_listen(mut self, address: &str) -> Self {
        self.listen.get_or_insert_with(|| Listen::from(address));
        self
    }

    /// Plain TCP at `address` with the default limits.
    #[must_use]
    pub fn at(address: &str) -> Self {
        Self::default().or_listen(address)
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub enum Listen {
    /// Nowhere: the head is disabled.
    Off,
    /// At this `host:port`; a name is resolved at start.
    At(String),
}

impl From<&str> for Listen {
    fn from(text: &str) -> Self {
        if text == "off" {
            Self::Off
        } else {
            Self::At(text.to_owned())
        }
    }
}

impl From<String> for Listen {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => f.write_str(address),
        }
    }
}

/// TLS of a listener. The files are PEM, at most 1 MiB each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// Certificate authorities that clients' certificates are verified against. Left out: clients
    /// are not asked for one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// With `client_ca`: whether a client without a certificate may come in (and then
    /// authenticate by other means). Default: false.
    #[serde(default)]
    pub client_cert_optional: bool,
    /// How often the files are looked at for changes; `0` for never. Default: 60s.
    #[serde(default = "reload_default")]
    pub reload: Millis,
}

fn reload_default() -> Millis {
    Millis(60_000)
}

/// Bounds of one listener and of each of its connections. A time of `0` means "no limit", but for
/// `flush_max` and `drain_max`: there it means "at once".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of this listener at a time; more are accepted and closed at once. Default:
    /// 16384.
    pub connections_max: usize,
    /// Connections from one address at a time. Default: 16384.
    pub connections_per_ip_max: usize,
    /// From accepting until TLS and the protocol's opening are done; `0` for no limit. Default: 10s.
    pub handshake_max: Millis,
    /// Without a byte moved while no call is open, or while the peer does not read what waits for
    /// it; `0` for no limit. Default: 10m (Kafka's `connections.max.idle.ms`).
    pub idle_max: Millis,
    /// From the first byte of a request to its last; `0` for no limit. Default: 5m.
    pub frame_time_max: Millis,
    /// Bytes that one request may have; the protocol's own limit comes first. HTTP has only limits
    /// of its own (`body_bytes_max`, `header_bytes_max`). Default: 128MiB.
    pub input_bytes_max: ByteSize,
    /// Bytes that wait for a peer to read them before nothing more is prepared for it; one reply
    /// may pass it. Not for HTTP, which prepares one piece after the other. Default: 1MiB.
    pub output_bytes_max: ByteSize,
    /// Calls of one connection that are open at a time; then it is not read from. Not for HTTP/1.1,
    /// where there is one. Default: 1024.
    pub calls_in_flight_max: usize,
    /// Subscriptions of one connection, where the protocol has any. Default: 4096.
    pub subscriptions_max: usize,
    /// How long a connection waits for room in the process's memory budget; `0` for no limit.
    /// Default: 10s.
    pub memory_wait_max: Millis,
    /// While others wait for memory: how long a connection that holds some may take for its next
    /// step (a whole request, the end of a call, an answer read). Then it is closed, however little
    /// it holds, the one that has taken longest first, until those who wait have room. Shorter than
    /// `memory_wait_max`, so that they get it in time; `0` for no limit. Default: 5s.
    pub hold_max: Millis,
    /// How long last words may take to be sent; HTTP has none. Default: 5s.
    pub flush_max: Millis,
    /// How long calls in flight may take when the server goes down. Default: 10s.
    pub drain_max: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_ip_max: 16_384,
            handshake_max: Millis(10_000),
            idle_max: Millis(600_000),
            frame_time_max: Millis(300_000),
            input_bytes_max: ByteSize(128 << 20),
            output_bytes_max: ByteSize(1 << 20),
            calls_in_flight_max: 1024,
            subscriptions_max: 4096,
            memory_wait_max: Millis(10_000),
            hold_max: Millis(5_000),
            flush_max: Millis(5_000),
            drain_max: Millis(10_000),
        }
    }
}
