//! One field: how it is named, counted, encoded and when it is there.

use super::{EnumId, MessageId};

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit floating point.
    Double,
    /// 32-bit floating point.
    Float,
    /// Signed, variable length, long when negative.
    Int32,
    /// Signed, variable length, long when negative.
    Int64,
    /// Unsigned, variable length.
    Uint32,
    /// Unsigned, variable length.
    Uint64,
    /// Signed, variable length, short when near zero.
    Sint32,
    /// Signed, variable length, short when near zero.
    Sint64,
    /// Unsigned, four bytes.
    Fixed32,
    /// Unsigned, eight bytes.
    Fixed64,
    /// Signed, four bytes.
    Sfixed32,
    /// Signed, eight bytes.
    Sfixed64,
    /// True or false.
    Bool,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Bytes,
    /// A number with a name.
    Enum(EnumId),
    /// A message; of a map, its entry: key 1 and value 2.
    Message(MessageId),
}

impl Kind {
    /// The message of a message.
    #[must_use]
    pub fn message(self) -> Option<MessageId> {
        if let Self::Message(id) = self {
            return Some(id);
        }
        None
    }
}

/// When a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Zero is the same as absent.
    Implicit,
    /// Set or not set.
    Explicit,
    /// A message without it is an error.
    Required,
}

/// How many values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Single,
    Repeated,
    Map,
}

/// What a value looks like in Protobuf's wire format; the tag's lower three bits follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Varint,
    Zigzag,
    Fixed32,
    Fixed64,
    Length,
    Group,
}

impl Encoding {
    pub(crate) fn of(kind: Kind, group: bool) -> Self {
        match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Self::Fixed64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Self::Fixed32,
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Bool
            | Kind::Enum(_) => Self::Varint,
            Kind::Sint32 | Kind::Sint64 => Self::Zigzag,
            Kind::Message(_) if group => Self::Group,
            Kind::String | Kind::Bytes | Kind::Message(_) => Self::Length,
        }
    }

    pub(crate) fn wire(self) -> u32 {
        match self {
            Self::Varint | Self::Zigzag => 0,
            Self::Fixed64 => 1,
            Self::Length => 2,
            Self::Group => 3,
            Self::Fixed32 => 5,
        }
    }

    /// Whether values of a repeated field may lie in one piece.
    pub(crate) fn packable(self) -> bool {
        !matches!(self, Self::Length | Self::Group)
    }
}

/// Thrift's types, by their number in its binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Bool,
    I8,
    Double,
    I16,
    I32,
    I64,
    String,
    Struct,
    Map,
    Set,
    List,
    Uuid,
}

impl WireType {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Double | Kind::Float => Self::Double,
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => Self::I32,
            // The only signed type that holds them all.
            Kind::Int64
            | Kind::Sint64
            | Kind::Sfixed64
            | Kind::Uint32
            | Kind::Fixed32
            | Kind::Uint64
            | Kind::Fixed64 => Self::I64,
            Kind::Bool => Self::Bool,
            Kind::String | Kind::Bytes => Self::String,
            Kind::Message(_) => Self::Struct,
        }
    }
}

/// The oneof of a field that is in none.
pub(crate) const NO_ONEOF: u16 = u16::MAX;

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its place among the fields of its message.
    pub(crate) index: u16,
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// `,"jsonName":`, as it stands in an object behind another member.
    pub(crate) key: Box<[u8]>,
    /// The same with the original name.
    pub(crate) original_key: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) label: Label,
    pub(crate) presence: Presence,
    pub(crate) packed: bool,
    pub(crate) oneof: u16,
    pub(crate) encoding: Encoding,
    /// Number and wire type of one value, unpacked.
    pub(crate) tag: u32,
    /// The tag that begins the field when it is written, as a varint: packed where that is wanted.
    pub(crate) tag_bytes: [u8; 5],
    pub(crate) tag_length: u8,
    /// Thrift's field id; `None` when the number does not fit.
    pub(crate) id: Option<i16>,
    /// Thrift's type of one value.
    pub(crate) wire: WireType,
    /// Thrift's type of the field.
    pub(crate) outer: WireType,
}

impl Field {
    /// Its number on the wire.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its name where it was written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name in JSON.
    #[must_use]
    pub fn json_name(&self) -> &str {
        &self.json_name
    }

    /// The type of its values; of a map, of its entries.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.label == Label::Repeated
    }

    /// Whether it is a map.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.label == Label::Map
    }

    /// When it is there. Lists and maps are implicit.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// Whether it is in a oneof.
    #[must_use]
    pub fn is_in_oneof(&self) -> bool {
        self.oneof != NO_ONEOF
    }

    pub(crate) fn tag_bytes(&self) -> &[u8] {
        &self.tag_bytes[..usize::from(self.tag_length)]
    }

    /// Whether zero is not written.
    pub(crate) fn hides_zero(&self) -> bool {
        self.presence == Presence::Implicit && self.label == Label::Single
    }
}
