//! A data directory whose files were changed by hand: it is opened, or refused in words. What can
//! be read is what was written, at its offset; damage never turns into other records.
//!
//! The input is a list of changes to a directory that a store has written: which file, where, what.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, Ledger, Metrics, Offset, StreamId, Tasks, TopicId};
use bytes::Bytes;
use store::batch::{BatchHeader, Compression, PLACE_LEN, check_crc};
use store::{AppendOptions, Config, Error, Parts, Piece, Store, Stream, StreamConfig};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::batch;
use crate::disk::{Files, MemoryDisk};
use crate::engine::small;

/// Streams of the directory.
const STREAMS: u32 = 2;

/// The batches of each stream by their first offset.
type Written = BTreeMap<(u32, u64), Bytes>;

/// A directory as a store left it.
struct Original {
    runtime: Runtime,
    /// After a stop in order; then a kill: the write-ahead log holds the newest.
    files: [Files; 2],
    written: Written,
}

thread_local! {
    static ORIGINAL: OnceCell<Original> = const { OnceCell::new() };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    ORIGINAL.with(|original| {
        let original = original.get_or_init(make);
        let [mode, changes @ ..] = data else { return };
        let mut files = original.files[usize::from(mode & 1)].clone();
        for change in changes.chunks(8) {
            apply(&mut files, change);
        }
        let _inside = original.runtime.enter();
        let accept_damage = mode & 2 != 0;
        let Ok(store) = open(&MemoryDisk::with(&files), accept_damage) else {
            return;
        };
        if !accept_damage {
            assert!(
                store.recovery().damage.is_empty(),
                "damage was not accepted"
            );
        }
        for stream in store.streams().iter().filter_map(|id| store.stream(*id)) {
            read(&stream, &original.written);
        }
        // It may have found the directory damaged on the way; it may not fall over.
        let _ = original.runtime.block_on(store.close());
    });
}

fn id(partition: u32) -> StreamId {
    StreamId {
        topic: TopicId(Uuid::from_u128(1)),
        partition,
    }
}

fn open(disk: &MemoryDisk, accept_damage: bool) -> Result<Store, Error> {
    let parts = Parts {
        disk: Arc::new(disk.clone()),
        clock: Clock::system(),
        ledger: Ledger::new(64 << 20),
        tasks: Tasks::current(),
        metrics: Metrics::default(),
    };
    Store::open(
        Config {
            accept_damage,
            ..small()
        },
        parts,
    )
}

/// Writes a directory: some of it moved to segments, some only in the write-ahead log.
fn make() -> Original {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let disk = MemoryDisk::default();
    let mut written = Written::new();
    let inside = runtime.enter();
    let store = open(&disk, false).unwrap();
    let config = StreamConfig {
        segment_bytes: 2048,
        index_interval_bytes: 256,
        ..StreamConfig::default()
    };
    for round in 0..12 {
        for partition in 0..STREAMS {
            let stream = store.create(id(partition), config.clone()).unwrap();
            let batch = batch::example(round * 7, 1 + round % 4, Compression::None);
            let options = AppendOptions {
                epoch: 3,
                log_append_time: None,
            };
            let appended = stream.append(batch.clone(), options).unwrap();
            runtime.block_on(stream.durable(appended.next)).unwrap();
            written.insert((partition, appended.first.0), batch);
        }
        if round == 7 {
            store.flush().unwrap();
        }
    }
    let killed = disk.files();
    runtime.block_on(store.close()).unwrap();
    drop(inside);
    Original {
        runtime,
        files: [disk.files(), killed],
        written,
    }
}

/// A change of eight bytes: file, kind, position (three bytes), value (three bytes).
fn apply(files: &mut Files, change: &[u8]) {
    let [file, kind, a, b, c, value @ ..] = change else {
        return;
    };
    let count = files.len().max(1);
    let Some(path) = files.keys().nth(usize::from(*file) % count).cloned() else {
        return;
    };
    let Some(bytes) = files.get_mut(&path) else {
        return;
    };
    let at = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
    // The write-ahead log's files are long and mostly zeros.
    let at = at % bytes.len().clamp(1, 8192);
    match kind % 6 {
        0 => bytes.truncate(at),
        1 => drop(files.remove(&path)),
        2 => bytes.extend_from_slice(value),
        3 => {
            let end = (at + value.len()).min(bytes.len());
            let at = at.min(end);
            bytes.drain(at..end);
        }
        4 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= value.first().copied().unwrap_or(1) | 1;
            }
        }
        _ => {
            for (place, new) in bytes.iter_mut().skip(at).zip(value) {
                *place = *new;
            }
        }
    }
}

/// Reads all of a stream: errors end it; what comes is what was written.
fn read(stream: &Stream, written: &Written) {
    let partition = stream.id().partition;
    let mut at = stream.start();
    while at < stream.end() {
        let Ok(read) = stream.read(at, 4096) else {
            return;
        };
        let mut bytes = Vec::new();
        for piece in &read.pieces {
            match piece {
                Piece::Memory(part) => bytes.extend_from_slice(part),
                Piece::File(range) => match range.read() {
                    Ok(part) => bytes.extend(part),
                    Err(_) => return,
                },
            }
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest).expect("whole batches are read");
            let (batch, after) = rest.split_at(header.total_len());
            check_crc(batch).expect("what is read has its checksum");
            let first = u64::try_from(header.base_offset).expect("offsets are positive");
            let original = written
                .get(&(partition, first))
                .expect("a batch begins at this offset");
            assert_eq!(batch[PLACE_LEN..], original[PLACE_LEN..], "offset {first}");
            rest = after;
        }
        if read.next <= at {
            return;
        }
        at = read.next;
    }
    let _ = stream.read(Offset(at.0.saturating_add(5)), 100);
    let _ = stream.by_timestamp(1_700_000_000_010);
    let _ = stream.max_timestamp();
}

/// One change of each kind to each of the first files, in both directories.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1], vec![2], vec![3]];
    for file in 0..12 {
        for kind in 0..6 {
            let mode = (file + kind) % 4;
            seeds.push(vec![mode, file, kind, 60, 0, 0, 0xff, 0, 7]);
            seeds.push(vec![mode ^ 2, file, kind, 10, 1, 0, 1, 2, 3]);
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_changed_is_read_whole() {
        let original = make();
        let _inside = original.runtime.enter();
        for files in &original.files {
            let store = open(&MemoryDisk::with(files), false).unwrap();
            let mut streams = store.streams();
            streams.sort();
            assert_eq!(streams, [id(0), id(1)]);
            for id in streams {
                let stream = store.stream(id).unwrap();
                assert!(stream.end().0 > 12);
                read(&stream, &original.written);
            }
            original.runtime.block_on(store.close()).unwrap();
        }
    }
}
