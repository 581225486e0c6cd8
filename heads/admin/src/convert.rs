//! Records as JSON, and back.
//!
//! Bytes that are UTF-8 text are a string under their plain name; other bytes are base64 under the
//! name with `_base64` behind it. On the way in, a value that is JSON but no string is kept as its
//! compact text.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use base::Offset;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use broker::queue::Delivery;
use broker::{NewRecord, Record, RecordHeader};
use bytes::Bytes;
use serde::de::{DeserializeOwned, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Problem;

/// How bytes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As text where they are text.
    #[default]
    Text,
    /// As base64 always.
    Base64,
}

impl Encoding {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("text") => Ok(Self::Text),
            Some("base64") => Ok(Self::Base64),
            Some(other) => Err(Problem::invalid(format!(
                "encoding `{other}` is not text or base64"
            ))),
        }
    }
}

/// How many more elements lists may have, counted while they are taken apart.
pub(crate) struct Quota {
    limit: usize,
    left: Cell<usize>,
    name: &'static str,
}

impl Quota {
    pub(crate) fn new(limit: usize, name: &'static str) -> Self {
        let left = Cell::new(limit);
        Self { limit, left, name }
    }

    pub(crate) fn list<T: DeserializeOwned>(&self, list: &RawValue) -> Result<Vec<T>, Problem> {
        let mut json = serde_json::Deserializer::from_str(list.get());
        json.deserialize_seq(Counted(self, PhantomData))
            .map_err(|error| Problem::invalid(format!("the body is not as expected: {error}")))
    }
}

struct Counted<'a, T>(&'a Quota, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            let quota = self.0;
            let Some(left) = quota.left.get().checked_sub(1) else {
                let text = format!("more than {} ({})", quota.limit, quota.name);
                return Err(A::Error::custom(text));
            };
            quota.left.set(left);
            all.push(one);
        }
        Ok(all)
    }
}

/// A record that comes in. Values and headers are text still: as trees they would be many times as
/// large.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecordIn {
    partition: Option<i32>,
    timestamp: Option<i64>,
    key: Option<String>,
    key_base64: Option<String>,
    /// `null` is a value that deletes; left out is no value too.
    value: Option<Box<RawValue>>,
    value_base64: Option<String>,
    headers: Option<Box<RawValue>>,
}

/// A header that comes in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HeaderIn {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

impl RecordIn {
    pub(crate) fn into_record(self, headers: &Quota) -> Result<NewRecord, Problem> {
        let value = match self.value.as_deref().map(RawValue::get) {
            None => None,
            Some(text) if text.starts_with('"') => {
                let text = serde_json::from_str(text);
                Some(text.map_err(|error| Problem::invalid(format!("`value`: {error}")))?)
            }
            Some(json) => Some(compact(json)),
        };
        let listed: Vec<HeaderIn> = match &self.headers {
            Some(list) => headers.list(list)?,
            None => Vec::new(),
        };
        let headers: Result<Vec<RecordHeader>, Problem> = listed
            .into_iter()
            .map(|h| {
                Ok((
                    Bytes::from(h.name),
                    bytes("value", h.value, h.value_base64)?,
                ))
            })
            .collect();
        Ok(NewRecord {
            partition: self.partition,
            key: bytes("key", self.key, self.key_base64)?,
            value: bytes("value", value, self.value_base64)?,
            headers: headers?,
            timestamp: self.timestamp,
        })
    }
}

/// JSON without the white space between its parts.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for c in json.chars() {
        if in_text || !c.is_ascii_whitespace() {
            out.push(c);
        }
        in_text = if c == '"' && !escaped {
            !in_text
        } else {
            in_text
        };
        escaped = in_text && c == '\\' && !escaped;
    }
    out
}

fn bytes(
    name: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Bytes>, Problem> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(Problem::invalid(format!(
            "give `{name}` or `{name}_base64`, not both"
        ))),
        (Some(text), None) => Ok(Some(Bytes::from(text))),
        (None, None) => Ok(None),
        (None, Some(base64)) => BASE64
            .decode(base64)
            .map(|bytes| Some(Bytes::from(bytes)))
            .map_err(|error| Problem::invalid(format!("`{name}_base64`: {error}"))),
    }
}

/// A record that goes out.
#[derive(Debug, Serialize)]
pub(crate) struct RecordOut {
    partition: i32,
    offset: u64,
    timestamp: i64,
    #[serde(flatten)]
    key: KeyOut,
    #[serde(flatten)]
    value: ValueOut,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderOut>,
}

#[derive(Debug, Serialize)]
struct KeyOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
}

/// `"value": null` is shown: it says that the record deletes its key.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ValueOut {
    Text { value: Option<String> },
    Base64 { value_base64: String },
}

#[derive(Debug, Serialize)]
struct HeaderOut {
    name: String,
    #[serde(flatten)]
    value: ValueOut,
}

/// Text or base64.
fn split(bytes: &[u8], encoding: Encoding) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) if encoding == Encoding::Text => (Some(text.to_owned()), None),
        _ => (None, Some(BASE64.encode(bytes))),
    }
}

fn value(bytes: Option<&Bytes>, encoding: Encoding) -> ValueOut {
    match bytes.map(|bytes| split(bytes, encoding)) {
        Some((_, Some(value_base64))) => ValueOut::Base64 { value_base64 },
        Some((text, None)) => ValueOut::Text { value: text },
        None => ValueOut::Text { value: None },
    }
}

impl RecordOut {
    pub(crate) fn new(partition: i32, record: &Record, encoding: Encoding) -> Self {
        let (key, key_base64) = record
            .key
            .as_ref()
            .map_or((None, None), |key| split(key, encoding));
        let headers = record.headers.iter().map(|(name, bytes)| HeaderOut {
            name: String::from_utf8_lossy(name).into_owned(),
            value: value(bytes.as_ref(), encoding),
        });
        Self {
            partition,
            offset: record.offset.0,
            timestamp: record.timestamp,
            key: KeyOut { key, key_base64 },
            value: value(record.value.as_ref(), encoding),
            headers: headers.collect(),
        }
    }

    /// A queue's message as the record that it is: its lane is the partition.
    pub(crate) fn of_delivery(delivery: &Delivery, encoding: Encoding) -> Self {
        let record = Record {
            offset: Offset(delivery.receipt.offset),
            timestamp: delivery.timestamp_ms,
            key: delivery.key.clone(),
            value: delivery.value.clone(),
            headers: delivery.headers.clone(),
        };
        Self::new(i32::from(delivery.receipt.lane), &record, encoding)
    }
}
