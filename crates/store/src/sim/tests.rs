//! The simulated disk keeps what it promises and nothing more.

use std::collections::BTreeSet;
use std::io::IoSlice;

use super::file::SECTOR;
use super::*;
use crate::disk::{Disk, DiskFile};

fn write(file: &dyn DiskFile, bytes: &[u8], position: u64) {
    file.write_at(&mut [IoSlice::new(bytes)], position).unwrap();
}

/// A disk with a synced file `a/f` of two pages of ones.
fn disk() -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    disk.create_dir("a").unwrap();
    let file = disk.create("a/f").unwrap();
    write(&*file, &[1; 8192], 0);
    file.sync().unwrap();
    disk.sync_dir("a").unwrap();
    disk.sync_dir("").unwrap();
    (disk, file)
}

#[test]
fn what_is_synced_survives_every_crash_and_the_old_disk_is_dead() {
    for seed in 0..200 {
        let (disk, file) = disk();
        let after = disk.crash(seed);
        assert_eq!(after.bytes("a/f"), Some(vec![1; 8192]), "seed {seed}");
        assert!(file.sync().is_err() && disk.list("").is_err() && file.len().is_err());
    }
}

#[test]
fn unsynced_bytes_are_lost_or_kept_by_sectors_and_pages() {
    let (mut outcomes, mut ragged) = (BTreeSet::new(), 0);
    for seed in 0..400 {
        let (disk, file) = disk();
        write(&*file, &[2; 8192], 0);
        write(&*file, &[3; 4096], 8192);
        let after = disk.crash(seed).bytes("a/f").unwrap();
        for sector in after.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "seed {seed}");
        }
        let kinds: Vec<u8> = after.chunks(SECTOR).map(|sector| sector[0]).collect();
        ragged += u32::from(
            kinds
                .windows(2)
                .filter(|pair| pair[0] == 2 && pair[1] == 1)
                .count()
                > 1,
        );
        outcomes.insert(kinds);
    }
    assert!(outcomes.len() > 50, "{}", outcomes.len());
    assert!(ragged > 20, "arbitrary subsets, not only suffixes");
}

#[test]
fn a_sector_is_as_it_was_at_some_moment() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let (disk, file) = disk();
        write(&*file, &[2; 10], 0);
        write(&*file, &[3; 10], 5);
        outcomes.insert(disk.crash(seed).bytes("a/f").unwrap()[..15].to_vec());
    }
    let first = [[2; 10].as_slice(), &[1; 5]].concat();
    let second = [[2; 5].as_slice(), &[3; 10]].concat();
    assert_eq!(outcomes, BTreeSet::from([vec![1; 15], first, second]));
}

#[test]
fn names_are_lost_or_kept_each_for_itself() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let (disk, _) = disk();
        let new = disk.create("a/new").unwrap();
        new.sync().unwrap();
        disk.rename("a/f", "a/g").unwrap();
        outcomes.insert(disk.crash(seed).list("a").unwrap());
    }
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let all = [
        names(&["f"]),
        names(&["f", "new"]),
        names(&["g"]),
        names(&["g", "new"]),
    ];
    assert_eq!(outcomes, BTreeSet::from(all));
}

#[test]
fn a_killed_process_loses_nothing_but_a_later_crash_does() {
    let (disk, file) = disk();
    write(&*file, &[2; 10], 0);
    let next = disk.restart();
    assert_eq!(next.bytes("a/f").unwrap()[..10], [2; 10]);
    let lost = (0..50).any(|seed| next.restart().crash(seed).bytes("a/f").unwrap()[0] == 1);
    assert!(lost);
}

#[test]
fn a_failed_sync_drops_what_was_pending_and_shows_it_still() {
    let (disk, file) = disk();
    write(&*file, &[2; 10], 0);
    disk.fail(Action::Sync, "a/f", 0, Fault::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(disk.bytes("a/f").unwrap()[..10], [2; 10]);
    for seed in 0..50 {
        let after = disk.restart().crash(seed);
        assert_eq!(after.bytes("a/f").unwrap()[..10], [1; 10]);
    }
}

#[test]
fn a_step_is_torn_when_the_power_goes_in_it() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        let (disk, file) = disk();
        disk.power_off_at(disk.steps() + 1);
        assert!(file.write_at(&mut [IoSlice::new(&[2; 1024])], 0).is_err());
        assert!(disk.is_off());
        let after = disk.crash(seed).bytes("a/f").unwrap();
        outcomes.insert((after[0], after[SECTOR]));
    }
    assert_eq!(outcomes.len(), 4);
}

#[test]
fn a_full_disk_takes_what_fits_and_more_when_there_is_room() {
    let (disk, file) = disk();
    disk.set_space(Some(8192 + 100));
    let error = file
        .write_at(&mut [IoSlice::new(&[2; 200])], 8192)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 8192 + 100);
    let error = file.allocate(9000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    write(&*file, &[4; 10], 0);
    let other = disk.create("a/other").unwrap();
    assert!(other.write_at(&mut [IoSlice::new(&[2])], 0).is_err());
    disk.remove("a/f").unwrap();
    write(&*other, &[2; 5000], 0);
    assert_eq!(disk.used(), 5000);
}

#[test]
fn gates_hold_an_operation_up() {
    let (disk, file) = disk();
    let gate = disk.close_gate(Action::Sync, "a/f", 1);
    file.sync().unwrap();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| file.sync());
        disk.wait_at_gate(gate);
        assert!(!held.is_finished());
        disk.open_gate(gate);
        held.join().unwrap().unwrap();
    });
}

#[test]
fn one_lock_at_a_time_and_refusals() {
    let (disk, file) = disk();
    let lock = disk.lock("lock").unwrap();
    assert_eq!(disk.lock("lock").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock);
    let _lock = disk.lock("lock").unwrap();
    let next = disk.restart();
    let _lock = next.lock("lock").unwrap();
    next.refuse(Some(Fault::ReadOnly));
    let error = next.create("a/x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(file.sync().is_err(), "the killed process writes nothing");
}

#[test]
fn rot_is_on_the_disk_and_in_the_cache() {
    let (disk, _) = disk();
    disk.flip_bit("a/f", 8 * 700 + 3).unwrap();
    assert_eq!(disk.bytes("a/f").unwrap()[700], 9);
    assert_eq!(disk.crash(0).bytes("a/f").unwrap()[700], 9);
    assert!(disk.flip_bit("a/f", 8 * 8192).is_err());
}
