//! What was appended, and what a reader has to find of it.

use std::collections::BTreeMap;

use base::{Offset, Rng};
use store::batch::{
    BatchBuilder, BatchHeader, Compression, HEADER_LEN, check_crc, decompress, records,
};
use store::{AppendOptions, Error, Piece, Stream};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) time: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// All that was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) all: Vec<Record>,
    pub(crate) start: u64,
}

/// Last values by key.
pub(crate) type State = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn state<'a>(records: impl IntoIterator<Item = &'a Record>) -> State {
    let mut state = State::new();
    for record in records {
        match &record.value {
            Some(value) => state.insert(record.key.clone(), value.clone()),
            None => state.remove(&record.key),
        };
    }
    state
}

impl Model {
    /// Appends a batch of up to `records_max` records of `keys` keys, at about `time`.
    pub(crate) async fn append(&mut self, stream: &Stream, rng: &Rng, keys: u64, time: i64) {
        let mut builder = BatchBuilder::new();
        let codec = CODECS[rng.below(5) as usize];
        let first = stream.appended_end().0;
        let mut new = Vec::new();
        for at in 0..=rng.below(8) {
            let tombstone = rng.below(6) == 0;
            let record = Record {
                offset: first + at,
                time: time + rng.below(20) as i64,
                key: format!("key-{}", rng.below(keys)).into_bytes(),
                value: (!tombstone).then(|| vec![rng.below(256) as u8; rng.below(150) as usize]),
            };
            builder.push(
                record.time,
                Some(&record.key),
                record.value.as_deref(),
                [(&b"origin"[..], Some(&b"model"[..]))],
            );
            new.push(record);
        }
        let batch = builder.build(codec).unwrap();
        let appended = loop {
            match stream.append(batch.clone(), AppendOptions::default()) {
                Err(Error::Busy) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        };
        stream.durable(appended.next).await.unwrap();
        self.all.extend(new);
    }

    pub(crate) fn end(&self) -> u64 {
        self.all
            .last()
            .map_or(self.start, |record| record.offset + 1)
    }

    /// Reads from several places, and compares.
    pub(crate) fn check(&self, stream: &Stream, rng: &Rng) -> Vec<Record> {
        assert_eq!(stream.end(), Offset(self.end()));
        assert_eq!(stream.start(), Offset(self.start));
        let whole = self.check_from(stream, self.start);
        for _ in 0..4 {
            let from = self.start + rng.below(self.end() - self.start + 1);
            self.check_from(stream, from);
        }
        // Below where compaction has been, of each key there is one record.
        let cleaned = stream.cleaned().0;
        let mut seen = BTreeMap::new();
        for record in whole.iter().filter(|record| record.offset < cleaned) {
            let before = seen.insert(&record.key, record.offset);
            assert_eq!(before, None, "{record:?} below {cleaned}");
        }
        self.check_times(stream, rng, &whole);
        whole
    }

    fn check_from(&self, stream: &Stream, from: u64) -> Vec<Record> {
        let found = read(stream, from);
        for record in &found {
            let at = self.all.binary_search_by_key(&record.offset, |r| r.offset);
            assert_eq!(record, &self.all[at.unwrap()], "reading from {from}");
        }
        let expected = self.all.iter().filter(|record| record.offset >= from);
        assert_eq!(state(&found), state(expected), "reading from {from}");
        found
    }

    fn check_times(&self, stream: &Stream, rng: &Rng, found: &[Record]) {
        let (Some(first), Some(last)) = (found.first(), found.last()) else {
            return;
        };
        let span = (last.time - first.time).unsigned_abs() + 40;
        for _ in 0..4 {
            let time = first.time - 20 + rng.below(span) as i64;
            let expected = found.iter().find(|record| record.time >= time);
            let answer = stream.by_timestamp(time).unwrap();
            assert_eq!(
                answer,
                expected.map(|record| (Offset(record.offset), record.time, 0)),
                "the first at {time}"
            );
        }
        let newest = found.iter().map(|record| record.time).max();
        let answer = stream.max_timestamp().unwrap();
        assert_eq!(answer.map(|(_, time, _)| time), newest);
    }
}

/// Everything from `from` on, as a client reads it: batch by batch, each from where the last ended.
pub(crate) fn read(stream: &Stream, from: u64) -> Vec<Record> {
    let end = stream.end().0;
    let mut found = Vec::new();
    let mut at = from;
    while at < end {
        let read = stream.read(Offset(at), 700).unwrap();
        assert!(read.bytes > 0, "nothing at {at}, before the end at {end}");
        assert!(read.next.0 > at);
        let mut bytes = Vec::new();
        for piece in &read.pieces {
            match piece {
                Piece::Memory(part) => bytes.extend_from_slice(part),
                Piece::File(range) => bytes.extend_from_slice(&range.read().unwrap()),
            }
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest).unwrap();
            let (batch, later) = rest.split_at(header.total_len());
            check_crc(batch).unwrap();
            assert!(header.next_offset() > at, "{header:?} at {at}");
            found.extend(
                unpack(&header, batch)
                    .into_iter()
                    .filter(|r| r.offset >= from),
            );
            at = header.next_offset();
            rest = later;
        }
        at = at.max(read.next.0);
    }
    assert!(found.is_sorted_by(|a, b| a.offset < b.offset));
    found
}

fn unpack(header: &BatchHeader, batch: &[u8]) -> Vec<Record> {
    let body = &batch[HEADER_LEN..];
    let plain = decompress(header.compression().unwrap(), body, 1 << 20).unwrap();
    let all: Vec<Record> = records(&plain)
        .map(|record| {
            let record = record.unwrap();
            assert_eq!(record.headers.count_left(), 1);
            Record {
                offset: header.base_offset as u64 + record.offset_delta as u64,
                time: header.base_timestamp + record.timestamp_delta,
                key: record.key.unwrap().to_vec(),
                value: record.value.map(<[u8]>::to_vec),
            }
        })
        .collect();
    assert_eq!(all.len(), header.count as usize);
    all
}
