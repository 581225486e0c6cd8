//! Compatibility, a pair of versions at a time.

use crate::{Loader, Rule, Snapshot};

fn load(body: &str) -> Snapshot {
    let text = format!("syntax = \"proto3\";\n{body}");
    Loader::new()
        .proto("a.proto", &text)
        .load()
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn changes(old: &str, new: &str) -> Vec<(Rule, String)> {
    let changes = load(new).changes_since(&load(old));
    changes
        .into_iter()
        .map(|change| (change.rule, change.symbol))
        .collect()
}

#[test]
fn every_change_has_its_name() {
    let message = |body: &str| {
        format!("message A {{ {body} }} message B {{}} message C {{}} enum E {{ Z = 0; }}")
    };
    for (old, new, rule, symbol) in [
        ("", "int32 a = 1;", Rule::FieldAdded, "A.a"),
        ("int32 a = 1;", "", Rule::FieldRemoved, "A.a"),
        ("int32 a = 1;", "int32 b = 1;", Rule::FieldRenamed, "A.a"),
        ("int32 a = 1;", "B a = 1;", Rule::FieldKindChanged, "A.a"),
        (
            "map<string, int32> a = 1;",
            "repeated B a = 1;",
            Rule::FieldKindChanged,
            "A.a",
        ),
        (
            "int32 a = 1;",
            "sint32 a = 1;",
            Rule::FieldTypeChanged,
            "A.a",
        ),
        (
            "float a = 1;",
            "double a = 1;",
            Rule::FieldTypeChanged,
            "A.a",
        ),
        (
            "map<string, int32> a = 1;",
            "map<string, string> a = 1;",
            Rule::FieldTypeChanged,
            "A.a",
        ),
        ("B a = 1;", "C a = 1;", Rule::FieldMessageChanged, "A.a"),
        (
            "optional int32 a = 1;",
            "repeated int32 a = 1;",
            Rule::FieldLabelChanged,
            "A.a",
        ),
        (
            "oneof o { int32 a = 1; int32 b = 2; }",
            "oneof o { int32 b = 2; }",
            Rule::OneofFieldRemoved,
            "A.a",
        ),
        (
            "int32 a = 1; int32 b = 2;",
            "oneof o { int32 a = 1; int32 b = 2; }",
            Rule::MovedIntoOneof,
            "A.o",
        ),
        (
            "oneof o { int32 a = 1; } int32 b = 2;",
            "oneof o { int32 a = 1; int32 b = 2; }",
            Rule::MovedIntoOneof,
            "A.o",
        ),
        ("int32 a = 1;", "int64 a = 1;", Rule::WireTypeChanged, "A.a"),
    ] {
        assert_eq!(
            changes(&message(old), &message(new)),
            [(rule, symbol.to_owned())],
            "{old} -> {new}"
        );
    }
}

#[test]
fn what_breaks_nobody_is_no_change() {
    let message = |body: &str| format!("message A {{ {body} }} message B {{}}");
    for (old, new) in [
        ("B a = 1;", "repeated B a = 1;"),
        ("string a = 1;", "bytes a = 1;"),
        ("string a = 1;", "repeated string a = 1;"),
        ("int32 a = 1;", "oneof o { int32 a = 1; }"),
        ("int32 a = 1;", "repeated int32 a = 1;"),
        ("oneof o { int32 a = 1; }", "int32 a = 1;"),
    ] {
        let found = changes(&message(old), &message(new));
        assert_eq!(found, [], "{old} -> {new}");
    }
}

#[test]
fn services_and_enums_are_compared_too() {
    let old = "message A {} message B {} enum E { Z = 0; ONE = 1; }
        service S { rpc X(A) returns (B); rpc Y(A) returns (B); rpc W(A) returns (B); } service T {}";
    let new = "message A {} message D {} enum E { Z = 0; UNO = 1; }
        service S { rpc X(A) returns (A); rpc Y(A) returns (stream D); }";
    let expected = [
        (Rule::MessageRemoved, "B"),
        (Rule::MessageAdded, "D"),
        (Rule::EnumValueChanged, "E.ONE"),
        (Rule::MethodRemoved, "S/W"),
        (Rule::MethodTypeChanged, "S/X"),
        (Rule::MethodTypeChanged, "S/Y"),
        (Rule::MethodStreamsChanged, "S/Y"),
        (Rule::ServiceRemoved, "T"),
    ];
    assert_eq!(
        changes(old, new),
        expected.map(|(rule, symbol)| (rule, symbol.to_owned()))
    );
    let breaking = load(new).breaking_changes_since(&load(old));
    assert_eq!(breaking.len(), 6);
    assert!(load(new).changes_since(&load(new)).is_empty());
}

#[test]
fn required_fields_and_thrift_types_are_compared() {
    let load = |text: &str| Loader::new().thrift("a.thrift", text).load().unwrap();
    let rules = |old: &str, new: &str| -> Vec<Rule> {
        let (old, new) = (
            format!("struct A {{ {old} }}"),
            format!("struct A {{ {new} }}"),
        );
        load(&new)
            .changes_since(&load(&old))
            .into_iter()
            .map(|change| change.rule)
            .collect()
    };
    assert_eq!(rules("", "1: required i32 a"), [Rule::RequiredAdded]);
    assert_eq!(rules("1: required i32 a", ""), [Rule::RequiredRemoved]);
    assert_eq!(
        rules("1: required i32 a", "1: optional i32 a"),
        [Rule::RequiredRemoved]
    );
    assert_eq!(rules("1: i32 a", "1: i16 a"), [Rule::WireTypeChanged]);
    assert_eq!(
        rules("1: list<i32> a", "1: set<i32> a"),
        [Rule::WireTypeChanged]
    );
}
