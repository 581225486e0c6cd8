//! The compact protocol: varints, field numbers as differences, truth in the field's type.

use super::protocol::{Header, Input, Writer};
use crate::config::Limits;
use crate::error::{Cause, Limit, Result};
use crate::snapshot::WireType;
use crate::transcode::output::Output;
use crate::transcode::proto::Wire;

const TRUE: u8 = 1;
const FALSE: u8 = 2;

fn number(wire: WireType) -> u8 {
    match wire {
        // In a list either number says so; this one is what most write.
        WireType::Bool => TRUE,
        WireType::I8 => 3,
        WireType::I16 => 4,
        WireType::I32 => 5,
        WireType::I64 => 6,
        WireType::Double => 7,
        WireType::String => 8,
        WireType::List => 9,
        WireType::Set => 10,
        WireType::Map => 11,
        WireType::Struct => 12,
        WireType::Uuid => 13,
    }
}

fn from_number(number: u8) -> Option<WireType> {
    Some(match number {
        TRUE | FALSE => WireType::Bool,
        3 => WireType::I8,
        4 => WireType::I16,
        5 => WireType::I32,
        6 => WireType::I64,
        7 => WireType::Double,
        8 => WireType::String,
        9 => WireType::List,
        10 => WireType::Set,
        11 => WireType::Map,
        12 => WireType::Struct,
        13 => WireType::Uuid,
        _ => return None,
    })
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

#[derive(Debug)]
pub(crate) struct Compact<'a> {
    wire: Wire<'a>,
    string_bytes_max: usize,
    /// The last field number of each struct that is open.
    last: Vec<i16>,
    /// The value of a bool whose field was just read.
    truth: Option<bool>,
}

impl<'a> Compact<'a> {
    fn byte(&mut self) -> Result<u8> {
        let at = self.wire.at();
        let byte = self
            .wire
            .left()
            .checked_sub(1)
            .and_then(|_| self.wire.between(at, at + 1).first());
        let byte = *byte.ok_or_else(|| self.wire.error(Cause::Malformed("ends early")))?;
        self.wire.step(1);
        Ok(byte)
    }

    fn type_of(&self, number: u8) -> Result<WireType> {
        from_number(number).ok_or_else(|| self.wire.error(Cause::Malformed("no such type")))
    }

    fn signed(&mut self) -> Result<i64> {
        let value = self.wire.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn fits<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T> {
        let value = self.signed()?;
        T::try_from(value).map_err(|_| self.wire.error(Cause::Range(what)))
    }

    fn checked(&self, count: u64, bytes_min: usize) -> Result<usize> {
        let count = usize::try_from(count).ok();
        let left = self.wire.left();
        let count = count.filter(|count| count.saturating_mul(bytes_min) <= left);
        count.ok_or_else(|| {
            self.wire
                .error(Cause::Malformed("a size over what is there"))
        })
    }

    fn blob(&mut self) -> Result<&'a [u8]> {
        let bytes = self.wire.slice()?;
        if bytes.len() > self.string_bytes_max {
            return Err(self.wire.error(Cause::Over(Limit::String)));
        }
        Ok(bytes)
    }

    fn skip_inside(&mut self, wire: WireType, depth: u32) -> Result<()> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| self.wire.error(Cause::Over(Limit::Depth)))?;
        if wire == WireType::Struct {
            self.open_struct()?;
            while let Some(header) = self.field()? {
                self.skip(header.wire, depth)?;
            }
            return Ok(());
        }
        if wire == WireType::Map {
            let (key, value, count) = self.map()?;
            return (0..count).try_for_each(|_| {
                self.skip(key, depth)?;
                self.skip(value, depth)
            });
        }
        let (wire, count) = self.list()?;
        (0..count).try_for_each(|_| self.skip(wire, depth))
    }
}

impl<'a> Input<'a> for Compact<'a> {
    fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        Ok(Self {
            wire: Wire::new(bytes),
            string_bytes_max: limits.string_bytes_max,
            last: Vec::new(),
            truth: None,
        })
    }

    fn at(&self) -> usize {
        self.wire.at()
    }

    fn end(&mut self) -> Result<()> {
        if self.wire.is_empty() {
            return Ok(());
        }
        Err(self
            .wire
            .error(Cause::Malformed("something behind the struct")))
    }

    fn open_struct(&mut self) -> Result<()> {
        self.last.push(0);
        Ok(())
    }

    fn field(&mut self) -> Result<Option<Header>> {
        let byte = self.byte()?;
        if byte == 0 {
            self.last.pop();
            return Ok(None);
        }
        let wire = self.type_of(byte & 15)?;
        let id = match byte >> 4 {
            0 => self.fits("a field number")?,
            delta => {
                let last = self.last.last().copied().unwrap_or(0);
                let id = last.checked_add(i16::from(delta));
                id.ok_or_else(|| self.wire.error(Cause::Range("a field number")))?
            }
        };
        if let Some(last) = self.last.last_mut() {
            *last = id;
        }
        self.truth = (wire == WireType::Bool).then_some(byte & 15 == TRUE);
        Ok(Some(Header { id, wire }))
    }

    fn close_field(&mut self) -> Result<()> {
        Ok(())
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.truth.take() {
            Some(value) => Ok(value),
            None => Ok(self.byte()? == TRUE),
        }
    }

    fn i8(&mut self) -> Result<i8> {
        Ok(self.byte()?.cast_signed())
    }

    fn i16(&mut self) -> Result<i16> {
        self.fits("i16")
    }

    fn i32(&mut self) -> Result<i32> {
        self.fits("i32")
    }

    fn i64(&mut self) -> Result<i64> {
        self.signed()
    }

    fn double(&mut self) -> Result<f64> {
        self.wire.fixed64().map(f64::from_le_bytes)
    }

    fn string(&mut self) -> Result<&str> {
        let text = std::str::from_utf8(self.blob()?);
        text.map_err(|_| self.wire.error(Cause::Utf8))
    }

    fn bytes(&mut self) -> Result<&[u8]> {
        self.blob()
    }

    fn uuid(&mut self) -> Result<[u8; 16]> {
        let (high, low) = (self.wire.fixed64()?, self.wire.fixed64()?);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high);
        bytes[8..].copy_from_slice(&low);
        Ok(bytes)
    }

    fn list(&mut self) -> Result<(WireType, usize)> {
        let byte = self.byte()?;
        let wire = self.type_of(byte & 15)?;
        let count = match byte >> 4 {
            15 => self.wire.varint()?,
            short => u64::from(short),
        };
        Ok((wire, self.checked(count, wire.bytes_min())?))
    }

    fn close_list(&mut self) -> Result<()> {
        Ok(())
    }

    fn map(&mut self) -> Result<(WireType, WireType, usize)> {
        let count = self.wire.varint()?;
        if count == 0 {
            return Ok((WireType::Bool, WireType::Bool, 0));
        }
        let types = self.byte()?;
        let (key, value) = (self.type_of(types >> 4)?, self.type_of(types & 15)?);
        let count = self.checked(count, key.bytes_min() + value.bytes_min())?;
        Ok((key, value, count))
    }

    fn close_map(&mut self) -> Result<()> {
        Ok(())
    }

    fn skip(&mut self, wire: WireType, depth: u32) -> Result<()> {
        match wire {
            WireType::Bool => self.boolean().map(drop),
            WireType::I8 => self.byte().map(drop),
            WireType::I16 | WireType::I32 | WireType::I64 => self.wire.varint().map(drop),
            WireType::Double => self.wire.fixed64().map(drop),
            WireType::Uuid => self.uuid().map(drop),
            WireType::String => self.blob().map(drop),
            WireType::Struct | WireType::List | WireType::Set | WireType::Map => {
                self.skip_inside(wire, depth)
            }
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct CompactWriter {
    /// The last field number of each struct that is open.
    last: Vec<i16>,
    /// The field of a bool that is to be written with its value.
    pending: Option<i16>,
}

impl Writer for CompactWriter {
    fn open_struct(&mut self, _: &mut Output<'_>) -> Result<()> {
        self.last.push(0);
        Ok(())
    }

    fn close_struct(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.last.pop();
        out.byte(0)
    }

    fn field(&mut self, out: &mut Output<'_>, id: i16, wire: WireType) -> Result<()> {
        if wire == WireType::Bool {
            self.pending = Some(id);
            return Ok(());
        }
        self.header(out, id, number(wire))
    }

    fn close_field(&mut self, _: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn boolean(&mut self, out: &mut Output<'_>, value: bool, _: bool) -> Result<()> {
        let number = if value { TRUE } else { FALSE };
        match self.pending.take() {
            Some(id) => self.header(out, id, number),
            None => out.byte(number),
        }
    }

    fn i8(&mut self, out: &mut Output<'_>, value: i8, _: bool) -> Result<()> {
        out.byte(value.cast_unsigned())
    }

    fn i16(&mut self, out: &mut Output<'_>, value: i16, _: bool) -> Result<()> {
        out.varint(zigzag(i64::from(value)))
    }

    fn i32(&mut self, out: &mut Output<'_>, value: i32, _: bool) -> Result<()> {
        out.varint(zigzag(i64::from(value)))
    }

    fn i64(&mut self, out: &mut Output<'_>, value: i64, _: bool) -> Result<()> {
        out.varint(zigzag(value))
    }

    fn double(&mut self, out: &mut Output<'_>, value: f64, _: bool) -> Result<()> {
        out.put(&value.to_le_bytes())
    }

    fn string(&mut self, out: &mut Output<'_>, value: &str) -> Result<()> {
        self.bytes(out, value.as_bytes())
    }

    fn bytes(&mut self, out: &mut Output<'_>, value: &[u8]) -> Result<()> {
        out.varint(value.len() as u64)?;
        out.put(value)
    }

    fn uuid(&mut self, out: &mut Output<'_>, value: [u8; 16]) -> Result<()> {
        out.put(&value)
    }

    fn open_list(&mut self, out: &mut Output<'_>, wire: WireType) -> Result<usize> {
        let mark = out.len();
        out.byte(number(wire))?;
        Ok(mark)
    }

    fn close_list(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()> {
        let wire = out.from(mark).first().copied().unwrap_or(0);
        match u8::try_from(count) {
            Ok(short) if short < 15 => out.splice(mark, 1, &[short << 4 | wire]),
            _ => {
                let (bytes, length) = varint(count as u64);
                out.splice(mark, 1, &[0xf0 | wire])?;
                out.splice(mark + 1, 0, &bytes[..length])
            }
        }
    }

    fn open_map(&mut self, out: &mut Output<'_>, key: WireType, value: WireType) -> Result<usize> {
        let mark = out.len();
        out.put(&[0, number(key) << 4 | number(value)])?;
        Ok(mark)
    }

    fn close_map(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()> {
        if count == 0 {
            out.truncate(mark + 1);
            return Ok(());
        }
        let (bytes, length) = varint(count as u64);
        out.splice(mark, 1, &bytes[..length])
    }
}

impl CompactWriter {
    fn header(&mut self, out: &mut Output<'_>, id: i16, number: u8) -> Result<()> {
        let last = self.last.last().copied().unwrap_or(0);
        if let Some(last) = self.last.last_mut() {
            *last = id;
        }
        match u8::try_from(i32::from(id) - i32::from(last)) {
            Ok(delta @ 1..=15) => out.byte(delta << 4 | number),
            _ => {
                out.byte(number)?;
                out.varint(zigzag(i64::from(id)))
            }
        }
    }
}

fn varint(mut value: u64) -> ([u8; 10], usize) {
    let (mut bytes, mut length) = ([0_u8; 10], 0);
    for byte in &mut bytes {
        *byte = value.to_le_bytes()[0] | 0x80;
        length += 1;
        value >>= 7;
        if value == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    (bytes, length)
}
