//! Tables and the values in them.

use bytes::Bytes;

use super::Name;

/// A value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`: not a short string, whatever the specification says.
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L` when it is read.
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: how many of the digits stand behind the point, and the digits.
    Decimal(u8, u32),
    /// `S`
    Text(Bytes),
    /// `x`
    Binary(Bytes),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `V`
    Void,
    /// `A`
    Array(Vec<Self>),
    /// `F`
    Table(Table),
}

impl Value {
    /// A long string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The letter that stands in front of it.
    #[must_use]
    pub fn letter(&self) -> u8 {
        match self {
            Self::Bool(_) => b't',
            Self::I8(_) => b'b',
            Self::U8(_) => b'B',
            Self::I16(_) => b's',
            Self::U16(_) => b'u',
            Self::I32(_) => b'I',
            Self::U32(_) => b'i',
            Self::I64(_) => b'l',
            Self::F32(_) => b'f',
            Self::F64(_) => b'd',
            Self::Decimal(..) => b'D',
            Self::Text(_) => b'S',
            Self::Binary(_) => b'x',
            Self::Timestamp(_) => b'T',
            Self::Void => b'V',
            Self::Array(_) => b'A',
            Self::Table(_) => b'F',
        }
    }

    /// Its type's name, as texts of errors say it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal(..) => "decimal",
            Self::Text(_) => "longstr",
            Self::Binary(_) => "binary",
            Self::Timestamp(_) => "timestamp",
            Self::Void => "void",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
        }
    }

    /// An integer of whichever width.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::I8(value) => Some(i64::from(*value)),
            Self::U8(value) => Some(i64::from(*value)),
            Self::I16(value) => Some(i64::from(*value)),
            Self::U16(value) => Some(i64::from(*value)),
            Self::I32(value) => Some(i64::from(*value)),
            Self::U32(value) => Some(i64::from(*value)),
            Self::I64(value) => Some(*value),
            Self::Bool(_)
            | Self::F32(_)
            | Self::F64(_)
            | Self::Decimal(..)
            | Self::Text(_)
            | Self::Binary(_)
            | Self::Timestamp(_)
            | Self::Void
            | Self::Array(_)
            | Self::Table(_) => None,
        }
    }

    /// A long string that is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// A long string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        if let Self::Text(bytes) = self {
            Some(bytes)
        } else {
            None
        }
    }

    /// Whether two mean the same: integers by value, whatever their width.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self.integer(), other.integer()) {
            (Some(one), Some(two)) => one == two,
            _ => self == other,
        }
    }

    /// As people write it, for texts of errors.
    #[must_use]
    pub fn show(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::F32(value) => value.to_string(),
            Self::F64(value) => value.to_string(),
            Self::Decimal(scale, value) => format!("{value}e-{scale}"),
            Self::Text(bytes) | Self::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Timestamp(seconds) => seconds.to_string(),
            Self::Void => "undefined".to_owned(),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::show).collect();
                format!("[{}]", items.join(","))
            }
            Self::Table(table) => {
                let entries: Vec<_> = table
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.show()))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
            Self::I8(_)
            | Self::U8(_)
            | Self::I16(_)
            | Self::U16(_)
            | Self::I32(_)
            | Self::U32(_)
            | Self::I64(_) => self.integer().unwrap_or_default().to_string(),
        }
    }
}

/// Named values in the order in which they came; of two with one name the first counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(Name, Value)>);

impl Table {
    /// No entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find_map(|(n, value)| (&**n == name).then_some(value))
    }

    /// Whether a table in it says `name = true`.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Bool(true)))
    }

    /// Appends an entry.
    pub fn push(&mut self, name: impl Into<Name>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// Appends an entry and returns the table.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.push(name, value);
        self
    }

    /// Replaces the entries of a name by one.
    pub fn set(&mut self, name: &str, value: Value) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes the entries of a name; the first one's value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(n, _)| &**n == name)?;
        let (_, value) = self.0.remove(at);
        self.0.retain(|(n, _)| &**n != name);
        Some(value)
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
