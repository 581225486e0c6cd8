//! Records built from a publisher's words and unpacked for a reader.

use super::*;

/// Values that Apache Kafka's own test of its hash uses.
#[test]
fn hashes_as_producers_do() {
    let cases: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        (b"abc", 479_470_107),
    ];
    for (key, hash) in cases {
        assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
    }
}

fn batch(base: i64, values: &[&[u8]], codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(1_000, Some(b"k"), Some(value), [(&b"h"[..], None)]);
    }
    let mut bytes = builder.build(codec).unwrap().to_vec();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes
}

fn unpack(bytes: &[u8], from: u64, records_max: usize) -> (Vec<u64>, u64, bool) {
    let from = Offset(from);
    let mut unpack = Unpack {
        from,
        next: from,
        records_max,
        bytes_max: 1 << 20,
        records: Vec::new(),
    };
    let finished = unpack.batches(bytes).unwrap();
    (
        unpack.records.iter().map(|r| r.offset.0).collect(),
        unpack.next.0,
        finished,
    )
}

#[test]
fn unpacks_from_the_middle_of_a_batch_and_stops_at_the_limit() {
    let mut bytes = batch(10, &[b"a", b"b", b"c"], Compression::None);
    bytes.extend(batch(13, &[b"d", b"e"], Compression::Zstd));
    assert_eq!(unpack(&bytes, 11, 100), (vec![11, 12, 13, 14], 15, true));
    assert_eq!(unpack(&bytes, 11, 3), (vec![11, 12, 13], 14, false));
    assert_eq!(unpack(&bytes, 14, 1), (vec![14], 15, true));
}

#[test]
fn damaged_bytes_are_an_error() {
    let mut unpack = Unpack {
        from: Offset(0),
        next: Offset(0),
        records_max: 9,
        bytes_max: 1 << 20,
        records: Vec::new(),
    };
    let bytes = batch(0, &[b"a"], Compression::None);
    assert!(unpack.batches(&bytes[..bytes.len() - 1]).is_err());
    assert!(unpack.batches(b"nonsense").is_err());
}
