//! The command line. `serve` runs a server, and so does no command at all; `config` reads the
//! same layers as `serve` does; every other command asks a running server over its public HTTP
//! API.

mod api;
mod config;
mod consume;
mod exchange;
mod group;
mod password;
mod produce;
mod progress;
mod queue;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
mod time;
mod topic;
mod user;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::layers::ENV_PREFIX;
use crate::config::{Format, Layers, Log};
use crate::exit::{self, Exit, Failure};
use crate::{out, serve};
use api::Api;

/// How many threads may wait for the disk at a time.
const BLOCKING_THREADS_MAX: usize = 128;

/// One server for Kafka clients and HTTP over one durable log.
#[derive(Debug, Parser)]
#[command(name = "stentor", version, about, disable_help_subcommand = false)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    server: ServerOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the configuration comes from. May stand before or behind `serve` and `config`.
#[derive(Clone, Debug, Default, Args)]
struct ServerOptions {
    /// The configuration file [default: ./stentor.toml where it exists].
    #[arg(long, value_name = "FILE", help_heading = "Server options")]
    config: Option<PathBuf>,
    /// Sets one key of the configuration; may be repeated.
    #[arg(
        long,
        value_name = "SECTION.KEY=VALUE",
        help_heading = "Server options"
    )]
    set: Vec<String>,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Common {
    /// The server that client commands ask [default: $STENTOR_SERVER or http://127.0.0.1:8080].
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help_heading = "Client options"
    )]
    server: Option<String>,
    /// A file with the server's token [default: the token in $STENTOR_TOKEN].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Client options"
    )]
    token_file: Option<PathBuf>,
    /// The certificate authority to trust, as PEM, for an https URL.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Client options"
    )]
    ca: Option<PathBuf>,
    /// Prints JSON, for scripts.
    #[arg(long, global = true, help_heading = "Client options")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server; what `stentor` without a command does.
    #[command(
        after_help = "Example:\n  stentor serve --set data_dir=/var/lib/stentor --set kafka.listen=0.0.0.0:9092"
    )]
    Serve(ServerOptions),
    /// Lists, creates, describes, changes and deletes topics.
    #[command(subcommand)]
    Topic(topic::Command),
    /// Lists, creates, describes, empties and deletes queues; looks into them.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Lists, creates, describes and deletes exchanges; binds queues to them.
    #[command(subcommand)]
    Exchange(exchange::Command),
    /// Lists and describes consumer groups, with their lag; deletes them; sets their offsets.
    #[command(subcommand)]
    Group(group::Command),
    /// Publishes records: arguments, a file's lines, or the lines of standard input.
    Produce(produce::Produce),
    /// Prints records.
    Consume(consume::Consume),
    /// Prints a topic's newest records, and goes on as they come.
    Tail(consume::Tail),
    /// Lists, adds and deletes the users who may authenticate.
    #[command(subcommand)]
    User(user::Command),
    /// Shows and checks the configuration; shows and changes that of a topic.
    Config(config::Config),
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that go to standard output.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            };
        }
    };
    match run(cli) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) if failure.exit == Exit::Ok => Exit::Ok.into(),
        Err(failure) => {
            out::error(format_args!("error: {failure}"));
            failure.exit.into()
        }
    }
}

fn parse(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, clap::Error> {
    let codes = exit::TABLE
        .iter()
        .map(|(_, number, meaning)| format!("  {number:>2}  {meaning}\n"));
    let help = format!("Exit codes:\n{}", codes.collect::<String>());
    let command = Cli::command().after_help(help);
    let mut matches = command.try_get_matches_from(args)?;
    Cli::from_arg_matches_mut(&mut matches)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let common = cli.common;
    let server = cli.server;
    match cli
        .command
        .unwrap_or_else(|| Command::Serve(ServerOptions::default()))
    {
        Command::Serve(own) => serve(&server.and(own)),
        Command::Config(command) => config::run(command, &server, &common),
        Command::Topic(command) => ask(&common, async |api| topic::run(command, api).await),
        Command::Queue(command) => ask(&common, async |api| queue::run(command, api).await),
        Command::Exchange(command) => ask(&common, async |api| exchange::run(command, api).await),
        Command::Group(command) => ask(&common, async |api| group::run(command, api).await),
        Command::User(command) => ask(&common, async |api| user::run(command, api).await),
        Command::Produce(command) => ask(&common, async |api| produce::run(command, api).await),
        Command::Consume(command) => ask(&common, async |api| consume::run(command, api).await),
        Command::Tail(command) => ask(&common, async |api| {
            consume::run(command.into_consume(), api).await
        }),
    }
}

impl ServerOptions {
    /// These, and then `later` ones.
    fn and(&self, later: Self) -> Self {
        let set = self.set.iter().cloned().chain(later.set).collect();
        Self {
            config: later.config.or_else(|| self.config.clone()),
            set,
        }
    }

    fn layers(&self) -> Layers {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            let name = name
                .into_string()
                .ok()
                .filter(|name| name.starts_with(ENV_PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Layers {
            file: self.config.clone(),
            env: env.collect(),
            set: self.set.clone(),
        }
    }
}

fn serve(options: &ServerOptions) -> Result<(), Failure> {
    let config = options.layers().load()?.config;
    start_log(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("stentor-io")
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve::run(config));
    // What was still running at the deadline holds nothing that must be kept.
    runtime.shutdown_background();
    ended
}

fn start_log(config: &Log) {
    let filter = tracing_subscriber::EnvFilter::new(&config.level);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Only a second subscriber could fail, and there is none.
    let _ = match config.format {
        Format::Text => {
            let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with_ansi(color).try_init()
        }
        Format::Json => log.json().try_init(),
    };
}

/// Runs a client command.
fn ask<F>(common: &Common, command: impl FnOnce(Api) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async { command(Api::new(common)?).await });
    runtime.shutdown_background();
    ended
}
