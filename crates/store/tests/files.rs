//! The store on real files: what is acknowledged is there after every kind of end.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use base::{ByteSize, Clock, Ledger, Metrics, Offset, StreamId, Tasks, TopicId};
use bytes::Bytes;
use store::batch::{BatchBuilder, BatchHeader, Compression, check_crc};
use store::{
    AppendOptions, Config, Durability, Error, FileDisk, Parts, Piece, Store, Stream, StreamConfig,
};

fn parts(path: &Path) -> Parts {
    Parts {
        disk: Arc::new(FileDisk::new(path).unwrap()),
        clock: Clock::system(),
        ledger: Ledger::new(1 << 30),
        tasks: Tasks::current(),
        metrics: Metrics::default(),
    }
}

fn config() -> Config {
    Config {
        wal_file_bytes: ByteSize(64 << 10),
        tail_bytes: ByteSize(16 << 10),
        ..Config::default()
    }
}

fn open(path: &Path) -> Store {
    Store::open(config(), parts(path)).unwrap()
}

fn id(partition: u32) -> StreamId {
    StreamId {
        topic: TopicId(uuid::Uuid::from_u128(1)),
        partition,
    }
}

fn batch(first: u64, records: u64, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new();
    for at in first..first + records {
        let time = i64::try_from(at).unwrap() * 10;
        builder.push(
            time,
            Some(at.to_string().as_bytes()),
            Some(&vec![at as u8; size]),
            [],
        );
    }
    builder.build(Compression::None).unwrap()
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Memory(bytes) => all.extend_from_slice(bytes),
            Piece::File(range) => all.extend_from_slice(&range.read().unwrap()),
        }
    }
    all
}

/// Reads everything and checks that offsets and checksums hold.
fn check(stream: &Stream, from: u64, end: u64) {
    assert_eq!(stream.end(), Offset(end));
    let mut at = from;
    while at < end {
        let read = stream.read(Offset(at), 3000).unwrap();
        let all = bytes(&read.pieces);
        assert_eq!(all.len(), read.bytes);
        let mut rest = &all[..];
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest).unwrap();
            check_crc(&rest[..header.total_len()]).unwrap();
            assert!(
                header.base_offset as u64 <= at && header.next_offset() > at,
                "{at}: {header:?}"
            );
            at = header.next_offset();
            rest = &rest[header.total_len()..];
        }
        assert_eq!(read.next, Offset(at));
    }
}

async fn fill(stream: &Stream, from: u64, batches: u64) -> u64 {
    let mut next = from;
    let mut last = Offset(from);
    for at in 0..batches {
        let records = at % 5 + 1;
        loop {
            match stream.append(batch(next, records, 100), AppendOptions::default()) {
                Ok(appended) => {
                    assert_eq!(appended.first, Offset(next));
                    last = appended.next;
                    break;
                }
                Err(Error::Busy) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
        next += records;
    }
    stream.durable(last).await.unwrap();
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_read_again_after_every_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = [0, 0];
    for round in 0..4 {
        let store = open(folder.path());
        assert_eq!(store.recovery().clean, round == 2, "round {round}");
        for (partition, end) in ends.iter_mut().enumerate() {
            let config = StreamConfig {
                segment_bytes: 100_000,
                durability: [Durability::Sync, Durability::Async][partition],
                ..StreamConfig::default()
            };
            let stream = store.create(id(partition as u32), config).unwrap();
            check(&stream, 0, *end);
            *end = fill(&stream, *end, 700).await;
            check(&stream, 0, *end);
            let found = stream.by_timestamp(1234 * 10 - 3).unwrap();
            assert_eq!(found, Some((Offset(1234), 12_340, 0)));
            let max = stream.max_timestamp().unwrap().unwrap();
            assert_eq!(max.0, Offset(*end - 1));
        }
        if round == 1 {
            store.close().await.unwrap();
        } else {
            // As a crash of the process would: nothing is closed, the directory is let go.
            forget(folder.path(), store).await;
        }
    }
}

/// Opens a copy of the directory from now on: what the old process does later is not in it.
async fn forget(path: &Path, store: Store) {
    let copy = tempfile::tempdir().unwrap();
    let all = format!(
        "rm -rf {1}/* && cp -a {0}/. {1}/ 2>/dev/null",
        path.display(),
        copy.path().display()
    );
    // A file that the flusher takes away meanwhile spoils the picture, and another one is taken.
    let mut taken = false;
    for _ in 0..100 {
        let copied = std::process::Command::new("sh").args(["-c", &all]).status();
        taken = copied.unwrap().success();
        if taken {
            break;
        }
    }
    assert!(taken, "the directory never stands still");
    store.close().await.unwrap();
    let back = format!(
        "rm -rf {1}/* && cp -a {0}/. {1}/",
        copy.path().display(),
        path.display()
    );
    assert!(
        std::process::Command::new("sh")
            .args(["-c", &back])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trimmed_and_removed_stay_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let config = StreamConfig {
        segment_bytes: 20_000,
        ..StreamConfig::default()
    };
    let (one, two) = (
        store.create(id(1), config.clone()).unwrap(),
        store.create(id(2), config.clone()).unwrap(),
    );
    let end = fill(&one, 0, 300).await;
    fill(&two, 0, 300).await;
    let size = one.size();
    assert_eq!(one.trim_to(Offset(500)).unwrap(), Offset(500));
    assert!(one.size() < size);
    assert!(matches!(
        one.read(Offset(499), 10),
        Err(Error::OutOfRange { .. })
    ));
    check(&one, 500, end);
    store.remove(id(2)).unwrap();
    assert!(matches!(
        two.append(batch(0, 1, 1), AppendOptions::default()),
        Err(Error::Removed(_))
    ));
    forget(folder.path(), store).await;
    let store = open(folder.path());
    assert_eq!(store.streams(), [id(1)]);
    let one = store.create(id(1), config).unwrap();
    assert_eq!(one.start(), Offset(500));
    check(&one, 500, end);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_process_and_a_known_format() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let second = Store::open(config(), parts(folder.path())).unwrap_err();
    assert!(matches!(second, Error::Locked { .. }), "{second}");
    assert!(second.to_string().contains(folder.path().to_str().unwrap()));
    store.close().await.unwrap();
    std::fs::write(folder.path().join("format"), "7\n").unwrap();
    let newer = Store::open(config(), parts(folder.path())).unwrap_err();
    assert!(matches!(newer, Error::TooNew { .. }), "{newer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_and_blobs_survive() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let stream = store.create(id(1), StreamConfig::default()).unwrap();
    for epoch in [0, 2, 5] {
        let options = AppendOptions {
            epoch,
            ..AppendOptions::default()
        };
        let appended = stream.append(batch(0, 10, 10), options).unwrap();
        stream.durable(appended.next).await.unwrap();
    }
    stream.checkpoint_blob(Offset(30), Bytes::from_static(b"producers"));
    store.flush().unwrap();
    forget(folder.path(), store).await;
    let store = open(folder.path());
    let stream = store.create(id(1), StreamConfig::default()).unwrap();
    assert_eq!(
        stream.blob(),
        Some((Offset(30), Bytes::from_static(b"producers")))
    );
    assert_eq!(stream.epoch_end(0), Some((0, Offset(10))));
    assert_eq!(stream.epoch_end(4), Some((2, Offset(20))));
    assert_eq!(stream.epoch_end(9), Some((5, Offset(30))));
    let headers: Vec<_> = stream
        .headers(Offset(10))
        .map(|h| h.unwrap().base_offset)
        .collect();
    assert_eq!(headers, [10, 20]);
    store.close().await.unwrap();
}

/// Changes bytes of the first segment of the only stream, and takes its indexes away: all of it
/// has to be looked at.
fn change_segment(path: &Path, at: usize, bytes: &[u8]) {
    let streams = path.join("streams");
    let folder = std::fs::read_dir(streams).unwrap().next().unwrap();
    let file = |ending| {
        folder
            .as_ref()
            .unwrap()
            .path()
            .join(format!("{:020}.{ending}", 0))
    };
    let log = file("log");
    std::fs::remove_file(file("index")).unwrap();
    std::fs::remove_file(file("timeindex")).unwrap();
    let mut all = std::fs::read(&log).unwrap();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(log, all).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_offset_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let stream = store.create(id(1), StreamConfig::default()).unwrap();
    fill(&stream, 0, 20).await;
    store.close().await.unwrap();
    // Where a batch lies is not under its checksum.
    change_segment(folder.path(), 0, &[0xff, 0xef, 3]);
    match Store::open(config(), parts(folder.path())) {
        Ok(store) => {
            let stream = store.stream(id(1)).unwrap();
            let read = stream.read(Offset(0), 3000);
            let shown = read.as_ref().map(|read| read.next);
            assert!(matches!(read, Err(Error::Damaged { .. })), "{shown:?}");
            store.close().await.unwrap();
        }
        Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_pretends_a_later_place_is_not_handed_out_when_damage_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let stream = store.create(id(1), StreamConfig::default()).unwrap();
    fill(&stream, 0, 20).await;
    store.close().await.unwrap();
    change_segment(folder.path(), 0, &[1]);
    let accepting = Config {
        accept_damage: true,
        ..config()
    };
    let store = Store::open(accepting, parts(folder.path())).unwrap();
    assert_eq!(store.recovery().damage.len(), 1);
    let stream = store.stream(id(1)).unwrap();
    assert!(stream.end() < Offset(100), "{}", stream.end());
    let read = stream.read(Offset(0), 3000).map(|read| read.bytes);
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    store.close().await.unwrap();
}
