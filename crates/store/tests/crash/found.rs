//! What the simulation has found, one test each.

use base::{Offset, Rng};
use store::sim::{Action, Fault, SimDisk};
use store::{AppendOptions, Error, Stream};

use crate::runtime;
use crate::world::{Open, batch, config, id, open, stream_config};

/// Appends one batch of about `size` bytes.
fn append(stream: &Stream, size: usize) -> Offset {
    let batch = batch(&Rng::seeded(size as u64), 1, size);
    let options = AppendOptions::default();
    stream.append(batch, options).unwrap().next
}

/// A store with one stream.
fn one(disk: &SimDisk, is_async: bool) -> (Open, Stream) {
    let open = open(disk, config()).unwrap();
    let stream = open.store.create(id(0), stream_config(is_async)).unwrap();
    (open, stream)
}

fn segment(base: u64) -> String {
    format!("streams/{}/{base:020}.log", id(0))
}

/// A write that fills a file goes on in the next one before anything of it counts as durable. The
/// flusher must not give the first file back in that moment.
#[test]
fn a_file_is_not_released_while_the_write_that_filled_it_goes_on() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let (open, stream) = one(&disk, false);
        let flush = disk.close_gate(Action::Sync, "streams/", 0);
        let commit = disk.close_gate(Action::Sync, "wal/0000000000000002", 2);
        stream.durable(append(&stream, 5000)).await.unwrap();
        stream.durable(append(&stream, 5000)).await.unwrap();
        disk.wait_at_gate(flush);
        append(&stream, 500);
        disk.wait_at_gate(commit);
        // Queued together: the first fits into file 2, the second does not.
        append(&stream, 500);
        let last = append(&stream, 5000);
        let next = disk.close_gate(Action::Sync, "wal/0000000000000003", 1);
        let saved = disk.close_gate(Action::Write, "checkpoint.", 3);
        let release = disk.close_gate(Action::Rename, "wal/0000000000000002.wal", 0);
        disk.open_gate(commit);
        disk.wait_at_gate(next);
        disk.open_gate(flush);
        disk.wait_at_gate(saved);
        disk.open_gate(saved);
        disk.open_gate(next);
        stream.durable(last).await.unwrap();
        // The flusher stands before the release: four batches, all that file 2 held, are at rest.
        disk.wait_at_gate(release);
        let at_rest: usize = disk
            .files()
            .iter()
            .filter(|(path, _)| path.ends_with(".log"))
            .filter_map(|(path, _)| disk.bytes(path))
            .map(|bytes| bytes.len())
            .sum();
        assert!(at_rest > 5000 + 5000 + 500 + 500, "{at_rest} bytes");
        disk.open_gate(release);
        open.close().await.unwrap();
    });
}

/// The page cache still shows what a failed sync has dropped: a start must write it again before
/// it counts on it.
#[test]
fn what_a_failed_sync_dropped_is_written_again_by_the_next_start() {
    for seed in 0..20 {
        runtime().block_on(async {
            let disk = SimDisk::new();
            let (open, stream) = one(&disk, false);
            stream.durable(append(&stream, 3000)).await.unwrap();
            disk.fail(Action::Sync, "streams/", 0, Fault::Io);
            assert!(open.store.flush().is_err());
            assert!(open.close().await.is_err());
            let disk = disk.restart();
            let (open, stream) = one(&disk, false);
            assert_eq!(stream.end(), Offset(1));
            open.close().await.unwrap();
            let disk = disk.crash(seed);
            let (open, stream) = one(&disk, false);
            assert_eq!(stream.end(), Offset(1), "seed {seed}");
            stream.read(Offset(0), 10_000).unwrap();
            open.close().await.unwrap();
        });
    }
}

/// Two threads may be at a stream's log one after the other: the second must not sync in peace
/// what the first failed to.
#[test]
fn a_failed_sync_is_not_tried_again() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let (open, stream) = one(&disk, false);
        let last = append(&stream, 3000);
        stream.durable(last).await.unwrap();
        disk.fail(Action::Sync, "wal/", 0, Fault::Io);
        let lost = append(&stream, 100);
        assert!(matches!(stream.durable(lost).await, Err(Error::Stopped(_))));
        let batch = batch(&Rng::seeded(1), 1, 10);
        let later = stream.append(batch, AppendOptions::default());
        assert!(matches!(later, Err(Error::Stopped(_))), "{later:?}");
        assert!(open.store.flush().is_err() && stream.trim_to(last).is_err());
        assert_eq!(
            stream.end(),
            last,
            "readers see nothing that is not durable"
        );
        assert!(open.close().await.is_err());
        for seed in 0..20 {
            let found = disk.copy().crash(seed);
            let (open, stream) = one(&found, false);
            assert!(stream.end() >= last);
            stream.read(Offset(0), 10_000).unwrap();
            open.close().await.unwrap();
        }
    });
}

/// What a start cuts off behind a torn segment must not come back behind what is appended then.
#[test]
fn cut_off_segments_stay_away() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let (open, stream) = one(&disk, true);
        // Three segments, none of them counted by a checkpoint.
        for _ in 0..3 {
            stream.durable(append(&stream, 4000)).await.unwrap();
        }
        disk.power_off();
        assert!(open.close().await.is_err());
        let disk = disk.copy();
        // The first is torn.
        disk.flip_bit(&segment(0), 8 * 1000).unwrap();
        let (open, stream) = one(&disk, true);
        assert_eq!(stream.end(), Offset(0));
        for seed in 0..40 {
            let found = disk.copy().crash(seed);
            let names = found.files();
            let later = names
                .iter()
                .any(|(path, _)| path.contains("/00000000000000000002."));
            assert!(!later, "seed {seed}: {names:?}");
        }
        open.close().await.unwrap();
    });
}

/// A start that finds a removal which only the operating system knows of may crash, too: the stream
/// is there as a whole, or it is not.
#[test]
fn a_removal_that_two_crashes_interrupt_leaves_all_or_nothing() {
    for steps in 1..14 {
        for seed in 0..12 {
            runtime().block_on(async {
                let disk = SimDisk::new();
                let (first, stream) = one(&disk, false);
                stream.durable(append(&stream, 3000)).await.unwrap();
                first.store.flush().unwrap();
                // In the write-ahead log only.
                let last = append(&stream, 1000);
                stream.durable(last).await.unwrap();
                disk.fail(Action::Sync, "wal/", 0, Fault::Io);
                let gate = disk.close_gate(Action::Sync, "wal/", 0);
                let killed = std::thread::scope(|scope| {
                    let removing = scope.spawn(|| first.store.remove(id(0)));
                    disk.wait_at_gate(gate);
                    let killed = disk.copy();
                    disk.open_gate(gate);
                    assert!(removing.join().unwrap().is_err());
                    killed
                });
                assert!(first.close().await.is_err());
                killed.power_off_at(killed.steps() + steps);
                let opened = open(&killed, config());
                let removed = opened.is_ok();
                if let Ok(opened) = opened {
                    assert!(opened.store.stream(id(0)).is_none());
                    let _ = opened.close().await;
                }
                let found = killed.crash(seed);
                let opened = open(&found, config()).unwrap();
                if let Some(stream) = opened.store.stream(id(0)) {
                    assert!(!removed, "{steps} steps, seed {seed}: it is back");
                    assert_eq!(stream.end(), last, "{steps} steps, seed {seed}");
                    stream.read(Offset(0), 10_000).unwrap();
                }
                opened.close().await.unwrap();
            });
        }
    }
}

/// A batch is a part of what a client has sent: the rest of that goes when its request ends.
#[test]
fn a_small_batch_keeps_nothing_large_in_memory() {
    struct Frame(Vec<u8>, std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl AsRef<[u8]> for Frame {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Frame {
        fn drop(&mut self) {
            self.1.store(true, std::sync::atomic::Ordering::Release);
        }
    }
    runtime().block_on(async {
        let disk = SimDisk::new();
        let (open, stream) = one(&disk, false);
        let freed = std::sync::Arc::default();
        let batch = batch(&Rng::seeded(1), 1, 100);
        let mut sent = batch.to_vec();
        sent.resize(1 << 20, 0);
        let frame = bytes::Bytes::from_owner(Frame(sent, std::sync::Arc::clone(&freed)));
        let part = frame.slice(..batch.len());
        let appended = stream.append(part, AppendOptions::default()).unwrap();
        stream.durable(appended.next).await.unwrap();
        drop(frame);
        assert!(stream.read_is_cached(Offset(0)));
        assert!(freed.load(std::sync::atomic::Ordering::Acquire));
        let held = open.store.ledger().used();
        assert!(held > batch.len() && held < 1000, "{held} bytes");
        open.close().await.unwrap();
    });
}

/// Headers are read as they are asked for: those before the damage are there, nothing is behind it.
#[test]
fn headers_end_with_the_damage() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let (open, stream) = one(&disk, false);
        for _ in 0..4 {
            stream.durable(append(&stream, 1000)).await.unwrap();
        }
        open.store.flush().unwrap();
        let in_tail = append(&stream, 1000);
        stream.durable(in_tail).await.unwrap();
        let bases = |headers: store::Headers| -> Vec<_> {
            headers
                .map(|header| header.map(|h| h.base_offset).ok())
                .collect()
        };
        let all = [0, 1, 2, 3, 4].map(Some);
        assert_eq!(bases(stream.headers(Offset(0))), all);
        assert_eq!(bases(stream.headers(Offset(3))), all[3..]);
        let length = disk.files().iter().find(|f| f.0 == segment(0)).unwrap().1 / 4;
        disk.flip_bit(&segment(0), (2 * length + 16) * 8).unwrap();
        assert_eq!(bases(stream.headers(Offset(0))), [Some(0), Some(1), None]);
        open.close().await.unwrap();
    });
}

/// What a question for a time decompresses is charged before it is there.
#[test]
fn looking_for_a_time_is_charged() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let (open, stream) = one(&disk, false);
        let mut builder = store::batch::BatchBuilder::new();
        for at in 0..20 {
            builder.push(at, None, Some(&[7; 1 << 20]), []);
        }
        let batch = builder.build(store::batch::Compression::Zstd).unwrap();
        assert!(batch.len() < 100_000);
        let appended = stream.append(batch, AppendOptions::default()).unwrap();
        stream.durable(appended.next).await.unwrap();
        let ledger = open.store.ledger();
        let (used, before) = (ledger.used(), ledger.peak());
        assert!(before < 1 << 20, "{before} bytes");
        let found = stream.by_timestamp(15).unwrap();
        assert_eq!(
            found.map(|(offset, at, _)| (offset, at)),
            Some((Offset(15), 15))
        );
        let peak = ledger.peak();
        assert!(peak > 20 << 20, "{peak} bytes");
        assert_eq!(ledger.used(), used);
        open.close().await.unwrap();
    });
}
