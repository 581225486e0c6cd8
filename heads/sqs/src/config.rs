//! Section `[sqs]`, but for what every listener (`net::Config`) and HTTP itself
//! (`net::http::HttpConfig`) have.

use std::path::PathBuf;

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// Whether requests have to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever asks is answered; signatures are not looked at.
    Accept,
    /// A request has a signature by one of the keys of `credentials_file`, or is refused.
    Verify,
}

/// What the SQS head does beyond listening.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `accept`: whoever reaches the address may do everything, so it has to be a loopback
    /// address. `verify`: requests are signed (AWS Signature Version 4) with a key of
    /// `credentials_file`.
    pub auth: Auth,
    /// Whether `auth` may be `accept` where others than this machine reach the address, because
    /// something in front of it, or the network, says who they are.
    pub accept_anywhere: bool,
    /// Names that this server is reached by, without the port. Where `auth` is `accept`, a request
    /// that names another (`Host`) is refused: a web page's own name may have been made to resolve
    /// to this address. `localhost`, the names in `sqs.listen` and `sqs.advertised` and all numeric
    /// addresses are known.
    pub hosts: Vec<String>,
    /// The keys: a line for each, `ID SECRET`. Needed where `auth` is `verify`.
    pub credentials_file: Option<PathBuf>,
    /// The account that queues belong to: part of their URLs and ARNs.
    pub account_id: String,
    /// The region in ARNs.
    pub region: String,
    /// What queue URLs begin with, `https://sqs.example.com`. Empty: the address that the client
    /// has asked, which is right unless there is a proxy that hides it.
    pub advertised: String,
    /// The namespace whose queues are served.
    pub namespace: String,
    /// How many messages of a standard queue may be received and not deleted at a time.
    pub in_flight_max: u64,
    /// How long a queue must not be purged again.
    pub purge_interval: Millis,
    /// How long a deleted queue's name must not be used again.
    pub recreate_after: Millis,
    /// How many answers to FIFO receives with an attempt id are kept for a repeat, up to five
    /// minutes each; the oldest goes first.
    pub attempts_max: usize,
    /// How many bytes the messages in them may have together.
    pub attempts_bytes_max: ByteSize,
    /// How many move tasks run at a time.
    pub move_tasks_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: Auth::Accept,
            accept_anywhere: false,
            hosts: Vec::new(),
            credentials_file: None,
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            advertised: String::new(),
            namespace: "/".to_owned(),
            in_flight_max: 120_000,
            purge_interval: Millis(60_000),
            recreate_after: Millis(60_000),
            attempts_max: 10_000,
            attempts_bytes_max: ByteSize(32 << 20),
            move_tasks_max: 100,
        }
    }
}
