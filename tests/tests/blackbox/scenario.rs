//! What every client has to live through: it produces, reads in a group, shares with a second
//! member and gets everything back, commits, and after a `kill -9` of the server goes on where it
//! had committed.

use std::collections::BTreeSet;

use serde_json::json;

use crate::client::{Client, Kind, count, held, produce, values};
use crate::server::Server;

const FIRST: usize = 300;
const SECOND: usize = 100;

fn expected(range: std::ops::Range<usize>) -> BTreeSet<String> {
    range.map(|i| format!("value-{i}")).collect()
}

fn live_through(kind: Kind) {
    let mut server = Server::start();
    server.create_topic("orders", 4);
    let options = json!({
        "bootstrap": server.kafka.to_string(), "topic": "orders", "group": "workers",
    });
    produce(kind, &options, 0..FIRST);

    let mut first = Client::start(kind, "consume", &options);
    first.until("got everything", |seen| count(seen, "record") >= FIRST);
    assert_eq!(
        values(&first.seen).into_iter().collect::<BTreeSet<_>>(),
        expected(0..FIRST)
    );
    first.until("alone", |seen| held(seen) == 4);
    // kcat obeys only its end while it consumes.
    if kind != Kind::Kcat {
        first.say("commit");
        first.until("committed", |seen| count(seen, "committed") >= 1);
        let mut second = Client::start(kind, "consume", &options);
        second.until("given a part", |seen| (1..4).contains(&held(seen)));
        first.until("shared", |seen| (1..4).contains(&held(seen)));
        second.say("quit");
        let events = second.end();
        assert_eq!(
            count(&events, "record"),
            0,
            "{kind:?}: what was committed came again"
        );
        first.until("alone again", |seen| held(seen) == 4);
    }
    first.say("commit");
    first.say("quit");
    first.end();

    server.kill_and_restart();
    produce(kind, &options, FIRST..FIRST + SECOND);
    let mut third = Client::start(kind, "consume", &options);
    third.until("got the new ones", |seen| count(seen, "record") >= SECOND);
    let got = values(&third.seen);
    assert_eq!(got.len(), SECOND, "{kind:?}: old ones came again");
    assert_eq!(
        got.into_iter().collect::<BTreeSet<_>>(),
        expected(FIRST..FIRST + SECOND)
    );
    third.say("quit");
    third.end();
}

macro_rules! clients {
    ($($name:ident: $kind:ident;)*) => {$(
        #[test]
        fn $name() {
            live_through(Kind::$kind);
        }
    )*};
}

clients! {
    confluent_kafka: Confluent;
    kcat: Kcat;
    kafkajs: KafkaJs;
    kafka_python: KafkaPython;
    aiokafka: Aiokafka;
    java: Java;
    go_franz: Franz;
    go_sarama: Sarama;
}

/// What one client produces, every other reads, byte for byte.
#[test]
fn what_one_produces_all_read() {
    let kinds = [
        Kind::Confluent,
        Kind::Kcat,
        Kind::KafkaJs,
        Kind::KafkaPython,
        Kind::Aiokafka,
        Kind::Java,
        Kind::Franz,
        Kind::Sarama,
    ];
    let server = Server::start();
    for producer in kinds {
        let topic = format!("from-{producer:?}").to_lowercase();
        server.create_topic(&topic, 4);
        let bootstrap = server.kafka.to_string();
        produce(
            producer,
            &json!({"bootstrap": bootstrap, "topic": topic}),
            0..20,
        );
        for consumer in kinds {
            let group = format!("{consumer:?}");
            let options = json!({"bootstrap": bootstrap, "topic": topic, "group": group});
            let mut client = Client::start(consumer, "consume", &options);
            client.until("got everything", |seen| count(seen, "record") >= 20);
            let got: BTreeSet<_> = values(&client.seen).into_iter().collect();
            assert_eq!(got, expected(0..20), "{producer:?} to {consumer:?}");
            client.say("quit");
            client.end();
        }
    }
}
