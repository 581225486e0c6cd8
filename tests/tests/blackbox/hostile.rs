//! Clients that mean no good beside one that does.
//!
//! Each attack goes on while a neighbour produces and reads; the neighbour gets on, the server's
//! memory stays within `memory.limit` and what the process itself needs, and its log holds no
//! complaint.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::client::{Kind, produce};
use crate::server::Server;

mod asks;
mod bytes;
mod memory;
mod names;
mod neighbour;
mod strangers;

use neighbour::{Neighbour, server};

/// Connects so many clients, each of which sends the same and does not read.
fn crowd(server: &Server, size: usize, sends: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut socket = TcpStream::connect(server.kafka).unwrap();
        // The server may stop reading, or hang up in the middle.
        socket
            .set_write_timeout(Some(std::time::Duration::from_millis(200)))
            .unwrap();
        let _ = socket.write_all(sends);
        socket
    };
    (0..size).map(connect).collect()
}

#[test]
fn ten_thousand_silent_connections_hurt_nobody_else() {
    raise_files();
    let server = server(&[]);
    let mut sockets = Vec::new();
    for at in 0..10_000_usize {
        let mut socket = TcpStream::connect(server.kafka).unwrap();
        if at % 2 == 0 {
            // Half a frame.
            let _ = socket.write_all(&[0, 0, 0, 100, 0, 3]);
        }
        sockets.push(socket);
    }
    Neighbour::new(&server).is_well(&server, 100);
    drop(sockets.split_off(5000));
    let options = json!({"bootstrap": server.kafka.to_string(), "topic": "orders"});
    produce(Kind::Kcat, &options, 0..100);
    drop(sockets);
}

/// This process needs a descriptor for each connection; the server raises its own limit.
fn raise_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let files = limit.current.unwrap_or(u64::MAX);
    assert!(
        files > 12_000,
        "these tests need 12,000 files open, the system allows {files}"
    );
}

/// Reads until the server ends the connection.
fn until_end(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
}
