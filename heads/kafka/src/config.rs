//! Section `[kafka]`, but for what every listener has (`net::Config`).

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// A way to prove who one is (SASL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Mechanism {
    /// User and password in clear (RFC 4616); refused on a connection without TLS unless
    /// `sasl_plain_without_tls` allows it.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// Its registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// What the Kafka head does beyond listening.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address that clients are told to connect to, `host:port`. Empty: the address that the
    /// client has connected to, which is right unless there is a proxy or NAT between.
    pub advertised: String,
    /// This broker's id in answers to clients.
    pub node_id: i32,
    /// Whether clients have to authenticate.
    pub sasl: bool,
    /// How they may.
    pub sasl_mechanisms: Vec<Mechanism>,
    /// Whether PLAIN may be used without TLS. The password then crosses the network in clear.
    pub sasl_plain_without_tls: bool,
    /// How long an authentication lasts before the client has to repeat it on the same
    /// connection; 0 is for ever.
    pub sasl_lifetime: Millis,
    /// The largest frame before authentication.
    pub sasl_frame_bytes_max: ByteSize,
    /// The largest request of any other kind than Produce: it is taken apart in memory, which
    /// takes several times its size.
    pub control_bytes_max: ByteSize,
    /// The largest request.
    pub request_bytes_max: ByteSize,
    /// The largest answer to one fetch; a first batch that is larger is given all the same.
    pub fetch_bytes_max: ByteSize,
    /// How many elements the lists of one request may have in all: topics, partitions, groups,
    /// keys and so on.
    pub elements_per_request_max: usize,
    /// What answering one request may take in memory, but for the records of a fetch: the answer,
    /// and what it is made of. A request that asks for more ends its connection.
    pub answer_bytes_max: ByteSize,
    /// How many incremental fetch sessions are kept.
    pub fetch_sessions_max: usize,
    /// How many partitions one incremental fetch session may hold.
    pub fetch_session_partitions_max: usize,
    /// What all incremental fetch sessions may take in memory.
    pub fetch_sessions_bytes_max: ByteSize,
    /// How many partitions one answer to DescribeTopicPartitions holds.
    pub describe_partitions_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            advertised: String::new(),
            node_id: 1,
            sasl: false,
            sasl_mechanisms: vec![
                Mechanism::ScramSha256,
                Mechanism::ScramSha512,
                Mechanism::Plain,
            ],
            sasl_plain_without_tls: false,
            sasl_lifetime: Millis(0),
            sasl_frame_bytes_max: ByteSize(512 << 10),
            control_bytes_max: ByteSize(8 << 20),
            request_bytes_max: ByteSize(100 << 20),
            fetch_bytes_max: ByteSize(55 << 20),
            elements_per_request_max: 100_000,
            answer_bytes_max: ByteSize(64 << 20),
            fetch_sessions_max: 1000,
            fetch_session_partitions_max: 20_000,
            fetch_sessions_bytes_max: ByteSize(32 << 20),
            describe_partitions_max: 2000,
        }
    }
}

impl Config {
    /// The mechanisms offered on a connection.
    pub fn mechanisms(&self, tls: bool) -> impl Iterator<Item = Mechanism> + '_ {
        let plain = tls || self.sasl_plain_without_tls;
        self.sasl_mechanisms
            .iter()
            .copied()
            .filter(move |m| plain || *m != Mechanism::Plain)
    }

    /// `advertised`, taken apart; `None` when it is empty.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn advertised_parts(&self) -> Result<Option<(String, i32)>, String> {
        if self.advertised.is_empty() {
            return Ok(None);
        }
        let wrong = || {
            format!(
                "kafka.advertised = \"{}\" is not host:port, such as broker.example:9092",
                self.advertised
            )
        };
        let (host, port) = self.advertised.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host == "0.0.0.0" || host == "::" {
            return Err(format!(
                "kafka.advertised = \"{}\": nobody can connect to the wildcard address; name the host",
                self.advertised
            ));
        }
        Ok(Some((host.to_owned(), i32::from(port))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(text: &str) -> Result<Option<(String, i32)>, String> {
        Config {
            advertised: text.to_owned(),
            ..Config::default()
        }
        .advertised_parts()
    }

    #[test]
    fn the_advertised_address_is_a_host_and_a_port() {
        assert_eq!(advertised(""), Ok(None));
        assert_eq!(
            advertised("broker.example:9092"),
            Ok(Some(("broker.example".into(), 9092)))
        );
        assert_eq!(advertised("[::1]:9092"), Ok(Some(("::1".into(), 9092))));
        for wrong in ["broker", ":9092", "broker:x", "0.0.0.0:9092", "[::]:9092"] {
            assert!(advertised(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plain_needs_tls() {
        let config = Config::default();
        assert!(config.mechanisms(true).any(|m| m == Mechanism::Plain));
        assert!(!config.mechanisms(false).any(|m| m == Mechanism::Plain));
    }
}
