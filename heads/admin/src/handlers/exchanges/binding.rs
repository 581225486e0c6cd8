//! Bindings as JSON. An argument is null, a truth value, a number or text; bytes that are no text
//! are `{"base64": ".."}`, and what has no JSON is `{"opaque": ".."}`, so that what was shown can be
//! given back.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use broker::exchange::{Binding, Destination, Match};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use crate::error::Problem;

/// A binding that goes out.
#[derive(Debug, Serialize)]
pub(crate) struct BindingOut {
    source: String,
    destination: String,
    destination_type: &'static str,
    key: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    arguments: BTreeMap<String, Value>,
}

impl BindingOut {
    pub(crate) fn new(binding: &Binding) -> Self {
        let arguments = binding.arguments.iter();
        Self {
            source: binding.source.clone(),
            destination: binding.destination.name().to_owned(),
            destination_type: match binding.destination {
                Destination::Queue(_) => "queue",
                Destination::Exchange(_) => "exchange",
            },
            key: binding.key.clone(),
            arguments: arguments.map(|(k, v)| (k.clone(), shown(v))).collect(),
        }
    }
}

fn shown(value: &Match) -> Value {
    match value {
        Match::Void => Value::Null,
        Match::Bool(value) => Value::Bool(*value),
        Match::Int(value) => Value::from(*value),
        // What is no number has no JSON.
        Match::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Match::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => json!({ "base64": BASE64.encode(bytes) }),
        },
        Match::Other(bytes) => json!({ "opaque": BASE64.encode(bytes) }),
    }
}

/// A binding that comes in: where it leads, and by what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BindingIn {
    queue: Option<String>,
    exchange: Option<String>,
    key: String,
    arguments: BTreeMap<String, Value>,
}

impl BindingIn {
    pub(super) fn into_binding(self, source: &str) -> Result<Binding, Problem> {
        let destination = match (self.queue, self.exchange) {
            (Some(queue), None) => Destination::Queue(queue),
            (None, Some(exchange)) => Destination::Exchange(exchange),
            _ => return Err(Problem::invalid("give one of `queue` and `exchange`")),
        };
        let arguments = self.arguments.into_iter();
        let arguments = arguments.map(|(name, value)| Ok((name.clone(), read(&name, value)?)));
        Ok(Binding {
            source: source.to_owned(),
            destination,
            key: self.key,
            arguments: arguments.collect::<Result<_, Problem>>()?,
        })
    }
}

fn read(name: &str, value: Value) -> Result<Match, Problem> {
    let bytes = |text: &str| BASE64.decode(text).ok().map(Bytes::from);
    let read = match &value {
        Value::Null => Some(Match::Void),
        Value::Bool(value) => Some(Match::Bool(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Some(Match::Int(int)),
            // Larger than any header's integer: a float would compare otherwise.
            None if number.is_u64() => None,
            None => number.as_f64().map(Match::Float),
        },
        Value::String(text) => Some(Match::Text(Bytes::from(text.clone()))),
        Value::Array(_) => None,
        Value::Object(members) => {
            let mut members = members.iter();
            match (members.next(), members.next()) {
                (Some((kind, Value::String(text))), None) if kind == "base64" => {
                    bytes(text).map(Match::Text)
                }
                (Some((kind, Value::String(text))), None) if kind == "opaque" => {
                    bytes(text).map(Match::Other)
                }
                _ => None,
            }
        }
    };
    read.ok_or_else(|| {
        Problem::invalid(format!(
            "argument `{name}` is null, true or false, a number, text, or {{\"base64\": \"..\"}}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_given_back() {
        let values = [
            Match::Void,
            Match::Bool(true),
            Match::Int(i64::MIN),
            Match::Float(0.5),
            Match::Text(Bytes::from_static(b"text")),
            Match::Text(Bytes::from_static(b"\xff")),
            Match::Other(Bytes::from_static(b"\0table")),
        ];
        for value in values {
            assert_eq!(read("a", shown(&value)).unwrap(), value);
        }
        for wrong in [
            json!([]),
            json!({}),
            json!({"base64": "%"}),
            json!(u64::MAX),
        ] {
            assert!(read("a", wrong).is_err());
        }
    }

    #[test]
    fn a_binding_leads_to_one_place() {
        for wrong in [json!({}), json!({"queue": "q", "exchange": "e"})] {
            let given: BindingIn = serde_json::from_value(wrong).unwrap();
            assert!(given.into_binding("source").is_err());
        }
    }
}
