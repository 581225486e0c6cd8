//! A compacted topic as its users see it: of each key the last value, nothing of what was deleted,
//! in order and where it was, through a `kill -9`, for every client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::client::{Client, Kind, count};
use crate::server::Server;

const KEYS: usize = 40;
/// How long compaction may take.
const PATIENCE: Duration = Duration::from_secs(60);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// A record: offset, key, value.
type Record = (u64, String, String);

/// Produces values of all keys in rounds, each by a producer of its own with a codec of its own,
/// and deletes every seventh key in the last. Returns what has to be left, by offset.
fn fill(server: &Server) -> Vec<Record> {
    let mut last = BTreeMap::new();
    let mut offset = 0;
    for (round, codec) in CODECS.iter().enumerate() {
        let options = json!({
            "bootstrap": server.kafka.to_string(), "topic": "latest", "compression": codec,
        });
        let mut client = Client::start(Kind::Confluent, "produce", &options);
        for i in 0..KEYS * 3 {
            let key = format!("key-{}", i * (round + 3) % KEYS);
            let gone = round + 1 == CODECS.len() && (i * (round + 3) % KEYS).is_multiple_of(7);
            let value = (!gone).then(|| format!("{round}-{i}"));
            let encoded = value.as_ref().map(|value| BASE64.encode(value));
            client.say(
                &json!({"i": i, "p": 0, "k": BASE64.encode(&key), "v": encoded, "h": []})
                    .to_string(),
            );
            last.insert(key, (offset, value));
            offset += 1;
        }
        let events = client.end();
        assert_eq!(count(&events, "ack"), KEYS * 3, "{:?}", events.last());
    }
    let live = last
        .into_iter()
        .filter_map(|(key, (offset, value))| Some((offset, key, value?)));
    let mut live: Vec<Record> = live.collect();
    live.sort();
    live
}

/// Waits until the topic holds `expected` and nothing else.
fn wait_compacted(server: &Server, expected: &[Record]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = "/v1/topics/latest/records?partition=0&limit=1000";
        let (status, body) = server.request("GET", path, "").unwrap();
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let offsets: Vec<u64> = body["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["offset"].as_u64().unwrap())
            .collect();
        if offsets
            .iter()
            .eq(expected.iter().map(|(offset, ..)| offset))
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not compacted in {PATIENCE:?}: {offsets:?}"
        );
        std::thread::yield_now();
    }
}

fn decoded(value: &Value) -> String {
    let bytes = BASE64.decode(value.as_str().unwrap_or_default());
    String::from_utf8(bytes.unwrap()).unwrap()
}

fn consume(server: &Server, kind: Kind, expected: &[Record]) {
    let options = json!({
        "bootstrap": server.kafka.to_string(), "topic": "latest", "group": format!("{kind:?}"),
    });
    let mut client = Client::start(kind, "consume", &options);
    client.until("got everything", |seen| {
        count(seen, "record") >= expected.len()
    });
    client.say("quit");
    let events = client.end();
    let records = events.iter().filter(|event| event["e"] == "record");
    let got: Vec<Record> = records
        .map(|event| {
            let offset = event["o"].as_u64().unwrap();
            (offset, decoded(&event["k"]), decoded(&event["v"]))
        })
        .collect();
    assert_eq!(got, expected, "{kind:?}");
}

#[test]
fn compaction_leaves_the_last_value_of_each_key_for_every_client() {
    let mut server = Server::start_with(&[("STORE__MAINTENANCE_INTERVAL", "100ms")]);
    let topic = json!({"name": "latest", "partitions": 1, "config": {
        "cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "100",
    }});
    let (status, body) = server
        .request("POST", "/v1/topics", &topic.to_string())
        .unwrap();
    assert!(status == 200 || status == 201, "{status}: {body}");
    let expected = fill(&server);
    assert_eq!(expected.len(), KEYS - KEYS.div_ceil(7));
    wait_compacted(&server, &expected);
    let (_, metrics) = server.request("GET", "/metrics", "").unwrap();
    let removed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("stentor_store_compaction_removed_records_total "))
        .unwrap();
    let produced = KEYS * 3 * CODECS.len();
    assert!(removed.parse::<usize>().unwrap() >= produced - expected.len());
    for kind in [
        Kind::Confluent,
        Kind::Kcat,
        Kind::KafkaJs,
        Kind::KafkaPython,
        Kind::Aiokafka,
        Kind::Java,
        Kind::Franz,
        Kind::Sarama,
    ] {
        consume(&server, kind, &expected);
    }
    server.kill_and_restart();
    wait_compacted(&server, &expected);
}
