//! Clients that make the server hold bytes for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kafka_wire::{ApiKey, messages as m};
use store::batch::Compression;

use super::neighbour::{batch, fetch, frame, produce as append};
use super::*;

/// Puts about so many MiB into partition 0 of `topic`.
pub(super) fn fill(server: &Server, topic: &str, mib: usize) {
    fill_by(&mut TcpStream::connect(server.kafka).unwrap(), topic, mib);
}

/// The same by a connection that is open.
pub(super) fn fill_by(socket: &mut (impl Read + Write), topic: &str, mib: usize) {
    let request = append(topic, batch(1_000_000, Compression::None));
    for _ in 0..mib {
        socket.write_all(&request).unwrap();
        neighbour::answer(socket, false).unwrap();
    }
}

#[test]
fn readers_that_do_not_read_hurt_nobody_else() {
    let server = server(&[]);
    server.create_topic("large", 1);
    fill(&server, "large", 120);
    let mut neighbour = Neighbour::new(&server);
    let silent = crowd(&server, 60, &fetch("large", 20, 0));
    let mut slow = crowd(&server, 20, &fetch("large", 70, 0));
    for _ in 0..50 {
        neighbour.is_well(&server, 10);
        let mut byte = [0];
        for socket in &mut slow {
            // It may have been closed for being slow.
            let _ = socket.read(&mut byte);
        }
        fill(&server, "large", 2);
    }
    drop((silent, slow));
}

#[test]
fn half_frames_held_open_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    let mut half = (90_u32 << 20).to_be_bytes().to_vec();
    half.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 1]);
    half.resize(20 << 20, 0);
    for _ in 0..2 {
        let sockets = crowd(&server, 40, &half);
        neighbour.is_well(&server, 50);
        drop(sockets);
    }
}

#[test]
fn many_pipelined_fetches_hurt_nobody_else() {
    let server = server(&[]);
    server.create_topic("large", 1);
    fill(&server, "large", 30);
    let mut neighbour = Neighbour::new(&server);
    let reading = fetch("large", 0, 0).repeat(2000);
    let waiting = fetch("large", 30, i32::MAX).repeat(2000);
    let sockets = (crowd(&server, 40, &reading), crowd(&server, 40, &waiting));
    neighbour.is_well(&server, 200);
    drop(sockets);
}

#[test]
fn a_flood_of_tiny_requests_hurts_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    let request = m::ApiVersionsRequest::default();
    let tiny = frame(ApiKey::ApiVersions, 0, |out| request.encode(out, 0)).repeat(500);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut socket = TcpStream::connect(server.kafka).unwrap();
            let mut reader = socket.try_clone().unwrap();
            let (tiny, stop) = (&tiny, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && socket.write_all(tiny).is_ok() {}
                let _ = socket.shutdown(std::net::Shutdown::Both);
            });
            scope.spawn(move || {
                let mut bytes = vec![0; 1 << 16];
                while matches!(reader.read(&mut bytes), Ok(1..)) {}
            });
        }
        // Also when the neighbour is not well.
        let _end = End(&stop);
        neighbour.is_well(&server, 30);
    });
}

/// Ends a flood when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn bombs_in_compressed_batches_hurt_nobody_else() {
    let server = server(&[]);
    let body = json!({"name": "keys", "partitions": 1, "config": {"cleanup.policy": "compact"}});
    let (status, told) = server
        .request("POST", "/v1/topics", &body.to_string())
        .unwrap();
    assert!(status < 300, "{told}");
    let mut neighbour = Neighbour::new(&server);
    // gzip makes a thousandth of what it is given, zstd less.
    let bombs = [
        append("keys", batch(200 << 20, Compression::Gzip)),
        append("keys", batch(200 << 20, Compression::Zstd)),
    ];
    for bomb in &bombs {
        let sockets = crowd(&server, 20, &bomb.repeat(5));
        neighbour.is_well(&server, 50);
        drop(sockets);
    }
}
