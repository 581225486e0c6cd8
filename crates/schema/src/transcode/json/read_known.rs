//! Well-known messages that have a form of their own in JSON.

use super::read::JsonReader;
use super::time;
use crate::error::{Cause, Error, Result};
use crate::snapshot::{Field, Kind, Message, WellKnown};
use crate::transcode::sink::{Place, Scalar, Sink};

/// A field whose number the message's shape promises.
fn numbered(message: &Message, number: u32) -> Result<&Field> {
    let field = message.field(number);
    field.ok_or_else(|| Error::new(Cause::Malformed("a well-known message without its field")))
}

impl<'s> JsonReader<'s, '_> {
    pub(super) fn known<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        match message.known {
            WellKnown::No => self.object(message, false, sink),
            WellKnown::Any => self.any(message, sink),
            WellKnown::Timestamp => {
                let time = time::parse_timestamp(self.tokens.string()?);
                self.time(message, time, sink)
            }
            WellKnown::Duration => {
                let time = time::parse_duration(self.tokens.string()?);
                self.time(message, time, sink)
            }
            WellKnown::FieldMask => self.mask(message, sink),
            WellKnown::Struct => self.map(numbered(message, 1)?, sink),
            WellKnown::ListValue => self.list(numbered(message, 1)?, sink),
            WellKnown::Wrapper => self.value(Place::Field, numbered(message, 1)?, sink),
            WellKnown::Value => self.free_value(message, sink),
        }
    }

    fn time<S: Sink<'s>>(
        &mut self,
        message: &'s Message,
        time: Result<(i64, i32)>,
        sink: &mut S,
    ) -> Result<()> {
        let at = self.tokens.at;
        let (seconds, nanos) = time.map_err(|error| Error::at(error.cause().clone(), at))?;
        sink.scalar(Place::Field, numbered(message, 1)?, Scalar::I64(seconds))?;
        sink.scalar(Place::Field, numbered(message, 2)?, Scalar::I32(nanos))
    }

    /// `a.fooBar,c` for the paths `a.foo_bar` and `c`.
    fn mask<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        let field = numbered(message, 1)?;
        let text = self.tokens.string()?.to_owned();
        sink.open_list(field)?;
        let mut count = 0;
        let mut path = String::new();
        for camel in text.split(',').filter(|_| !text.is_empty()) {
            self.count()?;
            path.clear();
            for c in camel.chars() {
                match c {
                    'A'..='Z' => path.extend(['_', c.to_ascii_lowercase()]),
                    '_' => return Err(self.tokens.error(Cause::Type("a path in lowerCamelCase"))),
                    _ => path.push(c),
                }
            }
            sink.scalar(Place::Item, field, Scalar::Str(&path))?;
            count += 1;
        }
        sink.close_list(field, count)
    }

    /// Any JSON.
    fn free_value<S: Sink<'s>>(&mut self, message: &'s Message, sink: &mut S) -> Result<()> {
        let number = match self.tokens.peek() {
            Some(b'n') => {
                self.tokens.literal("null")?;
                return sink.scalar(Place::Field, numbered(message, 1)?, Scalar::Enum(0));
            }
            Some(b'"') => 3,
            Some(b't' | b'f') => 4,
            Some(b'{') => 5,
            Some(b'[') => 6,
            _ => {
                let value = self.tokens.float("any JSON", f64::is_finite)?;
                let field = numbered(message, 2)?;
                return sink.scalar(Place::Field, field, Scalar::Double(value));
            }
        };
        let field = numbered(message, number)?;
        debug_assert!(
            number != 3 || field.kind == Kind::String,
            "looked at when linking"
        );
        self.value(Place::Field, field, sink)
    }
}
