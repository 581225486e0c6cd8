//! Well-known messages that have a form of their own in JSON, written.

use super::any::type_name;
use super::time;
use super::write::{Frame, JsonSink};
use super::write_quoted;
use crate::error::{Cause, Error, Limit, Result};
use crate::snapshot::{Field, WellKnown};
use crate::transcode::proto::{ProtoReader, Wire};
use crate::transcode::sink::Scalar;

impl<'s> JsonSink<'s, '_> {
    /// A field of a message whose fields are not members.
    pub(super) fn part(&mut self, field: &'s Field, value: Scalar<'_>) -> Result<()> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        match (frame.message.known, value) {
            (WellKnown::Timestamp | WellKnown::Duration, Scalar::I64(value)) => {
                frame.seconds = value;
                Ok(())
            }
            (WellKnown::Timestamp | WellKnown::Duration, Scalar::I32(value)) => {
                frame.nanos = value;
                Ok(())
            }
            (WellKnown::Any, Scalar::Str(url)) => {
                if let Some((kept, _)) = self.anys.last_mut() {
                    url.clone_into(kept);
                }
                Ok(())
            }
            (WellKnown::Any, Scalar::Bytes(bytes)) => {
                if let Some((_, kept)) = self.anys.last_mut() {
                    bytes.clone_into(kept);
                }
                Ok(())
            }
            (WellKnown::Value, Scalar::Double(number)) if !number.is_finite() => {
                let what = "a number in google.protobuf.Value that JSON does not have";
                Err(Error::new(Cause::Inexpressible(what)))
            }
            _ => self.put(field, value),
        }
    }

    /// A path of a mask: `a.foo_bar` as `a.fooBar`.
    pub(super) fn path(&mut self, value: Scalar<'_>) -> Result<()> {
        let Scalar::Str(path) = value else {
            return Ok(());
        };
        let start = self.frames.last().map_or(0, |frame| frame.start);
        if self.out.len() > start + 1 {
            self.out.byte(b',')?;
        }
        let mut raise = false;
        for byte in path.bytes() {
            let written = match byte {
                b'_' if !raise => {
                    raise = true;
                    continue;
                }
                b'a'..=b'z' if raise => byte.to_ascii_uppercase(),
                b'a'..=b'z' | b'0'..=b'9' | b'.' if !raise => byte,
                _ => return Err(no_path()),
            };
            raise = false;
            self.out.byte(written)?;
        }
        if raise {
            return Err(no_path());
        }
        Ok(())
    }

    pub(super) fn close_known(&mut self, frame: &Frame<'s>) -> Result<()> {
        let empty = self.out.len() == frame.start;
        match frame.message.known {
            WellKnown::No => Ok(()),
            WellKnown::Timestamp => self.short(time::format_timestamp(frame.seconds, frame.nanos)?),
            WellKnown::Duration => self.short(time::format_duration(frame.seconds, frame.nanos)?),
            WellKnown::FieldMask => self.out.byte(b'"'),
            WellKnown::Struct if empty => self.out.put(b"{}"),
            WellKnown::ListValue if empty => self.out.put(b"[]"),
            WellKnown::Struct | WellKnown::ListValue => Ok(()),
            WellKnown::Value if empty => {
                let what = "a google.protobuf.Value without a value";
                Err(Error::new(Cause::Inexpressible(what)))
            }
            WellKnown::Value => Ok(()),
            WellKnown::Wrapper => match frame.message.fields.first() {
                // A zero in a wrapper is not sent.
                Some(field) if empty => match Scalar::zero(field.kind, |_| 0) {
                    Some(zero) => self.put(field, zero),
                    None => Ok(()),
                },
                _ => Ok(()),
            },
            WellKnown::Any => {
                let (url, value) = self.anys.pop().unwrap_or_default();
                self.any(&url, &value)
            }
        }
    }

    fn short(&mut self, text: time::Short) -> Result<()> {
        self.out.byte(b'"')?;
        self.out.put(text.as_bytes())?;
        self.out.byte(b'"')
    }

    /// The message inside of an `Any`, whose type is known now.
    fn any(&mut self, url: &str, value: &[u8]) -> Result<()> {
        if url.is_empty() && value.is_empty() {
            return self.out.put(b"{}");
        }
        let id = type_name(url).and_then(|name| self.snapshot.find_message(name));
        let id = id.ok_or_else(|| Error::new(Cause::UnknownType(url.to_owned())))?;
        let message = self.snapshot.message(id);
        let depth = u32::try_from(self.frames.len() + 1).unwrap_or(u32::MAX);
        if depth >= self.options.limits.depth_max {
            return Err(Error::new(Cause::Over(Limit::Depth)));
        }
        self.out.put(b"{\"@type\":")?;
        write_quoted(url, &mut self.out)?;
        let known = message.known != WellKnown::No;
        if known {
            self.out.put(b",\"value\":")?;
        }
        let reader = ProtoReader::new(self.snapshot, self.options);
        let mut reader = reader.inside(depth, self.elements, self.indexed);
        self.enter(message, true)?;
        reader.fields(message, &mut Wire::new(value), None, self)?;
        self.elements = reader.elements();
        self.leave()?;
        if known {
            self.out.byte(b'}')?;
        }
        Ok(())
    }
}

fn no_path() -> Error {
    Error::new(Cause::Inexpressible(
        "a path of a mask that lowerCamelCase does not give back",
    ))
}
