//! Who is at the other end of a connection.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;

/// The two ends of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The peer's address.
    pub addr: SocketAddr,
    /// Our address that it connected to.
    pub local: SocketAddr,
    /// What TLS told us; `None` on a plain connection.
    pub tls: Option<TlsInfo>,
}

/// What a finished TLS handshake told us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// The server name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The application protocol that was agreed on (ALPN).
    pub alpn: Option<Bytes>,
    /// The subject of the client's certificate as RFC 4514 writes it (`CN=anna,O=Acme`). Present
    /// only when the certificate was verified against the configured `client_ca`.
    pub subject: Option<String>,
}

impl Peer {
    /// A plain connection between two loopback addresses, for tests.
    #[must_use]
    pub fn loopback() -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            addr: at(50_000),
            local: at(1),
            tls: None,
        }
    }
}
