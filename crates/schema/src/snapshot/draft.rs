//! What the loaders of all languages hand over: definitions by name, before they are linked.

use super::{Idempotency, Kind, Origin, Presence, Shape, WireType};

/// A field's type, of which names are not looked up yet.
#[derive(Clone, Debug)]
pub(crate) enum KindDraft {
    Scalar(Kind),
    Enum(String),
    Message(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelDraft {
    Single,
    /// Or a map: when the message is the entry of one. `packed`: whether values lie in one piece
    /// where their type allows it.
    Repeated {
        packed: bool,
    },
}

/// What only a Thrift definition says: the type of one value, and of the field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireDraft {
    pub(crate) id: i16,
    pub(crate) wire: WireType,
    pub(crate) outer: WireType,
}

#[derive(Clone, Debug)]
pub(crate) struct FieldDraft {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// `None`: the name in lowerCamelCase.
    pub(crate) json_name: Option<String>,
    pub(crate) kind: KindDraft,
    pub(crate) label: LabelDraft,
    pub(crate) presence: Presence,
    pub(crate) group: bool,
    pub(crate) oneof: Option<u16>,
    pub(crate) wire: Option<WireDraft>,
}

#[derive(Clone, Debug)]
pub(crate) struct MessageDraft {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) fields: Vec<FieldDraft>,
    pub(crate) oneofs: Vec<String>,
    pub(crate) shape: Shape,
}

#[derive(Clone, Debug)]
pub(crate) struct EnumDraft {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) values: Vec<(String, i32)>,
    pub(crate) closed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct MethodDraft {
    pub(crate) name: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) client_streams: bool,
    pub(crate) server_streams: bool,
    pub(crate) oneway: bool,
    pub(crate) idempotency: Idempotency,
    /// Field id, name of the field, name of the message.
    pub(crate) exceptions: Vec<(i16, String, String)>,
    pub(crate) bare_output: bool,
    pub(crate) options: Vec<u8>,
    pub(crate) annotations: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ServiceDraft {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) methods: Vec<MethodDraft>,
    pub(crate) options: Vec<u8>,
    pub(crate) annotations: Vec<(String, String)>,
}

/// Everything that was loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) messages: Vec<MessageDraft>,
    pub(crate) enums: Vec<EnumDraft>,
    pub(crate) services: Vec<ServiceDraft>,
    /// File and extended message of a field of Protobuf's extensions.
    pub(crate) extensions: Vec<(String, String, FieldDraft)>,
}
