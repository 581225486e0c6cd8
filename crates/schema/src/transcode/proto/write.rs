//! The sink that writes Protobuf.

use crate::error::Result;
use crate::snapshot::{Encoding, Field, Message};
use crate::transcode::output::Output;
use crate::transcode::sink::{Place, Scalar, Sink};

/// Writes fields in the order in which they come.
#[derive(Debug)]
pub(crate) struct ProtoSink<'o> {
    out: Output<'o>,
    /// Where the lengths of what is open belong.
    marks: Vec<usize>,
}

impl<'o> ProtoSink<'o> {
    pub(crate) fn new(out: Output<'o>) -> Self {
        let marks = Vec::new();
        Self { out, marks }
    }

    /// Leaves a byte for a length.
    #[inline]
    fn mark(&mut self) -> Result<()> {
        self.marks.push(self.out.len());
        self.out.byte(0)
    }

    #[inline]
    fn whole(&mut self, encoding: Encoding, value: i64) -> Result<()> {
        match encoding {
            Encoding::Zigzag => self.out.varint((value << 1 ^ value >> 63).cast_unsigned()),
            Encoding::Fixed64 => self.out.put(&value.to_le_bytes()),
            Encoding::Fixed32 => {
                let [a, b, c, d, ..] = value.to_le_bytes();
                self.out.put(&[a, b, c, d])
            }
            Encoding::Varint | Encoding::Length | Encoding::Group => {
                self.out.varint(value.cast_unsigned())
            }
        }
    }

    #[inline]
    fn blob(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.varint(bytes.len() as u64)?;
        self.out.put(bytes)
    }
}

impl<'s> Sink<'s> for ProtoSink<'_> {
    const ORDERED: bool = false;

    fn start(&mut self, _: &'s Message) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn unknown(&mut self, field: &[u8]) -> Result<bool> {
        self.out.put(field)?;
        Ok(true)
    }

    fn restart(&mut self) {
        self.out.clear();
        self.marks.clear();
    }

    #[inline]
    fn scalar(&mut self, place: Place, field: &'s Field, value: Scalar<'_>) -> Result<()> {
        if place == Place::Field && field.hides_zero() && value.is_zero() {
            return Ok(());
        }
        if place != Place::Item || !field.packed {
            self.out.put(field.tag_bytes())?;
        }
        match value {
            Scalar::Double(value) => self.out.put(&value.to_le_bytes()),
            Scalar::Float(value) => self.out.put(&value.to_le_bytes()),
            Scalar::I32(value) | Scalar::Enum(value) => {
                self.whole(field.encoding, i64::from(value))
            }
            Scalar::I64(value) => self.whole(field.encoding, value),
            Scalar::U32(value) => self.whole(field.encoding, i64::from(value)),
            Scalar::U64(value) => self.whole(field.encoding, value.cast_signed()),
            Scalar::Bool(value) => self.out.byte(u8::from(value)),
            Scalar::Str(value) => self.blob(value.as_bytes()),
            Scalar::Bytes(value) => self.blob(value),
        }
    }

    #[inline]
    fn open(&mut self, _: Place, field: &'s Field, _: &'s Message) -> Result<()> {
        self.out.put(field.tag_bytes())?;
        if field.encoding == Encoding::Group {
            return Ok(());
        }
        self.mark()
    }

    #[inline]
    fn close(&mut self, field: &'s Field) -> Result<()> {
        if field.encoding == Encoding::Group {
            return self.out.varint(u64::from(field.tag + 1));
        }
        match self.marks.pop() {
            Some(mark) => self.out.close_length(mark),
            None => Ok(()),
        }
    }

    fn open_list(&mut self, field: &'s Field) -> Result<()> {
        if field.packed {
            self.out.put(field.tag_bytes())?;
            self.mark()?;
        }
        Ok(())
    }

    fn close_list(&mut self, field: &'s Field, count: usize) -> Result<()> {
        if !field.packed {
            return Ok(());
        }
        match self.marks.pop() {
            Some(mark) if count == 0 => {
                self.out.truncate(mark - usize::from(field.tag_length));
                Ok(())
            }
            Some(mark) => self.out.close_length(mark),
            None => Ok(()),
        }
    }

    fn open_map(&mut self, _: &'s Field) -> Result<()> {
        Ok(())
    }

    fn close_map(&mut self, _: &'s Field, _: usize) -> Result<()> {
        Ok(())
    }

    fn open_entry(&mut self, field: &'s Field) -> Result<()> {
        self.out.put(field.tag_bytes())?;
        self.mark()
    }

    fn close_entry(&mut self, _: &'s Field) -> Result<()> {
        match self.marks.pop() {
            Some(mark) => self.out.close_length(mark),
            None => Ok(()),
        }
    }
}
