//! Descriptor sets: what `.proto` files are once they are compiled (`google/protobuf/descriptor.proto`,
//! whose field numbers are the numbers below). Only what tables need is read.

use base::HashMap;

use super::Problem;
use super::features::{Features, FieldPresence};
use crate::error::{Cause, Error, Result};
use crate::snapshot::{
    Draft, EnumDraft, FieldDraft, Idempotency, Kind, KindDraft, LabelDraft, MessageDraft,
    MethodDraft, Origin, Presence, ServiceDraft, Shape,
};
use crate::transcode::Wire;

/// Messages inside each other, in one file.
const NESTING_MAX: u32 = 64;

/// The files that were read, so that one that two sets bring is read once.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<String, Vec<u8>>);

impl Files {
    /// Adds a set to the draft.
    pub(super) fn read(
        &mut self,
        set: &str,
        bytes: &[u8],
        draft: &mut Draft,
        problems: &mut Vec<Problem>,
    ) {
        if let Err(error) = self.set(set, bytes, draft, problems) {
            problems.push(Problem::new(set, "", format!("no descriptor set: {error}")));
        }
    }

    fn set(
        &mut self,
        set: &str,
        bytes: &[u8],
        draft: &mut Draft,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        for (number, value) in Parts(Wire::new(bytes)).collect::<Result<Vec<_>>>()? {
            let (1, Part::Bytes(bytes)) = (number, value) else {
                continue;
            };
            let file = File::read(bytes)?;
            if let Some(known) = self.0.get(&file.name) {
                if known != bytes {
                    let what = "is there already, with another content";
                    problems.push(Problem::new(set, &file.name, what));
                }
                continue;
            }
            if let Err(error) = file.add(draft) {
                problems.push(Problem::new(&file.name, "", error.to_string()));
            }
            self.0.insert(file.name, bytes.to_vec());
        }
        Ok(())
    }
}

/// A field's value in a descriptor.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Part<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Part::Bytes(bytes) => bytes,
            Part::Number(_) | Part::Other => &[],
        }
    }

    fn number(self) -> u64 {
        match self {
            Part::Number(number) => number,
            Part::Bytes(_) | Part::Other => 0,
        }
    }

    /// An `int32`.
    fn int(self) -> i32 {
        let [a, b, c, d, ..] = self.number().to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    }

    fn text(self) -> Result<String> {
        let text = std::str::from_utf8(self.bytes());
        text.map(str::to_owned).map_err(|_| Error::new(Cause::Utf8))
    }
}

/// The fields of a descriptor.
#[derive(Debug)]
struct Parts<'a>(Wire<'a>);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(u32, Part<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| {
            let tag = self.0.tag()?;
            let part = match tag & 7 {
                0 => Part::Number(self.0.varint()?),
                2 => Part::Bytes(self.0.slice()?),
                _ => {
                    self.0.skip(tag, NESTING_MAX)?;
                    Part::Other
                }
            };
            Ok((tag >> 3, part))
        })
    }
}

fn parts(bytes: &[u8]) -> Parts<'_> {
    Parts(Wire::new(bytes))
}

/// The options of a descriptor, which are its field `number`; pieces are joined, as merging means.
fn options_of(bytes: &[u8], number: u32) -> Result<Vec<u8>> {
    let mut options = Vec::new();
    for part in parts(bytes) {
        let (found, value) = part?;
        if found == number {
            options.extend_from_slice(value.bytes());
        }
    }
    Ok(options)
}

/// One number among options.
fn option(options: &[u8], number: u32) -> Result<Option<u64>> {
    let mut value = None;
    for part in parts(options) {
        let (found, part) = part?;
        if let (true, Part::Number(number)) = (found == number, part) {
            value = Some(number);
        }
    }
    Ok(value)
}

/// What is around a definition.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    file: &'a str,
    /// The full name of what is around, or the package.
    around: &'a str,
    features: Features,
    depth: u32,
}

impl Scope<'_> {
    fn full(&self, name: &str) -> String {
        if self.around.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.around)
        }
    }
}

#[derive(Debug)]
struct File<'a> {
    name: String,
    package: String,
    features: Features,
    bytes: &'a [u8],
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let (mut name, mut package, mut syntax, mut edition) = Default::default();
        for part in parts(bytes) {
            let (number, part) = part?;
            match number {
                1 => name = part.text()?,
                2 => package = part.text()?,
                12 => syntax = part.text()?,
                14 => edition = part.number(),
                _ => {}
            }
        }
        let features: Features = match (syntax.as_str(), edition) {
            ("proto3", _) => Features::PROTO3,
            ("editions", 998) => Features::PROTO2,
            ("editions", 999) => Features::PROTO3,
            // 2023 and 2024 differ in nothing that matters here; those after them are not known.
            ("editions", 1000 | 1001) => Features::EDITION,
            ("editions", _) => {
                let cause = Cause::Inexpressible("an edition after 2024");
                return Err(Error::new(cause).within(name));
            }
            _ => Features::PROTO2,
        };
        let features = features.with(&options_of(bytes, 8)?, 50)?;
        Ok(Self {
            name,
            package,
            features,
            bytes,
        })
    }

    fn add(&self, draft: &mut Draft) -> Result<()> {
        let scope = Scope {
            file: &self.name,
            around: &self.package,
            features: self.features,
            depth: NESTING_MAX,
        };
        for part in parts(self.bytes) {
            let (number, part) = part?;
            match number {
                4 => message(part.bytes(), scope, draft)?,
                5 => draft.enums.push(enumeration(part.bytes(), scope)?),
                6 => draft.services.push(service(part.bytes(), scope)?),
                7 => extension(part.bytes(), scope, draft)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn message(bytes: &[u8], scope: Scope<'_>, draft: &mut Draft) -> Result<()> {
    let depth = scope.depth.checked_sub(1);
    let depth = depth.ok_or_else(|| Error::new(Cause::Over(crate::Limit::Depth)))?;
    let (mut name, mut oneofs) = (String::new(), Vec::new());
    for part in parts(bytes) {
        match part? {
            (1, part) => name = scope.full(&part.text()?),
            (8, part) => oneofs.push(oneof(part.bytes())?),
            _ => {}
        }
    }
    let options = options_of(bytes, 7)?;
    let entry = option(&options, 7)? == Some(1);
    let inner = Scope {
        around: &name,
        features: scope.features.with(&options, 12)?,
        depth,
        ..scope
    };
    let mut fields = Vec::new();
    for part in parts(bytes) {
        let (number, part) = part?;
        let bytes = part.bytes();
        match number {
            2 => {
                let mut field = field(bytes, inner)?;
                if entry {
                    // Key and value are always there, and no group whatever the file says.
                    field.presence = Presence::Explicit;
                    field.group = false;
                }
                fields.push(field);
            }
            3 => message(bytes, inner, draft)?,
            4 => draft.enums.push(enumeration(bytes, inner)?),
            6 => extension(bytes, inner, draft)?,
            _ => {}
        }
    }
    draft.messages.push(MessageDraft {
        file: scope.file.to_owned(),
        name,
        fields,
        oneofs,
        shape: if entry { Shape::Entry } else { Shape::Plain },
    });
    Ok(())
}

fn oneof(bytes: &[u8]) -> Result<String> {
    let mut name = String::new();
    for part in parts(bytes) {
        if let (1, part) = part? {
            name = part.text()?;
        }
    }
    Ok(name)
}

/// `FieldDescriptorProto`, read.
#[derive(Debug, Default)]
struct Raw {
    name: String,
    extendee: String,
    number: u32,
    label: u64,
    kind: u64,
    kind_name: String,
    oneof: Option<u16>,
    json_name: Option<String>,
    proto3_optional: bool,
}

impl Raw {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut raw = Self::default();
        for part in parts(bytes) {
            let (number, part) = part?;
            match number {
                1 => raw.name = part.text()?,
                2 => raw.extendee = part.text()?.trim_start_matches('.').to_owned(),
                3 => raw.number = u32::try_from(part.int()).unwrap_or(0),
                4 => raw.label = part.number(),
                5 => raw.kind = part.number(),
                6 => raw.kind_name = part.text()?.trim_start_matches('.').to_owned(),
                9 => raw.oneof = u16::try_from(part.int()).ok(),
                10 => raw.json_name = Some(part.text()?),
                17 => raw.proto3_optional = part.number() != 0,
                _ => {}
            }
        }
        Ok(raw)
    }

    fn kind(&self) -> Result<KindDraft> {
        let scalar = match self.kind {
            1 => Kind::Double,
            2 => Kind::Float,
            3 => Kind::Int64,
            4 => Kind::Uint64,
            5 => Kind::Int32,
            6 => Kind::Fixed64,
            7 => Kind::Fixed32,
            8 => Kind::Bool,
            9 => Kind::String,
            10 | 11 => return Ok(KindDraft::Message(self.kind_name.clone())),
            12 => Kind::Bytes,
            13 => Kind::Uint32,
            14 => return Ok(KindDraft::Enum(self.kind_name.clone())),
            15 => Kind::Sfixed32,
            16 => Kind::Sfixed64,
            17 => Kind::Sint32,
            18 => Kind::Sint64,
            _ => {
                let cause = Cause::Type("a type of a field");
                return Err(Error::new(cause).within(self.name.clone()));
            }
        };
        Ok(KindDraft::Scalar(scalar))
    }
}

fn field(bytes: &[u8], scope: Scope<'_>) -> Result<FieldDraft> {
    let raw = Raw::read(bytes)?;
    let options = options_of(bytes, 8)?;
    let features = scope.features.with(&options, 21)?;
    let kind = raw.kind()?;
    let packed = option(&options, 2)?.map_or(features.packed, |packed| packed != 0);
    let repeated = raw.label == 3;
    let oneof = raw.oneof.filter(|_| !raw.proto3_optional);
    let single_message = matches!(kind, KindDraft::Message(_)) && !repeated;
    let presence = match features.presence {
        _ if raw.label == 2 => Presence::Required,
        FieldPresence::Required => Presence::Required,
        _ if repeated => Presence::Implicit,
        _ if raw.proto3_optional || oneof.is_some() || single_message => Presence::Explicit,
        FieldPresence::Explicit => Presence::Explicit,
        FieldPresence::Implicit => Presence::Implicit,
    };
    let group = raw.kind == 10 || (features.delimited && raw.kind == 11);
    Ok(FieldDraft {
        number: raw.number,
        name: raw.name,
        json_name: raw.json_name,
        kind,
        // Whether a repeated message is a map is only known when it is linked with its entry.
        label: if repeated {
            LabelDraft::Repeated { packed }
        } else {
            LabelDraft::Single
        },
        presence,
        group,
        oneof,
        wire: None,
    })
}

/// An extension is a field of the message that it extends, under its full name in brackets.
fn extension(bytes: &[u8], scope: Scope<'_>, draft: &mut Draft) -> Result<()> {
    let raw = Raw::read(bytes)?;
    let mut field = field(bytes, scope)?;
    field.name = format!("[{}]", scope.full(&raw.name));
    field.json_name = Some(field.name.clone());
    if field.presence == Presence::Implicit && field.label == LabelDraft::Single {
        field.presence = Presence::Explicit;
    }
    let entry = (scope.file.to_owned(), raw.extendee, field);
    draft.extensions.push(entry);
    Ok(())
}

fn enumeration(bytes: &[u8], scope: Scope<'_>) -> Result<EnumDraft> {
    let (mut name, mut values) = (String::new(), Vec::new());
    for part in parts(bytes) {
        match part? {
            (1, part) => name = part.text()?,
            (2, part) => {
                let (mut value, mut number) = (String::new(), 0);
                for part in parts(part.bytes()) {
                    match part? {
                        (1, part) => value = part.text()?,
                        (2, part) => number = part.int(),
                        _ => {}
                    }
                }
                values.push((value, number));
            }
            _ => {}
        }
    }
    let features = scope.features.with(&options_of(bytes, 3)?, 7)?;
    Ok(EnumDraft {
        file: scope.file.to_owned(),
        name: scope.full(&name),
        values,
        closed: features.closed,
    })
}

fn service(bytes: &[u8], scope: Scope<'_>) -> Result<ServiceDraft> {
    let (mut name, mut methods) = (String::new(), Vec::new());
    for part in parts(bytes) {
        match part? {
            (1, part) => name = part.text()?,
            (2, part) => methods.push(method(part.bytes())?),
            _ => {}
        }
    }
    Ok(ServiceDraft {
        file: scope.file.to_owned(),
        name: scope.full(&name),
        origin: Origin::Protobuf,
        methods,
        options: options_of(bytes, 3)?,
        annotations: Vec::new(),
    })
}

fn method(bytes: &[u8]) -> Result<MethodDraft> {
    let options = options_of(bytes, 4)?;
    let mut method = MethodDraft {
        name: String::new(),
        input: String::new(),
        output: String::new(),
        client_streams: false,
        server_streams: false,
        oneway: false,
        idempotency: match option(&options, 34)? {
            Some(1) => Idempotency::NoSideEffects,
            Some(2) => Idempotency::Idempotent,
            _ => Idempotency::Unknown,
        },
        exceptions: Vec::new(),
        bare_output: false,
        options,
        annotations: Vec::new(),
    };
    for part in parts(bytes) {
        let (number, part) = part?;
        match number {
            1 => method.name = part.text()?,
            2 => method.input = part.text()?.trim_start_matches('.').to_owned(),
            3 => method.output = part.text()?.trim_start_matches('.').to_owned(),
            5 => method.client_streams = part.number() != 0,
            6 => method.server_streams = part.number() != 0,
            _ => {}
        }
    }
    Ok(method)
}
