//! A broker that loses power at every step of its disk: what clients were answered holds, what they
//! send again is there once. `STENTOR_SIM_ROUNDS` sets how many histories are tried (a soak:
//! hundreds), `STENTOR_SIM_SEED` the first one's seed; see `crates/store/tests/crash`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test ends where something unexpected is met"
)]

mod commits;
mod damage;
mod history;
mod limits;
mod machine;

use base::Rng;
use history::History;
use machine::Machine;
use store::sim::SimDisk;

/// After this long a test hangs.
const STUCK: std::time::Duration = std::time::Duration::from_secs(60);

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn report(what: &str, how: &str, history: &History, disks: &[&SimDisk]) -> String {
    let mut text = format!(
        "{what}\n{how}\n--- what was done\n{}",
        history.log.join("\n")
    );
    for disk in disks {
        text += &format!("\n--- the disk\n{}", disk.trace().join("\n"));
    }
    text
}

/// Starts, compares, works until the power goes or `count` things are done, stops.
async fn work(history: &mut History, disk: &SimDisk, count: u64) -> Result<(), String> {
    let done = tokio::time::timeout(STUCK, work_on(history, disk, count)).await;
    done.unwrap_or_else(|_| Err("nothing happens any more".to_owned()))
}

async fn work_on(history: &mut History, disk: &SimDisk, count: u64) -> Result<(), String> {
    let machine = match Machine::start(disk, &history.rng) {
        Ok(machine) => machine,
        Err(_) if disk.is_off() => return Ok(()),
        Err(error) => return Err(format!("starting: {error}")),
    };
    let mut result = history.check(&machine.broker).await;
    for _ in 0..count {
        if result.is_err() {
            break;
        }
        let step = history.step(&machine.broker).await;
        result = step.map_err(|e| e.to_string());
    }
    let off = disk.is_off();
    let stopped = machine.stop().await;
    match (result, stopped) {
        (Err(what), _) if !off => Err(what),
        (_, Err(what)) if !disk.is_off() => Err(format!("stopping: {what}")),
        _ => Ok(()),
    }
}

/// One history; false when it was over before the power went.
fn history(seed: u64, at: u64) -> bool {
    let run = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut history, disk) = (History::new(seed), SimDisk::new());
    disk.power_off_at(at);
    let how = format!("STENTOR_SIM_SEED={seed}, power off at step {at}");
    if let Err(what) = run.block_on(work(&mut history, &disk, 25)) {
        panic!("{}", report(&what, &how, &history, &[&disk]));
    }
    if !disk.is_off() {
        disk.discard();
        return false;
    }
    let crash_seed = seed.wrapping_mul(31).wrapping_add(at);
    let rng = Rng::seeded(crash_seed);
    let mut later = history.fork(crash_seed);
    let found = match rng.below(3) {
        0 => disk.restart(),
        _ => disk.crash(crash_seed),
    };
    let second = 1 + rng.below(if rng.below(2) == 0 { 40 } else { 150 });
    found.power_off_at(found.steps() + second);
    let how = format!("{how}, again {second} steps later");
    if let Err(what) = run.block_on(work(&mut later, &found, 8)) {
        panic!("{}", report(&what, &how, &later, &[&disk, &found]));
    }
    let last = if found.is_off() {
        found.crash(crash_seed + 1)
    } else {
        found.copy()
    };
    if let Err(what) = run.block_on(work(&mut later, &last, 3)) {
        panic!("{}", report(&what, &how, &later, &[&disk, &found, &last]));
    }
    for disk in [disk, found, last] {
        disk.discard();
    }
    true
}

#[test]
fn what_clients_were_answered_holds_after_a_crash_at_every_step() {
    let first = number("STENTOR_SIM_SEED", 1);
    let rounds = number("STENTOR_SIM_ROUNDS", 2);
    for seed in first..first + rounds {
        let mut at = number("STENTOR_SIM_STEP", 1);
        while history(seed, at) {
            at += 1;
        }
        assert!(at > 100, "a history of {at} steps tells nothing");
    }
}
