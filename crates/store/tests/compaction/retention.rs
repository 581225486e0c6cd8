//! What begins a new segment, and what deletes old ones.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Clock, Offset, StreamId};
use store::batch::{BatchBuilder, Compression};
use store::sim::{Action, SimDisk};
use store::{AppendOptions, Config, StreamConfig};

use crate::world::{ID, T0, World, config, names};

const DAY: i64 = 86_400_000;

fn world(disk: &SimDisk, clock: &Clock, retention_ms: Option<u64>) -> World {
    let stream = StreamConfig {
        retention_ms,
        segment_bytes: 4 << 20,
        ..StreamConfig::default()
    };
    World::with(Arc::new(disk.clone()), clock, config(), stream).unwrap()
}

async fn append(world: &World, timestamp: i64, size: usize) {
    let mut builder = BatchBuilder::new();
    builder.push(timestamp, None, Some(&vec![b'x'; size]), []);
    let batch = builder.build(Compression::None).unwrap();
    let appended = world.stream.append(batch, AppendOptions::default());
    world.stream.durable(appended.unwrap().next).await.unwrap();
}

fn segments(disk: &SimDisk) -> usize {
    let names = names(disk).into_iter();
    names.filter(|name| name.ends_with(".log")).count()
}

/// What was recorded years ago and is copied now arrives with its own times.
#[tokio::test]
async fn old_times_begin_no_segments() {
    let (disk, clock) = (SimDisk::new(), Clock::manual(T0));
    let world = world(&disk, &clock, None);
    for at in 0..50 {
        append(&world, T0 - 900 * DAY + at * 1000, 100).await;
        world.pass(Duration::from_secs(1));
        world.store.flush().unwrap();
        world.store.retain().unwrap();
    }
    assert_eq!(segments(&disk), 1);
    // A week of their time is a new segment, as of ours is.
    world.pass(Duration::from_secs(60));
    append(&world, T0 - 892 * DAY, 100).await;
    world.store.flush().unwrap();
    assert_eq!(segments(&disk), 2);
    // But not for each record that somebody makes up.
    for at in 1..50 {
        append(&world, T0 - (892 - 8 * at) * DAY, 100).await;
    }
    world.store.flush().unwrap();
    assert_eq!(segments(&disk), 2);
    append(&world, T0, 2 << 20).await;
    append(&world, T0 + 9 * DAY, 100).await;
    world.store.flush().unwrap();
    assert_eq!(segments(&disk), 3);
    // A quiet stream's newest segment ends by the clock.
    world.pass(Duration::from_secs(8 * 86_400));
    world.store.retain().unwrap();
    assert_eq!(segments(&disk), 4);
    world.store.close().await.unwrap();
}

#[tokio::test]
async fn retention_reaches_the_newest_segment_and_what_is_in_none() {
    let (disk, clock) = (SimDisk::new(), Clock::manual(T0));
    let world = world(&disk, &clock, Some(3_600_000));
    append(&world, T0, 100).await;
    world.store.flush().unwrap();
    append(&world, T0 + 1000, 100).await;
    world.pass(Duration::from_secs(3500));
    world.store.retain().unwrap();
    assert_eq!(world.stream.start(), Offset(0), "it is not old enough");
    world.pass(Duration::from_secs(200));
    world.store.retain().unwrap();
    assert_eq!(world.stream.start(), Offset(2));
    assert_eq!(world.stream.size(), 0);
    append(&world, clock.unix_ms(), 100).await;
    world.store.retain().unwrap();
    assert_eq!(
        (world.stream.start(), world.stream.end()),
        (Offset(2), Offset(3))
    );
    world.stream.read(Offset(2), 1000).unwrap();
    world.store.close().await.unwrap();
}

#[tokio::test]
async fn records_without_times_age_by_when_they_were_written() {
    let (disk, clock) = (SimDisk::new(), Clock::manual(T0));
    let world = world(&disk, &clock, Some(3_600_000));
    append(&world, -1, 3 << 20).await;
    append(&world, clock.unix_ms(), 2 << 20).await;
    world.store.flush().unwrap();
    world.pass(Duration::from_secs(1800));
    world.store.retain().unwrap();
    assert_eq!(world.stream.start(), Offset(0));
    append(&world, clock.unix_ms(), 3 << 20).await;
    world.pass(Duration::from_secs(2000));
    world.store.retain().unwrap();
    assert_eq!(
        world.stream.start(),
        Offset(2),
        "the last is not old enough"
    );
    world.store.close().await.unwrap();
}

/// What the tails hold together is counted: a flush and a removal both take a stream's part off.
#[tokio::test]
async fn a_removal_during_a_flush_is_counted_once() {
    let (disk, clock) = (SimDisk::new(), Clock::manual(T0));
    let config = Config {
        tail_bytes: ByteSize(0),
        ..config()
    };
    let stream = StreamConfig::default();
    let mut world = World::with(Arc::new(disk.clone()), &clock, config, stream.clone()).unwrap();
    append(&world, T0, 5000).await;
    let gate = disk.close_gate(Action::Write, "streams/", 0);
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| world.store.flush());
        disk.wait_at_gate(gate);
        let removing = scope.spawn(|| world.store.remove(ID));
        while world.stream.check_open().is_ok() {
            std::thread::yield_now();
        }
        disk.open_gate(gate);
        flushing.join().unwrap().unwrap();
        removing.join().unwrap().unwrap();
    });
    let other = StreamId { partition: 1, ..ID };
    world.stream = world.store.create(other, stream).unwrap();
    append(&world, T0, 100).await;
    world.store.flush().unwrap();
    append(&world, T0, 100).await;
    let held = world.metric("store_tail_bytes");
    assert!(held < 1000, "{held} bytes");
    world.store.close().await.unwrap();
}
