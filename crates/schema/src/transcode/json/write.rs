//! The sink that writes JSON. What was written last says whether a comma is due: nothing but an
//! opening bracket stands before a first member or element.

use super::base64;
use super::text::write_quoted;
use crate::config::Options;
use crate::error::{Cause, Error, Limit, Result};
use crate::snapshot::{Field, Kind, Label, Message, Presence, Snapshot, WellKnown};
use crate::transcode::output::Output;
use crate::transcode::sink::{Place, Scalar, Sink};

/// A message that is being written.
#[derive(Debug)]
pub(super) struct Frame<'s> {
    pub(super) message: &'s Message,
    /// Where its fields begin among those that were seen.
    seen_from: usize,
    /// Where it begins in the output.
    pub(super) start: usize,
    /// Of timestamps and durations.
    pub(super) seconds: i64,
    pub(super) nanos: i32,
}

#[derive(Debug)]
pub(crate) struct JsonSink<'s, 'o> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) options: &'o Options,
    pub(super) out: Output<'o>,
    pub(super) frames: Vec<Frame<'s>>,
    /// Where the lists and maps that are open begin, with their names.
    containers: Vec<usize>,
    /// Bits of the fields that were written, for each message that is open.
    seen: Vec<u64>,
    /// URL and value of the `Any`s that are open.
    pub(super) anys: Vec<(String, Vec<u8>)>,
    pub(super) elements: u64,
    pub(super) indexed: bool,
}

impl<'s, 'o> JsonSink<'s, 'o> {
    pub(crate) fn new(snapshot: &'s Snapshot, options: &'o Options, out: Output<'o>) -> Self {
        Self {
            snapshot,
            options,
            out,
            frames: Vec::new(),
            containers: Vec::new(),
            seen: Vec::new(),
            anys: Vec::new(),
            elements: 0,
            indexed: false,
        }
    }

    fn known(&self) -> WellKnown {
        self.frames
            .last()
            .map_or(WellKnown::No, |frame| frame.message.known)
    }

    /// Writes a comma if something stands before.
    #[inline]
    fn separate(&mut self) -> Result<()> {
        match self.out.last() {
            Some(b'[' | b'{') => Ok(()),
            _ => self.out.byte(b','),
        }
    }

    #[inline]
    fn key(&mut self, field: &Field) -> Result<()> {
        let key = if self.options.original_names {
            &field.original_key
        } else {
            &field.key
        };
        let skip = usize::from(self.out.last() == Some(b'{'));
        self.out.put(key.get(skip..).unwrap_or_default())
    }

    /// Remembers that a field was written, where those that were not get their zero.
    #[inline]
    fn note(&mut self, field: &Field) {
        if !self.options.emit_defaults {
            return;
        }
        let from = self.frames.last().map_or(0, |frame| frame.seen_from);
        if let Some(word) = self.seen.get_mut(from + usize::from(field.index / 64)) {
            *word |= 1 << (field.index % 64);
        }
    }

    /// Begins a message. `inside_any`: its type was written before, and members go on behind that.
    pub(super) fn enter(&mut self, message: &'s Message, inside_any: bool) -> Result<()> {
        let seen_from = self.seen.len();
        if self.options.emit_defaults {
            let words = message.fields.len().div_ceil(64);
            self.seen.resize(seen_from + words, 0);
        }
        self.frames.push(Frame {
            message,
            seen_from,
            start: self.out.len(),
            seconds: 0,
            nanos: 0,
        });
        match message.known {
            WellKnown::No if inside_any => Ok(()),
            WellKnown::No => self.out.byte(b'{'),
            WellKnown::FieldMask => self.out.byte(b'"'),
            WellKnown::Any => {
                if self.anys.len() >= self.options.limits.depth_max as usize {
                    return Err(Error::new(Cause::Over(Limit::Depth)));
                }
                self.anys.push((String::new(), Vec::new()));
                Ok(())
            }
            WellKnown::Timestamp
            | WellKnown::Duration
            | WellKnown::Struct
            | WellKnown::Value
            | WellKnown::ListValue
            | WellKnown::Wrapper => Ok(()),
        }
    }

    pub(super) fn leave(&mut self) -> Result<()> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        if frame.message.known != WellKnown::No {
            self.close_known(&frame)?;
        } else {
            if self.options.emit_defaults {
                self.defaults(&frame)?;
            }
            self.out.byte(b'}')?;
        }
        self.seen.truncate(frame.seen_from);
        Ok(())
    }

    /// Writes the fields without presence that were not there.
    fn defaults(&mut self, frame: &Frame<'s>) -> Result<()> {
        for field in &frame.message.fields {
            let word = frame.seen_from + usize::from(field.index / 64);
            let seen = self
                .seen
                .get(word)
                .is_some_and(|word| word >> (field.index % 64) & 1 == 1);
            if seen || field.presence != Presence::Implicit {
                continue;
            }
            match field.label {
                Label::Repeated => {
                    self.key(field)?;
                    self.out.put(b"[]")?;
                }
                Label::Map => {
                    self.key(field)?;
                    self.out.put(b"{}")?;
                }
                Label::Single => {
                    let first = |id| self.snapshot.enumeration(id).first;
                    if let Some(zero) = Scalar::zero(field.kind, first) {
                        self.key(field)?;
                        self.put(field, zero)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a value.
    #[inline]
    pub(super) fn put(&mut self, field: &Field, value: Scalar<'_>) -> Result<()> {
        let mut digits = itoa::Buffer::new();
        match value {
            Scalar::Str(text) => write_quoted(text, &mut self.out),
            Scalar::I32(value) => self.out.put(digits.format(value).as_bytes()),
            Scalar::U32(value) => self.out.put(digits.format(value).as_bytes()),
            Scalar::I64(value) => self.quoted(digits.format(value).as_bytes()),
            Scalar::U64(value) => self.quoted(digits.format(value).as_bytes()),
            Scalar::Bool(true) => self.out.put(b"true"),
            Scalar::Bool(false) => self.out.put(b"false"),
            Scalar::Double(value) => write_double(value, &mut self.out),
            Scalar::Float(value) => write_float(value, &mut self.out),
            Scalar::Bytes(bytes) => {
                self.out.byte(b'"')?;
                base64::encode(bytes, true, &mut self.out)?;
                self.out.byte(b'"')
            }
            Scalar::Enum(number) => self.enumeration(field, number),
        }
    }

    fn enumeration(&mut self, field: &Field, number: i32) -> Result<()> {
        if let Kind::Enum(id) = field.kind {
            let table = self.snapshot.enumeration(id);
            if table.null {
                return self.out.put(b"null");
            }
            if !self.options.enum_numbers
                && let Some(name) = table.name_of(number)
            {
                // Names of enums have nothing to escape.
                return self.quoted(name.as_bytes());
            }
        }
        self.out.put(itoa::Buffer::new().format(number).as_bytes())
    }

    #[inline]
    fn quoted(&mut self, text: &[u8]) -> Result<()> {
        self.out.byte(b'"')?;
        self.out.put(text)?;
        self.out.byte(b'"')
    }
}

/// The shortest number that is read back as the same; texts for what is no number.
pub(crate) fn write_double(value: f64, out: &mut Output<'_>) -> Result<()> {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        return out.put(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    }
    not_finite(value.is_nan(), value > 0.0, out)
}

/// The same for 32 bits.
fn write_float(value: f32, out: &mut Output<'_>) -> Result<()> {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        return out.put(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    }
    not_finite(value.is_nan(), value > 0.0, out)
}

fn not_finite(nan: bool, positive: bool, out: &mut Output<'_>) -> Result<()> {
    match (nan, positive) {
        (true, _) => out.put(b"\"NaN\""),
        (false, true) => out.put(b"\"Infinity\""),
        (false, false) => out.put(b"\"-Infinity\""),
    }
}

impl<'s> Sink<'s> for JsonSink<'s, '_> {
    const ORDERED: bool = true;

    fn start(&mut self, message: &'s Message) -> Result<()> {
        self.enter(message, false)
    }

    fn finish(&mut self) -> Result<()> {
        self.leave()
    }

    fn restart(&mut self) {
        self.out.clear();
        self.frames.clear();
        self.containers.clear();
        self.seen.clear();
        self.anys.clear();
        self.elements = 0;
        self.indexed = true;
    }

    #[inline]
    fn scalar(&mut self, place: Place, field: &'s Field, value: Scalar<'_>) -> Result<()> {
        match place {
            Place::Field if self.known() != WellKnown::No => return self.part(field, value),
            Place::Field => {
                if field.hides_zero() && value.is_zero() && !self.options.emit_defaults {
                    return Ok(());
                }
                self.note(field);
                self.key(field)?;
            }
            Place::Item if self.known() == WellKnown::FieldMask => return self.path(value),
            Place::Item => self.separate()?,
            Place::Key => {
                self.separate()?;
                if let Scalar::I32(_) | Scalar::U32(_) | Scalar::Bool(_) = value {
                    self.out.byte(b'"')?;
                    self.put(field, value)?;
                    self.out.byte(b'"')?;
                } else {
                    self.put(field, value)?;
                }
                return self.out.byte(b':');
            }
            Place::Value => {}
        }
        self.put(field, value)
    }

    fn open(&mut self, place: Place, field: &'s Field, message: &'s Message) -> Result<()> {
        match place {
            Place::Field if self.known() != WellKnown::No => {}
            Place::Field => {
                self.note(field);
                self.key(field)?;
            }
            Place::Item => self.separate()?,
            Place::Key | Place::Value => {}
        }
        self.enter(message, false)
    }

    fn close(&mut self, _: &'s Field) -> Result<()> {
        self.leave()
    }

    fn open_list(&mut self, field: &'s Field) -> Result<()> {
        self.containers.push(self.out.len());
        let known = self.known();
        if known == WellKnown::FieldMask {
            return Ok(());
        }
        if known == WellKnown::No {
            self.key(field)?;
        }
        self.out.byte(b'[')
    }

    fn close_list(&mut self, field: &'s Field, count: usize) -> Result<()> {
        let start = self.containers.pop();
        let known = self.known();
        if known == WellKnown::FieldMask {
            return Ok(());
        }
        if known == WellKnown::No {
            if let (0, false, Some(start)) = (count, self.options.emit_defaults, start) {
                self.out.truncate(start);
                return Ok(());
            }
            self.note(field);
        }
        self.out.byte(b']')
    }

    fn open_map(&mut self, field: &'s Field) -> Result<()> {
        self.containers.push(self.out.len());
        if self.known() == WellKnown::No {
            self.key(field)?;
        }
        self.out.byte(b'{')
    }

    fn close_map(&mut self, field: &'s Field, count: usize) -> Result<()> {
        let start = self.containers.pop();
        if self.known() == WellKnown::No {
            if let (0, false, Some(start)) = (count, self.options.emit_defaults, start) {
                self.out.truncate(start);
                return Ok(());
            }
            self.note(field);
        }
        self.out.byte(b'}')
    }

    fn open_entry(&mut self, _: &'s Field) -> Result<()> {
        Ok(())
    }

    fn close_entry(&mut self, _: &'s Field) -> Result<()> {
        Ok(())
    }
}
