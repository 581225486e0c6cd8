//! Record batches: header, checksum, decompression within its limit, records. The checksum is set
//! right before, or nothing would get past it.

use bytes::Bytes;
use store::batch::{
    BatchBuilder, BatchHeader, Compression, HEADER_LEN, check_crc, crc32c, decompress, rebuild,
    records,
};

/// The most that may come out of one batch.
const DECOMPRESSED_MAX: usize = 1 << 20;

/// Plays one input.
pub fn run(data: &[u8]) {
    let Ok(header) = BatchHeader::parse(data) else {
        return;
    };
    assert_eq!(BatchHeader::parse(&header.encode()), Ok(header));
    let sealed = seal(data);
    if sealed.len() == header.total_len() {
        check_crc(&sealed).expect("the checksum was set");
    }
    let Some(codec) = header.compression() else {
        return;
    };
    let body = sealed.get(HEADER_LEN..).unwrap_or_default();
    let Ok(plain) = decompress(codec, body, DECOMPRESSED_MAX) else {
        return;
    };
    assert!(plain.len() <= DECOMPRESSED_MAX);
    let mut count = 0;
    for record in records(&plain) {
        let Ok(record) = record else { return };
        let left = record.headers.count_left();
        assert_eq!(record.headers.count(), left, "headers were checked");
        count += 1;
    }
    // Whatever is a batch is one too in another compression, with the same in it.
    let other = if codec == Compression::Lz4 {
        Compression::None
    } else {
        Compression::Lz4
    };
    let again = rebuild(&header, &plain, other, -1).expect("a megabyte fits");
    let back = decompress(other, &again[HEADER_LEN..], DECOMPRESSED_MAX).expect("just written");
    assert_eq!(back, plain);
    assert_eq!(records(&back).count(), count);
}

/// The bytes with length and checksum set right.
#[must_use]
pub fn seal(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() >= HEADER_LEN {
        let length = i32::try_from(bytes.len() - 12).unwrap_or(i32::MAX);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// A batch of a few records.
#[must_use]
pub fn example(first: usize, count: usize, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for at in first..first + count {
        let key = at.to_string();
        let value = "text that repeats, text that repeats".repeat(at % 4);
        let value = (at % 5 != 4).then_some(value.as_bytes());
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"1")), (b"b", None)];
        let time = 1_700_000_000_000 + i64::try_from(at).unwrap();
        builder.push(time, Some(key.as_bytes()), value, headers);
    }
    builder.build(codec).unwrap()
}

/// A batch in each compression, and an empty one.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    use Compression as C;
    let codecs = [C::None, C::Gzip, C::Snappy, C::Lz4, C::Zstd];
    let batches = codecs.map(|codec| example(1, 9, codec).to_vec());
    batches
        .into_iter()
        .chain([example(0, 0, C::None).to_vec()])
        .collect()
}
