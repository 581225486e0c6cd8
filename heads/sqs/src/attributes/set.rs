//! Attributes that come in.

use std::time::Duration;

use broker::queue::{DeadLetter, DedupScope, Queue, QueueSettings};
use serde_json::Value;

use super::redrive::{self, Redrive};
use super::{AttributeKind as K, View, find, fresh, keep};
use crate::Shared;
use crate::error::{Code, Failure};
use crate::limits::FIFO;
use crate::wire::{Map, Text};

type Given<'a> = Map<'a, Text<'a>>;

fn unknown(name: &str) -> Failure {
    Failure::new(Code::AttributeName, format!("Unknown Attribute {name}."))
}

fn wrong(name: &str) -> Failure {
    Failure::new(
        Code::AttributeValue,
        format!("Invalid value for the parameter {name}."),
    )
}

/// The settings of a new queue called `name`.
pub(crate) fn create(
    shared: &Shared,
    name: &str,
    given: &Given<'_>,
) -> Result<QueueSettings, Failure> {
    let is_named_fifo = name.ends_with(FIFO);
    let is_fifo = match given.get("FifoQueue").map(|text| &**text) {
        None => false,
        Some("true") => true,
        Some("false") if !is_named_fifo => return Err(unknown("FifoQueue")),
        Some(_) => return Err(wrong("FifoQueue")),
    };
    if is_fifo != is_named_fifo {
        return Err(Failure::invalid(if is_fifo {
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
             underscores, must end with .fifo suffix and be 1 to 80 in length"
        } else {
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        }));
    }
    let mut settings = fresh(is_fifo);
    apply(shared, name, &mut settings, given, true)?;
    Ok(settings)
}

/// Changes the settings of the queue called `name`.
pub(crate) fn set(
    shared: &Shared,
    queue: &Queue,
    given: &Given<'_>,
) -> Result<QueueSettings, Failure> {
    let mut settings = (*queue.settings()).clone();
    apply(shared, queue.name(), &mut settings, given, false)?;
    Ok(settings)
}

fn apply(
    shared: &Shared,
    queue: &str,
    settings: &mut QueueSettings,
    given: &Given<'_>,
    is_new: bool,
) -> Result<(), Failure> {
    for (name, value) in &given.entries {
        let attribute = find(name).ok_or_else(|| unknown(name))?;
        match attribute.kind {
            K::Told => return Err(unknown(name)),
            K::Number(from, to, _) => {
                // The period of a key is taken away by its default.
                let value: i64 = value.trim().parse().map_err(|_| wrong(name))?;
                if !(from..=to).contains(&value) {
                    return Err(wrong(name));
                }
                number(settings, attribute.name, value);
            }
            K::Flag => {
                if !matches!(&**value, "true" | "false") {
                    return Err(wrong(name));
                }
                keep(settings, name, Some(Value::String(value.to_string())));
            }
            K::FifoFlag | K::FifoChoice(..) => {
                fifo(settings, attribute.name, attribute.kind, value, is_new)?
            }
            K::Text => {
                let value = (!value.is_empty()).then(|| Value::String(value.to_string()));
                keep(settings, name, value);
                keep(settings, "SqsManagedSseEnabled", None);
            }
            K::Json => json(shared, queue, settings, attribute.name, value)?,
        }
    }
    let view = View(settings);
    if view.kept("FifoThroughputLimit") == Some("perMessageGroupId")
        && view.kept("DeduplicationScope") != Some("messageGroup")
    {
        return Err(Failure::new(
            Code::AttributeValue,
            "The perMessageGroupId value for FifoThroughputLimit is allowed only when the value for \
             DeduplicationScope is messageGroup.",
        ));
    }
    Ok(())
}

fn number(settings: &mut QueueSettings, name: &'static str, value: i64) {
    let duration = Duration::from_secs(u64::try_from(value).unwrap_or_default());
    match name {
        "VisibilityTimeout" => settings.lease = Some(duration),
        "MessageRetentionPeriod" => settings.retention = Some(duration),
        "DelaySeconds" => settings.delay = (value > 0).then_some(duration),
        "KmsDataKeyReusePeriodSeconds" => {
            let value = (value != 300).then(|| Value::String(value.to_string()));
            keep(settings, name, value);
        }
        _ => keep(settings, name, Some(Value::String(value.to_string()))),
    }
}

fn fifo(
    settings: &mut QueueSettings,
    name: &'static str,
    kind: K,
    value: &str,
    is_new: bool,
) -> Result<(), Failure> {
    let is_fifo = settings.ordered_groups;
    if name == "FifoQueue" {
        if is_new || (is_fifo && value == "true") {
            return Ok(());
        }
        return Err(Failure::new(
            Code::AttributeValue,
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        ));
    }
    if !is_fifo {
        return Err(if name == "ContentBasedDeduplication" {
            unknown(name)
        } else {
            Failure::new(
                Code::AttributeName,
                format!("You can specify the {name} only when FifoQueue is set to true."),
            )
        });
    }
    let fits = if let K::FifoChoice(a, b) = kind {
        value == a || value == b
    } else {
        matches!(value, "true" | "false")
    };
    if !fits {
        return Err(wrong(name));
    }
    // Later changes are told, but what a message is known by stays what it was (B5: recorded).
    if let (true, "DeduplicationScope", Some(dedup)) = (is_new, name, &mut settings.dedup) {
        dedup.scope = if value == "messageGroup" {
            DedupScope::Group
        } else {
            DedupScope::Queue
        };
    }
    keep(settings, name, Some(Value::String(value.to_owned())));
    Ok(())
}

fn json(
    shared: &Shared,
    queue: &str,
    settings: &mut QueueSettings,
    name: &'static str,
    value: &str,
) -> Result<(), Failure> {
    if value.is_empty() {
        if name == "RedrivePolicy" {
            settings.dead_letter = None;
            settings.delivery_limit = None;
        }
        keep(settings, name, None);
        return Ok(());
    }
    match name {
        "RedrivePolicy" => {
            let Redrive { target, limit } =
                redrive::policy(shared, queue, settings.ordered_groups, value)?;
            settings.dead_letter = Some(DeadLetter::Queue(target));
            settings.delivery_limit = Some(limit);
        }
        "RedriveAllowPolicy" => redrive::check_allow_policy(value)?,
        _ => {
            let parsed: Result<Value, _> = serde_json::from_str(value);
            if !parsed.is_ok_and(|value| value.is_object()) {
                return Err(wrong(name));
            }
        }
    }
    keep(settings, name, Some(Value::String(value.to_owned())));
    Ok(())
}

/// The first given attribute whose value is not what the queue has.
pub(crate) fn differing<'a>(
    shared: &Shared,
    queue: &Queue,
    given: &'a Given<'_>,
) -> Result<Option<&'a str>, Failure> {
    let wanted = create(shared, queue.name(), given)?;
    let has = queue.settings();
    for (name, _) in &given.entries {
        let attribute = find(name).ok_or_else(|| unknown(name))?;
        let told = |settings: &QueueSettings| {
            let text = View(settings).told(shared, attribute);
            // The same JSON may be written in many ways.
            text.map(|text| {
                if attribute.kind == K::Json {
                    serde_json::from_str(&text).unwrap_or(Value::String(text))
                } else {
                    Value::String(text)
                }
            })
        };
        if told(&wanted) != told(&has) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
