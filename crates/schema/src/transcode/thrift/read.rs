//! The reader of Thrift: types come with the values, and have to be those of the table.

use super::protocol::Input;
use super::uuid;
use crate::config::Options;
use crate::error::{Cause, Error, Limit, Result};
use crate::snapshot::{Field, Kind, Label, Message, NO_ONEOF, Shape, Snapshot, WireType};
use crate::transcode::bits::Bits;
use crate::transcode::proto::missing;
use crate::transcode::sink::{Place, Scalar, Sink};

#[derive(Debug)]
pub(crate) struct ThriftReader<'s, 'o, I> {
    snapshot: &'s Snapshot,
    options: &'o Options,
    input: I,
    depth: u32,
    elements: u64,
    pub(crate) dropped: u64,
    /// The text of the last uuid.
    uuid: [u8; 36],
}

impl<'s, 'o, 'a, I: Input<'a>> ThriftReader<'s, 'o, I> {
    pub(crate) fn new(
        snapshot: &'s Snapshot,
        options: &'o Options,
        bytes: &'a [u8],
    ) -> Result<Self> {
        Ok(Self {
            snapshot,
            options,
            input: I::new(bytes, &options.limits)?,
            depth: 0,
            elements: 0,
            dropped: 0,
            uuid: [0; 36],
        })
    }

    /// Reads a struct that is all of the input.
    pub(crate) fn root<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        sink.start(message)?;
        self.fields(message, sink)?;
        self.input.end()?;
        sink.finish()
    }

    #[cold]
    fn error(&self, cause: Cause) -> Error {
        Error::at(cause, self.input.at())
    }

    fn enter(&mut self) -> Result<()> {
        if self.depth >= self.options.limits.depth_max {
            return Err(self.error(Cause::Over(Limit::Depth)));
        }
        self.depth += 1;
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.elements += 1;
        if self.elements > self.options.limits.elements_max {
            return Err(self.error(Cause::Over(Limit::Elements)));
        }
        Ok(())
    }

    fn fields<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        self.enter()?;
        self.input.open_struct()?;
        let (mut seen, mut oneofs) = (Bits::default(), Bits::default());
        while let Some(header) = self.input.field()? {
            let field = message.field_with_id(header.id).filter(|field| {
                field.outer == header.wire || (field.outer.is_list() && header.wire.is_list())
            });
            let Some(field) = field else {
                self.dropped += 1;
                let depth = self.options.limits.depth_max - self.depth;
                self.input.skip(header.wire, depth)?;
                self.input.close_field()?;
                continue;
            };
            let name = || field.json_name.as_ref().to_owned();
            if !seen.insert(field.index) {
                return Err(self.error(Cause::Duplicate(name())));
            }
            if field.oneof != NO_ONEOF && !oneofs.insert(field.oneof) {
                return Err(self.error(Cause::Oneof(name())));
            }
            self.field(field, sink)
                .map_err(|error| error.within(name()))?;
            self.input.close_field()?;
        }
        self.depth -= 1;
        missing(message, &seen)
    }

    fn field<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<()> {
        match field.label {
            Label::Single => self.value(Place::Field, field, sink),
            Label::Repeated if field.outer == WireType::Map => self.entries(field, sink),
            Label::Repeated => self.list(field, sink),
            Label::Map => self.map(field, sink),
        }
    }

    fn expect(&self, wire: WireType, wanted: WireType) -> Result<()> {
        if wire == wanted || (wire.is_list() && wanted.is_list()) {
            return Ok(());
        }
        Err(self.error(Cause::Type("elements of the type that the schema says")))
    }

    fn list<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<()> {
        let (wire, count) = self.input.list()?;
        if count > 0 {
            self.expect(wire, field.wire)?;
        }
        sink.open_list(field)?;
        for at in 0..count {
            self.count()?;
            self.input.item()?;
            self.value(Place::Item, field, sink)
                .map_err(|error| error.within(format!("[{at}]")))?;
        }
        self.input.close_list()?;
        sink.close_list(field, count)
    }

    fn entry_fields(&self, field: &'s Field) -> Result<(&'s Message, &'s Field, &'s Field)> {
        if let Kind::Message(id) = field.kind {
            let message = self.snapshot.message(id);
            if let Some((key, value)) = message.entry() {
                return Ok((message, key, value));
            }
        }
        Err(self.error(Cause::Malformed("no map")))
    }

    fn map<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<()> {
        let (_, key, value) = self.entry_fields(field)?;
        let (key_wire, value_wire, count) = self.input.map()?;
        if count > 0 {
            self.expect(key_wire, key.outer)?;
            self.expect(value_wire, value.outer)?;
        }
        sink.open_map(field)?;
        let mut keys = crate::transcode::bits::Keys::new();
        for at in 0..count {
            self.count()?;
            self.input.entry(at == 0)?;
            sink.open_entry(field)?;
            let fingerprint = self.key(key, sink)?;
            if !keys.insert(fingerprint) {
                return Err(self.error(Cause::Duplicate(format!("key {at}"))));
            }
            self.input.value()?;
            self.value(Place::Value, value, sink)
                .map_err(|error| error.within(format!("[entry {at}]")))?;
            sink.close_entry(field)?;
        }
        self.input.close_map()?;
        sink.close_map(field, count)
    }

    fn key<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<u64> {
        let names = &self.snapshot.message_names;
        let value = self.scalar(field)?;
        let fingerprint = value.fingerprint(names);
        sink.scalar(Place::Key, field, value)?;
        Ok(fingerprint)
    }

    /// A map whose entries are messages to everybody else.
    fn entries<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<()> {
        let (message, key, value) = self.entry_fields(field)?;
        let (key_wire, value_wire, count) = self.input.map()?;
        if count > 0 {
            self.expect(key_wire, key.outer)?;
            self.expect(value_wire, value.outer)?;
        }
        sink.open_list(field)?;
        self.enter()?;
        for at in 0..count {
            self.count()?;
            self.input.entry(at == 0)?;
            sink.open(Place::Item, field, message)?;
            let step = |error: Error| error.within(format!("[{at}]"));
            self.field(key, sink).map_err(step)?;
            self.input.value()?;
            self.field(value, sink).map_err(step)?;
            sink.close(field)?;
        }
        self.depth -= 1;
        self.input.close_map()?;
        sink.close_list(field, count)
    }

    fn value<S: Sink<'s>>(&mut self, place: Place, field: &'s Field, sink: &mut S) -> Result<()> {
        let Kind::Message(id) = field.kind else {
            let value = self.scalar(field)?;
            return sink.scalar(place, field, value);
        };
        let message = self.snapshot.message(id);
        sink.open(place, field, message)?;
        match message.fields.first() {
            Some(inner) if message.shape == Shape::Container => {
                self.enter()?;
                self.field(inner, sink)?;
                self.depth -= 1;
            }
            _ => self.fields(message, sink)?,
        }
        sink.close(field)
    }

    fn scalar(&mut self, field: &Field) -> Result<Scalar<'_>> {
        let number = match field.wire {
            WireType::Bool => return self.input.boolean().map(Scalar::Bool),
            WireType::Double => {
                let value = self.input.double()?;
                return Ok(if field.kind == Kind::Float {
                    Scalar::Float(narrow(value))
                } else {
                    Scalar::Double(value)
                });
            }
            WireType::String if field.kind == Kind::Bytes => {
                return self.input.bytes().map(Scalar::Bytes);
            }
            WireType::String => return self.input.string().map(Scalar::Str),
            WireType::Uuid => {
                self.uuid = uuid::to_text(self.input.uuid()?);
                return Ok(Scalar::Str(
                    std::str::from_utf8(&self.uuid).unwrap_or_default(),
                ));
            }
            WireType::I8 => i64::from(self.input.i8()?),
            WireType::I16 => i64::from(self.input.i16()?),
            WireType::I32 => i64::from(self.input.i32()?),
            WireType::I64 => self.input.i64()?,
            WireType::Struct | WireType::Map | WireType::Set | WireType::List => {
                return Err(self.error(Cause::Malformed("no scalar")));
            }
        };
        let scalar = match field.kind {
            Kind::Enum(_) => i32::try_from(number).ok().map(Scalar::Enum),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(number).ok().map(Scalar::U32),
            Kind::Uint64 | Kind::Fixed64 => u64::try_from(number).ok().map(Scalar::U64),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some(Scalar::I64(number)),
            Kind::Int32
            | Kind::Sint32
            | Kind::Sfixed32
            | Kind::Bool
            | Kind::Double
            | Kind::Float
            | Kind::String
            | Kind::Bytes
            | Kind::Message(_) => i32::try_from(number).ok().map(Scalar::I32),
        };
        scalar.ok_or_else(|| self.error(Cause::Range("the field's type")))
    }
}

/// The nearest 32-bit number; too large ones are infinite, as everywhere.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
