//! What a client writes is data: bytes in a batch that look like frames of the write-ahead log do
//! nothing, also where a crash has torn what lies before them. And a start that is refused has
//! changed nothing.

use base::{ByteSize, Offset, Rng};
use bytes::Bytes;
use store::batch::{BatchBuilder, Compression};
use store::sim::{Action, SimDisk};
use store::{AppendOptions, Config, Error, Stream};

use crate::rot::is_noted;
use crate::runtime;
use crate::world::{batch, config, id, open, stream_config};

/// The lengths of a frame's header, by format.
const LAYOUTS: [(u32, usize); 2] = [(0x5354_4c31, 56), (0x5354_4c32, 64)];

/// A frame that says that stream 1 is no more, in a write after all others. What a client does not
/// know is 0.
fn forged((magic, len): (u32, usize), file: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[0..4].copy_from_slice(&magic.to_le_bytes());
    bytes[12..14].copy_from_slice(&[3, 1]);
    bytes[16..24].copy_from_slice(&file.to_le_bytes());
    bytes[24..32].copy_from_slice(&(1_u64 << 62).to_le_bytes());
    bytes[32..48].copy_from_slice(id(1).topic.0.as_bytes());
    bytes[48..52].copy_from_slice(&id(1).partition.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A batch full of them, whatever place its bytes get.
fn hostile() -> Bytes {
    let mut value = Vec::new();
    for shift in 0..8 {
        value.resize(value.len().next_multiple_of(8) + shift, 0);
        for layout in LAYOUTS {
            for file in 1..4 {
                value.extend(forged(layout, file));
            }
        }
    }
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(&value), []);
    builder.build(Compression::None).unwrap()
}

fn large() -> Config {
    Config {
        wal_file_bytes: ByteSize(64 << 10),
        ..config()
    }
}

async fn append(stream: &Stream, batch: Bytes) -> Result<Offset, Error> {
    let next = stream.append(batch, AppendOptions::default())?.next;
    stream.durable(next).await?;
    Ok(next)
}

#[test]
fn frames_in_a_batch_are_no_frames() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let opened = open(&disk, large()).unwrap();
        let create = |number| opened.store.create(id(number), stream_config(false));
        let (hostile_one, victim) = (create(0).unwrap(), create(1).unwrap());
        let kept = append(&victim, batch(&Rng::seeded(1), 3, 500)).await;
        opened.store.flush().unwrap();
        append(&hostile_one, hostile()).await.unwrap();
        while !is_noted(&disk) {
            std::thread::yield_now();
        }
        // The power goes in the middle of the next write.
        disk.power_off_at(disk.steps() + 1);
        assert!(append(&hostile_one, hostile()).await.is_err());
        assert!(opened.close().await.is_err());
        for seed in 0..60 {
            let found = disk.crash(seed);
            let opened = open(&found, large()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let victim = opened.store.stream(id(1)).expect("nobody removed it");
            assert_eq!(victim.end(), *kept.as_ref().unwrap(), "seed {seed}");
            victim.read(Offset(0), 10_000).unwrap();
            let end = opened.store.stream(id(0)).unwrap().end();
            assert!(end >= Offset(1), "seed {seed}: the first was acknowledged");
            opened.close().await.unwrap();
        }
    });
}

/// The removal is in the write-ahead log, in which something else is damaged.
#[test]
fn a_refused_start_changes_nothing() {
    runtime().block_on(async {
        let disk = SimDisk::new();
        let opened = open(&disk, large()).unwrap();
        for number in 0..2 {
            let stream = opened.store.create(id(number), stream_config(false));
            let batch = batch(&Rng::seeded(2), 2, 400);
            append(&stream.unwrap(), batch).await.unwrap();
        }
        opened.store.flush().unwrap();
        let gate = disk.close_gate(Action::Rename, "streams/", 0);
        let killed = std::thread::scope(|scope| {
            let removing = scope.spawn(|| opened.store.remove(id(1)));
            disk.wait_at_gate(gate);
            let killed = disk.copy();
            disk.open_gate(gate);
            removing.join().unwrap().unwrap();
            killed
        });
        opened.close().await.unwrap();
        let path = "wal/0000000000000001.wal";
        killed.flip_bit(path, 8 * 600).unwrap();
        let before = killed.files();
        let error = open(&killed, large()).err().expect("it is damaged");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_eq!(killed.files(), before);
        // Repaired, the removal counts.
        let repaired = killed.copy();
        repaired.flip_bit(path, 8 * 600).unwrap();
        let opened = open(&repaired, large()).unwrap();
        assert_eq!(opened.store.streams(), [id(0)]);
        opened.close().await.unwrap();
    });
}
