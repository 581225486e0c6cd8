//! `stentor config`: the server's configuration as this command line would have it, and the
//! configuration of topics on a running server.

use std::path::PathBuf;

use broker::topic_config::KEYS;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::api::{Api, cell, list, table};
use super::topic::{alter, path};
use super::{Common, ServerOptions, ask};
use crate::config::{Layers, example};
use crate::exit::{Exit, Failure};
use crate::out;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stentor config                      # every value in effect, and where it comes from\n  stentor config --example > stentor.toml\n  stentor config check stentor.toml\n  stentor config set orders retention.ms=86400000"
)]
pub(super) struct Config {
    /// Prints a stentor.toml with every key, its meaning and its default; same as `example`.
    #[arg(long)]
    example: bool,
    #[command(flatten)]
    server: ServerOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows every value in effect and where it comes from.
    #[command(after_help = "Example:\n  stentor config show --set memory.limit=1GiB")]
    Show(ServerOptions),
    /// Prints a stentor.toml with every key, its meaning and its default.
    #[command(after_help = "Example:\n  stentor config example > stentor.toml")]
    Example,
    /// Checks a file: exit code 0 when a server would take it, 3 when not.
    #[command(after_help = "Example:\n  stentor config check /etc/stentor/stentor.toml")]
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Lists what can be configured about a topic.
    #[command(after_help = "Example:\n  stentor config keys")]
    Keys,
    /// Shows a topic's configuration on a running server.
    #[command(after_help = "Example:\n  stentor config get orders retention.ms")]
    Get {
        /// The topic.
        topic: String,
        /// One key [default: all].
        key: Option<String>,
    },
    /// Changes a topic's configuration on a running server.
    #[command(
        after_help = "Example:\n  stentor config set orders retention.ms=86400000 --unset segment.bytes"
    )]
    Set {
        /// The topic.
        topic: String,
        /// What to set.
        #[arg(value_name = "KEY=VALUE")]
        values: Vec<String>,
        /// What goes back to its default; may be repeated.
        #[arg(short, long, value_name = "KEY")]
        unset: Vec<String>,
        /// Only says whether it could be.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(config: Config, server: &ServerOptions, common: &Common) -> Result<(), Failure> {
    let shown = match config.example {
        true => Command::Example,
        false => Command::Show(ServerOptions::default()),
    };
    match config.command.unwrap_or(shown) {
        Command::Show(own) => show(&server.and(own), common),
        Command::Example => Ok(out::raw(example::example().trim_end().as_bytes())?),
        Command::Check { file } => {
            Layers {
                file: Some(file.clone()),
                ..Layers::default()
            }
            .load()?;
            Ok(out::line(format_args!("{} is in order", file.display()))?)
        }
        Command::Keys => keys(common),
        Command::Get { topic, key } => ask(common, async |api| get(&topic, key, api).await),
        Command::Set {
            topic,
            values,
            unset,
            dry_run,
        } => ask(common, async |mut api| {
            alter(&topic, &values, &unset, dry_run, &mut api).await
        }),
    }
}

fn show(options: &ServerOptions, common: &Common) -> Result<(), Failure> {
    let loaded = options.layers().load()?;
    let rows: Vec<Value> = loaded
        .entries
        .iter()
        .map(|(key, entry)| {
            json!({ "key": key, "value": entry.value, "origin": entry.origin.to_string() })
        })
        .collect();
    if common.json {
        return Ok(out::json(&json!({ "config": rows }))?);
    }
    table(["KEY", "VALUE", "FROM"], ["key", "value", "origin"], &rows)
}

fn keys(common: &Common) -> Result<(), Failure> {
    let rows: Vec<Value> = KEYS
        .iter()
        .map(|key| json!({ "key": key.name, "default": key.default, "used": key.used, "doc": key.doc }))
        .collect();
    if common.json {
        return Ok(out::json(&json!({ "keys": rows }))?);
    }
    table(
        ["KEY", "DEFAULT", "MEANING"],
        ["key", "default", "doc"],
        &rows,
    )
}

async fn get(topic: &str, key: Option<String>, mut api: Api) -> Result<(), Failure> {
    let answer = api.get(&format!("{}/config", path(topic))).await?;
    let all = list(&answer, "config");
    if let Some(key) = key {
        let row = all
            .iter()
            .find(|row| cell(row, "key") == key)
            .ok_or_else(|| {
                Failure::new(
                    Exit::NotFound,
                    format!("there is no topic configuration `{key}`"),
                )
            })?;
        let value = cell(row, "value");
        return api.done(row, format_args!("{value}"));
    }
    if api.json {
        return Ok(out::json(&answer)?);
    }
    table(["KEY", "VALUE", "FROM"], ["key", "value", "origin"], all)
}
