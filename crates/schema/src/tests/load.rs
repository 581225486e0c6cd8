//! Loading: everything or a list of what is wrong.

use super::everything;
use crate::{Format, Idempotency, Kind, Loader, Options, Origin, Presence};

const SERVICE: &str = r#"
syntax = "proto3";
package acme.user.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
service UserService {
  rpc GetUser(GetUserRequest) returns (User) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/users/{id}" };
  }
  rpc Watch(google.protobuf.Empty) returns (stream User);
  rpc Upload(stream User) returns (google.protobuf.Empty);
}
message GetUserRequest { string id = 1; }
message User { string id = 1; optional string name = 2; }
"#;

fn problems(loader: &Loader) -> Vec<String> {
    let found = loader.load().unwrap_err();
    found.0.iter().map(ToString::to_string).collect()
}

#[test]
fn services_are_resolved_to_indexes() {
    let snapshot = Loader::new()
        .proto("acme/user.proto", SERVICE)
        .load()
        .unwrap();
    let id = snapshot
        .find_method("acme.user.v1.UserService/GetUser")
        .unwrap();
    let method = snapshot.method(id);
    assert_eq!(method.name(), "GetUser");
    assert_eq!(
        snapshot.message(method.input()).name(),
        "acme.user.v1.GetUserRequest"
    );
    assert_eq!(
        snapshot.message(method.output()).name(),
        "acme.user.v1.User"
    );
    assert_eq!(method.idempotency(), Idempotency::NoSideEffects);
    let service = snapshot.service(method.service());
    assert_eq!(
        (service.name(), service.origin(), service.methods().len()),
        ("acme.user.v1.UserService", Origin::Protobuf, 3)
    );
    let kinds: Vec<_> = service
        .methods()
        .iter()
        .map(|id| snapshot.method(*id))
        .map(|m| (m.client_streams(), m.server_streams()))
        .collect();
    assert_eq!(kinds, [(false, false), (false, true), (true, false)]);
}

#[test]
fn custom_options_survive_and_can_be_read() {
    let snapshot = Loader::new()
        .proto("acme/user.proto", SERVICE)
        .load()
        .unwrap();
    let id = snapshot
        .find_method("acme.user.v1.UserService/GetUser")
        .unwrap();
    let options = snapshot
        .find_message("google.protobuf.MethodOptions")
        .unwrap();
    let mut json = Vec::new();
    let bytes = snapshot.method(id).options();
    snapshot
        .transcode(
            options,
            Format::Protobuf,
            Format::Json,
            bytes,
            &mut json,
            &Options::default(),
        )
        .unwrap();
    let json = String::from_utf8(json).unwrap();
    assert_eq!(
        json,
        r#"{"idempotencyLevel":"NO_SIDE_EFFECTS","[google.api.http]":{"get":"/v1/users/{id}"}}"#
    );
}

#[test]
fn a_table_says_what_the_file_says() {
    let snapshot = everything();
    let message = snapshot.message(snapshot.find_message("test.Everything").unwrap());
    let field = |name: &str| message.field_named(name).unwrap();
    assert_eq!(field("anInt32").number(), 3);
    assert_eq!(field("an_int32").kind(), Kind::Int32);
    assert_eq!(field("an_int32").presence(), Presence::Implicit);
    assert_eq!(field("maybeInt32").presence(), Presence::Explicit);
    assert!(!field("maybeInt32").is_in_oneof() && field("chosenString").is_in_oneof());
    assert!(field("int32s").is_repeated() && field("stringsByString").is_map());
    assert_eq!(message.field(536_870_911).unwrap().name(), "farthest");
    assert_eq!(message.field(1000).unwrap().name(), "far_away");
    assert!(
        message.field(999).is_none() && message.field(30).is_none() && message.field(0).is_none()
    );
    assert_eq!(field("_odd__name_").json_name(), "OddName");
}

#[test]
fn problems_say_file_and_line() {
    let mut loader = Loader::new();
    loader.proto(
        "a.proto",
        "syntax = \"proto3\";\nmessage A {\n  B b = 1;\n}\n",
    );
    loader.proto("b.proto", "syntax = \"proto3\";\nmessage {\n");
    let found = problems(&loader);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.proto:3: "), "{found:?}");
    assert!(found[1].starts_with("b.proto:2: "), "{found:?}");
}

#[test]
fn imports_are_a_sandbox() {
    for path in [
        "../a.proto",
        "/etc/a.proto",
        "a/../b.proto",
        "",
        "a\\b.proto",
        "./a.proto",
    ] {
        let found = problems(Loader::new().proto(path, "syntax = \"proto3\";"));
        assert!(found[0].contains("an import's path"), "{path}: {found:?}");
    }
    let found =
        problems(Loader::new().proto("a.proto", "syntax = \"proto3\";\nimport \"/etc/passwd\";"));
    assert!(found[0].starts_with("a.proto:2: "), "{found:?}");
}

#[test]
fn what_would_overflow_a_stack_is_refused() {
    let deep = format!(
        "syntax = \"proto3\";\n{}{}",
        "message A {".repeat(5000),
        "}".repeat(5000)
    );
    assert!(problems(Loader::new().proto("a.proto", &deep))[0].contains("nested over"));
    let comments = format!(
        "syntax = \"proto3\";\n{}message A {{}}",
        "// <{[( \"'\n/* ((( */".repeat(500)
    );
    assert!(Loader::new().proto("a.proto", &comments).load().is_ok());
}

#[test]
fn editions_come_as_descriptor_sets() {
    let text = "edition = \"2023\";\nmessage A { int32 a = 1; }";
    let found = problems(Loader::new().proto("a.proto", text));
    assert!(found[0].contains("edition"), "{found:?}");
    // name, package, a message M with field 1 `a` of type int32, syntax `editions`, edition 2023.
    let field = [0x0a, 1, b'a', 0x18, 1, 0x20, 1, 0x28, 5, 0x52, 1, b'a'];
    let message = [&[0x0a, 1, b'M', 0x12, 12][..], &field].concat();
    let file = [
        &[0x0a, 7][..],
        b"a.proto",
        &[0x12, 1, b'p', 0x22, 17],
        &message,
        &[0x62, 8],
        b"editions",
        &[0x70, 0xe8, 7],
    ]
    .concat();
    let set = [&[0x0a, u8::try_from(file.len()).unwrap()][..], &file].concat();
    let snapshot = Loader::new().descriptor_set("set", &set).load().unwrap();
    let message = snapshot.message(snapshot.find_message("p.M").unwrap());
    assert_eq!(message.field(1).unwrap().presence(), Presence::Explicit);
    // The same file twice is one file; any piece of it is an error or a set, never a panic.
    assert!(
        Loader::new()
            .descriptor_set("a", &set)
            .descriptor_set("b", &set)
            .load()
            .is_ok()
    );
    for end in 0..set.len() {
        drop(Loader::new().descriptor_set("cut", &set[..end]).load());
    }
}
