//! What is remembered of producers: repetitions, incarnations, sequences (KIP-98), and what an
//! administrator is shown of them.

use bytes::Bytes;
use kafka_wire::ErrorCode;
use kafka_wire::messages as m;

use super::harness::{Server, Settings, on_server, run};
use super::messages::{batch, changed, produce};
use super::produce::{append, refused};

/// A batch of an idempotent producer.
fn stamped(producer: i64, epoch: i16, first: i32, count: i64) -> Bytes {
    changed(&batch(count), |header| {
        header.producer_id = producer;
        header.producer_epoch = epoch;
        header.base_sequence = first;
    })
}

#[test]
fn a_repeated_batch_is_acknowledged_where_it_was_and_not_appended() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for at in 0..6 {
            let told = append(&mut client, stamped(9, 0, at * 2, 2)).await;
            assert_eq!(told, (0, i64::from(at) * 2));
        }
        for at in 1..6 {
            let told = append(&mut client, stamped(9, 0, at * 2, 2)).await;
            assert_eq!(told, (0, i64::from(at) * 2), "one of the last five");
        }
        let order = refused(ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(
            append(&mut client, stamped(9, 0, 0, 2)).await,
            order,
            "the sixth last"
        );
        assert_eq!(
            append(&mut client, stamped(9, 0, 13, 1)).await,
            order,
            "a gap"
        );
        assert_eq!(
            append(&mut client, stamped(9, 0, 10, 1)).await,
            order,
            "half of a known one"
        );
        assert_eq!(append(&mut client, stamped(9, 0, 12, 1)).await, (0, 12));
    });
}

#[test]
fn repetitions_in_one_pipeline_are_found_too() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for first in [0, 0, 1, 0] {
            client
                .send(9, &produce("orders", 0, stamped(9, 0, first, 1)))
                .unwrap();
        }
        for offset in [0, 0, 1, 0] {
            let answer = client
                .receive::<m::ProduceRequest>(9)
                .await
                .unwrap()
                .unwrap();
            let told = &answer.responses[0].partition_responses[0];
            assert_eq!((told.error_code, told.base_offset), (0, offset));
        }
    });
}

#[test]
fn a_newer_incarnation_begins_at_zero_and_fences_the_older() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        assert_eq!(append(&mut client, stamped(9, 1, 0, 3)).await.0, 0);
        let order = refused(ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(append(&mut client, stamped(9, 2, 3, 1)).await, order);
        assert_eq!(append(&mut client, stamped(9, 2, 0, 1)).await.0, 0);
        let stale = refused(ErrorCode::InvalidProducerEpoch);
        assert_eq!(append(&mut client, stamped(9, 1, 3, 1)).await, stale);
    });
}

#[test]
fn sequences_wrap_and_unknown_producers_begin_anywhere() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        assert_eq!(
            append(&mut client, stamped(9, 0, i32::MAX - 1, 1)).await.0,
            0
        );
        // The last two numbers there are and the first two, in one batch.
        assert_eq!(append(&mut client, stamped(9, 0, i32::MAX, 3)).await.0, 0);
        assert_eq!(append(&mut client, stamped(9, 0, 2, 1)).await.0, 0);
        assert_eq!(
            append(&mut client, stamped(9, 0, i32::MAX, 3)).await,
            (0, 1)
        );
    });
}

#[test]
fn repetitions_are_known_after_a_restart_and_ids_are_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let given = std::cell::RefCell::new(std::collections::BTreeSet::new());
    for start in 0..3_i32 {
        run(
            folder.path(),
            Settings::default(),
            async |server: &Server| {
                let mut client = server.client();
                if start == 0 {
                    server.topic("orders", 1, &[]).await;
                } else {
                    let told = append(&mut client, stamped(77, 0, start - 1, 1)).await;
                    assert_eq!(told, (0, i64::from(start) - 1));
                }
                assert_eq!(append(&mut client, stamped(77, 0, start, 1)).await.0, 0);
                for version in 0..=5 {
                    let request = m::InitProducerIdRequest {
                        transactional_id: None,
                        ..Default::default()
                    };
                    let answer = client.ask(version, request).await;
                    assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
                    assert!(
                        given.borrow_mut().insert(answer.producer_id),
                        "given before"
                    );
                }
            },
        );
    }
}

#[test]
fn transactions_are_refused_in_words_that_end_the_attempt() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        // Producers look for a coordinator first.
        for version in [1, 4] {
            let request = m::FindCoordinatorRequest {
                key: "payments".into(),
                key_type: 1,
                coordinator_keys: vec!["payments".into()],
            };
            let answer = client.ask(version, request).await;
            let told = match answer.coordinators.first() {
                Some(first) => first.error_code,
                None => answer.error_code,
            };
            assert_eq!(told, ErrorCode::TransactionalIdAuthorizationFailed.code());
        }
        for (id, code) in [
            ("", ErrorCode::InvalidRequest),
            ("payments", ErrorCode::TransactionalIdAuthorizationFailed),
        ] {
            let request = m::InitProducerIdRequest {
                transactional_id: Some(id.into()),
                transaction_timeout_ms: 60_000,
                ..Default::default()
            };
            assert_eq!(client.ask(4, request).await.error_code, code.code());
        }
        let mut request = produce("orders", 0, batch(1));
        request.transactional_id = Some("payments".into());
        let answer = client.ask(9, request).await;
        let told = answer.responses[0].partition_responses[0].error_code;
        assert_eq!(told, ErrorCode::TransactionalIdAuthorizationFailed.code());
    });
}

#[test]
fn a_partitions_producers_are_shown() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        append(&mut client, stamped(9, 3, 0, 5)).await;
        let request = m::DescribeProducersRequest {
            topics: vec![m::describe_producers_request::TopicRequest {
                name: "orders".into(),
                partition_indexes: vec![0, 1],
            }],
        };
        let answer = client.ask(0, request).await;
        let [known, unknown] = &answer.topics[0].partitions[..] else {
            panic!("two partitions were asked about")
        };
        let producer = &known.active_producers[0];
        assert_eq!(
            (
                producer.producer_id,
                producer.producer_epoch,
                producer.last_sequence
            ),
            (9, 3, 4)
        );
        assert_eq!(
            unknown.error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );
    });
}
