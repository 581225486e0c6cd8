//! The store on a disk that loses power at every step: what is acknowledged is there, nothing is
//! half there, and the store goes on.
//!
//! The store's threads are real, so that two runs of a seed may differ in their schedule; what is
//! counted are the disk's operations. A failure prints its seeds, what was done, and the disk's
//! last steps. `STENTOR_SIM_ROUNDS` sets how many random histories are tried (a soak: thousands),
//! `STENTOR_SIM_SEED` the first one's seed.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test ends where something unexpected is met"
)]

mod accept;
mod close;
mod forged;
mod formats;
mod found;
mod memory;
mod model;
mod rot;
mod trouble;
mod world;

use base::Rng;
use model::End;
use store::sim::{Fault, SimDisk};
use world::{World, config, open};

/// How many random histories are tried in an ordinary run.
const ROUNDS: u64 = 2;

/// After this long a test hangs.
const STUCK: std::time::Duration = std::time::Duration::from_secs(60);

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What a failure tells.
fn report(what: &str, how: &str, world: &World, disks: &[&SimDisk]) -> String {
    let mut text = format!("{what}\n{how}\n--- what was done\n{}", world.log.join("\n"));
    for disk in disks {
        text += &format!("\n--- the disk\n{}", disk.trace().join("\n"));
    }
    text
}

/// Whether errors are to be expected.
fn is_struck(disk: &SimDisk) -> bool {
    disk.is_off() || disk.faults() > 0
}

/// Works on the disk until the power goes or `count` operations are done.
async fn work(world: &mut World, disk: &SimDisk, end: End, count: u64) -> Result<(), String> {
    let done = tokio::time::timeout(STUCK, work_on(world, disk, end, count)).await;
    done.unwrap_or_else(|_| Err("nothing happens any more".to_owned()))
}

async fn work_on(world: &mut World, disk: &SimDisk, end: End, count: u64) -> Result<(), String> {
    let opened = match open(disk, config()) {
        Ok(opened) => opened,
        Err(_) if is_struck(disk) => return Ok(()),
        Err(error) => return Err(format!("opening: {error}")),
    };
    let mut result = world.check_reopened(&opened, end);
    for _ in 0..count {
        if result.is_err() {
            break;
        }
        let step = world.step(&opened).await;
        result = step.map_err(|e| format!("an operation: {e}"));
    }
    if result.is_ok() {
        result = world.check(&opened);
    }
    let struck = is_struck(disk);
    let closed = opened.close().await;
    match (result, closed) {
        (Err(what), _) if !struck => Err(what),
        (_, Err(error)) if !is_struck(disk) => Err(format!("closing: {error}")),
        _ => Ok(()),
    }
}

/// Opens without the power going, compares, works a little, closes, compares again.
async fn check(world: &mut World, disk: &SimDisk, end: End) -> Result<(), String> {
    work(world, disk, end, 4).await?;
    if disk.is_off() {
        return Err("the power is away".to_owned());
    }
    for model in &mut world.models {
        model.flushed();
    }
    work(world, disk, End::Closed, 0).await
}

/// One history with the power going at step `at`; false when it was over before.
fn history(seed: u64, at: u64) -> bool {
    let (mut world, disk) = (World::new(seed), SimDisk::new());
    disk.power_off_at(at);
    let crash_seed = seed.wrapping_mul(31).wrapping_add(at);
    let how = format!("STENTOR_SIM_SEED={seed}, power off at step {at}, crash seed {crash_seed}");
    let run = runtime();
    let first = run.block_on(work(&mut world, &disk, End::Closed, 30));
    if let Err(what) = first {
        panic!("{}", report(&what, &how, &world, &[&disk]));
    }
    if !disk.is_off() {
        return false;
    }
    let found = disk.crash(crash_seed);
    // A second loss of power, in the start or in the work after it.
    let rng = Rng::seeded(crash_seed);
    let again = found.copy();
    let second = 1 + rng.below(if rng.below(2) == 0 { 12 } else { 60 });
    again.power_off_at(second);
    let mut later = world.fork(crash_seed);
    let result = run.block_on(work(&mut later, &again, End::Power, 8));
    let how_again = format!("{how}, again at step {second} after that");
    if let Err(what) = result {
        panic!("{}", report(&what, &how_again, &later, &[&disk, &again]));
    }
    let (again, end) = if again.is_off() {
        (again.crash(crash_seed + 1), End::Power)
    } else {
        (again.copy(), End::Closed)
    };
    if let Err(what) = run.block_on(check(&mut later, &again, end)) {
        panic!("{}", report(&what, &how_again, &later, &[&disk, &again]));
    }
    // Only the process ends at first; then, in its successor, the power goes.
    let killed = disk.copy();
    killed.power_off_at(killed.steps() + second);
    let mut later = world.fork(crash_seed + 2);
    let result = run.block_on(work(&mut later, &killed, End::Killed, 8));
    let how_killed = format!("{how} for the process only, for all {second} steps later");
    if let Err(what) = result {
        panic!("{}", report(&what, &how_killed, &later, &[&disk, &killed]));
    }
    if killed.is_off() {
        let found = killed.crash(crash_seed + 3);
        if let Err(what) = run.block_on(check(&mut later, &found, End::Power)) {
            panic!("{}", report(&what, &how_killed, &later, &[&killed, &found]));
        }
    }
    if let Err(what) = run.block_on(check(&mut world, &found, End::Power)) {
        panic!("{}", report(&what, &how, &world, &[&disk, &found]));
    }
    true
}

#[test]
fn the_power_may_go_at_every_step() {
    let rounds = number("STENTOR_SIM_ROUNDS", ROUNDS);
    let first = number("STENTOR_SIM_SEED", 1);
    for seed in first..first + rounds {
        let mut at = number("STENTOR_SIM_STEP", 1);
        while history(seed, at) {
            at += 1;
        }
        assert!(at > 20, "a history of {at} steps tells nothing");
    }
}

/// Every step fails once with an error of the device; the log stops, or goes on where nothing was
/// written.
#[test]
fn the_disk_may_fail_at_every_step() {
    let rounds = number("STENTOR_SIM_ROUNDS", ROUNDS).div_ceil(2);
    let first = number("STENTOR_SIM_SEED", 1);
    let run = runtime();
    for seed in first..first + rounds {
        let mut struck = 0;
        for at in 1.. {
            let (mut world, disk) = (World::new(seed), SimDisk::new());
            disk.fail_at(at, Fault::Io);
            let how = format!("STENTOR_SIM_SEED={seed}, an error at step {at}");
            let first = run.block_on(work(&mut world, &disk, End::Closed, 30));
            if let Err(what) = first {
                panic!("{}", report(&what, &how, &world, &[&disk]));
            }
            if disk.faults() == 0 {
                break;
            }
            struck += 1;
            for (found, end) in [
                (disk.copy().crash(seed + at), End::Power),
                (disk.restart(), End::Killed),
            ] {
                let mut later = world.fork(seed + at);
                if let Err(what) = run.block_on(check(&mut later, &found, end)) {
                    panic!("{}", report(&what, &how, &later, &[&disk, &found]));
                }
                let found = found.crash(at);
                if let Err(what) = run.block_on(check(&mut later, &found, End::Closed)) {
                    panic!("{}", report(&what, &how, &later, &[&disk, &found]));
                }
            }
        }
        assert!(struck > 20, "a history of {struck} steps tells nothing");
    }
}
