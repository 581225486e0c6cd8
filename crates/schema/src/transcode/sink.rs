//! What readers tell and writers hear.

use super::bits::Keys;
use crate::error::Result;
use crate::snapshot::{Field, Kind, Message};

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The value of a field of a message.
    Field,
    /// An element of a list.
    Item,
    /// The key of an entry of a map.
    Key,
    /// The value of an entry of a map.
    Value,
}

/// A value that is no message. Its variant goes with its field's kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Double(f64),
    Float(f32),
    I32(i32),
    I64(i64),
    U32(u32),
    U64(u64),
    Bool(bool),
    Str(&'a str),
    Bytes(&'a [u8]),
    Enum(i32),
}

impl Scalar<'_> {
    /// Whether it is what absence means. Negative zero is not.
    pub(crate) fn is_zero(self) -> bool {
        match self {
            Self::Double(value) => value.to_bits() == 0,
            Self::Float(value) => value.to_bits() == 0,
            Self::I32(value) | Self::Enum(value) => value == 0,
            Self::I64(value) => value == 0,
            Self::U32(value) => value == 0,
            Self::U64(value) => value == 0,
            Self::Bool(value) => !value,
            Self::Str(value) => value.is_empty(),
            Self::Bytes(value) => value.is_empty(),
        }
    }

    /// What tells keys of one map apart.
    pub(crate) fn fingerprint(self, names: &base::HashMap<Box<str>, crate::MessageId>) -> u64 {
        match self {
            Self::Str(text) => Keys::of_text(names, text.as_bytes()),
            Self::Bytes(bytes) => Keys::of_text(names, bytes),
            Self::I32(value) | Self::Enum(value) => i64::from(value).cast_unsigned(),
            Self::I64(value) => value.cast_unsigned(),
            Self::U32(value) => u64::from(value),
            Self::U64(value) => value,
            Self::Bool(value) => u64::from(value),
            Self::Double(value) => value.to_bits(),
            Self::Float(value) => u64::from(value.to_bits()),
        }
    }

    /// The zero of a kind; of a message there is none.
    pub(crate) fn zero(kind: Kind, first: impl FnOnce(crate::EnumId) -> i32) -> Option<Self> {
        Some(match kind {
            Kind::Double => Self::Double(0.0),
            Kind::Float => Self::Float(0.0),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Self::I32(0),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Self::I64(0),
            Kind::Uint32 | Kind::Fixed32 => Self::U32(0),
            Kind::Uint64 | Kind::Fixed64 => Self::U64(0),
            Kind::Bool => Self::Bool(false),
            Kind::String => Self::Str(""),
            Kind::Bytes => Self::Bytes(&[]),
            Kind::Enum(id) => Self::Enum(first(id)),
            Kind::Message(_) => return None,
        })
    }
}

/// A writer. Calls come as the grammar of messages has it: `start`, fields, `finish`; a field is a
/// scalar, or `open` fields `close`, or `open_list` items `close_list`, or `open_map` and entries of
/// key and value, `close_map`. A field of a message comes at most once if [`Self::ORDERED`].
pub(crate) trait Sink<'s> {
    /// Whether a field must come once and in one piece.
    const ORDERED: bool;

    fn start(&mut self, message: &'s Message) -> Result<()>;
    fn finish(&mut self) -> Result<()>;
    /// A field of Protobuf that the schema does not know, tag included. Gives whether it is kept.
    fn unknown(&mut self, _field: &[u8]) -> Result<bool> {
        Ok(false)
    }
    /// Forgets everything; from now on nested messages are read through an index too.
    fn restart(&mut self);

    fn scalar(&mut self, place: Place, field: &'s Field, value: Scalar<'_>) -> Result<()>;
    fn open(&mut self, place: Place, field: &'s Field, message: &'s Message) -> Result<()>;
    fn close(&mut self, field: &'s Field) -> Result<()>;
    fn open_list(&mut self, field: &'s Field) -> Result<()>;
    fn close_list(&mut self, field: &'s Field, count: usize) -> Result<()>;
    fn open_map(&mut self, field: &'s Field) -> Result<()>;
    fn close_map(&mut self, field: &'s Field, count: usize) -> Result<()>;
    fn open_entry(&mut self, field: &'s Field) -> Result<()>;
    fn close_entry(&mut self, field: &'s Field) -> Result<()>;
}
