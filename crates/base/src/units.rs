//! Configuration values that carry their unit: `"64MiB"`, `"30s"`. A bare number is bytes, or
//! milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A size in bytes. Reads `"512"`, `"64KiB"`, `"1MiB"`, `"2GiB"`, `"1TiB"`, and the decimal forms
/// `"64kB"`, `"1MB"`, `"2GB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// A time in milliseconds. Reads `"250ms"`, `"30s"`, `"10m"`, `"12h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

/// Text that is neither a size nor a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}; write for example {example}")]
pub struct ParseError {
    text: String,
    what: &'static str,
    example: &'static str,
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];
// "ms" before "s" and "m": the longest suffix must win.
const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (digits, scale) = units
        .iter()
        .find_map(|(unit, scale)| {
            text.strip_suffix(unit)
                .map(|rest| (rest.trim_end(), *scale))
        })
        .unwrap_or((text, 1));
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

fn show(value: u64, units: &[(&str, u64)], base: &str) -> String {
    units
        .iter()
        .filter(|(_, scale)| value > 0 && value.is_multiple_of(*scale))
        .max_by_key(|(_, scale)| *scale)
        .map_or_else(
            || format!("{value}{base}"),
            |(unit, scale)| format!("{}{unit}", value / scale),
        )
}

impl FromStr for ByteSize {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text, &SIZE_UNITS)
            .map(Self)
            .ok_or_else(|| ParseError {
                text: text.to_owned(),
                what: "a size",
                example: "64MiB",
            })
    }
}

impl FromStr for Millis {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text, &TIME_UNITS)
            .map(Self)
            .ok_or_else(|| ParseError {
                text: text.to_owned(),
                what: "a time",
                example: "30s",
            })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0, &SIZE_UNITS[..4], "B"))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0, &TIME_UNITS, "ms"))
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(millis.0)
    }
}

impl ByteSize {
    /// As a length in memory; saturates on machines where it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Number(u64),
    Text(String),
}

macro_rules! config_value {
    ($unit:ty) => {
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match Raw::deserialize(deserializer)? {
                    Raw::Number(n) => Ok(Self(n)),
                    Raw::Text(text) => text.parse().map_err(de::Error::custom),
                }
            }
        }
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
config_value!(ByteSize);
config_value!(Millis);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_sizes_and_times() {
        for (text, bytes) in [
            ("512", 512),
            ("64KiB", 65_536),
            ("1 MiB", 1 << 20),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("10m", 600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(text.parse(), Ok(Millis(ms)), "{text}");
        }
        assert_eq!(ByteSize(65_536).to_string(), "64KiB");
        assert_eq!(Millis(90_000).to_string(), "90s");
        assert_eq!(Millis(0).to_string(), "0ms");
    }

    #[test]
    fn refuses_what_is_neither() {
        assert!("many".parse::<ByteSize>().is_err());
        assert!("99999999999TiB".parse::<ByteSize>().is_err());
        assert!("-1s".parse::<Millis>().is_err());
    }
}
