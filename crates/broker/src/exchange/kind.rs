//! The kinds of exchanges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an exchange chooses among its bindings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeKind {
    /// The binding key equals the routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// The binding key is a pattern of words with `*` and `#`.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
    /// One binding, always the same for the same text; the binding key is its weight, a number
    /// from 1 to [`ExchangeKind::WEIGHT_MAX`]. A binding that comes or goes moves only what it
    /// gets or had.
    ConsistentHash(HashBy),
    /// One binding: a hash of the routing key, modulo how many there are in the order of their
    /// names.
    ModulusHash,
    /// One binding, a random one.
    Random,
    /// As the kind inside; the head gives the messages that it publishes there their time
    /// (`Attributes::deliver_ms`).
    Delayed(Box<Self>),
}

/// The text that a consistent hash is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashBy {
    /// The routing key.
    #[default]
    Key,
    /// The value of the header of this name, or nothing where it is missing.
    Header(String),
}

impl ExchangeKind {
    /// The largest weight of a binding.
    pub const WEIGHT_MAX: u32 = 1_000_000;

    /// The kind that routes: what is inside of [`ExchangeKind::Delayed`], otherwise itself.
    #[must_use]
    pub fn routing(&self) -> &Self {
        match self {
            Self::Delayed(inside) => inside.routing(),
            Self::Direct
            | Self::Fanout
            | Self::Topic
            | Self::Headers
            | Self::ConsistentHash(_)
            | Self::ModulusHash
            | Self::Random => self,
        }
    }
}

/// There is no kind of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of exchange")]
pub struct UnknownKind(pub String);

/// The word before a kind that is delayed.
const DELAYED: &str = "delayed:";

impl FromStr for ExchangeKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let unknown = || UnknownKind(name.to_owned());
        if let Some(inside) = name.strip_prefix(DELAYED) {
            // One in another would say nothing more, and names of any length could nest.
            return match inside.strip_prefix(DELAYED) {
                Some(_) => Err(unknown()),
                None => Ok(Self::Delayed(Box::new(inside.parse()?))),
            };
        }
        match name {
            "direct" => Ok(Self::Direct),
            "fanout" => Ok(Self::Fanout),
            "topic" => Ok(Self::Topic),
            "headers" => Ok(Self::Headers),
            "consistent-hash" => Ok(Self::ConsistentHash(HashBy::Key)),
            "modulus-hash" => Ok(Self::ModulusHash),
            "random" => Ok(Self::Random),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Fanout => f.write_str("fanout"),
            Self::Topic => f.write_str("topic"),
            Self::Headers => f.write_str("headers"),
            Self::ConsistentHash(_) => f.write_str("consistent-hash"),
            Self::ModulusHash => f.write_str("modulus-hash"),
            Self::Random => f.write_str("random"),
            Self::Delayed(inside) => write!(f, "{DELAYED}{inside}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown() {
        for name in [
            "direct",
            "fanout",
            "topic",
            "headers",
            "consistent-hash",
            "modulus-hash",
            "random",
            "delayed:topic",
        ] {
            let kind: ExchangeKind = name.parse().unwrap();
            assert_eq!(kind.to_string(), name);
            let row = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<ExchangeKind>(&row).unwrap(), kind);
        }
        for name in ["", "Direct", "delayed:", "delayed:delayed:topic", "delayed"] {
            assert!(name.parse::<ExchangeKind>().is_err(), "{name}");
        }
    }
}
