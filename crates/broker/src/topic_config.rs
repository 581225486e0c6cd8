//! What can be configured about a topic: one table of keys, and the parsed form of the values.
//!
//! Names and defaults are those that Kafka's users know (Kafka 4.3, topic configuration), so that
//! their tools and files go on working; `stentor.durability` is ours. A key of which Stentor has
//! no use yet is kept and shown, and its row says so.

use std::collections::BTreeMap;

use store::batch::Compression;
use store::{Cleanup, Durability, StreamConfig};

use crate::error::Error;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `true` or `false`.
    Boolean,
    /// Free text.
    Text,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Long,
    /// A decimal number.
    Double,
    /// Words with commas between.
    List,
}

/// One key of a topic's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: ValueKind,
    /// Its value where nobody set one.
    pub default: &'static str,
    /// The smallest and largest number allowed.
    pub range: (i64, i64),
    /// The words allowed; empty for any.
    pub words: &'static [&'static str],
    /// Whether it changes what Stentor does; if not, it is only kept and shown.
    pub used: bool,
    /// What it means.
    pub doc: &'static str,
}

const ANY: (i64, i64) = (i64::MIN, i64::MAX);
const NO_WORDS: &[&str] = &[];

const fn number(
    name: &'static str,
    kind: ValueKind,
    default: &'static str,
    range: (i64, i64),
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        range,
        words: NO_WORDS,
        used: true,
        doc,
    }
}

const fn words(
    name: &'static str,
    kind: ValueKind,
    default: &'static str,
    words: &'static [&'static str],
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        range: ANY,
        words,
        used: true,
        doc,
    }
}

const fn kept(name: &'static str, kind: ValueKind, default: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        range: ANY,
        words: NO_WORDS,
        used: false,
        doc: "Kept and shown for tools that set it; Stentor has no use for it.",
    }
}

use ValueKind::{Boolean, Double, Int, List, Long, Text};

const MAX: &str = "9223372036854775807";

/// Every key, in alphabetical order.
pub const KEYS: &[Key] = &[
    words(
        "cleanup.policy",
        List,
        "delete",
        &["delete", "compact"],
        "What happens to old records: deleted by age and size, compacted to the last one of each key, or both. Empty keeps everything.",
    ),
    number(
        "compression.gzip.level",
        Int,
        "-1",
        (-1, 9),
        "Level for compression.type=gzip; -1 is the library's default.",
    ),
    number(
        "compression.lz4.level",
        Int,
        "9",
        (1, 17),
        "Level for compression.type=lz4; one level is implemented.",
    ),
    words(
        "compression.type",
        Text,
        "producer",
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
        "How batches are compressed at rest; `producer` keeps what the producer chose.",
    ),
    number(
        "compression.zstd.level",
        Int,
        "3",
        (-131_072, 22),
        "Level for compression.type=zstd.",
    ),
    number(
        "delete.retention.ms",
        Long,
        "86400000",
        (0, i64::MAX),
        "How long compaction keeps a tombstone, in milliseconds.",
    ),
    kept("file.delete.delay.ms", Long, "60000"),
    number(
        "flush.messages",
        Long,
        MAX,
        (1, i64::MAX),
        "1 makes the topic durable before it acknowledges, whatever stentor.durability says.",
    ),
    number(
        "flush.ms",
        Long,
        MAX,
        (0, i64::MAX),
        "0 makes the topic durable before it acknowledges, whatever stentor.durability says.",
    ),
    kept("follower.replication.throttled.replicas", List, ""),
    number(
        "index.interval.bytes",
        Int,
        "4096",
        (0, i32::MAX as i64),
        "Distance of two entries of a segment's sparse index, in bytes.",
    ),
    kept("leader.replication.throttled.replicas", List, ""),
    kept("local.retention.bytes", Long, "-2"),
    kept("local.retention.ms", Long, "-2"),
    number(
        "max.compaction.lag.ms",
        Long,
        MAX,
        (1, i64::MAX),
        "The longest a record stays uncompacted, in milliseconds.",
    ),
    number(
        "max.message.bytes",
        Int,
        "1048588",
        (0, i32::MAX as i64),
        "The largest batch that is taken, in bytes.",
    ),
    number(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        (0, i64::MAX),
        "How far ahead of the broker's clock a record's timestamp may be, in milliseconds.",
    ),
    number(
        "message.timestamp.before.max.ms",
        Long,
        MAX,
        (0, i64::MAX),
        "How far behind the broker's clock a record's timestamp may be, in milliseconds.",
    ),
    words(
        "message.timestamp.type",
        Text,
        "CreateTime",
        &["CreateTime", "LogAppendTime"],
        "Whether a record carries its producer's time or the broker's.",
    ),
    number(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        (0, 1),
        "Share of uncompacted bytes from which compaction is worth its work.",
    ),
    number(
        "min.compaction.lag.ms",
        Long,
        "0",
        (0, i64::MAX),
        "The shortest a record stays uncompacted, in milliseconds.",
    ),
    number(
        "min.insync.replicas",
        Int,
        "1",
        (1, i32::MAX as i64),
        "How many replicas must have a record before it is acknowledged; one node has one.",
    ),
    kept("preallocate", Boolean, "false"),
    kept("remote.log.copy.disable", Boolean, "false"),
    kept("remote.log.delete.on.disable", Boolean, "false"),
    kept("remote.storage.enable", Boolean, "false"),
    number(
        "retention.bytes",
        Long,
        "-1",
        (-1, i64::MAX),
        "How many bytes a partition keeps; -1 is no limit.",
    ),
    number(
        "retention.ms",
        Long,
        "604800000",
        (-1, i64::MAX),
        "How long a partition keeps records, in milliseconds; -1 is for ever.",
    ),
    number(
        "segment.bytes",
        Int,
        "1073741824",
        (1_048_576, i32::MAX as i64),
        "Size at which a new segment file begins, in bytes.",
    ),
    number(
        "segment.index.bytes",
        Int,
        "10485760",
        (4, i32::MAX as i64),
        "Size of a segment's index at which a new segment begins, in bytes.",
    ),
    number(
        "segment.jitter.ms",
        Long,
        "0",
        (0, i64::MAX),
        "Random time taken off segment.ms, in milliseconds.",
    ),
    number(
        "segment.ms",
        Long,
        "604800000",
        (1, i64::MAX),
        "Age at which a new segment file begins, in milliseconds.",
    ),
    words(
        "stentor.durability",
        Text,
        "sync",
        &["sync", "async"],
        "`sync`: acknowledged means on disk. `async`: acknowledged means in the operating system's cache, as Kafka does.",
    ),
    kept("unclean.leader.election.enable", Boolean, "false"),
];

/// The key called `name`.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|k| k.name.cmp(name))
        .ok()
        .and_then(|at| KEYS.get(at))
}

impl Key {
    /// Whether `value` may be set.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with what is wrong.
    pub fn check(&self, value: &str) -> Result<(), Error> {
        let fail = |why: String| {
            Err(Error::InvalidConfig {
                key: self.name.to_owned(),
                why,
            })
        };
        match self.kind {
            Boolean if !matches!(value, "true" | "false") => {
                return fail(format!("`{value}` is neither true nor false"));
            }
            Int | Long => {
                let Ok(number) = value.trim().parse::<i64>() else {
                    return fail(format!("`{value}` is not a whole number"));
                };
                let (low, high) = self.range;
                if number < low || number > high {
                    return fail(format!("{number} is outside {low}..={high}"));
                }
            }
            Double => {
                let (low, high) = self.range;
                let Ok(number) = value.trim().parse::<f64>() else {
                    return fail(format!("`{value}` is not a number"));
                };
                #[expect(clippy::cast_precision_loss, reason = "the bounds are 0 and 1")]
                if !(low as f64..=high as f64).contains(&number) {
                    return fail(format!("{number} is outside {low}..={high}"));
                }
            }
            List => {
                for word in elements(value) {
                    self.check_word(word)?;
                }
            }
            Text => self.check_word(value)?,
            Boolean => {}
        }
        Ok(())
    }

    fn check_word(&self, word: &str) -> Result<(), Error> {
        if self.words.is_empty() || self.words.contains(&word) {
            return Ok(());
        }
        let why = format!("`{word}` is not one of {}", self.words.join(", "));
        Err(Error::InvalidConfig {
            key: self.name.to_owned(),
            why,
        })
    }
}

/// The elements of a list value.
pub fn elements(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

/// When a record's time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// By its producer.
    Create,
    /// When it is appended.
    LogAppend,
}

/// A topic's configuration, parsed: what was set, then the operator's defaults, then the table's.
#[derive(Clone, Debug)]
pub struct TopicConfig {
    /// What was set on the topic itself.
    pub set: BTreeMap<String, String>,
    /// Largest batch in bytes.
    pub max_message_bytes: usize,
    /// Whose time counts.
    pub timestamp_type: TimestampType,
    /// How far behind a timestamp may be, in milliseconds.
    pub timestamp_before_max_ms: i64,
    /// How far ahead a timestamp may be, in milliseconds.
    pub timestamp_after_max_ms: i64,
    /// The compression at rest; `None` keeps the producer's.
    pub compression: Option<Compression>,
    /// The level that goes with it, where the codec has levels.
    pub compression_level: i32,
    /// How many replicas must have a record.
    pub min_insync_replicas: u32,
    /// What the store needs to know.
    pub stream: StreamConfig,
}

/// Values looked up in the order topic, operator, table.
struct Values<'a> {
    set: &'a BTreeMap<String, String>,
    defaults: &'a BTreeMap<String, String>,
}

impl Values<'_> {
    fn text(&self, name: &str) -> &str {
        self.set
            .get(name)
            .or_else(|| self.defaults.get(name))
            .map_or_else(|| key(name).map_or("", |k| k.default), String::as_str)
    }

    fn long(&self, name: &str) -> i64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    fn size(&self, name: &str) -> u64 {
        u64::try_from(self.long(name)).unwrap_or(0)
    }

    /// -1 and `i64::MAX` both mean that there is no limit.
    fn limit(&self, name: &str) -> Option<u64> {
        let value = self.long(name);
        u64::try_from(value).ok().filter(|_| value != i64::MAX)
    }
}

impl TopicConfig {
    /// Checks and parses.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the first key that is unknown or whose value is not allowed.
    pub fn parse(
        set: BTreeMap<String, String>,
        defaults: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        for (name, value) in set.iter().chain(defaults) {
            let known = key(name).ok_or_else(|| Error::InvalidConfig {
                key: name.clone(),
                why: "there is no such topic configuration".to_owned(),
            })?;
            known.check(value)?;
        }
        let values = Values {
            set: &set,
            defaults,
        };
        let [min, max] = ["min", "max"].map(|end| values.long(&format!("{end}.compaction.lag.ms")));
        if min > max {
            return Err(Error::InvalidConfig {
                key: "min.compaction.lag.ms".to_owned(),
                why: format!("{min} is more than max.compaction.lag.ms, {max}"),
            });
        }
        let (compression, compression_level) = compression(&values);
        Ok(Self {
            max_message_bytes: usize::try_from(values.long("max.message.bytes")).unwrap_or(0),
            timestamp_type: match values.text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppend,
                _ => TimestampType::Create,
            },
            timestamp_before_max_ms: values.long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.long("message.timestamp.after.max.ms"),
            compression,
            compression_level,
            min_insync_replicas: u32::try_from(values.long("min.insync.replicas")).unwrap_or(1),
            stream: stream_config(&values),
            set,
        })
    }

    /// Whether only the last record of each key is kept.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        self.stream.cleanup.compact
    }
}

fn compression(values: &Values<'_>) -> (Option<Compression>, i32) {
    let level = |name| i32::try_from(values.long(name)).unwrap_or(0);
    match values.text("compression.type") {
        "uncompressed" => (Some(Compression::None), 0),
        "gzip" => (Some(Compression::Gzip), level("compression.gzip.level")),
        "snappy" => (Some(Compression::Snappy), 0),
        "lz4" => (Some(Compression::Lz4), level("compression.lz4.level")),
        "zstd" => (Some(Compression::Zstd), level("compression.zstd.level")),
        _ => (None, 0),
    }
}

fn stream_config(values: &Values<'_>) -> StreamConfig {
    let policy = values.text("cleanup.policy");
    let flushed = values.long("flush.messages") == 1 || values.long("flush.ms") == 0;
    StreamConfig {
        segment_bytes: values.size("segment.bytes"),
        segment_ms: values.size("segment.ms"),
        index_interval_bytes: values.size("index.interval.bytes"),
        retention_ms: values.limit("retention.ms"),
        retention_bytes: values.limit("retention.bytes"),
        cleanup: Cleanup {
            delete: elements(policy).any(|p| p == "delete"),
            compact: elements(policy).any(|p| p == "compact"),
        },
        delete_retention_ms: values.size("delete.retention.ms"),
        min_cleanable_ratio: values
            .text("min.cleanable.dirty.ratio")
            .parse()
            .unwrap_or(0.5),
        min_compaction_lag_ms: values.size("min.compaction.lag.ms"),
        max_compaction_lag_ms: values.size("max.compaction.lag.ms"),
        durability: if flushed || values.text("stentor.durability") != "async" {
            Durability::Sync
        } else {
            Durability::Async
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_their_defaults_are_allowed() {
        assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
        for key in KEYS {
            key.check(key.default).unwrap();
        }
    }

    #[test]
    fn what_is_set_wins_over_the_operators_defaults() {
        let set = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
        let defaults = BTreeMap::from([
            ("retention.ms".to_owned(), "9".to_owned()),
            ("cleanup.policy".to_owned(), "compact, delete".to_owned()),
        ]);
        let config = TopicConfig::parse(set, &defaults).unwrap();
        assert_eq!(config.stream.retention_ms, Some(5));
        assert!(config.is_compacted() && config.stream.cleanup.delete);
        assert_eq!(config.stream.durability, Durability::Sync);
    }

    #[test]
    fn refuses_unknown_keys_and_values() {
        for (key, value) in [
            ("retention", "1"),
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "delete,burn"),
            ("segment.bytes", "12"),
            ("preallocate", "yes"),
            ("min.cleanable.dirty.ratio", "1.5"),
        ] {
            let set = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            assert!(
                TopicConfig::parse(set, &BTreeMap::new()).is_err(),
                "{key}={value}"
            );
        }
    }

    #[test]
    fn a_lag_that_is_shorter_than_the_shortest_is_refused() {
        let lags = |min: &str, max: &str| {
            let set = [
                ("min.compaction.lag.ms", min),
                ("max.compaction.lag.ms", max),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
            TopicConfig::parse(set.into(), &BTreeMap::new())
        };
        let stream = lags("5", "6").unwrap().stream;
        assert_eq!(stream.min_compaction_lag_ms, 5);
        assert_eq!(stream.max_compaction_lag_ms, 6);
        assert!(lags("7", "6").is_err());
    }

    #[test]
    fn flushing_each_message_means_durable() {
        let set = BTreeMap::from([
            ("stentor.durability".to_owned(), "async".to_owned()),
            ("flush.messages".to_owned(), "1".to_owned()),
        ]);
        let config = TopicConfig::parse(set, &BTreeMap::new()).unwrap();
        assert_eq!(config.stream.durability, Durability::Sync);
    }
}
