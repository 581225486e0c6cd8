//! Definitions that nobody wrote: a snapshot, or problems. The first byte says in which language.

use ::schema::Loader;

/// Plays one input.
pub fn run(data: &[u8]) {
    let [mode, input @ ..] = data else { return };
    let mut loader = Loader::new();
    let text = String::from_utf8_lossy(input);
    match mode % 3 {
        0 => drop(loader.proto("a.proto", &text)),
        1 => drop(loader.thrift("a.thrift", &text)),
        _ => drop(loader.descriptor_set("set", input)),
    }
    match loader.load() {
        Ok(snapshot) => assert_eq!(snapshot.changes_since(&snapshot), []),
        Err(problems) => assert!(!problems.0.is_empty()),
    }
}

/// A small file of each language.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let proto = "syntax = \"proto3\"; package p; enum E { A = 0; } message M { int32 a = 1; repeated M b = 2; map<string, E> c = 3; oneof o { E d = 4; } } service S { rpc X(M) returns (stream M); }";
    let thrift = "namespace * p typedef list<i32> L enum E { A, B = 5 } struct S { 1: required L a = [1], 2: map<S, set<E>> b } union U { 1: S s } service V { oneway void x(1: S s), L y() throws (1: S s) (a = \"b\") }";
    // One file with a message `M` whose field 1 is `a`.
    let set =
        b"\x0a\x22\x0a\x07a.proto\x12\x01p\x22\x0a\x0a\x01M\x12\x05\x0a\x01a\x18\x01\x62\x06proto3";
    [
        [b"\0", proto.as_bytes()].concat(),
        [b"\x01", thrift.as_bytes()].concat(),
        [b"\x02", &set[..]].concat(),
    ]
    .to_vec()
}
