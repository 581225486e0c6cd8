//! Messages and enums: their tables, and how a number or a name finds its row.

use base::HashMap;

use super::{Field, Kind, Label, Snapshot};

/// Numbers up to this one are found by an array; those above by search.
const DENSE_MAX: usize = 256;

/// What a message is besides a list of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    /// Exactly one field is set.
    Union,
    /// The entry of a map: key 1, value 2.
    Entry,
    /// Stands for a list, set or map in a place where Protobuf has no room for one: its only field
    /// is that container. Thrift does not see it.
    Container,
}

/// Messages that JSON writes in a way of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WellKnown {
    No,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// One of the wrappers of a scalar.
    Wrapper,
}

impl WellKnown {
    /// By name; whether the fields are those that the name promises is looked at when linking.
    pub(crate) fn of(name: &str) -> Self {
        let Some(name) = name.strip_prefix("google.protobuf.") else {
            return Self::No;
        };
        match name {
            "Any" => Self::Any,
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "FieldMask" => Self::FieldMask,
            "Struct" => Self::Struct,
            "Value" => Self::Value,
            "ListValue" => Self::ListValue,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
            | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => Self::Wrapper,
            _ => Self::No,
        }
    }
}

/// A message: its fields by number and by name.
#[derive(Debug)]
pub struct Message {
    pub(crate) name: Box<str>,
    /// In the order of their numbers.
    pub(crate) fields: Box<[Field]>,
    /// For each small number the place of its field, counted from 1.
    pub(crate) dense: Box<[u16]>,
    pub(crate) names: HashMap<Box<str>, u16>,
    pub(crate) oneofs: Box<[Box<str>]>,
    pub(crate) shape: Shape,
    pub(crate) known: WellKnown,
    /// Whether a field is required.
    pub(crate) demanding: bool,
    /// Where it was defined.
    pub(crate) file: Box<str>,
}

impl Message {
    /// Its full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that defines it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its fields in the order of their numbers.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The names of its oneofs.
    pub fn oneofs(&self) -> impl Iterator<Item = &str> {
        self.oneofs.iter().map(AsRef::as_ref)
    }

    /// The field with this number.
    #[must_use]
    pub fn field(&self, number: u32) -> Option<&Field> {
        if let Some(place) = self.dense.get(number as usize) {
            return self.fields.get(usize::from(*place).checked_sub(1)?);
        }
        let place = self.fields.binary_search_by_key(&number, |f| f.number);
        place.ok().and_then(|place| self.fields.get(place))
    }

    /// The field with this id in Thrift.
    pub(crate) fn field_with_id(&self, id: i16) -> Option<&Field> {
        let number = u32::try_from(id).ok();
        let likely = number.and_then(|number| self.field(number));
        likely
            .filter(|field| field.id == Some(id))
            .or_else(|| self.fields.iter().find(|field| field.id == Some(id)))
    }

    /// The field with this name: the one in JSON, or the original.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Option<&Field> {
        let place = self.names.get(name)?;
        self.fields.get(usize::from(*place))
    }

    /// Key and value of an entry.
    pub(crate) fn entry(&self) -> Option<(&Field, &Field)> {
        match &*self.fields {
            [key, value] => Some((key, value)),
            _ => None,
        }
    }

    /// Builds the look-ups. Fields are sorted; of two that claim one name the first keeps it.
    pub(crate) fn index(&mut self) {
        self.fields.sort_by_key(|field| field.number);
        let last = self.fields.iter().rev().map(|field| field.number as usize);
        let last = last.into_iter().find(|number| *number < DENSE_MAX);
        let mut dense = vec![0_u16; last.map_or(0, |last| last + 1)];
        let mut names = HashMap::default();
        for (place, field) in (0_u16..).zip(&mut self.fields) {
            field.index = place;
            if let Some(entry) = dense.get_mut(field.number as usize) {
                *entry = place + 1;
            }
            names.entry(field.json_name.clone()).or_insert(place);
            names.entry(field.name.clone()).or_insert(place);
        }
        self.dense = dense.into();
        self.names = names;
    }

    /// Whether the fields are what a well-known name promises: somebody may define a message of that
    /// name that is something else.
    pub(crate) fn keeps_promise(&self, snapshot: &Snapshot) -> bool {
        let of = |number: u32, label: Label, kind: fn(Kind) -> bool| {
            self.field(number)
                .is_some_and(|field| field.label == label && kind(field.kind))
        };
        let single = |number, kind| of(number, Label::Single, kind);
        let is_i32 = |kind| kind == Kind::Int32;
        let is_i64 = |kind| kind == Kind::Int64;
        let is_message = |kind| matches!(kind, Kind::Message(_));
        let count = |number| self.fields.len() == number;
        match self.known {
            WellKnown::No => true,
            WellKnown::Any => {
                count(2)
                    && single(1, |kind| kind == Kind::String)
                    && single(2, |kind| kind == Kind::Bytes)
            }
            WellKnown::Timestamp | WellKnown::Duration => {
                count(2) && single(1, is_i64) && single(2, is_i32)
            }
            WellKnown::FieldMask => count(1) && of(1, Label::Repeated, |kind| kind == Kind::String),
            WellKnown::Struct => count(1) && of(1, Label::Map, is_message),
            WellKnown::ListValue => count(1) && of(1, Label::Repeated, is_message),
            WellKnown::Wrapper => {
                count(1) && single(1, |kind| !matches!(kind, Kind::Message(_) | Kind::Enum(_)))
            }
            WellKnown::Value => {
                let null = self.field(1).is_some_and(
                    |field| matches!(field.kind, Kind::Enum(id) if snapshot.enumeration(id).null),
                );
                count(6)
                    && null
                    && single(2, |kind| kind == Kind::Double)
                    && single(3, |kind| kind == Kind::String)
                    && single(4, |kind| kind == Kind::Bool)
                    && single(5, is_message)
                    && single(6, is_message)
            }
        }
    }
}

/// An enum: its names by number and the other way round.
#[derive(Debug)]
pub struct Enum {
    pub(crate) name: Box<str>,
    /// Sorted by number; of aliases only the first.
    pub(crate) values: Box<[(i32, Box<str>)]>,
    pub(crate) numbers: HashMap<Box<str>, i32>,
    /// Whether only the numbers with a name may be there.
    pub(crate) closed: bool,
    /// Whether it is `google.protobuf.NullValue`, which is `null` in JSON.
    pub(crate) null: bool,
    /// Its zero value: the first one.
    pub(crate) first: i32,
    pub(crate) file: Box<str>,
}

impl Enum {
    /// Its full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that defines it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its numbers with their names, aliases left out.
    pub fn values(&self) -> impl Iterator<Item = (i32, &str)> {
        self.values.iter().map(|(number, name)| (*number, &**name))
    }

    /// The name of a number; of aliases the first.
    #[must_use]
    pub fn name_of(&self, number: i32) -> Option<&str> {
        // Most enums count from zero without holes.
        let guess = usize::try_from(number)
            .ok()
            .and_then(|n| self.values.get(n));
        if let Some((found, name)) = guess
            && *found == number
        {
            return Some(name);
        }
        let place = self.values.binary_search_by_key(&number, |(n, _)| *n);
        place.ok().map(|place| &*self.values[place].1)
    }

    /// The number of a name.
    #[must_use]
    pub fn number_of(&self, name: &str) -> Option<i32> {
        self.numbers.get(name).copied()
    }
}
