//! A start that accepts damage destroys nothing that is intact: what can be read stays durable, what
//! cannot be put in its place is kept aside, and nothing is written to a damaged stream.

use base::{ByteSize, Offset, Rng};
use bytes::Bytes;
use store::sim::SimDisk;
use store::{AppendOptions, Config, Error, Stream};

use crate::model::bytes;
use crate::runtime;
use crate::world::{Open, batch, config, id, open, stream_config};

fn accepting() -> Config {
    Config {
        accept_damage: true,
        wal_file_bytes: ByteSize(64 << 10),
        ..config()
    }
}

fn refusing() -> Config {
    Config {
        accept_damage: false,
        ..accepting()
    }
}

fn made(at: u64) -> Bytes {
    batch(&Rng::seeded(at), 1, 2000)
}

async fn append(stream: &Stream, at: u64) {
    let appended = stream.append(made(at), AppendOptions::default()).unwrap();
    assert_eq!(appended.first, Offset(at));
    stream.durable(appended.next).await.unwrap();
}

/// Six batches of stream 0: `flushed` of them in segments, the rest in the write-ahead log alone.
async fn directory(flushed: u64) -> SimDisk {
    let disk = SimDisk::new();
    let opened = open(&disk, refusing()).unwrap();
    let stream = opened.store.create(id(0), stream_config(false)).unwrap();
    for at in 0..6 {
        append(&stream, at).await;
        if at + 1 == flushed {
            opened.store.flush().unwrap();
        }
    }
    let kept = disk.copy();
    disk.power_off();
    assert!(opened.close().await.is_err());
    kept
}

/// Whether this batch's records are in some file of the write-ahead log.
fn is_kept(disk: &SimDisk, at: u64) -> bool {
    let body = made(at).slice(16..);
    let files = disk.files();
    let mut logs = files.iter().filter(|(path, _)| path.starts_with("wal/"));
    logs.any(|(path, _)| {
        let bytes = disk.bytes(path).unwrap();
        !path.ends_with(".spare") && bytes.windows(body.len()).any(|part| part == body)
    })
}

fn segments(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.files().into_iter();
    let logs = files.filter(|(path, _)| path.ends_with(".log"));
    logs.map(|(path, _)| (path.clone(), disk.bytes(&path).unwrap()))
        .collect()
}

/// Does to a fenced stream whatever anybody may do.
fn work(opened: &Open) {
    let stream = opened.store.create(id(0), stream_config(false)).unwrap();
    let refused = stream.append(made(0), AppendOptions::default());
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    let trimmed = stream.trim_to(Offset(1));
    assert!(matches!(trimmed, Err(Error::Damaged { .. })), "{trimmed:?}");
    stream.checkpoint_blob(Offset(1), Bytes::from_static(b"blob"));
    let mut old = stream_config(false);
    (old.retention_bytes, old.segment_ms) = (Some(1), 1);
    stream.configure(old);
    opened.store.retain().unwrap();
    opened.store.compact().unwrap();
    opened.store.flush().unwrap();
}

/// The last batch of the first segment is unreadable; behind it lie another segment, and entries of
/// the write-ahead log.
#[test]
fn what_a_damaged_segment_fences_is_kept() {
    runtime().block_on(async {
        let disk = directory(5).await;
        let first = format!("streams/{}/{:020}.log", id(0), 0);
        let len = made(0).len() as u64;
        assert_eq!(segments(&disk).len(), 3, "two batches in each");
        disk.flip_bit(&first, (len + 16) * 8).unwrap();
        let before = segments(&disk);
        let refused = open(&disk.copy(), refusing()).err().unwrap();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
        for step in 1.. {
            let copy = disk.copy();
            copy.power_off_at(copy.steps() + step);
            if let Ok(opened) = open(&copy, accepting()) {
                work(&opened);
                let _ = opened.close().await;
            }
            let whole = !copy.is_off();
            let found = copy.crash(step);
            for _ in 0..2 {
                let opened = open(&found, accepting()).unwrap();
                let stream = opened.store.stream(id(0)).unwrap();
                let read = stream.read(Offset(0), 10_000).unwrap();
                assert_eq!(read.next, Offset(1), "step {step}: up to the damage");
                work(&opened);
                opened.close().await.unwrap();
                assert_eq!(segments(&found), before, "step {step}");
                assert!(is_kept(&found, 5), "step {step}: it was nowhere else");
            }
            if whole {
                break;
            }
        }
    });
}

/// Of what only the write-ahead log has, the third is unreadable.
#[test]
fn what_lies_before_a_gap_is_durable() {
    runtime().block_on(async {
        let disk = directory(0).await;
        let log = "wal/0000000000000001.wal";
        let third = made(2).slice(16..);
        let bytes_there = disk.bytes(log).unwrap();
        let mut windows = bytes_there.windows(third.len());
        let position = windows.position(|part| part == third).unwrap() as u64;
        disk.flip_bit(log, (position + 500) * 8).unwrap();
        let refused = open(&disk.copy(), refusing()).err().unwrap();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
        for step in 1.. {
            let copy = disk.copy();
            copy.power_off_at(copy.steps() + step);
            let opened = open(&copy, accepting());
            let whole = !copy.is_off();
            // The power goes before anybody closes anything.
            let found = copy.crash(step);
            if let Ok(opened) = opened {
                let _ = opened.close().await;
            }
            let opened = open(&found, accepting()).unwrap();
            let stream = opened.store.stream(id(0)).unwrap();
            assert_eq!(stream.end(), Offset(2), "step {step}");
            let read = stream.read(Offset(0), 10_000).unwrap();
            let read = bytes(&read.pieces).unwrap();
            let body = made(1).slice(16..);
            assert!(read.ends_with(&body), "step {step}");
            opened.close().await.unwrap();
            assert!(is_kept(&found, 4), "step {step}: it was nowhere else");
            // Accepted once, it does not keep the next start.
            let opened = open(&found, refusing()).unwrap();
            assert_eq!(opened.store.stream(id(0)).unwrap().end(), Offset(2));
            opened.close().await.unwrap();
            if whole {
                break;
            }
        }
    });
}
