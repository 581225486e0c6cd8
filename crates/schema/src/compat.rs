//! What a new snapshot changes for those who have the old one: callers, callees and stored messages.
//!
//! Messages follow Confluent's rules for Protobuf, which go by field number: what was written with
//! one version has to be read with the other. Services are compared too, for a call's name and types
//! are what its callers hold. What is not compared: options, reserved numbers, the order of things.

use base::HashMap;

use crate::snapshot::{Field, Kind, Label, Message, MessageId, NO_ONEOF, Presence, Snapshot};

/// What kind of change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A message is gone.
    MessageRemoved,
    /// A message is new.
    MessageAdded,
    /// An enum is gone.
    EnumRemoved,
    /// A number of an enum is gone or has another name, which JSON sees.
    EnumValueChanged,
    /// A field is new.
    FieldAdded,
    /// A field is gone; its values are unknown fields now.
    FieldRemoved,
    /// A field has another name, which JSON sees.
    FieldRenamed,
    /// A field is a scalar, a message or a map, and was another of them.
    FieldKindChanged,
    /// A field's type is written in another way.
    FieldTypeChanged,
    /// A field's message is another one.
    FieldMessageChanged,
    /// A number or enum became a list, or the other way round, with presence written down.
    FieldLabelChanged,
    /// A required field is new.
    RequiredAdded,
    /// A required field is gone, or no longer required.
    RequiredRemoved,
    /// A field of a oneof that lives on is gone.
    OneofFieldRemoved,
    /// Fields that could be set together are in one oneof.
    MovedIntoOneof,
    /// Thrift's type or id of a field is another one.
    WireTypeChanged,
    /// A service is gone.
    ServiceRemoved,
    /// A method is gone.
    MethodRemoved,
    /// A method is called with, or answers, another message.
    MethodTypeChanged,
    /// A method's streams are others.
    MethodStreamsChanged,
    /// Whether somebody waits for a method's answer.
    MethodOnewayChanged,
}

impl Rule {
    /// Whether it breaks those who have the other version.
    #[must_use]
    pub fn is_breaking(self) -> bool {
        !matches!(
            self,
            Self::MessageAdded
                | Self::EnumRemoved
                | Self::EnumValueChanged
                | Self::FieldAdded
                | Self::FieldRemoved
                | Self::FieldRenamed
        )
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What kind it is.
    pub rule: Rule,
    /// What changed: `package.Message.field`, `package.Service/Method`.
    pub symbol: String,
}

impl Snapshot {
    /// Everything that is not as it was in `old`, breaking or not, in the order of the symbols.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<Change> {
        let mut comparison = Comparison {
            old,
            new: self,
            changes: Vec::new(),
        };
        comparison.messages();
        comparison.enums();
        comparison.services();
        let mut changes = comparison.changes;
        changes.sort_by(|a, b| (&a.symbol, a.rule).cmp(&(&b.symbol, b.rule)));
        changes
    }

    /// Those of [`Self::changes_since`] that break somebody.
    #[must_use]
    pub fn breaking_changes_since(&self, old: &Self) -> Vec<Change> {
        let mut changes = self.changes_since(old);
        changes.retain(|change| change.rule.is_breaking());
        changes
    }
}

struct Comparison<'a> {
    old: &'a Snapshot,
    new: &'a Snapshot,
    changes: Vec<Change>,
}

/// Types between which values can be read as each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Varint,
    Zigzag,
    Blob,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Message,
}

fn group(kind: Kind) -> Group {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            Group::Varint
        }
        Kind::Sint32 | Kind::Sint64 => Group::Zigzag,
        Kind::String | Kind::Bytes => Group::Blob,
        Kind::Fixed32 | Kind::Sfixed32 => Group::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Group::Fixed64,
        Kind::Float => Group::Float,
        Kind::Double => Group::Double,
        Kind::Message(_) => Group::Message,
    }
}

/// Scalar, message or map.
fn family(field: &Field) -> u8 {
    match (field.label, field.kind) {
        (Label::Map, _) => 2,
        (_, Kind::Message(_)) => 1,
        _ => 0,
    }
}

impl Comparison<'_> {
    fn note(&mut self, rule: Rule, symbol: impl Into<String>) {
        let symbol = symbol.into();
        self.changes.push(Change { rule, symbol });
    }

    fn messages(&mut self) {
        for (_, message) in self.old.messages() {
            match self.new.find_message(message.name()) {
                Some(id) => self.message(message, self.new.message(id)),
                None => self.note(Rule::MessageRemoved, message.name()),
            }
        }
        for (_, message) in self.new.messages() {
            if self.old.find_message(message.name()).is_none() {
                self.note(Rule::MessageAdded, message.name());
            }
        }
    }

    fn message(&mut self, old: &Message, new: &Message) {
        for field in &old.fields {
            let symbol = format!("{}.{}", old.name(), field.name);
            match new.field(field.number) {
                Some(now) => self.field(&symbol, field, now),
                None => self.removed(&symbol, old, new, field),
            }
        }
        for field in &new.fields {
            if old.field(field.number).is_none() {
                let required = field.presence == Presence::Required;
                let rule = if required {
                    Rule::RequiredAdded
                } else {
                    Rule::FieldAdded
                };
                self.note(rule, format!("{}.{}", new.name(), field.name));
            }
        }
        self.oneofs(old, new);
    }

    fn removed(&mut self, symbol: &str, old: &Message, new: &Message, field: &Field) {
        let rule = if field.presence == Presence::Required {
            Rule::RequiredRemoved
        } else if field.oneof != NO_ONEOF && lives_on(old, new, field.oneof) {
            Rule::OneofFieldRemoved
        } else {
            Rule::FieldRemoved
        };
        self.note(rule, symbol);
    }

    fn field(&mut self, symbol: &str, old: &Field, new: &Field) {
        if old.name != new.name || old.json_name != new.json_name {
            self.note(Rule::FieldRenamed, symbol);
        }
        match (
            old.presence == Presence::Required,
            new.presence == Presence::Required,
        ) {
            (false, true) => self.note(Rule::RequiredAdded, symbol),
            (true, false) => self.note(Rule::RequiredRemoved, symbol),
            _ => {}
        }
        if family(old) != family(new) {
            return self.note(Rule::FieldKindChanged, symbol);
        }
        if (old.id, old.wire, old.outer) != (new.id, new.wire, new.outer)
            && group(old.kind) == group(new.kind)
            && old.label == new.label
        {
            self.note(Rule::WireTypeChanged, symbol);
        }
        if let (Label::Map, Kind::Message(was), Kind::Message(is)) = (old.label, old.kind, new.kind)
        {
            return self.map(symbol, was, is);
        }
        self.kinds(symbol, old.kind, new.kind);
        // One value is read as a list of one, but a list of numbers in one piece is no number.
        let written =
            |field: &Field| field.label == Label::Repeated || field.presence == Presence::Explicit;
        let blob = matches!(group(old.kind), Group::Blob | Group::Message);
        if !blob && old.label != new.label && written(old) && written(new) {
            self.note(Rule::FieldLabelChanged, symbol);
        }
    }

    fn kinds(&mut self, symbol: &str, old: Kind, new: Kind) {
        if group(old) != group(new) {
            self.note(Rule::FieldTypeChanged, symbol);
        } else if let (Kind::Message(was), Kind::Message(is)) = (old, new) {
            let (was, is) = (self.old.message(was), self.new.message(is));
            if was.name != is.name {
                self.note(Rule::FieldMessageChanged, symbol);
            }
        }
    }

    fn map(&mut self, symbol: &str, was: MessageId, is: MessageId) {
        let entries = (self.old.message(was).entry(), self.new.message(is).entry());
        if let (Some((key, value)), Some((new_key, new_value))) = entries {
            self.kinds(symbol, key.kind, new_key.kind);
            self.kinds(symbol, value.kind, new_value.kind);
        }
    }

    /// Fields that could be set together must not exclude each other.
    fn oneofs(&mut self, old: &Message, new: &Message) {
        let mut origins: HashMap<u16, Vec<(u16, u32)>> = HashMap::default();
        for field in new.fields.iter().filter(|field| field.oneof != NO_ONEOF) {
            if let Some(was) = old.field(field.number) {
                origins
                    .entry(field.oneof)
                    .or_default()
                    .push((was.oneof, was.number));
            }
        }
        for (oneof, from) in origins {
            let alone = from.iter().filter(|(oneof, _)| *oneof == NO_ONEOF).count();
            let mut before: Vec<_> = from.iter().map(|(oneof, _)| *oneof).collect();
            before.retain(|oneof| *oneof != NO_ONEOF);
            before.sort_unstable();
            before.dedup();
            if alone + before.len() > 1
                && let Some(name) = new.oneofs.get(usize::from(oneof))
            {
                self.note(Rule::MovedIntoOneof, format!("{}.{name}", new.name()));
            }
        }
    }

    fn enums(&mut self) {
        for (_, it) in self.old.enums() {
            let Some(id) = self.new.find_enum(it.name()) else {
                self.note(Rule::EnumRemoved, it.name());
                continue;
            };
            let new = self.new.enumeration(id);
            for (number, name) in it.values() {
                if new.number_of(name) != Some(number) {
                    self.note(Rule::EnumValueChanged, format!("{}.{name}", it.name()));
                }
            }
        }
    }

    fn services(&mut self) {
        for (_, service) in self.old.services() {
            if self.new.find_service(service.name()).is_none() {
                self.note(Rule::ServiceRemoved, service.name());
                continue;
            }
            for id in service.methods() {
                self.method(service.name(), self.old.method(*id));
            }
        }
    }

    fn method(&mut self, service: &str, old: &crate::Method) {
        let symbol = format!("{service}/{}", old.name());
        let Some(id) = self.new.find_method(&symbol) else {
            return self.note(Rule::MethodRemoved, symbol);
        };
        let new = self.new.method(id);
        let types = |snapshot: &Snapshot, method: &crate::Method| {
            let name = |id| snapshot.message(id).name().to_owned();
            (
                name(method.input()),
                name(method.output()),
                method.bare_output(),
            )
        };
        if types(self.old, old) != types(self.new, new) {
            self.note(Rule::MethodTypeChanged, symbol.clone());
        }
        let streams = |method: &crate::Method| (method.client_streams(), method.server_streams());
        if streams(old) != streams(new) {
            self.note(Rule::MethodStreamsChanged, symbol.clone());
        }
        if old.oneway() != new.oneway() {
            self.note(Rule::MethodOnewayChanged, symbol);
        }
    }
}

/// Whether a oneof of the old message is still there, by its name or by one of its fields.
fn lives_on(old: &Message, new: &Message, oneof: u16) -> bool {
    let name = old.oneofs.get(usize::from(oneof));
    let survives = |field: &&Field| field.oneof == oneof && new.field(field.number).is_some();
    name.is_some_and(|name| new.oneofs.contains(name)) || old.fields.iter().any(|f| survives(&f))
}
