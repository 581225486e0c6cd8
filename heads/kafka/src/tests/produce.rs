//! What a producer may send, and what it is told about what it may not.

use bytes::Bytes;
use kafka_wire::ErrorCode;
use net::head::Close;
use store::batch::{self as format, BatchBuilder, BatchHeader, Compression, HEADER_LEN};

use super::harness::{Client, START_MS, on_server};
use super::messages::{batch, changed, fetch, produce, sealed, timed};

const HOUR_MS: i64 = 3_600_000;

/// Appends to partition 0 of `orders`: the code and the offset.
pub(super) async fn append(client: &mut Client, records: Bytes) -> (i16, i64) {
    let answer = client.ask(9, produce("orders", 0, records)).await;
    let told = &answer.responses[0].partition_responses[0];
    (told.error_code, told.base_offset)
}

pub(super) fn refused(code: ErrorCode) -> (i16, i64) {
    (code.code(), -1)
}

/// What a fetch from the beginning of `orders` brings.
async fn stored(client: &mut Client) -> Bytes {
    let answer = client.ask(12, fetch("orders", 0, 0)).await;
    answer.responses[0].partitions[0].records.clone().unwrap()
}

#[test]
fn batches_get_the_next_offsets() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        assert_eq!(append(&mut client, batch(3)).await, (0, 0));
        assert_eq!(append(&mut client, batch(2)).await, (0, 3));
        // Where the client believes it writes says nothing.
        let odd = changed(&batch(1), |header| {
            (header.base_offset, header.leader_epoch) = (77, 9)
        });
        assert_eq!(append(&mut client, odd).await, (0, 5));
    });
}

#[test]
fn a_batch_is_kept_as_it_came_but_for_its_place() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut builder = BatchBuilder::new();
        // One name twice, and a header without a value: both are allowed, in this order.
        let headers = [(&b"h"[..], Some(&b"1"[..])), (b"h", None), (b"", Some(b""))];
        builder.push(START_MS, None, None, headers);
        builder.push(START_MS, Some(b""), Some(b"v"), []);
        let sent = builder.build(Compression::None).unwrap();
        let mut client = server.client();
        assert_eq!(append(&mut client, sent.clone()).await, (0, 0));
        let got = stored(&mut client).await;
        assert_eq!(got[16..], sent[16..]);
        assert_eq!(BatchHeader::parse(&got).unwrap().base_offset, 0);
        let kept: Vec<_> = format::records(&got[HEADER_LEN..])
            .map(Result::unwrap)
            .collect();
        let names: Vec<_> = kept[0].headers.map(|h| (h.key, h.value)).collect();
        assert_eq!(names, headers);
    });
}

#[test]
fn acks_are_none_one_or_all() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for acks in [2, -2, i16::MAX] {
            let mut request = produce("orders", 0, batch(1));
            request.acks = acks;
            let answer = client.ask(9, request).await;
            let told = &answer.responses[0].partition_responses[0];
            assert_eq!(told.error_code, ErrorCode::InvalidRequiredAcks.code());
        }
        let mut silent = produce("orders", 0, batch(1));
        silent.acks = 0;
        assert_eq!(client.try_ask(9, &silent).await, Ok(None));
        let mut one = produce("orders", 0, batch(1));
        one.acks = 1;
        let answer = client.ask(9, one).await;
        assert_eq!(answer.responses[0].partition_responses[0].base_offset, 1);
    });
}

#[test]
fn who_wants_no_answer_hears_of_a_failure_by_the_end_of_the_connection() {
    on_server(async |server| {
        let mut silent = produce("none", 0, batch(1));
        silent.acks = 0;
        let end = server.client().try_ask(9, &silent).await;
        assert!(matches!(end, Err(Close::Protocol(_))));
    });
}

#[test]
fn unknown_topics_and_partitions_fail_alone() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let mut request = produce("orders", 0, batch(1));
        request
            .topic_data
            .extend(produce("none", 0, batch(1)).topic_data);
        request
            .topic_data
            .extend(produce("orders", 1, batch(1)).topic_data);
        request
            .topic_data
            .extend(produce("orders", -1, batch(1)).topic_data);
        let answer = client.ask(9, request).await;
        let told: Vec<_> = answer
            .responses
            .iter()
            .map(|topic| topic.partition_responses[0].error_code)
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(told, [0, unknown, unknown, unknown]);
        let nil = client.ask(13, produce("", 0, batch(1))).await;
        let told = nil.responses[0].partition_responses[0].error_code;
        assert_eq!(told, ErrorCode::UnknownTopicId.code());
    });
}

#[test]
fn the_brokers_own_topics_are_written_by_kafkas_tool_only() {
    on_server(async |server| {
        let mut client = server.client();
        let request = || produce("__consumer_offsets", 0, batch(1));
        let answer = client.ask(9, request()).await;
        let told = answer.responses[0].partition_responses[0].error_code;
        assert_eq!(told, ErrorCode::InvalidTopicException.code());
        client.name = "__admin_client";
        let answer = client.ask(9, request()).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    });
}

#[test]
fn the_form_of_a_batch_is_checked_before_anything_else() {
    on_server(async |server| {
        server
            .topic("orders", 1, &[("max.message.bytes", "1000")])
            .await;
        let mut client = server.client();
        let good = batch(2);
        let flipped = |at: usize| {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1;
            Bytes::from(bytes)
        };
        let with_magic = |magic: u8| {
            let mut bytes = good.to_vec();
            bytes[16] = magic;
            Bytes::from(bytes)
        };
        let two = [&good[..], &good[..]].concat();
        let mut long = BatchBuilder::new();
        long.push(START_MS, None, Some(&[0; 1000]), []);
        let invalid = ErrorCode::InvalidRecord;
        for (what, records, code) in [
            (
                "cut short",
                good.slice(..good.len() - 1),
                ErrorCode::CorruptMessage,
            ),
            (
                "less than a header",
                good.slice(..60),
                ErrorCode::CorruptMessage,
            ),
            ("nothing", Bytes::new(), ErrorCode::CorruptMessage),
            ("format 1", with_magic(1), invalid),
            ("format 0", with_magic(0), invalid),
            ("two batches", two.into(), invalid),
            (
                "a flipped record",
                flipped(good.len() - 1),
                ErrorCode::CorruptMessage,
            ),
            ("a flipped checksum", flipped(17), ErrorCode::CorruptMessage),
            (
                "too long",
                long.build(Compression::None).unwrap(),
                ErrorCode::MessageTooLarge,
            ),
        ] {
            assert_eq!(append(&mut client, records).await, refused(code), "{what}");
        }
        let mut none = produce("orders", 0, good.clone());
        none.topic_data[0].partition_data[0].records = None;
        let answer = client.ask(9, none).await;
        assert_eq!(
            answer.responses[0].partition_responses[0].error_code,
            invalid.code()
        );
        assert_eq!(
            append(&mut client, good).await,
            (0, 0),
            "nothing was appended"
        );
    });
}

#[test]
fn a_batch_larger_than_a_segment_is_refused() {
    on_server(async |server| {
        let config = [
            ("segment.bytes", "1048576"),
            ("max.message.bytes", "4000000"),
        ];
        server.topic("orders", 1, &config).await;
        let mut long = BatchBuilder::new();
        long.push(START_MS, None, Some(&[0; 1 << 20]), []);
        let records = long.build(Compression::None).unwrap();
        let told = append(&mut server.client(), records).await;
        assert_eq!(told, refused(ErrorCode::RecordListTooLarge));
    });
}

#[test]
fn the_header_of_a_batch_must_be_a_producers() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let good = batch(2);
        type Change = fn(&mut BatchHeader);
        let invalid = ErrorCode::InvalidRecord;
        let changes: [(&str, Change, ErrorCode); 10] = [
            (
                "codec 5",
                |h| h.attributes = 5,
                ErrorCode::UnsupportedCompressionType,
            ),
            (
                "codec 7",
                |h| h.attributes = 7,
                ErrorCode::UnsupportedCompressionType,
            ),
            (
                "no record",
                |h| (h.count, h.last_offset_delta) = (0, 0),
                invalid,
            ),
            ("fewer than said", |h| h.count = 1, invalid),
            ("a negative count", |h| h.count = -1, invalid),
            ("a control batch", |h| h.attributes = 0x20, invalid),
            ("a transaction's", |h| h.attributes = 0x10, invalid),
            ("an id without sequence", |h| h.producer_id = 5, invalid),
            (
                "an id without epoch",
                |h| (h.producer_id, h.base_sequence) = (5, 0),
                invalid,
            ),
            (
                "the log's time",
                |h| h.attributes = 8,
                ErrorCode::InvalidTimestamp,
            ),
        ];
        for (what, change, code) in changes {
            let told = append(&mut client, changed(&good, change)).await;
            assert_eq!(told, refused(code), "{what}");
        }
        assert_eq!(append(&mut client, good).await, (0, 0));
    });
}

#[test]
fn zstd_came_with_version_7() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let mut builder = BatchBuilder::new();
        builder.push(START_MS, None, Some(b"v"), []);
        let records = builder.build(Compression::Zstd).unwrap();
        for version in [3, 6] {
            let answer = client
                .ask(version, produce("orders", 0, records.clone()))
                .await;
            let told = answer.responses[0].partition_responses[0].error_code;
            assert_eq!(told, ErrorCode::UnsupportedCompressionType.code());
        }
        let answer = client.ask(7, produce("orders", 0, records)).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    });
}

#[test]
fn times_are_at_most_an_hour_ahead() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let now = server.now_ms();
        for good in [now + HOUR_MS, now, 0, -1] {
            assert_eq!(append(&mut client, timed(&[good])).await.0, 0);
        }
        let told = append(&mut client, timed(&[now, now + HOUR_MS + 1])).await;
        assert_eq!(told, refused(ErrorCode::InvalidTimestamp));
    });
}

#[test]
fn the_records_to_blame_are_named() {
    on_server(async |server| {
        server
            .topic("orders", 1, &[("cleanup.policy", "compact")])
            .await;
        server
            .topic("times", 1, &[("message.timestamp.before.max.ms", "1000")])
            .await;
        let mut builder = BatchBuilder::new();
        for key in [Some(&b"k"[..]), None, Some(b"k"), None] {
            builder.push(START_MS, key, Some(b"v"), []);
        }
        let keyless = builder.build(Compression::None).unwrap();
        let mut client = server.client();
        for version in [8, 9, 12] {
            let answer = client
                .ask(version, produce("orders", 0, keyless.clone()))
                .await;
            let told = &answer.responses[0].partition_responses[0];
            assert_eq!(told.error_code, ErrorCode::InvalidRecord.code());
            let blamed: Vec<_> = told.record_errors.iter().map(|e| e.batch_index).collect();
            assert_eq!(blamed, [1, 3]);
            assert!(told.error_message.is_some());
        }
        // Whoever sends nothing else is told of the first only.
        let mut builder = BatchBuilder::new();
        (0..1000).for_each(|_| builder.push(START_MS, None, Some(b"v"), []));
        let all = builder.build(Compression::None).unwrap();
        let answer = client.ask(9, produce("orders", 0, all)).await;
        let told = &answer.responses[0].partition_responses[0];
        assert_eq!(told.record_errors.len(), 100);
        let answer = client.ask(7, produce("orders", 0, keyless)).await;
        assert!(
            answer.responses[0].partition_responses[0]
                .record_errors
                .is_empty()
        );
        let old = timed(&[START_MS, START_MS - 1001]);
        let answer = client.ask(9, produce("times", 0, old)).await;
        let told = &answer.responses[0].partition_responses[0];
        assert_eq!(told.error_code, ErrorCode::InvalidTimestamp.code());
        assert_eq!(told.record_errors[0].batch_index, 1);
        assert_eq!(
            append(&mut client, batch(1)).await,
            (0, 0),
            "a batch is whole or not there"
        );
    });
}

#[test]
fn records_must_be_those_that_the_header_says_where_they_are_looked_at() {
    on_server(async |server| {
        server
            .topic("orders", 1, &[("cleanup.policy", "compact")])
            .await;
        let mut client = server.client();
        let header = BatchHeader::parse(&batch(2)).unwrap();
        let one = batch(1);
        let invalid = refused(ErrorCode::InvalidRecord);
        // One record where two are said to be, the same record twice, and no records at all.
        let twice = [&one[HEADER_LEN..], &one[HEADER_LEN..]].concat();
        for body in [&one[HEADER_LEN..], &twice, b"nothing"] {
            assert_eq!(append(&mut client, sealed(&header, body)).await, invalid);
        }
    });
}

#[test]
fn a_topic_with_a_compression_of_its_own_recompresses() {
    on_server(async |server| {
        for (name, codec) in [
            ("gzip", Compression::Gzip),
            ("uncompressed", Compression::None),
        ] {
            server.topic(name, 1, &[("compression.type", name)]).await;
            let mut client = server.client();
            for sent in [Compression::None, Compression::Gzip, Compression::Lz4] {
                let mut builder = BatchBuilder::new();
                builder.push(START_MS, Some(b"k"), Some(&[7; 500]), []);
                let records = builder.build(sent).unwrap();
                let answer = client.ask(9, produce(name, 0, records)).await;
                assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            }
            let answer = client.ask(12, fetch(name, 0, 0)).await;
            let mut rest = answer.responses[0].partitions[0].records.clone().unwrap();
            while !rest.is_empty() {
                let header = BatchHeader::parse(&rest).unwrap();
                assert_eq!(header.compression(), Some(codec));
                let one = rest.split_to(header.total_len());
                format::check_crc(&one).unwrap();
                let plain = format::decompress(codec, &one[HEADER_LEN..], 1 << 20).unwrap();
                let record = format::records(&plain).next().unwrap().unwrap();
                assert_eq!(record.value, Some(&[7; 500][..]));
            }
        }
    });
}

#[test]
fn the_logs_time_replaces_the_producers_where_the_topic_says_so() {
    on_server(async |server| {
        server
            .topic("orders", 1, &[("message.timestamp.type", "LogAppendTime")])
            .await;
        let mut client = server.client();
        let answer = client.ask(9, produce("orders", 0, timed(&[5, 6]))).await;
        let told = &answer.responses[0].partition_responses[0];
        assert_eq!(
            (told.error_code, told.log_append_time_ms),
            (0, server.now_ms())
        );
        let got = stored(&mut client).await;
        format::check_crc(&got).unwrap();
        let header = BatchHeader::parse(&got).unwrap();
        assert!(header.is_log_append_time());
        assert_eq!(header.max_timestamp, server.now_ms());
    });
}
