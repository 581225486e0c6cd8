//! What calls and transcoding run on: every message, enum, service and method of one version of the
//! schemas, resolved to indexes. A snapshot never changes; a reload builds a new one beside it, and
//! whoever holds an old one keeps it until its calls have ended.

mod draft;
mod field;
mod link;
mod message;
mod service;

pub(crate) use draft::Draft;
pub(crate) use draft::{
    EnumDraft, FieldDraft, KindDraft, LabelDraft, MessageDraft, MethodDraft, ServiceDraft,
    WireDraft,
};
pub(crate) use field::{Encoding, Label, NO_ONEOF, WireType};
pub use field::{Field, Kind, Presence};
pub(crate) use link::link;
pub use message::{Enum, Message};
pub(crate) use message::{Shape, WellKnown};
pub use service::{Exception, Idempotency, Method, Origin, Service};

use base::HashMap;

/// A message of a [`Snapshot`]: its index. Means nothing in another snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub(crate) u32);

/// An enum of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnumId(pub(crate) u32);

/// A service of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub(crate) u32);

/// A method of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodId(pub(crate) u32);

/// One version of the schemas. Made by [`crate::Loader`].
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
    pub(crate) services: Vec<Service>,
    pub(crate) methods: Vec<Method>,
    pub(crate) message_names: HashMap<Box<str>, MessageId>,
    pub(crate) enum_names: HashMap<Box<str>, EnumId>,
    pub(crate) service_names: HashMap<Box<str>, ServiceId>,
    pub(crate) method_names: HashMap<Box<str>, MethodId>,
}

impl Snapshot {
    /// The message with this full name (`package.Outer.Inner`).
    #[must_use]
    pub fn find_message(&self, name: &str) -> Option<MessageId> {
        self.message_names.get(name).copied()
    }

    /// The enum with this full name.
    #[must_use]
    pub fn find_enum(&self, name: &str) -> Option<EnumId> {
        self.enum_names.get(name).copied()
    }

    /// The service with this full name.
    #[must_use]
    pub fn find_service(&self, name: &str) -> Option<ServiceId> {
        self.service_names.get(name).copied()
    }

    /// The method `package.Service/Method`.
    #[must_use]
    pub fn find_method(&self, name: &str) -> Option<MethodId> {
        self.method_names.get(name).copied()
    }

    /// A message. An id of another snapshot gives another message, or panics.
    #[must_use]
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// An enum. An id of another snapshot gives another enum, or panics.
    #[must_use]
    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }

    /// A service. An id of another snapshot gives another service, or panics.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }

    /// A method. An id of another snapshot gives another method, or panics.
    #[must_use]
    pub fn method(&self, id: MethodId) -> &Method {
        &self.methods[id.0 as usize]
    }

    /// Key and value of a map's entries.
    pub(crate) fn entry(&self, map: &Field) -> Option<(&Field, &Field)> {
        self.message(map.kind.message()?).entry()
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        (0..).map(ServiceId).zip(&self.services)
    }

    /// All messages, without the entries of maps and what was made up for containers in containers.
    pub fn messages(&self) -> impl Iterator<Item = (MessageId, &Message)> {
        let all = (0..).map(MessageId).zip(&self.messages);
        all.filter(|(_, message)| !matches!(message.shape, Shape::Entry | Shape::Container))
    }

    /// All enums.
    pub fn enums(&self) -> impl Iterator<Item = (EnumId, &Enum)> {
        (0..).map(EnumId).zip(&self.enums)
    }
}
