//! Connections that need memory which others hold.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Connections that share a ledger and a toy.
struct Crowd {
    toy: Toy,
    ledger: Ledger,
    holders: Holders,
}

impl Crowd {
    fn new(toy: Toy, ledger: Ledger) -> Self {
        let holders = holders(&ledger);
        Self {
            toy,
            ledger,
            holders,
        }
    }

    fn join(&self) -> Rig {
        let (toy, ledger, holders) = (self.toy.clone(), self.ledger.clone(), self.holders.clone());
        start_beside(toy, Limits::default(), ledger, 4 << 10, holders)
    }
}

/// A connection over 1 MiB of memory, most of which somebody else holds in the way of `hog`.
async fn beside_a_hog(hog: &[u8]) -> (Rig, Rig) {
    let ledger = Ledger::new(1 << 20);
    let crowd = Crowd::new(Toy::default(), ledger);
    let (mut hogging, other) = (crowd.join(), crowd.join());
    let sent = timeout(Duration::from_secs(1), hogging.peer.write_all(hog)).await;
    assert!(sent.is_ok());
    hogging.settle().await;
    assert!(
        hogging.ledger.used() > 700 << 10,
        "{} bytes",
        hogging.ledger.used()
    );
    (hogging, other)
}

#[tokio::test(start_paused = true)]
async fn who_holds_memory_and_does_not_get_on_gives_way_to_who_needs_it() {
    // Most of a frame; and four answers of 200 KiB that nobody reads.
    let half = &frame(0, b'e', &[7; 900 << 10])[..800 << 10];
    let unread = frame(0, b'k', &[200]).repeat(4);
    for hog in [half, &unread] {
        let (hogging, mut other) = beside_a_hog(hog).await;
        let start_at = now();
        other.send(0, b'e', &[7; 500 << 10]).await;
        assert_eq!(other.reply().await.len(), 500 << 10);
        let took = (now() - start_at).as_secs();
        assert!(took <= 5, "{took} seconds");
        assert_eq!(hogging.end.await.unwrap(), Close::Slow);
    }
}

#[tokio::test(start_paused = true)]
async fn who_holds_memory_that_nobody_needs_has_time() {
    let half = frame(0, b'e', &[7; 900 << 10]);
    let (mut hogging, mut other) = beside_a_hog(&half[..800 << 10]).await;
    for _ in 0..10 {
        other.send(0, b'e', b"small").await;
        assert_eq!(other.reply().await, b"small");
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    hogging.peer.write_all(&half[800 << 10..]).await.unwrap();
    assert_eq!(hogging.reply().await.len(), 900 << 10);
}

#[tokio::test(start_paused = true)]
async fn who_gets_on_keeps_its_memory() {
    let ledger = Ledger::new(1 << 20);
    let mut rig = start_with(Toy::default(), Limits::default(), ledger.clone(), 64 << 10);
    let _held = ledger.try_charge(600 << 10).unwrap();
    let waiter = {
        let ledger = ledger.clone();
        Tasks::current().spawn("test.waiter", async move { ledger.charge(500 << 10).await })
    };
    rig.send(0, b'g', &[1; 200 << 10]).await;
    for _ in 0..20 {
        rig.send(1, b'e', b"small").await;
        assert_eq!(rig.reply().await, b"small");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(ledger.is_short());
    waiter.abort();
    rig.toy.gate.send_replace(1);
    assert_eq!(rig.reply().await.len(), 200 << 10);
}

#[tokio::test(start_paused = true)]
async fn calls_start_only_when_there_is_room_for_their_weight() {
    let toy = Toy {
        weight: 10,
        ..Toy::default()
    };
    let crowd = Crowd::new(toy.clone(), Ledger::new(1 << 20));
    // 800 KiB on the wire, 8 MiB by weight.
    let request = frame(0, b'g', &[1; 40 << 10]);
    let (last, most) = request.split_last().unwrap();
    let mut rigs = Vec::new();
    for _ in 0..20 {
        let mut rig = crowd.join();
        rig.peer.write_all(most).await.unwrap();
        rigs.push(rig);
    }
    for rig in &mut rigs {
        rig.peer.write_all(&[*last]).await.unwrap();
    }
    rigs[0].settle().await;
    assert!(toy.started() <= 2, "{} calls were started", toy.started());
    // They hold what others need: some go, and the calls of the rest are started in turn.
    toy.gate.send_replace(1);
    let mut answered = 0;
    for rig in &mut rigs {
        let mut answer = Vec::new();
        let _ = rig.peer.read_to_end(&mut answer).await;
        answered += usize::from(answer.len() > 40 << 10);
    }
    assert!(answered >= 10, "{answered} were answered");
    let (peak, limit) = (crowd.ledger.peak(), crowd.ledger.limit());
    assert!(peak <= limit, "{peak} bytes at {limit}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_room_ends_with_the_patience_for_it() {
    let toy = Toy {
        weight: 10,
        ..Toy::default()
    };
    let ledger = Ledger::new(1 << 20);
    let mut rig = start_with(toy.clone(), Limits::default(), ledger.clone(), 64 << 10);
    let _held = ledger.try_charge(900 << 10).unwrap();
    let start_at = now();
    rig.send(0, b'e', &[1; 40 << 10]).await;
    assert_eq!(rig.rest().await, "bye memory");
    assert_eq!(((now() - start_at).as_secs(), toy.started()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn what_would_never_fit_is_refused_at_once_and_nobody_gives_way() {
    let toy = Toy {
        weight: 10,
        ..Toy::default()
    };
    let crowd = Crowd::new(toy, Ledger::new(1 << 20));
    let (mut small, mut giant) = (crowd.join(), crowd.join());
    small.send(0, b'g', &[1; 1000]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let start_at = now();
    giant.send(0, b'e', &[1; 200 << 10]).await;
    assert_eq!(giant.rest().await, "bye memory");
    assert_eq!((now() - start_at).as_secs(), 0);
    crowd.toy.gate.send_replace(1);
    assert_eq!(small.reply().await.len(), 1000);
}

/// Connections of 50 KiB each, 100 ms one after the other, until nearly 1 MiB is full.
async fn many_small_holders(crowd: &Crowd) -> Vec<Rig> {
    let mut rigs = Vec::new();
    while crowd.ledger.used() < 900 << 10 {
        let mut rig = crowd.join();
        rig.send(0, b'g', &[1; 50 << 10]).await;
        let _ = timeout(Duration::from_millis(100), pending::<()>()).await;
        rigs.push(rig);
    }
    rigs
}

#[tokio::test(start_paused = true)]
async fn the_one_that_has_held_longest_gives_way_however_little_it_holds() {
    let crowd = Crowd::new(Toy::default(), Ledger::new(1 << 20));
    let mut rigs = many_small_holders(&crowd).await;
    assert!(rigs.len() > 10 && !crowd.ledger.is_short());
    let mut other = crowd.join();
    let start_at = now();
    let more = crowd.ledger.limit() - crowd.ledger.used() + (10 << 10);
    other.send(0, b'e', &vec![7; more]).await;
    assert_eq!(other.reply().await.len(), more);
    let took = now() - start_at;
    assert!(took.as_secs() < 5, "{took:?}");
    assert_eq!(rigs.remove(0).end.await.unwrap(), Close::Slow);
    assert!(
        rigs.iter().all(|rig| !rig.end.is_finished()),
        "one is enough"
    );
    tokio::time::sleep(Duration::from_secs(500)).await;
    other.send(0, b'e', b"small").await;
    assert_eq!(other.reply().await, b"small");
    assert!(
        rigs.iter().all(|rig| !rig.end.is_finished()),
        "while there is room everybody may wait"
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_small_frame_gives_way_too() {
    let crowd = Crowd::new(Toy::default(), Ledger::new(1 << 20));
    let mut rigs = Vec::new();
    for _ in 0..18 {
        let mut rig = crowd.join();
        let request = frame(0, b'e', &[1; 60 << 10]);
        rig.peer.write_all(&request[..56 << 10]).await.unwrap();
        rigs.push(rig);
    }
    let mut other = crowd.join();
    let start_at = now();
    other.send(0, b'e', &[7; 200 << 10]).await;
    assert_eq!(other.reply().await.len(), 200 << 10);
    assert!((now() - start_at).as_secs() <= 5);
}

#[tokio::test(start_paused = true)]
async fn requests_behind_a_call_that_does_not_end_are_no_way_to_get_on() {
    let crowd = Crowd::new(Toy::default(), Ledger::new(1 << 20));
    let mut rig = crowd.join();
    rig.send(0, b'g', &[1; 600 << 10]).await;
    let mut other = crowd.join();
    let waits = async {
        other.send(0, b'e', &[7; 500 << 10]).await;
        other.reply().await.len()
    };
    let drips = async {
        for _ in 0..8 {
            // It may have been closed.
            let _ = rig.peer.write_all(&frame(0, b'e', b"drip")).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (answered, ()) = tokio::join!(waits, drips);
    assert_eq!(answered, 500 << 10);
    assert_eq!(rig.end.await.unwrap(), Close::Slow);
}

#[tokio::test(start_paused = true)]
async fn who_was_idle_for_long_has_its_time_from_when_it_holds() {
    let crowd = Crowd::new(Toy::default(), Ledger::new(1 << 20));
    let mut rig = crowd.join();
    rig.send(0, b'e', b"hello").await;
    rig.reply().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let _held = crowd.ledger.try_charge(800 << 10).unwrap();
    let waiter = {
        let ledger = crowd.ledger.clone();
        Tasks::current().spawn("test.waiter", async move { ledger.charge(900 << 10).await })
    };
    let request = frame(0, b'e', &[1; 30 << 10]);
    rig.peer.write_all(&request[..20 << 10]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(crowd.ledger.is_short());
    rig.peer.write_all(&request[20 << 10..]).await.unwrap();
    assert_eq!(rig.reply().await.len(), 30 << 10);
    waiter.abort();
}

/// A transport that keeps what was written, and never gets it flushed.
struct Sticky(DuplexStream);

const UNSENT: usize = 30 << 10;

impl Transport for Sticky {
    fn unsent_max(&self) -> usize {
        UNSENT
    }
}

impl AsyncRead for Sticky {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Sticky {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_transport_keeps_is_charged_until_it_is_flushed() {
    let ledger = Ledger::new(1 << 20);
    let (mut peer, socket) = duplex(64 << 10);
    let clock = Clock::runtime(0);
    let opened = clock.now();
    let shared = Arc::new(Shared::new(
        Toy::default(),
        Limits::default(),
        clock,
        ledger.clone(),
        holders(&ledger),
        &Metrics::new(&base::Metrics::default()),
    ));
    let switch = DrainSwitch::default();
    let run = drive(
        shared,
        Peer::loopback(),
        Sticky(socket),
        opened,
        switch.listener(),
    );
    Tasks::current().spawn("test.drive", run);
    peer.write_all(&frame(0, b'e', b"hello")).await.unwrap();
    let mut reply = [0; 9];
    peer.read_exact(&mut reply).await.unwrap();
    for _ in 0..100 {
        yield_now().await;
    }
    // And a little that is not given back yet.
    let used = ledger.used();
    assert!(
        (UNSENT..UNSENT + (16 << 10)).contains(&used),
        "{used} bytes"
    );
}
