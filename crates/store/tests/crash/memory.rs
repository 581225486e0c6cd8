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
