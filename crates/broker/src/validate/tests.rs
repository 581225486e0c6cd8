//! Batches as clients make them up, and what is answered.

use std::collections::BTreeMap;

use store::batch::BatchBuilder;

use super::*;

fn topic(settings: &[(&str, &str)]) -> TopicConfig {
    let settings = settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    TopicConfig::parse(settings.collect(), &BTreeMap::new()).unwrap()
}

/// A batch of `sent` records that says that it has `said`.
fn claiming(said: i32, sent: u32, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for _ in 0..sent {
        builder.push(0, None, None, []);
    }
    let plain = builder.build(Compression::None).unwrap();
    let header = BatchHeader {
        count: said,
        last_offset_delta: said - 1,
        ..BatchHeader::parse(&plain).unwrap()
    };
    batch::rebuild(&header, &plain[HEADER_LEN..], codec, -1).unwrap()
}

fn refused(batch: &Bytes, topic: &TopicConfig) -> Option<BatchProblem> {
    check(batch, topic, &Config::default(), 0).err()
}

/// Offsets are given out for what a header says: they must not be gone after a few bytes.
#[test]
fn a_batch_has_no_more_records_than_its_bytes_can_hold() {
    let topic = topic(&[]);
    for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
        assert_eq!(refused(&claiming(100, 100, codec), &topic), None);
        for (said, sent) in [(i32::MAX, 0), (i32::MAX, 1), (i32::MAX, 1000)] {
            let problem = refused(&claiming(said, sent, codec), &topic);
            let is_invalid = matches!(problem, Some(BatchProblem::Invalid(_)));
            assert!(is_invalid, "{said} of {sent} in {codec:?}: {problem:?}");
        }
    }
    let problem = refused(&claiming(2, 1, Compression::None), &topic);
    assert!(
        matches!(problem, Some(BatchProblem::Invalid(_))),
        "{problem:?}"
    );
}

#[test]
fn what_recompression_makes_too_large_is_refused() {
    let topic = topic(&[
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "500"),
    ]);
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(&[b'x'; 5000]), []);
    let batch = builder.build(Compression::Zstd).unwrap();
    assert!(batch.len() < 500);
    let problem = refused(&batch, &topic);
    assert!(
        matches!(problem, Some(BatchProblem::TooLarge { limit: 500, .. })),
        "{problem:?}"
    );
}

#[test]
fn a_batch_that_claims_to_be_the_brokers_is_refused() {
    let topic = topic(&[]);
    for (sequence, is_refused) in [(-1, false), (0, false), (OWN_SEQUENCE, true)] {
        let mut builder = BatchBuilder::new();
        builder.push(0, None, None, []);
        let batch = builder.build_marked(Compression::None, sequence).unwrap();
        assert_eq!(refused(&batch, &topic).is_some(), is_refused, "{sequence}");
    }
}
