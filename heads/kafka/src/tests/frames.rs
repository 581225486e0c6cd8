//! Requests as real clients sent them (`cargo xtask record-frames`).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_wire::{ApiKey, Decoder, RequestHeader};

use super::groups::prompt;
use super::harness::{Server, park, with};
use super::messages::{again, answered};
use crate::handlers::served;

/// A file for each client; a line holds key, version and the frame without its length.
const RECORDED: [(&str, &str); 8] = [
    ("confluent-kafka", include_str!("frames/confluent.txt")),
    ("kcat", include_str!("frames/kcat.txt")),
    ("KafkaJS", include_str!("frames/kafkajs.txt")),
    ("kafka-python", include_str!("frames/kafkapython.txt")),
    ("aiokafka", include_str!("frames/aiokafka.txt")),
    ("Java", include_str!("frames/java.txt")),
    ("franz-go", include_str!("frames/franz.txt")),
    ("sarama", include_str!("frames/sarama.txt")),
];

struct Frame {
    bytes: Bytes,
    header: RequestHeader,
    key: ApiKey,
    body: Bytes,
}

fn frames(recorded: &str) -> impl Iterator<Item = Frame> + '_ {
    recorded.lines().map(|line| {
        let hex = line.rsplit(' ').next().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Bytes = (0..hex.len()).step_by(2).map(byte).collect();
        let mut decoder = Decoder::new(bytes.clone());
        let header = RequestHeader::decode(&mut decoder).unwrap();
        let key = ApiKey::from_number(header.api_key).unwrap();
        let body = decoder.into_rest();
        Frame {
            bytes,
            header,
            key,
            body,
        }
    })
}

#[test]
fn each_is_read_and_written_again_byte_for_byte() {
    for (client, recorded) in RECORDED {
        assert!(recorded.lines().count() > 10, "{client}");
        for frame in frames(recorded) {
            let version = frame.header.api_version;
            let mut out = BytesMut::new();
            frame.header.encode(&mut out).unwrap();
            if served(frame.key, version) {
                out.extend_from_slice(&again(frame.key, &frame.body, version));
            } else {
                // A client newer than the server asks for the versions first.
                assert_eq!(frame.key, ApiKey::ApiVersions, "{client}");
                out.extend_from_slice(&frame.body);
            }
            assert_eq!(out, frame.bytes, "{client}: {:?} {version}", frame.key);
        }
    }
}

#[test]
fn each_is_served_and_answered_in_its_own_version() {
    for (client, recorded) in RECORDED {
        with(prompt(), async |server: &Server| {
            for name in ["orders", "bills"] {
                server.topic(name, 4, &[]).await;
            }
            for frame in frames(recorded) {
                let version = frame.header.api_version;
                let what = format!("{client}: {:?} {version}", frame.key);
                let mut connection = server.client();
                connection
                    .send_frame(frame.header.api_key, version, &frame.body)
                    .unwrap();
                let mut answer = park(connection.bytes()).await;
                // A join waits for its group, a fetch for records.
                for _ in 0..100 {
                    if answer.waits().await {
                        server.advance(Duration::from_secs(10)).await;
                    }
                }
                let answer = answer
                    .done()
                    .await
                    .unwrap_or_else(|close| panic!("{what}: {close}"));
                let Some(answer) = answer else {
                    assert_eq!(frame.key, ApiKey::Produce, "{what}: no answer");
                    continue;
                };
                // An unknown version is answered in the oldest form.
                let version = if served(frame.key, version) {
                    version
                } else {
                    0
                };
                let tagged =
                    frame.key != ApiKey::ApiVersions && version >= frame.key.flexible_from();
                answered(
                    frame.key,
                    &answer.slice(if tagged { 9.. } else { 8.. }),
                    version,
                );
            }
        });
    }
}
