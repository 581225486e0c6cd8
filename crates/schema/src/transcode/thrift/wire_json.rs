//! Thrift's own JSON: field numbers as names, each value in an object that names its type.

use super::protocol::{Header, Input, Writer};
use super::uuid;
use crate::config::Limits;
use crate::error::{Cause, Error, Result};
use crate::snapshot::WireType;
use crate::transcode::json::{Tokens, decode_base64, encode_base64, write_double, write_quoted};
use crate::transcode::output::Output;

fn name(wire: WireType) -> &'static str {
    match wire {
        WireType::Bool => "tf",
        WireType::I8 => "i8",
        WireType::I16 => "i16",
        WireType::I32 => "i32",
        WireType::I64 => "i64",
        WireType::Double => "dbl",
        WireType::String => "str",
        WireType::Struct => "rec",
        WireType::Map => "map",
        WireType::List => "lst",
        WireType::Set => "set",
        WireType::Uuid => "uid",
    }
}

fn from_name(name: &str) -> Option<WireType> {
    Some(match name {
        "tf" => WireType::Bool,
        "i8" => WireType::I8,
        "i16" => WireType::I16,
        "i32" => WireType::I32,
        "i64" => WireType::I64,
        "dbl" => WireType::Double,
        "str" => WireType::String,
        "rec" => WireType::Struct,
        "map" => WireType::Map,
        "lst" => WireType::List,
        "set" => WireType::Set,
        "uid" => WireType::Uuid,
        _ => return None,
    })
}

#[derive(Debug)]
pub(crate) struct WireJson<'a> {
    tokens: Tokens<'a>,
    bytes: Vec<u8>,
    /// Whether the struct that was opened last has had a field.
    first: bool,
}

impl WireJson<'_> {
    fn wire(&mut self) -> Result<WireType> {
        let wire = from_name(self.tokens.string()?);
        wire.ok_or_else(|| self.tokens.malformed("no such type"))
    }

    fn comma(&mut self) -> Result<()> {
        self.tokens.expect(b',', "a comma")
    }

    fn count(&mut self) -> Result<usize> {
        let count = self.tokens.unsigned(u64::from(u32::MAX), "a size")?;
        let count = usize::try_from(count).ok();
        let left = self.tokens.rest().len();
        let count = count.filter(|count| *count <= left);
        count.ok_or_else(|| self.tokens.malformed("a size over what is there"))
    }

    fn signed<T: TryFrom<i64>>(&mut self, bits: u32, what: &'static str) -> Result<T> {
        let value = self.tokens.signed(bits, what)?;
        T::try_from(value).map_err(|_| self.tokens.error(Cause::Range(what)))
    }
}

impl<'a> Input<'a> for WireJson<'a> {
    fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        Ok(Self {
            tokens: Tokens::new(bytes, limits.string_bytes_max)?,
            bytes: Vec::new(),
            first: false,
        })
    }

    fn at(&self) -> usize {
        self.tokens.at
    }

    fn end(&mut self) -> Result<()> {
        self.tokens.end()
    }

    fn open_struct(&mut self) -> Result<()> {
        self.first = true;
        self.tokens.expect(b'{', "a struct")
    }

    fn field(&mut self) -> Result<Option<Header>> {
        let first = std::mem::take(&mut self.first);
        let more = if first {
            !self.tokens.eat(b'}')
        } else {
            self.tokens.more(b'}')?
        };
        if !more {
            return Ok(None);
        }
        if self.tokens.peek() != Some(b'"') {
            return Err(self.tokens.malformed("a field's number is missing"));
        }
        let id = self.signed(16, "a field number")?;
        self.tokens.expect(b':', "a colon")?;
        self.tokens.expect(b'{', "a field's type")?;
        let wire = self.wire()?;
        self.tokens.expect(b':', "a colon")?;
        Ok(Some(Header { id, wire }))
    }

    fn close_field(&mut self) -> Result<()> {
        self.tokens.expect(b'}', "the end of a field")
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.tokens.unsigned(1, "0 or 1")? {
            0 => Ok(false),
            _ => Ok(true),
        }
    }

    fn i8(&mut self) -> Result<i8> {
        self.signed(8, "i8")
    }

    fn i16(&mut self) -> Result<i16> {
        self.signed(16, "i16")
    }

    fn i32(&mut self) -> Result<i32> {
        self.signed(32, "i32")
    }

    fn i64(&mut self) -> Result<i64> {
        self.signed(64, "i64")
    }

    fn double(&mut self) -> Result<f64> {
        self.tokens.float("double", f64::is_finite)
    }

    fn string(&mut self) -> Result<&str> {
        self.tokens.string()
    }

    fn bytes(&mut self) -> Result<&[u8]> {
        decode_base64(self.tokens.string()?, &mut self.bytes)?;
        Ok(&self.bytes)
    }

    fn uuid(&mut self) -> Result<[u8; 16]> {
        let value = uuid::from_text(self.tokens.string()?);
        value.ok_or_else(|| self.tokens.error(Cause::Type("a uuid")))
    }

    fn list(&mut self) -> Result<(WireType, usize)> {
        self.tokens.expect(b'[', "a list")?;
        let wire = self.wire()?;
        self.comma()?;
        Ok((wire, self.count()?))
    }

    fn close_list(&mut self) -> Result<()> {
        self.tokens.expect(b']', "the end of a list")
    }

    fn map(&mut self) -> Result<(WireType, WireType, usize)> {
        self.tokens.expect(b'[', "a map")?;
        let key = self.wire()?;
        self.comma()?;
        let value = self.wire()?;
        self.comma()?;
        let count = self.count()?;
        self.comma()?;
        self.tokens.expect(b'{', "a map")?;
        Ok((key, value, count))
    }

    fn close_map(&mut self) -> Result<()> {
        self.tokens.expect(b'}', "the end of a map")?;
        self.tokens.expect(b']', "the end of a map")
    }

    fn item(&mut self) -> Result<()> {
        self.comma()
    }

    fn entry(&mut self, first: bool) -> Result<()> {
        if first { Ok(()) } else { self.comma() }
    }

    fn value(&mut self) -> Result<()> {
        self.tokens.expect(b':', "a colon")
    }

    fn skip(&mut self, _: WireType, depth: u32) -> Result<()> {
        // Twice as deep as the values are: each is in an object of its own.
        self.tokens.skip(depth.saturating_mul(2))
    }
}

/// A number, in quotes where it is a name.
fn whole(out: &mut Output<'_>, value: i64, key: bool) -> Result<()> {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    if !key {
        return out.put(digits);
    }
    out.byte(b'"')?;
    out.put(digits)?;
    out.byte(b'"')
}

/// What was written last says what has to stand between.
#[derive(Debug, Default)]
pub(crate) struct WireJsonWriter;

impl Writer for WireJsonWriter {
    fn open_struct(&mut self, out: &mut Output<'_>) -> Result<()> {
        out.byte(b'{')
    }

    fn close_struct(&mut self, out: &mut Output<'_>) -> Result<()> {
        out.byte(b'}')
    }

    fn field(&mut self, out: &mut Output<'_>, id: i16, wire: WireType) -> Result<()> {
        if out.last() != Some(b'{') {
            out.byte(b',')?;
        }
        whole(out, i64::from(id), true)?;
        out.put(b":{\"")?;
        out.put(name(wire).as_bytes())?;
        out.put(b"\":")
    }

    fn close_field(&mut self, out: &mut Output<'_>) -> Result<()> {
        out.byte(b'}')
    }

    fn boolean(&mut self, out: &mut Output<'_>, value: bool, key: bool) -> Result<()> {
        whole(out, i64::from(value), key)
    }

    fn i8(&mut self, out: &mut Output<'_>, value: i8, key: bool) -> Result<()> {
        whole(out, i64::from(value), key)
    }

    fn i16(&mut self, out: &mut Output<'_>, value: i16, key: bool) -> Result<()> {
        whole(out, i64::from(value), key)
    }

    fn i32(&mut self, out: &mut Output<'_>, value: i32, key: bool) -> Result<()> {
        whole(out, i64::from(value), key)
    }

    fn i64(&mut self, out: &mut Output<'_>, value: i64, key: bool) -> Result<()> {
        whole(out, value, key)
    }

    fn double(&mut self, out: &mut Output<'_>, value: f64, key: bool) -> Result<()> {
        let quote = key && value.is_finite();
        if quote {
            out.byte(b'"')?;
        }
        write_double(value, out)?;
        if quote {
            out.byte(b'"')?;
        }
        Ok(())
    }

    fn string(&mut self, out: &mut Output<'_>, value: &str) -> Result<()> {
        write_quoted(value, out)
    }

    fn bytes(&mut self, out: &mut Output<'_>, value: &[u8]) -> Result<()> {
        out.byte(b'"')?;
        encode_base64(value, false, out)?;
        out.byte(b'"')
    }

    fn uuid(&mut self, out: &mut Output<'_>, value: [u8; 16]) -> Result<()> {
        out.byte(b'"')?;
        out.put(&uuid::to_text(value))?;
        out.byte(b'"')
    }

    fn open_list(&mut self, out: &mut Output<'_>, wire: WireType) -> Result<usize> {
        out.put(b"[\"")?;
        out.put(name(wire).as_bytes())?;
        out.put(b"\",")?;
        let mark = out.len();
        out.byte(b'0')?;
        Ok(mark)
    }

    fn close_list(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()> {
        out.splice(mark, 1, itoa::Buffer::new().format(count).as_bytes())?;
        out.byte(b']')
    }

    fn open_map(&mut self, out: &mut Output<'_>, key: WireType, value: WireType) -> Result<usize> {
        if matches!(
            key,
            WireType::Struct | WireType::Map | WireType::Set | WireType::List
        ) {
            let what = "a map whose keys are no names, in JSON";
            return Err(Error::new(Cause::Inexpressible(what)));
        }
        out.put(b"[\"")?;
        out.put(name(key).as_bytes())?;
        out.put(b"\",\"")?;
        out.put(name(value).as_bytes())?;
        out.put(b"\",")?;
        let mark = out.len();
        out.put(b"0,{")?;
        Ok(mark)
    }

    fn close_map(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()> {
        out.splice(mark, 1, itoa::Buffer::new().format(count).as_bytes())?;
        out.put(b"}]")
    }

    fn item(&mut self, out: &mut Output<'_>) -> Result<()> {
        out.byte(b',')
    }

    fn entry(&mut self, out: &mut Output<'_>, first: bool) -> Result<()> {
        if first { Ok(()) } else { out.byte(b',') }
    }

    fn between() -> &'static [u8] {
        b":"
    }
}
