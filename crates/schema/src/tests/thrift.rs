//! Thrift: the very bytes, every type, and all formats against each other.

use super::transcode;
use crate::{Cause, Format, Loader, Method, Options, Origin, Protocol, Snapshot, Unknown};

const IDL: &str = r#"
namespace * acme.user
include "shared.thrift"
/* types */
typedef i64 Id
typedef list<Id> Ids
const map<string, list<i32>> LIMITS = { "a": [1, 0x10,], 'b': [] }
enum Color { RED = 1, GREEN, BLUE = 7 }
enum Level { LOW, HIGH }
exception NotFound { 1: string what }
union Choice { 1: string name, 2: list<i32> numbers, 3: shared.Point point }
struct Everything {
  1: bool a_bool, 2: i8 an_i8; 3: i16 an_i16
  4: i32 an_i32 = 5
  5: Id an_id
  6: double a_double
  7: string a_string
  8: binary some_bytes
  9: uuid a_uuid
  10: optional Color color
  11: Level level
  12: shared.Point point
  13: Ids ids
  14: set<string> names
  15: map<string, i32> by_name
  16: map<i16, shared.Point> by_number
  17: map<Level, bool> by_level
  18: list<list<i32>> matrix
  19: map<string, list<string>> lists_by_name
  20: map<shared.Point, string> by_point
  21: map<double, set<i64>> by_double
  22: list<map<string, bool>> maps
  23: optional Choice choice
  24: required string needed
  25: list<bool> bools
  40: optional Everything nested // far away
}
service Base { void ping() }
service Users extends Base {
  shared.Point find(1: Id id, 2: string name) throws (1: NotFound missing) (stentor.key = "1"),
  list<string> names(),
  oneway void forget(1: Id id)
}
"#;

const SHARED: &str = "struct Point { 1: required i32 x, 2: required i32 y }";

fn snapshot() -> Snapshot {
    let mut loader = Loader::new();
    loader
        .thrift("api/user.thrift", IDL)
        .thrift("api/shared.thrift", SHARED);
    loader
        .load()
        .unwrap_or_else(|problems| panic!("{problems}"))
}

const ALL: [Format; 5] = [
    Format::Json,
    Format::Protobuf,
    Format::Thrift(Protocol::Binary),
    Format::Thrift(Protocol::Compact),
    Format::Thrift(Protocol::Json),
];

const NAME: &str = "acme.user.Everything";

fn go(snapshot: &Snapshot, name: &str, from: Format, to: Format, input: &[u8]) -> Vec<u8> {
    transcode(snapshot, name, from, to, input, &Options::default())
        .unwrap_or_else(|error| panic!("{name} {from:?} {to:?}: {error}"))
}

const FULL: &str = r#"{"aBool":true,"anI8":-8,"anI16":300,"anI32":-70000,"anId":"12345678901","aDouble":1.5,"aString":"é\n","someBytes":"/wA=","aUuid":"00112233-4455-6677-8899-aabbccddeeff","color":"BLUE","level":"HIGH","point":{"x":1,"y":-2},"ids":["1","-1"],"names":["a","b"],"byName":{"k":7},"byNumber":{"-5":{"x":3,"y":4}},"byLevel":{"1":true},"matrix":[{"items":[1,2]},{},{"items":[3]}],"listsByName":{"a":{"items":["x"]}},"byPoint":[{"key":{"x":5,"y":6},"value":"p"}],"byDouble":[{"key":0.5,"value":["9"]}],"maps":[{"items":{"t":true}}],"choice":{"numbers":{"items":[4,5]}},"needed":"yes","bools":[true,false],"nested":{"needed":"inner"}}"#;

#[test]
fn every_type_goes_through_every_format() {
    let snapshot = snapshot();
    // Thrift's JSON has no map with a struct as its key.
    let short = FULL.replace(r#""byPoint":[{"key":{"x":5,"y":6},"value":"p"}],"#, "");
    for text in [FULL, &short] {
        for first in ALL {
            for second in ALL {
                let json_of_thrift = [first, second].contains(&Format::Thrift(Protocol::Json));
                if json_of_thrift && text == FULL {
                    continue;
                }
                let one = go(&snapshot, NAME, Format::Json, first, text.as_bytes());
                let two = go(&snapshot, NAME, first, second, &one);
                let back = go(&snapshot, NAME, second, Format::Json, &two);
                let back = String::from_utf8(back).unwrap();
                // Thrift writes the zeros of the inner struct too, which are no fields in JSON.
                assert_eq!(back, text, "{first:?} {second:?}");
            }
        }
    }
    let error = transcode(
        &snapshot,
        NAME,
        Format::Json,
        ALL[4],
        FULL.as_bytes(),
        &Options::default(),
    );
    assert!(matches!(
        error.unwrap_err().cause(),
        Cause::Inexpressible(_)
    ));
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let snapshot = Loader::new()
        .thrift("a.thrift", "struct S { 1: A a } struct A { 1: string id }")
        .load()
        .unwrap();
    let json = br#"{"a":{"id":"1"}}"#;
    let bytes = |to| go(&snapshot, "a.S", Format::Json, Format::Thrift(to), json);
    assert_eq!(
        bytes(Protocol::Binary),
        [0x0c, 0, 1, 0x0b, 0, 1, 0, 0, 0, 1, 0x31, 0, 0]
    );
    assert_eq!(bytes(Protocol::Compact), [0x1c, 0x18, 1, 0x31, 0, 0]);
    assert_eq!(bytes(Protocol::Json), br#"{"1":{"rec":{"1":{"str":"1"}}}}"#);
    let text = "struct T { 1: bool t, 2: bool f, 20: i32 n, 21: list<i32> few, 22: list<i32> many, 23: map<i32,string> none, 24: map<i32,string> one, 25: double d, 26: set<bool> s }";
    let snapshot = Loader::new().thrift("a.thrift", text).load().unwrap();
    let json = br#"{"t":true,"n":-1,"few":[1],"many":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"one":{"7":"x"},"d":1,"s":[true,false,true]}"#;
    let compact = go(
        &snapshot,
        "a.T",
        Format::Json,
        Format::Thrift(Protocol::Compact),
        json,
    );
    let mut expected = vec![0x11, 0x05, 40, 0x01, 0x19, 0x15, 2, 0x19, 0xf5, 15];
    expected.extend([0; 15]);
    expected.extend([
        0x2b, 1, 0x58, 14, 1, b'x', 0x17, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x1a, 0x21, 1, 2,
    ]);
    // The bool that was not there is written too, at the end: its number is smaller, so in full.
    expected.extend([0x02, 4, 0]);
    assert_eq!(compact, expected);
    let binary = go(
        &snapshot,
        "a.T",
        Format::Thrift(Protocol::Compact),
        Format::Thrift(Protocol::Json),
        &compact,
    );
    assert_eq!(
        String::from_utf8(binary).unwrap(),
        r#"{"1":{"tf":1},"20":{"i32":-1},"21":{"lst":["i32",1,1]},"22":{"lst":["i32",15,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},"24":{"map":["i32","str",1,{"7":"x"}]},"25":{"dbl":1},"26":{"set":["tf",2,1,0]},"2":{"tf":0}}"#
    );
    // An empty map is one byte, and its types do not matter.
    let json = go(
        &snapshot,
        "a.T",
        Format::Thrift(Protocol::Compact),
        Format::Json,
        &[0x0b, 46, 0, 0],
    );
    assert_eq!(json, b"{}");
    // A list of bools may call its elements by either number.
    let json = go(
        &snapshot,
        "a.T",
        Format::Thrift(Protocol::Compact),
        Format::Json,
        &[0x0a, 52, 0x22, 1, 2, 0],
    );
    assert_eq!(json, br#"{"s":[true,false]}"#);
}

#[test]
fn protos_are_structs_too() {
    let text = "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; message M { uint32 u = 1; uint64 big = 2; google.protobuf.Timestamp t = 3; float f = 4; int32 far = 40000; }";
    let snapshot = Loader::new().proto("m.proto", text).load().unwrap();
    let binary = Format::Thrift(Protocol::Binary);
    let json = br#"{"u":4294967295,"t":"1970-01-01T00:00:01.000000002Z","f":0.5}"#;
    let bytes = go(&snapshot, "M", Format::Json, binary, json);
    assert_eq!(
        bytes[..11],
        [0x0a, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]
    );
    assert_eq!(go(&snapshot, "M", binary, Format::Json, &bytes), json);
    let fails = |json: &str| {
        transcode(
            &snapshot,
            "M",
            Format::Json,
            binary,
            json.as_bytes(),
            &Options::default(),
        )
        .unwrap_err()
    };
    assert!(matches!(
        fails(r#"{"big":"9223372036854775808"}"#).cause(),
        Cause::Range(_)
    ));
    assert!(matches!(
        fails(r#"{"far":1}"#).cause(),
        Cause::Inexpressible(_)
    ));
    let negative = [
        0x0a, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,
    ];
    let error = transcode(
        &snapshot,
        "M",
        binary,
        Format::Json,
        &negative,
        &Options::default(),
    )
    .unwrap_err();
    assert_eq!((error.path().as_str(), error.offset()), ("u", Some(11)));
}

#[test]
fn entries_that_come_the_wrong_way_round_are_turned() {
    let snapshot = snapshot();
    let json = r#"{"needed":"","byPoint":[{"value":"p","key":{"x":5,"y":6}}],"byDouble":[{"value":["1"]},{}]}"#;
    let right =
        r#"{"byPoint":[{"key":{"x":5,"y":6},"value":"p"}],"byDouble":[{"key":0,"value":["1"]}]}"#;
    for protocol in [Protocol::Binary, Protocol::Compact] {
        let bytes = go(
            &snapshot,
            NAME,
            Format::Json,
            Format::Thrift(protocol),
            json.as_bytes(),
        );
        let back = go(
            &snapshot,
            NAME,
            Format::Thrift(protocol),
            Format::Json,
            &bytes,
        );
        let back = String::from_utf8(back).unwrap();
        let (head, _) = right.split_once("}]}").unwrap();
        assert!(back.contains(&head[1..]), "{back}");
    }
    let json = r#"{"needed":"","byDouble":[{"value":["1"],"key":0.5}]}"#;
    let bytes = go(&snapshot, NAME, Format::Json, ALL[4], json.as_bytes());
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.contains(r#""21":{"map":["dbl","set",1,{"0.5":["i64",1,1]}]}"#),
        "{text}"
    );
}

#[test]
fn what_thrift_forbids_is_an_error() {
    let snapshot = snapshot();
    let binary = Format::Thrift(Protocol::Binary);
    let fails = |json: &str| {
        let done = transcode(
            &snapshot,
            NAME,
            Format::Json,
            binary,
            json.as_bytes(),
            &Options::default(),
        );
        done.unwrap_err().cause().clone()
    };
    assert_eq!(fails("{}"), Cause::Missing("needed".into()));
    // The key of an entry that has none would be a point without its numbers.
    let entry = r#"{"needed":"","byPoint":[{"value":"p"}]}"#;
    assert_eq!(fails(entry), Cause::Missing("key".into()));
    assert_eq!(
        fails(r#"{"needed":"","point":{"x":1}}"#),
        Cause::Missing("y".into())
    );
    assert!(matches!(
        fails(r#"{"needed":"","choice":{}}"#),
        Cause::Inexpressible(_)
    ));
    assert_eq!(fails(r#"{"needed":"","anI8":128}"#), Cause::Range("i8"));
    assert_eq!(fails(r#"{"needed":"","aUuid":"x"}"#), Cause::Type("a uuid"));
}

#[test]
fn what_no_writer_of_thrift_writes_is_refused() {
    let snapshot = snapshot();
    let binary = Format::Thrift(Protocol::Binary);
    let read = |bytes: &[u8]| {
        let done = transcode(
            &snapshot,
            "acme.user.Choice",
            binary,
            Format::Json,
            bytes,
            &Options::default(),
        );
        done.map(|json| String::from_utf8(json).unwrap())
            .map_err(|error| error.cause().clone())
    };
    let name = [11, 0, 1, 0, 0, 0, 0];
    assert_eq!(read(&[&name[..], &[0]].concat()).unwrap(), r#"{"name":""}"#);
    assert_eq!(
        read(&[&name[..], &name, &[0]].concat()),
        Err(Cause::Duplicate("name".into()))
    );
    let numbers = [15, 0, 2, 8, 0, 0, 0, 0];
    assert_eq!(
        read(&[&name[..], &numbers, &[0]].concat()),
        Err(Cause::Oneof("numbers".into()))
    );
    // A size that cannot be true is refused before anything is done for it.
    let huge = [15, 0, 2, 8, 0x7f, 0xff, 0xff, 0xff];
    assert!(matches!(read(&huge), Err(Cause::Malformed(_))));
    // Unknown fields are stepped over, as deep as the limit allows.
    assert_eq!(
        read(&[&[15, 0, 9, 13, 0, 0, 0, 0][..], &name, &[0]].concat()).unwrap(),
        r#"{"name":""}"#
    );
    let deep = [vec![12, 0, 9], [12, 0, 1].repeat(200), vec![0; 202]].concat();
    assert_eq!(read(&deep), Err(Cause::Over(crate::Limit::Depth)));
    let ignore = Options {
        unknown: Unknown::Ignore,
        ..Options::default()
    };
    assert!(
        transcode(
            &snapshot,
            "acme.user.Choice",
            Format::Json,
            binary,
            br#"{"name":"a","x":1}"#,
            &ignore
        )
        .is_ok()
    );
}

#[test]
fn services_are_resolved_with_what_they_extend() {
    let snapshot = snapshot();
    let method = |name: &str| -> &Method { snapshot.method(snapshot.find_method(name).unwrap()) };
    let find = method("acme.user.Users/find");
    assert_eq!(snapshot.message(find.output()).name(), "shared.Point");
    assert_eq!(snapshot.message(find.input()).fields().len(), 2);
    assert!(!find.bare_output() && !find.oneway());
    assert_eq!(
        (
            find.exceptions()[0].id,
            snapshot.message(find.exceptions()[0].message).name()
        ),
        (1, "acme.user.NotFound")
    );
    assert_eq!(
        find.annotations().collect::<Vec<_>>(),
        [("stentor.key", "1")]
    );
    let names = method("acme.user.Users/names");
    assert!(names.bare_output());
    let result = go(
        &snapshot,
        snapshot.message(names.output()).name(),
        Format::Json,
        Format::Thrift(Protocol::Compact),
        br#"{"success":["a"]}"#,
    );
    assert_eq!(result, [0x09, 0, 0x18, 1, b'a', 0]);
    assert!(method("acme.user.Users/forget").oneway());
    let ping = method("acme.user.Users/ping");
    assert!(ping.bare_output() && snapshot.message(ping.output()).fields().is_empty());
    let service = snapshot.service(ping.service());
    assert_eq!(
        (service.origin(), service.methods().len()),
        (Origin::Thrift, 4)
    );
}

#[test]
fn problems_say_file_and_line() {
    for (text, wanted) in [
        (
            "struct A {\n 1: B b }",
            "a.thrift:2: a.A.b: there is no type `B`",
        ),
        (
            "struct A {\n string b }",
            "a.thrift:2: a field without an id",
        ),
        (
            "struct A {\n\n 0: string b }",
            "a.thrift:3: a field's id is from 1 to 32767",
        ),
        (
            "include \"b.thrift\"",
            "a.thrift:1: b.thrift: an include that is not there",
        ),
        (
            "typedef A A\nstruct B { 1: A a }",
            "a.thrift:2: a.B.a: a typedef of itself",
        ),
        ("service A extends A {}", "a.thrift:1: a.A: extends itself"),
        (
            "service A {\n i32 x(1: i32 a) throws (1: i32 b) }",
            "a.thrift:2: a.A.x: throws `b`, which is no exception",
        ),
        (
            "struct A { 1: i32 a, 1: i32 b }",
            "a.thrift: a.A: `a` and `b` have the same number",
        ),
        ("struct A {} struct A {}", "a.thrift: a.A: is defined twice"),
        ("/* ", "a.thrift:1: a comment without an end"),
        ("const string X = \"", "a.thrift:1: a text without an end"),
        ("wrong", "a.thrift:1: `wrong` begins no definition"),
        (
            "enum E { A = 99999999999 }",
            "a.thrift:1: a number over 32 bits",
        ),
    ] {
        let found = Loader::new().thrift("a.thrift", text).load().unwrap_err();
        assert_eq!(found.to_string(), wanted);
    }
    let deep = format!("typedef {}i32{} T", "list<".repeat(5000), ">".repeat(5000));
    let found = Loader::new().thrift("a.thrift", &deep).load().unwrap_err();
    assert!(found.to_string().contains("too deep"), "{found}");
}
