//! The layout of [`HEADER`]: (tag, length, value) one behind the other. Numbers are little-endian,
//! lengths are base-128. A tag that is not known is passed over, so that an older version reads
//! what a newer one wrote; what does not fit its tag is taken as absent.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{Attributes, Death, DeathReason};

/// The record header that carries a message's attributes.
pub(crate) const HEADER: &[u8] = b"stentor";

const EXCHANGE: u8 = 1;
const ROUTING_KEY: u8 = 2;
const PERSISTENT: u8 = 3;
const PRIORITY: u8 = 4;
const EXPIRES: u8 = 5;
const DELIVER: u8 = 6;
const GROUP: u8 = 7;
const DEDUP: u8 = 8;
const MESSAGE_ID: u8 = 9;
const SENT: u8 = 10;
const SOURCE: u8 = 11;
const DEATH: u8 = 12;
/// The name of the record header with the producer's own properties.
const ORIGIN: u8 = 13;

const DEATH_QUEUE: u8 = 1;
const DEATH_REASON: u8 = 2;
const DEATH_COUNT: u8 = 3;
const DEATH_FIRST: u8 = 4;
const DEATH_EXCHANGE: u8 = 5;
const DEATH_KEY: u8 = 6;
const DEATH_EXPIRATION: u8 = 7;

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let mut length = value.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
}

/// Appends the attributes to `out`; nothing for those of a plain record.
pub(crate) fn encode(attributes: &Attributes, out: &mut Vec<u8>) {
    let a = attributes;
    if let Some(exchange) = &a.exchange {
        put(out, EXCHANGE, exchange.as_bytes());
    }
    for key in &a.routing_keys {
        put(out, ROUTING_KEY, key);
    }
    if a.persistent {
        put(out, PERSISTENT, &[]);
    }
    if a.priority > 0 {
        put(out, PRIORITY, &[a.priority]);
    }
    let times = [
        (EXPIRES, a.expires_ms),
        (DELIVER, a.deliver_ms),
        (SENT, a.sent_ms),
    ];
    for (tag, time) in times {
        if let Some(time) = time {
            put(out, tag, &time.to_le_bytes());
        }
    }
    let texts = [
        (GROUP, &a.group),
        (DEDUP, &a.dedup),
        (MESSAGE_ID, &a.message_id),
    ];
    for (tag, text) in texts {
        if let Some(text) = text {
            put(out, tag, text);
        }
    }
    if let Some(source) = &a.source {
        put(out, SOURCE, source.as_bytes());
    }
    let mut scratch = Vec::new();
    for death in &a.deaths {
        scratch.clear();
        encode_death(death, &mut scratch);
        put(out, DEATH, &scratch);
    }
    if let Some((name, _)) = &a.origin {
        put(out, ORIGIN, name.as_bytes());
    }
}

fn encode_death(death: &Death, out: &mut Vec<u8>) {
    put(out, DEATH_QUEUE, death.queue.as_bytes());
    put(out, DEATH_REASON, &[reason_number(death.reason)]);
    put(out, DEATH_COUNT, &death.count.to_le_bytes());
    put(out, DEATH_FIRST, &death.first_ms.to_le_bytes());
    put(out, DEATH_EXCHANGE, death.exchange.as_bytes());
    for key in &death.routing_keys {
        put(out, DEATH_KEY, key);
    }
    if let Some(expiration) = death.original_expiration_ms {
        put(out, DEATH_EXPIRATION, &expiration.to_le_bytes());
    }
}

fn reason_number(reason: DeathReason) -> u8 {
    match reason {
        DeathReason::Rejected => 1,
        DeathReason::Expired => 2,
        DeathReason::MaxLength => 3,
        DeathReason::DeliveryLimit => 4,
    }
}

fn reason(number: u8) -> Option<DeathReason> {
    match number {
        1 => Some(DeathReason::Rejected),
        2 => Some(DeathReason::Expired),
        3 => Some(DeathReason::MaxLength),
        4 => Some(DeathReason::DeliveryLimit),
        _ => None,
    }
}

/// The next tag and its value; `None` at the end and where bytes are missing.
fn take(rest: &mut Bytes) -> Option<(u8, Bytes)> {
    let tag = rest.try_get_u8().ok()?;
    let mut length = 0_usize;
    for shift in (0..28).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (length <= rest.len()).then(|| (tag, rest.split_to(length)));
        }
    }
    None
}

fn long(value: &Bytes) -> Option<i64> {
    Some(i64::from_le_bytes(value.as_ref().try_into().ok()?))
}

fn text(value: &Bytes) -> Option<Arc<str>> {
    Some(Arc::from(std::str::from_utf8(value).ok()?))
}

/// Reads attributes. It remembers the last names, of which there are few, so that messages share
/// them.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    exchange: Option<Arc<str>>,
    origin: Option<Arc<str>>,
}

fn shared(last: &mut Option<Arc<str>>, value: &Bytes) -> Option<Arc<str>> {
    match last {
        Some(known) if known.as_bytes() == &value[..] => Some(known.clone()),
        _ => {
            *last = text(value);
            last.clone()
        }
    }
}

impl Decoder {
    /// The attributes in `rest`, and the name of the header with the producer's own properties.
    pub(crate) fn decode(&mut self, mut rest: Bytes) -> (Attributes, Option<Arc<str>>) {
        let mut a = Attributes::default();
        let mut origin = None;
        while let Some((tag, value)) = take(&mut rest) {
            match tag {
                EXCHANGE => a.exchange = shared(&mut self.exchange, &value),
                ROUTING_KEY => a.routing_keys.push(value),
                PERSISTENT => a.persistent = true,
                PRIORITY => a.priority = value.first().copied().unwrap_or(0),
                EXPIRES => a.expires_ms = long(&value),
                DELIVER => a.deliver_ms = long(&value),
                SENT => a.sent_ms = long(&value),
                GROUP => a.group = Some(value),
                DEDUP => a.dedup = Some(value),
                MESSAGE_ID => a.message_id = Some(value),
                SOURCE => a.source = text(&value),
                DEATH => a.deaths.extend(decode_death(value)),
                ORIGIN => origin = shared(&mut self.origin, &value),
                _ => {}
            }
        }
        (a, origin)
    }
}

fn decode_death(mut rest: Bytes) -> Option<Death> {
    let (mut queue, mut found, mut exchange) = (None, None, None);
    let (mut count, mut first_ms, mut expiration) = (1, 0, None);
    let mut routing_keys = Vec::new();
    while let Some((tag, value)) = take(&mut rest) {
        match tag {
            DEATH_QUEUE => queue = text(&value),
            DEATH_REASON => found = value.first().copied().and_then(reason),
            DEATH_COUNT => count = long(&value)?.cast_unsigned(),
            DEATH_FIRST => first_ms = long(&value)?,
            DEATH_EXCHANGE => exchange = text(&value),
            DEATH_KEY => routing_keys.push(value),
            DEATH_EXPIRATION => expiration = Some(long(&value)?.cast_unsigned()),
            _ => {}
        }
    }
    Some(Death {
        queue: queue?,
        reason: found?,
        count,
        first_ms,
        exchange: exchange?,
        routing_keys,
        original_expiration_ms: expiration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Attributes {
        Attributes {
            exchange: Some(Arc::from("orders")),
            routing_keys: vec![Bytes::from_static(b"a.b"), Bytes::from_static(b"")],
            persistent: true,
            priority: 9,
            expires_ms: Some(-5),
            deliver_ms: Some(i64::MAX),
            group: Some(Bytes::from(vec![7; 300])),
            dedup: Some(Bytes::from_static(b"d")),
            message_id: Some(Bytes::from_static(b"m")),
            sent_ms: Some(1),
            source: Some(Arc::from("jobs")),
            deaths: vec![Death {
                queue: Arc::from("jobs"),
                reason: DeathReason::DeliveryLimit,
                count: 3,
                first_ms: 12,
                exchange: Arc::from(""),
                routing_keys: vec![Bytes::from_static(b"jobs")],
                original_expiration_ms: Some(u64::MAX),
            }],
            origin: None,
        }
    }

    #[test]
    fn attributes_are_read_as_written() {
        for attributes in [Attributes::default(), full()] {
            let mut bytes = Vec::new();
            encode(&attributes, &mut bytes);
            let (read, origin) = Decoder::default().decode(Bytes::from(bytes));
            assert_eq!((read, origin), (attributes, None));
        }
    }

    #[test]
    fn cut_and_changed_bytes_are_read_without_harm() {
        let mut bytes = Vec::new();
        encode(&full(), &mut bytes);
        for len in 0..bytes.len() {
            let (read, _) = Decoder::default().decode(Bytes::copy_from_slice(&bytes[..len]));
            assert_ne!(read, full(), "{len} bytes");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] = changed[at].wrapping_add(0x81);
            let _ = Decoder::default().decode(Bytes::from(changed));
        }
    }

    #[test]
    fn an_unknown_tag_is_passed_over() {
        let mut bytes = Vec::new();
        put(&mut bytes, 200, b"from later");
        encode(&full(), &mut bytes);
        assert_eq!(Decoder::default().decode(Bytes::from(bytes)).0, full());
    }
}
