//! What passes do to a stream that is appended to, trimmed, closed and opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{ByteSize, Clock, Offset, Rng, Tasks};
use store::sim::SimDisk;
use store::{AppendOptions, Cleanup, FileDisk, Piece, StreamConfig};

use crate::model::{Model, read, state};
use crate::world::{T0, World, compacted, config};

async fn fill(model: &mut Model, world: &World, rng: &Rng, batches: u64, keys: u64) {
    for _ in 0..batches {
        world.pass(Duration::from_millis(30));
        let time = world.clock.unix_ms();
        model.append(&world.stream, rng, keys, time).await;
    }
}

async fn history(seed: u64) {
    let (rng, clock) = (Rng::seeded(seed), Clock::manual(T0));
    let mut disk = SimDisk::new();
    let mut model = Model::default();
    let mut world = World::open(Arc::new(disk.clone()), &clock);
    let keys = [3, 30, 300][(seed % 3) as usize];
    fill(&mut model, &world, &rng, 20, keys).await;
    for _ in 0..25 {
        match rng.below(9) {
            0..=3 => fill(&mut model, &world, &rng, rng.below(30), keys).await,
            4 | 5 => world.compact(),
            6 => world.pass(Duration::from_secs(rng.below(50))),
            7 => {
                model.start += rng.below((model.end() - model.start) / 4 + 1);
                world.stream.trim_to(Offset(model.start)).unwrap();
            }
            _ if rng.below(2) == 0 => {
                world.store.close().await.unwrap();
                world = World::open(Arc::new(disk.clone()), &clock);
            }
            _ => {
                disk = disk.crash(rng.next_u64());
                let _ = world.store.close().await;
                world = World::open(Arc::new(disk.clone()), &clock);
            }
        }
        model.check(&world.stream, &rng);
    }
    // Twice, with the time for tombstones between: nothing is left but last values and the end.
    fill(&mut model, &world, &rng, 40, keys).await;
    world.compact();
    world.pass(Duration::from_secs(61));
    fill(&mut model, &world, &rng, 40, keys).await;
    world.compact();
    let found = model.check(&world.stream, &rng);
    let before = world.stream.cleaned().0;
    let old = model.end() - 300.min(model.end());
    let tombstones = found
        .iter()
        .filter(|record| record.value.is_none() && record.offset < before.min(old));
    assert_eq!(tombstones.count(), 0, "tombstones below {before}");
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_ends_with_the_same_last_values() {
    for seed in 0..24 {
        println!("seed {seed}");
        history(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_reads_go_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(T0);
    let world = World::open(Arc::new(FileDisk::new(folder.path()).unwrap()), &clock);
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|seed| {
            let (over, stream) = (over.clone(), world.stream.clone());
            Tasks::current().spawn_blocking("test", move || {
                let (rng, mut rounds) = (Rng::seeded(seed), 0_u64);
                // A round after the end, so that the last state is seen too.
                loop {
                    let last = over.load(Ordering::Acquire);
                    let from = rng.below(stream.end().0 + 1);
                    read(&stream, from);
                    rounds += 1;
                    if last {
                        return rounds;
                    }
                }
            })
        })
        .collect();
    let (store, stop) = (world.store.clone(), over.clone());
    let compacting = Tasks::current().spawn_blocking("test", move || {
        while !stop.load(Ordering::Acquire) {
            store.flush().unwrap();
            store.compact().unwrap();
        }
    });
    let (rng, mut model) = (Rng::seeded(9), Model::default());
    fill(&mut model, &world, &rng, 1500, 40).await;
    over.store(true, Ordering::Release);
    compacting.await.unwrap();
    for reader in readers {
        assert!(reader.await.unwrap() > 1);
    }
    world.compact();
    let found = model.check(&world.stream, &rng);
    assert!(found.len() < model.all.len() / 4, "{}", found.len());
    assert!(world.metric("store_compaction_runs_total") > 3);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_segments_become_large_ones_and_readers_keep_what_they_have() {
    let (clock, rng) = (Clock::manual(T0), Rng::seeded(1));
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(folder.path()).unwrap());
    let world = World::open(disk, &clock);
    let mut model = Model::default();
    fill(&mut model, &world, &rng, 300, 10).await;
    world.store.flush().unwrap();
    let logs = || {
        let streams = std::fs::read_dir(folder.path().join("streams")).unwrap();
        let stream = streams.map(|entry| entry.unwrap().path()).next().unwrap();
        let files = std::fs::read_dir(stream).unwrap();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
            .count()
    };
    let before = logs();
    assert!(before > 10, "{before}");
    // Not from memory: after a start the newest data is in segments only.
    world.store.close().await.unwrap();
    let disk = Arc::new(FileDisk::new(folder.path()).unwrap());
    let world = World::open(disk, &clock);
    let bytes = |pieces: &[Piece]| -> Vec<Vec<u8>> {
        let read = |piece: &Piece| match piece {
            Piece::Memory(bytes) => bytes.to_vec(),
            Piece::File(range) => range.read().unwrap(),
        };
        pieces.iter().map(read).collect()
    };
    // The first read compares checksums, the second gives ranges.
    world.stream.read(Offset(0), 100_000).unwrap();
    let held = world.stream.read(Offset(0), 100_000).unwrap();
    let files = held.pieces.iter().filter(|p| matches!(p, Piece::File(_)));
    assert!(files.count() > 5);
    let seen = bytes(&held.pieces);
    world.compact();
    assert!(logs() < before / 3, "{} of {before}", logs());
    assert_eq!(bytes(&held.pieces), seen);
    let size = world.stream.size();
    // The segments that are left fit together in one; a further pass makes one of them.
    fill(&mut model, &world, &rng, 60, 10).await;
    world.compact();
    assert!(world.stream.size() < size * 2);
    model.check(&world.stream, &rng);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn little_memory_takes_several_passes() {
    let (clock, rng) = (Clock::manual(T0), Rng::seeded(2));
    let small = store::Config {
        compaction_memory_bytes: ByteSize(1),
        ..config()
    };
    let disk = Arc::new(SimDisk::new());
    let world = World::with(disk, &clock, small, compacted()).unwrap();
    let mut model = Model::default();
    fill(&mut model, &world, &rng, 2000, 6000).await;
    world.compact();
    assert!(world.metric("store_compaction_runs_total") > 3);
    let found = model.check(&world.stream, &rng);
    assert!(found.len() < model.all.len() * 9 / 10, "{}", found.len());
    assert!(world.stream.cleaned().0 > model.end() - 200);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_due_is_compacted() {
    let (clock, rng) = (Clock::manual(T0), Rng::seeded(3));
    let world = World::open(Arc::new(SimDisk::new()), &clock);
    let mut model = Model::default();
    fill(&mut model, &world, &rng, 100, 5).await;
    let set = |change: fn(&mut StreamConfig)| {
        let mut config = compacted();
        change(&mut config);
        world.stream.configure(config);
        world.compact();
        world.stream.cleaned().0
    };
    // Not compacted at all; too young; never dirty enough.
    assert_eq!(set(|c| c.cleanup.compact = false), 0);
    assert_eq!(set(|c| c.min_compaction_lag_ms = 3_600_000), 0);
    assert_eq!(set(|c| c.min_cleanable_ratio = 1.0), 0);
    // Only what is older than the lag: the batches are 30 ms apart.
    let half = set(|c| c.min_compaction_lag_ms = 1500);
    assert!(half > 0 && half < model.end() * 3 / 4, "{half}");
    // Never dirty enough, but old enough: then the newest segment is closed for it too.
    clock.advance(Duration::from_secs(10));
    let all = set(|c| {
        c.min_cleanable_ratio = 1.0;
        c.max_compaction_lag_ms = 5000;
    });
    assert_eq!(all, model.end());
    let found = model.check(&world.stream, &rng);
    assert!(found.len() <= 5, "{found:?}");
    // A tenth is dirty: not enough for a half.
    let runs = world.metric("store_compaction_runs_total");
    fill(&mut model, &world, &rng, 4, 5).await;
    world.store.flush().unwrap();
    set(|c| c.min_cleanable_ratio = 0.99);
    assert_eq!(world.metric("store_compaction_runs_total"), runs);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_leaves_the_write_ahead_log_for_it() {
    let (clock, rng) = (Clock::manual(T0), Rng::seeded(4));
    let disk = Arc::new(SimDisk::new());
    let aged = StreamConfig {
        segment_ms: 5000,
        ..compacted()
    };
    let world = World::with(disk, &clock, config(), aged).unwrap();
    let mut model = Model::default();
    fill(&mut model, &world, &rng, 4, 2).await;
    world.store.compact().unwrap();
    assert_eq!(world.stream.cleaned(), Offset(0));
    world.pass(Duration::from_secs(6));
    world.store.compact().unwrap();
    assert_eq!(world.stream.cleaned(), Offset(model.end()));
    let found = model.check(&world.stream, &rng);
    assert!(found.len() <= 2, "{found:?}");
    // Tombstones go when their time is over although nothing new has come.
    world.pass(Duration::from_secs(61));
    world.store.compact().unwrap();
    let found = model.check(&world.stream, &rng);
    assert!(found.iter().all(|record| record.value.is_some()));
    // That was one more pass, and there is nothing to be done any more.
    let runs = world.metric("store_compaction_runs_total");
    world.pass(Duration::from_secs(61));
    world.store.compact().unwrap();
    assert_eq!(world.metric("store_compaction_runs_total"), runs);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_what_is_old_of_a_stream_that_is_compacted_too() {
    let (clock, rng) = (Clock::manual(T0), Rng::seeded(5));
    let both = StreamConfig {
        cleanup: Cleanup {
            delete: true,
            compact: true,
        },
        retention_ms: Some(3_600_000),
        ..compacted()
    };
    let disk = Arc::new(SimDisk::new());
    let world = World::with(disk, &clock, config(), both).unwrap();
    let mut model = Model::default();
    // Old: of another set of keys, all of which are the last of theirs.
    fill(&mut model, &world, &rng, 100, 100_000).await;
    let old = model.end();
    world.compact();
    clock.advance(Duration::from_secs(3700));
    fill(&mut model, &world, &rng, 60, 5).await;
    world.store.flush().unwrap();
    world.store.retain().unwrap();
    let start = world.stream.start().0;
    assert!(start > old - 100 && start <= old, "{start} of {old}");
    // What was in one segment with something young is compacted, and old then.
    world.compact();
    world.store.retain().unwrap();
    model.start = world.stream.start().0;
    let expected = state(model.all.iter().filter(|r| r.offset >= model.start));
    assert_eq!(state(&read(&world.stream, model.start)), expected);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_batches_keep_their_headers_and_epochs_stay() {
    let (clock, rng) = (Clock::manual(T0), Rng::seeded(6));
    let world = World::open(Arc::new(SimDisk::new()), &clock);
    let mut model = Model::default();
    fill(&mut model, &world, &rng, 100, 3).await;
    let bases: Vec<u64> = world
        .stream
        .headers(Offset(0))
        .map(|header| header.unwrap().base_offset as u64)
        .collect();
    let (pin, other) = (bases[20], bases[21]);
    world.stream.pin_batches(move || vec![Offset(pin)]);
    world.compact();
    let headers: Vec<_> = world
        .stream
        .headers(Offset(0))
        .map(Result::unwrap)
        .collect();
    let kept = headers.iter().find(|h| h.base_offset as u64 == pin);
    assert_eq!(kept.map(|header| header.count), Some(0));
    assert!(!headers.iter().any(|h| h.base_offset as u64 == other));
    model.check(&world.stream, &rng);
    world.store.close().await.unwrap();

    let world = World::open(Arc::new(SimDisk::new()), &clock);
    let mut builders = Vec::new();
    for epoch in [0, 3] {
        let mut last = Offset(0);
        for _ in 0..50 {
            let mut builder = store::batch::BatchBuilder::new();
            builder.push(T0, Some(b"k"), Some(&[7; 100]), []);
            let batch = builder.build(store::batch::Compression::None).unwrap();
            let options = AppendOptions {
                epoch,
                ..AppendOptions::default()
            };
            last = world.stream.append(batch, options).unwrap().next;
        }
        world.stream.durable(last).await.unwrap();
        builders.push(last);
    }
    world.compact();
    assert_eq!(world.stream.epoch_end(0), Some((0, builders[0])));
    assert_eq!(world.stream.epoch_end(9), Some((3, builders[1])));
    let first = world.stream.headers(Offset(0)).next().unwrap();
    assert_eq!(first.unwrap().leader_epoch, 3, "nothing of epoch 0 is left");
    world.store.close().await.unwrap();
}
