//! Damage, a full disk, and changes to a stream while it is compacted.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Offset, Rng, Tasks};
use store::sim::{Action, Fault, SimDisk};
use store::{Cleanup, StoreState, StreamConfig};

use crate::model::Model;
use crate::world::{ID, T0, World, compacted, config, names};

async fn world(disk: &SimDisk, clock: &Clock, rng: &Rng) -> (World, Model) {
    let both = StreamConfig {
        cleanup: Cleanup {
            delete: true,
            compact: true,
        },
        retention_ms: None,
        ..compacted()
    };
    let world = World::with(Arc::new(disk.clone()), clock, config(), both).unwrap();
    let mut model = Model::default();
    for _ in 0..150 {
        clock.advance(Duration::from_millis(30));
        model.append(&world.stream, rng, 20, clock.unix_ms()).await;
    }
    world.store.flush().unwrap();
    (world, model)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_stream_is_left_alone_and_reported() {
    let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(1));
    let (first, model) = world(&disk, &clock, &rng).await;
    first.store.close().await.unwrap();
    let logs: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|(path, len)| path.ends_with(".log") && *len > 1000)
        .collect();
    let (path, len) = logs[logs.len() / 2].clone();
    disk.flip_bit(&path, (len - 20) * 8).unwrap();
    let before = disk.files();
    let again = World::open(Arc::new(disk.clone()), &clock);
    for _ in 0..2 {
        again.store.compact().unwrap();
        assert_eq!(again.metric("store_compaction_failures_total"), 1);
        assert_eq!(again.metric("store_compaction_uncleanable_streams"), 1);
    }
    assert_eq!(again.stream.cleaned(), Offset(0));
    let logs = |files: Vec<(String, u64)>| {
        let logs = files.into_iter().filter(|(path, _)| path.ends_with(".log"));
        logs.collect::<Vec<_>>()
    };
    assert_eq!(logs(disk.files()), logs(before));
    // It takes appends, and what is not damaged is read.
    let mut model = model;
    model.append(&again.stream, &rng, 20, clock.unix_ms()).await;
    again.stream.read(Offset(0), 100).unwrap();
    assert!(matches!(again.store.state(), StoreState::Running));
    again.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_the_new_segment_changes_nothing() {
    let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(2));
    let (world, model) = world(&disk, &clock, &rng).await;
    for (action, fault) in [
        (Action::Create, Fault::Full),
        (Action::Write, Fault::Full),
        (Action::Sync, Fault::Io),
    ] {
        disk.fail(action, ".cleaned", 0, fault);
        world.store.compact().unwrap();
        assert!(!names(&disk).iter().any(|name| name.ends_with(".cleaned")));
        assert_eq!(world.stream.cleaned(), Offset(0));
        model.check(&world.stream, &rng);
    }
    assert_eq!(world.metric("store_compaction_failures_total"), 3);
    world.store.compact().unwrap();
    assert!(world.stream.cleaned().0 > 0);
    model.check(&world.stream, &rng);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_fails_stops_the_store_and_the_next_start_goes_on() {
    for (action, path) in [
        (Action::Rename, ".cleaned"),
        (Action::Rename, ".swap"),
        (Action::Remove, ".index"),
    ] {
        let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(3));
        let (world, model) = world(&disk, &clock, &rng).await;
        disk.fail(action, path, 0, Fault::Io);
        world.store.compact().unwrap_err();
        assert!(matches!(world.store.state(), StoreState::Stopped(_)));
        let _ = world.store.close().await;
        let again = World::open(Arc::new(disk.restart()), &clock);
        model.check(&again.stream, &rng);
        again.compact();
        model.check(&again.stream, &rng);
        again.store.close().await.unwrap();
    }
}

/// Runs `meanwhile` while a pass stands before the sync of its first new segment.
async fn interrupted(
    seed: u64,
    meanwhile: impl FnOnce(&World, &mut Model),
) -> (World, Model, SimDisk) {
    let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(seed));
    let (world, mut model) = world(&disk, &clock, &rng).await;
    let gate = disk.close_gate(Action::Sync, ".cleaned", 0);
    let store = world.store.clone();
    let pass = Tasks::current().spawn_blocking("test", move || store.compact());
    tokio::task::block_in_place(|| disk.wait_at_gate(gate));
    tokio::task::block_in_place(|| meanwhile(&world, &mut model));
    disk.open_gate(gate);
    pass.await.unwrap().unwrap();
    (world, model, disk)
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_may_be_quicker() {
    let (world, model, disk) = interrupted(4, |world, model| {
        model.start = model.end() / 2;
        world.stream.trim_to(Offset(model.start)).unwrap();
    })
    .await;
    let rng = Rng::seeded(4);
    assert!(!names(&disk).iter().any(|name| name.ends_with(".cleaned")));
    model.check(&world.stream, &rng);
    world.compact();
    model.check(&world.stream, &rng);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_removed_meanwhile() {
    let (world, _, disk) = interrupted(5, |world, _| {
        world.store.remove(ID).unwrap();
    })
    .await;
    assert_eq!(names(&disk), Vec::<String>::new());
    assert!(matches!(world.store.state(), StoreState::Running));
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_flushes_do_not_wait_for_a_pass() {
    let rng = Rng::seeded(6);
    let (world, model, _) = interrupted(6, |world, model| {
        let handle = tokio::runtime::Handle::current();
        for _ in 0..50 {
            let time = world.clock.unix_ms();
            handle.block_on(model.append(&world.stream, &rng, 20, time));
        }
        world.store.flush().unwrap();
        model.check(&world.stream, &rng);
    })
    .await;
    assert!(world.stream.cleaned().0 > 0);
    model.check(&world.stream, &rng);
    world.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_waits_for_a_pass_and_ends_it() {
    let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(7));
    let (world, model) = world(&disk, &clock, &rng).await;
    let gate = disk.close_gate(Action::Sync, ".cleaned", 0);
    let store = world.store.clone();
    let pass = Tasks::current().spawn_blocking("test", move || store.compact());
    tokio::task::block_in_place(|| disk.wait_at_gate(gate));
    let store = world.store.clone();
    let closing = Tasks::current().spawn("test", async move { store.close().await });
    disk.open_gate(gate);
    pass.await.unwrap().unwrap();
    closing.await.unwrap().unwrap();
    let again = World::open(Arc::new(disk.clone()), &clock);
    assert!(again.store.recovery().clean);
    assert!(!names(&disk).iter().any(|name| name.ends_with(".cleaned")));
    model.check(&again.stream, &rng);
    again.store.close().await.unwrap();
}

/// Lets another stream fill the write-ahead log until nothing of the first one is in it.
async fn forget_wal(world: &World) {
    let id = base::StreamId { partition: 1, ..ID };
    let other = world.store.create(id, StreamConfig::default()).unwrap();
    let mut builder = store::batch::BatchBuilder::new();
    builder.push(T0, None, Some(&[1; 40_000]), []);
    let batch = builder.build(store::batch::Compression::None).unwrap();
    for _ in 0..6 {
        let options = store::AppendOptions::default();
        world.store.room().await;
        let next = other.append(batch.clone(), options).unwrap().next;
        other.durable(next).await.unwrap();
    }
    while world.metric("store_wal_files") > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_after_a_loss_of_power_costs_nothing() {
    for seed in 0..16 {
        let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(seed));
        let (world, mut model) = world(&disk, &clock, &rng).await;
        for _ in 0..100 {
            let time = clock.unix_ms();
            model.append(&world.stream, &rng, 40, time).await;
        }
        // The checkpoint before this one counts less than what is compacted.
        world.store.flush().unwrap();
        forget_wal(&world).await;
        // Everything is swapped, and the checkpoint does not say so yet.
        disk.fail(Action::Write, "-0/checkpoint", 0, Fault::Io);
        world.store.compact().unwrap_err();
        disk.power_off();
        let _ = world.store.close().await;
        for (slot, crash) in (0..2).flat_map(|slot| (0..6).map(move |crash| (slot, crash))) {
            let found = disk.crash(crash);
            let files = found.files();
            let ending = format!("-0/checkpoint.{slot}");
            let (path, _) = files
                .iter()
                .find(|(path, _)| path.ends_with(&ending))
                .unwrap();
            found.flip_bit(path, 200).unwrap();
            let again = World::open(Arc::new(found.clone()), &clock);
            model.check(&again.stream, &rng);
            again.store.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_configured_after_a_start_is_kept() {
    let (disk, clock, rng) = (SimDisk::new(), Clock::manual(T0), Rng::seeded(9));
    let (first, model) = world(&disk, &clock, &rng).await;
    first.store.close().await.unwrap();
    clock.advance(Duration::from_secs(365 * 86_400));
    // The engine takes its time to say that the stream is not to be deleted by age.
    let parts = store::Parts {
        disk: Arc::new(disk),
        clock: clock.clone(),
        ledger: base::Ledger::new(1 << 30),
        tasks: Tasks::current(),
        metrics: base::Metrics::default(),
    };
    let store = store::Store::open(config(), parts).unwrap();
    store.retain().unwrap();
    let stream = store.create(ID, compacted()).unwrap();
    model.check(&stream, &rng);
    store.close().await.unwrap();
}
