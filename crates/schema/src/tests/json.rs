//! Canonical JSON, case by case.

use super::{everything, transcode};
use crate::{Cause, Error, Format, Limit, Limits, Options, Unknown};

const NAME: &str = "test.Everything";

fn there(json: &str, options: &Options) -> Result<Vec<u8>, Error> {
    transcode(
        &everything(),
        NAME,
        Format::Json,
        Format::Protobuf,
        json.as_bytes(),
        options,
    )
}

fn back(bytes: &[u8], options: &Options) -> Result<String, Error> {
    let json = transcode(
        &everything(),
        NAME,
        Format::Protobuf,
        Format::Json,
        bytes,
        options,
    )?;
    Ok(String::from_utf8(json).unwrap())
}

/// Through Protobuf, and once through nothing but JSON.
fn round(json: &str) -> String {
    let options = Options::default();
    let bytes = there(json, &options).unwrap_or_else(|error| panic!("{json}: {error}"));
    let text = back(&bytes, &options).unwrap_or_else(|error| panic!("{json}: {error}"));
    let direct = transcode(
        &everything(),
        NAME,
        Format::Json,
        Format::Json,
        json.as_bytes(),
        &options,
    );
    let direct = String::from_utf8(direct.unwrap()).unwrap();
    assert_eq!(text, direct, "{json}");
    text
}

fn cause(json: &str) -> Cause {
    match there(json, &Options::default()) {
        Err(error) => error.cause().clone(),
        Ok(_) => panic!("{json} was taken"),
    }
}

/// What is given, and what comes back.
const CANONICAL: &[(&str, &str)] = &[
    ("{}", "{}"),
    (" { } ", "{}"),
    (
        r#"{"anInt32":1,"an_int64":"2"}"#,
        r#"{"anInt32":1,"anInt64":"2"}"#,
    ),
    (
        r#"{"anInt32":0,"aString":"","aBool":false,"nesteds":[]}"#,
        "{}",
    ),
    (
        r#"{"anInt32":"1e2","aUint64":18446744073709551615}"#,
        r#"{"anInt32":100,"aUint64":"18446744073709551615"}"#,
    ),
    (
        r#"{"aDouble":"NaN","aFloat":"-Infinity"}"#,
        r#"{"aDouble":"NaN","aFloat":"-Infinity"}"#,
    ),
    (
        r#"{"aDouble":1.0,"aFloat":0.1}"#,
        r#"{"aDouble":1,"aFloat":0.1}"#,
    ),
    (r#"{"aDouble":-0.0}"#, r#"{"aDouble":-0}"#),
    (r#"{"someBytes":"-_8"}"#, r#"{"someBytes":"+/8="}"#),
    (r#"{"aColor":1}"#, r#"{"aColor":"RED"}"#),
    (r#"{"aColor":"CRIMSON"}"#, r#"{"aColor":"RED"}"#),
    (r#"{"aColor":99}"#, r#"{"aColor":99}"#),
    (
        r#"{"maybeInt32":0,"maybeString":""}"#,
        r#"{"maybeInt32":0,"maybeString":""}"#,
    ),
    (r#"{"nested":null,"anInt32":null,"int32s":null}"#, "{}"),
    (r#"{"chosenUint32":0}"#, r#"{"chosenUint32":0}"#),
    (r#"{"chosenNull":null}"#, r#"{"chosenNull":null}"#),
    (
        r#"{"chosenString":null,"chosenUint32":1}"#,
        r#"{"chosenUint32":1}"#,
    ),
    (
        r#"{"aString":"\u0041\ud83d\ude00\n\u0001\/\""}"#,
        "{\"aString\":\"A\u{1F600}\\n\\u0001/\\\"\"}",
    ),
    (
        r#"{"doublesByBool":{"true":1.5,"false":0}}"#,
        r#"{"doublesByBool":{"true":1.5,"false":0}}"#,
    ),
    (
        r#"{"nestedByInt32":{"-1":{"anInt32":3},"5":{}}}"#,
        r#"{"nestedByInt32":{"-1":{"anInt32":3},"5":{}}}"#,
    ),
    (
        r#"{"aTimestamp":"1970-01-01T02:00:00.5+02:00"}"#,
        r#"{"aTimestamp":"1970-01-01T00:00:00.500Z"}"#,
    ),
    (r#"{"aDuration":"-1.5s"}"#, r#"{"aDuration":"-1.500s"}"#),
    (r#"{"aMask":"fooBar,a.bC"}"#, r#"{"aMask":"fooBar,a.bC"}"#),
    (r#"{"aMask":""}"#, r#"{"aMask":""}"#),
    (r#"{"aValue":null}"#, r#"{"aValue":null}"#),
    (
        r#"{"aValue":{"a":[1,"b",true,null,{}]}}"#,
        r#"{"aValue":{"a":[1,"b",true,null,{}]}}"#,
    ),
    (
        r#"{"aStruct":{},"aList":[]}"#,
        r#"{"aStruct":{},"aList":[]}"#,
    ),
    (
        r#"{"wrappedInt64":"0","wrappedString":""}"#,
        r#"{"wrappedInt64":"0","wrappedString":""}"#,
    ),
    (r#"{"wrappedInt64":null}"#, "{}"),
    (r#"{"wrappedInt32s":[0,7]}"#, r#"{"wrappedInt32s":[0,7]}"#),
    (
        r#"{"values":{"a":null,"b":1}}"#,
        r#"{"values":{"a":null,"b":1}}"#,
    ),
    (r#"{"anEmpty":{}}"#, r#"{"anEmpty":{}}"#),
    (r#"{"anAny":{}}"#, r#"{"anAny":{}}"#),
    (
        r#"{"anAny":{"anInt32":5,"@type":"x/test.Everything"}}"#,
        r#"{"anAny":{"@type":"x/test.Everything","anInt32":5}}"#,
    ),
    (
        r#"{"anAny":{"value":"1.5s","@type":"x/google.protobuf.Duration"}}"#,
        r#"{"anAny":{"@type":"x/google.protobuf.Duration","value":"1.500s"}}"#,
    ),
    (
        r#"{"anAny":{"@type":"x/google.protobuf.Any","value":{"@type":"x/google.protobuf.Empty"}}}"#,
        r#"{"anAny":{"@type":"x/google.protobuf.Any","value":{"@type":"x/google.protobuf.Empty"}}}"#,
    ),
    // What some others write for it.
    (
        r#"{"anAny":{"@type":"x/google.protobuf.Empty","value":{}}}"#,
        r#"{"anAny":{"@type":"x/google.protobuf.Empty"}}"#,
    ),
    (r#"{"other name \"x\"":1}"#, r#"{"other name \"x\"":1}"#),
    (r#"{"renamed":1}"#, r#"{"other name \"x\"":1}"#),
    (r#"{"unpacked":[1,2]}"#, r#"{"unpacked":[1,2]}"#),
    (
        r#"{"farthest":1,"farAway":"x"}"#,
        r#"{"farthest":1,"farAway":"x"}"#,
    ),
    (
        r#"{"anInt64":9223372036854774784.0}"#,
        r#"{"anInt64":"9223372036854774784"}"#,
    ),
];

#[test]
fn values_come_back_in_their_canonical_form() {
    for (given, canonical) in CANONICAL {
        // Fields come in the order in which they were given.
        assert_eq!(round(given), *canonical, "{given}");
    }
}

/// Values of another type than the field.
const OF_ANOTHER_TYPE: &[&str] = &[
    "[]",
    "1",
    r#"{"anInt32":true}"#,
    r#"{"anInt32":"a"}"#,
    r#"{"anInt32":{}}"#,
    r#"{"aString":1}"#,
    r#"{"aBool":"true"}"#,
    r#"{"aBool":1}"#,
    r#"{"int32s":{}}"#,
    r#"{"int32s":[null]}"#,
    r#"{"nesteds":[null]}"#,
    r#"{"nestedByInt32":{"1":null}}"#,
    r#"{"someBytes":"%"}"#,
    r#"{"aTimestamp":"x"}"#,
    r#"{"aTimestamp":1}"#,
    r#"{"aDouble":"nan"}"#,
    r#"{"aDouble":""}"#,
    r#"{"aMask":"a_b"}"#,
    r#"{"doublesByBool":{"x":1}}"#,
    r#"{"nestedByInt32":{"x":{}}}"#,
    r#"{"aColor":true}"#,
];

/// Numbers that the field does not hold.
const OUT_OF_RANGE: &[&str] = &[
    r#"{"anInt32":2147483648}"#,
    r#"{"anInt32":1.5}"#,
    r#"{"aUint32":-1}"#,
    r#"{"aUint64":18446744073709551616}"#,
    r#"{"anInt64":"9223372036854775808"}"#,
    r#"{"aFloat":3.502823e38}"#,
    r#"{"aDouble":1e400}"#,
    r#"{"aDuration":"315576000001s"}"#,
];

/// What is no JSON.
const NO_JSON: &[&str] = &[
    "",
    "{",
    "}",
    r#"{"a"#,
    r#"{"anInt32":1"#,
    r#"{"anInt32":1,}"#,
    r#"{"anInt32" 1}"#,
    r#"{anInt32:1}"#,
    r#"{"int32s":[1,]}"#,
    r#"{"int32s":[1 2]}"#,
    "{} {}",
    r#"{"anInt32":1}}"#,
    "{\"aString\":\"\n\"}",
    r#"{"aString":"\x"}"#,
    r#"{"aString":"\ud800"}"#,
    r#"{"aString":"\udc00\ud800"}"#,
    r#"{"aBool":tru}"#,
    r#"{"anInt32":nul}"#,
    r#"{'anInt32':1}"#,
];

#[test]
fn what_is_wrong_is_named() {
    let type_error = |json: &str| {
        assert!(
            matches!(cause(json), Cause::Type(_)),
            "{json}: {:?}",
            cause(json)
        )
    };
    let range = |json: &str| {
        assert!(
            matches!(cause(json), Cause::Range(_)),
            "{json}: {:?}",
            cause(json)
        )
    };
    let malformed = |json: &str| {
        assert!(
            matches!(cause(json), Cause::Malformed(_)),
            "{json}: {:?}",
            cause(json)
        )
    };
    for json in OF_ANOTHER_TYPE {
        type_error(json);
    }
    for json in OUT_OF_RANGE {
        range(json);
    }
    for json in NO_JSON {
        malformed(json);
    }
    assert_eq!(cause(r#"{"nope":1}"#), Cause::UnknownField("nope".into()));
    assert_eq!(
        cause(r#"{"aColor":"GREEN"}"#),
        Cause::UnknownEnum("GREEN".into())
    );
    assert_eq!(
        cause(r#"{"anInt32":1,"an_int32":2}"#),
        Cause::Duplicate("anInt32".into())
    );
    assert_eq!(
        cause(r#"{"stringsByString":{"a":"","\u0061":""}}"#),
        Cause::Duplicate("\\u0061".into())
    );
    assert_eq!(
        cause(r#"{"nestedByInt32":{"1":{},"1":{}}}"#),
        Cause::Duplicate("1".into())
    );
    assert_eq!(
        cause(r#"{"chosenString":"","chosenUint32":1}"#),
        Cause::Oneof("chosenUint32".into())
    );
    assert_eq!(
        cause(r#"{"anAny":{"@type":"x/y.Z"}}"#),
        Cause::UnknownType("x/y.Z".into())
    );
    assert_eq!(
        cause(r#"{"anAny":{"a":1}}"#),
        Cause::Missing("@type".into())
    );
    assert_eq!(
        cause(r#"{"anAny":{"@type":"x/google.protobuf.Duration"}}"#),
        Cause::Missing("value".into())
    );
}

#[test]
fn a_text_that_is_no_utf_8_is_refused() {
    let bytes = b"{\"aString\":\"\xff\"}";
    let error = transcode(
        &everything(),
        NAME,
        Format::Json,
        Format::Protobuf,
        bytes,
        &Options::default(),
    );
    assert_eq!(*error.unwrap_err().cause(), Cause::Utf8);
}

#[test]
fn an_error_says_where() {
    let error = |json| there(json, &Options::default()).unwrap_err();
    let first = error(r#"{"nested":{"nesteds":[{},{"anInt32":true}]}}"#);
    assert_eq!(first.path(), "nested.nesteds[1].anInt32");
    assert_eq!(first.offset(), Some(36));
    assert_eq!(
        error(r#"{"nestedByInt32":{"7":{"aBool":1}}}"#).path(),
        "nestedByInt32[7].aBool"
    );
    let text = error(r#"{"aColor":"GREEN"}"#).to_string();
    assert_eq!(
        text,
        "aColor: no such value of the enum: GREEN (at byte 17)"
    );
    // Field 3 of field 17 is no UTF-8 text.
    let wrong = back(&[0x8a, 1, 3, 0x72, 1, 0xff], &Options::default()).unwrap_err();
    assert_eq!(
        (wrong.path().as_str(), wrong.cause()),
        ("nested.aString", &Cause::Utf8)
    );
}

#[test]
fn what_is_unknown_is_left_out_on_demand() {
    let options = Options {
        unknown: Unknown::Ignore,
        ..Options::default()
    };
    let kept = |json| {
        let bytes = there(json, &options).unwrap();
        back(&bytes, &options).unwrap()
    };
    assert_eq!(
        kept(r#"{"nope":[{"a":[1,"x",null,true,1.5e3]}],"anInt32":1}"#),
        r#"{"anInt32":1}"#
    );
    assert_eq!(
        kept(r#"{"aColor":"GREEN","colors":["RED","GREEN","BLUE"]}"#),
        r#"{"colors":["RED","BLUE"]}"#
    );
    assert_eq!(
        kept(r#"{"colorsByUint64":{"1":"GREEN","2":"RED"}}"#),
        r#"{"colorsByUint64":{"2":"RED"}}"#
    );
    assert!(
        there(r#"{"nope":[1,}"#, &options).is_err(),
        "what is ignored is still JSON"
    );
}

#[test]
fn choices_of_the_form_are_followed() {
    let bytes = there(
        r#"{"anInt32":1,"aColor":"RED","nested":{}}"#,
        &Options::default(),
    )
    .unwrap();
    let original = Options {
        original_names: true,
        enum_numbers: true,
        ..Options::default()
    };
    assert_eq!(
        back(&bytes, &original).unwrap(),
        r#"{"an_int32":1,"a_color":1,"nested":{}}"#
    );
    let defaults = Options {
        emit_defaults: true,
        ..Options::default()
    };
    let all = back(&bytes, &defaults).unwrap();
    assert!(all.starts_with(r#"{"anInt32":1,"aColor":"RED","nested":{"aDouble":0,"aFloat":0,"anInt32":0,"anInt64":"0","#), "{all}");
    assert!(
        all.contains(r#""aColor":"COLOR_UNSPECIFIED","int32s":[]"#),
        "{all}"
    );
    assert!(
        !all.contains("maybe") && !all.contains("chosen") && !all.contains("aTimestamp"),
        "{all}"
    );
    assert_eq!(there(&all, &defaults).unwrap(), bytes);
}

#[test]
fn depth_is_limited_on_both_sides() {
    let with = |limits| Options {
        limits,
        ..Options::default()
    };
    let over = |json: &str, limits: Limits| match there(json, &with(limits)) {
        Err(error) => error.cause().clone(),
        Ok(_) => panic!("{json} was taken"),
    };
    let deep = format!("{}{}", r#"{"nested":"#.repeat(9) + "{}", "}".repeat(9));
    let limits = Limits {
        depth_max: 10,
        ..Limits::default()
    };
    let bytes = there(&deep, &with(limits)).unwrap();
    back(&bytes, &with(limits)).unwrap();
    let nine = Limits {
        depth_max: 9,
        ..limits
    };
    assert_eq!(over(&deep, nine), Cause::Over(Limit::Depth));
    assert_eq!(
        *back(&bytes, &with(nine)).unwrap_err().cause(),
        Cause::Over(Limit::Depth)
    );
    let value = format!("{{\"aValue\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(over(&value, Limits::default()), Cause::Over(Limit::Depth));
    let unknown = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let ignore = Options {
        unknown: Unknown::Ignore,
        ..Options::default()
    };
    assert_eq!(
        *there(&unknown, &ignore).unwrap_err().cause(),
        Cause::Over(Limit::Depth)
    );
}

#[test]
fn every_other_limit_holds_on_both_sides() {
    let with = |limits| Options {
        limits,
        ..Options::default()
    };
    let over = |json: &str, limits: Limits| match there(json, &with(limits)) {
        Err(error) => error.cause().clone(),
        Ok(_) => panic!("{json} was taken"),
    };
    let two = Limits {
        elements_max: 2,
        ..Limits::default()
    };
    assert_eq!(
        over(r#"{"int32s":[1,2,3]}"#, two),
        Cause::Over(Limit::Elements)
    );
    let bytes = there(r#"{"int32s":[1,2,3]}"#, &Options::default()).unwrap();
    assert_eq!(
        *back(&bytes, &with(two)).unwrap_err().cause(),
        Cause::Over(Limit::Elements)
    );

    let short = Limits {
        string_bytes_max: 3,
        ..Limits::default()
    };
    let long = r#"{"14":"abcd"}"#.replace("14", "aString");
    assert_eq!(
        over(
            r#"{"aString":"abcd"}"#,
            Limits {
                string_bytes_max: 3,
                ..short
            }
        ),
        Cause::Over(Limit::String)
    );
    let bytes = there(&long, &Options::default()).unwrap();
    assert_eq!(
        *back(&bytes, &with(short)).unwrap_err().cause(),
        Cause::Over(Limit::String)
    );

    let small = Limits {
        input_bytes_max: 4,
        ..Limits::default()
    };
    assert_eq!(
        over(r#"{"int32s":[1,2,3]}"#, small),
        Cause::Over(Limit::Input)
    );
    let tight = Limits {
        output_bytes_max: 4,
        ..Limits::default()
    };
    assert_eq!(
        over(r#"{"int32s":[1,2,3]}"#, tight),
        Cause::Over(Limit::Output)
    );
    assert_eq!(
        *back(&bytes, &with(tight)).unwrap_err().cause(),
        Cause::Over(Limit::Output)
    );
}

#[test]
fn fields_in_any_order_and_in_pieces_are_merged() {
    let snapshot = everything();
    let read = |bytes: &[u8]| {
        let json = transcode(
            &snapshot,
            NAME,
            Format::Protobuf,
            Format::Json,
            bytes,
            &Options::default(),
        );
        String::from_utf8(json.unwrap()).unwrap()
    };
    // Field 3, field 13, field 3 again.
    assert_eq!(
        read(&[0x18, 1, 0x68, 1, 0x18, 2]),
        r#"{"anInt32":2,"aBool":true}"#
    );
    // A list in two pieces, one of them unpacked.
    assert_eq!(
        read(&[0xaa, 1, 2, 1, 2, 0x68, 1, 0xa8, 1, 3]),
        r#"{"aBool":true,"int32s":[1,2,3]}"#
    );
    // Next to each other that is no disorder.
    assert_eq!(
        read(&[0xaa, 1, 2, 1, 2, 0xa8, 1, 3]),
        r#"{"int32s":[1,2,3]}"#
    );
    // A message in two pieces: merged, and its own list with it.
    let pieces = [
        0x8a, 1, 3, 0xa8, 1, 1, 0x68, 1, 0x8a, 1, 5, 0xa8, 1, 2, 0x18, 9,
    ];
    assert_eq!(
        read(&pieces),
        r#"{"aBool":true,"nested":{"anInt32":9,"int32s":[1,2]}}"#
    );
    // Of a oneof the last member, and of that what came after the others.
    let oneof = [0x8a, 2, 2, 0x18, 1, 0x80, 2, 5, 0x8a, 2, 2, 0x68, 1];
    assert_eq!(read(&oneof), r#"{"chosenNested":{"aBool":true}}"#);
    // Of two entries with one key the last.
    let entry = |value: u8| [0xca, 2, 6, 0x0a, 1, b'k', 0x12, 1, value];
    let map = [entry(b'a'), entry(b'b')].concat();
    assert_eq!(read(&map), r#"{"stringsByString":{"k":"b"}}"#);
    // The value before the key, and neither.
    assert_eq!(
        read(&[0xca, 2, 6, 0x12, 1, b'v', 0x0a, 1, b'k']),
        r#"{"stringsByString":{"k":"v"}}"#
    );
    assert_eq!(read(&[0xca, 2, 0]), r#"{"stringsByString":{"":""}}"#);
    // A field that is not known, a group of them, and a known one of a foreign type.
    assert_eq!(
        read(&[
            0x92, 0x20, 1, 9, 0x9b, 0x20, 8, 1, 0x9c, 0x20, 0x1d, 1, 2, 3, 4, 0x68, 1
        ]),
        r#"{"aBool":true}"#
    );
}
