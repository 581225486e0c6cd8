//! A directory that an older version has left: its write-ahead log is read, and from then on the
//! directory has the newest format.

use base::{Offset, Rng};
use store::sim::SimDisk;
use store::{AppendOptions, Error};

use crate::model::bytes;
use crate::runtime;
use crate::world::{Open, batch, config, id, open, stream_config};

/// A frame as format 1 had it: 56 bytes of header, no key.
fn frame(kind: u8, write: u64, number: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 56];
    bytes[0..4].copy_from_slice(&0x5354_4c31_u32.to_le_bytes());
    bytes[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes[12..14].copy_from_slice(&[kind, 1]);
    bytes[16..24].copy_from_slice(&5_u64.to_le_bytes());
    bytes[24..32].copy_from_slice(&write.to_le_bytes());
    bytes[32..48].copy_from_slice(id(number).topic.0.as_bytes());
    bytes[48..52].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[8..]), payload);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Three batches of stream 0, and stream 1 that came and went.
fn directory() -> (SimDisk, Vec<u8>) {
    let disk = SimDisk::new();
    // The folders.
    runtime().block_on(async {
        let opened = open(&disk, config()).unwrap();
        opened.close().await.unwrap();
    });
    let disk = disk.copy();
    let rng = Rng::seeded(9);
    let mut log = frame(1, 0, 0, &[0; 16]);
    let mut all = Vec::new();
    for at in 0..3_u64 {
        let mut batch = batch(&rng, 1, 300).to_vec();
        batch[..8].copy_from_slice(&at.to_be_bytes());
        batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
        log.extend(frame(2, 2 * at + 1, 0, &batch));
        log.extend(frame(2, 2 * at + 2, 1, &batch));
        all.extend(batch);
    }
    log.extend(frame(3, 7, 1, &[]));
    log.extend(frame(4, 7, 0, &[]));
    disk.put("format", b"1\n").unwrap();
    disk.put("wal/0000000000000005.wal", &log).unwrap();
    disk.put("wal/0000000000000004.spare", &log).unwrap();
    (disk, all)
}

fn check(opened: &Open, wanted: &[u8]) {
    assert_eq!(opened.store.streams(), [id(0)]);
    let stream = opened.store.stream(id(0)).unwrap();
    assert_eq!(stream.end(), Offset(3));
    let read = stream.read(Offset(0), 10_000).unwrap();
    assert_eq!(bytes(&read.pieces).unwrap(), wanted);
}

#[test]
fn a_directory_of_format_1_is_read_and_becomes_one_of_format_2() {
    let (old, wanted) = directory();
    let run = runtime();
    for step in 1.. {
        let disk = old.copy();
        disk.power_off_at(disk.steps() + step);
        let opened = run.block_on(async { open(&disk, config()) });
        if let Ok(opened) = opened {
            check(&opened, &wanted);
            let _ = run.block_on(opened.close());
        }
        let whole = !disk.is_off();
        // Whatever the power has interrupted, the next start goes on.
        let found = disk.crash(step);
        run.block_on(async {
            let opened = open(&found, config()).unwrap_or_else(|e| panic!("step {step}: {e}"));
            check(&opened, &wanted);
            let stream = opened.store.create(id(0), stream_config(false)).unwrap();
            let next = stream.append(batch(&Rng::seeded(1), 1, 10), AppendOptions::default());
            stream.durable(next.unwrap().next).await.unwrap();
            opened.close().await.unwrap();
        });
        assert_eq!(found.bytes("format").unwrap(), b"2\n", "step {step}");
        if whole {
            assert!(step > 10, "{step} steps tell nothing");
            break;
        }
    }
}

#[test]
fn damage_in_a_directory_of_format_1_is_found() {
    let (old, _) = directory();
    for byte in [60, 200, 600] {
        let disk = old.copy();
        disk.flip_bit("wal/0000000000000005.wal", byte * 8).unwrap();
        let error = runtime().block_on(async { open(&disk, config()).err() });
        let error = error.unwrap();
        assert!(
            matches!(error, Error::Damaged { .. }),
            "byte {byte}: {error}"
        );
        assert_eq!(disk.bytes("format").unwrap(), b"1\n", "byte {byte}");
    }
}

#[test]
fn a_format_that_never_was_is_damage() {
    let (old, _) = directory();
    old.put("format", b"0\n").unwrap();
    let error = runtime().block_on(async { open(&old, config()).err() });
    assert!(matches!(error, Some(Error::Damaged { .. })), "{error:?}");
}
