//! Clients of the HTTP interface that mean no good, beside one of Kafka's.

use super::*;

/// A publish of so many bytes, of which so many are sent.
fn publish(length: usize, sent: usize) -> Vec<u8> {
    let head = format!(
        "POST /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + sent, b' ');
    bytes
}

#[test]
fn bodies_that_do_not_come_to_an_end_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    let sockets = crowd_at(server.http, 40, &publish(16 << 20, 15 << 20));
    neighbour.is_well(&server, 60);
    drop(sockets);
}

#[test]
fn headers_that_do_not_come_to_an_end_hurt_nobody_else() {
    raise_files();
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    let mut headers = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nlong: ".to_vec();
    headers.resize(60 << 10, b'x');
    let sockets = crowd_at(server.http, 5000, &headers);
    neighbour.is_well(&server, 60);
    drop(sockets);
}

#[test]
fn answers_that_nobody_reads_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    server.create_topic("large", 1);
    memory::fill(&server, "large", 40);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let tail = get("/v1/topics/large/tail?from=earliest&follow=false");
    let read = get("/v1/topics/large/records?from=earliest");
    let tails = crowd_at(server.http, 100, tail.as_bytes());
    let reads = crowd_at(server.http, 100, read.repeat(20).as_bytes());
    neighbour.is_well(&server, 60);
    drop((tails, reads));
}

#[test]
fn lists_of_millions_of_nothings_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    for element in ["{},", "{\"headers\":[]},", "{\"value\":[[],[],[],[]]},"] {
        let list = element.repeat((15 << 20) / element.len());
        let body = format!("{{\"records\":[{}]}}", list.trim_end_matches(','));
        let mut request = publish(body.len(), 0);
        request.extend_from_slice(body.as_bytes());
        let sockets = crowd_at(server.http, 10, &request);
        neighbour.is_well(&server, 30);
        drop(sockets);
    }
}
