//! Batches that lose records: what is left, where it is, and what stays of the rest.

use base::Ledger;

use super::*;
use crate::batch::{BatchBuilder, check_crc, records};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn rules(known: &[(&str, u64)], end: u64, now_ms: i64) -> Rules {
    let mut keys = Keys::new(&Ledger::new(1 << 20), 1 << 20).unwrap();
    for (key, offset) in known {
        assert!(keys.put(key.as_bytes(), *offset));
    }
    Rules {
        keys,
        end,
        now_ms,
        tombstones_ms: 1000,
        pins: HashSet::default(),
        last: u64::MAX,
    }
}

/// A batch at offset 100 of producer 7, in epoch 3 of the leader: times 5000, 5010, ...
fn batch(codec: Compression, records: &[(Option<&str>, Option<&str>)]) -> (BatchHeader, Bytes) {
    let mut builder = BatchBuilder::new();
    for (at, (key, value)) in records.iter().enumerate() {
        let time = 5000 + 10 * i64::try_from(at).unwrap();
        let header = [(&b"h"[..], None), (&b"h"[..], Some(&b"x"[..]))];
        builder.push(
            time,
            key.map(str::as_bytes),
            value.map(str::as_bytes),
            header,
        );
    }
    let built = builder.build(codec).unwrap();
    let header = BatchHeader {
        base_offset: 100,
        leader_epoch: 3,
        producer_id: 7,
        producer_epoch: 2,
        base_sequence: 40,
        ..BatchHeader::parse(&built).unwrap()
    };
    let plain = plain(&header, &built).unwrap();
    let batch = rebuild(&header, &plain, codec, 1).unwrap();
    (BatchHeader::parse(&batch).unwrap(), batch)
}

type Plain = (u64, i64, Option<String>, Option<String>, usize);

fn read(batch: &Bytes) -> (BatchHeader, Vec<Plain>) {
    check_crc(batch).unwrap();
    let header = BatchHeader::parse(batch).unwrap();
    assert_eq!(header.total_len(), batch.len());
    let plain = plain(&header, batch).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let all: Vec<Plain> = records(&plain)
        .map(|record| {
            let record = record.unwrap();
            (
                header.base_offset as u64 + record.offset_delta as u64,
                header.base_timestamp + record.timestamp_delta,
                record.key.map(text),
                record.value.map(text),
                record.headers.count(),
            )
        })
        .collect();
    assert_eq!(all.len(), usize::try_from(header.count).unwrap());
    (header, all)
}

fn same_place(a: &BatchHeader, b: &BatchHeader) {
    let place = |h: &BatchHeader| {
        (
            (h.base_offset, h.last_offset_delta, h.leader_epoch),
            (h.producer_id, h.producer_epoch, h.base_sequence),
            h.is_log_append_time(),
        )
    };
    assert_eq!(place(a), place(b));
}

#[test]
fn the_last_of_each_key_stays_where_it_was_in_every_codec() {
    for codec in CODECS {
        let (header, before) = batch(
            codec,
            &[
                (Some("a"), Some("1")),
                (Some("b"), Some("2")),
                (Some("a"), Some("3")),
                (Some("c"), Some("4")),
            ],
        );
        let rules = rules(&[("a", 102), ("b", 900), ("c", 103)], 1000, 0);
        let verdict = rules.apply(&header, &before).unwrap();
        assert_eq!((verdict.removed, verdict.horizon), (2, None));
        let Left::Some(after) = verdict.left else {
            panic!("{codec:?}: {:?}", verdict.left)
        };
        let (new, all) = read(&after);
        same_place(&header, &new);
        assert_eq!(new.compression(), Some(codec));
        assert!(new.has_holes());
        assert_eq!(new.max_timestamp, 5030);
        let kept = |offset, time, key: &str, value: &str| {
            (offset, time, Some(key.into()), Some(value.into()), 2)
        };
        assert_eq!(all, [kept(102, 5020, "a", "3"), kept(103, 5030, "c", "4")]);
    }
}

#[test]
fn what_nothing_replaces_stays_byte_for_byte() {
    let (header, before) = batch(Compression::Lz4, &[(Some("a"), Some("1"))]);
    for rules in [rules(&[("a", 100)], 1000, 0), rules(&[("z", 500)], 1000, 0)] {
        let verdict = rules.apply(&header, &before).unwrap();
        assert_eq!(verdict, Verdict::whole(None));
    }
    // Behind the stretch that was looked at.
    let verdict = rules(&[("a", 900)], 100, 0).apply(&header, &before);
    assert_eq!(verdict.unwrap(), Verdict::whole(None));
}

#[test]
fn a_stretch_may_end_inside_a_batch() {
    let all = [(Some("a"), Some("1")), (Some("a"), None), (None, Some("x"))];
    let (header, before) = batch(Compression::None, &all);
    let verdict = rules(&[("a", 500)], 101, 0)
        .apply(&header, &before)
        .unwrap();
    assert_eq!((verdict.removed, verdict.horizon), (1, None));
    let Left::Some(after) = verdict.left else {
        panic!("{:?}", verdict.left)
    };
    let offsets: Vec<u64> = read(&after).1.iter().map(|record| record.0).collect();
    assert_eq!(offsets, [101, 102]);
}

#[test]
fn a_tombstone_goes_when_its_time_is_over() {
    for codec in CODECS {
        let all = [(Some("a"), None), (Some("b"), Some("2"))];
        let (header, before) = batch(codec, &all);
        let known = [("a", 100), ("b", 101)];
        let verdict = rules(&known, 1000, 70_000).apply(&header, &before).unwrap();
        assert_eq!((verdict.removed, verdict.horizon), (0, Some(71_000)));
        let Left::Some(stamped) = verdict.left else {
            panic!("{:?}", verdict.left)
        };
        let (new, records) = read(&stamped);
        same_place(&header, &new);
        assert_eq!(new.delete_horizon(), Some(71_000));
        assert_eq!(records, read(&before).1, "times are as they were");
        // A later pass does not set it again.
        let verdict = rules(&[], 1000, 70_999).apply(&new, &stamped).unwrap();
        assert_eq!(verdict, Verdict::whole(Some(71_000)));
        let verdict = rules(&[], 1000, 71_000).apply(&new, &stamped).unwrap();
        assert_eq!((verdict.removed, verdict.horizon), (1, None));
        let Left::Some(rest) = verdict.left else {
            panic!("{:?}", verdict.left)
        };
        let (rest_header, rest) = read(&rest);
        same_place(&header, &rest_header);
        assert_eq!(rest_header.delete_horizon(), None);
        assert_eq!(rest, read(&before).1[1..]);
    }
}

#[test]
fn an_empty_batch_stays_where_it_is_pinned() {
    let (header, before) = batch(Compression::Zstd, &[(Some("a"), Some("1"))]);
    let mut rules = rules(&[("a", 900)], 1000, 0);
    let verdict = rules.apply(&header, &before).unwrap();
    assert_eq!((verdict.left, verdict.removed), (Left::Nothing, 1));
    for last in [false, true] {
        if last {
            rules.pins.clear();
            rules.last = header.next_offset();
        } else {
            rules.pins.insert(100);
        }
        let verdict = rules.apply(&header, &before).unwrap();
        let Left::Some(empty) = verdict.left else {
            panic!("{:?}", verdict.left)
        };
        let (new, all) = read(&empty);
        same_place(&header, &new);
        assert_eq!(all, []);
        let again = rules.apply(&new, &empty).unwrap();
        assert_eq!(again, Verdict::whole(None));
        rules.pins.clear();
        rules.last = u64::MAX;
        let unpinned = rules.apply(&new, &empty).unwrap();
        assert_eq!(unpinned.left, Left::Nothing);
    }
}

#[test]
fn control_batches_pass_and_keyless_records_go() {
    let all = [(None, Some("1")), (Some("b"), Some("2"))];
    let (header, before) = batch(Compression::None, &all);
    let rules = rules(&[], 1000, 0);
    assert_eq!(rules.apply(&header, &before).unwrap().removed, 1);
    let control = BatchHeader {
        attributes: header.attributes | (1 << 5),
        ..header
    };
    assert_eq!(
        rules.apply(&control, &before).unwrap(),
        Verdict::whole(None)
    );
}

#[test]
fn the_brokers_time_stays_on_what_is_left() {
    let all = [(Some("a"), Some("1")), (Some("b"), None)];
    let (_, before) = batch(Compression::Gzip, &all);
    let before = batch::with_append_time(&before, 9000);
    let header = BatchHeader::parse(&before).unwrap();
    let verdict = rules(&[("b", 101), ("a", 500)], 1000, 20_000).apply(&header, &before);
    let Left::Some(after) = verdict.unwrap().left else {
        panic!("changed")
    };
    let (new, _) = read(&after);
    same_place(&header, &new);
    assert_eq!((new.max_timestamp, new.count), (9000, 1));
}

#[test]
fn broken_records_are_an_error() {
    let (header, before) = batch(Compression::None, &[(Some("a"), Some("1"))]);
    let mut broken = before.to_vec();
    let at = broken.len() - 4;
    broken[at] = 0xff;
    let verdict = rules(&[], 1000, 0).apply(&header, &Bytes::from(broken));
    assert!(verdict.is_err());
}
