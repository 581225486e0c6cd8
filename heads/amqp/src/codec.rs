//! Frames, methods, contents.
//!
//! A frame is `type, channel, size, payload, 0xCE`. A method is a class, an id and arguments; one
//! that carries a content is followed by a header frame (class, size, properties) and as many body
//! frames as the size needs. Properties stay opaque bytes that are walked only when their flags
//! say that there is something to see ([`properties`]).
//!
//! The methods of every message (publish, deliver, ack and their kin) have functions of their own
//! in [`hot`]; all methods are in the table of [`methods`].

pub mod hot;
pub mod methods;
pub mod properties;
pub mod reader;
pub mod value;
pub mod writer;

use bytes::{BufMut, BytesMut};

pub use methods::Method;
pub use reader::Reader;
pub use value::{Table, Value};
pub use writer::Writer;

/// A short text: a name, a routing key.
pub type Name = Box<str>;

/// What a client opens with.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// The same in the words of version 0-9, which some clients send and mean 0-9-1.
pub const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// A frame with a method.
pub const FRAME_METHOD: u8 = 1;
/// A frame with a content's header.
pub const FRAME_HEADER: u8 = 2;
/// A frame with a piece of a content's body.
pub const FRAME_BODY: u8 = 3;
/// A sign of life.
pub const FRAME_HEARTBEAT: u8 = 8;
/// What every frame ends with.
pub const FRAME_END: u8 = 0xCE;
/// What a frame has in front of its payload.
pub const FRAME_HEAD: usize = 7;
/// What a frame has besides its payload.
pub const FRAME_OVERHEAD: usize = 8;
/// The class of contents.
pub const CLASS_BASIC: u16 = 60;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A length passes the end.
    Short,
    /// Something follows the last argument.
    Trailing,
    /// A short string is not UTF-8.
    NotUtf8,
    /// A value's type is unknown.
    UnknownType(u8),
    /// Tables or arrays are nested too deep.
    TooDeep,
    /// There is no such method.
    UnknownMethod(u16, u16),
    /// The end of a frame is not there.
    FrameEnd,
    /// A frame is larger than was agreed on.
    FrameSize(usize),
    /// A frame of a type that nobody knows.
    FrameType(u8),
    /// A content's header is not one.
    ContentHeader,
}

/// The front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// The type.
    pub kind: u8,
    /// The channel; 0 is the connection.
    pub channel: u16,
    /// The payload's length.
    pub size: usize,
}

impl Front {
    /// The frame's length with all that is around the payload.
    #[must_use]
    pub fn whole(self) -> usize {
        self.size + FRAME_OVERHEAD
    }
}

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Less than a frame: this many bytes are needed.
    Need(usize),
    /// A whole frame.
    Whole(Front),
}

/// Looks for a frame whose payload has at most `payload_max` bytes.
///
/// # Errors
/// A frame that is too large, of an unknown type, or does not end as it should.
pub fn look(input: &[u8], payload_max: usize) -> Result<Look, Malformed> {
    let Some((head, rest)) = input.split_first_chunk::<FRAME_HEAD>() else {
        return Ok(Look::Need(FRAME_HEAD));
    };
    let [kind, c0, c1, s0, s1, s2, s3] = *head;
    let size = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
    if !matches!(
        kind,
        FRAME_METHOD | FRAME_HEADER | FRAME_BODY | FRAME_HEARTBEAT
    ) {
        return Err(Malformed::FrameType(kind));
    }
    if size > payload_max {
        return Err(Malformed::FrameSize(size));
    }
    let front = Front {
        kind,
        channel: u16::from_be_bytes([c0, c1]),
        size,
    };
    match rest.get(size) {
        None => Ok(Look::Need(front.whole())),
        Some(&FRAME_END) => Ok(Look::Whole(front)),
        Some(_) => Err(Malformed::FrameEnd),
    }
}

/// The payload of the whole frame at the front of `input`; empty when there is none.
#[must_use]
pub fn payload(input: &[u8], front: Front) -> &[u8] {
    input
        .get(FRAME_HEAD..FRAME_HEAD + front.size)
        .unwrap_or_default()
}

/// Appends a frame whose payload `write` writes.
pub fn put_frame(out: &mut BytesMut, kind: u8, channel: u16, write: impl FnOnce(&mut Writer<'_>)) {
    out.put_u8(kind);
    out.put_u16(channel);
    let at = out.len();
    out.put_u32(0);
    write(&mut Writer::new(out));
    let size = out.len().saturating_sub(at).saturating_sub(4);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    if let Some(hole) = out.get_mut(at..at + 4) {
        hole.copy_from_slice(&size.to_be_bytes());
    }
    out.put_u8(FRAME_END);
}

/// Appends a method.
pub fn put_method(out: &mut BytesMut, channel: u16, method: &Method) {
    put_frame(out, FRAME_METHOD, channel, |writer| method.encode(writer));
}

/// A content's header, but for the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The body's length.
    pub body_size: u64,
    /// The properties: flags, and the values that they announce.
    pub properties: &'a [u8],
}

/// Reads a content's header.
///
/// # Errors
/// A class or weight that cannot be, or flags that announce more flags.
pub fn content_header(payload: &[u8]) -> Result<ContentHeader<'_>, Malformed> {
    let mut reader = Reader::new(payload);
    let (class, weight) = (reader.u16()?, reader.u16()?);
    let body_size = reader.u64()?;
    let properties = reader.rest();
    let flags = reader.u16()?;
    // The lowest bit announces another word of flags, which no version has ever used; the one
    // above it has no property.
    if class != CLASS_BASIC || weight != 0 || flags & 0b11 != 0 {
        return Err(Malformed::ContentHeader);
    }
    Ok(ContentHeader {
        body_size,
        properties,
    })
}

#[cfg(test)]
mod tests;
