//! The methods that every message costs, without a detour over [`super::Method`]: arguments stay
//! borrowed, frames are written in one go.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEAD, FRAME_HEADER, FRAME_METHOD, Front, Malformed,
    Reader,
};

/// `basic.publish`, as the first four bytes of a method's payload.
pub const PUBLISH: [u8; 4] = ids(40);
/// `basic.ack`
pub const ACK: [u8; 4] = ids(80);
/// `basic.reject`
pub const REJECT: [u8; 4] = ids(90);
/// `basic.nack`
pub const NACK: [u8; 4] = ids(120);

const fn ids(method: u8) -> [u8; 4] {
    [0, CLASS_BASIC.to_be_bytes()[1], 0, method]
}

/// The arguments of `basic.publish`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where to.
    pub exchange: &'a [u8],
    /// The routing key.
    pub routing_key: &'a [u8],
    /// Whether it comes back when no queue wants it.
    pub mandatory: bool,
    /// Never served.
    pub immediate: bool,
}

/// Reads `basic.publish` from a payload that begins with [`PUBLISH`].
///
/// # Errors
/// Arguments that are malformed.
pub fn publish(payload: &[u8]) -> Result<Publish<'_>, Malformed> {
    let mut reader = Reader::new(payload);
    reader.take(6)?;
    let exchange = reader.short_bytes()?;
    let routing_key = reader.short_bytes()?;
    let bits = reader.u8()?;
    reader.end()?;
    Ok(Publish {
        exchange,
        routing_key,
        mandatory: bits & 1 != 0,
        immediate: bits & 2 != 0,
    })
}

/// A settlement: `basic.ack`, `basic.nack` or `basic.reject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which method it was.
    pub method: u16,
    /// The delivery; 0 with `multiple` means all.
    pub tag: u64,
    /// All up to and with `tag`.
    pub multiple: bool,
    /// Whether it goes back to the queue; of a negative one.
    pub requeue: bool,
}

/// Reads a settlement, if the payload is one.
///
/// # Errors
/// Arguments that are malformed.
pub fn settlement(payload: &[u8]) -> Result<Option<Settlement>, Malformed> {
    let Some((ids, arguments)) = payload.split_first_chunk::<4>() else {
        return Ok(None);
    };
    if !matches!(*ids, ACK | REJECT | NACK) {
        return Ok(None);
    }
    let mut reader = Reader::new(arguments);
    let (tag, bits) = (reader.u64()?, reader.u8()?);
    reader.end()?;
    let (multiple, requeue) = match *ids {
        REJECT => (false, bits & 1 != 0),
        NACK => (bits & 1 != 0, bits & 2 != 0),
        _ => (bits & 1 != 0, false),
    };
    Ok(Some(Settlement {
        method: u16::from(ids[3]),
        tag,
        multiple,
        requeue,
    }))
}

/// Whether the whole frame at the front of `input` is a publish.
#[must_use]
pub fn is_publish(input: &[u8], front: Front) -> bool {
    front.kind == FRAME_METHOD
        && front.size >= PUBLISH.len()
        && input.get(FRAME_HEAD..FRAME_HEAD + PUBLISH.len()) == Some(&PUBLISH[..])
}

/// Whether the whole frame at the front of `input` is a settlement.
#[must_use]
pub fn is_settlement(input: &[u8], front: Front) -> bool {
    let ids = input.get(FRAME_HEAD..FRAME_HEAD + 4);
    front.kind == FRAME_METHOD
        && front.size >= 4
        && [ACK, REJECT, NACK]
            .iter()
            .any(|wanted| ids == Some(&wanted[..]))
}

/// What `basic.deliver` says of a message.
#[derive(Clone, Copy, Debug)]
pub struct Deliver<'a> {
    /// Whose.
    pub consumer_tag: &'a [u8],
    /// The delivery.
    pub tag: u64,
    /// Whether it may have been seen before.
    pub redelivered: bool,
    /// Where it was published to.
    pub exchange: &'a [u8],
    /// With which key.
    pub routing_key: &'a [u8],
}

/// At most 255: names are short strings since they came in.
fn put_short(out: &mut BytesMut, bytes: &[u8]) {
    let bytes = bytes.get(..255).unwrap_or(bytes);
    out.put_u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(bytes);
}

fn short_len(bytes: &[u8]) -> usize {
    1 + bytes.len().min(255)
}

fn put_front(out: &mut BytesMut, kind: u8, channel: u16, size: usize) {
    out.put_u8(kind);
    out.put_u16(channel);
    out.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
}

/// Appends `basic.deliver`.
pub fn put_deliver(out: &mut BytesMut, channel: u16, deliver: &Deliver<'_>) {
    let size = 4
        + short_len(deliver.consumer_tag)
        + 9
        + short_len(deliver.exchange)
        + short_len(deliver.routing_key);
    put_front(out, FRAME_METHOD, channel, size);
    out.extend_from_slice(&ids(60));
    put_short(out, deliver.consumer_tag);
    out.put_u64(deliver.tag);
    out.put_u8(u8::from(deliver.redelivered));
    put_short(out, deliver.exchange);
    put_short(out, deliver.routing_key);
    out.put_u8(FRAME_END);
}

/// Appends `basic.ack` (of the server: a confirm).
pub fn put_ack(out: &mut BytesMut, channel: u16, tag: u64, multiple: bool) {
    put_front(out, FRAME_METHOD, channel, 13);
    out.extend_from_slice(&ACK);
    out.put_u64(tag);
    out.put_u8(u8::from(multiple));
    out.put_u8(FRAME_END);
}

/// Appends `basic.nack` (of the server).
pub fn put_nack(out: &mut BytesMut, channel: u16, tag: u64, multiple: bool) {
    put_front(out, FRAME_METHOD, channel, 13);
    out.extend_from_slice(&NACK);
    out.put_u64(tag);
    out.put_u8(u8::from(multiple));
    out.put_u8(FRAME_END);
}

/// Appends a content's header.
pub fn put_content_header(out: &mut BytesMut, channel: u16, body_size: usize, properties: &[u8]) {
    put_front(out, FRAME_HEADER, channel, 12 + properties.len());
    out.put_u16(CLASS_BASIC);
    out.put_u16(0);
    out.put_u64(body_size as u64);
    out.extend_from_slice(properties);
    out.put_u8(FRAME_END);
}

/// Appends a body in frames of at most `payload_max` bytes of it.
pub fn put_body(out: &mut net::head::Output, channel: u16, body: &Bytes, payload_max: usize) {
    let mut rest = body.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(payload_max.max(1)));
        put_front(out.buf(), FRAME_BODY, channel, piece.len());
        out.push(piece);
        out.buf().put_u8(FRAME_END);
    }
}
