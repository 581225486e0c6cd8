//! Clients that hold little each, and are many: just less than 64 KiB, so that nothing of them looks
//! large.

use kafka_wire::{ApiKey, messages as m};

use super::neighbour::{MEMORY_LIMIT, frame};
use super::*;

/// What each of them costs the server at most, in bytes.
const LITTLE: u64 = 64 << 10;
/// So many that together they want more than there is.
const CROWD: u64 = MEMORY_LIMIT / LITTLE * 5 / 4;

/// A fetch that waits for ever for an idle partition, which it names so many times, and names so many
/// topics besides of which it wants nothing.
fn idle_fetch(times: usize, topics: usize) -> Vec<u8> {
    use m::fetch_request::{FetchPartition, FetchTopic};
    let idle = FetchPartition {
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let nothing = FetchTopic {
        topic: "nobody".into(),
        ..Default::default()
    };
    let mut topics = vec![nothing; topics];
    topics.push(FetchTopic {
        topic: "idle".into(),
        partitions: vec![idle; times],
        ..Default::default()
    });
    let request = m::FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: i32::MAX,
        max_bytes: i32::MAX,
        session_epoch: -1,
        topics,
        ..Default::default()
    };
    frame(ApiKey::Fetch, 11, |out| request.encode(out, 11))
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

#[test]
fn many_small_fetches_that_wait_for_ever_hurt_nobody_else() {
    raise_files();
    let server = server(&[]);
    server.create_topic("idle", 1);
    let mut neighbour = Neighbour::new(&server);
    // 3.4 KiB each: by what they may become in memory just less than 64 KiB.
    let sockets = crowd(&server, size(CROWD), &idle_fetch(120, 0));
    neighbour.is_well(&server, 60);
    drop(sockets);
}

#[test]
fn many_small_half_frames_hurt_nobody_else() {
    raise_files();
    let server = server(&[]);
    let mut neighbour = Neighbour::new(&server);
    let mut half = (62_u32 << 10).to_be_bytes().to_vec();
    half.extend_from_slice(&[0, 3, 0, 9, 0, 0, 0, 1]);
    half.resize(60 << 10, 0);
    let sockets = crowd(&server, size(CROWD), &half);
    neighbour.is_well(&server, 60);
    drop(sockets);
}

#[test]
fn large_fetches_whose_last_bytes_come_together_hurt_nobody_else() {
    let server = server(&[]);
    server.create_topic("idle", 1);
    let mut neighbour = Neighbour::new(&server);
    // 4 MiB each, 160 MiB together, and six times as much once taken apart.
    let request = idle_fetch(1, 350_000);
    let (last, most) = request.split_last().unwrap();
    let mut sockets = crowd(&server, 40, most);
    for socket in &mut sockets {
        // It may have been closed already.
        let _ = socket.write_all(&[*last]);
    }
    neighbour.is_well(&server, 60);
    drop(sockets);
}
