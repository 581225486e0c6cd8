//! Writes the protocol's primitive types.

use bytes::{BufMut, BytesMut};

use super::value::{Table, Value};

/// The longest short string.
pub const SHORT_MAX: usize = 255;

/// Appends to a buffer. Consecutive bits share octets.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    /// The value of the next bit in the octet at the end; 0 for "a new octet".
    bit: u8,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self { out, bit: 0 }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bit = 0;
        self.out.extend_from_slice(bytes);
    }

    /// One octet.
    pub fn u8(&mut self, value: u8) {
        self.bit = 0;
        self.out.put_u8(value);
    }

    /// Two octets.
    pub fn u16(&mut self, value: u16) {
        self.bit = 0;
        self.out.put_u16(value);
    }

    /// Four octets.
    pub fn u32(&mut self, value: u32) {
        self.bit = 0;
        self.out.put_u32(value);
    }

    /// Eight octets.
    pub fn u64(&mut self, value: u64) {
        self.bit = 0;
        self.out.put_u64(value);
    }

    /// A bit; the first of a run is the lowest of its octet.
    pub fn bit(&mut self, value: bool) {
        if self.bit == 0 {
            self.out.put_u8(0);
            self.bit = 1;
        }
        if let (true, Some(last)) = (value, self.out.last_mut()) {
            *last |= self.bit;
        }
        self.bit = self.bit.checked_mul(2).unwrap_or(0);
    }

    /// A short string; what is longer than [`SHORT_MAX`] is cut.
    pub fn short(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(..SHORT_MAX).unwrap_or(bytes);
        // At most 255, see above.
        self.u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        self.raw(bytes);
    }

    /// A long string.
    pub fn long(&mut self, bytes: &[u8]) {
        self.sized(|inner| inner.raw(bytes));
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        self.sized(|inner| inner.bare_table(table));
    }

    /// A table's entries without their length.
    pub fn bare_table(&mut self, table: &Table) {
        for (name, value) in table.iter() {
            self.short(name.as_bytes());
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        self.u8(value.letter());
        match value {
            Value::Bool(value) => self.u8(u8::from(*value)),
            Value::I8(value) => self.raw(&value.to_be_bytes()),
            Value::U8(value) => self.u8(*value),
            Value::I16(value) => self.raw(&value.to_be_bytes()),
            Value::U16(value) => self.u16(*value),
            Value::I32(value) => self.raw(&value.to_be_bytes()),
            Value::U32(value) => self.u32(*value),
            Value::I64(value) => self.raw(&value.to_be_bytes()),
            Value::F32(value) => self.raw(&value.to_be_bytes()),
            Value::F64(value) => self.raw(&value.to_be_bytes()),
            Value::Decimal(scale, value) => {
                self.u8(*scale);
                self.u32(*value);
            }
            Value::Text(bytes) | Value::Binary(bytes) => self.long(bytes),
            Value::Timestamp(seconds) => self.u64(*seconds),
            Value::Void => {}
            Value::Array(items) => self.sized(|inner| items.iter().for_each(|v| inner.value(v))),
            Value::Table(table) => self.table(table),
        }
    }

    /// What `write` writes, behind its length.
    fn sized(&mut self, write: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        self.u32(0);
        write(self);
        self.bit = 0;
        let len = self.out.len().saturating_sub(at).saturating_sub(4);
        // Longer than 4 GiB is nothing that we write.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if let Some(hole) = self.out.get_mut(at..at + 4) {
            hole.copy_from_slice(&len.to_be_bytes());
        }
    }
}
