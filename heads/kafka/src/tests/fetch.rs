//! What a fetch brings, when it waits, and what an incremental one remembers.

use std::path::Path;
use std::time::Duration;

use kafka_wire::ErrorCode;
use kafka_wire::messages as m;
use kafka_wire::messages::fetch_request::ForgottenTopic;
use kafka_wire::messages::fetch_response::PartitionData;
use net::head::Close;
use store::batch::{BatchBuilder, BatchHeader, Compression};

use super::harness::{Client, START_MS, Server, Settings, on_server, park, run};
use super::messages::{batch, fetch, produce};

/// The partitions of an answer, whatever their topics.
fn parts(answer: &m::FetchResponse) -> Vec<&PartitionData> {
    answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .collect()
}

fn len(partition: &PartitionData) -> usize {
    partition.records.as_ref().map_or(0, bytes::Bytes::len)
}

async fn append(client: &mut Client, topic: &str, index: i32, count: i64) {
    let answer = client.ask(9, produce(topic, index, batch(count))).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn the_whole_batch_that_holds_the_offset_comes() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        append(&mut client, "orders", 0, 5).await;
        append(&mut client, "orders", 0, 5).await;
        for (from, base) in [(0, 0), (4, 0), (5, 5), (9, 5)] {
            let answer = client.ask(12, fetch("orders", 0, from)).await;
            let records = parts(&answer)[0].records.clone().unwrap();
            assert_eq!(BatchHeader::parse(&records).unwrap().base_offset, base);
        }
    });
}

#[test]
fn the_first_batch_comes_whatever_the_limits_and_no_other() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        for index in [0, 0, 1] {
            append(&mut client, "orders", index, 5).await;
        }
        let one = batch(5).len();
        let mut request = fetch("orders", 0, 0);
        request.max_bytes = 1;
        request.topics[0].partitions[0].partition_max_bytes = 1;
        let second = fetch("orders", 1, 0).topics[0].partitions[0].clone();
        request.topics[0].partitions.push(second);
        for version in [4, 11, 12] {
            let answer = client.ask(version, request.clone()).await;
            assert_eq!(
                parts(&answer).iter().map(|p| len(p)).collect::<Vec<_>>(),
                [one, 0]
            );
        }
        // In the order of the request.
        request.topics[0].partitions.reverse();
        let answer = client.ask(12, request.clone()).await;
        assert_eq!(
            parts(&answer).iter().map(|p| len(p)).collect::<Vec<_>>(),
            [one, 0]
        );
        assert_eq!(parts(&answer)[0].partition_index, 1);
        // What fits into the whole but not into the partition's own limit stays out.
        request.max_bytes = 1 << 20;
        request.topics[0].partitions[1].partition_max_bytes = i32::try_from(one).unwrap();
        let answer = client.ask(12, request).await;
        assert_eq!(
            parts(&answer).iter().map(|p| len(p)).collect::<Vec<_>>(),
            [one, one]
        );
    });
}

#[test]
fn out_of_range_tells_the_real_range() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        append(&mut client, "orders", 0, 5).await;
        append(&mut client, "orders", 0, 5).await;
        let partition = server.broker.topic("orders").unwrap().partition(0).unwrap();
        partition.delete_before(Some(5)).await.unwrap();
        for from in [4, 11, -1, i64::MAX] {
            let answer = client.ask(12, fetch("orders", 0, from)).await;
            let told = parts(&answer)[0];
            assert_eq!(
                told.error_code,
                ErrorCode::OffsetOutOfRange.code(),
                "{from}"
            );
            let range = (
                told.log_start_offset,
                told.high_watermark,
                told.last_stable_offset,
            );
            assert_eq!(range, (5, 10, 10));
        }
        let answer = client.ask(12, fetch("orders", 0, 10)).await;
        let told = parts(&answer)[0];
        assert_eq!(
            (told.error_code, len(told), told.high_watermark),
            (0, 0, 10)
        );
    });
}

#[test]
fn unknown_topics_and_partitions_are_told_apart_from_ids() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        for request in [
            fetch("none", 0, 0),
            fetch("orders", 1, 0),
            fetch("orders", -1, 0),
        ] {
            let answer = client.ask(12, request).await;
            let told = parts(&answer)[0];
            assert_eq!(told.error_code, unknown);
            // Who leads is not known either.
            assert_eq!(
                (
                    told.current_leader.leader_id,
                    told.current_leader.leader_epoch
                ),
                (-1, -1)
            );
        }
        let answer = client.ask(13, fetch("", 0, 0)).await;
        assert_eq!(
            parts(&answer)[0].error_code,
            ErrorCode::UnknownTopicId.code()
        );
    });
}

#[test]
fn a_client_with_an_old_or_too_new_idea_of_the_leader_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for epoch in [0, 1] {
        run(
            folder.path(),
            Settings::default(),
            async |server: &Server| {
                if epoch == 0 {
                    return server.topic("orders", 1, &[]).await;
                }
                let mut client = server.client();
                for (believed, code) in [
                    (-1, 0),
                    (1, 0),
                    (0, ErrorCode::FencedLeaderEpoch.code()),
                    (2, ErrorCode::UnknownLeaderEpoch.code()),
                ] {
                    let mut request = fetch("orders", 0, 0);
                    request.topics[0].partitions[0].current_leader_epoch = believed;
                    let answer = client.ask(12, request).await;
                    assert_eq!(parts(&answer)[0].error_code, code, "{believed}");
                }
            },
        );
    }
}

#[test]
fn readers_of_committed_records_get_a_list_of_aborted_ones_and_others_none() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        append(&mut client, "orders", 0, 5).await;
        for version in [4, 11, 12] {
            let mut request = fetch("orders", 0, 0);
            let answer = client.ask(version, request.clone()).await;
            assert_eq!(parts(&answer)[0].aborted_transactions, None);
            request.isolation_level = 1;
            let answer = client.ask(version, request).await;
            assert_eq!(parts(&answer)[0].aborted_transactions, Some(vec![]));
            assert_eq!(parts(&answer)[0].last_stable_offset, 5);
        }
    });
}

#[test]
fn a_fetch_waits_for_enough_bytes_or_its_time() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let (mut reader, mut writer) = (server.client(), server.client());
        let one = i32::try_from(batch(5).len()).unwrap();
        let mut request = fetch("orders", 0, 0);
        request.max_wait_ms = 500;
        request.min_bytes = one + 1;
        let mut waiting = park(reader.ask(12, request.clone())).await;
        append(&mut writer, "orders", 0, 5).await;
        assert!(waiting.waits().await, "one batch is not enough");
        append(&mut writer, "orders", 0, 5).await;
        assert_eq!(len(parts(&waiting.done().await)[0]), 2 * batch(5).len());

        request.topics[0].partitions[0].fetch_offset = 10;
        let mut waiting = park(reader.ask(12, request.clone())).await;
        server.advance(Duration::from_millis(499)).await;
        assert!(waiting.waits().await);
        server.advance(Duration::from_millis(1)).await;
        assert_eq!(len(parts(&waiting.done().await)[0]), 0);

        // An error is answered at once, with whatever else there is.
        let broken = fetch("none", 0, 0).topics.remove(0);
        request.topics.push(broken);
        request.max_wait_ms = i32::MAX;
        let answer = reader.ask(12, request).await;
        assert_eq!(parts(&answer).len(), 2);
    });
}

/// Flips a byte near the front of the first segment of a log.
fn damage(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    let mut logs = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "log") {
                let length = path.metadata().unwrap().len();
                logs.push((length, path));
            }
        }
    }
    let (length, path) = logs.into_iter().max().unwrap();
    assert!(length > 1 << 20, "{} has {length} bytes", path.display());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn broken_storage_has_a_name_from_version_6_on() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), Settings::default(), async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for _ in 0..14 {
            let mut builder = BatchBuilder::new();
            builder.push(START_MS, None, Some(&vec![7; 900_000]), []);
            let records = builder.build(Compression::None).unwrap();
            let answer = client.ask(9, produce("orders", 0, records)).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    });
    damage(folder.path());
    run(folder.path(), Settings::default(), async |server| {
        let mut client = server.client();
        let (unknown, broken) = (ErrorCode::NotLeaderOrFollower, ErrorCode::KafkaStorageError);
        for version in 4..=12 {
            let answer = client.ask(version, fetch("orders", 0, 0)).await;
            let code = if version <= 5 { unknown } else { broken };
            assert_eq!(
                parts(&answer)[0].error_code,
                code.code(),
                "version {version}"
            );
        }
    });
}

#[test]
fn a_fetch_of_much_waits_briefly_where_memory_is_short() {
    on_server(async |server| {
        server.topic("orders", 40, &[]).await;
        let asked = || {
            let mut request = fetch("orders", 0, 0);
            request.max_wait_ms = 10_000;
            let part = request.topics[0].partitions[0].clone();
            request.topics[0].partitions = vec![part; 40];
            request
        };
        let ledger = server.broker.ledger().clone();
        let half = ledger.force_charge(ledger.limit() / 2);
        let mut client = server.client();
        let mut waiting = park(client.ask(12, asked())).await;
        server.advance(Duration::from_millis(99)).await;
        assert!(waiting.waits().await);
        server.advance(Duration::from_millis(2)).await;
        assert_eq!(parts(&waiting.done().await).len(), 40);
        let rest = ledger.force_charge(ledger.limit() / 2);
        let refused = server.client().try_ask(12, &asked()).await;
        assert_eq!(refused.map(|_| ()), Err(Close::Memory));
        // One partition finds a place always.
        let one = server.client().ask(12, fetch("orders", 0, 0)).await;
        assert_eq!(parts(&one)[0].error_code, 0);
        drop((half, rest));
        let mut client = server.client();
        let mut waiting = park(client.ask(12, asked())).await;
        server.advance(Duration::from_millis(9999)).await;
        assert!(waiting.waits().await);
    });
}

/// Flips a byte near the front of the first segment of a log.
fn damage(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    let mut logs = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "log") {
                let length = path.metadata().unwrap().len();
                logs.push((length, path));
            }
        }
    }
    let (length, path) = logs.into_iter().max().unwrap();
    assert!(length > 1 << 20, "{} has {length} bytes", path.display());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn broken_storage_has_a_name_from_version_6_on() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), Settings::default(), async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for _ in 0..14 {
            let mut builder = BatchBuilder::new();
            builder.push(START_MS, None, Some(&vec![7; 900_000]), []);
            let records = builder.build(Compression::None).unwrap();
            let answer = client.ask(9, produce("orders", 0, records)).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    });
    damage(folder.path());
    run(folder.path(), Settings::default(), async |server| {
        let mut client = server.client();
        let (unknown, broken) = (ErrorCode::NotLeaderOrFollower, ErrorCode::KafkaStorageError);
        for version in 4..=12 {
            let answer = client.ask(version, fetch("orders", 0, 0)).await;
            let code = if version <= 5 { unknown } else { broken };
            assert_eq!(
                parts(&answer)[0].error_code,
                code.code(),
                "version {version}"
            );
        }
    });
}

#[test]
fn zstd_is_not_for_readers_before_version_10() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        append(&mut client, "orders", 0, 1).await;
        let mut builder = BatchBuilder::new();
        builder.push(START_MS, None, Some(b"v"), []);
        let records = builder.build(Compression::Zstd).unwrap();
        client.ask(9, produce("orders", 0, records)).await;
        let unsupported = ErrorCode::UnsupportedCompressionType.code();
        for (version, code) in [(4, unsupported), (9, unsupported), (10, 0)] {
            let answer = client.ask(version, fetch("orders", 0, 1)).await;
            assert_eq!(parts(&answer)[0].error_code, code, "version {version}");
            assert_eq!(len(parts(&answer)[0]) > 0, code == 0);
        }
    });
}

/// A session over partitions 0 and 1 of `orders`, which hold one batch each: its id.
async fn session(client: &mut Client) -> i32 {
    append(client, "orders", 0, 5).await;
    append(client, "orders", 1, 5).await;
    let mut request = fetch("orders", 0, 5);
    let second = fetch("orders", 1, 5).topics[0].partitions[0].clone();
    request.topics[0].partitions.push(second);
    request.session_epoch = 0;
    let answer = client.ask(7, request).await;
    assert_eq!(parts(&answer).len(), 2, "the first answer is full");
    assert!(answer.session_id > 0);
    answer.session_id
}

fn next(session_id: i32, session_epoch: i32) -> m::FetchRequest {
    m::FetchRequest {
        max_bytes: 1 << 20,
        session_id,
        session_epoch,
        ..Default::default()
    }
}

#[test]
fn an_incremental_answer_names_what_is_new() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        let id = session(&mut client).await;
        let answer = client.ask(7, next(id, 1)).await;
        assert_eq!((answer.session_id, parts(&answer).len()), (id, 0));
        append(&mut client, "orders", 1, 5).await;
        let answer = client.ask(7, next(id, 2)).await;
        let told = parts(&answer);
        assert_eq!(
            (told.len(), told[0].partition_index, told[0].high_watermark),
            (1, 1, 10)
        );
        // It stays where it was until the client says how far it has read.
        let mut request = fetch("orders", 1, 10);
        (request.session_id, request.session_epoch) = (id, 3);
        assert_eq!(parts(&client.ask(7, request).await).len(), 0);
        // A moved start is news as well.
        let partition = server.broker.topic("orders").unwrap().partition(0).unwrap();
        partition.delete_before(Some(5)).await.unwrap();
        let answer = client.ask(7, next(id, 4)).await;
        assert_eq!(parts(&answer)[0].log_start_offset, 5);
    });
}

#[test]
fn partitions_are_forgotten_and_an_empty_session_ends() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        let id = session(&mut client).await;
        let forget = |partitions: Vec<i32>, epoch: i32| m::FetchRequest {
            forgotten_topics_data: vec![ForgottenTopic {
                topic: "orders".into(),
                partitions,
                ..Default::default()
            }],
            ..next(id, epoch)
        };
        assert_eq!(client.ask(7, forget(vec![0], 1)).await.error_code, 0);
        append(&mut client, "orders", 0, 5).await;
        assert_eq!(parts(&client.ask(7, next(id, 2)).await).len(), 0);
        let answer = client.ask(7, forget(vec![1], 3)).await;
        assert_eq!((answer.error_code, answer.session_id), (0, 0));
        let answer = client.ask(7, next(id, 4)).await;
        assert_eq!(answer.error_code, ErrorCode::FetchSessionIdNotFound.code());
    });
}

#[test]
fn lost_repeated_and_mixed_requests_end_an_exchange() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        let id = session(&mut client).await;
        let wrong = ErrorCode::InvalidFetchSessionEpoch.code();
        for epoch in [2, 3] {
            assert_eq!(client.ask(7, next(id, epoch)).await.error_code, wrong);
        }
        assert_eq!(client.ask(7, next(id, 1)).await.error_code, 0);
        assert_eq!(client.ask(7, next(id, 1)).await.error_code, wrong);
        let unknown = client.ask(7, next(id.wrapping_add(1).max(1), 1)).await;
        assert_eq!(unknown.error_code, ErrorCode::FetchSessionIdNotFound.code());
        // Began by names, goes on by ids.
        let mut by_id = fetch("", 0, 0);
        (by_id.session_id, by_id.session_epoch) = (id, 2);
        by_id.topics[0].topic_id = server.broker.topic("orders").unwrap().id().0;
        let answer = client.ask(13, by_id).await;
        assert_eq!(
            answer.error_code,
            ErrorCode::FetchSessionTopicIdError.code()
        );
        // And even when it names nothing.
        let answer = client.ask(13, next(id, 2)).await;
        assert_eq!(
            answer.error_code,
            ErrorCode::FetchSessionTopicIdError.code()
        );
    });
}

#[test]
fn a_closed_session_is_gone_and_its_last_answer_is_full() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        let id = session(&mut client).await;
        let mut last = fetch("orders", 0, 5);
        (last.session_id, last.session_epoch) = (id, -1);
        let answer = client.ask(7, last).await;
        assert_eq!((answer.session_id, parts(&answer).len()), (0, 1));
        let answer = client.ask(7, next(id, 1)).await;
        assert_eq!(answer.error_code, ErrorCode::FetchSessionIdNotFound.code());
    });
}
