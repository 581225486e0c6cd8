//! `stentor topic`.

use clap::Subcommand;
use net::http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, cell, encode, list, table};
use crate::exit::{Exit, Failure};
use crate::out;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the topics.
    #[command(after_help = "Example:\n  stentor topic list --json")]
    List,
    /// Creates a topic.
    #[command(
        after_help = "Example:\n  stentor topic create orders --partitions 12 --config retention.ms=86400000"
    )]
    Create {
        /// Its name.
        topic: String,
        /// How many partitions [default: the server's topics.partitions].
        #[arg(short, long)]
        partitions: Option<u32>,
        /// What is configured on it; may be repeated. `stentor config keys` lists the keys.
        #[arg(short, long, value_name = "KEY=VALUE")]
        config: Vec<String>,
        /// Only says whether it could be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Shows a topic's partitions, offsets and configuration.
    #[command(after_help = "Example:\n  stentor topic describe orders")]
    Describe {
        /// Its name.
        topic: String,
    },
    /// Deletes a topic and all that is in it.
    #[command(after_help = "Example:\n  stentor topic delete orders --yes")]
    Delete {
        /// Its name.
        topic: String,
        /// Does not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Changes what is configured on a topic.
    #[command(
        after_help = "Example:\n  stentor topic alter orders --config retention.ms=3600000 --unset segment.bytes"
    )]
    Alter {
        /// Its name.
        topic: String,
        /// What to set; may be repeated.
        #[arg(short, long, value_name = "KEY=VALUE")]
        config: Vec<String>,
        /// What goes back to its default; may be repeated.
        #[arg(short, long, value_name = "KEY")]
        unset: Vec<String>,
        /// Only says whether it could be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Raises the number of a topic's partitions.
    #[command(after_help = "Example:\n  stentor topic add-partitions orders --total 24")]
    AddPartitions {
        /// Its name.
        topic: String,
        /// How many there are to be.
        #[arg(long)]
        total: u32,
        /// Only says whether it could be.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) async fn run(command: Command, mut api: Api) -> Result<(), Failure> {
    match command {
        Command::List => show_list(&mut api).await,
        Command::Create {
            topic,
            partitions,
            config,
            dry_run,
        } => {
            let config = pairs(&config)?;
            let body = json!({ "name": topic, "partitions": partitions, "config": config, "dry_run": dry_run });
            let answer = api.call(Method::POST, "/v1/topics", Some(&body)).await?;
            let count = cell(&answer, "partitions");
            let what = if dry_run {
                "can be created"
            } else {
                "is created"
            };
            let with = if dry_run {
                String::new()
            } else {
                format!(" with {count} partitions")
            };
            api.done(&answer, format_args!("topic {topic} {what}{with}"))
        }
        Command::Describe { topic } => describe(&topic, &mut api).await,
        Command::Delete { topic, yes } => {
            if !yes && !confirmed(&format!("delete topic {topic} and everything in it?"))? {
                return Err(Failure::new(
                    Exit::Usage,
                    "not deleted: answer y, or give --yes",
                ));
            }
            let answer = api.delete(&path(&topic)).await?;
            api.done(&answer, format_args!("topic {topic} is deleted"))
        }
        Command::Alter {
            topic,
            config,
            unset,
            dry_run,
        } => alter(&topic, &config, &unset, dry_run, &mut api).await,
        Command::AddPartitions {
            topic,
            total,
            dry_run,
        } => {
            let body = json!({ "total": total, "dry_run": dry_run });
            let path = format!("{}/partitions", path(&topic));
            let answer = api.call(Method::POST, &path, Some(&body)).await?;
            let verb = if dry_run { "can have" } else { "has" };
            api.done(
                &answer,
                format_args!("topic {topic} {verb} {total} partitions"),
            )
        }
    }
}

pub(super) fn path(topic: &str) -> String {
    format!("/v1/topics/{}", encode(topic))
}

/// `KEY=VALUE` each.
pub(super) fn pairs(words: &[String]) -> Result<Map<String, Value>, Failure> {
    words
        .iter()
        .map(|word| {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| Failure::new(Exit::Usage, format!("`{word}` is not KEY=VALUE")))?;
            Ok((key.to_owned(), Value::String(value.to_owned())))
        })
        .collect()
}

async fn show_list(api: &mut Api) -> Result<(), Failure> {
    let answer = api.get("/v1/topics").await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    table(
        ["TOPIC", "PARTITIONS", "RECORDS", "BYTES", "INTERNAL"],
        ["name", "partitions", "records", "bytes", "internal"],
        list(&answer, "topics"),
    )
}

async fn describe(topic: &str, api: &mut Api) -> Result<(), Failure> {
    let answer = api.get(&path(topic)).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    out::line(format_args!(
        "topic {}  id {}",
        cell(&answer, "name"),
        cell(&answer, "id")
    ))?;
    for (key, value) in answer
        .get("config")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        out::line(format_args!(
            "  {key} = {}",
            value.as_str().unwrap_or_default()
        ))?;
    }
    table(
        ["PARTITION", "START", "END", "BYTES"],
        ["partition", "start", "end", "bytes"],
        list(&answer, "partitions"),
    )
}

/// Also what `stentor config set` does.
pub(super) async fn alter(
    topic: &str,
    set: &[String],
    unset: &[String],
    dry_run: bool,
    api: &mut Api,
) -> Result<(), Failure> {
    if set.is_empty() && unset.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "nothing to change: give KEY=VALUE or --unset KEY",
        ));
    }
    let body = json!({ "set": pairs(set)?, "unset": unset, "dry_run": dry_run });
    let path = format!("{}/config", path(topic));
    let answer = api.call(Method::PATCH, &path, Some(&body)).await?;
    let what = if dry_run {
        "can be changed"
    } else {
        "is changed"
    };
    api.done(&answer, format_args!("topic {topic} {what}"))
}

/// Whether a person at a terminal says yes.
pub(super) fn confirmed(question: &str) -> Result<bool, Failure> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    out::prompt(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
