//! A close while others work: whatever was acknowledged is there afterwards, and whatever was
//! refused has changed nothing.

use base::{Offset, Rng};
use store::sim::SimDisk;
use store::{AppendOptions, Error, Stream};

use crate::world::{batch, config, id, open, stream_config};
use crate::{ROUNDS, number, runtime};

/// Appends until that is refused; returns up to where it was told that it is durable.
async fn append_on(stream: &Stream, seed: u64) -> Offset {
    let rng = Rng::seeded(seed);
    let mut acknowledged = Offset(0);
    loop {
        let mut last = acknowledged;
        for _ in 0..rng.below(6) {
            match stream.append(batch(&rng, 1, 100), AppendOptions::default()) {
                Ok(appended) => last = appended.next,
                Err(Error::Busy) => tokio::task::yield_now().await,
                Err(_) => return acknowledged,
            }
        }
        match stream.durable(last).await {
            Ok(()) => acknowledged = last,
            Err(_) => return acknowledged,
        }
    }
}

/// One close at an arbitrary moment of others' appends and removals.
fn race(seed: u64) {
    let disk = SimDisk::new();
    let run = runtime();
    let opened = run.block_on(async { open(&disk, config()).unwrap() });
    let create = |number| opened.store.create(id(number), stream_config(false));
    let streams: Vec<_> = (0..3).map(|number| create(number).unwrap()).collect();
    let doomed: Vec<_> = (10..16).map(|number| create(number).unwrap()).collect();
    for stream in &doomed {
        let options = AppendOptions::default();
        let next = stream.append(batch(&Rng::seeded(seed), 1, 50), options);
        run.block_on(stream.durable(next.unwrap().next)).unwrap();
    }
    let (acknowledged, removed) = std::thread::scope(|scope| {
        let appending: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(|| runtime().block_on(append_on(stream, seed))))
            .collect();
        let (store, from) = (opened.store.clone(), disk.steps() + seed % 40);
        let removing = scope.spawn(move || {
            let ids = doomed.iter().map(Stream::id);
            ids.map(|id| (id, store.remove(id).is_ok()))
                .collect::<Vec<_>>()
        });
        while disk.steps() < from {
            std::thread::yield_now();
        }
        run.block_on(opened.store.close()).unwrap();
        let acknowledged: Vec<_> = appending.into_iter().map(|t| t.join().unwrap()).collect();
        (acknowledged, removing.join().unwrap())
    });
    run.block_on(opened.close()).unwrap();
    let found = disk.crash(seed);
    run.block_on(async {
        let opened = open(&found, config()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(opened.store.recovery().clean, "seed {seed}");
        for (number, acknowledged) in (0..).zip(acknowledged) {
            let end = opened
                .store
                .stream(id(number))
                .map_or(Offset(0), |s| s.end());
            assert!(
                end >= acknowledged,
                "seed {seed}: {acknowledged:?} was acknowledged, {end:?} is there"
            );
        }
        for (id, gone) in removed {
            let end = opened.store.stream(id).map(|stream| stream.end());
            let due = (!gone).then_some(Offset(1));
            assert_eq!(end, due, "seed {seed}: removed: {gone}");
        }
        opened.close().await.unwrap();
    });
}

#[test]
fn what_is_acknowledged_during_a_close_is_kept() {
    for seed in 0..20 * number("STENTOR_SIM_ROUNDS", ROUNDS) {
        race(seed);
    }
}
