//! The reader of JSON: members in any order, each looked for where the one before it suggests.

use super::base64;
use super::token::Tokens;
use crate::config::{Options, Unknown};
use crate::error::{Cause, Limit, Result};
use crate::snapshot::{EnumId, Field, Kind, Label, Message, NO_ONEOF, Snapshot, WellKnown};
use crate::transcode::bits::{Bits, Keys};
use crate::transcode::proto::missing;
use crate::transcode::sink::{Place, Scalar, Sink};

#[derive(Debug)]
pub(crate) struct JsonReader<'s, 'a> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) options: &'a Options,
    pub(super) tokens: Tokens<'a>,
    pub(super) depth: u32,
    elements: u64,
    pub(crate) dropped: u64,
    bytes: Vec<u8>,
}

/// What the next member of an object is.
enum Member<'s> {
    Field(&'s Field),
    Unknown(String),
}

impl<'s, 'a> JsonReader<'s, 'a> {
    pub(crate) fn new(
        snapshot: &'s Snapshot,
        options: &'a Options,
        input: &'a [u8],
    ) -> Result<Self> {
        Ok(Self {
            snapshot,
            options,
            tokens: Tokens::new(input, options.limits.string_bytes_max)?,
            depth: 0,
            elements: 0,
            dropped: 0,
            bytes: Vec::new(),
        })
    }

    /// Reads a message that is all of the input.
    pub(crate) fn root<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        sink.start(message)?;
        self.body(message, sink)?;
        self.tokens.end()?;
        sink.finish()
    }

    pub(super) fn enter(&mut self) -> Result<()> {
        if self.depth >= self.options.limits.depth_max {
            return Err(self.tokens.error(Cause::Over(Limit::Depth)));
        }
        self.depth += 1;
        Ok(())
    }

    pub(super) fn count(&mut self) -> Result<()> {
        self.elements += 1;
        if self.elements > self.options.limits.elements_max {
            return Err(self.tokens.error(Cause::Over(Limit::Elements)));
        }
        Ok(())
    }

    /// What is in a message: an object's members, or the form that a well-known one has.
    pub(super) fn body<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        self.enter()?;
        if message.known == WellKnown::No {
            self.object(message, false, sink)?;
        } else {
            self.known(message, sink)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Members of an object. `in_any`: one of them is `@type`, which was read before.
    pub(super) fn object<S: Sink<'s>>(
        &mut self,
        message: &'s Message,
        in_any: bool,
        sink: &mut S,
    ) -> Result<()> {
        self.tokens.expect(b'{', "an object")?;
        let (mut seen, mut oneofs) = (Bits::default(), Bits::default());
        let mut next = 0_usize;
        let mut more = !self.tokens.eat(b'}');
        while more {
            match self.member(message, next)? {
                Member::Field(field) => {
                    next = usize::from(field.index) + 1;
                    if !seen.insert(field.index) {
                        let name = field.json_name.as_ref().to_owned();
                        return Err(self.tokens.error(Cause::Duplicate(name)));
                    }
                    self.field(field, &mut oneofs, sink)
                        .map_err(|error| error.within(&*field.json_name))?;
                }
                Member::Unknown(name) if in_any && name == "@type" => {
                    self.tokens.string()?;
                }
                // Others write an Empty so; it has no form of its own.
                Member::Unknown(name)
                    if in_any && name == "value" && &*message.name == "google.protobuf.Empty" =>
                {
                    self.tokens.expect(b'{', "an object")?;
                    self.tokens.expect(b'}', "the end of an object")?;
                }
                Member::Unknown(name) => self.unknown(name)?,
            }
            more = self.tokens.more(b'}')?;
        }
        // A null is there and still not set.
        missing(message, &seen)
    }

    pub(super) fn unknown(&mut self, name: String) -> Result<()> {
        if self.options.unknown == Unknown::Reject {
            return Err(self.tokens.error(Cause::UnknownField(name)));
        }
        self.dropped += 1;
        self.tokens.skip(self.options.limits.depth_max - self.depth)
    }

    /// Reads a name and its colon.
    fn member(&mut self, message: &'s Message, next: usize) -> Result<Member<'s>> {
        self.tokens.peek();
        let guess = message.fields.get(next);
        let found = match guess {
            // The key as it is written, without the comma before it and the colon behind it.
            Some(field) if self.begins_with(&field.key) => {
                self.tokens.at += field.key.len() - 2;
                Member::Field(field)
            }
            _ => {
                if self.tokens.peek() != Some(b'"') {
                    return Err(self.tokens.malformed("a name is missing"));
                }
                let name = self.tokens.string()?;
                match message.field_named(name) {
                    Some(field) => Member::Field(field),
                    None => Member::Unknown(name.to_owned()),
                }
            }
        };
        self.colon()?;
        Ok(found)
    }

    #[inline]
    fn begins_with(&self, key: &[u8]) -> bool {
        match key {
            [b',', name @ .., b':'] => self.tokens.rest().starts_with(name),
            _ => false,
        }
    }

    fn colon(&mut self) -> Result<()> {
        if self.tokens.eat(b':') {
            return Ok(());
        }
        Err(self.tokens.malformed("a colon is missing"))
    }

    fn field<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        oneofs: &mut Bits,
        sink: &mut S,
    ) -> Result<()> {
        if self.tokens.peek() == Some(b'n')
            && !(field.label == Label::Single && self.takes_null(field))
        {
            return self.tokens.literal("null");
        }
        if field.oneof != NO_ONEOF && !oneofs.insert(field.oneof) {
            let name = field.json_name.as_ref().to_owned();
            return Err(self.tokens.error(Cause::Oneof(name)));
        }
        match field.label {
            Label::Single => self.value(Place::Field, field, sink),
            Label::Repeated => self.list(field, sink),
            Label::Map => self.map(field, sink),
        }
    }

    /// Whether null is a value of the field's kind.
    fn takes_null(&self, field: &Field) -> bool {
        if let Kind::Enum(id) = field.kind {
            return self.snapshot.enumeration(id).null;
        }
        let message = field.kind.message().map(|id| self.snapshot.message(id));
        message.is_some_and(|message| message.known == WellKnown::Value)
    }

    /// Whether the next value is the name of an enum's value that is not known and may be left out.
    fn is_ignored(&mut self, field: &Field) -> Result<bool> {
        let Kind::Enum(id) = field.kind else {
            return Ok(false);
        };
        if self.options.unknown == Unknown::Reject || self.tokens.peek() != Some(b'"') {
            return Ok(false);
        }
        let at = self.tokens.at;
        let known = self
            .snapshot
            .enumeration(id)
            .number_of(self.tokens.string()?)
            .is_some();
        if known {
            self.tokens.at = at;
        } else {
            self.dropped += 1;
        }
        Ok(!known)
    }

    pub(super) fn list<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<()> {
        self.tokens.expect(b'[', "a list")?;
        sink.open_list(field)?;
        let mut count = 0;
        let mut more = !self.tokens.eat(b']');
        while more {
            self.count()?;
            if !self.is_ignored(field)? {
                self.value(Place::Item, field, sink)
                    .map_err(|error| error.within(format!("[{count}]")))?;
                count += 1;
            }
            more = self.tokens.more(b']')?;
        }
        sink.close_list(field, count)
    }

    pub(super) fn map<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<()> {
        let Some((key, value)) = self.snapshot.entry(field) else {
            return Err(self.tokens.malformed("no map"));
        };
        self.tokens.expect(b'{', "an object")?;
        sink.open_map(field)?;
        let mut keys = Keys::new();
        let mut count = 0;
        let mut more = !self.tokens.eat(b'}');
        while more {
            self.count()?;
            self.tokens.peek();
            let from = self.tokens.at;
            self.entry(field, key, value, &mut keys, &mut count, sink)
                .map_err(|error| error.within(format!("[{}]", self.key_text(from))))?;
            more = self.tokens.more(b'}')?;
        }
        sink.close_map(field, count)
    }

    /// The beginning of a key, for an error's path.
    fn key_text(&self, from: usize) -> &'a str {
        let mut to = (from + 32).min(self.tokens.at);
        while !self.tokens.is_boundary(to) {
            to -= 1;
        }
        let text = self.tokens.between(from, to);
        text.split_once("\":")
            .map_or(text, |(key, _)| key)
            .trim_matches('"')
    }

    fn entry<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        key: &'s Field,
        value: &'s Field,
        keys: &mut Keys,
        count: &mut usize,
        sink: &mut S,
    ) -> Result<()> {
        let from = self.tokens.at;
        // Twice over the key: its value may be one that leaves the entry out.
        self.tokens.string()?;
        self.colon()?;
        if self.is_ignored(value)? {
            return Ok(());
        }
        let behind = self.tokens.at;
        self.tokens.at = from;
        sink.open_entry(field)?;
        let fingerprint = self.key(key, sink)?;
        if !keys.insert(fingerprint) {
            let name = self
                .tokens
                .between(from, self.tokens.at)
                .trim_matches('"')
                .to_owned();
            return Err(self.tokens.error(Cause::Duplicate(name)));
        }
        self.tokens.at = behind;
        self.value(Place::Value, value, sink)?;
        *count += 1;
        sink.close_entry(field)
    }

    fn key<S: Sink<'s>>(&mut self, field: &'s Field, sink: &mut S) -> Result<u64> {
        let value = if field.kind == Kind::String {
            Scalar::Str(self.tokens.string()?)
        } else if field.kind == Kind::Bool {
            match self.tokens.string()? {
                "true" => Scalar::Bool(true),
                "false" => Scalar::Bool(false),
                _ => return Err(self.tokens.error(Cause::Type("\"true\" or \"false\""))),
            }
        } else {
            self.number(field.kind)?
        };
        let fingerprint = value.fingerprint(&self.snapshot.message_names);
        sink.scalar(Place::Key, field, value)?;
        Ok(fingerprint)
    }

    #[inline]
    pub(super) fn value<S: Sink<'s>>(
        &mut self,
        place: Place,
        field: &'s Field,
        sink: &mut S,
    ) -> Result<()> {
        let value = match field.kind {
            Kind::Message(id) => {
                let message = self.snapshot.message(id);
                sink.open(place, field, message)?;
                self.body(message, sink)?;
                return sink.close(field);
            }
            Kind::String => Scalar::Str(self.tokens.string()?),
            Kind::Bytes => {
                let text = self.tokens.string()?;
                base64::decode(text, &mut self.bytes)?;
                Scalar::Bytes(&self.bytes)
            }
            Kind::Bool => Scalar::Bool(self.boolean()?),
            Kind::Enum(id) => {
                if place == Place::Field && self.is_ignored(field)? {
                    return Ok(());
                }
                Scalar::Enum(self.enumeration(id)?)
            }
            Kind::Double
            | Kind::Float
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64 => self.number(field.kind)?,
        };
        sink.scalar(place, field, value)
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.tokens.peek() {
            Some(b't') => self.tokens.literal("true").map(|()| true),
            Some(b'f') => self.tokens.literal("false").map(|()| false),
            _ => Err(self.tokens.unexpected("true or false")),
        }
    }

    fn number(&mut self, kind: Kind) -> Result<Scalar<'static>> {
        let tokens = &mut self.tokens;
        Ok(match kind {
            Kind::Double => Scalar::Double(tokens.float("double", f64::is_finite)?),
            Kind::Float => Scalar::Float(tokens.float("float", f32::is_finite)?),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                let value = tokens.signed(32, "a 32-bit number")?;
                Scalar::I32(i32::try_from(value).unwrap_or(0))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                Scalar::I64(tokens.signed(64, "a 64-bit number")?)
            }
            Kind::Uint32 | Kind::Fixed32 => {
                let value = tokens.unsigned(u64::from(u32::MAX), "an unsigned 32-bit number")?;
                Scalar::U32(u32::try_from(value).unwrap_or(0))
            }
            Kind::Uint64 | Kind::Fixed64 => {
                Scalar::U64(tokens.unsigned(u64::MAX, "an unsigned 64-bit number")?)
            }
            Kind::Bool | Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => {
                return Err(tokens.malformed("no number"));
            }
        })
    }

    /// A name or a number.
    fn enumeration(&mut self, id: EnumId) -> Result<i32> {
        let table = self.snapshot.enumeration(id);
        match self.tokens.peek() {
            Some(b'"') => {
                let name = self.tokens.string()?;
                if let Some(number) = table.number_of(name) {
                    return Ok(number);
                }
                let cause = Cause::UnknownEnum(name.to_owned());
                Err(self.tokens.error(cause))
            }
            Some(b'n') if table.null => self.tokens.literal("null").map(|()| 0),
            _ => {
                let number = self.tokens.signed(32, "a name or number of an enum")?;
                let number = i32::try_from(number).unwrap_or(0);
                if table.closed && table.name_of(number).is_none() {
                    return Err(self.tokens.error(Cause::UnknownEnum(number.to_string())));
                }
                Ok(number)
            }
        }
    }
}
