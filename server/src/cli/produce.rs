//! `stentor produce`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use net::http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, list};
use super::progress::Progress;
use super::topic::path;
use crate::exit::{Exit, Failure};

/// How much goes into one request: records and bytes. As JSON it is at most six times as much,
/// which is below the server's http.body_bytes_max.
const BATCH_RECORDS: usize = 5000;
const BATCH_BYTES: usize = 1 << 20;
/// The longest line.
const LINE_BYTES_MAX: u64 = 2 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stentor produce orders 'first' 'second'\n  stentor produce orders --file events.jsonl\n  tail -f app.log | stentor produce logs --header host=web-1\n  echo 'k1:hello' | stentor produce orders --key-separator :"
)]
pub(super) struct Produce {
    /// The topic; made when there is none and the server's topics.auto_create is on.
    topic: String,
    /// The values; without any, each line of the input is one.
    values: Vec<String>,
    /// Reads lines of this file instead of standard input.
    #[arg(short, long, conflicts_with = "values")]
    file: Option<PathBuf>,
    /// The key of every record.
    #[arg(short, long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// What stands between key and value in each line.
    #[arg(short = 'K', long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header of every record; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The partition [default: by the key].
    #[arg(short, long)]
    partition: Option<i32>,
    /// What to wait for: `all` (on disk), `leader` (written), `none`.
    #[arg(long, default_value = "all", value_parser = ["all", "leader", "none"])]
    ack: String,
}

struct Producer {
    api: Api,
    path: String,
    ack: String,
    partition: Option<i32>,
    key: Option<String>,
    separator: Option<String>,
    headers: Vec<Value>,
    batch: Vec<Value>,
    batch_bytes: usize,
    records: u64,
    bytes: u64,
    progress: Progress,
}

pub(super) async fn run(command: Produce, api: Api) -> Result<(), Failure> {
    let headers: Result<Vec<Value>, Failure> = command
        .headers
        .iter()
        .map(|header| {
            let (name, value) = header.split_once('=').ok_or_else(|| {
                Failure::new(Exit::Usage, format!("--header {header} is not NAME=VALUE"))
            })?;
            Ok(json!({ "name": name, "value": value }))
        })
        .collect();
    let input = command
        .values
        .is_empty()
        .then(|| open(command.file.as_ref()))
        .transpose()?;
    let total = input.as_ref().and_then(|(_, total)| *total);
    let mut producer = Producer {
        api,
        path: format!("{}/records", path(&command.topic)),
        ack: command.ack,
        partition: command.partition,
        key: command.key,
        separator: command.key_separator,
        headers: headers?,
        batch: Vec::new(),
        batch_bytes: 0,
        records: 0,
        bytes: 0,
        progress: Progress::new(total),
    };
    match input {
        Some((input, _)) => producer.lines(input, total.is_some()).await?,
        None => {
            for value in &command.values {
                producer.add(value.as_bytes()).await?;
            }
        }
    }
    producer.send().await?;
    let (records, bytes) = (producer.records, producer.bytes);
    producer.progress.end(records, bytes);
    let done = json!({ "topic": command.topic, "records": records, "bytes": bytes });
    let plural = if records == 1 { "" } else { "s" };
    producer.api.done(
        &done,
        format_args!("{records} record{plural} published to {}", command.topic),
    )
}

type Input = BufReader<Box<dyn Read>>;

#[expect(
    clippy::disallowed_methods,
    reason = "a client reads the file that its user names"
)]
fn open(file: Option<&PathBuf>) -> Result<(Input, Option<u64>), Failure> {
    let Some(path) = file else {
        return Ok((BufReader::new(Box::new(std::io::stdin())), None));
    };
    let fails = |e: std::io::Error| Failure::new(Exit::Failure, format!("{}: {e}", path.display()));
    let file = File::open(path).map_err(fails)?;
    let total = file.metadata().map_err(fails)?.len();
    Ok((
        BufReader::with_capacity(256 << 10, Box::new(file)),
        Some(total),
    ))
}

impl Producer {
    async fn lines(&mut self, mut input: Input, is_file: bool) -> Result<(), Failure> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            if !whole && read as u64 == LINE_BYTES_MAX {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("a line is longer than {LINE_BYTES_MAX} bytes"),
                ));
            }
            if whole {
                line.pop();
            }
            self.add(&line).await?;
            // What has come is sent before more is waited for: a person types, a log grows.
            if input.buffer().is_empty() && !is_file {
                self.send().await?;
            }
        }
    }

    async fn add(&mut self, line: &[u8]) -> Result<(), Failure> {
        let mut record = Map::new();
        let mut value = line;
        if let Some(separator) = self.separator.as_deref().filter(|s| !s.is_empty()) {
            let at = line
                .windows(separator.len())
                .position(|part| part == separator.as_bytes());
            if let Some(at) = at {
                put(&mut record, "key", line.get(..at).unwrap_or_default());
                value = line.get(at + separator.len()..).unwrap_or_default();
            }
        } else if let Some(key) = &self.key {
            put(&mut record, "key", key.as_bytes());
        }
        put(&mut record, "value", value);
        if let Some(partition) = self.partition {
            record.insert("partition".to_owned(), partition.into());
        }
        if !self.headers.is_empty() {
            record.insert("headers".to_owned(), self.headers.clone().into());
        }
        self.batch.push(Value::Object(record));
        self.batch_bytes += line.len() + 1;
        if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.batch);
        let body = json!({ "records": records, "ack": self.ack });
        let answer = self.api.call(Method::POST, &self.path, Some(&body)).await;
        let answer = answer.map_err(|failure| {
            let sent = self.records;
            Failure::new(
                failure.exit,
                format!("{failure} (after {sent} records were published)"),
            )
        })?;
        self.records += list(&answer, "records").len() as u64;
        self.bytes += std::mem::take(&mut self.batch_bytes) as u64;
        self.progress.at(self.records, self.bytes);
        Ok(())
    }
}

/// Text as text, other bytes as base64.
fn put(record: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => record.insert(name.to_owned(), text.into()),
        Err(_) => record.insert(format!("{name}_base64"), BASE64.encode(bytes).into()),
    };
}
