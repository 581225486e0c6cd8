//! A queue's attributes, as texts, and the settings that they are.
//!
//! What the engine has a word for is its setting, so that a queue that came by another protocol
//! has attributes too; the rest is kept in the settings' `origin` under [`ORIGIN`], as texts. A
//! text that a client gave in JSON is given back as it came.

mod redrive;
mod set;

use std::time::Duration;

use base::HashMap;
use broker::queue::{DeadLetter, Dedup, DedupScope, Queue, QueueSettings};
use serde_json::Value;

use crate::Shared;
use crate::limits;

pub(crate) use redrive::{dead_letter_queue, name_of_arn};
pub(crate) use set::{create, differing, set};

/// What this head keeps in a queue's `origin`.
const ORIGIN: &str = "sqs";
const TAGS: &str = "tags";

pub(crate) const RETENTION: Duration = Duration::from_secs(345_600);
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// Within what a FIFO queue knows a message again.
pub(crate) const DEDUP_WINDOW: Duration = Duration::from_secs(300);

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: AttributeKind,
}

/// What an attribute may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// A number from, to, and its default.
    Number(i64, i64, i64),
    /// `true` or `false`.
    Flag,
    /// `true` or `false`, of a FIFO queue.
    FifoFlag,
    /// One of two words, the default first, of a FIFO queue.
    FifoChoice(&'static str, &'static str),
    /// JSON; empty removes it.
    Json,
    /// Any text; empty removes it.
    Text,
    /// Told, not set.
    Told,
}

use AttributeKind as K;

macro_rules! attributes {
    ($($name:ident $kind:expr;)*) => {
        /// Every attribute, in the order in which they are told.
        pub const ATTRIBUTES: &[Attribute] = &[
            $(Attribute { name: stringify!($name), kind: $kind },)*
        ];
    };
}

attributes! {
    QueueArn K::Told;
    ApproximateNumberOfMessages K::Told;
    ApproximateNumberOfMessagesNotVisible K::Told;
    ApproximateNumberOfMessagesDelayed K::Told;
    CreatedTimestamp K::Told;
    LastModifiedTimestamp K::Told;
    VisibilityTimeout K::Number(0, limits::VISIBILITY_MAX, 30);
    MaximumMessageSize K::Number(1024, 1 << 20, 1 << 20);
    MessageRetentionPeriod K::Number(60, 1_209_600, 345_600);
    DelaySeconds K::Number(0, limits::DELAY_MAX, 0);
    ReceiveMessageWaitTimeSeconds K::Number(0, 20, 0);
    Policy K::Json;
    RedrivePolicy K::Json;
    RedriveAllowPolicy K::Json;
    KmsMasterKeyId K::Text;
    KmsDataKeyReusePeriodSeconds K::Number(60, 86_400, 300);
    SqsManagedSseEnabled K::Flag;
    FifoQueue K::FifoFlag;
    ContentBasedDeduplication K::FifoFlag;
    DeduplicationScope K::FifoChoice("queue", "messageGroup");
    FifoThroughputLimit K::FifoChoice("perQueue", "perMessageGroupId");
}

/// The attribute called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.name == name)
}

/// A queue's settings, seen as attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'s>(pub(crate) &'s QueueSettings);

impl<'s> View<'s> {
    /// A text that is kept.
    fn kept(self, name: &str) -> Option<&'s str> {
        self.0.origin.get(ORIGIN)?.get(name)?.as_str()
    }

    fn kept_number(self, name: &str, default: i64) -> i64 {
        self.kept(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    }

    pub(crate) fn is_fifo(self) -> bool {
        self.0.ordered_groups
    }

    pub(crate) fn dedups_by_content(self) -> bool {
        self.kept("ContentBasedDeduplication") == Some("true")
    }

    /// The most bytes of a message.
    pub(crate) fn message_bytes_max(self) -> usize {
        let max = self.kept_number("MaximumMessageSize", 1 << 20);
        usize::try_from(max).unwrap_or(limits::MESSAGE_BYTES_MAX)
    }

    /// How long a receive waits, in seconds.
    pub(crate) fn wait(self) -> i64 {
        self.kept_number("ReceiveMessageWaitTimeSeconds", 0)
    }

    pub(crate) fn lease(self) -> Duration {
        self.0.lease.unwrap_or(LEASE)
    }

    pub(crate) fn policy(self) -> Option<&'s str> {
        self.kept("Policy")
    }

    pub(crate) fn tags(self) -> Vec<(String, String)> {
        let kept = self.0.origin.get(ORIGIN).and_then(|kept| kept.get(TAGS));
        let Some(tags) = kept.and_then(Value::as_object) else {
            return Vec::new();
        };
        let tag = |(key, value): (&String, &Value)| {
            (key.clone(), value.as_str().unwrap_or_default().to_owned())
        };
        tags.iter().map(tag).collect()
    }

    /// What is told of a setting, `None` if it is not told of this queue.
    pub(crate) fn told(self, shared: &Shared, attribute: &Attribute) -> Option<String> {
        let seconds = |duration: Duration| duration.as_secs().to_string();
        match attribute.name {
            "VisibilityTimeout" => Some(seconds(self.lease())),
            "MessageRetentionPeriod" => Some(seconds(self.0.retention.unwrap_or(RETENTION))),
            "DelaySeconds" => Some(seconds(self.0.delay.unwrap_or_default())),
            "RedrivePolicy" => self.redrive_policy(shared),
            "FifoQueue" => self.is_fifo().then(|| "true".to_owned()),
            "SqsManagedSseEnabled" => {
                let default = if self.kept("KmsMasterKeyId").is_some() {
                    "false"
                } else {
                    "true"
                };
                Some(self.kept(attribute.name).unwrap_or(default).to_owned())
            }
            "KmsDataKeyReusePeriodSeconds" => self.kept(attribute.name).map(str::to_owned),
            name => match attribute.kind {
                K::Number(_, _, default) => Some(self.kept_number(name, default).to_string()),
                K::FifoFlag if self.is_fifo() => {
                    Some(self.kept(name).unwrap_or("false").to_owned())
                }
                K::FifoChoice(default, _) if self.is_fifo() => {
                    Some(self.kept(name).unwrap_or(default).to_owned())
                }
                K::Json | K::Text | K::Flag => self.kept(name).map(str::to_owned),
                K::FifoFlag | K::FifoChoice(..) | K::Told => None,
            },
        }
    }

    /// As it was given; of a queue with another protocol's dead letters, what it amounts to.
    fn redrive_policy(self, shared: &Shared) -> Option<String> {
        if let Some(text) = self.kept("RedrivePolicy") {
            return Some(text.to_owned());
        }
        let (Some(DeadLetter::Queue(name)), Some(limit)) =
            (&self.0.dead_letter, self.0.delivery_limit)
        else {
            return None;
        };
        let arn = shared.arn(name);
        Some(format!(
            "{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":{limit}}}"
        ))
    }
}

/// What is told of a queue itself.
pub(crate) fn told(shared: &Shared, queue: &Queue, attribute: &Attribute) -> Option<String> {
    let seconds = |ms: i64| ms.div_euclid(1000).to_string();
    Some(match attribute.name {
        "QueueArn" => shared.arn(queue.name()),
        "ApproximateNumberOfMessages" => queue.stats().ready.to_string(),
        "ApproximateNumberOfMessagesNotVisible" => queue.stats().leased.to_string(),
        "ApproximateNumberOfMessagesDelayed" => queue.stats().delayed.to_string(),
        "CreatedTimestamp" => seconds(queue.created_ms()),
        "LastModifiedTimestamp" => seconds(queue.modified_ms()),
        _ => return View(&queue.settings()).told(shared, attribute),
    })
}

/// Sets or removes a text that is kept.
fn keep(settings: &mut QueueSettings, name: &str, value: Option<Value>) {
    let kept = settings
        .origin
        .entry(ORIGIN.to_owned())
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    let Value::Object(kept) = kept else { return };
    match value {
        Some(value) => kept.insert(name.to_owned(), value),
        None => kept.remove(name),
    };
}

/// Replaces all tags.
pub(crate) fn set_tags(settings: &mut QueueSettings, tags: Vec<(String, String)>) {
    let tags: serde_json::Map<String, Value> = tags
        .into_iter()
        .map(|(key, value)| (key, Value::String(value)))
        .collect();
    keep(settings, TAGS, Some(Value::Object(tags)));
}

/// Sets or removes the policy.
pub(crate) fn set_policy(settings: &mut QueueSettings, policy: Option<String>) {
    keep(settings, "Policy", policy.map(Value::String));
}

/// A queue as SQS makes it when nobody says otherwise.
fn fresh(is_fifo: bool) -> QueueSettings {
    QueueSettings {
        retention: Some(RETENTION),
        lease: Some(LEASE),
        ordered_groups: is_fifo,
        dedup: is_fifo.then_some(Dedup {
            window: DEDUP_WINDOW,
            scope: DedupScope::Queue,
        }),
        origin: [(ORIGIN.to_owned(), Value::Object(serde_json::Map::new()))].into(),
        ..QueueSettings::default()
    }
}

/// How many receives the queues that a message died in had given it, by their limits now.
pub(crate) fn earlier_receives(shared: &Shared, deaths: &[broker::message::Death]) -> u64 {
    let mut limits: HashMap<&str, u64> = HashMap::default();
    let mut sum = 0;
    for death in deaths {
        if death.reason != broker::message::DeathReason::DeliveryLimit {
            continue;
        }
        let limit = *limits.entry(&death.queue).or_insert_with(|| {
            let queue = shared.queues().get(&shared.config.namespace, &death.queue);
            let limit = queue.and_then(|queue| queue.settings().delivery_limit);
            limit.map_or(0, u64::from)
        });
        sum += limit * death.count;
    }
    sum
}
