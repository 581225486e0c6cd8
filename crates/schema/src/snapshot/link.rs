//! From definitions by name to tables by index.

use base::HashMap;

use super::draft::{FieldDraft, KindDraft, LabelDraft, MessageDraft, ServiceDraft};
use super::message::WellKnown;
use super::{
    Draft, Encoding, Enum, EnumId, Exception, Field, Kind, Label, Message, MessageId, Method,
    MethodId, NO_ONEOF, Presence, Service, ServiceId, Shape, Snapshot, WireType,
};
use crate::load::Problem;

/// The most fields of a message: an index is 16 bits, with one value to spare.
const FIELDS_MAX: usize = u16::MAX as usize - 1;

/// Names on their way to indexes, with everything that is wrong.
struct Links {
    snapshot: Snapshot,
    /// For each message whether it is the entry of a map.
    entries: Vec<bool>,
    problems: Vec<Problem>,
}

/// Links everything, or says all that is wrong.
pub(crate) fn link(draft: Draft) -> Result<Snapshot, Vec<Problem>> {
    let mut links = Links {
        snapshot: Snapshot::default(),
        entries: draft
            .messages
            .iter()
            .map(|m| m.shape == Shape::Entry)
            .collect(),
        problems: Vec::new(),
    };
    links.names(&draft);
    links.enums(&draft);
    let mut extensions: HashMap<String, Vec<(String, FieldDraft)>> = HashMap::default();
    for (file, message, field) in draft.extensions {
        extensions.entry(message).or_default().push((file, field));
    }
    for message in draft.messages {
        let more = extensions.remove(&message.name).unwrap_or_default();
        links.message(message, more);
    }
    links.promises();
    for service in draft.services {
        links.service(service);
    }
    if links.problems.is_empty() {
        Ok(links.snapshot)
    } else {
        Err(links.problems)
    }
}

impl Links {
    fn problem(&mut self, file: &str, symbol: &str, what: impl Into<String>) {
        self.problems.push(Problem::new(file, symbol, what));
    }

    /// Gives every name its index before anything is looked up.
    fn names(&mut self, draft: &Draft) {
        for (id, message) in (0..).zip(&draft.messages) {
            let name = message.name.as_str().into();
            let old = self.snapshot.message_names.insert(name, MessageId(id));
            if old.is_some() {
                self.problem(&message.file, &message.name, "is defined twice");
            }
        }
        for (id, it) in (0..).zip(&draft.enums) {
            let name = it.name.as_str().into();
            let old = self.snapshot.enum_names.insert(name, EnumId(id));
            let clash = self.snapshot.message_names.contains_key(it.name.as_str());
            if old.is_some() || clash {
                self.problem(&it.file, &it.name, "is defined twice");
            }
        }
    }

    fn enums(&mut self, draft: &Draft) {
        for it in &draft.enums {
            let mut values: Vec<(i32, Box<str>)> = Vec::new();
            let mut numbers = HashMap::default();
            for (name, number) in &it.values {
                let name: Box<str> = name.as_str().into();
                if numbers.insert(name.clone(), *number).is_some() {
                    self.problem(&it.file, &it.name, format!("has two values `{name}`"));
                }
                values.push((*number, name));
            }
            if values.is_empty() {
                self.problem(&it.file, &it.name, "has no values");
            }
            let first = values.first().map_or(0, |(number, _)| *number);
            // Stable: of aliases the first one stays in front.
            values.sort_by_key(|(number, _)| *number);
            values.dedup_by_key(|(number, _)| *number);
            self.snapshot.enums.push(Enum {
                name: it.name.as_str().into(),
                values: values.into(),
                numbers,
                closed: it.closed,
                null: it.name == "google.protobuf.NullValue",
                first,
                file: it.file.as_str().into(),
            });
        }
    }

    fn message(&mut self, draft: MessageDraft, extensions: Vec<(String, FieldDraft)>) {
        let mut fields = Vec::new();
        if draft.fields.len() + extensions.len() > FIELDS_MAX {
            self.problem(&draft.file, &draft.name, "has too many fields");
        }
        let own = draft.fields.into_iter().map(|f| (draft.file.clone(), f));
        for (file, field) in own.chain(extensions) {
            let symbol = format!("{}.{}", draft.name, field.name);
            match self.field(field) {
                Ok(field) => fields.push(field),
                Err(what) => self.problem(&file, &symbol, what),
            }
        }
        let mut message = Message {
            known: WellKnown::of(&draft.name),
            demanding: fields.iter().any(|f| f.presence == Presence::Required),
            name: draft.name.into(),
            fields: fields.into(),
            dense: Box::default(),
            names: HashMap::default(),
            oneofs: draft.oneofs.into_iter().map(Into::into).collect(),
            shape: draft.shape,
            file: draft.file.into(),
        };
        message.index();
        let twice = message.fields.windows(2).find_map(|pair| match pair {
            [a, b] if a.number == b.number => Some((a, b)),
            _ => None,
        });
        if let Some((a, b)) = twice {
            let what = format!("`{}` and `{}` have the same number", a.name, b.name);
            self.problem(&message.file, &message.name, what);
        }
        if message.shape == Shape::Entry && message.entry().is_none() {
            self.problem(&message.file, &message.name, "is no entry of a map");
        }
        self.snapshot.messages.push(message);
    }

    fn kind(&self, draft: KindDraft) -> Result<Kind, String> {
        match draft {
            KindDraft::Scalar(kind) => Ok(kind),
            KindDraft::Enum(name) => {
                let id = self.snapshot.find_enum(&name).map(Kind::Enum);
                id.ok_or_else(|| format!("there is no enum `{name}`"))
            }
            KindDraft::Message(name) => {
                let id = self.snapshot.find_message(&name).map(Kind::Message);
                id.ok_or_else(|| format!("there is no message `{name}`"))
            }
        }
    }

    fn field(&self, draft: FieldDraft) -> Result<Field, String> {
        let kind = self.kind(draft.kind)?;
        if draft.number == 0 || draft.number >= 1 << 29 {
            return Err(format!("{} is no field number", draft.number));
        }
        let map = matches!(kind, Kind::Message(id) if self.entries[id.0 as usize]);
        let encoding = Encoding::of(kind, draft.group && !map);
        let (label, packed) = match draft.label {
            LabelDraft::Repeated { .. } if map => (Label::Map, false),
            _ if map => return Err("an entry of a map that is no map".to_owned()),
            LabelDraft::Single => (Label::Single, false),
            LabelDraft::Repeated { packed } => (Label::Repeated, packed && encoding.packable()),
        };
        let wire_tag = if packed { 2 } else { encoding.wire() };
        let (tag_bytes, tag_length) = varint(draft.number << 3 | wire_tag);
        let name: Box<str> = draft.name.into();
        let json_name = draft.json_name.unwrap_or_else(|| camel(&name));
        let outer = match label {
            Label::Single => WireType::of(kind),
            Label::Repeated => WireType::List,
            Label::Map => WireType::Map,
        };
        Ok(Field {
            index: 0,
            number: draft.number,
            key: key(&json_name),
            original_key: key(&name),
            json_name: json_name.into(),
            name,
            kind,
            label,
            presence: draft.presence,
            packed,
            oneof: draft.oneof.unwrap_or(NO_ONEOF),
            encoding,
            tag: draft.number << 3 | encoding.wire(),
            tag_bytes,
            tag_length,
            id: draft
                .wire
                .map_or_else(|| i16::try_from(draft.number).ok(), |w| Some(w.id)),
            wire: draft.wire.map_or_else(|| WireType::of(kind), |w| w.wire),
            outer: draft.wire.map_or(outer, |w| w.outer),
        })
    }

    /// Takes the special treatment from messages that only have a well-known name.
    fn promises(&mut self) {
        let kept: Vec<bool> = {
            let all = self.snapshot.messages.iter();
            all.map(|message| message.keeps_promise(&self.snapshot))
                .collect()
        };
        for (message, kept) in self.snapshot.messages.iter_mut().zip(kept) {
            if !kept {
                message.known = WellKnown::No;
            }
        }
    }

    fn service(&mut self, draft: ServiceDraft) {
        let Ok(id) = u32::try_from(self.snapshot.services.len()).map(ServiceId) else {
            return;
        };
        let name: Box<str> = draft.name.into();
        if self
            .snapshot
            .service_names
            .insert(name.clone(), id)
            .is_some()
        {
            self.problem(&draft.file, &name, "is defined twice");
        }
        let mut methods = Vec::new();
        for it in draft.methods {
            let full = format!("{name}/{}", it.name);
            let ids = self.method_types(&it);
            let (input, output, exceptions) = match ids {
                Ok(ids) => ids,
                Err(what) => {
                    self.problem(&draft.file, &full, what);
                    continue;
                }
            };
            let method = MethodId(u32::try_from(self.snapshot.methods.len()).unwrap_or(u32::MAX));
            if self
                .snapshot
                .method_names
                .insert(full.as_str().into(), method)
                .is_some()
            {
                self.problem(&draft.file, &full, "is defined twice");
            }
            methods.push(method);
            self.snapshot.methods.push(Method {
                name: it.name.into(),
                service: id,
                input,
                output,
                client_streams: it.client_streams,
                server_streams: it.server_streams,
                oneway: it.oneway,
                idempotency: it.idempotency,
                exceptions,
                bare_output: it.bare_output,
                options: it.options.into(),
                annotations: boxed(it.annotations),
            });
        }
        self.snapshot.services.push(Service {
            name,
            origin: draft.origin,
            methods,
            options: draft.options.into(),
            annotations: boxed(draft.annotations),
            file: draft.file.into(),
        });
    }

    fn method_types(
        &self,
        draft: &super::MethodDraft,
    ) -> Result<(MessageId, MessageId, Vec<Exception>), String> {
        let find = |name: &str| {
            let id = self.snapshot.find_message(name);
            id.ok_or_else(|| format!("there is no message `{name}`"))
        };
        let exceptions = draft.exceptions.iter().map(|(id, name, message)| {
            Ok(Exception {
                id: *id,
                name: name.as_str().into(),
                message: find(message)?,
            })
        });
        let exceptions = exceptions.collect::<Result<_, String>>()?;
        Ok((find(&draft.input)?, find(&draft.output)?, exceptions))
    }
}

fn boxed(pairs: Vec<(String, String)>) -> Vec<(Box<str>, Box<str>)> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

fn varint(mut value: u32) -> ([u8; 5], u8) {
    let (mut bytes, mut length) = ([0_u8; 5], 0_u8);
    for byte in &mut bytes {
        length += 1;
        *byte = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    (bytes, length)
}

/// `user_id` as `userId`, as descriptors without JSON names mean it.
pub(crate) fn camel(name: &str) -> String {
    let (mut out, mut raise) = (String::with_capacity(name.len()), false);
    for c in name.chars() {
        if c == '_' {
            raise = true;
        } else {
            out.push(if raise { c.to_ascii_uppercase() } else { c });
            raise = false;
        }
    }
    out
}

/// A member's name as it stands in an object: comma, quoted name, colon.
fn key(name: &str) -> Box<[u8]> {
    let mut out = vec![b','];
    crate::transcode::quote(name, &mut out);
    out.push(b':');
    out.into()
}
