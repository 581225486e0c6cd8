//! The sink that writes Thrift.

use super::protocol::Writer;
use super::uuid;
use crate::error::{Cause, Error, Result};
use crate::snapshot::{Field, Kind, Label, Message, Presence, Shape, Snapshot, WireType};
use crate::transcode::bits::{Bits, Keys};
use crate::transcode::output::Output;
use crate::transcode::sink::{Place, Scalar, Sink};

/// What a message that is open looks like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Struct,
    /// Not at all: its only field is what it stands for.
    Container,
    /// Key and value of a map: where it begins, and where the second of the two does.
    Entry {
        start: usize,
        second: Option<usize>,
        value_first: bool,
    },
}

#[derive(Debug)]
struct Frame<'s> {
    message: &'s Message,
    place: Place,
    role: Role,
    seen: Bits,
    count: usize,
}

/// A list, set or map that is open.
#[derive(Debug)]
struct Open {
    mark: usize,
    count: usize,
    /// Of a set: what is in it.
    items: Option<Keys>,
    item_from: usize,
}

#[derive(Debug)]
pub(crate) struct ThriftSink<'s, 'o, W> {
    snapshot: &'s Snapshot,
    out: Output<'o>,
    writer: W,
    frames: Vec<Frame<'s>>,
    open: Vec<Open>,
}

impl<'s, 'o, W: Writer> ThriftSink<'s, 'o, W> {
    pub(crate) fn new(snapshot: &'s Snapshot, out: Output<'o>) -> Self {
        Self {
            snapshot,
            out,
            writer: W::default(),
            frames: Vec::new(),
            open: Vec::new(),
        }
    }

    fn role(&self) -> Role {
        self.frames.last().map_or(Role::Struct, |frame| frame.role)
    }

    fn push(&mut self, place: Place, message: &'s Message, role: Role) -> Result<()> {
        if role == Role::Struct {
            self.writer.open_struct(&mut self.out)?;
        }
        self.frames.push(Frame {
            message,
            place,
            role,
            seen: Bits::default(),
            count: 0,
        });
        Ok(())
    }

    /// What stands before a value of type `wire`.
    fn before(&mut self, place: Place, field: &'s Field, wire: WireType) -> Result<()> {
        match place {
            Place::Field => self.before_field(field, wire),
            Place::Item => {
                if let Some(open) = self.open.last_mut() {
                    open.item_from = self.out.len();
                }
                self.writer.item(&mut self.out)
            }
            Place::Key => Ok(()),
            Place::Value => self.out.put(W::between()),
        }
    }

    fn before_field(&mut self, field: &'s Field, wire: WireType) -> Result<()> {
        let at = self.out.len();
        if let Some(frame) = self.frames.last_mut() {
            frame.seen.insert(field.index);
            frame.count += 1;
            match &mut frame.role {
                Role::Struct => {}
                Role::Container => return Ok(()),
                Role::Entry {
                    start,
                    second,
                    value_first,
                } => {
                    if frame.count == 1 {
                        *start = at;
                        *value_first = field.number == 2;
                    } else {
                        *second = Some(at);
                    }
                    return Ok(());
                }
            }
        }
        let id = field.id.ok_or_else(|| {
            Error::new(Cause::Inexpressible("a field number over 32767 in Thrift"))
        })?;
        self.writer.field(&mut self.out, id, wire)
    }

    /// What stands behind a value.
    fn after(&mut self, place: Place) -> Result<()> {
        match place {
            Place::Field if self.role() == Role::Struct => self.writer.close_field(&mut self.out),
            Place::Item => {
                self.item_done();
                Ok(())
            }
            Place::Field | Place::Key | Place::Value => Ok(()),
        }
    }

    /// Counts an element; one that its set has already is taken back.
    fn item_done(&mut self) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        if let Some(items) = &mut open.items {
            let item = self.out.from(open.item_from);
            let fingerprint = Keys::of_text(&self.snapshot.message_names, item);
            if !items.insert(fingerprint) {
                self.out.truncate(open.item_from);
                return;
            }
        }
        open.count += 1;
    }

    /// The fields that every reader of Thrift waits for: those without presence are written even
    /// when they are zero, required containers even when they are empty.
    fn defaults(&mut self, frame: &Frame<'s>) -> Result<()> {
        for field in &frame.message.fields {
            if frame.seen.contains(field.index) || field.id.is_none() {
                continue;
            }
            let required = field.presence == Presence::Required;
            if field.label != Label::Single {
                if required {
                    self.open_list(field)?;
                    self.close_list(field, 0)?;
                }
                continue;
            }
            let first = |id| self.snapshot.enumeration(id).first;
            if field.presence == Presence::Implicit
                && let Some(zero) = Scalar::zero(field.kind, first)
            {
                self.scalar(Place::Field, field, zero)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        let (message, role, count) = (frame.message, frame.role, frame.count);
        match role {
            Role::Struct => {
                if message.shape == Shape::Union && count != 1 {
                    let what = "a union in which not exactly one field is set";
                    return Err(Error::new(Cause::Inexpressible(what)));
                }
                if message.shape == Shape::Plain {
                    let seen = std::mem::take(&mut frame.seen);
                    let place = frame.place;
                    let frame = Frame {
                        message,
                        place,
                        role,
                        seen,
                        count,
                    };
                    self.defaults(&frame)?;
                }
                self.frames.pop();
                self.writer.close_struct(&mut self.out)
            }
            Role::Container => {
                if let (0, Some(field)) = (count, message.fields.first()) {
                    self.open_list(field)?;
                    self.close_list(field, 0)?;
                }
                self.frames.pop();
                Ok(())
            }
            Role::Entry { .. } => {
                self.complete(message)?;
                self.frames.pop();
                Ok(())
            }
        }
    }

    /// Key before value, both there, and between them what the protocol wants.
    fn complete(&mut self, entry: &'s Message) -> Result<()> {
        for field in &entry.fields {
            let there = self
                .frames
                .last()
                .is_some_and(|frame| frame.seen.contains(field.index));
            if there {
                continue;
            }
            let first = |id| self.snapshot.enumeration(id).first;
            match (Scalar::zero(field.kind, first), field.kind) {
                _ if field.label != Label::Single => {
                    self.open_list(field)?;
                    self.close_list(field, 0)?;
                }
                (Some(zero), _) => self.scalar(Place::Field, field, zero)?,
                (None, Kind::Message(id)) if self.snapshot.message(id).demanding => {
                    let name = field.name.as_ref().to_owned();
                    return Err(Error::new(Cause::Missing(name)));
                }
                (None, Kind::Message(id)) => {
                    self.open(Place::Field, field, self.snapshot.message(id))?;
                    self.close(field)?;
                }
                (None, _) => {}
            }
        }
        let role = self.role();
        let Role::Entry {
            start,
            second: Some(second),
            value_first,
        } = role
        else {
            return Ok(());
        };
        let mut split = second;
        if value_first {
            let bytes = self.out.from(start);
            bytes.rotate_left(second - start);
            split = start + bytes.len() - (second - start);
        }
        self.out.splice(split, 0, W::between())
    }

    fn put(&mut self, field: &Field, value: Scalar<'_>, key: bool) -> Result<()> {
        let (out, writer) = (&mut self.out, &mut self.writer);
        let number = match value {
            Scalar::Bool(value) => return writer.boolean(out, value, key),
            Scalar::Double(value) => return writer.double(out, value, key),
            Scalar::Float(value) => return writer.double(out, f64::from(value), key),
            Scalar::Bytes(value) => return writer.bytes(out, value),
            Scalar::Str(value) if field.wire == WireType::Uuid => {
                let value = uuid::from_text(value);
                let value = value.ok_or_else(|| Error::new(Cause::Type("a uuid")))?;
                return writer.uuid(out, value);
            }
            Scalar::Str(value) => return writer.string(out, value),
            Scalar::I32(value) | Scalar::Enum(value) => Some(i64::from(value)),
            Scalar::I64(value) => Some(value),
            Scalar::U32(value) => Some(i64::from(value)),
            Scalar::U64(value) => i64::try_from(value).ok(),
        };
        let range = |what| Error::new(Cause::Range(what));
        let number = number.ok_or_else(|| range("i64"))?;
        match field.wire {
            WireType::I8 => writer.i8(out, i8::try_from(number).map_err(|_| range("i8"))?, key),
            WireType::I16 => writer.i16(out, i16::try_from(number).map_err(|_| range("i16"))?, key),
            WireType::I32 => writer.i32(out, i32::try_from(number).map_err(|_| range("i32"))?, key),
            WireType::I64
            | WireType::Bool
            | WireType::Double
            | WireType::String
            | WireType::Struct
            | WireType::Map
            | WireType::Set
            | WireType::List
            | WireType::Uuid => writer.i64(out, number, key),
        }
    }

    /// Types of key and value.
    fn entry_types(&self, field: &Field) -> (WireType, WireType) {
        let entry = self.snapshot.entry(field);
        entry.map_or((WireType::String, WireType::String), |(key, value)| {
            (key.outer, value.outer)
        })
    }
}

impl<'s, W: Writer> Sink<'s> for ThriftSink<'s, '_, W> {
    const ORDERED: bool = true;

    fn start(&mut self, message: &'s Message) -> Result<()> {
        self.push(Place::Field, message, Role::Struct)
    }

    fn finish(&mut self) -> Result<()> {
        self.leave()
    }

    fn restart(&mut self) {
        self.out.clear();
        self.writer = W::default();
        self.frames.clear();
        self.open.clear();
    }

    fn scalar(&mut self, place: Place, field: &'s Field, value: Scalar<'_>) -> Result<()> {
        self.before(place, field, field.wire)?;
        let entry_key = matches!(self.role(), Role::Entry { .. }) && field.number == 1;
        let key = place == Place::Key || (place == Place::Field && entry_key);
        self.put(field, value, key)?;
        self.after(place)
    }

    fn open(&mut self, place: Place, field: &'s Field, message: &'s Message) -> Result<()> {
        if place == Place::Item && field.outer == WireType::Map {
            let first = self.open.last().is_none_or(|open| open.count == 0);
            self.writer.entry(&mut self.out, first)?;
            let start = self.out.len();
            let role = Role::Entry {
                start,
                second: None,
                value_first: false,
            };
            return self.push(place, message, role);
        }
        self.before(place, field, field.wire)?;
        let role = match message.shape {
            Shape::Container => Role::Container,
            Shape::Plain | Shape::Union | Shape::Entry => Role::Struct,
        };
        self.push(place, message, role)
    }

    fn close(&mut self, _: &'s Field) -> Result<()> {
        let frame = self.frames.last();
        let place = frame.map_or(Place::Field, |frame| frame.place);
        self.leave()?;
        self.after(place)
    }

    fn open_list(&mut self, field: &'s Field) -> Result<()> {
        self.before(Place::Field, field, field.outer)?;
        let mark = if field.outer == WireType::Map {
            let (key, value) = self.entry_types(field);
            self.writer.open_map(&mut self.out, key, value)?
        } else {
            self.writer.open_list(&mut self.out, field.wire)?
        };
        self.open.push(Open {
            mark,
            count: 0,
            items: (field.outer == WireType::Set).then(Keys::new),
            item_from: mark,
        });
        Ok(())
    }

    fn close_list(&mut self, field: &'s Field, _: usize) -> Result<()> {
        if let Some(open) = self.open.pop() {
            if field.outer == WireType::Map {
                self.writer
                    .close_map(&mut self.out, open.mark, open.count)?;
            } else {
                self.writer
                    .close_list(&mut self.out, open.mark, open.count)?;
            }
        }
        self.after(Place::Field)
    }

    fn open_map(&mut self, field: &'s Field) -> Result<()> {
        self.open_list(field)
    }

    fn close_map(&mut self, field: &'s Field, count: usize) -> Result<()> {
        self.close_list(field, count)
    }

    fn open_entry(&mut self, _: &'s Field) -> Result<()> {
        if let Some(open) = self.open.last_mut() {
            open.count += 1;
            let first = open.count == 1;
            return self.writer.entry(&mut self.out, first);
        }
        Ok(())
    }

    fn close_entry(&mut self, _: &'s Field) -> Result<()> {
        Ok(())
    }
}
