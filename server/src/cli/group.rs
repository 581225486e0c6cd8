//! `stentor group`.

use clap::{Args, Subcommand};
use net::http::Method;
use serde_json::{Value, json};

use super::api::{Api, cell, encode, list, table};
use super::time;
use crate::exit::{Exit, Failure};
use crate::out;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the groups.
    #[command(after_help = "Example:\n  stentor group list")]
    List,
    /// Shows a group's members and its lag: in records, and in seconds (the age of the next
    /// record to be consumed).
    #[command(after_help = "Example:\n  stentor group describe billing --json")]
    Describe {
        /// Its name.
        group: String,
    },
    /// Deletes a group without members, with its offsets.
    #[command(after_help = "Example:\n  stentor group delete billing")]
    Delete {
        /// Its name.
        group: String,
    },
    /// Sets where a group without members reads on.
    #[command(
        after_help = "Examples:\n  stentor group reset-offsets billing --topic orders --to earliest\n  stentor group reset-offsets billing --topic orders --time 2h --dry-run"
    )]
    ResetOffsets(Reset),
}

#[derive(Debug, Args)]
pub(super) struct Reset {
    /// Its name.
    group: String,
    /// The topic.
    #[arg(short, long)]
    topic: String,
    /// The partition [default: all].
    #[arg(short, long)]
    partition: Option<i32>,
    /// `earliest` or `latest`.
    #[arg(long, value_parser = ["earliest", "latest"], conflicts_with_all = ["offset", "time"])]
    to: Option<String>,
    /// An offset.
    #[arg(long, conflicts_with = "time")]
    offset: Option<i64>,
    /// The first record at or after a time: `30m` (ago), `2026-01-31T12:00:00Z`, or milliseconds
    /// since 1970.
    #[arg(long)]
    time: Option<String>,
    /// Only shows what would be set.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(command: Command, mut api: Api) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = api.get("/v1/groups").await?;
            if api.json {
                return Ok(out::json(&answer)?);
            }
            let names = ["name", "state", "protocol_type"];
            table(["GROUP", "STATE", "TYPE"], names, list(&answer, "groups"))
        }
        Command::Describe { group } => describe(&group, &mut api).await,
        Command::Delete { group } => {
            let answer = api.delete(&path(&group)).await?;
            api.done(&answer, format_args!("group {group} is deleted"))
        }
        Command::ResetOffsets(reset) => reset_offsets(reset, &mut api).await,
    }
}

fn path(group: &str) -> String {
    format!("/v1/groups/{}", encode(group))
}

async fn describe(group: &str, api: &mut Api) -> Result<(), Failure> {
    let answer = api.get(&path(group)).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    out::line(format_args!(
        "group {group}  state {}  lag {} records, {} s",
        cell(&answer, "state"),
        cell(&answer, "lag"),
        cell(&answer, "lag_seconds"),
    ))?;
    let members = list(&answer, "members");
    if !members.is_empty() {
        table(
            ["MEMBER", "CLIENT", "HOST"],
            ["id", "client_id", "client_host"],
            members,
        )?;
    }
    table(
        [
            "TOPIC",
            "PARTITION",
            "COMMITTED",
            "END",
            "LAG",
            "LAG SECONDS",
        ],
        [
            "topic",
            "partition",
            "committed",
            "end",
            "lag",
            "lag_seconds",
        ],
        list(&answer, "offsets"),
    )
}

async fn reset_offsets(reset: Reset, api: &mut Api) -> Result<(), Failure> {
    let timestamp = reset.time.as_deref().map(time::parse).transpose()?;
    if reset.to.is_none() && reset.offset.is_none() && timestamp.is_none() {
        return Err(Failure::new(
            Exit::Usage,
            "say where to: --to, --offset or --time",
        ));
    }
    let mut body = json!({ "topic": reset.topic, "dry_run": reset.dry_run });
    let fields = [
        ("partition", reset.partition.map(Value::from)),
        ("to", reset.to.map(Value::from)),
        ("offset", reset.offset.map(Value::from)),
        ("timestamp", timestamp.map(Value::from)),
    ];
    for (name, value) in fields {
        if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
            body.insert(name.to_owned(), value);
        }
    }
    let path = format!("{}/offsets", path(&reset.group));
    let answer = api.call(Method::PUT, &path, Some(&body)).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    table(
        ["TOPIC", "PARTITION", "BEFORE", "AFTER"],
        ["topic", "partition", "before", "after"],
        list(&answer, "offsets"),
    )
}
