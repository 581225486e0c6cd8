//! Bytes that are no requests.

use std::net::Shutdown;

use super::*;

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
        frames.push(framed(&bytes));
    }
    frames
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    framed
}

/// Lists of two billion elements in bodies of a few bytes, in every version of every request.
fn huge_arrays() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for key in 0..76_u8 {
        for version in 0..18_u8 {
            for body in [
                &[0x7f, 0xff, 0xff, 0xff][..],
                &[0, 0xff, 0xff, 0xff, 0xff, 0x0f],
            ] {
                for skipped in [0, 1, 2, 6, 10] {
                    let mut bytes = vec![0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff];
                    bytes.resize(bytes.len() + skipped, 0);
                    bytes.extend_from_slice(body);
                    bytes.extend_from_slice(&[0xff; 8]);
                    frames.push(framed(&bytes));
                }
            }
        }
    }
    frames
}

fn send(server: &Server, frame: &[u8]) {
    let mut socket = TcpStream::connect(server.kafka).unwrap();
    // The server may hang up in the middle.
    let _ = socket.write_all(frame);
    let _ = socket.shutdown(Shutdown::Write);
    until_end(&mut socket);
}

#[test]
fn hostile_bytes_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    for _ in 0..20 {
        hostile_frames()
            .iter()
            .for_each(|frame| send(&server, frame));
        neighbour.is_well(&server, 5);
    }
    let options = json!({"bootstrap": server.kafka.to_string(), "topic": "orders"});
    produce(Kind::Kcat, &options, 0..100);
}

#[test]
fn lists_longer_than_their_bytes_hurt_nobody_else() {
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    for frames in huge_arrays().chunks(500) {
        frames.iter().for_each(|frame| send(&server, frame));
        neighbour.is_well(&server, 5);
    }
}
