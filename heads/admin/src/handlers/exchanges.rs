//! Exchanges and their bindings: list, create, describe, delete, bind, unbind.

mod binding;

use std::sync::Arc;

use broker::exchange::{Exchange, ExchangeKind, ExchangeSettings, HashBy};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::queues::Name;
use super::{body, flag, page_max};
use crate::Shared;
use crate::error::Problem;
use crate::routes::Answer;
use binding::BindingIn;
pub(super) use binding::BindingOut;

#[derive(Serialize)]
struct List {
    exchanges: Vec<Listed>,
    /// The last of these, when there are more: `after_namespace` and `after` of the next request.
    next: Option<Name>,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    name: Name,
    #[serde(flatten)]
    settings: Settings,
    /// How many bindings lead from it.
    bindings_from: usize,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    kind: String,
    /// For the kind `consistent-hash`: the header whose value is hashed, instead of the routing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash_header: Option<String>,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alternate: Option<String>,
}

fn yes() -> bool {
    true
}

impl Settings {
    fn new(exchange: &Exchange) -> Self {
        let settings = exchange.settings();
        let kind = settings.kind.routing();
        let hash_header = if let ExchangeKind::ConsistentHash(HashBy::Header(name)) = kind {
            Some(name.clone())
        } else {
            None
        };
        Self {
            kind: settings.kind.to_string(),
            hash_header,
            durable: settings.durable,
            auto_delete: settings.auto_delete,
            internal: settings.internal,
            alternate: exchange.alternate().map(|name| name.to_string()),
        }
    }

    fn engine(&self) -> Result<ExchangeSettings, Problem> {
        let kind: Result<ExchangeKind, _> = self.kind.parse();
        let mut kind = kind.map_err(|unknown| Problem::invalid(unknown.to_string()))?;
        if let Some(header) = &self.hash_header {
            let routing = if let ExchangeKind::Delayed(inside) = &mut kind {
                inside.as_mut()
            } else {
                &mut kind
            };
            let ExchangeKind::ConsistentHash(by) = routing else {
                let why = "`hash_header` is for the kind consistent-hash";
                return Err(Problem::invalid(why));
            };
            *by = HashBy::Header(header.clone());
        }
        Ok(ExchangeSettings {
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            alternate: self.alternate.clone(),
            ..ExchangeSettings::durable(kind)
        })
    }
}

fn name(namespace: &str, exchange: &Exchange) -> Name {
    Name {
        namespace: namespace.to_owned(),
        name: exchange.name().to_string(),
    }
}

/// `GET /v1/exchanges?namespace=%2F&limit=1000&after_namespace=%2F&after=orders`
pub(crate) async fn list(shared: Arc<Shared>, request: Request) -> Answer {
    let max = page_max(&shared, &request)?;
    let wanted = request.query_param("namespace");
    let last = super::after(&request);
    let mut listed = Vec::new();
    let mut more = false;
    let mut namespaces = shared.broker.namespaces();
    namespaces.retain(|space| {
        wanted.as_ref().is_none_or(|wanted| wanted == space)
            && last.as_ref().is_none_or(|(last, _)| space >= last)
    });
    for space in &namespaces {
        let mut exchanges = shared.broker.exchanges().list(space);
        if let Some((of, last)) = &last
            && of == space
        {
            exchanges.retain(|exchange| **exchange.name() > **last);
        }
        let left = max - listed.len();
        more |= exchanges.len() > left;
        listed.extend(exchanges.iter().take(left).map(|exchange| Listed {
            name: name(space, exchange),
            settings: Settings::new(exchange),
            bindings_from: exchange.bindings(),
        }));
    }
    let next = listed.last().filter(|_| more).map(|last| Name {
        namespace: last.name.namespace.clone(),
        name: last.name.name.clone(),
    });
    let answer = List {
        exchanges: listed,
        next,
    };
    Ok(Response::json(StatusCode::OK, &answer))
}

#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    name: Name,
    #[serde(flatten)]
    settings: Settings,
    /// Those that lead from it, then those that lead to it.
    bindings: Vec<BindingOut>,
    /// How many bindings there are; no more than `http.list_max` are shown.
    bindings_total: usize,
}

fn described(shared: &Shared, namespace: &str, exchange: &Exchange) -> Described {
    let exchanges = shared.broker.exchanges();
    let mut bindings = exchanges.of_exchange(namespace, exchange.name());
    // One that leads to itself is among both.
    let to = exchanges.to_exchange(namespace, exchange.name());
    let from_others = |binding: &broker::exchange::Binding| binding.source != **exchange.name();
    bindings.extend(to.into_iter().filter(from_others));
    let shown = bindings.iter().take(shared.config.list_max);
    Described {
        name: name(namespace, exchange),
        settings: Settings::new(exchange),
        bindings: shown.map(BindingOut::new).collect(),
        bindings_total: bindings.len(),
    }
}

/// The exchange that the path names.
fn find(shared: &Shared, request: &Request) -> Result<Arc<Exchange>, Problem> {
    let (namespace, name) = (request.param("namespace"), request.param("exchange"));
    let exchange = shared.broker.exchanges().get(namespace, name);
    exchange.ok_or_else(|| broker::Error::UnknownExchange(name.to_owned()).into())
}

/// `GET /v1/exchanges/{namespace}/{exchange}`
pub(crate) async fn describe(shared: Arc<Shared>, request: Request) -> Answer {
    let exchange = find(&shared, &request)?;
    let answer = described(&shared, request.param("namespace"), &exchange);
    Ok(Response::json(StatusCode::OK, &answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default = "super::default_namespace")]
    namespace: String,
    name: String,
    settings: Settings,
}

/// `POST /v1/exchanges`: refused where there is one of this name.
pub(crate) async fn create(shared: Arc<Shared>, request: Request) -> Answer {
    let Create {
        namespace,
        name,
        settings,
    } = body(&request)?;
    let exchanges = shared.broker.exchanges();
    let settings = settings.engine()?;
    let (exchange, created) = exchanges.declare(&namespace, &name, settings).await?;
    if !created {
        let why = format!("exchange `{name}` exists already");
        return Err(Problem::conflict(why));
    }
    let answer = described(&shared, &namespace, &exchange);
    Ok(Response::json(StatusCode::CREATED, &answer))
}

/// `PUT /v1/exchanges/{namespace}/{exchange}`: the settings as the body. Repeating it changes
/// nothing.
pub(crate) async fn put(shared: Arc<Shared>, request: Request) -> Answer {
    let settings: Settings = body(&request)?;
    let settings = settings.engine()?;
    let (namespace, name) = (request.param("namespace"), request.param("exchange"));
    let exchanges = shared.broker.exchanges();
    let declared = exchanges.declare(namespace, name, settings.clone()).await?;
    let (exchange, created) = declared;
    let answer = described(&shared, namespace, &exchange);
    if created {
        return Ok(Response::json(StatusCode::CREATED, &answer));
    }
    // What a head keeps with it is that head's business.
    let there = ExchangeSettings {
        origin: settings.origin.clone(),
        ..exchange.settings().clone()
    };
    if there != settings {
        let why = format!("exchange `{name}` exists with other settings");
        return Err(Problem::conflict(why));
    }
    Ok(Response::json(StatusCode::OK, &answer))
}

/// `DELETE /v1/exchanges/{namespace}/{exchange}?if_unused=true`
pub(crate) async fn delete(shared: Arc<Shared>, request: Request) -> Answer {
    let if_unused = flag(&request, "if_unused")?;
    let exchange = find(&shared, &request)?;
    let (namespace, name) = (request.param("namespace"), exchange.name());
    let exchanges = shared.broker.exchanges();
    if exchanges.is_predeclared(name) {
        let why = format!("every namespace has an exchange `{name}`");
        return Err(Problem::denied(why));
    }
    if !exchanges.delete(namespace, name, if_unused).await? {
        return Err(broker::Error::UnknownExchange(name.to_string()).into());
    }
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// `POST /v1/exchanges/{namespace}/{exchange}/bind`
pub(crate) async fn bind(shared: Arc<Shared>, request: Request) -> Answer {
    let given: BindingIn = body(&request)?;
    let binding = given.into_binding(request.param("exchange"))?;
    let shown = BindingOut::new(&binding);
    let exchanges = shared.broker.exchanges();
    let new = exchanges.bind(request.param("namespace"), binding).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(Response::json(status, &shown))
}

/// `POST /v1/exchanges/{namespace}/{exchange}/unbind`: all of the binding has to be named.
pub(crate) async fn unbind(shared: Arc<Shared>, request: Request) -> Answer {
    let given: BindingIn = body(&request)?;
    let binding = given.into_binding(request.param("exchange"))?;
    let exchanges = shared.broker.exchanges();
    let namespace = request.param("namespace");
    if !exchanges.unbind(namespace, &binding).await? {
        let to = binding.destination.name();
        let (from, key) = (&binding.source, &binding.key);
        let why = format!(
            "no binding leads from `{from}` to `{to}` with the key `{key}` and these arguments"
        );
        return Err(Problem::not_found(why));
    }
    Ok(Response::empty(StatusCode::NO_CONTENT))
}
