//! A message of about 1 KiB between JSON and Protobuf: ours, and `prost-reflect` with `serde_json`,
//! turn by turn in one run. `cargo bench -p stentor-schema`; prints nanoseconds and ratios.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures and prints"
)]

use std::hint::black_box;
use std::time::Instant;

use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use schema::{Format, Loader, Options, Protocol};

const PROTO: &str = r#"
syntax = "proto3";
package bench;
enum Status { UNKNOWN = 0; PAID = 1; SHIPPED = 2; }
message Item { string sku = 1; string name = 2; int32 quantity = 3; double price = 4; bool gift = 5; }
message Address { string street = 1; string city = 2; string country = 3; string zip = 4; }
message Order {
  string id = 1; int64 customer = 2; Status status = 3; Address address = 4; repeated Item items = 5;
  map<string, string> labels = 6; repeated int32 scores = 7; uint64 created_ms = 8; bytes token = 9; optional string note = 10;
}
"#;

const JSON: &str = r#"{"id":"ord-2026-11-25-000017","customer":"9007199254740993","status":"SHIPPED","address":{"street":"Lange Strasse 17","city":"Hamburg","country":"DE","zip":"20095"},"items":[{"sku":"SKU-0001","name":"Fountain pen, fine nib","quantity":2,"price":34.5,"gift":true},{"sku":"SKU-0002","name":"Ink, 50 ml, midnight blue","quantity":1,"price":12.99},{"sku":"SKU-0003","name":"Notebook, dotted, A5","quantity":10,"price":4.25},{"sku":"SKU-0004","name":"Blotting paper \"classic\"","quantity":100,"price":0.125},{"sku":"SKU-0005","name":"Gift box, medium size","quantity":1,"price":3.75,"gift":true}],"labels":{"channel":"web","campaign":"autumn","region":"north"},"scores":[1,22,333,4444,55555,-6,77,888,9999,10],"createdMs":"1795619520123","token":"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ","note":"Please leave the parcel with the neighbours on the ground floor; the bell does not work. The pen is a present for my sister, so please do not print the price on anything that is inside of the parcel, and use plain brown paper."}"#;

struct File;

impl protox::file::FileResolver for File {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        protox::file::File::from_source(name, PROTO)
    }
}

/// Nanoseconds per call: the best of several rounds, so that a busy machine counts less.
fn measure(rounds: u32, mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 2000;
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    best
}

fn main() {
    let snapshot = Loader::new().proto("bench.proto", PROTO).load().unwrap();
    let id = snapshot.find_message("bench.Order").unwrap();
    let options = Options::default();
    let go = |from, to, input: &[u8], out: &mut Vec<u8>| {
        out.clear();
        snapshot
            .transcode(id, from, to, input, out, &options)
            .unwrap();
    };
    let mut compiler = protox::Compiler::with_file_resolver(File);
    compiler.open_file("bench.proto").unwrap();
    let pool: DescriptorPool = compiler.descriptor_pool();
    let descriptor = pool.get_message_by_name("bench.Order").unwrap();

    let mut bytes = Vec::new();
    go(Format::Json, Format::Protobuf, JSON.as_bytes(), &mut bytes);
    let theirs = DynamicMessage::decode(descriptor.clone(), &*bytes).unwrap();
    let mut json = Vec::new();
    go(Format::Protobuf, Format::Json, &bytes, &mut json);
    let again: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        again,
        serde_json::to_value(&theirs).unwrap(),
        "both mean the same"
    );
    println!("JSON {} bytes, Protobuf {} bytes", JSON.len(), bytes.len());

    let mut out = Vec::with_capacity(4096);
    for round in 1..=3 {
        let ours = measure(20, || {
            go(
                Format::Json,
                Format::Protobuf,
                black_box(JSON.as_bytes()),
                &mut out,
            )
        });
        let theirs = measure(20, || {
            let mut reader = serde_json::Deserializer::from_str(black_box(JSON));
            let message = DynamicMessage::deserialize(descriptor.clone(), &mut reader).unwrap();
            out.clear();
            message.encode(&mut out).unwrap();
        });
        println!(
            "round {round}: JSON -> Protobuf: {ours:.0} ns, prost-reflect {theirs:.0} ns, {:.1} times",
            theirs / ours
        );
        let ours = measure(20, || {
            go(Format::Protobuf, Format::Json, black_box(&bytes), &mut out)
        });
        let theirs = measure(20, || {
            let message = DynamicMessage::decode(descriptor.clone(), black_box(&*bytes)).unwrap();
            out.clear();
            serde_json::to_writer(&mut out, &message).unwrap();
        });
        println!(
            "round {round}: Protobuf -> JSON: {ours:.0} ns, prost-reflect {theirs:.0} ns, {:.1} times",
            theirs / ours
        );
        let value = measure(20, || {
            drop(black_box(
                serde_json::from_str::<serde_json::Value>(black_box(JSON)).unwrap(),
            ))
        });
        println!("round {round}: serde_json reads the same JSON to a tree in {value:.0} ns");
        measure_thrift(round, &go, &bytes);
    }
}

type Go<'a> = &'a dyn Fn(Format, Format, &[u8], &mut Vec<u8>);

fn measure_thrift(round: u32, go: Go<'_>, bytes: &[u8]) {
    let mut out = Vec::with_capacity(4096);
    for protocol in [Protocol::Binary, Protocol::Compact] {
        let thrift = Format::Thrift(protocol);
        let mut there = Vec::new();
        go(Format::Protobuf, thrift, bytes, &mut there);
        let to = measure(20, || {
            go(Format::Protobuf, thrift, black_box(bytes), &mut out)
        });
        let from = measure(20, || {
            go(thrift, Format::Protobuf, black_box(&there), &mut out)
        });
        println!("round {round}: Protobuf -> Thrift {protocol:?}: {to:.0} ns, back: {from:.0} ns");
    }
}
