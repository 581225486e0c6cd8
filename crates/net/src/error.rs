//! What can go wrong at a socket before there is a connection, or as a client.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use base::{Kind, Retry};

/// An error of this crate. How a *connection* ends is [`crate::Close`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured address is no address, or its name cannot be resolved.
    #[error("cannot resolve the address `{address}`: {source}")]
    Resolve {
        /// As configured.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The address cannot be listened at: it is in use, or not ours.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// As resolved.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A certificate or key file cannot be used.
    #[error("TLS file {}: {problem}", path.display())]
    TlsFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key are readable but make no TLS configuration.
    #[error("TLS: {0}")]
    Tls(String),
    /// A server cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// `host:port`.
        address: String,
        /// What the operating system or TLS says.
        source: io::Error,
    },
    /// The text is no `http://host:port/path` or `https://…`.
    #[error("`{0}` is not an http or https URL")]
    Url(String),
    /// The HTTP conversation failed.
    #[error("HTTP: {0}")]
    Http(String),
    /// A body or a line is longer than the caller accepts.
    #[error("the answer is longer than {max_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// No answer in time.
    #[error("no answer within {millis} ms")]
    Timeout {
        /// The limit, in milliseconds.
        millis: u64,
    },
}

impl Error {
    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Resolve { .. } | Self::TlsFile { .. } | Self::Tls(_) | Self::Url(_) => {
                Kind::Invalid
            }
            Self::Bind { .. } => Kind::Conflict,
            Self::Connect { .. } | Self::Http(_) | Self::Timeout { .. } => Kind::Unavailable,
            Self::TooLarge { .. } => Kind::Exhausted,
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self.kind() {
            Kind::Unavailable | Kind::Conflict => Retry::After,
            Kind::NotFound | Kind::Denied | Kind::Invalid | Kind::Exhausted | Kind::Internal => {
                Retry::Never
            }
        }
    }
}
