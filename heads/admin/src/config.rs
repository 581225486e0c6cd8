//! Section `[http]`, but for what every listener (`net::Config`) and HTTP itself
//! (`net::http::HttpConfig`) have.

use std::path::PathBuf;

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// What the HTTP API does beyond listening.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A file with a secret. Where it is set, everything under `/v1` and `/metrics` wants it as
    /// `authorization: Bearer SECRET`. Without it, whoever reaches the address may do everything:
    /// listen on loopback only.
    pub token_file: Option<PathBuf>,
    /// Names that this server is reached by, without the port. Where no token is set, a request
    /// that names another (`Host`) is refused: a web page's own name may have been made to resolve
    /// to this address. `localhost`, the name in `http.listen` and all numeric addresses are known.
    pub hosts: Vec<String>,
    /// How many records one request may publish; with 16 headers each on average.
    pub publish_records_max: usize,
    /// How many queues, exchanges or bindings one answer may list.
    pub list_max: usize,
    /// How many records one answer may hold; a tail has no such limit.
    pub read_records_max: usize,
    /// How many bytes of batches are read for one answer or one step of a tail.
    pub read_bytes_max: ByteSize,
    /// The longest that a request may wait for records.
    pub wait_max: Millis,
    /// How often a tail without records sends a sign of life.
    pub tail_heartbeat: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token_file: None,
            hosts: Vec::new(),
            publish_records_max: 10_000,
            list_max: 1_000,
            read_records_max: 10_000,
            read_bytes_max: ByteSize(1 << 20),
            wait_max: Millis(60_000),
            tail_heartbeat: Millis(15_000),
        }
    }
}
