//! Between a message of SQS and one of the engine.
//!
//! The body is the record's value and message attributes are its headers: name and value. What
//! headers cannot say (the attributes' types, the sender, the trace header) is the block of
//! properties under the name [`ORIGIN`]: a version, then tag, length (u32, big-endian), bytes. A
//! message without that block came by another protocol: its headers are attributes of the type
//! String where they are text, Binary where they are not, and left out where SQS could not have
//! them. A body that is no text is given as base64, which an attribute says.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use broker::RecordHeader;
use broker::message::{Attributes, Message};
use broker::queue::{Delivery, Queue};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::attributes::View;
use crate::digest::{self, Transport, hex};
use crate::error::{Code, Failure};
use crate::handlers::Context;
use crate::limits;
use crate::model::{self, SendEntry, Value, ValueOut};
use crate::wire::write::{Binary, Pairs};
use crate::wire::{Body, Map};

/// The protocol's name on its own block of properties.
const ORIGIN: &str = "sqs";
const VERSION: u8 = 1;
const SENDER: u8 = 1;
const TRACE: u8 = 2;
const TYPE: u8 = 3;

/// The one system attribute that may be sent.
const TRACE_HEADER: &str = "AWSTraceHeader";
/// Says that a body is base64; the name that mail has for it.
const ENCODING: &str = "content-transfer-encoding";

const WRONG_KIND: &str = "The request include parameter that is not valid for this queue type.";

/// A message that is ready to be published, and what its sender is told.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    pub(crate) id: String,
    pub(crate) body_md5: String,
    pub(crate) attributes_md5: Option<String>,
    pub(crate) system_md5: Option<String>,
}

/// How many bytes a message counts: its body and its attributes' names, types and values.
pub(crate) fn size(entry: &SendEntry<'_>) -> usize {
    let attributes = entry.attributes.entries.iter().map(|(name, value)| {
        name.len() + value.data_type.len() + bytes_of(value).map_or(0, <[u8]>::len)
    });
    entry.body.len() + attributes.sum::<usize>()
}

fn bytes_of<'v>(value: &'v Value<'_>) -> Option<&'v [u8]> {
    if value.data_type.starts_with("Binary") {
        value.binary.as_ref().map(|blob| blob.0.as_slice())
    } else {
        value.string.as_ref().map(|text| text.as_bytes())
    }
}

fn transport(data_type: &str) -> Transport {
    if data_type.starts_with("Binary") {
        Transport::Binary
    } else {
        Transport::Text
    }
}

/// Checks an entry and makes it a message.
pub(crate) fn outgoing(
    context: &Context<'_>,
    view: View<'_>,
    entry: &SendEntry<'_>,
) -> Result<Outgoing, Failure> {
    limits::check_text(&entry.body)?;
    let attributes_md5 = check_attributes(&entry.attributes, "user")?;
    let system_md5 = check_attributes(&entry.system, "system")?;
    if let Some((name, _)) = entry
        .system
        .entries
        .iter()
        .find(|(name, _)| &**name != TRACE_HEADER)
    {
        return Err(Failure::invalid(format!(
            "Message system attribute name '{}' is invalid.",
            &**name
        )));
    }
    let body = context.shared_bytes(&entry.body);
    let (group, dedup) = ids(view, entry)?;
    let mut headers: Vec<RecordHeader> = Vec::with_capacity(entry.attributes.entries.len());
    let mut block = vec![VERSION];
    put(&mut block, SENDER, context.sender.as_bytes());
    if let Some(trace) = entry.system.get(TRACE_HEADER).and_then(bytes_of) {
        put(&mut block, TRACE, trace);
    }
    for (name, value) in &entry.attributes.entries {
        let bytes = bytes_of(value).unwrap_or_default();
        headers.push((
            Bytes::copy_from_slice(name.as_bytes()),
            Some(Bytes::copy_from_slice(bytes)),
        ));
        put(&mut block, TYPE, value.data_type.as_bytes());
    }
    let id = context.shared.rng.uuid().to_string();
    let attributes = Attributes {
        persistent: true,
        deliver_ms: deliver_ms(context, view, entry)?,
        group: group.map(|id| Bytes::copy_from_slice(id.as_bytes())),
        dedup: dedup.map(Bytes::from),
        message_id: Some(Bytes::copy_from_slice(id.as_bytes())),
        origin: Some((Arc::from(ORIGIN), Bytes::from(block))),
        ..Attributes::default()
    };
    Ok(Outgoing {
        body_md5: digest::body(&body),
        message: Message {
            value: body,
            headers,
            attributes,
            ..Message::default()
        },
        id,
        attributes_md5,
        system_md5,
    })
}

fn put(block: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    block.push(tag);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    block.extend_from_slice(&length.to_be_bytes());
    block.extend_from_slice(bytes);
}

/// When it is visible: `None` where the queue decides.
fn deliver_ms(
    context: &Context<'_>,
    view: View<'_>,
    entry: &SendEntry<'_>,
) -> Result<Option<i64>, Failure> {
    let Some(delay) = entry.delay else {
        return Ok(None);
    };
    if view.is_fifo() {
        return match delay {
            0 => Ok(None),
            delay => Err(Failure::value(
                &delay.to_string(),
                "DelaySeconds",
                WRONG_KIND,
            )),
        };
    }
    let reason = "DelaySeconds must be >= 0 and <= 900.";
    limits::check_range("DelaySeconds", delay, 0..=limits::DELAY_MAX, reason)?;
    Ok(Some(context.now_ms.saturating_add(delay * 1000)))
}

/// Its group, and what it is known by.
fn ids<'e>(
    view: View<'_>,
    entry: &'e SendEntry<'_>,
) -> Result<(Option<&'e str>, Option<String>), Failure> {
    let group = entry.group.as_deref();
    let dedup = entry.dedup.as_deref();
    if let Some(group) = group {
        limits::check_id("MessageGroupId", group)?;
    }
    if let Some(dedup) = dedup {
        if !view.is_fifo() {
            return Err(Failure::value(dedup, "MessageDeduplicationId", WRONG_KIND));
        }
        limits::check_id("MessageDeduplicationId", dedup)?;
    }
    if !view.is_fifo() {
        return Ok((group, None));
    }
    if group.is_none() {
        return Err(Failure::missing("MessageGroupId"));
    }
    match dedup {
        Some(dedup) => Ok((group, Some(dedup.to_owned()))),
        None if view.dedups_by_content() => {
            Ok((group, Some(hex(&Sha256::digest(entry.body.as_bytes())))))
        }
        None => Err(Failure::invalid(
            "The queue should either have ContentBasedDeduplication enabled or \
             MessageDeduplicationId provided explicitly",
        )),
    }
}

/// Checks attributes; their digest.
fn check_attributes(
    map: &Map<'_, Value<'_>>,
    kind: &'static str,
) -> Result<Option<String>, Failure> {
    if map.sent > limits::ATTRIBUTES_MAX {
        return Err(Failure::invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{}].",
            map.sent,
            limits::ATTRIBUTES_MAX
        )));
    }
    let mut list = Vec::with_capacity(map.entries.len());
    for (name, value) in &map.entries {
        let data_type = &*value.data_type;
        if !limits::is_attribute_name(name) {
            return Err(Failure::invalid(format!(
                "The message attribute name '{}' is invalid. Attribute name can contain A-Z, a-z, 0-9, \
                 underscore (_), hyphen (-), and period (.) characters.",
                &**name
            )));
        }
        if data_type.is_empty() {
            return Err(Failure::invalid(format!(
                "The message attribute '{}' must contain non-empty message attribute type.",
                &**name
            )));
        }
        if !limits::is_attribute_type(data_type) {
            return Err(Failure::invalid(format!(
                "The message attribute '{}' has an invalid message attribute type, the set of supported \
                 type prefixes is Binary, Number, and String.",
                &**name
            )));
        }
        let bytes = bytes_of(value).filter(|bytes| !bytes.is_empty());
        let base = data_type.split('.').next().unwrap_or_default();
        let Some(bytes) = bytes else {
            return Err(Failure::invalid(format!(
                "Message ({kind}) attribute '{}' must contain a non-empty value of type '{base}'.",
                &**name
            )));
        };
        check_value(name, base, bytes)?;
        list.push((&**name, data_type, transport(data_type), bytes));
    }
    Ok(digest::attributes(&mut list))
}

fn check_value(name: &str, base: &str, bytes: &[u8]) -> Result<(), Failure> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match base {
        "Number" if text.trim().parse::<f64>().is_err() => Err(Failure::invalid(format!(
            "Can't cast the value of message (user) attribute '{name}' to a number."
        ))),
        "String" if !limits::is_text(text) => Err(Failure::new(
            Code::Parameter,
            format!("Message (user) attribute '{name}' contains characters that are not allowed."),
        )),
        _ => Ok(()),
    }
}

/// Which attributes a receiver wants.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'n> {
    all: bool,
    exact: Vec<&'n str>,
    prefixes: Vec<&'n str>,
}

impl<'n> Wanted<'n> {
    pub(crate) fn new(names: impl Iterator<Item = &'n str>) -> Self {
        let mut wanted = Self::default();
        for name in names {
            match name.strip_suffix(".*") {
                Some("") => wanted.all = true,
                Some(prefix) => wanted.prefixes.push(prefix),
                None if name == "All" => wanted.all = true,
                None => wanted.exact.push(name),
            }
        }
        wanted
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        let below = |prefix: &&str| name.starts_with(prefix);
        self.all || self.exact.contains(&name) || self.prefixes.iter().any(below)
    }

    fn is_none(&self) -> bool {
        !self.all && self.exact.is_empty() && self.prefixes.is_empty()
    }
}

/// What the block of properties says.
#[derive(Debug, Default)]
struct Block<'b> {
    sender: Option<&'b str>,
    trace: Option<&'b str>,
    types: Vec<&'b str>,
}

impl<'b> Block<'b> {
    /// A block of another version, or a damaged one, says nothing.
    fn read(attributes: &'b Attributes) -> Self {
        let mut block = Self::default();
        let Some((_, bytes)) = attributes
            .origin
            .as_ref()
            .filter(|(name, _)| &**name == ORIGIN)
        else {
            return block;
        };
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return block;
        };
        while let Some((head, behind)) = rest.split_at_checked(5) {
            let length = head
                .iter()
                .skip(1)
                .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let Some((bytes, behind)) = behind.split_at_checked(length) else {
                break;
            };
            rest = behind;
            let text = std::str::from_utf8(bytes).ok();
            match head.first() {
                Some(&SENDER) => block.sender = text,
                Some(&TRACE) => block.trace = text,
                Some(&TYPE) => block.types.push(text.unwrap_or("Binary")),
                _ => {}
            }
        }
        block
    }
}

/// A delivery, as its receiver wants it.
pub(crate) fn received(
    context: &Context<'_>,
    queue: &Queue,
    delivery: &Delivery,
    receipt: String,
    wanted: &(Wanted<'_>, Wanted<'_>),
) -> model::Message {
    let block = Block::read(&delivery.attributes);
    let (system, user) = wanted;
    let value = delivery.value.clone().unwrap_or_default();
    let is_text = std::str::from_utf8(&value).is_ok_and(limits::is_text);
    let body = if is_text {
        value
    } else {
        Bytes::from(BASE64.encode(&value))
    };
    let (attributes_md5, message_attributes) = if user.is_none() {
        (None, Pairs::default())
    } else {
        user_attributes(delivery, &block, user, is_text)
    };
    model::Message {
        id: message_id(queue, delivery),
        receipt,
        body_md5: digest::body(&body),
        body: Body(body),
        attributes: Pairs(
            system_attributes(context, queue, delivery, &block, system),
            Default::default(),
        ),
        attributes_md5,
        message_attributes,
    }
}

/// Its own, or one that is made of where it lies.
pub(crate) fn message_id(queue: &Queue, delivery: &Delivery) -> String {
    let own = delivery.attributes.message_id.as_deref();
    match own
        .and_then(|id| std::str::from_utf8(id).ok())
        .filter(|id| limits::is_text(id))
    {
        Some(id) => id.to_owned(),
        None => {
            let place =
                u128::from(delivery.receipt.lane) << 64 | u128::from(delivery.receipt.offset);
            Uuid::from_u128(queue.id().0.as_u128() ^ place).to_string()
        }
    }
}

/// A place in a queue as FIFO queues number their messages.
pub(crate) fn sequence(offset: u64) -> String {
    format!("{offset:020}")
}

fn user_attributes(
    delivery: &Delivery,
    block: &Block<'_>,
    wanted: &Wanted<'_>,
    is_text: bool,
) -> (Option<String>, Pairs<String, ValueOut>) {
    let mut chosen: Vec<(&str, &str, Transport, &Bytes)> = Vec::new();
    let marker = Bytes::from_static(b"base64");
    if !is_text && wanted.is(ENCODING) {
        chosen.push((ENCODING, "String", Transport::Text, &marker));
    }
    for (at, (name, value)) in delivery.headers.iter().enumerate() {
        let (Ok(name), Some(value)) = (std::str::from_utf8(name), value) else {
            continue;
        };
        let known = chosen.iter().any(|(chosen, ..)| *chosen == name);
        if known || value.is_empty() || !limits::is_attribute_name(name) || !wanted.is(name) {
            continue;
        }
        let value_is_text = std::str::from_utf8(value).is_ok_and(limits::is_text);
        let data_type = match block.types.get(at) {
            Some(data_type) => data_type,
            None if value_is_text => "String",
            None => "Binary",
        };
        // A foreign type's text must not break an answer.
        let transport = if value_is_text {
            transport(data_type)
        } else {
            Transport::Binary
        };
        chosen.push((name, data_type, transport, value));
    }
    let md5 = {
        let mut list: Vec<(&str, &str, Transport, &[u8])> = chosen
            .iter()
            .map(|(n, d, t, v)| (*n, *d, *t, v.as_ref()))
            .collect();
        digest::attributes(&mut list)
    };
    let out = |(name, data_type, transport, value): &(&str, &str, Transport, &Bytes)| {
        let data_type = (*data_type).to_owned();
        let value = match transport {
            Transport::Text => ValueOut {
                string: Some(Body((*value).clone())),
                data_type,
                ..ValueOut::default()
            },
            Transport::Binary => ValueOut {
                binary: Some(Binary((*value).clone())),
                data_type,
                ..ValueOut::default()
            },
        };
        ((*name).to_owned(), value)
    };
    (
        md5,
        Pairs(chosen.iter().map(out).collect(), Default::default()),
    )
}

fn system_attributes(
    context: &Context<'_>,
    queue: &Queue,
    delivery: &Delivery,
    block: &Block<'_>,
    wanted: &Wanted<'_>,
) -> Vec<(&'static str, String)> {
    let attributes = &delivery.attributes;
    let mut out = Vec::new();
    if wanted.is_none() {
        return out;
    }
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let is_fifo = queue.settings().ordered_groups;
    let mut tell = |name: &'static str, value: &dyn Fn() -> Option<String>| {
        if wanted.is(name)
            && let Some(value) = value()
        {
            out.push((name, value));
        }
    };
    tell("SenderId", &|| {
        Some(block.sender.unwrap_or("anonymous").to_owned())
    });
    tell("SentTimestamp", &|| {
        Some(
            attributes
                .sent_ms
                .unwrap_or(delivery.timestamp_ms)
                .to_string(),
        )
    });
    tell("ApproximateReceiveCount", &|| {
        let earlier = crate::attributes::earlier_receives(context.shared, &attributes.deaths);
        Some((u64::from(delivery.attempts) + earlier).to_string())
    });
    tell("ApproximateFirstReceiveTimestamp", &|| {
        Some(delivery.first_ms.to_string())
    });
    tell("SequenceNumber", &|| {
        is_fifo.then(|| sequence(delivery.receipt.offset))
    });
    tell("MessageDeduplicationId", &|| {
        attributes.dedup.as_ref().map(text)
    });
    tell("MessageGroupId", &|| attributes.group.as_ref().map(text));
    tell("AWSTraceHeader", &|| block.trace.map(str::to_owned));
    tell("DeadLetterQueueSourceArn", &|| {
        attributes
            .source
            .as_ref()
            .map(|source| context.shared.arn(source))
    });
    out
}
