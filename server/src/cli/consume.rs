//! `stentor consume` and `stentor tail`: the server's stream of JSON lines, printed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use futures_util::StreamExt;
use net::http::Method;
use serde_json::Value;

use super::api::{Api, encode};
use super::time;
use super::topic::path;
use crate::exit::{Exit, Failure};
use crate::out;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stentor consume orders                          # everything, then end\n  stentor consume orders --from -10 --follow      # the last 10 of each partition, and what comes\n  stentor consume orders --time 30m --format '{key}\\t{value}'"
)]
pub(super) struct Consume {
    /// The topic.
    topic: String,
    /// Where to begin: `earliest`, `latest`, an offset, or -N for the last N of each partition.
    #[arg(
        short = 'o',
        long,
        default_value = "earliest",
        allow_hyphen_values = true
    )]
    from: String,
    /// Begins with the first record at or after a time: `30m` (ago), `2026-01-31T12:00:00Z`, or
    /// milliseconds since 1970.
    #[arg(short, long)]
    time: Option<String>,
    /// The partition [default: all].
    #[arg(short, long)]
    partition: Option<i32>,
    /// Ends after so many records.
    #[arg(short = 'n', long)]
    count: Option<u64>,
    /// Goes on as records come, instead of ending at the end.
    #[arg(short, long)]
    follow: bool,
    /// How a record is printed: {topic}, {partition}, {offset}, {timestamp}, {key}, {value}, \t,
    /// \n, \\. A line end follows.
    #[arg(long, default_value = "{value}", conflicts_with = "json")]
    format: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  stentor tail orders -n 20")]
pub(super) struct Tail {
    /// The topic.
    topic: String,
    /// How many of each partition's newest records to begin with.
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: u64,
    /// The partition [default: all].
    #[arg(short, long)]
    partition: Option<i32>,
    /// How a record is printed; see `consume`.
    #[arg(long, default_value = "{value}", conflicts_with = "json")]
    format: String,
}

impl Tail {
    pub(super) fn into_consume(self) -> Consume {
        Consume {
            topic: self.topic,
            from: if self.lines == 0 {
                "latest".to_owned()
            } else {
                format!("-{}", self.lines)
            },
            time: None,
            partition: self.partition,
            count: None,
            follow: true,
            format: self.format,
        }
    }
}

pub(super) async fn run(command: Consume, mut api: Api) -> Result<(), Failure> {
    let mut query = match &command.time {
        Some(text) => format!("timestamp={}", time::parse(text)?),
        None => format!("from={}", encode(&command.from)),
    };
    query.push_str(&format!("&follow={}", command.follow));
    if let Some(partition) = command.partition {
        query.push_str(&format!("&partition={partition}"));
    }
    if let Some(count) = command.count {
        query.push_str(&format!("&limit={count}"));
    }
    let format = Format::parse(&command.format)?;
    let path = format!("{}/tail?{query}", path(&command.topic));
    let answer = api.send(Method::GET, &path, None::<&()>).await?;
    let mut lines = answer.lines();
    while let Some(line) = lines.next().await {
        let line = line?;
        // A sign of life.
        if line.is_empty() {
            continue;
        }
        let record: Value = serde_json::from_slice(&line)
            .map_err(|error| Failure::new(Exit::Failure, format!("not a record: {error}")))?;
        if let Some(error) = record.get("error").and_then(Value::as_str) {
            return Err(Failure::new(Exit::Refused, error));
        }
        let bytes = if api.json {
            line.to_vec()
        } else {
            format.show(&command.topic, &record)
        };
        match out::raw(&bytes) {
            // The reader has seen enough (`| head`).
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

/// A parsed `--format`.
#[derive(Debug, PartialEq, Eq)]
struct Format(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

const FIELDS: [&str; 6] = ["topic", "partition", "offset", "timestamp", "key", "value"];

impl Format {
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => plain.push(match rest.next() {
                    Some('t') => '\t',
                    Some('n') => '\n',
                    Some(other) => other,
                    None => '\\',
                }),
                '{' => {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    let field =
                        FIELDS
                            .into_iter()
                            .find(|field| *field == name)
                            .ok_or_else(|| {
                                let known = FIELDS.join("}, {");
                                Failure::new(
                                    Exit::Usage,
                                    format!("--format: `{{{name}}}` is none of {{{known}}}"),
                                )
                            })?;
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Field(field));
                }
                c => plain.push(c),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    fn show(&self, topic: &str, record: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Field("topic") => out.extend_from_slice(topic.as_bytes()),
                Part::Field(name) => out.extend(field(record, name)),
            }
        }
        out
    }
}

fn field(record: &Value, name: &str) -> Vec<u8> {
    if let Some(base64) = record.get(format!("{name}_base64")).and_then(Value::as_str) {
        return BASE64.decode(base64).unwrap_or_default();
    }
    match record.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(other) => other.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(format: &str, record: &Value) -> Vec<u8> {
        Format::parse(format).unwrap().show("t", record)
    }

    #[test]
    fn formats_name_what_they_show() {
        let record =
            serde_json::json!({ "partition": 1, "offset": 7, "key": "k", "value_base64": "/wA=" });
        assert_eq!(
            show("{topic}/{partition}@{offset}\\t{key}={value}", &record),
            b"t/1@7\tk=\xff\0"
        );
        assert_eq!(show("{key}|", &serde_json::json!({ "value": null })), b"|");
        assert!(Format::parse("{nothing}").is_err());
    }
}
