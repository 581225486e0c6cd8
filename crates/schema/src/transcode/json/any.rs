//! `Any` in JSON: an object with `@type` somewhere among the fields of the message that it holds.

use super::read::JsonReader;
use crate::error::{Cause, Error, Result};
use crate::snapshot::{Field, Message, WellKnown};
use crate::transcode::output::Output;
use crate::transcode::proto::ProtoSink;
use crate::transcode::sink::{Place, Scalar, Sink};

/// The message that a type's URL names: what is behind its last slash.
pub(super) fn type_name(url: &str) -> Option<&str> {
    let (_, name) = url.rsplit_once('/')?;
    (!name.is_empty()).then_some(name)
}

impl<'s> JsonReader<'s, '_> {
    pub(super) fn any<S: Sink<'s>>(&mut self, any: &'s Message, sink: &mut S) -> Result<()> {
        let (Some(url_field), Some(value_field)) = (any.field(1), any.field(2)) else {
            return Err(self.tokens.malformed("no Any"));
        };
        let from = self.tokens.at;
        let Some(url) = self.find_type()? else {
            // Without a type there is nothing that it could hold.
            self.tokens.at = from;
            self.tokens.expect(b'{', "an object")?;
            if self.tokens.eat(b'}') {
                return Ok(());
            }
            return Err(self.tokens.error(Cause::Missing("@type".to_owned())));
        };
        self.tokens.at = from;
        let id = type_name(&url).and_then(|name| self.snapshot.find_message(name));
        let Some(id) = id else {
            return Err(self.tokens.error(Cause::UnknownType(url)));
        };
        let bytes = self.any_value(self.snapshot.message(id), value_field)?;
        sink.scalar(Place::Field, url_field, Scalar::Str(&url))?;
        sink.scalar(Place::Field, value_field, Scalar::Bytes(&bytes))
    }

    /// The message inside, as Protobuf.
    fn any_value(&mut self, message: &'s Message, field: &'s Field) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let out = Output::new(&mut bytes, self.options.limits.output_bytes_max);
        let mut sink = ProtoSink::new(out);
        let read = if message.known == WellKnown::No {
            self.enter()?;
            let read = self.object(message, true, &mut sink);
            self.depth -= 1;
            read
        } else {
            self.any_known(message, &mut sink)
        };
        read.map_err(|error| error.within(&*field.json_name))?;
        Ok(bytes)
    }

    /// A message with a form of its own is the member `value`.
    fn any_known(&mut self, message: &'s Message, sink: &mut ProtoSink<'_>) -> Result<()> {
        self.tokens.expect(b'{', "an object")?;
        let mut found = false;
        let mut more = !self.tokens.eat(b'}');
        while more {
            let name = self.tokens.string()?.to_owned();
            self.tokens.expect(b':', "a colon")?;
            match name.as_str() {
                "@type" => drop(self.tokens.string()?),
                "value" if found => return Err(self.tokens.error(Cause::Duplicate(name))),
                "value" => {
                    found = true;
                    self.body(message, sink)?;
                }
                _ => self.unknown(name)?,
            }
            more = self.tokens.more(b'}')?;
        }
        if found {
            return Ok(());
        }
        Err(self.tokens.error(Cause::Missing("value".to_owned())))
    }

    /// Looks for `@type` through the whole object.
    fn find_type(&mut self) -> Result<Option<String>> {
        let mut url = None;
        let depth = self.options.limits.depth_max.saturating_sub(self.depth);
        self.tokens.expect(b'{', "an object")?;
        let mut more = !self.tokens.eat(b'}');
        while more {
            let is_type = self.tokens.string()? == "@type";
            self.tokens.expect(b':', "a colon")?;
            if is_type {
                let text = self.tokens.string()?.to_owned();
                if url.replace(text).is_some() {
                    return Err(Error::at(
                        Cause::Duplicate("@type".to_owned()),
                        self.tokens.at,
                    ));
                }
            } else {
                self.tokens.skip(depth)?;
            }
            more = self.tokens.more(b'}')?;
        }
        Ok(url)
    }
}
