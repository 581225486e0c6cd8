//! What is announced, how frames are cut, and the edges of every request's versions.

use bytes::Bytes;
use kafka_wire::messages as m;
use kafka_wire::{ApiKey, Decoder, ErrorCode};
use net::head::{Close, Head, Peer};
use net::testing::{Script, check_splits};

use super::harness::{Settings, on_server, with};
use super::messages::{answered, batch, fetch, produce, smallest};
use crate::Config;
use crate::handlers::APIS;

fn versions(name: &'static str, version: &'static str) -> m::ApiVersionsRequest {
    m::ApiVersionsRequest {
        client_software_name: name.into(),
        client_software_version: version.into(),
    }
}

#[test]
fn versions_are_announced_in_every_form() {
    on_server(async |server| {
        let mut client = server.client();
        for version in 0..=4 {
            let answer = client.ask(version, versions("kcat", "1.7.1")).await;
            assert_eq!(answer.error_code, 0);
            let told: Vec<_> = answer
                .api_keys
                .iter()
                .map(|api| (api.api_key, api.min_version, api.max_version))
                .collect();
            let ours: Vec<_> = APIS
                .iter()
                .map(|api| (api.key.number(), api.min, api.max))
                .collect();
            assert_eq!(told, ours);
            // Nothing is finalized, so that nobody tries the second kind of transactions.
            assert!(answer.supported_features.is_empty() && answer.finalized_features.is_empty());
        }
    });
}

#[test]
fn an_unknown_version_is_answered_in_the_oldest_form() {
    on_server(async |server| {
        let mut client = server.client();
        for version in [5, 9, i16::MAX] {
            client.send_frame(18, version, &[1, 2, 3]).unwrap();
            let frame = client.bytes().await.unwrap().unwrap();
            let mut body = Decoder::new(frame.slice(8..));
            let answer = m::ApiVersionsResponse::decode(&mut body, 0).unwrap();
            assert!(body.is_empty());
            assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
            let told: Vec<_> = answer
                .api_keys
                .iter()
                .map(|api| (api.api_key, api.min_version, api.max_version))
                .collect();
            assert_eq!(told, [(18, 0, 4)]);
        }
        assert_eq!(client.ask(4, versions("a", "1")).await.error_code, 0);
    });
}

#[test]
fn software_names_are_checked_and_the_answer_is_whole() {
    on_server(async |server| {
        let mut client = server.client();
        for (name, version) in [
            ("", "1"),
            ("kcat", ""),
            ("-kcat", "1"),
            ("kcat", "1."),
            ("k cat", "1"),
            ("kcät", "1"),
        ] {
            let answer = client.ask(3, versions(name, version)).await;
            assert_eq!(answer.error_code, ErrorCode::InvalidRequest.code());
            assert_eq!(answer.api_keys.len(), APIS.len());
        }
        for version in 0..3 {
            assert_eq!(client.ask(version, versions("", "")).await.error_code, 0);
        }
        assert_eq!(client.ask(3, versions("a.b-c", "9")).await.error_code, 0);
    });
}

#[test]
fn every_version_of_every_request_is_answered_in_its_own_form() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        for api in APIS.iter().filter(|api| api.key != ApiKey::Produce) {
            for version in api.min..=api.max {
                let mut client = server.client();
                let request = smallest(api.key, version);
                client
                    .send_frame(api.key.number(), version, &request)
                    .unwrap();
                let frame = client.bytes().await.unwrap().unwrap();
                let tagged = api.key != ApiKey::ApiVersions && version >= api.key.flexible_from();
                answered(
                    api.key,
                    &frame.slice(if tagged { 9.. } else { 8.. }),
                    version,
                );
            }
        }
        let id = server.broker.topic("orders").unwrap().id().0;
        let mut client = server.client();
        for version in 3..=13 {
            let mut request = produce("orders", 0, batch(1));
            request.topic_data[0].topic_id = id;
            let answer = client.ask(version, request).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    });
}

#[test]
fn a_version_that_is_not_served_ends_the_connection() {
    on_server(async |server| {
        for api in APIS.iter().filter(|api| api.key != ApiKey::ApiVersions) {
            let oldest = if api.key == ApiKey::Produce {
                3
            } else {
                api.min
            };
            for version in [oldest - 1, api.max + 1, -1, i16::MAX] {
                let end = server
                    .client()
                    .send_frame(api.key.number(), version, &[0; 64]);
                assert!(
                    matches!(end, Err(Close::Protocol(_))),
                    "{:?} {version}",
                    api.key
                );
            }
        }
    });
}

#[test]
fn requests_among_brokers_and_unknown_ones_end_the_connection() {
    on_server(async |server| {
        // Replication, elections and the controllers' own talk, telemetry, and no request at all.
        for key in (4..8).chain(52..55).chain([56, 58, 59, 71, 72, 999, -1]) {
            let end = server.client().send_frame(key, 0, &[0; 64]);
            assert!(matches!(end, Err(Close::Protocol(_))), "{key}");
        }
    });
}

/// KafkaJS and aiokafka take their newest version if it is below the server's newest, and look at
/// no minimum.
#[test]
fn no_minimum_is_above_what_old_clients_send() {
    let newest_of_clients = [
        (ApiKey::Produce, 7),
        (ApiKey::Fetch, 11),
        (ApiKey::ListOffsets, 3),
        (ApiKey::Metadata, 5),
        (ApiKey::OffsetCommit, 3),
        (ApiKey::OffsetFetch, 3),
        (ApiKey::FindCoordinator, 1),
        (ApiKey::JoinGroup, 5),
        (ApiKey::Heartbeat, 1),
        (ApiKey::LeaveGroup, 1),
        (ApiKey::SyncGroup, 3),
        (ApiKey::DescribeGroups, 2),
        (ApiKey::ListGroups, 2),
        (ApiKey::SaslHandshake, 1),
        (ApiKey::ApiVersions, 2),
        (ApiKey::CreateTopics, 3),
        (ApiKey::DeleteTopics, 1),
        (ApiKey::DeleteRecords, 1),
        (ApiKey::InitProducerId, 0),
        (ApiKey::OffsetForLeaderEpoch, 2),
        (ApiKey::DescribeConfigs, 1),
        (ApiKey::AlterConfigs, 1),
        (ApiKey::SaslAuthenticate, 1),
        (ApiKey::CreatePartitions, 1),
        (ApiKey::DeleteGroups, 1),
    ];
    for (key, newest) in newest_of_clients {
        let api = APIS.iter().find(|api| api.key == key).unwrap();
        assert!(api.min <= newest && newest <= api.max, "{key:?}");
    }
}

#[test]
fn answers_keep_the_order_of_requests() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        for _ in 0..3 {
            client.send(9, &produce("orders", 0, batch(2))).unwrap();
            client.send(0, &versions("", "")).unwrap();
        }
        for at in 0..3 {
            let answer = client
                .receive::<m::ProduceRequest>(9)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                answer.responses[0].partition_responses[0].base_offset,
                2 * at
            );
            client
                .receive::<m::ApiVersionsRequest>(0)
                .await
                .unwrap()
                .unwrap();
        }
    });
}

#[test]
fn frames_are_found_wherever_the_network_cuts() {
    on_server(async |server| {
        let mut bytes = Vec::new();
        for correlation in [1_u8, 2] {
            // ApiVersions 0 from a client called `x`.
            bytes.extend_from_slice(&[0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, correlation, 0, 1, b'x']);
        }
        let open = || {
            let now = server.broker.clock().now();
            Script::new(server.kafka.open(now, &Peer::loopback()), now)
        };
        let (calls, output, end) = check_splits(open, &bytes, |_, _| []);
        assert_eq!((calls.len(), output.len(), end), (2, 0, None));
    });
}

#[test]
fn a_frame_has_a_length_between_nothing_and_the_limit() {
    let kafka = Config {
        request_bytes_max: base::ByteSize(1000),
        ..Config::default()
    };
    let settings = Settings {
        kafka,
        ..Settings::default()
    };
    with(settings, async |server| {
        let negative = server.client().send_bytes(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(negative, Err(Close::Protocol(_))));
        let large = server.client().send_bytes(&1001_u32.to_be_bytes());
        assert_eq!(large, Err(Close::Limit("kafka.request_bytes_max")));
        assert_eq!(server.client().send_bytes(&1000_u32.to_be_bytes()), Ok(()));
        let empty = server.client().send_bytes(&[0, 0, 0, 0]);
        assert!(matches!(empty, Err(Close::Protocol(_))));
    });
}

#[test]
fn only_a_produce_is_large() {
    on_server(async |server| {
        let large = (9_u32 << 20).to_be_bytes();
        let mut client = server.client();
        assert_eq!(client.send_bytes(&large), Ok(()), "it could be a produce");
        // Metadata, before any of its body is there.
        assert_eq!(
            client.send_bytes(&[0, 3]),
            Err(Close::Limit("kafka.control_bytes_max"))
        );
        let mut client = server.client();
        client.send_bytes(&large).unwrap();
        assert_eq!(client.send_bytes(&[0, 0]), Ok(()));
    });
}

#[test]
fn a_request_names_so_many_things_and_no_more() {
    let kafka = Config {
        elements_per_request_max: 3,
        ..Config::default()
    };
    let settings = Settings {
        kafka,
        ..Settings::default()
    };
    with(settings, async |server| {
        let limit = Err(Close::Limit("kafka.elements_per_request_max"));
        let mut append = produce("none", 0, batch(1));
        let part = append.topic_data[0].partition_data[0].clone();
        append.topic_data[0].partition_data = vec![part; 2];
        let mut client = server.client();
        assert!(client.try_ask(9, &append).await.is_ok());
        append.topic_data.extend(append.topic_data.clone());
        assert_eq!(client.try_ask(9, &append).await.map(|_| ()), limit);
        let mut read = fetch("none", 0, 0);
        read.topics = vec![read.topics[0].clone(); 3];
        let mut client = server.client();
        assert_eq!(client.try_ask(12, &read).await.map(|_| ()), limit);
    });
}

#[test]
fn a_body_that_is_no_request_ends_the_connection() {
    on_server(async |server| {
        for api in APIS.iter().filter(|api| api.key != ApiKey::ApiVersions) {
            // Only the lists that are not asked for may be left out; a number that does not end
            // is nothing.
            for body in [
                Bytes::from_static(&[0x80; 7]),
                Bytes::from_static(&[0xff; 40]),
            ] {
                let mut client = server.client();
                if client.send_frame(api.key.number(), api.max, &body).is_ok() {
                    let end = client.bytes().await;
                    assert!(matches!(end, Err(Close::Protocol(_))), "{:?}", api.key);
                }
            }
        }
    });
}

#[test]
fn clients_are_told_the_address_that_they_found() {
    on_server(async |server| {
        let answer = server.client().ask(12, m::MetadataRequest::default()).await;
        let broker = &answer.brokers[0];
        let local = Peer::loopback().local;
        assert_eq!(broker.host.as_str(), local.ip().to_string());
        assert_eq!(broker.port, i32::from(local.port()));
        assert_eq!((answer.controller_id, broker.node_id), (1, 1));
    });
}

#[test]
fn operations_that_nobody_asked_about_are_not_an_empty_set() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let request = m::MetadataRequest {
            topics: None,
            ..Default::default()
        };
        let answer = client.ask(10, request).await;
        assert_eq!(answer.cluster_authorized_operations, i32::MIN);
        assert!(
            answer
                .topics
                .iter()
                .all(|t| t.topic_authorized_operations == i32::MIN)
        );
        let answer = client.ask(1, m::DescribeClusterRequest::default()).await;
        assert_eq!(answer.cluster_authorized_operations, i32::MIN);
        let request = m::DescribeGroupsRequest {
            groups: vec!["none".into()],
            ..Default::default()
        };
        let answer = client.ask(5, request).await;
        assert_eq!(answer.groups[0].authorized_operations, i32::MIN);
    });
}
