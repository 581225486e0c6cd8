//! The same messages through `prost-reflect`, a second implementation: what both take they read the
//! same, and what we write it reads.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "enums of another crate that may grow"
)]

use base::Rng;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use prost_reflect::{Kind, MapKey, ReflectMessage, Value};

use super::{EVERYTHING, everything, transcode};
use crate::{Cause, Format, Options, Snapshot};

struct Both {
    snapshot: Snapshot,
    descriptor: MessageDescriptor,
}

impl Both {
    fn new() -> Self {
        let pool: DescriptorPool = {
            let mut compiler = protox::Compiler::with_file_resolver({
                let mut chain = protox::file::ChainFileResolver::new();
                chain.add(One);
                chain.add(protox::file::GoogleFileResolver::new());
                chain
            });
            compiler.open_file("everything.proto").unwrap();
            compiler.descriptor_pool()
        };
        let descriptor = pool.get_message_by_name("test.Everything").unwrap();
        Self {
            snapshot: everything(),
            descriptor,
        }
    }

    fn ours(&self, from: Format, to: Format, input: &[u8]) -> Result<Vec<u8>, crate::Error> {
        transcode(
            &self.snapshot,
            "test.Everything",
            from,
            to,
            input,
            &Options::default(),
        )
    }

    fn read_json(&self, json: &[u8]) -> Result<DynamicMessage, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize(self.descriptor.clone(), &mut reader)?;
        reader.end()?;
        Ok(message)
    }

    fn read_bytes(
        &self,
        bytes: &[u8],
    ) -> Result<DynamicMessage, prost_reflect::prost::DecodeError> {
        DynamicMessage::decode(self.descriptor.clone(), bytes)
    }
}

struct One;

impl protox::file::FileResolver for One {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        if name == "everything.proto" {
            protox::file::File::from_source(name, EVERYTHING)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

fn to_json(message: &DynamicMessage) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut out);
    message
        .serialize_with_options(&mut writer, &SerializeOptions::new())
        .unwrap();
    out
}

/// Messages with everything in them that there is, at random and always the same.
struct Random(Rng);

impl Random {
    fn below(&self, end: u64) -> u64 {
        self.0.below(end)
    }

    fn int(&self) -> i64 {
        let value = self.0.next_u64().cast_signed();
        match self.below(5) {
            0 => 0,
            1 => value % 100,
            2 => i64::MIN >> self.below(64),
            3 => i64::MAX >> self.below(63),
            _ => value,
        }
    }

    fn double(&self) -> f64 {
        match self.below(8) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            // Negative zero they lose in maps.
            2 => -1.5,
            3 => f64::MIN_POSITIVE,
            4 => self.int() as f64 / 100.0,
            5 => f64::MAX,
            _ => (self.int() % 1000) as f64,
        }
    }

    fn text(&self) -> String {
        let pool = [
            "a",
            "\"",
            "\\",
            "\n",
            "\u{1}",
            "é",
            "\u{1F600}",
            "/",
            "<",
            "long run of plain text ",
            "\u{2028}",
            "\u{7f}",
        ];
        let count = self.below(6);
        (0..count)
            .map(|_| pool[usize::try_from(self.below(12)).unwrap()])
            .collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let count = self.below(20);
        (0..count)
            .map(|_| self.0.next_u64().to_le_bytes()[0])
            .collect()
    }

    fn i32(&self) -> i32 {
        i32::try_from(self.int() % (1 << 31)).unwrap()
    }

    fn value(&self, kind: &Kind, depth: u32) -> Value {
        match kind {
            Kind::Double => Value::F64(self.double()),
            Kind::Float => Value::F32(match self.below(4) {
                0 => f32::NEG_INFINITY,
                // The shortest text of the very largest is over the limit to them.
                1 => 1e38,
                _ => (self.i32() as f32) / 8.0,
            }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.i32()),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.int()),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.i32().cast_unsigned()),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.int().cast_unsigned()),
            Kind::Bool => Value::Bool(self.below(2) == 0),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.bytes().into()),
            Kind::Enum(it) if it.full_name() == "google.protobuf.NullValue" => Value::EnumNumber(0),
            Kind::Enum(_) => {
                Value::EnumNumber([0, 1, 7, -1, 99][usize::try_from(self.below(5)).unwrap()])
            }
            Kind::Message(it) => Value::Message(self.message(it, depth)),
        }
    }

    fn message(&self, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut set = |name: &str, value: Value| message.set_field_by_name(name, value);
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                let seconds = self.int() % 60_000_000_000;
                set("seconds", Value::I64(seconds.rem_euclid(253_402_300_799)));
                set("nanos", Value::I32(self.nanos()));
            }
            "google.protobuf.Duration" => {
                let seconds = self.int() % 315_576_000_000;
                let nanos = self.nanos();
                set("seconds", Value::I64(seconds));
                set(
                    "nanos",
                    Value::I32(if seconds < 0 { -nanos } else { nanos }),
                );
            }
            "google.protobuf.FieldMask" => {
                let paths = ["a", "foo_bar", "a.b_c.d", "x1"];
                let count = self.below(4);
                let paths = (0..count).map(|_| {
                    Value::String(paths[usize::try_from(self.below(4)).unwrap()].to_owned())
                });
                set("paths", Value::List(paths.collect()));
            }
            "google.protobuf.Value" => {
                let fields: Vec<_> = descriptor.fields().collect();
                let most = if depth == 0 { 4 } else { 6 };
                let field = &fields[usize::try_from(self.below(most)).unwrap()];
                let value = match field.kind() {
                    Kind::Double => Value::F64((self.int() % 10_000) as f64 / 4.0),
                    kind => self.value(&kind, depth.saturating_sub(1)),
                };
                message.set_field(field, value);
            }
            "google.protobuf.Any" => {
                let pool = descriptor.parent_pool();
                let names = [
                    "test.Everything",
                    "google.protobuf.Duration",
                    "google.protobuf.Value",
                    "google.protobuf.Timestamp",
                ];
                let name = names[usize::try_from(self.below(4)).unwrap()];
                let inner = self.message(
                    &pool.get_message_by_name(name).unwrap(),
                    depth.saturating_sub(1).min(1),
                );
                set("type_url", Value::String(format!("type.example/{name}")));
                set("value", Value::Bytes(inner.encode_to_vec().into()));
            }
            "google.protobuf.DoubleValue" => set("value", Value::F64(f64::from(self.i32()))),
            _ => self.fields(&mut message, depth),
        }
        message
    }

    fn nanos(&self) -> i32 {
        let value = self.i32().unsigned_abs() % 1_000_000_000;
        let value = [0, value, value / 1000 * 1000, value / 1_000_000 * 1_000_000]
            [usize::try_from(self.below(4)).unwrap()];
        i32::try_from(value).unwrap()
    }

    fn fields(&self, message: &mut DynamicMessage, depth: u32) {
        for field in message.descriptor().fields() {
            let is_message = matches!(field.kind(), Kind::Message(_)) && !field.is_map();
            if self.below(6) != 0 || (depth == 0 && (is_message || field.is_map())) {
                continue;
            }
            let depth = depth.saturating_sub(1);
            let count = self.below(5);
            let value = if field.is_map() {
                let Kind::Message(entry) = field.kind() else {
                    unreachable!()
                };
                let entries = (0..count).map(|_| {
                    let key = match self.value(&entry.map_entry_key_field().kind(), 0) {
                        Value::Bool(key) => MapKey::Bool(key),
                        Value::I32(key) => MapKey::I32(key),
                        Value::I64(key) => MapKey::I64(key),
                        Value::U64(key) => MapKey::U64(key),
                        Value::String(key) => MapKey::String(key),
                        other => unreachable!("{other:?}"),
                    };
                    (
                        key,
                        self.value(&entry.map_entry_value_field().kind(), depth),
                    )
                });
                Value::Map(entries.collect())
            } else if field.is_list() {
                Value::List(
                    (0..count)
                        .map(|_| self.value(&field.kind(), depth))
                        .collect(),
                )
            } else {
                self.value(&field.kind(), depth)
            };
            message.set_field(&field, value);
        }
    }
}

/// As JSON without regard to order and to how numbers are written.
fn shape(json: &[u8]) -> serde_json::Value {
    fn plain(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) => {
                format!("{:.12e}", number.as_f64().unwrap()).into()
            }
            serde_json::Value::Array(all) => all.into_iter().map(plain).collect(),
            serde_json::Value::Object(all) => all
                .into_iter()
                .map(|(key, value)| (key, plain(value)))
                .collect(),
            other => other,
        }
    }
    plain(
        serde_json::from_slice(json)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json))),
    )
}

/// Panics with the place of the first difference.
fn same(ours: &serde_json::Value, theirs: &serde_json::Value, path: &str) {
    use serde_json::Value as V;
    match (ours, theirs) {
        (V::Object(a), V::Object(b)) => {
            for (key, value) in a {
                same(
                    value,
                    b.get(key).unwrap_or(&V::Null),
                    &format!("{path}.{key}"),
                );
            }
            let more: Vec<_> = b.keys().filter(|key| !a.contains_key(*key)).collect();
            assert!(more.is_empty(), "{path}: without {more:?}");
        }
        (V::Array(a), V::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                same(a, b, &format!("{path}[{at}]"));
            }
        }
        // They write null for what is no number in a wrapper.
        (V::String(ours), V::Null) if matches!(ours.as_str(), "NaN" | "Infinity" | "-Infinity") => {
        }
        _ => assert_eq!(ours, theirs, "{path}"),
    }
}

#[test]
fn random_messages_are_the_same_to_both() {
    let both = Both::new();
    let random = Random(Rng::seeded(7));
    let mut longest = 0;
    for _ in 0..1500 {
        let message = random.message(&both.descriptor, 3);
        let bytes = message.encode_to_vec();
        longest = longest.max(bytes.len());
        let theirs = to_json(&message);
        let ours = both.ours(Format::Protobuf, Format::Json, &bytes).unwrap();
        same(&shape(&ours), &shape(&theirs), "");
        // What we wrote they read, and what they wrote we read, to the same message.
        let again = both.read_json(&ours).unwrap();
        same(&shape(&to_json(&again)), &shape(&theirs), "");
        let from_theirs = both.ours(Format::Json, Format::Protobuf, &theirs).unwrap();
        let decoded = both.read_bytes(&from_theirs).unwrap();
        same(&shape(&to_json(&decoded)), &shape(&theirs), "");
        // And through ourselves alone: JSON to Protobuf and back gives the very bytes.
        let once = both.ours(Format::Json, Format::Protobuf, &ours).unwrap();
        let twice = both.ours(Format::Protobuf, Format::Json, &once).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&twice),
            String::from_utf8_lossy(&ours)
        );
    }
    assert!(longest > 2000, "the random messages are small: {longest}");
}

#[test]
fn pieces_of_messages_behind_each_other_are_merged_as_they_merge_them() {
    let both = Both::new();
    let random = Random(Rng::seeded(8));
    for _ in 0..700 {
        let parts = (0..3).map(|_| random.message(&both.descriptor, 2).encode_to_vec());
        let bytes = parts.collect::<Vec<_>>().concat();
        let merged = both.read_bytes(&bytes).unwrap();
        // A Value or an Any in two pieces may hold what has no JSON.
        let Ok(theirs) = serde_json::to_vec(&merged) else {
            continue;
        };
        match both.ours(Format::Protobuf, Format::Json, &bytes) {
            Ok(ours) => same(&shape(&ours), &shape(&theirs), ""),
            // A duration of two pieces may have two signs.
            Err(error) if matches!(error.cause(), Cause::Inexpressible(_)) => {}
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&theirs)),
        }
    }
}

#[test]
fn changed_bytes_are_read_the_same_or_refused() {
    let both = Both::new();
    let random = Random(Rng::seeded(9));
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = random.message(&both.descriptor, 2).encode_to_vec();
        for _ in 0..=random.below(3) {
            let length = bytes.len() as u64;
            if length == 0 {
                break;
            }
            let at = usize::try_from(random.below(length)).unwrap();
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        let theirs = both.read_bytes(&bytes);
        let id = both.snapshot.find_message("test.Everything").unwrap();
        let mut ours = Vec::new();
        let (from, to) = (Format::Protobuf, Format::Json);
        let options = Options::default();
        match both
            .snapshot
            .transcode(id, from, to, &bytes, &mut ours, &options)
        {
            // A known number of a foreign wire type is unknown to us; they read it, or refuse it.
            Ok(report) if report.dropped > 0 => taken += 1,
            Ok(_) => {
                taken += 1;
                let theirs = match theirs {
                    Ok(theirs) => theirs,
                    // Bits above the 64th do not count.
                    Err(error) if error.to_string().contains("invalid varint") => continue,
                    Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&ours)),
                };
                if let Ok(theirs) = serde_json::to_vec(&theirs) {
                    same(&shape(&ours), &shape(&theirs), "");
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        taken > 300 && refused > 300,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn changed_json_is_never_taken_when_it_is_no_json() {
    let both = Both::new();
    let random = Random(Rng::seeded(10));
    let mut taken = 0;
    for _ in 0..3000 {
        let mut json = to_json(&random.message(&both.descriptor, 2));
        let at = usize::try_from(random.below(json.len() as u64)).unwrap();
        match random.below(3) {
            0 => json[at] = b"\"\\{}[],:0-.eE tn1"[usize::try_from(random.below(17)).unwrap()],
            1 => drop(json.remove(at)),
            _ => json.insert(
                at,
                b"\"\\{}[],:0-.eE tn1"[usize::try_from(random.below(17)).unwrap()],
            ),
        }
        if let Ok(bytes) = both.ours(Format::Json, Format::Protobuf, &json) {
            taken += 1;
            let value: Result<serde_json::Value, _> = serde_json::from_slice(&json);
            assert!(value.is_ok(), "{}", String::from_utf8_lossy(&json));
            let ours = shape(&to_json(&both.read_bytes(&bytes).unwrap()));
            // They are stricter and laxer in places; where they take it, it means the same.
            if let Ok(theirs) = both.read_json(&json) {
                assert_eq!(
                    ours,
                    shape(&to_json(&theirs)),
                    "{}",
                    String::from_utf8_lossy(&json)
                );
            }
        }
    }
    assert!(taken > 100, "{taken}");
}

#[test]
fn random_messages_survive_thrift() {
    use crate::Protocol;
    let both = Both::new();
    let random = Random(Rng::seeded(11));
    let mut survived = 0;
    for round in 0..600 {
        let message = random.message(&both.descriptor, 2);
        let bytes = message.encode_to_vec();
        let protocols = [Protocol::Binary, Protocol::Compact, Protocol::Json];
        let thrift = Format::Thrift(protocols[round % 3]);
        let other = Format::Thrift(protocols[round / 3 % 3]);
        let there = match both.ours(Format::Protobuf, thrift, &bytes) {
            Ok(there) => there,
            // Large unsigned numbers and large field numbers have no place in Thrift.
            Err(error) => {
                let cause = error.cause();
                assert!(
                    matches!(cause, Cause::Range(_) | Cause::Inexpressible(_)),
                    "{error}"
                );
                continue;
            }
        };
        survived += 1;
        let there = both
            .ours(thrift, other, &there)
            .unwrap_or_else(|e| panic!("{thrift:?} {other:?} {e}"));
        let back = both.ours(other, Format::Json, &there).unwrap();
        same(&shape(&back), &shape(&to_json(&message)), "");
        let json = both.ours(Format::Json, other, &back).unwrap();
        let again = both.ours(other, Format::Json, &json).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&again),
            String::from_utf8_lossy(&back)
        );
    }
    assert!(survived > 150, "{survived}");
}
