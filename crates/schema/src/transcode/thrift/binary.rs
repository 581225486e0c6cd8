//! The binary protocol: everything has its size, the highest byte first.

use super::protocol::{Header, Input, Writer};
use crate::config::Limits;
use crate::error::{Cause, Error, Limit, Result};
use crate::snapshot::WireType;
use crate::transcode::output::Output;

impl WireType {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Bool => 2,
            Self::I8 => 3,
            Self::Double => 4,
            Self::I16 => 6,
            Self::I32 => 8,
            Self::I64 => 10,
            Self::String => 11,
            Self::Struct => 12,
            Self::Map => 13,
            Self::Set => 14,
            Self::List => 15,
            Self::Uuid => 16,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            2 => Self::Bool,
            3 => Self::I8,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::String,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            16 => Self::Uuid,
            _ => return None,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Binary<'a> {
    bytes: &'a [u8],
    at: usize,
    string_bytes_max: usize,
}

impl<'a> Binary<'a> {
    fn error(&self, cause: Cause) -> Error {
        Error::at(cause, self.at)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            return Err(self.error(Cause::Malformed("ends early")));
        };
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let at = self.at;
        let taken = self.take(N)?.first_chunk().copied();
        taken.ok_or_else(|| Error::at(Cause::Malformed("ends early"), at))
    }

    fn wire(&mut self) -> Result<WireType> {
        let [number] = self.array()?;
        let wire = WireType::from_number(number);
        wire.ok_or_else(|| self.error(Cause::Malformed("no such type")))
    }

    /// A count of things of which each takes at least `bytes_min`.
    fn count(&mut self, bytes_min: usize) -> Result<usize> {
        let count = i32::from_be_bytes(self.array()?);
        let count = usize::try_from(count).ok();
        let left = self.bytes.len() - self.at;
        match count.filter(|count| count.saturating_mul(bytes_min) <= left) {
            Some(count) => Ok(count),
            None => Err(self.error(Cause::Malformed("a size over what is there"))),
        }
    }

    fn blob(&mut self) -> Result<&'a [u8]> {
        let length = self.count(1)?;
        if length > self.string_bytes_max {
            return Err(self.error(Cause::Over(Limit::String)));
        }
        self.take(length)
    }
}

impl<'a> Input<'a> for Binary<'a> {
    fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        Ok(Self {
            bytes,
            at: 0,
            string_bytes_max: limits.string_bytes_max,
        })
    }

    fn at(&self) -> usize {
        self.at
    }

    fn end(&mut self) -> Result<()> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(self.error(Cause::Malformed("something behind the struct")))
    }

    fn open_struct(&mut self) -> Result<()> {
        Ok(())
    }

    fn field(&mut self) -> Result<Option<Header>> {
        if self.bytes.get(self.at) == Some(&0) {
            self.at += 1;
            return Ok(None);
        }
        let wire = self.wire()?;
        let id = i16::from_be_bytes(self.array()?);
        Ok(Some(Header { id, wire }))
    }

    fn close_field(&mut self) -> Result<()> {
        Ok(())
    }

    fn boolean(&mut self) -> Result<bool> {
        Ok(self.array()? != [0])
    }

    fn i8(&mut self) -> Result<i8> {
        self.array().map(i8::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn double(&mut self) -> Result<f64> {
        self.array().map(f64::from_be_bytes)
    }

    fn string(&mut self) -> Result<&str> {
        let text = std::str::from_utf8(self.blob()?);
        text.map_err(|_| self.error(Cause::Utf8))
    }

    fn bytes(&mut self) -> Result<&[u8]> {
        self.blob()
    }

    fn uuid(&mut self) -> Result<[u8; 16]> {
        self.array()
    }

    fn list(&mut self) -> Result<(WireType, usize)> {
        let wire = self.wire()?;
        Ok((wire, self.count(wire.bytes_min())?))
    }

    fn close_list(&mut self) -> Result<()> {
        Ok(())
    }

    fn map(&mut self) -> Result<(WireType, WireType, usize)> {
        let [key, value] = self.array()?;
        let types = (WireType::from_number(key), WireType::from_number(value));
        if let (Some(key), Some(value)) = types {
            let count = self.count(key.bytes_min() + value.bytes_min())?;
            return Ok((key, value, count));
        }
        // Some write an empty map without types.
        if self.count(1)? == 0 {
            return Ok((WireType::Bool, WireType::Bool, 0));
        }
        Err(self.error(Cause::Malformed("no such type")))
    }

    fn close_map(&mut self) -> Result<()> {
        Ok(())
    }

    fn skip(&mut self, wire: WireType, depth: u32) -> Result<()> {
        let inner = || depth.checked_sub(1).ok_or(Cause::Over(Limit::Depth));
        match wire {
            WireType::Bool | WireType::I8 => self.take(1).map(drop),
            WireType::I16 => self.take(2).map(drop),
            WireType::I32 => self.take(4).map(drop),
            WireType::I64 | WireType::Double => self.take(8).map(drop),
            WireType::Uuid => self.take(16).map(drop),
            WireType::String => self.blob().map(drop),
            WireType::Struct => {
                let depth = inner().map_err(|cause| self.error(cause))?;
                while let Some(header) = self.field()? {
                    self.skip(header.wire, depth)?;
                }
                Ok(())
            }
            WireType::List | WireType::Set => {
                let depth = inner().map_err(|cause| self.error(cause))?;
                let (wire, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip(wire, depth))
            }
            WireType::Map => {
                let depth = inner().map_err(|cause| self.error(cause))?;
                let (key, value, count) = self.map()?;
                (0..count).try_for_each(|_| {
                    self.skip(key, depth)?;
                    self.skip(value, depth)
                })
            }
        }
    }
}

/// A length or count of the protocol.
fn size(count: usize) -> Result<[u8; 4]> {
    let count = i32::try_from(count);
    let count = count.map_err(|_| Error::new(Cause::Inexpressible("a size over 2 GiB")))?;
    Ok(count.to_be_bytes())
}

/// Nothing has to be remembered.
#[derive(Debug, Default)]
pub(crate) struct BinaryWriter;

impl Writer for BinaryWriter {
    fn open_struct(&mut self, _: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn close_struct(&mut self, out: &mut Output<'_>) -> Result<()> {
        out.byte(0)
    }

    fn field(&mut self, out: &mut Output<'_>, id: i16, wire: WireType) -> Result<()> {
        let [high, low] = id.to_be_bytes();
        out.put(&[wire.number(), high, low])
    }

    fn close_field(&mut self, _: &mut Output<'_>) -> Result<()> {
        Ok(())
    }

    fn boolean(&mut self, out: &mut Output<'_>, value: bool, _: bool) -> Result<()> {
        out.byte(u8::from(value))
    }

    fn i8(&mut self, out: &mut Output<'_>, value: i8, _: bool) -> Result<()> {
        out.put(&value.to_be_bytes())
    }

    fn i16(&mut self, out: &mut Output<'_>, value: i16, _: bool) -> Result<()> {
        out.put(&value.to_be_bytes())
    }

    fn i32(&mut self, out: &mut Output<'_>, value: i32, _: bool) -> Result<()> {
        out.put(&value.to_be_bytes())
    }

    fn i64(&mut self, out: &mut Output<'_>, value: i64, _: bool) -> Result<()> {
        out.put(&value.to_be_bytes())
    }

    fn double(&mut self, out: &mut Output<'_>, value: f64, _: bool) -> Result<()> {
        out.put(&value.to_be_bytes())
    }

    fn string(&mut self, out: &mut Output<'_>, value: &str) -> Result<()> {
        self.bytes(out, value.as_bytes())
    }

    fn bytes(&mut self, out: &mut Output<'_>, value: &[u8]) -> Result<()> {
        out.put(&size(value.len())?)?;
        out.put(value)
    }

    fn uuid(&mut self, out: &mut Output<'_>, value: [u8; 16]) -> Result<()> {
        out.put(&value)
    }

    fn open_list(&mut self, out: &mut Output<'_>, wire: WireType) -> Result<usize> {
        out.byte(wire.number())?;
        let mark = out.len();
        out.put(&[0; 4])?;
        Ok(mark)
    }

    fn close_list(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()> {
        out.splice(mark, 4, &size(count)?)
    }

    fn open_map(&mut self, out: &mut Output<'_>, key: WireType, value: WireType) -> Result<usize> {
        out.put(&[key.number(), value.number()])?;
        let mark = out.len();
        out.put(&[0; 4])?;
        Ok(mark)
    }

    fn close_map(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()> {
        out.splice(mark, 4, &size(count)?)
    }
}
