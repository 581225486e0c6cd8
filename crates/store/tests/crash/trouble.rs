//! Full, read-only, locked, newer: each is an error that names the file and the way out, and what
//! was acknowledged is there when the trouble is over.

use store::sim::{Fault, SimDisk};
use store::{Error, StoreState};

use crate::model::End;
use crate::world::{World, config, id, open};
use crate::{ROUNDS, check, number, report, runtime};

/// Works until the log stops, and says why.
async fn work_until_stopped(world: &mut World, disk: &SimDisk, end: End) -> Option<Error> {
    let opened = match open(disk, config()) {
        Ok(opened) => opened,
        Err(error) => return Some(error),
    };
    if let Err(what) = world.check_reopened(&opened, end) {
        let StoreState::Stopped(reason) = opened.store.state() else {
            panic!("{what}: {:?}", world.log);
        };
        assert!(opened.close().await.is_err());
        return Some(reason);
    }
    let mut stopped = None;
    for _ in 0..60 {
        if world.step(&opened).await.is_err() {
            match opened.store.state() {
                StoreState::Stopped(reason) => stopped = Some(reason),
                StoreState::Running => panic!("an error, and the log goes on: {:?}", world.log),
            }
            break;
        }
    }
    // What is readable stays so.
    world.check(&opened).unwrap();
    let closed = opened.close().await;
    match stopped {
        None => closed.err(),
        stopped => stopped,
    }
}

fn is_full(error: &Error) -> bool {
    let text = error.to_string();
    // A close repeats why the log had stopped.
    matches!(error, Error::Full { .. } | Error::Stopped(_))
        && text.contains("/sim/")
        && text.contains("docs/errors/disk-full.md")
}

#[test]
fn a_full_disk_stops_the_log_and_a_start_with_room_goes_on() {
    let run = runtime();
    let first = number("STENTOR_SIM_SEED", 1);
    let (mut stopped, mut refused) = (0, 0);
    for seed in first..first + 8 * number("STENTOR_SIM_ROUNDS", ROUNDS) {
        let (mut world, disk) = (World::new(seed), SimDisk::new());
        disk.set_space(Some(9000 + world.rng.below(60_000)));
        let error = run.block_on(work_until_stopped(&mut world, &disk, End::Closed));
        let Some(error) = error else {
            continue;
        };
        assert!(is_full(&error), "seed {seed}: {error}");
        stopped += 1;
        // Tried again without more room: it may be enough to start, or it says the same.
        let again = disk.restart();
        let mut copy = world.fork(seed);
        if let Some(error) = run.block_on(work_until_stopped(&mut copy, &again, End::Killed)) {
            assert!(is_full(&error), "seed {seed}: {error}");
            refused += 1;
        }
        for (disk, world) in [(disk, &mut world), (again, &mut copy)] {
            let disk = disk.restart();
            disk.set_space(None);
            if let Err(what) = run.block_on(check(world, &disk, End::Killed)) {
                panic!(
                    "{}",
                    report(&what, &format!("seed {seed}"), world, &[&disk])
                );
            }
        }
    }
    assert!(
        stopped > 5 && refused > 0,
        "{stopped} stopped, {refused} refused"
    );
}

#[test]
fn a_directory_that_cannot_be_written_says_so_and_keeps_what_it_has() {
    let run = runtime();
    for fault in [Fault::ReadOnly, Fault::Denied] {
        let disk = SimDisk::new();
        disk.refuse(Some(fault));
        let error = run.block_on(async { open(&disk, config()).err() }).unwrap();
        assert_read_only(&error);
        disk.refuse(None);
        let mut world = World::new(3);
        assert!(
            run.block_on(work_until_stopped(&mut world, &disk, End::Closed))
                .is_none()
        );
        world
            .models
            .iter_mut()
            .for_each(crate::model::Model::flushed);
        let disk = disk.copy();
        disk.refuse(Some(fault));
        let error = run.block_on(async { open(&disk, config()).err() }).unwrap();
        assert_read_only(&error);
        // Only while it runs.
        disk.refuse(None);
        run.block_on(async {
            let opened = open(&disk, config()).unwrap();
            world.check_reopened(&opened, End::Closed).unwrap();
            disk.refuse(Some(fault));
            while world.step(&opened).await.is_ok() {}
            let StoreState::Stopped(error) = opened.store.state() else {
                panic!("the log goes on");
            };
            assert_read_only(&error);
            assert!(opened.close().await.is_err());
        });
        let disk = disk.restart();
        disk.refuse(None);
        run.block_on(check(&mut world, &disk, End::Killed)).unwrap();
    }
}

fn assert_read_only(error: &Error) {
    let text = error.to_string();
    assert!(matches!(error, Error::ReadOnly { .. }), "{text}");
    assert!(text.starts_with("/sim/"), "{text}");
    assert!(
        text.contains("docs/errors/data-directory-not-writable.md"),
        "{text}"
    );
}

#[test]
fn a_second_process_and_a_newer_format_are_refused_and_change_nothing() {
    let (mut world, disk) = (World::new(4), SimDisk::new());
    runtime().block_on(async {
        let opened = open(&disk, config()).unwrap();
        world.check_reopened(&opened, End::Closed).unwrap();
        for _ in 0..30 {
            world.step(&opened).await.unwrap();
        }
        let second = open(&disk, config()).err().unwrap();
        assert!(matches!(second, Error::Locked { .. }), "{second}");
        assert!(second.to_string().starts_with("/sim/lock: "), "{second}");
        opened.close().await.unwrap();
        world
            .models
            .iter_mut()
            .for_each(crate::model::Model::flushed);

        let before = disk.files();
        let newer = disk.copy();
        newer.put("format", b"7\n").unwrap();
        let error = open(&newer, config()).err().unwrap();
        assert!(matches!(error, Error::TooNew { .. }), "{error}");
        assert!(error.to_string().contains("/sim/format"), "{error}");
        assert_eq!(newer.files(), before);
        newer.put("format", b"2\n").unwrap();
        check(&mut world.fork(1), &newer, End::Closed)
            .await
            .unwrap();

        let other = disk.copy();
        other.put("format", b"one\n").unwrap();
        let error = open(&other, config()).err().unwrap();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    });
}

/// Whoever holds a stream that is removed meanwhile is told, and nothing of it comes back.
#[test]
fn a_removed_stream_refuses_everything() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let opened = open(&disk, config()).unwrap();
        let stream = opened
            .store
            .create(id(0), crate::world::stream_config(false))
            .unwrap();
        opened.store.remove(id(0)).unwrap();
        let trimmed = stream.trim_to(base::Offset(0));
        assert!(matches!(trimmed, Err(Error::Removed(_))), "{trimmed:?}");
        opened.close().await.unwrap();
        let found = disk.files();
        assert!(
            !found.iter().any(|(path, _)| path.contains("streams/")),
            "{found:?}"
        );
    });
}
