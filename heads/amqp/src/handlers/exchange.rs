//! The methods of exchanges.

use std::collections::BTreeMap;

use broker::access::Right;
use broker::exchange::{
    Binding, Destination, Exchange, ExchangeKind, ExchangeSettings, HashBy, Match,
};
use broker::{Broker, Error};

use super::arguments::{comparable, shown};
use super::{Context, clean, done};
use crate::access::Resource;
use crate::call::Reply;
use crate::codec::{Method, Table, Value};
use crate::error::{Code, Failure};

/// The exchanges that are there in every namespace.
const PREDECLARED: &[(&str, ExchangeKind, bool)] = &[
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// The key, in what an exchange keeps for this head, of the type that it was declared with.
const TYPE: &str = "type";
const ALTERNATE: &str = "alternate-exchange";

/// Makes the exchanges that clients find in every namespace.
pub(crate) async fn predeclare(broker: &Broker) -> Result<(), Error> {
    let given = PREDECLARED.iter().map(|(name, kind, internal)| {
        let settings = ExchangeSettings {
            internal: *internal,
            ..ExchangeSettings::durable(kind.clone())
        };
        ((*name).to_owned(), settings)
    });
    broker.exchanges().predeclare(given.collect()).await
}

/// A kind by the name that the protocol has for it.
fn kind(name: &str, arguments: &Table) -> Result<ExchangeKind, Failure> {
    let unknown = || Failure::precondition(format!("unknown exchange type '{name}'"));
    Ok(match name {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        "headers" => ExchangeKind::Headers,
        "x-modulus-hash" => ExchangeKind::ModulusHash,
        "x-random" | "x-local-random" => ExchangeKind::Random,
        "x-consistent-hash" => {
            if arguments.get("hash-property").is_some() {
                return Err(Failure::precondition(
                    "hash-property is not served; hash-header is",
                ));
            }
            let header = arguments.get("hash-header").and_then(Value::as_str);
            ExchangeKind::ConsistentHash(
                header.map_or(HashBy::Key, |name| HashBy::Header(name.to_owned())),
            )
        }
        "x-delayed-message" => {
            let inside = arguments.get("x-delayed-type").and_then(Value::as_str);
            let inside = inside.filter(|inside| *inside != name).ok_or_else(|| {
                Failure::precondition(
                    "Invalid argument, 'x-delayed-type' must be an existing exchange type",
                )
            })?;
            ExchangeKind::Delayed(Box::new(kind(inside, arguments)?))
        }
        _ => return Err(unknown()),
    })
}

/// The name of an exchange's type.
fn type_of(exchange: &Exchange) -> String {
    let settings = exchange.settings();
    if let Some(name) = settings.origin.get(TYPE).and_then(|name| name.as_str()) {
        return name.to_owned();
    }
    match &settings.kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Headers => "headers",
        ExchangeKind::ConsistentHash(_) => "x-consistent-hash",
        ExchangeKind::ModulusHash => "x-modulus-hash",
        ExchangeKind::Random => "x-random",
        ExchangeKind::Delayed(_) => "x-delayed-message",
    }
    .to_owned()
}

/// The arguments of a binding.
pub(super) fn binding_arguments(arguments: &Table) -> Result<BTreeMap<String, Match>, Failure> {
    if let Some(value) = arguments.get("x-match")
        && !matches!(
            value.as_str(),
            Some("all" | "any" | "all-with-x" | "any-with-x")
        )
    {
        return Err(Failure::precondition(format!(
            "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
            value.show()
        )));
    }
    let mut all = BTreeMap::new();
    for (name, value) in arguments.iter() {
        // Of two with one name the first counts.
        all.entry(name.to_owned())
            .or_insert_with(|| comparable(value));
    }
    Ok(all)
}

/// An exchange that is wanted.
struct Wanted<'a> {
    name: &'a str,
    kind: &'a str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: &'a Table,
}

impl Context {
    pub(super) async fn exchange(&self, method: Method) -> Result<Reply, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`carry_out` sends nothing else"
        )]
        match method {
            Method::ExchangeDeclare {
                exchange,
                kind,
                passive,
                durable,
                auto_delete,
                internal,
                nowait,
                arguments,
                ..
            } => {
                let name = clean(&exchange);
                refuse_default(&name)?;
                if passive {
                    self.exchange_found(&name)?;
                } else {
                    let wanted = Wanted {
                        name: &name,
                        kind: &kind,
                        durable,
                        auto_delete,
                        internal,
                        arguments: &arguments,
                    };
                    self.declare_exchange(&wanted).await?;
                }
                Ok(done(nowait, Method::ExchangeDeclareOk {}))
            }
            Method::ExchangeDelete {
                exchange,
                if_unused,
                nowait,
                ..
            } => {
                self.delete_exchange(&clean(&exchange), if_unused).await?;
                Ok(done(nowait, Method::ExchangeDeleteOk {}))
            }
            method => self.exchange_bindings(method).await,
        }
    }

    async fn exchange_bindings(&self, method: Method) -> Result<Reply, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`carry_out` sends nothing else"
        )]
        match method {
            Method::ExchangeBind {
                destination,
                source,
                routing_key,
                nowait,
                arguments,
                ..
            } => {
                let binding =
                    self.exchange_binding(&destination, &source, &routing_key, &arguments)?;
                let exchanges = self.shared.broker.exchanges();
                let bound = exchanges.bind(&self.scope.namespace, binding).await;
                bound.map_err(|error| self.failure(&error))?;
                Ok(done(nowait, Method::ExchangeBindOk {}))
            }
            Method::ExchangeUnbind {
                destination,
                source,
                routing_key,
                nowait,
                arguments,
                ..
            } => {
                let binding =
                    self.exchange_binding(&destination, &source, &routing_key, &arguments)?;
                self.unbind(&binding).await?;
                Ok(done(nowait, Method::ExchangeUnbindOk {}))
            }
            _ => Err(Failure::new(Code::CommandInvalid, "unimplemented method")),
        }
    }

    fn exchange_found(&self, name: &str) -> Result<std::sync::Arc<Exchange>, Failure> {
        let namespace = &self.scope.namespace;
        let found = self.shared.broker.exchanges().get(namespace, name);
        found.ok_or_else(|| Failure::no_exchange(namespace, name))
    }

    async fn declare_exchange(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let (name, namespace) = (wanted.name, &self.scope.namespace);
        self.check(Right::Configure, Resource::Exchange, name)?;
        let exchanges = self.shared.broker.exchanges();
        if let Some(exchange) = exchanges.get(namespace, name) {
            return self.compare(wanted, &exchange);
        }
        let kind = kind(wanted.kind, wanted.arguments)?;
        refuse_reserved(name)?;
        let alternate = match wanted.arguments.get(ALTERNATE) {
            None => None,
            Some(value) => {
                let text = value.as_str().ok_or_else(|| {
                    Failure::precondition(format!(
                        "invalid type '{}' for arg '{ALTERNATE}' for exchange '{name}' in vhost '{namespace}'",
                        value.kind()
                    ))
                })?;
                self.check(Right::Read, Resource::Exchange, name)?;
                self.check(Right::Write, Resource::Exchange, text)?;
                Some(text.to_owned())
            }
        };
        let origin = BTreeMap::from([(TYPE.to_owned(), wanted.kind.into())]);
        let settings = ExchangeSettings {
            kind,
            durable: wanted.durable,
            auto_delete: wanted.auto_delete,
            internal: wanted.internal,
            alternate,
            origin,
        };
        let declared = exchanges.declare(namespace, name, settings).await;
        let (exchange, created) = declared.map_err(|error| self.failure(&error))?;
        if created {
            Ok(())
        } else {
            self.compare(wanted, &exchange)
        }
    }

    /// It is there already: is it what is wanted?
    fn compare(&self, wanted: &Wanted<'_>, exchange: &Exchange) -> Result<(), Failure> {
        let settings = exchange.settings();
        let inequivalent = |argument: &str, why: String| {
            Failure::precondition(format!(
                "inequivalent arg '{argument}' for exchange '{}' in vhost '{}': {why}",
                wanted.name, self.scope.namespace
            ))
        };
        let current = type_of(exchange);
        if current != wanted.kind {
            // A type that there is not is an error of its own.
            kind(wanted.kind, wanted.arguments)?;
            let why = format!("received '{}' but current is '{current}'", wanted.kind);
            return Err(inequivalent("type", why));
        }
        let flags = [
            ("durable", wanted.durable, settings.durable),
            ("auto_delete", wanted.auto_delete, settings.auto_delete),
            ("internal", wanted.internal, settings.internal),
        ];
        for (argument, received, current) in flags {
            if received != current {
                let why = format!("received '{received}' but current is '{current}'");
                return Err(inequivalent(argument, why));
            }
        }
        let received = wanted.arguments.get(ALTERNATE);
        let current = settings.alternate.as_deref().map(Value::text);
        if received != current.as_ref() {
            let (received, current) = (shown(received), shown(current.as_ref()));
            let why = format!("received {received} but current is {current}");
            return Err(inequivalent(ALTERNATE, why));
        }
        Ok(())
    }

    async fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<(), Failure> {
        refuse_default(name)?;
        refuse_reserved(name)?;
        self.check(Right::Configure, Resource::Exchange, name)?;
        let namespace = &self.scope.namespace;
        let exchanges = self.shared.broker.exchanges();
        match exchanges.delete(namespace, name, if_unused).await {
            Ok(_) | Err(Error::UnknownExchange(_)) => Ok(()),
            Err(Error::InUse(_)) => Err(Failure::precondition(format!(
                "exchange '{name}' in vhost '{namespace}' in use"
            ))),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn exchange_binding(
        &self,
        destination: &str,
        source: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<Binding, Failure> {
        let (destination, source, key) = (clean(destination), clean(source), clean(key));
        refuse_default(&destination)?;
        self.check(Right::Write, Resource::Exchange, &destination)?;
        self.check_source(&source, &key)?;
        Ok(Binding {
            source: source.into(),
            destination: Destination::Exchange(destination.into()),
            key: key.into(),
            arguments: binding_arguments(arguments)?,
        })
    }

    /// The right to be sent to from an exchange, with a key.
    pub(super) fn check_source(&self, source: &str, key: &str) -> Result<(), Failure> {
        refuse_default(source)?;
        let (broker, scope) = (&self.shared.broker, &self.scope);
        self.check(Right::Read, Resource::Exchange, source)?;
        let exchange = broker.exchanges().get(&scope.namespace, source);
        if exchange.is_some_and(|e| matches!(e.settings().kind.routing(), ExchangeKind::Topic)) {
            crate::access::check_key(broker, scope, Right::Read, source, key.as_bytes())?;
        }
        Ok(())
    }

    /// Takes a binding away; what is not there is gone already.
    pub(super) async fn unbind(&self, binding: &Binding) -> Result<(), Failure> {
        let exchanges = self.shared.broker.exchanges();
        match exchanges.unbind(&self.scope.namespace, binding).await {
            Ok(_) | Err(Error::UnknownQueue(_) | Error::UnknownExchange(_)) => Ok(()),
            Err(error) => Err(self.failure(&error)),
        }
    }
}

/// The exchange without a name cannot be changed.
fn refuse_default(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(Failure::refused(
            "operation not permitted on the default exchange",
        ));
    }
    Ok(())
}

fn refuse_reserved(name: &str) -> Result<(), Failure> {
    if name.starts_with("amq.") {
        return Err(Failure::refused(format!(
            "exchange name '{name}' contains reserved prefix 'amq.*'"
        )));
    }
    Ok(())
}
