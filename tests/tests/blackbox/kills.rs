//! `kill -9` again and again under load from real idempotent producers (acks=all), with a history.
//!
//! The history is what each producer was told: record i lies in partition p at offset o. In the
//! end the topic has every acknowledged record at its offset, no record twice, and each partition
//! in the order in which it was produced.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::client::{Client, Kind};
use crate::server::Server;

/// How often the server is killed under each client; [`KILLS_SOAK`] times by `cargo xtask soak`.
const KILLS: usize = 100;
const KILLS_SOAK: usize = 1_000;
const BETWEEN: usize = 4_000;
/// Every so often it is killed again as soon as it is back.
const AT_ONCE: usize = 3;
const PARTITIONS: usize = 4;

/// Where a record was put: partition and offset.
type Place = (u64, u64);

fn place_of(event: &Value) -> Place {
    (event["p"].as_u64().unwrap(), event["o"].as_u64().unwrap())
}

fn value_of(event: &Value) -> usize {
    let bytes = BASE64.decode(event["v"].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap().parse().unwrap()
}

/// Adds what the producer was told: record i is there.
fn note(history: &mut HashMap<usize, Place>, told: &[Value], kind: Kind) {
    for event in told {
        assert_ne!(
            event["e"], "fail",
            "{kind:?}: an idempotent producer gave up: {event}"
        );
        if event["e"] == "ack" {
            let record = usize::try_from(event["i"].as_u64().unwrap()).unwrap();
            let twice = history.insert(record, place_of(event));
            assert_eq!(twice, None, "{kind:?}: {record} was acknowledged twice");
        }
    }
}

/// Produces, and kills the server all the while; what the producer was told.
fn produce_under_kills(server: &mut Server, kind: Kind) -> HashMap<usize, Place> {
    let options = json!({
        "bootstrap": server.kafka.to_string(), "topic": "history", "timeout_ms": 120_000,
    });
    let mut producer = Client::start(kind, "produce", &options);
    let (mut sent, mut history) = (0, HashMap::new());
    let kills = if crate::soak() { KILLS_SOAK } else { KILLS };
    for round in 0..kills {
        for _ in 0..BETWEEN {
            let value = BASE64.encode(sent.to_string());
            producer.say(&json!({"i": sent, "p": sent % PARTITIONS, "v": value}).to_string());
            sent += 1;
        }
        // Some of these are acknowledged, the others are on their way: now. Another share of them
        // each time.
        let share = BETWEEN * (round % 9 + 1) / 10;
        producer.until_said("ack", sent - BETWEEN + share);
        server.kill_and_restart();
        if round % AT_ONCE == 0 {
            server.kill_and_restart();
        }
        note(&mut history, &producer.take(), kind);
    }
    note(&mut history, &producer.end(), kind);
    assert_eq!(
        history.len(),
        sent,
        "{kind:?}: not everything was acknowledged"
    );
    history
}

fn survive(kind: Kind) {
    let mut server = Server::start();
    server.create_topic("history", PARTITIONS as u32);
    let history = produce_under_kills(&mut server, kind);

    // With the ends known, what is read up to them is everything: also what came twice.
    let offsets = server.offsets("history");
    let there: u64 = offsets.iter().map(|(start, end)| end - start).sum();
    assert_eq!(there, history.len() as u64, "{kind:?}: {offsets:?}");

    let options = json!({"bootstrap": server.kafka.to_string(), "topic": "history"});
    let mut consumer = Client::start(Kind::Confluent, "consume", &options);
    let mut checked = Checked::default();
    while consumer.said("record") < history.len() {
        let next = history.len().min(consumer.said("record") + BETWEEN);
        consumer.until_said("record", next);
        checked.check(&history, &consumer.take(), kind);
    }
    consumer.say("quit");
    checked.check(&history, &consumer.end(), kind);
    assert_eq!(checked.records, history.len(), "{kind:?}: lost or repeated");
}

/// What is read is what was acknowledged, where it was acknowledged, in the order produced.
#[derive(Default)]
struct Checked {
    records: usize,
    /// The last record in each partition.
    last: HashMap<u64, usize>,
}

impl Checked {
    fn check(&mut self, history: &HashMap<usize, Place>, read: &[Value], kind: Kind) {
        for record in read.iter().filter(|event| event["e"] == "record") {
            let (value, place) = (value_of(record), place_of(record));
            let told = history.get(&value);
            assert_eq!(told, Some(&place), "{kind:?}: {value} is not where it was");
            let before = self.last.insert(place.0, value);
            assert!(
                before < Some(value),
                "{kind:?}: {value} after {before:?} in {}",
                place.0
            );
            self.records += 1;
        }
    }
}

#[test]
fn confluent_kafka_loses_nothing_to_kills() {
    survive(Kind::Confluent);
}

#[test]
fn java_loses_nothing_to_kills() {
    survive(Kind::Java);
}

#[test]
fn franz_go_loses_nothing_to_kills() {
    survive(Kind::Franz);
}
