//! `stentor queue`.

use base::Millis;
use clap::{Args, Subcommand, ValueEnum};
use net::http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, cell, encode, list, table};
use super::topic::confirmed;
use crate::exit::{Exit, Failure};
use crate::out;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the queues: messages that are ready, leased (delivered and not settled) and delayed,
    /// consumers, and the age of the oldest message.
    #[command(
        after_help = "Examples:\n  stentor queue list\n  stentor queue list --namespace / --json"
    )]
    List {
        /// Only those of this namespace.
        #[arg(long)]
        namespace: Option<String>,
    },
    /// Shows a queue's settings, how it is, and what is bound to it.
    #[command(after_help = "Example:\n  stentor queue describe orders")]
    Describe(Name),
    /// Creates a queue; there being one with the same settings is as good.
    #[command(
        after_help = "Examples:\n  stentor queue create orders --lease 30s --delivery-limit 5 --dead-letter-queue orders.dead\n  stentor queue create jobs --lanes 10 --length-max 100000 --overflow reject"
    )]
    Create(Box<Create>),
    /// Deletes a queue and its messages.
    #[command(after_help = "Example:\n  stentor queue delete orders --if-unused --if-empty --yes")]
    Delete {
        #[command(flatten)]
        name: Name,
        /// Only when nobody consumes from it.
        #[arg(long)]
        if_unused: bool,
        /// Only when no messages are ready.
        #[arg(long)]
        if_empty: bool,
        /// Does not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Deletes a queue's messages that are ready.
    #[command(after_help = "Example:\n  stentor queue purge orders --all --yes")]
    Purge {
        #[command(flatten)]
        name: Name,
        /// Also those that are leased or delayed.
        #[arg(long)]
        all: bool,
        /// Does not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Prints messages that are ready, and leaves them where they are.
    #[command(after_help = "Example:\n  stentor queue peek orders -n 3")]
    Peek {
        #[command(flatten)]
        name: Name,
        /// How many to pass over.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 10)]
        limit: u64,
    },
}

/// Which queue.
#[derive(Debug, Args)]
pub(super) struct Name {
    /// Its name.
    queue: String,
    /// Its namespace.
    #[arg(long, default_value = "/")]
    namespace: String,
}

impl Name {
    fn path(&self) -> String {
        format!(
            "/v1/queues/{}/{}",
            encode(&self.namespace),
            encode(&self.queue)
        )
    }
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    name: Name,
    /// It is gone after a restart.
    #[arg(long)]
    transient: bool,
    /// It is deleted when its last consumer leaves.
    #[arg(long)]
    auto_delete: bool,
    /// How many priorities it has, from 0 on [default: 1, no priorities].
    #[arg(long)]
    lanes: Option<u16>,
    /// How long a message waits before it expires.
    #[arg(long, value_name = "TIME")]
    message_ttl: Option<Millis>,
    /// How long the queue may be unused before it is deleted.
    #[arg(long, value_name = "TIME")]
    expires: Option<Millis>,
    /// How long a message is kept before it is dropped, and not dead-lettered.
    #[arg(long, value_name = "TIME")]
    retention: Option<Millis>,
    /// How many messages may be ready.
    #[arg(long, value_name = "MESSAGES")]
    length_max: Option<u64>,
    /// How many bytes the values of ready messages may have.
    #[arg(long, value_name = "BYTES")]
    bytes_max: Option<u64>,
    /// What happens to a message for which there is no room [default: drop-head].
    #[arg(long)]
    overflow: Option<Overflow>,
    /// The queue that dead letters go to.
    #[arg(long, value_name = "QUEUE", conflicts_with = "dead_letter_exchange")]
    dead_letter_queue: Option<String>,
    /// The exchange that dead letters go to.
    #[arg(long, value_name = "EXCHANGE")]
    dead_letter_exchange: Option<String>,
    /// What dead letters are routed by there [default: what they were routed by].
    #[arg(long, value_name = "KEY", requires = "dead_letter_exchange")]
    dead_letter_routing_key: Option<String>,
    /// How often a message is delivered at most.
    #[arg(long, value_name = "TIMES")]
    delivery_limit: Option<u32>,
    /// One consumer gets everything while the others wait for its place.
    #[arg(long)]
    single_active: bool,
    /// How long what is taken stays hidden [default: until it is released].
    #[arg(long, value_name = "TIME")]
    lease: Option<Millis>,
    /// How long a message is hidden at first.
    #[arg(long, value_name = "TIME")]
    delay: Option<Millis>,
    /// Messages of one group keep their order.
    #[arg(long)]
    ordered_groups: bool,
    /// How long deduplication ids are remembered [default: not at all].
    #[arg(long, value_name = "TIME")]
    dedup_window: Option<Millis>,
    /// Within what a deduplication id is unique [default: queue].
    #[arg(long, requires = "dedup_window")]
    dedup_scope: Option<Scope>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overflow {
    /// The oldest goes.
    DropHead,
    /// It is rejected.
    Reject,
    /// It is rejected and dead-lettered.
    RejectDeadLetter,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    /// The queue.
    Queue,
    /// The message's group.
    Group,
}

impl Create {
    /// The settings as the server takes them.
    fn settings(&self) -> Value {
        let time = |time: Option<Millis>| time.map(|time| Value::from(time.0));
        let dead_letter = match (&self.dead_letter_queue, &self.dead_letter_exchange) {
            (Some(queue), _) => Some(json!({ "queue": queue })),
            (None, Some(exchange)) => {
                Some(json!({ "exchange": exchange, "routing_key": self.dead_letter_routing_key }))
            }
            (None, None) => None,
        };
        let scope = match self.dedup_scope.unwrap_or(Scope::Queue) {
            Scope::Queue => "queue",
            Scope::Group => "group",
        };
        let dedup = self.dedup_window;
        let given = [
            ("lanes", self.lanes.map(Value::from)),
            ("message_ttl_ms", time(self.message_ttl)),
            ("expires_ms", time(self.expires)),
            ("retention_ms", time(self.retention)),
            ("length_max", self.length_max.map(Value::from)),
            ("bytes_max", self.bytes_max.map(Value::from)),
            ("overflow", self.overflow.map(|overflow| overflow.json())),
            ("dead_letter", dead_letter),
            ("delivery_limit", self.delivery_limit.map(Value::from)),
            ("lease_ms", time(self.lease)),
            ("delay_ms", time(self.delay)),
            (
                "dedup",
                dedup.map(|window| json!({ "window_ms": window.0, "scope": scope })),
            ),
        ];
        let mut settings = Map::new();
        settings.insert("durable".to_owned(), Value::from(!self.transient));
        for (name, value) in [
            ("auto_delete", self.auto_delete),
            ("single_active", self.single_active),
            ("ordered_groups", self.ordered_groups),
        ] {
            settings.insert(name.to_owned(), Value::from(value));
        }
        for (name, value) in given {
            settings.extend(value.map(|value| (name.to_owned(), value)));
        }
        Value::Object(settings)
    }
}

impl Overflow {
    fn json(self) -> Value {
        Value::from(match self {
            Self::DropHead => "drop_head",
            Self::Reject => "reject",
            Self::RejectDeadLetter => "reject_dead_letter",
        })
    }
}

pub(super) async fn run(command: Command, mut api: Api) -> Result<(), Failure> {
    match command {
        Command::List { namespace } => show_list(namespace.as_deref(), &mut api).await,
        Command::Describe(name) => describe(&name, &mut api).await,
        Command::Create(create) => {
            let settings = create.settings();
            let path = create.name.path();
            let answer = api.call(Method::PUT, &path, Some(&settings)).await?;
            api.done(
                &answer,
                format_args!("queue {} is there", create.name.queue),
            )
        }
        Command::Delete {
            name,
            if_unused,
            if_empty,
            yes,
        } => {
            let queue = &name.queue;
            sure(yes, &format!("delete queue {queue} and everything in it?"))?;
            let path = name.path();
            let path = format!("{path}?if_unused={if_unused}&if_empty={if_empty}");
            let answer = api.delete(&path).await?;
            let count = cell(&answer, "messages");
            api.done(
                &answer,
                format_args!("queue {queue} is deleted, with {count} messages"),
            )
        }
        Command::Purge { name, all, yes } => {
            let queue = &name.queue;
            sure(yes, &format!("delete the messages of queue {queue}?"))?;
            let path = format!("{}/purge", name.path());
            let body = json!({ "all": all });
            let answer = api.call(Method::POST, &path, Some(&body)).await?;
            let count = cell(&answer, "messages");
            api.done(
                &answer,
                format_args!("{count} messages of queue {queue} are deleted"),
            )
        }
        Command::Peek { name, from, limit } => peek(&name, from, limit, &mut api).await,
    }
}

/// Asks a person at a terminal, unless the command line says yes.
pub(super) fn sure(yes: bool, question: &str) -> Result<(), Failure> {
    if yes || confirmed(question)? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "not done: answer y, or give --yes",
    ))
}

/// All pages of a list, `what` being its name in the answer and the path.
pub(super) async fn all_pages(
    what: &str,
    namespace: Option<&str>,
    api: &mut Api,
) -> Result<Value, Failure> {
    let mut all = Vec::new();
    let mut next = Value::Null;
    loop {
        let mut query = Vec::new();
        query.extend(namespace.map(|name| format!("namespace={}", encode(name))));
        if !next.is_null() {
            let (space, name) = (cell(&next, "namespace"), cell(&next, "name"));
            query.push(format!("after_namespace={}", encode(&space)));
            query.push(format!("after={}", encode(&name)));
        }
        let path = format!("/v1/{what}?{}", query.join("&"));
        let answer = api.get(&path).await?;
        all.extend_from_slice(list(&answer, what));
        next = answer.get("next").cloned().unwrap_or_default();
        if next.is_null() {
            return Ok(json!({ what: all }));
        }
    }
}

async fn show_list(namespace: Option<&str>, api: &mut Api) -> Result<(), Failure> {
    let answer = all_pages("queues", namespace, api).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    table(
        [
            "NAMESPACE",
            "QUEUE",
            "READY",
            "LEASED",
            "DELAYED",
            "CONSUMERS",
            "BYTES",
            "OLDEST S",
        ],
        [
            "namespace",
            "name",
            "ready",
            "leased",
            "delayed",
            "consumers",
            "ready_bytes",
            "oldest_seconds",
        ],
        list(&answer, "queues"),
    )
}

async fn describe(name: &Name, api: &mut Api) -> Result<(), Failure> {
    let answer = api.get(&name.path()).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    out::line(format_args!(
        "queue {}  namespace {}  topic {}  id {}",
        cell(&answer, "name"),
        cell(&answer, "namespace"),
        cell(&answer, "topic"),
        cell(&answer, "id"),
    ))?;
    settings(answer.get("settings"))?;
    table(
        [
            "READY",
            "LEASED",
            "DELAYED",
            "CONSUMERS",
            "BYTES",
            "OLDEST S",
        ],
        [
            "ready",
            "leased",
            "delayed",
            "consumers",
            "ready_bytes",
            "oldest_seconds",
        ],
        std::slice::from_ref(&answer),
    )?;
    let bindings = list(&answer, "bindings");
    if bindings.is_empty() {
        return Ok(());
    }
    table(
        ["EXCHANGE", "KEY", "ARGUMENTS"],
        ["source", "key", "arguments"],
        bindings,
    )
}

/// What is set, a line each.
pub(super) fn settings(settings: Option<&Value>) -> Result<(), Failure> {
    for (key, value) in settings.and_then(Value::as_object).into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        out::line(format_args!("  {key} = {text}"))?;
    }
    Ok(())
}

async fn peek(name: &Name, from: u64, limit: u64, api: &mut Api) -> Result<(), Failure> {
    let path = format!("{}/peek?from={from}&limit={limit}", name.path());
    let answer = api.get(&path).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    let mut messages = list(&answer, "messages").to_vec();
    for message in &mut messages {
        let bytes = message.get("value_base64").cloned();
        if let (Some(bytes), Some(message)) = (bytes, message.as_object_mut()) {
            message.insert("value".to_owned(), bytes);
        }
    }
    table(
        ["OFFSET", "ATTEMPTS", "PRIORITY", "KEY", "VALUE"],
        ["offset", "attempts", "priority", "key", "value"],
        &messages,
    )
}
