//! `stentor exchange`.

use clap::{Args, Subcommand};
use net::http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, cell, encode, list, table};
use super::queue::{all_pages, sure};
use crate::exit::{Exit, Failure};
use crate::out;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the exchanges.
    #[command(after_help = "Example:\n  stentor exchange list --namespace /")]
    List {
        /// Only those of this namespace.
        #[arg(long)]
        namespace: Option<String>,
    },
    /// Shows an exchange, and the bindings from it and to it.
    #[command(after_help = "Example:\n  stentor exchange describe events --json")]
    Describe(Name),
    /// Creates an exchange; there being one with the same settings is as good.
    #[command(
        after_help = "Examples:\n  stentor exchange create events --kind topic\n  stentor exchange create shards --kind consistent-hash --hash-header customer"
    )]
    Create(Create),
    /// Deletes an exchange with its bindings.
    #[command(after_help = "Example:\n  stentor exchange delete events --if-unused --yes")]
    Delete {
        #[command(flatten)]
        name: Name,
        /// Only when no binding leads from it.
        #[arg(long)]
        if_unused: bool,
        /// Does not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Binds a queue or another exchange to an exchange.
    #[command(
        after_help = "Examples:\n  stentor exchange bind events --queue orders --key 'order.*'\n  stentor exchange bind by-header --queue eu -a x-match=all -a region=eu"
    )]
    Bind(Binding),
    /// Takes a binding away; key and arguments as it was made with.
    #[command(
        after_help = "Example:\n  stentor exchange unbind events --queue orders --key 'order.*'"
    )]
    Unbind(Binding),
}

/// Which exchange.
#[derive(Debug, Args)]
pub(super) struct Name {
    /// Its name.
    exchange: String,
    /// Its namespace.
    #[arg(long, default_value = "/")]
    namespace: String,
}

impl Name {
    fn path(&self) -> String {
        let (namespace, name) = (encode(&self.namespace), encode(&self.exchange));
        format!("/v1/exchanges/{namespace}/{name}")
    }
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    name: Name,
    /// How it chooses among its bindings: direct, fanout, topic, headers, consistent-hash,
    /// modulus-hash, random, or one of these behind `delayed:`.
    #[arg(short, long, default_value = "direct")]
    kind: String,
    /// The header that a consistent hash is made of [default: the routing key].
    #[arg(long, value_name = "HEADER")]
    hash_header: Option<String>,
    /// It is gone after a restart.
    #[arg(long)]
    transient: bool,
    /// It is deleted with the last binding that leads from it.
    #[arg(long)]
    auto_delete: bool,
    /// Only other exchanges may publish to it.
    #[arg(long)]
    internal: bool,
    /// The exchange that gets what no binding takes.
    #[arg(long, value_name = "EXCHANGE")]
    alternate: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Binding {
    #[command(flatten)]
    name: Name,
    /// The queue that it leads to.
    #[arg(
        long,
        conflicts_with = "to_exchange",
        required_unless_present = "to_exchange"
    )]
    queue: Option<String>,
    /// The exchange that it leads to.
    #[arg(long, value_name = "EXCHANGE")]
    to_exchange: Option<String>,
    /// What the exchange compares with a message's routing keys.
    #[arg(short, long, default_value = "")]
    key: String,
    /// What an exchange of the kind `headers` compares with a message's headers; may be repeated.
    /// A value that is JSON (a number, true, null, "1") is taken as that, others are text.
    #[arg(short, long, value_name = "NAME=VALUE")]
    argument: Vec<String>,
}

impl Binding {
    fn body(&self) -> Result<Value, Failure> {
        let mut arguments = Map::new();
        for word in &self.argument {
            let (name, text) = word
                .split_once('=')
                .ok_or_else(|| Failure::new(Exit::Usage, format!("`{word}` is not NAME=VALUE")))?;
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            arguments.insert(name.to_owned(), value);
        }
        Ok(json!({
            "queue": self.queue,
            "exchange": self.to_exchange,
            "key": self.key,
            "arguments": arguments,
        }))
    }

    fn destination(&self) -> &str {
        let names = [self.queue.as_deref(), self.to_exchange.as_deref()];
        names.into_iter().flatten().next().unwrap_or_default()
    }
}

pub(super) async fn run(command: Command, mut api: Api) -> Result<(), Failure> {
    match command {
        Command::List { namespace } => show_list(namespace.as_deref(), &mut api).await,
        Command::Describe(name) => describe(&name, &mut api).await,
        Command::Create(create) => {
            let body = json!({
                "kind": create.kind,
                "hash_header": create.hash_header,
                "durable": !create.transient,
                "auto_delete": create.auto_delete,
                "internal": create.internal,
                "alternate": create.alternate,
            });
            let path = create.name.path();
            let answer = api.call(Method::PUT, &path, Some(&body)).await?;
            let name = &create.name.exchange;
            api.done(&answer, format_args!("exchange {name} is there"))
        }
        Command::Delete {
            name,
            if_unused,
            yes,
        } => {
            let exchange = &name.exchange;
            sure(
                yes,
                &format!("delete exchange {exchange} and its bindings?"),
            )?;
            let path = format!("{}?if_unused={if_unused}", name.path());
            let answer = api.delete(&path).await?;
            api.done(&answer, format_args!("exchange {exchange} is deleted"))
        }
        Command::Bind(binding) => {
            let path = format!("{}/bind", binding.name.path());
            let body = binding.body()?;
            let answer = api.call(Method::POST, &path, Some(&body)).await?;
            let (from, to) = (&binding.name.exchange, binding.destination());
            api.done(&answer, format_args!("{to} is bound to exchange {from}"))
        }
        Command::Unbind(binding) => {
            let path = format!("{}/unbind", binding.name.path());
            let body = binding.body()?;
            let answer = api.call(Method::POST, &path, Some(&body)).await?;
            let (from, to) = (&binding.name.exchange, binding.destination());
            api.done(
                &answer,
                format_args!("{to} is no longer bound to exchange {from}"),
            )
        }
    }
}

async fn show_list(namespace: Option<&str>, api: &mut Api) -> Result<(), Failure> {
    let answer = all_pages("exchanges", namespace, api).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    table(
        ["NAMESPACE", "EXCHANGE", "KIND", "DURABLE", "BINDINGS"],
        ["namespace", "name", "kind", "durable", "bindings_from"],
        list(&answer, "exchanges"),
    )
}

async fn describe(name: &Name, api: &mut Api) -> Result<(), Failure> {
    let answer = api.get(&name.path()).await?;
    if api.json {
        return Ok(out::json(&answer)?);
    }
    out::line(format_args!(
        "exchange {}  namespace {}  kind {}",
        cell(&answer, "name"),
        cell(&answer, "namespace"),
        cell(&answer, "kind"),
    ))?;
    for key in [
        "hash_header",
        "durable",
        "auto_delete",
        "internal",
        "alternate",
    ] {
        if answer.get(key).is_some() {
            out::line(format_args!("  {key} = {}", cell(&answer, key)))?;
        }
    }
    table(
        ["FROM", "TO", "TYPE", "KEY", "ARGUMENTS"],
        [
            "source",
            "destination",
            "destination_type",
            "key",
            "arguments",
        ],
        list(&answer, "bindings"),
    )
}
