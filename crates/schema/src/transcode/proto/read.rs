//! The reader of Protobuf: along the tags, and along the table as long as the two agree.

use super::wire::Wire;
use crate::config::Options;
use crate::error::{Cause, Error, Limit, Result};
use crate::snapshot::{Encoding, Field, Kind, Label, Message, NO_ONEOF, Presence, Snapshot};
use crate::transcode::bits::{Bits, Keys};
use crate::transcode::sink::{Place, Scalar, Sink};

#[derive(Debug)]
pub(crate) struct ProtoReader<'s, 'o> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) options: &'o Options,
    depth: u32,
    elements: u64,
    pub(crate) dropped: u64,
    indexed: bool,
}

impl<'s, 'o> ProtoReader<'s, 'o> {
    pub(crate) fn new(snapshot: &'s Snapshot, options: &'o Options) -> Self {
        Self {
            snapshot,
            options,
            depth: 0,
            elements: 0,
            dropped: 0,
            indexed: false,
        }
    }

    /// Reads every message through an index of its fields.
    pub(crate) fn through_index(mut self) -> Self {
        self.indexed = true;
        self
    }

    /// Begins inside of something that has used up a part of the limits.
    pub(crate) fn inside(mut self, depth: u32, elements: u64, indexed: bool) -> Self {
        self.depth = depth;
        self.elements = elements;
        self.indexed = indexed;
        self
    }

    pub(crate) fn elements(&self) -> u64 {
        self.elements
    }

    /// Reads a message that is all of `bytes`.
    pub(crate) fn root<S: Sink<'s>>(
        &mut self,
        message: &'s Message,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<()> {
        sink.start(message)?;
        self.fields(message, &mut Wire::new(bytes), None, sink)?;
        sink.finish()
    }

    /// Reads the fields of a message, up to the end of `wire` or to that of a group.
    pub(crate) fn fields<S: Sink<'s>>(
        &mut self,
        message: &'s Message,
        wire: &mut Wire<'_>,
        group: Option<u32>,
        sink: &mut S,
    ) -> Result<()> {
        if self.depth >= self.options.limits.depth_max {
            return Err(wire.error(Cause::Over(Limit::Depth)));
        }
        self.depth += 1;
        if self.indexed && S::ORDERED {
            self.sorted(message, wire, group, sink)?;
        } else {
            self.streamed(message, wire, group, sink)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn streamed<S: Sink<'s>>(
        &mut self,
        message: &'s Message,
        wire: &mut Wire<'_>,
        group: Option<u32>,
        sink: &mut S,
    ) -> Result<()> {
        let (mut seen, mut oneofs) = (Bits::default(), Bits::default());
        let mut next = 0_usize;
        loop {
            if wire.is_empty() {
                if group.is_some() {
                    return Err(wire.error(Cause::Malformed("ends early")));
                }
                break;
            }
            let start = wire.at();
            let tag = wire.tag()?;
            let field = match message.fields.get(next) {
                Some(field) if field.tag == tag => field,
                _ if tag & 7 == 4 => {
                    end_of_group(wire, tag, group)?;
                    break;
                }
                _ => match self.find(message, tag) {
                    Some(field) => field,
                    None => {
                        self.unknown(wire, start, tag, sink)?;
                        continue;
                    }
                },
            };
            next = usize::from(field.index) + 1;
            if self.is_foreign(field, wire) {
                self.unknown(wire, start, tag, sink)?;
                continue;
            }
            let new = seen.insert(field.index);
            let first = field.oneof == NO_ONEOF || oneofs.insert(field.oneof);
            if S::ORDERED && !(new && first) {
                return Err(Error::disorder());
            }
            self.field(field, tag, wire, sink)
                .map_err(|error| error.within(&*field.json_name))?;
        }
        missing(message, &seen)
    }

    /// The field of a tag, if its wire type fits too.
    pub(super) fn find(&self, message: &'s Message, tag: u32) -> Option<&'s Field> {
        let field = message.field(tag >> 3)?;
        let packed = field.label == Label::Repeated && tag & 7 == 2 && field.encoding.packable();
        (field.tag == tag || packed).then_some(field)
    }

    /// Whether the next value is one that its closed enum does not have; it is as an unknown field.
    /// Of lists only single elements are left out, later.
    pub(super) fn is_foreign(&self, field: &Field, wire: &Wire<'_>) -> bool {
        let Kind::Enum(id) = field.kind else {
            return false;
        };
        if field.label != Label::Single || !self.snapshot.enumeration(id).closed {
            return false;
        }
        let mut ahead = *wire;
        let value = ahead.varint().unwrap_or(0);
        self.snapshot
            .enumeration(id)
            .name_of(low_i32(value))
            .is_none()
    }

    /// Hands over a field that the table does not have.
    fn unknown<S: Sink<'s>>(
        &mut self,
        wire: &mut Wire<'_>,
        start: usize,
        tag: u32,
        sink: &mut S,
    ) -> Result<()> {
        self.drop_field(wire, tag)?;
        if sink.unknown(wire.between(start, wire.at()))? {
            self.dropped -= 1;
        }
        Ok(())
    }

    pub(super) fn drop_field(&mut self, wire: &mut Wire<'_>, tag: u32) -> Result<()> {
        self.dropped += 1;
        wire.skip(
            tag,
            self.options.limits.depth_max.saturating_sub(self.depth),
        )
    }

    pub(super) fn count(&mut self, wire: &Wire<'_>) -> Result<()> {
        self.elements += 1;
        if self.elements > self.options.limits.elements_max {
            return Err(wire.error(Cause::Over(Limit::Elements)));
        }
        Ok(())
    }

    #[inline]
    fn field<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        tag: u32,
        wire: &mut Wire<'_>,
        sink: &mut S,
    ) -> Result<()> {
        match field.label {
            Label::Single => self.value(Place::Field, field, wire, sink),
            Label::Repeated => {
                sink.open_list(field)?;
                let count = self.run(field, tag, wire, |it, tag, wire, count| {
                    it.items(field, tag, wire, count, sink)
                })?;
                sink.close_list(field, count)
            }
            Label::Map => {
                sink.open_map(field)?;
                let mut keys = Keys::new();
                let count = self.run(field, tag, wire, |it, _, wire, count| {
                    it.entry(field, wire.slice()?, &mut keys, sink)
                        .map(|there| count + usize::from(there))
                })?;
                sink.close_map(field, count)
            }
        }
    }

    /// Calls `each` for the field and for those of the same number that follow at once.
    fn run<'w>(
        &mut self,
        field: &'s Field,
        mut tag: u32,
        wire: &mut Wire<'w>,
        mut each: impl FnMut(&mut Self, u32, &mut Wire<'w>, usize) -> Result<usize>,
    ) -> Result<usize> {
        let mut count = 0;
        loop {
            count = each(self, tag, wire, count)?;
            let before = *wire;
            if wire.is_empty() {
                return Ok(count);
            }
            tag = wire.tag()?;
            let packed = tag == (field.number << 3 | 2) && field.encoding.packable();
            if tag != field.tag && !(packed && field.label == Label::Repeated) {
                *wire = before;
                return Ok(count);
            }
        }
    }

    /// One element, or a piece of packed ones. Gives the count so far.
    pub(super) fn items<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        tag: u32,
        wire: &mut Wire<'_>,
        mut count: usize,
        sink: &mut S,
    ) -> Result<usize> {
        if tag == field.tag {
            return self.item(field, wire, count, sink);
        }
        let (from, to) = wire.length()?;
        let mut piece = wire.nested(from, to);
        while !piece.is_empty() {
            count = self.item(field, &mut piece, count, sink)?;
        }
        Ok(count)
    }

    fn item<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        wire: &mut Wire<'_>,
        count: usize,
        sink: &mut S,
    ) -> Result<usize> {
        self.count(wire)?;
        if let Kind::Enum(id) = field.kind
            && self.snapshot.enumeration(id).closed
        {
            let mut ahead = *wire;
            let value = low_i32(ahead.varint()?);
            if self.snapshot.enumeration(id).name_of(value).is_none() {
                self.dropped += 1;
                wire.varint()?;
                return Ok(count);
            }
        }
        self.value(Place::Item, field, wire, sink)
            .map_err(|error| error.within(format!("[{count}]")))?;
        Ok(count + 1)
    }

    /// An entry of a map. Key and value may be missing, come twice or the wrong way round. Gives
    /// whether it was written.
    fn entry<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        bytes: &[u8],
        keys: &mut Keys,
        sink: &mut S,
    ) -> Result<bool> {
        let entry = self.parse_entry(field, bytes)?;
        let Some(entry) = entry else {
            return Ok(false);
        };
        if S::ORDERED && !keys.insert(entry.fingerprint(self.snapshot)) {
            return Err(Error::disorder());
        }
        self.write_entry(field, &entry, sink)?;
        Ok(true)
    }

    pub(super) fn write_entry<S: Sink<'s>>(
        &mut self,
        field: &'s Field,
        entry: &Entry<'s, '_>,
        sink: &mut S,
    ) -> Result<()> {
        sink.open_entry(field)?;
        sink.scalar(Place::Key, entry.key_field, entry.key)?;
        let value = self.entry_value(entry, sink);
        value.map_err(|error| error.within(format!("[{}]", entry.key_text())))?;
        sink.close_entry(field)
    }

    fn entry_value<S: Sink<'s>>(&mut self, entry: &Entry<'s, '_>, sink: &mut S) -> Result<()> {
        let field = entry.value_field;
        let mut wire = match &entry.value {
            EntryValue::Scalar(value) => return sink.scalar(Place::Value, field, *value),
            EntryValue::Bytes(bytes) => Wire::new(bytes),
            EntryValue::Merged(bytes) => Wire::new(bytes),
        };
        let Kind::Message(id) = field.kind else {
            return Ok(());
        };
        let message = self.snapshot.message(id);
        sink.open(Place::Value, field, message)?;
        self.fields(message, &mut wire, None, sink)?;
        sink.close(field)
    }

    /// Finds key and value. `None` when the value is foreign to a closed enum.
    pub(super) fn parse_entry<'w>(
        &mut self,
        field: &'s Field,
        bytes: &'w [u8],
    ) -> Result<Option<Entry<'s, 'w>>> {
        let mut wire = Wire::new(bytes);
        self.count(&wire)?;
        let Some((key_field, value_field)) = self.snapshot.entry(field) else {
            return Err(wire.error(Cause::Malformed("no entry")));
        };
        let first = |id| self.snapshot.enumeration(id).first;
        let mut key = Scalar::zero(key_field.kind, first).unwrap_or(Scalar::Bool(false));
        let mut value = match Scalar::zero(value_field.kind, first) {
            Some(value) => EntryValue::Scalar(value),
            None => EntryValue::Bytes(&[]),
        };
        let mut foreign = false;
        while !wire.is_empty() {
            let tag = wire.tag()?;
            if tag == key_field.tag {
                key = self.read_scalar(key_field, &mut wire)?;
            } else if tag == value_field.tag && matches!(value_field.kind, Kind::Message(_)) {
                value = value.merged_with(wire.slice()?);
            } else if tag == value_field.tag {
                foreign = self.is_foreign(value_field, &wire);
                value = EntryValue::Scalar(self.read_scalar(value_field, &mut wire)?);
            } else {
                self.drop_field(&mut wire, tag)?;
            }
        }
        if foreign {
            self.dropped += 1;
            return Ok(None);
        }
        Ok(Some(Entry {
            key_field,
            value_field,
            key,
            value,
        }))
    }

    #[inline]
    pub(super) fn value<S: Sink<'s>>(
        &mut self,
        place: Place,
        field: &'s Field,
        wire: &mut Wire<'_>,
        sink: &mut S,
    ) -> Result<()> {
        let Kind::Message(id) = field.kind else {
            let value = self.read_scalar(field, wire)?;
            return sink.scalar(place, field, value);
        };
        let message = self.snapshot.message(id);
        sink.open(place, field, message)?;
        if field.encoding == Encoding::Group {
            self.fields(message, wire, Some(field.number), sink)?;
        } else {
            let (from, to) = wire.length()?;
            self.fields(message, &mut wire.nested(from, to), None, sink)?;
        }
        sink.close(field)
    }

    #[inline]
    fn read_scalar<'w>(&self, field: &Field, wire: &mut Wire<'w>) -> Result<Scalar<'w>> {
        Ok(match field.kind {
            Kind::Double => Scalar::Double(f64::from_le_bytes(wire.fixed64()?)),
            Kind::Float => Scalar::Float(f32::from_le_bytes(wire.fixed32()?)),
            Kind::Int32 => Scalar::I32(low_i32(wire.varint()?)),
            Kind::Int64 => Scalar::I64(wire.varint()?.cast_signed()),
            Kind::Uint32 => Scalar::U32(low_i32(wire.varint()?).cast_unsigned()),
            Kind::Uint64 => Scalar::U64(wire.varint()?),
            Kind::Sint32 => {
                let value = low_i32(wire.varint()?).cast_unsigned();
                Scalar::I32((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
            }
            Kind::Sint64 => {
                let value = wire.varint()?;
                Scalar::I64((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
            }
            Kind::Fixed32 => Scalar::U32(u32::from_le_bytes(wire.fixed32()?)),
            Kind::Fixed64 => Scalar::U64(u64::from_le_bytes(wire.fixed64()?)),
            Kind::Sfixed32 => Scalar::I32(i32::from_le_bytes(wire.fixed32()?)),
            Kind::Sfixed64 => Scalar::I64(i64::from_le_bytes(wire.fixed64()?)),
            Kind::Bool => Scalar::Bool(wire.varint()? != 0),
            Kind::Enum(_) => Scalar::Enum(low_i32(wire.varint()?)),
            Kind::String => {
                let text = std::str::from_utf8(self.blob(wire)?);
                Scalar::Str(text.map_err(|_| wire.error(Cause::Utf8))?)
            }
            Kind::Bytes => Scalar::Bytes(self.blob(wire)?),
            // Messages are opened, not read; a merge of callers cannot end here.
            Kind::Message(_) => return Err(wire.error(Cause::Malformed("a message as a scalar"))),
        })
    }

    #[inline]
    fn blob<'w>(&self, wire: &mut Wire<'w>) -> Result<&'w [u8]> {
        let bytes = wire.slice()?;
        if bytes.len() > self.options.limits.string_bytes_max {
            return Err(wire.error(Cause::Over(Limit::String)));
        }
        Ok(bytes)
    }
}

/// Key and value of an entry of a map.
#[derive(Debug)]
pub(super) struct Entry<'s, 'w> {
    key_field: &'s Field,
    value_field: &'s Field,
    key: Scalar<'w>,
    value: EntryValue<'w>,
}

#[derive(Debug)]
enum EntryValue<'w> {
    Scalar(Scalar<'w>),
    /// A message.
    Bytes(&'w [u8]),
    /// A message that came in pieces: one behind the other they are the merged message.
    Merged(Vec<u8>),
}

impl<'w> EntryValue<'w> {
    fn merged_with(self, more: &'w [u8]) -> Self {
        match self {
            Self::Bytes([]) | Self::Scalar(_) => Self::Bytes(more),
            Self::Bytes(bytes) => Self::Merged([bytes, more].concat()),
            Self::Merged(mut bytes) => {
                bytes.extend_from_slice(more);
                Self::Merged(bytes)
            }
        }
    }
}

impl Entry<'_, '_> {
    pub(super) fn fingerprint(&self, snapshot: &Snapshot) -> u64 {
        self.key.fingerprint(&snapshot.message_names)
    }

    fn key_text(&self) -> String {
        match self.key {
            Scalar::Str(text) => format!("{text:?}"),
            Scalar::Bytes(_) | Scalar::Double(_) | Scalar::Float(_) => String::new(),
            Scalar::I32(value) | Scalar::Enum(value) => value.to_string(),
            Scalar::I64(value) => value.to_string(),
            Scalar::U32(value) => value.to_string(),
            Scalar::U64(value) => value.to_string(),
            Scalar::Bool(value) => value.to_string(),
        }
    }
}

pub(super) fn end_of_group(wire: &Wire<'_>, tag: u32, group: Option<u32>) -> Result<()> {
    if group == Some(tag >> 3) {
        return Ok(());
    }
    Err(wire.error(Cause::Malformed("an end without a group")))
}

/// An error when a required field was not there.
pub(crate) fn missing(message: &Message, seen: &Bits) -> Result<()> {
    if !message.demanding {
        return Ok(());
    }
    let mut required = message
        .fields
        .iter()
        .filter(|f| f.presence == Presence::Required);
    match required.find(|field| !seen.contains(field.index)) {
        Some(field) => Err(Error::new(Cause::Missing(field.name.as_ref().to_owned()))),
        None => Ok(()),
    }
}

/// The lower half, as `int32` and enums are read from longer varints.
fn low_i32(value: u64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}
