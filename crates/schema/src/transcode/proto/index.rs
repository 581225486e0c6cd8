//! Messages whose fields come twice, in pieces or between each other: where each value is, sorted by
//! field. Messages below are read in the same way, each once.

use std::borrow::Cow;

use super::read::{ProtoReader, end_of_group, missing};
use super::wire::Wire;
use crate::error::{Cause, Result};
use crate::snapshot::{Encoding, Field, Kind, Label, Message, NO_ONEOF};
use crate::transcode::bits::{Bits, Keys};
use crate::transcode::sink::{Place, Sink};

/// A value: of which field, and where.
#[derive(Clone, Copy, Debug)]
struct Span {
    index: u16,
    tag: u32,
    from: usize,
    to: usize,
}

impl<'s> ProtoReader<'s, '_> {
    /// Reads the fields of a message in the order of their numbers, merging as a parser would.
    pub(super) fn sorted<S: Sink<'s>>(
        &mut self,
        message: &'s Message,
        wire: &mut Wire<'_>,
        group: Option<u32>,
        sink: &mut S,
    ) -> Result<()> {
        let spans = self.spans(message, wire, group)?;
        let mut seen = Bits::default();
        for spans in spans.chunk_by(|a, b| a.index == b.index) {
            let Some(field) = spans
                .first()
                .and_then(|s| message.fields.get(usize::from(s.index)))
            else {
                continue;
            };
            seen.insert(field.index);
            self.merged(field, spans, *wire, sink)
                .map_err(|error| error.within(&*field.json_name))?;
        }
        missing(message, &seen)
    }

    fn spans(
        &mut self,
        message: &'s Message,
        wire: &mut Wire<'_>,
        group: Option<u32>,
    ) -> Result<Vec<Span>> {
        let mut spans: Vec<Span> = Vec::new();
        while !wire.is_empty() {
            let tag = wire.tag()?;
            if tag & 7 == 4 {
                end_of_group(wire, tag, group)?;
                return Ok(arranged(message, spans));
            }
            let field = self
                .find(message, tag)
                .filter(|field| !self.is_foreign(field, wire));
            let Some(field) = field else {
                self.drop_field(wire, tag)?;
                continue;
            };
            self.count(wire)?;
            let from = wire.at();
            let to = if field.encoding == Encoding::Group {
                wire.skip_group(field.number, self.options.limits.depth_max)?
            } else {
                wire.skip(tag, 0)?;
                wire.at()
            };
            let index = field.index;
            spans.push(Span {
                index,
                tag,
                from,
                to,
            });
        }
        if group.is_some() {
            return Err(wire.error(Cause::Malformed("ends early")));
        }
        Ok(arranged(message, spans))
    }

    fn merged<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        spans: &[Span],
        wire: Wire<'_>,
        sink: &mut S,
    ) -> Result<()> {
        match field.label {
            Label::Repeated => {
                sink.open_list(field)?;
                let mut count = 0;
                for span in spans {
                    let mut wire = wire.nested(span.from, span.to);
                    if field.encoding == Encoding::Group {
                        // Its end is not inside of the span.
                        self.content(Place::Item, field, &mut wire, sink)?;
                        count += 1;
                    } else {
                        count = self.items(field, span.tag, &mut wire, count, sink)?;
                    }
                }
                sink.close_list(field, count)
            }
            Label::Map => self.last_entries(field, spans, wire, sink),
            Label::Single if field.kind.message().is_some() => {
                let bytes = joined(field, spans, wire)?;
                self.content(Place::Field, field, &mut Wire::new(&bytes), sink)
            }
            Label::Single => match spans.last() {
                Some(span) => {
                    let mut wire = wire.nested(span.from, span.to);
                    self.value(Place::Field, field, &mut wire, sink)
                }
                None => Ok(()),
            },
        }
    }

    /// A message whose bytes are all of `wire`.
    fn content<S: Sink<'s>>(
        &mut self,
        place: Place,
        field: &'s Field,
        wire: &mut Wire<'_>,
        sink: &mut S,
    ) -> Result<()> {
        let Kind::Message(id) = field.kind else {
            return Ok(());
        };
        let message = self.snapshot.message(id);
        sink.open(place, field, message)?;
        self.fields(message, wire, None, sink)?;
        sink.close(field)
    }

    /// Of entries with one key only the last one counts.
    fn last_entries<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        spans: &[Span],
        wire: Wire<'_>,
        sink: &mut S,
    ) -> Result<()> {
        let mut keys = Keys::new();
        let mut entries = Vec::with_capacity(spans.len());
        for span in spans.iter().rev() {
            let bytes = wire.nested(span.from, span.to).slice()?;
            if let Some(entry) = self.parse_entry(field, bytes)?
                && keys.insert(entry.fingerprint(self.snapshot))
            {
                entries.push(entry);
            }
        }
        sink.open_map(field)?;
        let count = entries.len();
        for entry in entries.iter().rev() {
            self.write_entry(field, entry, sink)?;
        }
        sink.close_map(field, count)
    }
}

/// Sorted by field, in the order of the wire within one; of oneofs only what the last member says.
fn arranged(message: &Message, mut spans: Vec<Span>) -> Vec<Span> {
    if !message.oneofs.is_empty() {
        // For each oneof the member that is set when all is read, and since where.
        let mut last: Vec<Option<(u16, usize)>> = vec![None; message.oneofs.len()];
        let oneof = |span: &Span| {
            let field = message.fields.get(usize::from(span.index))?;
            (field.oneof != NO_ONEOF).then_some(usize::from(field.oneof))
        };
        for span in &spans {
            if let Some(entry) = oneof(span).and_then(|oneof| last.get_mut(oneof))
                && entry.is_none_or(|(index, _)| index != span.index)
            {
                *entry = Some((span.index, span.from));
            }
        }
        spans.retain(|span| match oneof(span).and_then(|oneof| last.get(oneof)) {
            Some(Some((index, since))) => span.index == *index && span.from >= *since,
            _ => true,
        });
    }
    spans.sort_by_key(|span| span.index);
    spans
}

/// The content of a message that came in pieces: behind each other they are the merged message.
fn joined<'w>(field: &Field, spans: &[Span], wire: Wire<'w>) -> Result<Cow<'w, [u8]>> {
    let content = |span: &Span| {
        if field.encoding == Encoding::Group {
            Ok(wire.between(span.from, span.to))
        } else {
            wire.nested(span.from, span.to).slice()
        }
    };
    match spans {
        [one] => content(one).map(Cow::Borrowed),
        many => {
            let mut all = Vec::new();
            for span in many {
                all.extend_from_slice(content(span)?);
            }
            Ok(Cow::Owned(all))
        }
    }
}
