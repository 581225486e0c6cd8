//! Bindings: what leads from an exchange to a queue or another exchange.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The argument that says how a headers exchange compares the others.
pub(super) const X_MATCH: &str = "x-match";

/// A way from an exchange to a destination of the same namespace. Two bindings are the same when
/// all of this is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: String,
    /// Where they go.
    pub destination: Destination,
    /// What the source's kind compares with a message's routing keys.
    pub key: String,
    /// What a headers exchange compares with a message's headers; others keep it unread.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Match>,
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// The queue of this name. A topic is reached through a queue that is declared over it, which
    /// copies nothing.
    Queue(String),
    /// The exchange of this name.
    Exchange(String),
}

impl Destination {
    /// The name of the queue or exchange.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) | Self::Exchange(name) => name,
        }
    }
}

/// A value of a header or of a binding's argument, as far as it can be compared.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// In a binding: the header is there, whatever it holds.
    Void,
    /// A truth value.
    Bool(bool),
    /// An integer of any width; a time in seconds.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text, or bytes.
    Text(#[serde(serialize_with = "write", deserialize_with = "read")] Bytes),
    /// Anything else, in a form of the head's that is equal for equal values.
    Other(#[serde(serialize_with = "write", deserialize_with = "read")] Bytes),
}

fn write<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64.encode(bytes))
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = BASE64.decode(text).map_err(serde::de::Error::custom)?;
    Ok(bytes.into())
}

/// What a [`Match`] is compared by: its kind, a number, bytes.
type Comparable<'a> = (u8, u64, &'a [u8]);

impl Match {
    /// The bytes that it holds.
    pub(super) fn size(&self) -> usize {
        self.comparable().2.len() + size_of::<Self>()
    }

    /// The text that a hash is made of.
    pub(super) fn text(&self) -> Vec<u8> {
        match self {
            Self::Text(bytes) | Self::Other(bytes) => bytes.to_vec(),
            Self::Void | Self::Bool(_) | Self::Int(_) | Self::Float(_) => {
                let (kind, number, _) = self.comparable();
                [&[kind][..], &number.to_be_bytes()].concat()
            }
        }
    }

    fn comparable(&self) -> Comparable<'_> {
        match self {
            Self::Void => (0, 0, &[]),
            Self::Bool(value) => (1, u64::from(*value), &[]),
            Self::Int(value) => (2, value.cast_unsigned(), &[]),
            // Both zeros are one number.
            Self::Float(value) => (3, if *value == 0.0 { 0 } else { value.to_bits() }, &[]),
            Self::Text(bytes) => (4, 0, bytes),
            Self::Other(bytes) => (5, 0, bytes),
        }
    }
}

impl PartialEq for Match {
    fn eq(&self, other: &Self) -> bool {
        self.comparable() == other.comparable()
    }
}

impl Eq for Match {}

impl PartialOrd for Match {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Match {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.comparable().cmp(&other.comparable())
    }
}

impl std::hash::Hash for Match {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.comparable().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_brings_every_value_back() {
        let text = Match::Text(Bytes::from_static(b"\xff\0text"));
        let arguments = [
            ("void", Match::Void),
            ("bool", Match::Bool(true)),
            ("int", Match::Int(i64::MIN)),
            ("float", Match::Float(-0.25)),
            ("text", text),
            ("other", Match::Other(Bytes::new())),
        ];
        let binding = Binding {
            source: "from".to_owned(),
            destination: Destination::Exchange("to".to_owned()),
            key: "a.*".to_owned(),
            arguments: arguments.map(|(k, v)| (k.to_owned(), v)).into(),
        };
        let row = serde_json::to_vec(&binding).unwrap();
        assert_eq!(serde_json::from_slice::<Binding>(&row).unwrap(), binding);
    }

    #[test]
    fn values_are_compared_by_kind_and_value() {
        assert_eq!(Match::Float(0.0), Match::Float(-0.0));
        assert_ne!(Match::Int(1), Match::Float(1.0));
        assert_ne!(Match::Int(1), Match::Bool(true));
        assert_ne!(Match::Text("a".into()), Match::Other("a".into()));
    }
}
