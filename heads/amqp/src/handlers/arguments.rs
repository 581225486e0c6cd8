//! The arguments of queues: which there are, for which types of queues, what they may be, and what
//! the engine makes of them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker::exchange::Match;
use broker::queue::{DeadLetter, Dedup, DedupScope, Overflow, QueueSettings};

use crate::codec::{Reader, Table, Value};
use crate::convert::table_bytes;
use crate::error::Failure;

/// The longest time of an argument: ten years of 365 days.
pub(crate) const TIME_MAX_MS: i64 = 315_360_000_000;
/// How often a message of a quorum queue is delivered when nobody says.
const DELIVERY_LIMIT: i64 = 20;
/// The deduplication window when nobody says.
const DEDUP_WINDOW: Duration = Duration::from_secs(300);

/// A type of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueType {
    Classic,
    Quorum,
    Stream,
}

impl QueueType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Classic => 'C',
            Self::Quorum => 'Q',
            Self::Stream => 'S',
        }
    }

    /// The type of a queue that is there.
    pub(crate) fn of(settings: &QueueSettings) -> Self {
        match settings.origin.get(TYPE).and_then(|name| name.as_str()) {
            Some("quorum") => Self::Quorum,
            Some("stream") => Self::Stream,
            _ => Self::Classic,
        }
    }
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// An integer that is not negative.
    Length,
    /// Milliseconds, 0 among them.
    Time,
    /// Milliseconds from 1 on.
    Positive,
    /// 0 to 255.
    Priority,
    /// Any integer.
    Integer,
    Flag,
    Text,
    OneOf(&'static [&'static str]),
    Age,
    Anything,
}

/// An argument of `queue.declare`.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Letters of the types of queues that have it: classic, quorum, stream.
    pub types: &'static str,
    /// What is to be said about it in documents.
    pub note: &'static str,
    is: Is,
}

const fn argument(name: &'static str, types: &'static str, is: Is, note: &'static str) -> Argument {
    Argument {
        name,
        types,
        note,
        is,
    }
}

const OVERFLOWS: &[&str] = &["drop-head", "reject-publish", "reject-publish-dlx"];

/// All of them.
pub const ARGUMENTS: &[Argument] = &[
    argument(
        "x-queue-type",
        "CQS",
        Is::OneOf(&["classic", "quorum", "stream"]),
        "",
    ),
    argument("x-message-ttl", "CQ", Is::Time, ""),
    argument("x-expires", "CQ", Is::Positive, ""),
    argument("x-max-length", "CQ", Is::Length, ""),
    argument("x-max-length-bytes", "CQS", Is::Length, ""),
    argument("x-overflow", "CQ", Is::OneOf(OVERFLOWS), ""),
    argument("x-dead-letter-exchange", "CQ", Is::Text, ""),
    argument("x-dead-letter-routing-key", "CQ", Is::Text, ""),
    argument(
        "x-dead-letter-strategy",
        "Q",
        Is::OneOf(&["at-most-once", "at-least-once"]),
        "a dead letter is in the log where it goes before it leaves, whatever the strategy; what no queue is bound for, goes in a circle, or dies of the length limit while its target is full is dropped",
    ),
    argument(
        "x-max-priority",
        "CQ",
        Is::Priority,
        "quorum: accepted, without effect",
    ),
    argument(
        "x-delivery-limit",
        "Q",
        Is::Integer,
        "20 when it is not set; -1 for none",
    ),
    argument(
        "x-delayed-retry-type",
        "Q",
        Is::Text,
        "accepted, without effect",
    ),
    argument(
        "x-delayed-retry-min",
        "Q",
        Is::Time,
        "accepted, without effect",
    ),
    argument(
        "x-delayed-retry-max",
        "Q",
        Is::Time,
        "accepted, without effect",
    ),
    argument("x-single-active-consumer", "CQ", Is::Flag, ""),
    argument(
        "x-consumer-timeout",
        "CQ",
        Is::Time,
        "accepted, without effect",
    ),
    argument(
        "x-consumer-disconnected-timeout",
        "Q",
        Is::Time,
        "accepted, without effect",
    ),
    argument("x-max-age", "S", Is::Age, ""),
    argument(
        "x-stream-max-segment-size-bytes",
        "S",
        Is::Length,
        "accepted, without effect",
    ),
    argument(
        "x-stream-filter-size-bytes",
        "S",
        Is::Length,
        "accepted, without effect",
    ),
    argument(
        "x-initial-cluster-size",
        "S",
        Is::Positive,
        "accepted, without effect",
    ),
    argument(
        "x-quorum-initial-group-size",
        "Q",
        Is::Positive,
        "accepted, without effect",
    ),
    argument(
        "x-queue-leader-locator",
        "CQS",
        Is::Text,
        "accepted, without effect",
    ),
    argument(
        "x-queue-master-locator",
        "CQS",
        Is::Text,
        "accepted, without effect",
    ),
    argument("x-queue-mode", "C", Is::Text, "accepted, without effect"),
    argument(
        "x-queue-version",
        "C",
        Is::Anything,
        "accepted, without effect",
    ),
    argument(
        "x-max-in-memory-length",
        "Q",
        Is::Length,
        "accepted, without effect",
    ),
    argument(
        "x-max-in-memory-bytes",
        "Q",
        Is::Length,
        "accepted, without effect",
    ),
    argument(
        "x-message-deduplication",
        "CQ",
        Is::Flag,
        "by the header `x-deduplication-header`",
    ),
    argument(
        "x-cache-ttl",
        "CQ",
        Is::Positive,
        "the deduplication window; 5 minutes when it is not set",
    ),
    argument(
        "x-cache-size",
        "CQ",
        Is::Positive,
        "accepted, without effect: the window has no size",
    ),
];

/// Keys of what a queue keeps for this head.
const TYPE: &str = "type";
const KEPT: &str = "arguments";
const DURABLE: &str = "durable";
const MADE_TOPIC: &str = "made_topic";

/// Notes that a stream's topic was made for it, and goes with it.
pub(crate) fn note_topic(settings: &mut QueueSettings) {
    settings.origin.insert(MADE_TOPIC.to_owned(), true.into());
}

/// Whether a stream's topic was made for it.
pub(crate) fn made_topic(settings: &QueueSettings) -> bool {
    let noted = settings.origin.get(MADE_TOPIC);
    noted.and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// A queue that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
    pub(crate) arguments: &'a Table,
}

impl Wanted<'_> {
    fn invalid(&self, argument: &str, why: &str) -> Failure {
        Failure::precondition(format!(
            "invalid arg '{argument}' for queue '{}' in vhost '{}': {why}",
            self.name, self.namespace
        ))
    }

    /// The type of queue that is wanted.
    pub(crate) fn queue_type(&self) -> Result<QueueType, Failure> {
        match self.arguments.get("x-queue-type") {
            None => Ok(QueueType::Classic),
            Some(value) => match value.as_str() {
                Some("classic") => Ok(QueueType::Classic),
                Some("quorum") => Ok(QueueType::Quorum),
                Some("stream") => Ok(QueueType::Stream),
                _ => Err(self.invalid("x-queue-type", "unknown queue type")),
            },
        }
    }

    /// Checks everything that can be said without knowing what is there.
    pub(crate) fn check(&self) -> Result<QueueType, Failure> {
        let of = self.queue_type()?;
        for (name, value) in self.arguments.iter() {
            let Some(known) = ARGUMENTS.iter().find(|known| known.name == name) else {
                continue;
            };
            if !known.types.contains(of.letter()) {
                return Err(Failure::precondition(format!(
                    "invalid arg '{name}' for queue '{}' in vhost '{}' of queue type rabbit_{}_queue",
                    self.name,
                    self.namespace,
                    of.name()
                )));
            }
            acceptable(known.is, value).map_err(|why| self.invalid(name, &why))?;
        }
        let has = |name| self.arguments.get(name).is_some();
        if has("x-dead-letter-routing-key") && !has("x-dead-letter-exchange") {
            let why = "routing_key_but_no_dlx_defined";
            return Err(self.invalid("x-dead-letter-routing-key", why));
        }
        if of != QueueType::Classic {
            self.check_replicated()?;
        }
        Ok(of)
    }

    /// Quorum queues and streams are durable, shared and stay.
    fn check_replicated(&self) -> Result<(), Failure> {
        let properties = [
            (self.durable, "non-durable"),
            (!self.exclusive, "exclusive-owner"),
            (!self.auto_delete, "auto-delete"),
        ];
        for (good, property) in properties {
            if !good {
                return Err(Failure::precondition(format!(
                    "invalid property '{property}' for queue '{}' in vhost '{}'",
                    self.name, self.namespace
                )));
            }
        }
        Ok(())
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.arguments.get(name).and_then(Value::integer)
    }

    fn time(&self, name: &str) -> Option<Duration> {
        let ms = u64::try_from(self.integer(name)?).ok()?;
        Some(Duration::from_millis(ms))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }

    /// What the engine makes of it.
    pub(crate) fn settings(&self, of: QueueType) -> QueueSettings {
        let length = |name| self.integer(name).and_then(|n| u64::try_from(n).ok());
        let mut settings = QueueSettings {
            // What belongs to a connection does not outlive it.
            durable: self.durable && !self.exclusive,
            auto_delete: self.auto_delete,
            message_ttl: self.time("x-message-ttl"),
            expires: self.time("x-expires"),
            single_active: self.arguments.is_true("x-single-active-consumer"),
            overflow: match self.text("x-overflow") {
                Some("reject-publish") => Overflow::Reject,
                Some("reject-publish-dlx") => Overflow::RejectDeadLetter,
                _ => Overflow::DropHead,
            },
            dead_letter: self
                .text("x-dead-letter-exchange")
                .map(|exchange| DeadLetter::Exchange {
                    exchange: exchange.to_owned(),
                    routing_key: self
                        .text("x-dead-letter-routing-key")
                        .map(|key| key.to_owned().into()),
                }),
            ..QueueSettings::default()
        };
        if of != QueueType::Stream {
            settings.length_max = length("x-max-length");
            settings.bytes_max = length("x-max-length-bytes");
        }
        if of == QueueType::Quorum {
            let limit = self.integer("x-delivery-limit").unwrap_or(DELIVERY_LIMIT);
            // The limit counts redeliveries, the engine deliveries.
            let deliveries = u32::try_from(limit).ok().map(|n| n.saturating_add(1));
            settings.delivery_limit = deliveries;
        } else if let Some(most) = self.integer("x-max-priority") {
            settings.lanes = u16::try_from(most).unwrap_or(0).saturating_add(1);
        }
        if self.arguments.is_true("x-message-deduplication") {
            settings.dedup = Some(Dedup {
                window: self.time("x-cache-ttl").unwrap_or(DEDUP_WINDOW),
                scope: DedupScope::Queue,
            });
        }
        let kept = STANDARD.encode(table_bytes(self.arguments));
        settings.origin.insert(TYPE.to_owned(), of.name().into());
        settings.origin.insert(KEPT.to_owned(), kept.into());
        settings
            .origin
            .insert(DURABLE.to_owned(), self.durable.into());
        settings
    }

    /// Compares with a queue that is there.
    pub(crate) fn compare(&self, there: &QueueSettings) -> Result<(), Failure> {
        let kept = there
            .origin
            .get(DURABLE)
            .and_then(serde_json::Value::as_bool);
        self.same("durable", self.durable, kept.unwrap_or(there.durable))?;
        self.same("auto_delete", self.auto_delete, there.auto_delete)?;
        let current = arguments_of(there);
        let of = QueueType::of(there);
        let classic = Value::text(QueueType::Classic.name());
        for known in ARGUMENTS {
            if !known.types.contains(of.letter()) && known.name != "x-queue-type" {
                continue;
            }
            let default = (known.name == "x-queue-type").then_some(&classic);
            let received = self.arguments.get(known.name).or(default);
            let current = current.get(known.name).or(default);
            let same = match (received, current) {
                (None, None) => true,
                (Some(one), Some(two)) => one.is_equivalent(two),
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same {
                return Err(self.inequivalent(
                    known.name,
                    format!(
                        "received {} but current is {}",
                        shown(received),
                        shown(current)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn same(&self, name: &str, received: bool, current: bool) -> Result<(), Failure> {
        if received == current {
            return Ok(());
        }
        let why = format!("received '{received}' but current is '{current}'");
        Err(self.inequivalent(name, why))
    }

    fn inequivalent(&self, name: &str, why: String) -> Failure {
        Failure::precondition(format!(
            "inequivalent arg '{name}' for queue '{}' in vhost '{}': {why}",
            self.name, self.namespace
        ))
    }
}

/// A value as texts of errors show it.
pub(crate) fn shown(value: Option<&Value>) -> String {
    value.map_or_else(
        || "none".to_owned(),
        |value| format!("the value '{}' of type '{}'", value.show(), value.kind()),
    )
}

/// The arguments that a queue was declared with.
pub(crate) fn arguments_of(settings: &QueueSettings) -> Table {
    let kept = settings.origin.get(KEPT).and_then(|kept| kept.as_str());
    let bytes = kept.and_then(|kept| STANDARD.decode(kept).ok());
    let bytes = bytes.unwrap_or_default();
    Reader::new(&bytes).bare_table().unwrap_or_default()
}

/// What is wrong with a value, in the words that RabbitMQ has for it.
fn acceptable(is: Is, value: &Value) -> Result<(), String> {
    let wrong_type = || Err(format!("{{unacceptable_type,{}}}", value.kind()));
    match is {
        Is::Anything => Ok(()),
        Is::Length | Is::Time | Is::Positive | Is::Priority | Is::Integer => {
            let Some(number) = value.integer() else {
                return wrong_type();
            };
            let most = if is == Is::Priority {
                255
            } else if matches!(is, Is::Time | Is::Positive) {
                TIME_MAX_MS
            } else {
                i64::MAX
            };
            match number {
                n if n < 0 && is != Is::Integer => Err(format!("{{value_negative,{n}}}")),
                0 if is == Is::Positive => Err("{value_zero,0}".to_owned()),
                n if n > most => Err(format!("{{value_too_big,{n}}}")),
                _ => Ok(()),
            }
        }
        Is::Flag if matches!(value, Value::Bool(_)) => Ok(()),
        Is::Text if value.as_str().is_some() => Ok(()),
        Is::OneOf(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            Some(_) => Err("invalid value".to_owned()),
            None => wrong_type(),
        },
        Is::Age => match value.as_str().map(age) {
            Some(Some(_)) => Ok(()),
            Some(None) => Err("invalid_max_age".to_owned()),
            None => wrong_type(),
        },
        Is::Text | Is::Flag => wrong_type(),
    }
}

/// A time such as `7D`: a number and a unit.
pub(crate) fn age(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        'Y' => 365 * 86_400,
        'M' => 30 * 86_400,
        'D' => 86_400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// A value as a headers exchange compares it.
pub(crate) fn comparable(value: &Value) -> Match {
    match value {
        Value::Void => Match::Void,
        Value::Bool(value) => Match::Bool(*value),
        Value::F32(value) => Match::Float(f64::from(*value)),
        Value::F64(value) => Match::Float(*value),
        Value::Timestamp(seconds) => Match::Int(i64::try_from(*seconds).unwrap_or(i64::MAX)),
        Value::Text(bytes) | Value::Binary(bytes) => Match::Text(bytes.clone()),
        Value::I8(_)
        | Value::U8(_)
        | Value::I16(_)
        | Value::U16(_)
        | Value::I32(_)
        | Value::U32(_)
        | Value::I64(_) => Match::Int(value.integer().unwrap_or_default()),
        Value::Decimal(..) | Value::Array(_) | Value::Table(_) => {
            Match::Other(table_bytes(&Table::new().with("", value.clone())))
        }
    }
}

#[cfg(test)]
mod tests;
