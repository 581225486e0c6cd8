//! From a content to a message and back.
//!
//! A message that leaves by AMQP as it came by AMQP has the property block that it came with, byte
//! for byte; a death or a count of deliveries is written into its headers on the way out. What
//! other protocols can use of the properties is put into ordinary headers besides; a message of
//! another protocol gets its properties from those.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use broker::RecordHeader;
use broker::message::{Attributes, Death, DeathReason, Message};
use broker::queue::Delivery;
use bytes::{Bytes, BytesMut};

use crate::call::Publish;
use crate::codec::properties::{self, Properties};
use crate::codec::{Table, Value, Writer};
use crate::error::Failure;

/// The name of the record header with the property block.
pub(crate) const ORIGIN: &str = "amqp";

static ORIGIN_NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(ORIGIN));

/// Headers of a message that name more routing keys; the second is seen by nobody.
const CC: &str = "CC";
const BCC: &str = "BCC";
/// How long a delayed exchange holds a message back, in milliseconds.
const DELAY: &str = "x-delay";
/// What a queue with deduplication knows a message by.
const DEDUP: &str = "x-deduplication-header";

/// Names of record headers that other protocols know.
const CONTENT_TYPE: &[u8] = b"content-type";
const MESSAGE_ID: &[u8] = b"message-id";
const CORRELATION_ID: &[u8] = b"correlation-id";

/// A content, looked into as far as its properties ask for it.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The headers, when there are any.
    pub(crate) headers: Option<Table>,
    /// More routing keys.
    pub(crate) more_keys: Vec<Bytes>,
    pub(crate) user_id: Option<Bytes>,
    pub(crate) reply_to: Option<Bytes>,
    pub(crate) delay_ms: Option<i64>,
    has_private_keys: bool,
    persistent: bool,
    priority: u8,
    expiration_ms: Option<i64>,
    records: Vec<RecordHeader>,
    dedup: Option<Bytes>,
    message_id: Option<Bytes>,
}

/// Looks into a content.
///
/// # Errors
/// Properties that are malformed; an expiration that is no number; keys that are no strings.
pub(crate) fn look(publish: &Publish) -> Result<Looked, Failure> {
    let block = &publish.properties;
    let flags = properties::flags(block);
    let mut looked = Looked::default();
    if flags == 0 {
        return Ok(looked);
    }
    let all = Properties::read(block)?;
    let slice = |bytes: &[u8]| block.slice_ref(bytes);
    looked.persistent = all.delivery_mode == Some(2);
    looked.priority = all.priority.unwrap_or(0);
    if let Some(text) = all.expiration {
        looked.expiration_ms = Some(expiration(text)?);
    }
    looked.user_id = all.user_id.map(slice);
    looked.reply_to = all.reply_to.map(slice);
    looked.message_id = all.message_id.map(slice);
    let known = [
        (CONTENT_TYPE, all.content_type),
        (MESSAGE_ID, all.message_id),
        (CORRELATION_ID, all.correlation_id),
    ];
    for (name, value) in known {
        let record = value.map(|value| (Bytes::from_static(name), Some(slice(value))));
        looked.records.extend(record);
    }
    if all.headers.is_some() {
        let table = all.header_table()?;
        looked.more_keys = keys(&table, CC)?;
        let private = keys(&table, BCC)?;
        looked.has_private_keys = table.get(BCC).is_some();
        looked.more_keys.extend(private);
        looked.delay_ms = table.get(DELAY).and_then(Value::integer);
        looked.dedup = table.get(DEDUP).and_then(Value::as_bytes).cloned();
        looked.records.extend(table.iter().filter_map(record));
        looked.headers = Some(table);
    }
    Ok(looked)
}

/// An expiration: milliseconds as digits.
fn expiration(text: &[u8]) -> Result<i64, Failure> {
    let shown = String::from_utf8_lossy(text);
    let refuse = |why: &str| Failure::precondition(format!("invalid expiration '{shown}': {why}"));
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(refuse("not an integer"));
    }
    let value: i64 = shown.parse().map_err(|_| refuse("value_too_big"))?;
    if value > super::handlers::arguments::TIME_MAX_MS {
        return Err(refuse("value_too_big"));
    }
    Ok(value)
}

/// The routing keys in a header.
fn keys(table: &Table, name: &str) -> Result<Vec<Bytes>, Failure> {
    let wrong = |kind: &str| {
        Failure::precondition(format!(
            "unacceptable_type_in_header '{name}': expected array of longstr, got {kind}"
        ))
    };
    match table.get(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_bytes().cloned().ok_or_else(|| wrong(item.kind())))
            .collect(),
        Some(other) => Err(wrong(other.kind())),
    }
}

/// A header as a record's, if other protocols can make something of it.
fn record((name, value): (&str, &Value)) -> Option<RecordHeader> {
    if matches!(name, CC | BCC) {
        return None;
    }
    let bytes = match value {
        Value::Text(bytes) | Value::Binary(bytes) => bytes.clone(),
        Value::Void => return Some((Bytes::copy_from_slice(name.as_bytes()), None)),
        Value::Array(_) | Value::Table(_) => return None,
        Value::Bool(_)
        | Value::I8(_)
        | Value::U8(_)
        | Value::I16(_)
        | Value::U16(_)
        | Value::I32(_)
        | Value::U32(_)
        | Value::I64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::Decimal(..)
        | Value::Timestamp(_) => Bytes::from(value.show()),
    };
    Some((Bytes::copy_from_slice(name.as_bytes()), Some(bytes)))
}

/// The message of a content. `delayed` is whether its exchange holds messages back.
pub(crate) fn message(publish: &Publish, looked: &Looked, delayed: bool, now_ms: i64) -> Message {
    let mut routing_keys = Vec::with_capacity(1 + looked.more_keys.len());
    routing_keys.push(publish.routing_key.clone());
    routing_keys.extend(looked.more_keys.iter().cloned());
    let block = if looked.has_private_keys || (delayed && looked.delay_ms.is_some()) {
        outgoing(publish, looked, delayed)
    } else {
        publish.properties.clone()
    };
    let delay = looked.delay_ms.filter(|delay| delayed && *delay > 0);
    let plain = block.as_ref() == properties::NONE;
    Message {
        key: None,
        value: publish.body.clone(),
        headers: looked.records.clone(),
        timestamp_ms: None,
        attributes: Attributes {
            exchange: Some(publish.exchange.clone()),
            routing_keys,
            persistent: looked.persistent,
            priority: looked.priority,
            expires_ms: looked.expiration_ms.map(|ms| now_ms.saturating_add(ms)),
            deliver_ms: delay.map(|ms| now_ms.saturating_add(ms)),
            dedup: looked.dedup.clone(),
            message_id: looked.message_id.clone(),
            origin: (!plain).then(|| (ORIGIN_NAME.clone(), block)),
            ..Attributes::default()
        },
    }
}

/// The property block as consumers see it: without private keys, and with a delay that is past.
fn outgoing(publish: &Publish, looked: &Looked, delayed: bool) -> Bytes {
    let (Ok(all), Some(headers)) = (Properties::read(&publish.properties), &looked.headers) else {
        return publish.properties.clone();
    };
    let mut headers = headers.clone();
    headers.remove(BCC);
    if let Some(delay) = looked.delay_ms.filter(|_| delayed) {
        headers.set(DELAY, Value::I64(delay.saturating_neg()));
    }
    all.write(Some(&headers))
}

/// Where a delivery came from, as it is shown.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) exchange: &'a [u8],
    pub(crate) routing_key: &'a [u8],
}

/// Exchange and routing key of a delivery; a message that came by no exchange seems to have been
/// sent to its queue.
pub(crate) fn shown<'a>(delivery: &'a Delivery, queue: &'a str) -> Shown<'a> {
    let attributes = &delivery.attributes;
    let exchange = attributes.exchange.as_deref().unwrap_or_default();
    let key = attributes.routing_keys.first();
    Shown {
        exchange: exchange.as_bytes(),
        routing_key: key.map_or(queue.as_bytes(), |key| key),
    }
}

/// The property block that came with a delivery by AMQP.
fn own_block(delivery: &Delivery) -> Option<&[u8]> {
    match &delivery.attributes.origin {
        Some((name, block)) if &**name == ORIGIN => Some(block),
        // Without a block it came without properties, or not by AMQP.
        None if delivery.headers.is_empty() => Some(&properties::NONE),
        Some(_) | None => None,
    }
}

/// The properties of a delivery. `counts` is whether they say how often it was tried.
pub(crate) fn properties(delivery: &Delivery, counts: bool) -> Cow<'_, [u8]> {
    let deaths = &delivery.attributes.deaths;
    let counted = counts && delivery.attempts > 1;
    let own = own_block(delivery);
    if let (Some(block), true, false) = (own, deaths.is_empty(), counted) {
        return Cow::Borrowed(block);
    }
    let foreign;
    let block = match own {
        Some(block) => block,
        None => {
            foreign = from_records(&delivery.headers, delivery.timestamp_ms);
            &foreign
        }
    };
    let Ok(mut all) = Properties::read(block) else {
        return Cow::Owned(block.to_vec());
    };
    let mut headers = all.header_table().unwrap_or_default();
    if !deaths.is_empty() {
        all.expiration = None;
        // A routing key of the dead-letter exchange takes the place of all that were.
        if delivery.attributes.routing_keys.len() == 1 {
            headers.remove(CC);
        }
        put_deaths(&mut headers, deaths);
    }
    if counted {
        let count = i64::from(delivery.attempts) - 1;
        headers.set("x-delivery-count", Value::I64(count));
    }
    let headers = (!headers.is_empty()).then_some(&headers);
    Cow::Owned(all.write(headers).to_vec())
}

/// Properties from the headers of a record that did not come by AMQP.
pub(crate) fn from_records(records: &[RecordHeader], timestamp_ms: i64) -> Vec<u8> {
    let mut all = Properties {
        timestamp: u64::try_from(timestamp_ms / 1000).ok(),
        ..Properties::default()
    };
    let short = |value: &[u8]| value.len() <= 255 && std::str::from_utf8(value).is_ok();
    let mut headers = Table::new();
    for (name, value) in records {
        let Ok(text) = std::str::from_utf8(name) else {
            continue;
        };
        match value {
            Some(value) if name.as_ref() == CONTENT_TYPE && short(value) => {
                all.content_type = Some(value);
            }
            Some(value) if name.as_ref() == MESSAGE_ID && short(value) => {
                all.message_id = Some(value);
            }
            Some(value) if name.as_ref() == CORRELATION_ID && short(value) => {
                all.correlation_id = Some(value);
            }
            // A name of a header is a short string.
            _ if text.len() > 255 => {}
            Some(value) => headers.push(text, Value::Text(value.clone())),
            None => headers.push(text, Value::Void),
        }
    }
    all.write((!headers.is_empty()).then_some(&headers))
        .to_vec()
}

fn reason(reason: DeathReason) -> &'static str {
    match reason {
        DeathReason::Rejected => "rejected",
        DeathReason::Expired => "expired",
        DeathReason::MaxLength => "maxlen",
        DeathReason::DeliveryLimit => "delivery_limit",
    }
}

/// What a message died of, in the headers that its consumers look at.
fn put_deaths(headers: &mut Table, deaths: &[Death]) {
    let list = deaths.iter().map(|death| {
        let keys = death.routing_keys.iter().cloned().map(Value::Text);
        let count = i64::try_from(death.count).unwrap_or(i64::MAX);
        let mut table = Table::new()
            .with("count", Value::I64(count))
            .with("reason", Value::text(reason(death.reason)))
            .with("queue", Value::text(&death.queue))
            .with(
                "time",
                Value::Timestamp(u64::try_from(death.first_ms / 1000).unwrap_or(0)),
            )
            .with("exchange", Value::text(&death.exchange))
            .with("routing-keys", Value::Array(keys.collect()));
        if let Some(ms) = death.original_expiration_ms {
            table.push("original-expiration", Value::text(&ms.to_string()));
        }
        Value::Table(table)
    });
    headers.set("x-death", Value::Array(list.collect()));
    let first = deaths.iter().rev().min_by_key(|death| death.first_ms);
    for (which, death) in [("first", first), ("last", deaths.first())] {
        let Some(death) = death else { continue };
        let name = |what: &str| format!("x-{which}-death-{what}");
        headers.set(&name("reason"), Value::text(reason(death.reason)));
        headers.set(&name("queue"), Value::text(&death.queue));
        headers.set(&name("exchange"), Value::text(&death.exchange));
    }
}

/// A table's bytes as they are kept with a queue or an exchange.
pub(crate) fn table_bytes(table: &Table) -> Bytes {
    let mut out = BytesMut::new();
    Writer::new(&mut out).bare_table(table);
    out.freeze()
}
