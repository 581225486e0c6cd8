//! Clients that mean no good beside one that does.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::client::{Kind, produce};
use crate::server::Server;

/// The server's memory limit and what the process itself needs.
const RESIDENT_MAX: u64 = 700 << 20;

/// What goes wrong on purpose: then the connection must end, and nothing else.
fn hostile_frames() -> Vec<Vec<u8>> {
    let mut frames = vec![
        // Lengths: the largest, negative, none.
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0xff, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 0],
        // HTTP and TLS on this port.
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
        ],
        // Metadata 12 with four billion topics.
        vec![
            0, 0, 0, 16, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f,
        ],
        // An unknown request.
        vec![0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for length in [1_usize, 7, 64, 1000, 65_536] {
        let mut bytes = Vec::with_capacity(length);
        for _ in 0..length {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.push(seed as u8);
        }
        frames.push(bytes.clone());
        // The same as the body of a frame that is well formed.
        let mut framed = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        frames.push(framed);
    }
    frames
}

#[test]
fn hostile_bytes_hurt_nobody_else() {
    let server = Server::start();
    server.create_topic("orders", 4);
    for _ in 0..20 {
        for frame in hostile_frames() {
            let mut socket = TcpStream::connect(server.kafka).unwrap();
            // The server may hang up in the middle.
            let _ = socket.write_all(&frame);
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest);
        }
    }
    let options = json!({"bootstrap": server.kafka.to_string(), "topic": "orders"});
    produce(Kind::Kcat, &options, 0..100);
    assert!(
        server.resident() < RESIDENT_MAX,
        "{} bytes",
        server.resident()
    );
}

#[test]
fn ten_thousand_silent_connections_hurt_nobody_else() {
    let server = Server::start();
    server.create_topic("orders", 4);
    let mut sockets = Vec::new();
    for at in 0..10_000_usize {
        // Beyond the limit of connections per address the server hangs up at once.
        let Ok(mut socket) = TcpStream::connect(server.kafka) else {
            break;
        };
        if at % 2 == 0 {
            // Half a frame.
            let _ = socket.write_all(&[0, 0, 0, 100, 0, 3]);
        }
        sockets.push(socket);
    }
    assert!(sockets.len() > 5000, "only {} connections", sockets.len());
    let resident = server.resident();
    assert!(
        resident < RESIDENT_MAX,
        "{resident} bytes for {} connections",
        sockets.len()
    );
    drop(sockets.split_off(5000));
    let options = json!({"bootstrap": server.kafka.to_string(), "topic": "orders"});
    produce(Kind::Kcat, &options, 0..100);
}
