//! The loop, with a toy protocol over a pipe in memory and paused time.

use std::future::pending;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use base::{ByteSize, FileRange, Millis, ReadAt, Tasks};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, yield_now};

use self::toy::{Toy, frame};
use super::*;
use crate::head::Lane;
use crate::testing::{Script, check_splits};

mod memory;
pub(crate) mod toy;

/// A driven connection, and the peer's end of it.
struct Rig {
    peer: DuplexStream,
    toy: Toy,
    ledger: Ledger,
    switch: DrainSwitch,
    end: JoinHandle<Close>,
}

fn start_with(toy: Toy, limits: Limits, ledger: Ledger, pipe_bytes: usize) -> Rig {
    let holders = holders(&ledger);
    start_beside(toy, limits, ledger, pipe_bytes, holders)
}

/// Who gives way when `ledger` is full.
fn holders(ledger: &Ledger) -> Holders {
    let holders = Holders::new(ledger.clone(), Clock::runtime(0));
    Tasks::current().spawn("test.holders", holders.clone().watch());
    holders
}

fn start_beside(
    toy: Toy,
    limits: Limits,
    ledger: Ledger,
    pipe_bytes: usize,
    holders: Holders,
) -> Rig {
    let (peer, socket) = duplex(pipe_bytes);
    let clock = Clock::runtime(0);
    let opened = clock.now();
    let metrics = Metrics::new(&base::Metrics::default());
    let shared = Arc::new(Shared::new(
        toy.clone(),
        limits,
        clock,
        ledger.clone(),
        holders,
        &metrics,
    ));
    let switch = DrainSwitch::default();
    let run = drive(shared, Peer::loopback(), socket, opened, switch.listener());
    let end = Tasks::current().spawn("test.drive", run);
    Rig {
        peer,
        toy,
        ledger,
        switch,
        end,
    }
}

fn start(limits: Limits) -> Rig {
    start_with(Toy::default(), limits, Ledger::new(64 << 20), 64 << 10)
}

/// The paused time.
fn now() -> Instant {
    Clock::runtime(0).now()
}

impl Rig {
    async fn send(&mut self, lane: u8, op: u8, body: &[u8]) {
        self.peer.write_all(&frame(lane, op, body)).await.unwrap();
    }

    async fn reply(&mut self) -> Vec<u8> {
        let len = self.peer.read_u32().await.unwrap();
        let mut body = vec![0; len as usize];
        self.peer.read_exact(&mut body).await.unwrap();
        body
    }

    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.peer.read_to_end(&mut rest).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// Lets the drive run until it waits.
    async fn settle(&self) {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    /// Waits, as the peer, for the end of the connection.
    async fn end(self) -> Close {
        drop(self.peer);
        self.end.await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn answers_a_lane_in_order_and_lets_lanes_overtake() {
    let mut rig = start(Limits::default());
    rig.send(0, b'g', &[1]).await;
    rig.send(0, b'e', b"second").await;
    rig.send(1, b'e', b"other lane").await;
    assert_eq!(rig.reply().await, b"other lane");
    assert_eq!(rig.toy.started(), 3, "all are started at once");
    rig.toy.gate.send_replace(1);
    assert_eq!(rig.reply().await, [1]);
    assert_eq!(rig.reply().await, b"second");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_replies_makes_room_for_the_next() {
    let mut rig = start(Limits::default());
    for body in [&b"a"[..], b"b", b"c"] {
        rig.send(0, b'n', b"").await;
        rig.send(0, b'e', body).await;
    }
    rig.send(0, b'm', &[3]).await;
    for body in [&b"a"[..], b"b", b"c", &[3], &[3], &[3]] {
        assert_eq!(rig.reply().await, body);
    }
    rig.settle().await;
    assert_eq!(rig.toy.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn output_without_a_call_leaves_at_once() {
    let mut rig = start(Limits::default());
    rig.send(0, b'p', b"").await;
    let mut pong = [0; 4];
    rig.peer.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"pong");
    assert_eq!(rig.toy.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_read_from_and_costs_little() {
    let limits = Limits {
        output_bytes_max: ByteSize(64 << 10),
        calls_in_flight_max: 16,
        ..Limits::default()
    };
    let mut rig = start_with(Toy::default(), limits, Ledger::new(64 << 20), 4 << 10);
    // Each asks for 100 KiB.
    let request = frame(0, b'k', &[100]);
    let mut sent = 0;
    while timeout(Duration::from_secs(1), rig.peer.write_all(&request))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 100_000, "it is read from without end");
    }
    assert!(rig.toy.started() < 3 * 16, "{} calls", rig.toy.started());
    assert!(rig.ledger.peak() < 1 << 20, "{} bytes", rig.ledger.peak());
    for _ in 0..50 {
        assert_eq!(
            rig.reply().await.len(),
            100 << 10,
            "it goes on when the peer reads"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_length_is_refused_and_a_large_one_is_not_believed() {
    let limits = Limits {
        input_bytes_max: ByteSize(32 << 20),
        ..Limits::default()
    };
    let mut rig = start(limits.clone());
    rig.peer.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert_eq!(rig.rest().await, "bye limit");
    assert!(rig.ledger.peak() < 64 << 10);
    assert_eq!(rig.end().await, Close::Limit("limits.input_bytes_max"));

    let mut rig = start(limits);
    rig.peer
        .write_all(&(30_u32 << 20).to_be_bytes())
        .await
        .unwrap();
    rig.settle().await;
    assert!(rig.ledger.peak() < 2 << 20, "{} bytes", rig.ledger.peak());
    assert_eq!(rig.end().await, Close::Peer);
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_arrives_whole_and_is_paid_for_until_its_call_ends() {
    let mut rig = start(Limits::default());
    let body: Vec<u8> = (0..5 << 20).map(|n: u32| (n % 251) as u8).collect();
    rig.send(0, b'g', &[&[1][..], &body].concat()).await;
    rig.settle().await;
    assert!(rig.ledger.used() >= 5 << 20);
    rig.toy.gate.send_replace(1);
    assert_eq!(&rig.reply().await[1..], body);
    rig.settle().await;
    assert_eq!(rig.ledger.used(), 0, "an idle connection holds nothing");
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_ends_at_the_idle_limit_and_dripping_at_the_frame_limit() {
    let limits = Limits {
        idle_max: Millis(10_000),
        frame_time_max: Millis(60_000),
        ..Limits::default()
    };
    let mut rig = start(limits.clone());
    let start_at = now();
    rig.peer.write_all(b"\0\0").await.unwrap();
    assert_eq!(rig.rest().await, "bye idle");
    assert_eq!((now() - start_at).as_secs(), 10);

    let mut rig = start(limits);
    let start_at = now();
    for byte in frame(0, b'e', &[0; 50]) {
        if rig.peer.write_all(&[byte]).await.is_err() {
            break;
        }
        let _ = timeout(Duration::from_secs(9), pending::<()>()).await;
    }
    assert_eq!(rig.end().await, Close::Idle);
    assert!((now() - start_at).as_secs() >= 60);
}

#[tokio::test(start_paused = true)]
async fn an_open_call_is_not_idle() {
    let mut rig = start(Limits {
        idle_max: Millis(1_000),
        ..Limits::default()
    });
    rig.send(0, b'g', &[1]).await;
    assert!(
        timeout(Duration::from_secs(60), rig.peer.read_u8())
            .await
            .is_err()
    );
    rig.toy.gate.send_replace(1);
    assert_eq!(rig.reply().await, [1]);
    assert_eq!(rig.rest().await, "bye idle");
}

#[tokio::test(start_paused = true)]
async fn ends_without_a_first_frame_at_the_handshake_limit() {
    let toy = Toy {
        established: false,
        ..Toy::default()
    };
    let mut rig = start_with(toy.clone(), Limits::default(), Ledger::new(1 << 20), 1024);
    assert_eq!(rig.rest().await, "bye handshake");
    let mut rig = start_with(toy, Limits::default(), Ledger::new(1 << 20), 1024);
    rig.send(0, b'e', b"in time").await;
    rig.reply().await;
    assert!(
        timeout(Duration::from_secs(60), rig.peer.read_u8())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn meets_the_session_s_deadlines() {
    let toy = Toy {
        heartbeat: Some(Duration::from_secs(3)),
        ..Toy::default()
    };
    let mut rig = start_with(toy, Limits::default(), Ledger::new(1 << 20), 1024);
    let start_at = now();
    let mut beats = [0; 12];
    rig.peer.read_exact(&mut beats).await.unwrap();
    assert_eq!(&beats, b"beatbeatbeat");
    assert_eq!((now() - start_at).as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_session_takes_nothing_until_its_reply() {
    let mut rig = start(Limits::default());
    rig.send(0, b'a', &[1]).await;
    rig.send(1, b'e', b"later").await;
    rig.settle().await;
    assert_eq!(rig.toy.started(), 1);
    rig.toy.gate.send_replace(1);
    assert_eq!(rig.reply().await, [1]);
    assert_eq!(rig.reply().await, b"later");
}

#[tokio::test(start_paused = true)]
async fn takes_no_more_than_the_calls_in_flight() {
    let mut rig = start(Limits {
        calls_in_flight_max: 2,
        ..Limits::default()
    });
    for _ in 0..5 {
        rig.send(0, b'g', &[1]).await;
    }
    rig.settle().await;
    assert_eq!(rig.toy.started(), 2);
    rig.toy.gate.send_replace(1);
    for _ in 0..5 {
        rig.reply().await;
    }
}

#[tokio::test(start_paused = true)]
async fn drains_calls_in_flight_and_takes_no_new_ones() {
    let mut rig = start(Limits::default());
    rig.send(0, b'g', &[1]).await;
    rig.settle().await;
    rig.switch.drain();
    rig.settle().await;
    rig.send(0, b'e', b"too late").await;
    rig.settle().await;
    assert_eq!(rig.toy.started(), 1);
    rig.toy.gate.send_replace(1);
    assert_eq!(rig.reply().await, [1]);
    assert_eq!(rig.rest().await, "bye drain");
    assert_eq!(rig.end().await, Close::Drain);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline() {
    let mut rig = start(Limits {
        drain_max: Millis(3_000),
        ..Limits::default()
    });
    rig.send(0, b'g', &[1]).await;
    rig.settle().await;
    let start_at = now();
    rig.switch.drain();
    assert_eq!(rig.rest().await, "bye drain");
    assert_eq!((now() - start_at).as_secs(), 3);
    assert_eq!(rig.toy.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn cancels_calls_when_the_peer_goes_but_starts_what_had_arrived() {
    let mut rig = start(Limits::default());
    rig.send(0, b'g', &[1]).await;
    rig.send(0, b'n', b"").await;
    rig.send(0, b'g', &[1]).await;
    let toy = rig.toy.clone();
    assert_eq!(rig.end().await, Close::Peer);
    assert_eq!((toy.started(), toy.live()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn says_last_words_after_what_was_answered() {
    let mut rig = start(Limits::default());
    rig.send(0, b'!', b"").await;
    assert_eq!(rig.rest().await, "bye protocol");
    let mut rig = start(Limits::default());
    rig.send(0, b'l', b"answer").await;
    rig.send(0, b'e', b"never").await;
    assert_eq!(rig.reply().await, b"answer");
    assert_eq!(rig.rest().await, "bye done");
    assert_eq!(rig.end().await, Close::Done);
}

#[tokio::test(start_paused = true)]
async fn last_words_that_nobody_reads_are_given_up() {
    let limits = Limits {
        flush_max: Millis(2_000),
        ..Limits::default()
    };
    let mut rig = start_with(Toy::default(), limits, Ledger::new(1 << 20), 16);
    rig.send(0, b'l', &[b'x'; 1000]).await;
    let start_at = now();
    let Rig { end, peer, .. } = rig;
    assert_eq!(end.await.unwrap(), Close::Done);
    assert!((now() - start_at).as_secs() <= 3);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn waits_for_room_in_the_ledger_and_gives_up_in_the_end() {
    let ledger = Ledger::new(100 << 10);
    let mut rig = start_with(Toy::default(), Limits::default(), ledger.clone(), 64 << 10);
    let held = ledger.try_charge(95 << 10).unwrap();
    rig.send(0, b'e', &[7; 50 << 10]).await;
    rig.settle().await;
    assert_eq!(rig.toy.started(), 0);
    drop(held);
    assert_eq!(rig.reply().await.len(), 50 << 10);

    rig.settle().await;
    let _held = ledger.try_charge(95 << 10).unwrap();
    rig.send(0, b'e', &[7; 50 << 10]).await;
    assert_eq!(rig.rest().await, "bye memory");
}

#[tokio::test(start_paused = true)]
async fn delivers_to_subscriptions_until_they_are_cancelled() {
    let mut rig = start(Limits {
        calls_in_flight_max: 1,
        subscriptions_max: 2,
        ..Limits::default()
    });
    rig.send(1, b's', b"").await;
    rig.send(2, b's', b"").await;
    rig.settle().await;
    rig.toy.gate.send_replace(5);
    assert_eq!((rig.reply().await, rig.reply().await), (vec![5], vec![5]));
    rig.send(1, b'c', b"").await;
    rig.send(0, b'e', b"not blocked").await;
    assert_eq!(rig.reply().await, b"not blocked");
    assert_eq!(
        rig.toy.live(),
        1,
        "the stream of a cancelled one is dropped"
    );
    rig.toy.gate.send_replace(6);
    assert_eq!(rig.reply().await, [6]);
    rig.send(1, b's', b"").await;
    rig.send(3, b's', b"").await;
    assert_eq!(rig.rest().await, "bye limit");
}

#[tokio::test(start_paused = true)]
async fn many_lanes_are_served_and_forgotten() {
    let mut rig = start(Limits::default());
    for round in 0..3 {
        for lane in 0..200 {
            rig.send(lane, b'g', &[round + 1]).await;
        }
        rig.toy.gate.send_replace(round + 1);
        for _ in 0..200 {
            assert_eq!(rig.reply().await, [round + 1]);
        }
    }
    rig.settle().await;
    assert_eq!(rig.ledger.used(), 0);
}

#[derive(Debug)]
struct Segment(std::fs::File);

impl ReadAt for Segment {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> std::io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, position)
    }

    fn file(&self) -> Option<&std::fs::File> {
        Some(&self.0)
    }
}

/// 3 MiB of a pattern in a real file.
fn segment() -> (Arc<Segment>, Vec<u8>) {
    let bytes: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 249) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    (Arc::new(Segment(file)), bytes)
}

#[tokio::test]
async fn sends_ranges_of_files_by_pipe_and_by_tcp() {
    let (source, bytes) = segment();
    let (position, len) = (1_000, (2 << 20) + 77);
    let file = FileRange {
        source,
        position: 1_000,
        len,
    };
    let toy = Toy {
        file,
        ..Toy::default()
    };
    let expected = &bytes[position..position + len];

    let mut rig = start_with(
        toy.clone(),
        Limits::default(),
        Ledger::new(64 << 20),
        64 << 10,
    );
    rig.send(0, b'f', b"").await;
    rig.send(0, b'e', b"behind").await;
    assert!(rig.reply().await == expected);
    assert_eq!(rig.reply().await, b"behind");
    assert!(rig.ledger.peak() < 512 << 10, "{} bytes", rig.ledger.peak());

    let parts = crate::listen::tests::parts();
    let net = crate::Net::new(parts);
    let listener = net
        .listen(toy, &crate::Config::at("127.0.0.1:0"))
        .await
        .unwrap()
        .unwrap();
    let mut peer = tokio::net::TcpStream::connect(listener.addr())
        .await
        .unwrap();
    peer.write_all(&[frame(0, b'f', b""), frame(0, b'e', b"behind")].concat())
        .await
        .unwrap();
    let mut reply = vec![0; 4 + len + 4 + 6];
    peer.read_exact(&mut reply).await.unwrap();
    assert!(&reply[4..4 + len] == expected);
    assert!(reply.ends_with(b"behind"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_shorter_than_promised_ends_the_connection() {
    let mut toy = Toy::default();
    toy.file.len = 100;
    let mut rig = start_with(toy, Limits::default(), Ledger::new(1 << 20), 1024);
    rig.send(0, b'f', b"").await;
    let _ = rig.rest().await;
    assert_eq!(
        rig.end().await,
        Close::Io(std::io::ErrorKind::UnexpectedEof)
    );
}

#[test]
fn a_script_makes_the_same_calls_however_it_is_cut() {
    let bytes = [
        frame(0, b'e', b"one"),
        frame(3, b'p', b""),
        frame(1, b'n', b""),
    ]
    .concat();
    let bytes = [bytes, frame(0, b'!', b"")].concat();
    let now = Clock::manual(0).now();
    let open = || Script::new(Toy::default().open(now, &Peer::loopback()), now);
    let answer =
        |lane: Lane, _| (lane == Lane(0)).then(|| toy::ToyReply::Bytes(Bytes::from_static(b"yes")));
    let (calls, output, end) = check_splits(open, &bytes, answer);
    assert_eq!(calls.len(), 2);
    assert_eq!(end, Some(Close::protocol("as asked")));
    assert_eq!(output.len(), 4 + 7);
}
