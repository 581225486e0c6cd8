//! Reads the protocol's primitive types from borrowed bytes. Every length is compared with what
//! remains before anything is taken.

use bytes::Bytes;

use super::value::{Table, Value};
use super::{Malformed, Name};

/// How deep tables and arrays may be nested.
const NESTING_MAX: usize = 64;

/// Bytes that are read from the front. Consecutive bits share octets, as in method arguments.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// The octet that the last bit came from.
    octet: u8,
    /// Which bit of it comes next; 0 for "a new octet".
    bit: u8,
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            octet: 0,
            bit: 0,
        }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        self.bit = 0;
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bit = 0;
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One octet.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two octets.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four octets.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A bit; the first of a run is the lowest of its octet.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn bit(&mut self) -> Result<bool, Malformed> {
        if self.bit == 0 {
            self.octet = self.u8()?;
            self.bit = 1;
        }
        let set = self.octet & self.bit != 0;
        self.bit = self.bit.rotate_left(1);
        // After the eighth bit a new octet begins.
        if self.bit == 1 {
            self.bit = 0;
        }
        Ok(set)
    }

    /// A short string's bytes, whatever they are.
    ///
    /// # Errors
    /// When the length passes the end.
    pub fn short_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// A short string.
    ///
    /// # Errors
    /// When the length passes the end, or it is not UTF-8.
    pub fn short(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.short_bytes()?).map_err(|_| Malformed::NotUtf8)
    }

    /// A long string's bytes.
    ///
    /// # Errors
    /// When the length passes the end.
    pub fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u32()?;
        self.take(usize::try_from(len).map_err(|_| Malformed::Short)?)
    }

    /// A table.
    ///
    /// # Errors
    /// Lengths past the end, unknown types, nesting that is too deep.
    pub fn table(&mut self) -> Result<Table, Malformed> {
        self.table_within(NESTING_MAX)
    }

    fn table_within(&mut self, depth: usize) -> Result<Table, Malformed> {
        let mut inner = Self::new(self.long()?);
        inner.entries(depth)
    }

    /// The entries of a table up to the end: a table without its length.
    ///
    /// # Errors
    /// As [`Reader::table`].
    pub fn bare_table(&mut self) -> Result<Table, Malformed> {
        self.entries(NESTING_MAX)
    }

    fn entries(&mut self, depth: usize) -> Result<Table, Malformed> {
        let mut table = Table::default();
        while !self.rest.is_empty() {
            let name = Name::from(self.short()?);
            let value = self.value(depth)?;
            table.push(name, value);
        }
        Ok(table)
    }

    /// A value with its type in front. The letters are those that brokers and clients really use,
    /// which are not the specification's.
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        let inner = depth.checked_sub(1).ok_or(Malformed::TooDeep)?;
        Ok(match self.u8()? {
            b't' => Value::Bool(self.u8()? != 0),
            b'b' => Value::I8(i8::from_be_bytes(self.array()?)),
            b'B' => Value::U8(self.u8()?),
            b's' => Value::I16(i16::from_be_bytes(self.array()?)),
            b'u' => Value::U16(self.u16()?),
            b'I' => Value::I32(i32::from_be_bytes(self.array()?)),
            b'i' => Value::U32(self.u32()?),
            b'l' | b'L' => Value::I64(i64::from_be_bytes(self.array()?)),
            b'f' => Value::F32(f32::from_be_bytes(self.array()?)),
            b'd' => Value::F64(f64::from_be_bytes(self.array()?)),
            b'D' => Value::Decimal(self.u8()?, self.u32()?),
            b'S' => Value::Text(Bytes::copy_from_slice(self.long()?)),
            b'x' => Value::Binary(Bytes::copy_from_slice(self.long()?)),
            b'T' => Value::Timestamp(self.u64()?),
            b'V' => Value::Void,
            b'A' => {
                let mut items = Self::new(self.long()?);
                let mut array = Vec::new();
                while !items.rest.is_empty() {
                    array.push(items.value(inner)?);
                }
                Value::Array(array)
            }
            b'F' => Value::Table(self.table_within(inner)?),
            other => return Err(Malformed::UnknownType(other)),
        })
    }

    /// Nothing may follow.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Trailing)
        }
    }
}
