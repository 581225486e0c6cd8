//! When memory is short, the tail gives it back.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Clock, Ledger, Metrics, Offset, Rng, Tasks};
use store::sim::SimDisk;
use store::{AppendOptions, Config, Parts, Store};

use crate::runtime;
use crate::world::{batch, id, stream_config};

/// The budget is full of what only the write-ahead log has: its file is not full, so nothing would
/// be moved, and nobody could append what fills it.
#[test]
fn a_tail_as_large_as_the_budget_makes_room() {
    runtime().block_on(async {
        let (tasks, ledger) = (Tasks::current(), Ledger::new(200_000));
        let config = Config {
            wal_file_bytes: ByteSize(64 << 20),
            tail_bytes: ByteSize(64 << 20),
            ..Config::default()
        };
        let parts = Parts {
            disk: Arc::new(SimDisk::new()),
            clock: Clock::manual(1_000_000),
            ledger: ledger.clone(),
            tasks: tasks.clone(),
            metrics: Metrics::default(),
        };
        let store = Store::open(config, parts).unwrap();
        let stream = store.create(id(0), stream_config(false)).unwrap();
        let mut next = Offset(0);
        while ledger.used() < 200_000 {
            let batch = batch(&Rng::seeded(next.0), 1, 5000);
            next = stream.append(batch, AppendOptions::default()).unwrap().next;
            stream.durable(next).await.unwrap();
        }
        for _ in 0..3 {
            // As large as everything together may be.
            let all = tokio::time::timeout(Duration::from_secs(20), ledger.charge(200_000));
            let charge = all.await.expect("there is room after a while");
            drop(charge);
            let batch = batch(&Rng::seeded(next.0), 1, 5000);
            next = stream.append(batch, AppendOptions::default()).unwrap().next;
            stream.durable(next).await.unwrap();
        }
        assert!(stream.read(Offset(0), 10_000).unwrap().bytes > 5000);
        store.close().await.unwrap();
        tasks.signal();
        drop(store);
        tasks.join_threads();
    });
}

/// What a crash has left in the write-ahead log goes to segments a little at a time.
#[test]
fn a_start_takes_little_memory_for_what_it_replays() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let tasks = Tasks::current();
        let config = Config {
            wal_file_bytes: ByteSize(64 << 20),
            ..Config::default()
        };
        let open = |disk: &SimDisk, ledger: &Ledger| {
            let parts = Parts {
                disk: Arc::new(disk.clone()),
                clock: Clock::manual(1_000_000),
                ledger: ledger.clone(),
                tasks: tasks.clone(),
                metrics: Metrics::default(),
            };
            Store::open(config.clone(), parts).unwrap()
        };
        let store = open(&disk, &Ledger::new(1 << 30));
        let stream = store.create(id(0), stream_config(false)).unwrap();
        let batch = batch(&Rng::seeded(1), 1, 1 << 20);
        for _ in 0..20 {
            let appended = stream.append(batch.clone(), AppendOptions::default());
            stream.durable(appended.unwrap().next).await.unwrap();
        }
        let killed = disk.restart();
        assert!(store.close().await.is_err());
        let ledger = Ledger::new(1 << 30);
        let store = open(&killed, &ledger);
        assert_eq!(store.recovery().replayed, 20);
        assert_eq!(store.stream(id(0)).unwrap().end(), Offset(20));
        let peak = ledger.peak();
        assert!(peak > 4 << 20 && peak < 12 << 20, "{peak} bytes");
        assert_eq!(ledger.used(), 0);
        store.close().await.unwrap();
        tasks.signal();
        drop((stream, store));
        tasks.join_threads();
    });
}
