//! Compressed batches as different clients frame them, where the broker has to look inside.

use bytes::Bytes;
use kafka_wire::ErrorCode;
use store::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN, compress};

use super::harness::{START_MS, Settings, on_server, with};
use super::messages::{fetch, produce, sealed};

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// Two records, not compressed: their header and their bytes.
fn plain() -> (BatchHeader, Bytes) {
    let mut builder = BatchBuilder::new();
    builder.push(START_MS, Some(b"a"), Some(&[1; 40]), []);
    builder.push(START_MS, Some(b"b"), Some(&[2; 200]), []);
    let batch = builder.build(Compression::None).unwrap();
    let header = BatchHeader::parse(&batch).unwrap();
    (header, batch.slice(HEADER_LEN..))
}

/// The two records in a body that a client compressed its own way.
fn framed(codec: Compression, body: &[u8]) -> Bytes {
    let (header, _) = plain();
    let attributes = codec.bits();
    sealed(
        &BatchHeader {
            attributes,
            ..header
        },
        body,
    )
}

/// What a compacted topic, whose records are looked at, says to each of `batches`; those that it
/// takes come back as they were sent.
fn outcomes(batches: Vec<Bytes>) -> Vec<i16> {
    let codes = std::cell::RefCell::new(Vec::new());
    on_server(async |server| {
        server
            .topic("keys", 1, &[("cleanup.policy", "compact")])
            .await;
        let mut client = server.client();
        let mut taken = Vec::new();
        for batch in &batches {
            let answer = client.ask(9, produce("keys", 0, batch.clone())).await;
            let code = answer.responses[0].partition_responses[0].error_code;
            if code == 0 {
                taken.push(batch);
            }
            codes.borrow_mut().push(code);
        }
        let answer = client.ask(12, fetch("keys", 0, 0)).await;
        let got = answer.responses[0].partitions[0].records.clone().unwrap();
        let mut rest = &got[..];
        for batch in taken {
            let (one, after) = rest.split_at(batch.len());
            assert_eq!(one[16..], batch[16..], "as it was sent");
            rest = after;
        }
        assert!(rest.is_empty());
    });
    codes.into_inner()
}

/// A snappy block of literals only, without any frame around it (as librdkafka and franz-go send).
fn bare_snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    for part in bytes.chunks(60) {
        out.push(((part.len() - 1) << 2) as u8);
        out.extend_from_slice(part);
    }
    out
}

#[test]
fn every_codec_is_read() {
    let (_, records) = plain();
    let batches = CODECS.map(|codec| framed(codec, &compress(codec, &records, 1).unwrap()));
    assert_eq!(outcomes(batches.to_vec()), [0; 4]);
}

#[test]
fn several_members_and_frames_are_one_stream() {
    let (_, records) = plain();
    let (first, second) = records.split_at(20);
    let codecs = [Compression::Gzip, Compression::Zstd];
    let batches = codecs.map(|codec| {
        let parts = [first, second].map(|part| compress(codec, part, 1).unwrap());
        framed(codec, &parts.concat())
    });
    assert_eq!(outcomes(batches.to_vec()), [0; 2]);
}

#[test]
fn snappy_comes_bare_and_in_javas_blocks() {
    let (_, records) = plain();
    let mut blocks = vec![
        0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
    ];
    for part in records.chunks(100) {
        let block = bare_snappy(part);
        blocks.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
        blocks.extend_from_slice(&block);
    }
    let bare = framed(Compression::Snappy, &bare_snappy(&records));
    let java = framed(Compression::Snappy, &blocks);
    let cut = framed(Compression::Snappy, &blocks[..blocks.len() - 1]);
    let corrupt = ErrorCode::CorruptMessage.code();
    assert_eq!(outcomes(vec![bare, java, cut]), [0, 0, corrupt]);
}

#[test]
fn zstd_needs_no_size_in_its_frame() {
    let (_, records) = plain();
    // A frame whose content is one raw block: magic, a descriptor without size or checksum, the
    // window, the block's header (last, raw, its length), the bytes (RFC 8878 3.1.1).
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let block = (u32::try_from(records.len()).unwrap() << 3) | 1;
    frame.extend_from_slice(&block.to_le_bytes()[..3]);
    frame.extend_from_slice(&records);
    assert_eq!(outcomes(vec![framed(Compression::Zstd, &frame)]), [0]);
}

#[test]
fn what_a_codec_cannot_read_is_corrupt() {
    let corrupt = ErrorCode::CorruptMessage.code();
    for codec in CODECS {
        let packed = compress(codec, &plain().1, 1).unwrap();
        let batches = vec![
            framed(codec, b"no stream of any kind"),
            framed(codec, &packed[..packed.len() / 2]),
            framed(codec, b""),
        ];
        let told = outcomes(batches);
        // Nothing decompresses to nothing at best: then the records are missing.
        assert!(
            told[..2].iter().all(|code| *code == corrupt),
            "{codec:?}: {told:?}"
        );
        assert!(told[2] != 0, "{codec:?}: {told:?}");
    }
}

#[test]
fn a_bomb_is_corrupt_and_costs_no_more_than_the_limit() {
    let topics = broker::Config {
        decompressed_bytes_max: base::ByteSize(4 << 20),
        ..broker::Config::default()
    };
    let settings = Settings {
        topics,
        ..Settings::default()
    };
    with(settings, async |server| {
        server
            .topic("keys", 1, &[("cleanup.policy", "compact")])
            .await;
        let mut client = server.client();
        for codec in CODECS {
            let bomb = framed(codec, &compress(codec, &vec![0; 8 << 20], 1).unwrap());
            let answer = client.ask(9, produce("keys", 0, bomb)).await;
            let told = answer.responses[0].partition_responses[0].error_code;
            assert_eq!(told, ErrorCode::CorruptMessage.code(), "{codec:?}");
        }
    });
}

#[test]
fn what_is_not_looked_into_is_stored_as_it_came() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let odd = framed(Compression::Gzip, b"no stream of any kind");
        let answer = client.ask(9, produce("orders", 0, odd.clone())).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        let answer = client.ask(12, fetch("orders", 0, 0)).await;
        let got = answer.responses[0].partitions[0].records.clone().unwrap();
        assert_eq!(got[16..], odd[16..]);
    });
}
