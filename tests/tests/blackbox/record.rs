//! Real clients' requests, recorded on their way: `cargo xtask record-frames`.
//!
//! A recorder stands between clients and the server, which announces the recorder's address as its
//! own. Of each request, by key and version, the shortest is kept: one line of hexadecimal digits
//! in a file for each client under `heads/kafka/src/tests/frames`, where the head's tests read
//! them. Without being asked to write (`STENTOR_RECORD`) this only sees that recording works.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::client::{Client, Kind, count, produce};
use crate::server::{Server, free_address};

/// Requests by key and version, without their length.
type Frames = Arc<Mutex<BTreeMap<(i16, i16), Vec<u8>>>>;

/// Copies what goes to `server` and keeps the requests in it.
fn record(listener: TcpListener, server: SocketAddr, frames: Frames) {
    let accept = move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(server) else {
                continue;
            };
            let (mut back, mut to_client) =
                (upstream.try_clone().unwrap(), client.try_clone().unwrap());
            let frames = frames.clone();
            thread::spawn(move || copy_frames(client, upstream, &frames));
            thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
        }
    };
    thread::spawn(accept);
}

fn copy_frames(mut client: TcpStream, mut server: TcpStream, frames: &Frames) {
    let (mut seen, mut part) = (Vec::new(), [0; 8192]);
    while let Ok(n @ 1..) = client.read(&mut part) {
        seen.extend_from_slice(&part[..n]);
        while let Some(length) = seen.first_chunk::<4>() {
            let end = 4 + u32::from_be_bytes(*length) as usize;
            if seen.len() < end {
                break;
            }
            keep(&seen[4..end], frames);
            seen.drain(..end);
        }
        if server.write_all(&part[..n]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn keep(frame: &[u8], frames: &Frames) {
    let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    let mut frames = frames.lock().unwrap();
    let kept = frames
        .entry((number(0), number(2)))
        .or_insert_with(|| frame.to_vec());
    if frame.len() < kept.len() {
        *kept = frame.to_vec();
    }
}

/// What a client sends while it does everything that its program can do.
fn requests_of(kind: Kind) -> BTreeMap<(i16, i16), Vec<u8>> {
    let address = free_address();
    let server = Server::start_with(&[("KAFKA__ADVERTISED", &address.to_string())]);
    let frames = Frames::default();
    record(
        TcpListener::bind(address).unwrap(),
        server.kafka,
        frames.clone(),
    );
    server.create_topic("orders", 4);
    let options = json!({
        "bootstrap": address.to_string(), "topic": "orders", "group": "workers",
    });
    produce(kind, &options, 0..20);
    let mut consumer = Client::start(kind, "consume", &options);
    consumer.until("got everything", |seen| count(seen, "record") >= 20);
    if kind != Kind::Kcat {
        consumer.say("commit");
        consumer.until("committed", |seen| count(seen, "committed") >= 1);
    }
    consumer.say("quit");
    consumer.end();
    let options = json!({"bootstrap": address.to_string(), "topic": "bills", "group": "admins"});
    Client::start(kind, "admin", &options).end();
    frames.lock().unwrap().clone()
}

/// Every client that reads in a group sends these, whatever else.
fn check(kind: Kind, frames: &BTreeMap<(i16, i16), Vec<u8>>) {
    for (key, name) in [
        (0, "Produce"),
        (1, "Fetch"),
        (3, "Metadata"),
        (8, "OffsetCommit"),
        (11, "JoinGroup"),
        (14, "SyncGroup"),
        (18, "ApiVersions"),
    ] {
        let sent = frames.keys().any(|(sent, _)| *sent == key);
        assert!(sent, "{kind:?} was not seen to send {name}");
    }
}

#[test]
fn requests_are_recorded_between_client_and_server() {
    let Some(folder) = std::env::var_os("STENTOR_RECORD").map(PathBuf::from) else {
        return check(Kind::Confluent, &requests_of(Kind::Confluent));
    };
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
        let frames = requests_of(kind);
        check(kind, &frames);
        let mut text = String::new();
        for ((key, version), frame) in frames {
            write!(text, "{key} {version} ").unwrap();
            for byte in frame {
                write!(text, "{byte:02x}").unwrap();
            }
            text.push('\n');
        }
        let name = format!("{kind:?}.txt").to_lowercase();
        std::fs::write(folder.join(name), text).unwrap();
    }
}
