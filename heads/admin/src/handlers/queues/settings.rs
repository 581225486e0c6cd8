//! A queue's settings as JSON: times in milliseconds, what is not set left out.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::queue::{DeadLetter, Dedup, DedupScope, Overflow, QueueSettings};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// Settings that come in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SettingsIn {
    durable: Option<bool>,
    auto_delete: bool,
    lanes: Option<u16>,
    message_ttl_ms: Option<u64>,
    expires_ms: Option<u64>,
    retention_ms: Option<u64>,
    length_max: Option<u64>,
    bytes_max: Option<u64>,
    overflow: OverflowJson,
    dead_letter: Option<DeadLetterJson>,
    delivery_limit: Option<u32>,
    single_active: bool,
    lease_ms: Option<u64>,
    delay_ms: Option<u64>,
    ordered_groups: bool,
    dedup: Option<DedupJson>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum OverflowJson {
    #[default]
    DropHead,
    Reject,
    RejectDeadLetter,
}

/// A queue, or an exchange with or without a routing key.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct DeadLetterJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DedupJson {
    window_ms: u64,
    #[serde(default)]
    scope: ScopeJson,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum ScopeJson {
    #[default]
    Queue,
    Group,
}

impl SettingsIn {
    pub(super) fn into_settings(self) -> Result<QueueSettings, Problem> {
        let time = |ms: Option<u64>| ms.map(Duration::from_millis);
        Ok(QueueSettings {
            durable: self.durable.unwrap_or(true),
            auto_delete: self.auto_delete,
            owner: None,
            lanes: self.lanes.unwrap_or(1),
            message_ttl: time(self.message_ttl_ms),
            expires: time(self.expires_ms),
            retention: time(self.retention_ms),
            length_max: self.length_max,
            bytes_max: self.bytes_max,
            overflow: match self.overflow {
                OverflowJson::DropHead => Overflow::DropHead,
                OverflowJson::Reject => Overflow::Reject,
                OverflowJson::RejectDeadLetter => Overflow::RejectDeadLetter,
            },
            dead_letter: self.dead_letter.map(dead_letter).transpose()?,
            delivery_limit: self.delivery_limit,
            single_active: self.single_active,
            lease: time(self.lease_ms),
            delay: time(self.delay_ms),
            ordered_groups: self.ordered_groups,
            dedup: self.dedup.map(|dedup| Dedup {
                window: Duration::from_millis(dedup.window_ms),
                scope: match dedup.scope {
                    ScopeJson::Queue => DedupScope::Queue,
                    ScopeJson::Group => DedupScope::Group,
                },
            }),
            origin: BTreeMap::new(),
        })
    }
}

fn dead_letter(given: DeadLetterJson) -> Result<DeadLetter, Problem> {
    match given {
        DeadLetterJson {
            queue: Some(queue),
            exchange: None,
            routing_key: None,
        } => Ok(DeadLetter::Queue(queue)),
        DeadLetterJson {
            queue: None,
            exchange: Some(exchange),
            routing_key,
        } => Ok(DeadLetter::Exchange {
            exchange,
            routing_key: routing_key.map(Bytes::from),
        }),
        _ => Err(Problem::invalid(
            "`dead_letter` is a `queue`, or an `exchange` with or without a `routing_key`",
        )),
    }
}

/// Settings that go out.
#[derive(Debug, Serialize)]
pub(super) struct SettingsOut {
    durable: bool,
    auto_delete: bool,
    exclusive: bool,
    lanes: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
    overflow: OverflowJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetterJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_limit: Option<u32>,
    single_active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    ordered_groups: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup: Option<DedupJson>,
    /// What the head that made it keeps with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    origin: BTreeMap<String, serde_json::Value>,
}

impl SettingsOut {
    pub(super) fn new(settings: &QueueSettings) -> Self {
        let time = |time: Option<Duration>| time.map(millis);
        Self {
            durable: settings.durable,
            auto_delete: settings.auto_delete,
            exclusive: settings.owner.is_some(),
            lanes: settings.lanes,
            message_ttl_ms: time(settings.message_ttl),
            expires_ms: time(settings.expires),
            retention_ms: time(settings.retention),
            length_max: settings.length_max,
            bytes_max: settings.bytes_max,
            overflow: match settings.overflow {
                Overflow::DropHead => OverflowJson::DropHead,
                Overflow::Reject => OverflowJson::Reject,
                Overflow::RejectDeadLetter => OverflowJson::RejectDeadLetter,
            },
            dead_letter: settings.dead_letter.as_ref().map(shown_dead_letter),
            delivery_limit: settings.delivery_limit,
            single_active: settings.single_active,
            lease_ms: time(settings.lease),
            delay_ms: time(settings.delay),
            ordered_groups: settings.ordered_groups,
            dedup: settings.dedup.map(|dedup| DedupJson {
                window_ms: millis(dedup.window),
                scope: match dedup.scope {
                    DedupScope::Queue => ScopeJson::Queue,
                    DedupScope::Group => ScopeJson::Group,
                },
            }),
            origin: settings.origin.clone(),
        }
    }
}

fn shown_dead_letter(to: &DeadLetter) -> DeadLetterJson {
    match to {
        DeadLetter::Queue(queue) => DeadLetterJson {
            queue: Some(queue.clone()),
            ..DeadLetterJson::default()
        },
        DeadLetter::Exchange {
            exchange,
            routing_key,
        } => {
            let key = routing_key.as_ref();
            DeadLetterJson {
                exchange: Some(exchange.clone()),
                routing_key: key.map(|key| String::from_utf8_lossy(key).into_owned()),
                ..DeadLetterJson::default()
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
