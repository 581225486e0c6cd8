//! Queues: list, create, describe, delete, purge, look into.

mod settings;

use std::sync::Arc;

use broker::message::Attributes;
use broker::queue::{Declared, DeleteWhen, Delivery, Queue, QueueSettings, QueueStats};
use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::exchanges::BindingOut;
use super::{body, flag, number, page_max};
use crate::Shared;
use crate::convert::{Encoding, RecordOut};
use crate::error::Problem;
use crate::routes::Answer;
use settings::{SettingsIn, SettingsOut};

/// How many messages a look shows when nobody says.
const PEEK: usize = 10;

#[derive(Serialize)]
struct List {
    queues: Vec<Listed>,
    /// The last of these, when there are more: `after_namespace` and `after` of the next request.
    next: Option<Name>,
}

#[derive(Serialize)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    name: Name,
    durable: bool,
    exclusive: bool,
    #[serde(flatten)]
    stats: Stats,
}

/// How a queue is.
#[derive(Serialize)]
struct Stats {
    ready: u64,
    leased: u64,
    delayed: u64,
    consumers: usize,
    ready_bytes: u64,
    /// Age of the oldest message; `None` for no message, or one that is on the disk only.
    oldest_seconds: Option<f64>,
}

impl Stats {
    fn new(stats: QueueStats, now_ms: i64) -> Self {
        let seconds = |at: i64| {
            let age_ms = now_ms.saturating_sub(at).max(0);
            std::time::Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64()
        };
        Self {
            ready: stats.ready,
            leased: stats.leased,
            delayed: stats.delayed,
            consumers: stats.consumers,
            ready_bytes: stats.ready_bytes,
            oldest_seconds: stats.oldest_ms.map(seconds),
        }
    }
}

fn name(queue: &Queue) -> Name {
    Name {
        namespace: queue.namespace().to_string(),
        name: queue.name().to_string(),
    }
}

/// `GET /v1/queues?namespace=%2F&limit=1000&after_namespace=%2F&after=orders`
pub(crate) async fn list(shared: Arc<Shared>, request: Request) -> Answer {
    let namespace = request.query_param("namespace");
    let max = page_max(&shared, &request)?;
    let last = super::after(&request);
    let last = last.as_ref().map(|(space, name)| (&**space, &**name));
    let queues = shared.broker.queues();
    // One more than is shown says whether there are more.
    let mut page = queues.page(namespace.as_deref(), last, max.saturating_add(1));
    let more = page.len() > max;
    page.truncate(max);
    let now_ms = shared.broker.clock().unix_ms();
    let listed = page.iter().map(|queue| Listed {
        name: name(queue),
        durable: queue.settings().durable,
        exclusive: queue.settings().owner.is_some(),
        stats: Stats::new(queue.stats(), now_ms),
    });
    let answer = List {
        queues: listed.collect(),
        next: page.last().filter(|_| more).map(name),
    };
    Ok(Response::json(StatusCode::OK, &answer))
}

#[derive(Serialize)]
struct Described {
    #[serde(flatten)]
    name: Name,
    id: String,
    /// The topic that holds its messages.
    topic: String,
    /// Milliseconds since 1970.
    created_at: i64,
    modified_at: i64,
    settings: SettingsOut,
    #[serde(flatten)]
    stats: Stats,
    bindings: Vec<BindingOut>,
    /// How many bindings there are; no more than `http.list_max` are shown.
    bindings_total: usize,
}

fn described(shared: &Shared, queue: &Queue) -> Described {
    let exchanges = shared.broker.exchanges();
    let bindings = exchanges.of_queue(queue.namespace(), queue.name());
    let now_ms = shared.broker.clock().unix_ms();
    let shown = bindings.iter().take(shared.config.list_max);
    Described {
        name: name(queue),
        id: queue.id().0.to_string(),
        topic: queue.topic().name().to_string(),
        created_at: queue.created_ms(),
        modified_at: queue.modified_ms(),
        settings: SettingsOut::new(&queue.settings()),
        stats: Stats::new(queue.stats(), now_ms),
        bindings: shown.map(BindingOut::new).collect(),
        bindings_total: bindings.len(),
    }
}

/// The queue that the path names.
fn find(shared: &Shared, request: &Request) -> Result<Queue, Problem> {
    let (namespace, name) = (request.param("namespace"), request.param("queue"));
    let queue = shared.broker.queues().get(namespace, name);
    queue.ok_or_else(|| broker::Error::UnknownQueue(name.to_owned()).into())
}

/// `GET /v1/queues/{namespace}/{queue}`
pub(crate) async fn describe(shared: Arc<Shared>, request: Request) -> Answer {
    let queue = find(&shared, &request)?;
    Ok(Response::json(StatusCode::OK, &described(&shared, &queue)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default = "super::default_namespace")]
    namespace: String,
    name: String,
    #[serde(default)]
    settings: SettingsIn,
}

/// `POST /v1/queues`: refused where there is one of this name.
pub(crate) async fn create(shared: Arc<Shared>, request: Request) -> Answer {
    let Create {
        namespace,
        name,
        settings,
    } = body(&request)?;
    let declared = declare(&shared, &namespace, &name, settings.into_settings()?).await?;
    if !declared.created {
        let why = format!("queue `{name}` exists already");
        return Err(Problem::conflict(why));
    }
    let answer = described(&shared, &declared.queue);
    Ok(Response::json(StatusCode::CREATED, &answer))
}

/// `PUT /v1/queues/{namespace}/{queue}`: the settings as the body. Repeating it changes nothing.
pub(crate) async fn put(shared: Arc<Shared>, request: Request) -> Answer {
    let settings: SettingsIn = if request.body.is_empty() {
        SettingsIn::default()
    } else {
        body(&request)?
    };
    let settings = settings.into_settings()?;
    let (namespace, name) = (request.param("namespace"), request.param("queue"));
    let declared = declare(&shared, namespace, name, settings.clone()).await?;
    let answer = described(&shared, &declared.queue);
    if declared.created {
        return Ok(Response::json(StatusCode::CREATED, &answer));
    }
    // What a head keeps with it is that head's business.
    let there = QueueSettings {
        origin: settings.origin.clone(),
        ..(*declared.queue.settings()).clone()
    };
    if there != settings {
        let why = format!("queue `{name}` exists with other settings");
        return Err(Problem::conflict(why));
    }
    Ok(Response::json(StatusCode::OK, &answer))
}

async fn declare(
    shared: &Shared,
    namespace: &str,
    name: &str,
    settings: QueueSettings,
) -> Result<Declared, Problem> {
    if !(1..=NAME_MAX).contains(&name.len()) {
        let why = format!("a queue's name has 1 to {NAME_MAX} bytes");
        return Err(Problem::invalid(why));
    }
    let queues = shared.broker.queues();
    Ok(queues.declare(namespace, name, settings).await?)
}

/// The longest name of a queue, in bytes: what all protocols can say.
const NAME_MAX: usize = 255;

/// How many messages went.
#[derive(Serialize)]
struct Gone {
    messages: u64,
}

/// `DELETE /v1/queues/{namespace}/{queue}?if_unused=true&if_empty=true`
pub(crate) async fn delete(shared: Arc<Shared>, request: Request) -> Answer {
    let when = DeleteWhen {
        unused: flag(&request, "if_unused")?,
        empty: flag(&request, "if_empty")?,
    };
    let queue = find(&shared, &request)?;
    let messages = shared.broker.queues().delete(&queue, when).await?;
    Ok(Response::json(StatusCode::OK, &Gone { messages }))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Purge {
    /// Also messages that are leased or delayed.
    all: bool,
}

/// `POST /v1/queues/{namespace}/{queue}/purge`
pub(crate) async fn purge(shared: Arc<Shared>, request: Request) -> Answer {
    let purge: Purge = if request.body.is_empty() {
        Purge::default()
    } else {
        body(&request)?
    };
    let queue = find(&shared, &request)?;
    let messages = queue.purge(purge.all).await?;
    Ok(Response::json(StatusCode::OK, &Gone { messages }))
}

#[derive(Serialize)]
struct Peeked {
    messages: Vec<Message>,
    /// Where to look on; fewer messages than were asked for do not mean that there are no more.
    next: usize,
}

#[derive(Serialize)]
struct Message {
    #[serde(flatten)]
    record: RecordOut,
    /// How often it has been delivered so far.
    attempts: u32,
    redelivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routing_keys: Vec<String>,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// The queue that it was dead-lettered from last.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

impl Message {
    fn new(delivery: Delivery, encoding: Encoding) -> Self {
        let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
        let record = RecordOut::of_delivery(&delivery, encoding);
        let (attempts, redelivered) = (delivery.attempts, delivery.redelivered);
        let Attributes {
            exchange,
            routing_keys,
            priority,
            group,
            message_id,
            expires_ms,
            source,
            ..
        } = delivery.attributes;
        Self {
            record,
            attempts,
            redelivered,
            exchange: exchange.map(|name| name.to_string()),
            routing_keys: routing_keys.iter().map(text).collect(),
            priority,
            group: group.as_ref().map(text),
            message_id: message_id.as_ref().map(text),
            expires_at: expires_ms,
            source: source.map(|name| name.to_string()),
        }
    }
}

/// `GET /v1/queues/{namespace}/{queue}/peek?from=0&limit=10&encoding=text`: nothing is taken.
pub(crate) async fn peek(shared: Arc<Shared>, request: Request) -> Answer {
    let queue = find(&shared, &request)?;
    let encoding = Encoding::parse(request.query_param("encoding").as_deref())?;
    let from: usize = number(&request, "from")?.unwrap_or(0);
    let limit: usize = number(&request, "limit")?.unwrap_or(PEEK);
    let limit = limit.min(shared.config.read_records_max);
    let bytes = shared.config.read_bytes_max.as_usize();
    let found = queue.peek(from, limit, bytes).await?;
    let next = from.saturating_add(found.len());
    let messages = found.into_iter().map(|one| Message::new(one, encoding));
    let answer = Peeked {
        messages: messages.collect(),
        next,
    };
    Ok(Response::json(StatusCode::OK, &answer))
}
