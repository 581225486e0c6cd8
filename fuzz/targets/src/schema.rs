//! A message from one format to all others: what is read can be written and read again, to the same.
//! The first byte chooses the format and the message.

use std::sync::LazyLock;

use ::schema::{Cause, Format, Limits, Loader, MessageId, Options, Protocol, Snapshot};

const ALL: [Format; 5] = [
    Format::Json,
    Format::Protobuf,
    Format::Thrift(Protocol::Binary),
    Format::Thrift(Protocol::Compact),
    Format::Thrift(Protocol::Json),
];

const PROTO: &str = r#"
syntax = "proto3";
package fuzz;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum E { ZERO = 0; ONE = 1; }
message M {
  int32 i = 1; uint64 u = 2; double d = 3; string s = 4; bytes b = 5; E e = 6; M m = 7;
  repeated sint32 list = 8; repeated M ms = 9; map<string, M> map = 10; map<int64, bytes> numbers = 11;
  oneof o { string left = 12; M right = 13; }
  google.protobuf.Any any = 14; google.protobuf.Value value = 15; google.protobuf.Timestamp t = 16;
  google.protobuf.BoolValue w = 17; optional bool flag = 18;
}
"#;

const IDL: &str = "struct P { 1: required i32 x }
union U { 1: string s, 2: list<P> ps }
struct T { 1: bool a, 2: i8 b, 3: i16 c, 4: set<string> d, 5: map<i32, list<i64>> e, 6: map<P, double> f,
  7: list<list<bool>> g, 8: uuid h, 9: optional U u, 10: optional T t, 11: binary z }";

static SNAPSHOT: LazyLock<(Snapshot, [MessageId; 2])> = LazyLock::new(|| {
    let mut loader = Loader::new();
    loader.proto("fuzz.proto", PROTO).thrift("idl.thrift", IDL);
    let snapshot = loader.load().unwrap();
    let ids = ["fuzz.M", "idl.T"].map(|name| snapshot.find_message(name).unwrap());
    (snapshot, ids)
});

fn options(factor: usize) -> Options {
    Options {
        limits: Limits {
            depth_max: 20,
            output_bytes_max: 4 << 20,
            string_bytes_max: 1 << 16,
            elements_max: 20_000 * factor as u64,
            input_bytes_max: 8 << 20,
        },
        ..Options::default()
    }
}

fn go(
    id: MessageId,
    from: Format,
    to: Format,
    input: &[u8],
    factor: usize,
) -> Result<Vec<u8>, ::schema::Error> {
    let mut out = Vec::new();
    let done = SNAPSHOT
        .0
        .transcode(id, from, to, input, &mut out, &options(factor));
    assert!(done.is_ok() || out.is_empty(), "an error leaves nothing");
    done.map(|_| out)
}

/// Plays one input.
pub fn run(data: &[u8]) {
    let [mode, input @ ..] = data else { return };
    let from = ALL[usize::from(*mode) % 5];
    let id = SNAPSHOT.1[usize::from(*mode / 5) % 2];
    for to in ALL {
        let Ok(once) = go(id, from, to, input, 1) else {
            continue;
        };
        // What we wrote we read, and write in the same way.
        match go(id, to, to, &once, 8) {
            Ok(twice) => assert!(once == twice || to == Format::Protobuf, "{from:?} {to:?}"),
            Err(error) => assert!(tolerated(error.cause()), "{from:?} {to:?}: {error}"),
        }
    }
}

/// Limits count differently in the other format; and Protobuf keeps what others refuse.
fn tolerated(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::Over(_) | Cause::Inexpressible(_) | Cause::UnknownType(_)
    )
}

/// Messages with everything in them, in every format.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        (
            0,
            r#"{"i":-1,"u":"5","d":"NaN","s":"a\"b","b":"AQI=","e":"ONE","m":{"i":1},"list":[1,-2],"ms":[{},{"s":"x"}],"map":{"k":{"i":2}},"numbers":{"-3":"AA=="},"right":{"i":3},"value":{"a":[1,null,"x"]},"t":"2020-02-29T12:00:00.5Z","w":false,"flag":true}"#,
        ),
        (0, r#"{"any":{"@type":"x/fuzz.M","i":7},"left":""}"#),
        (
            1,
            r#"{"a":true,"b":-1,"c":300,"d":["x","y"],"e":{"5":{"items":["1"]}},"g":[{"items":[true,false]}],"h":"00112233-4455-6677-8899-aabbccddeeff","u":{"ps":{"items":[{"x":1}]}},"t":{},"z":"AQ=="}"#,
        ),
        (1, r#"{"f":[{"key":{"x":1},"value":0.5}]}"#),
    ];
    let mut seeds = Vec::new();
    for (message, text) in texts {
        let id = SNAPSHOT.1[message];
        for (at, format) in ALL.iter().enumerate() {
            if let Ok(bytes) = go(id, Format::Json, *format, text.as_bytes(), 1) {
                let mode = u8::try_from(at + message * 5).unwrap();
                seeds.push([&[mode][..], &bytes].concat());
            }
        }
    }
    seeds
}
