//! Batches: what is built is read again, what is damaged is found, bombs stop.

use proptest::prelude::*;

use super::*;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn sample(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(
        1000,
        Some(b"key"),
        Some(b"value"),
        [(&b"h"[..], Some(&b"1"[..])), (b"h", None)],
    );
    builder.push(900, None, None, []);
    builder.push(1100, Some(b""), Some(&[7; 5000]), []);
    builder.build(codec).unwrap()
}

#[test]
fn what_is_built_is_read_again() {
    for codec in CODECS {
        let batch = sample(codec);
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.total_len(), batch.len());
        assert_eq!((header.count, header.last_offset_delta), (3, 2));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1100));
        assert_eq!(header.compression(), Some(codec));
        assert_eq!(header.encode()[..], batch[..HEADER_LEN]);
        check_crc(&batch).unwrap();
        let plain = decompress(codec, &batch[HEADER_LEN..], 1 << 20).unwrap();
        let records: Vec<_> = records(&plain).map(Result::unwrap).collect();
        assert_eq!(records[0].key, Some(&b"key"[..]));
        let headers: Vec<_> = records[0].headers.collect();
        assert_eq!(
            headers[0],
            Header {
                key: b"h",
                value: Some(b"1")
            }
        );
        assert_eq!(
            headers[1],
            Header {
                key: b"h",
                value: None
            }
        );
        assert_eq!(
            (records[1].timestamp_delta, records[1].key, records[1].value),
            (-100, None, None)
        );
        assert_eq!(records[2].value, Some(&[7; 5000][..]));
    }
}

#[test]
fn place_and_append_time() {
    let batch = sample(Compression::None);
    let header = BatchHeader::parse(&batch).unwrap();
    let mut moved = place(77, header.length, 5).to_vec();
    moved.extend_from_slice(&batch[PLACE_LEN..]);
    check_crc(&moved).unwrap();
    let header = BatchHeader::parse(&moved).unwrap();
    assert_eq!(
        (
            header.base_offset,
            header.leader_epoch,
            header.next_offset()
        ),
        (77, 5, 80)
    );
    let stamped = with_append_time(&moved, 5000);
    check_crc(&stamped).unwrap();
    let header = BatchHeader::parse(&stamped).unwrap();
    assert!(header.is_log_append_time());
    assert_eq!(header.max_timestamp, 5000);
}

#[test]
fn every_flipped_bit_behind_the_checksum_is_found() {
    let batch = sample(Compression::Lz4);
    for at in 17..batch.len() {
        for bit in 0..8 {
            let mut broken = batch.to_vec();
            broken[at] ^= 1 << bit;
            assert!(check_crc(&broken).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 10 << 20];
    for codec in CODECS {
        let bomb = compress(codec, &zeros, 1).unwrap();
        assert_eq!(
            decompress(codec, &bomb, 1 << 20),
            Err(BatchError::TooLarge(1 << 20)),
            "{codec:?}"
        );
    }
}

#[test]
fn bare_snappy_is_read_too() {
    let bare = snap::raw::Encoder::new()
        .compress_vec(b"hello hello hello")
        .unwrap();
    assert_eq!(
        decompress(Compression::Snappy, &bare, 100).unwrap(),
        b"hello hello hello"
    );
    let mut announced = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    announced.push(0);
    assert!(decompress(Compression::Snappy, &announced, usize::MAX).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = BatchHeader::parse(&bytes);
        let _ = check_crc(&bytes);
        let _ = records(&bytes).count();
        for codec in CODECS {
            let _ = decompress(codec, &bytes, 1 << 16);
        }
    }

    #[test]
    fn every_codec_gives_back(bytes in proptest::collection::vec(any::<u8>(), 0..100_000)) {
        for codec in CODECS {
            let packed = compress(codec, &bytes, 1).unwrap();
            prop_assert_eq!(&decompress(codec, &packed, bytes.len()).unwrap(), &bytes);
        }
    }
}
