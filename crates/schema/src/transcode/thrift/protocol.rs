//! What the three protocols have in common.

use crate::config::Limits;
use crate::error::Result;
use crate::snapshot::WireType;
use crate::transcode::output::Output;

/// One of Thrift's encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Fixed sizes, big-endian.
    Binary,
    /// Varints and short field headers.
    Compact,
    /// JSON with types and field numbers; not Protobuf's JSON.
    Json,
}

/// The beginning of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: i16,
    pub(crate) wire: WireType,
}

impl WireType {
    /// The fewest bytes that a value takes in both binary protocols, so that a count can be compared
    /// with what is left before anything is done for it.
    pub(crate) fn bytes_min(self) -> usize {
        match self {
            Self::Uuid => 16,
            Self::Bool
            | Self::I8
            | Self::Double
            | Self::I16
            | Self::I32
            | Self::I64
            | Self::String
            | Self::Struct
            | Self::Map
            | Self::Set
            | Self::List => 1,
        }
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::List | Self::Set)
    }
}

/// Reads a protocol. Between elements the reader calls `item`, `entry` and `value`, where text needs
/// commas and colons.
pub(crate) trait Input<'a>: Sized {
    fn new(bytes: &'a [u8], limits: &Limits) -> Result<Self>;
    /// Where reading is.
    fn at(&self) -> usize;
    fn end(&mut self) -> Result<()>;

    fn open_struct(&mut self) -> Result<()>;
    /// The next field; `None` at the end of the struct, which is stepped over.
    fn field(&mut self) -> Result<Option<Header>>;
    fn close_field(&mut self) -> Result<()>;

    fn boolean(&mut self) -> Result<bool>;
    fn i8(&mut self) -> Result<i8>;
    fn i16(&mut self) -> Result<i16>;
    fn i32(&mut self) -> Result<i32>;
    fn i64(&mut self) -> Result<i64>;
    fn double(&mut self) -> Result<f64>;
    fn string(&mut self) -> Result<&str>;
    fn bytes(&mut self) -> Result<&[u8]>;
    fn uuid(&mut self) -> Result<[u8; 16]>;

    /// Type and number of elements; the number is not more than what is left can hold.
    fn list(&mut self) -> Result<(WireType, usize)>;
    fn close_list(&mut self) -> Result<()>;
    /// Types of key and value, and the number of entries; the types mean nothing when it is 0.
    fn map(&mut self) -> Result<(WireType, WireType, usize)>;
    fn close_map(&mut self) -> Result<()>;

    fn item(&mut self) -> Result<()> {
        Ok(())
    }
    fn entry(&mut self, _first: bool) -> Result<()> {
        Ok(())
    }
    fn value(&mut self) -> Result<()> {
        Ok(())
    }

    /// Steps over a value; `depth` of them may lie in each other.
    fn skip(&mut self, wire: WireType, depth: u32) -> Result<()>;
}

/// Writes a protocol. `key`: the value is the key of a map.
pub(crate) trait Writer: Default {
    fn open_struct(&mut self, out: &mut Output<'_>) -> Result<()>;
    fn close_struct(&mut self, out: &mut Output<'_>) -> Result<()>;
    fn field(&mut self, out: &mut Output<'_>, id: i16, wire: WireType) -> Result<()>;
    fn close_field(&mut self, out: &mut Output<'_>) -> Result<()>;

    fn boolean(&mut self, out: &mut Output<'_>, value: bool, key: bool) -> Result<()>;
    fn i8(&mut self, out: &mut Output<'_>, value: i8, key: bool) -> Result<()>;
    fn i16(&mut self, out: &mut Output<'_>, value: i16, key: bool) -> Result<()>;
    fn i32(&mut self, out: &mut Output<'_>, value: i32, key: bool) -> Result<()>;
    fn i64(&mut self, out: &mut Output<'_>, value: i64, key: bool) -> Result<()>;
    fn double(&mut self, out: &mut Output<'_>, value: f64, key: bool) -> Result<()>;
    fn string(&mut self, out: &mut Output<'_>, value: &str) -> Result<()>;
    fn bytes(&mut self, out: &mut Output<'_>, value: &[u8]) -> Result<()>;
    fn uuid(&mut self, out: &mut Output<'_>, value: [u8; 16]) -> Result<()>;

    /// Leaves room for the number of elements, and says where.
    fn open_list(&mut self, out: &mut Output<'_>, wire: WireType) -> Result<usize>;
    fn close_list(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()>;
    fn open_map(&mut self, out: &mut Output<'_>, key: WireType, value: WireType) -> Result<usize>;
    fn close_map(&mut self, out: &mut Output<'_>, mark: usize, count: usize) -> Result<()>;

    fn item(&mut self, _out: &mut Output<'_>) -> Result<()> {
        Ok(())
    }
    fn entry(&mut self, _out: &mut Output<'_>, _first: bool) -> Result<()> {
        Ok(())
    }
    /// What stands between a key and its value.
    fn between() -> &'static [u8] {
        b""
    }
}
