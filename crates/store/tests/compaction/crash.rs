//! Power lost at every step of a compaction.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Rng};
use store::sim::SimDisk;

use crate::model::Model;
use crate::world::{T0, World, names};

/// A closed store with a stream that one pass has been through, and more behind it.
async fn prepared(rng: &Rng) -> (SimDisk, Model, Clock) {
    let (disk, clock) = (SimDisk::new(), Clock::manual(T0));
    let world = World::open(Arc::new(disk.clone()), &clock);
    let mut model = Model::default();
    for round in 0..2 {
        for _ in 0..60 {
            clock.advance(Duration::from_millis(30));
            model.append(&world.stream, rng, 80, clock.unix_ms()).await;
        }
        if round == 0 {
            world.compact();
        }
    }
    // The tombstones of the first pass are over in the second.
    clock.advance(Duration::from_secs(61));
    world.store.close().await.unwrap();
    (disk, model, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn power_lost_at_every_step_loses_and_doubles_nothing() {
    let rng = Rng::seeded(11);
    let (disk, model, clock) = prepared(&rng).await;
    let whole = disk.crash(0);
    let world = World::open(Arc::new(whole.clone()), &clock);
    let before = whole.steps();
    world.store.compact().unwrap();
    let steps = whole.steps() - before;
    let expected = model.check(&world.stream, &rng);
    world.store.close().await.unwrap();
    assert!(steps > 40, "{steps}");
    let (mut swaps, mut asides) = (0, 0);
    for step in 1..=steps + 1 {
        for seed in 0..4 {
            let run = disk.crash(0);
            let world = World::open(Arc::new(run.clone()), &clock);
            run.power_off_at(run.steps() + step);
            let outcome = world.store.compact();
            assert!(outcome.is_ok() || run.is_off(), "step {step}: {outcome:?}");
            assert_eq!(run.is_off(), step <= steps, "step {step}");
            let found = run.crash(seed);
            let _ = world.store.close().await;
            let left = names(&found);
            swaps += u32::from(left.iter().any(|name| name.ends_with(".swap")));
            asides += u32::from(left.iter().any(|name| name.ends_with(".cleaned")));
            // The start after it loses the power too, now and then.
            let found = if seed == 3 {
                start_again(&found, &clock, step)
            } else {
                found
            };
            let world = World::open(Arc::new(found.clone()), &clock);
            let left = names(&found);
            let known = |name: &String| {
                let ending = name.rsplit('.').next().unwrap();
                ["log", "index", "timeindex", "0", "1"].contains(&ending)
            };
            assert!(left.iter().all(known), "step {step}: {left:?}");
            model.check(&world.stream, &rng);
            world.store.compact().unwrap();
            let now = model.check(&world.stream, &rng);
            let cleaned = world.stream.cleaned().0;
            let stays = |records: &[crate::model::Record]| -> Vec<u64> {
                let live = records.iter().filter(|r| r.value.is_some());
                live.map(|r| r.offset).filter(|at| *at < cleaned).collect()
            };
            assert_eq!(stays(&now), stays(&expected), "step {step}, seed {seed}");
            world.store.close().await.unwrap();
        }
    }
    assert!(swaps > 5 && asides > 5, "{swaps} {asides}");
}

/// What a loss of power in the start leaves.
fn start_again(disk: &SimDisk, clock: &Clock, step: u64) -> SimDisk {
    disk.power_off_at(1 + step % 9);
    let _ = World::with(
        Arc::new(disk.clone()),
        clock,
        crate::world::config(),
        crate::world::compacted(),
    );
    disk.crash(step)
}
