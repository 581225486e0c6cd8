//! What administrators ask for and change.

use kafka_wire::messages as m;
use kafka_wire::messages::alter_configs_request as ac;
use kafka_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use kafka_wire::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_wire::{ErrorCode, Str};
use net::head::Close;

use super::groups::{enter, join, prompt, sync};
use super::harness::{Client, Settings, on_server, with};
use super::messages::{batch, produce};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn describe(kind: i8, name: &str, keys: Option<Vec<Str>>) -> m::DescribeConfigsRequest {
    m::DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: keys,
        }],
        include_synonyms: true,
        include_documentation: true,
    }
}

/// The value of a key of `orders`, and where it comes from.
async fn value(client: &mut Client, key: &str) -> (String, i8) {
    let answer = client
        .ask(4, describe(TOPIC, "orders", Some(vec![key.into()])))
        .await;
    let found = &answer.results[0].configs[0];
    (
        found.value.clone().unwrap().as_str().to_owned(),
        found.config_source,
    )
}

#[test]
fn every_key_is_described_when_none_is_named() {
    on_server(async |server| {
        server.topic("orders", 1, &[("retention.ms", "1000")]).await;
        let mut client = server.client();
        for keys in [None, Some(vec![])] {
            for (kind, name, some) in [
                (TOPIC, "orders", "cleanup.policy"),
                (BROKER, "1", "num.partitions"),
            ] {
                let answer = client.ask(4, describe(kind, name, keys.clone())).await;
                let result = &answer.results[0];
                assert_eq!(result.error_code, 0);
                assert!(result.configs.len() > 5);
                assert!(result.configs.iter().any(|config| config.name == some));
                assert!(
                    result
                        .configs
                        .iter()
                        .all(|config| { config.config_type > 0 && config.documentation.is_some() })
                );
            }
        }
        let answer = client
            .ask(
                4,
                describe(TOPIC, "orders", Some(vec!["retention.ms".into()])),
            )
            .await;
        let config = &answer.results[0].configs[0];
        assert_eq!(
            (config.value.clone(), config.config_source),
            (Some("1000".into()), 1)
        );
        let synonyms: Vec<_> = config.synonyms.iter().map(|s| s.source).collect();
        assert_eq!(synonyms, [1, 5], "the topic's own, then the default");
        assert_eq!(answer.results[0].configs.len(), 1);
    });
}

#[test]
fn resources_that_are_not_there_are_named() {
    on_server(async |server| {
        let mut client = server.client();
        for (kind, name, code) in [
            (TOPIC, "none", ErrorCode::UnknownTopicOrPartition),
            (TOPIC, "not/a/name", ErrorCode::InvalidTopicException),
            (BROKER, "7", ErrorCode::InvalidRequest),
            (99, "x", ErrorCode::InvalidRequest),
        ] {
            let answer = client.ask(2, describe(kind, name, None)).await;
            assert_eq!(answer.results[0].error_code, code.code(), "{kind} {name}");
        }
    });
}

async fn alter(client: &mut Client, changes: &[(&str, i8, Option<&str>)], dry: bool) -> i16 {
    let change = |(name, operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
        name: (*name).into(),
        config_operation: *operation,
        value: value.map(Str::from),
    };
    let request = m::IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: "orders".into(),
            configs: changes.iter().map(change).collect(),
        }],
        validate_only: dry,
    };
    client.ask(1, request).await.responses[0].error_code
}

#[test]
fn values_are_set_deleted_appended_and_subtracted() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let (set, delete, append, subtract) = (0, 1, 2, 3);
        assert_eq!(
            alter(&mut client, &[("retention.ms", set, Some("5"))], true).await,
            0
        );
        assert_eq!(
            value(&mut client, "retention.ms").await.1,
            5,
            "only validated"
        );
        assert_eq!(
            alter(&mut client, &[("retention.ms", set, Some("5"))], false).await,
            0
        );
        assert_eq!(
            value(&mut client, "retention.ms").await,
            ("5".to_owned(), 1)
        );
        assert_eq!(
            alter(&mut client, &[("retention.ms", delete, None)], false).await,
            0
        );
        assert_eq!(
            value(&mut client, "retention.ms").await,
            ("604800000".to_owned(), 5)
        );
        let policy = "cleanup.policy";
        assert_eq!(
            alter(&mut client, &[(policy, append, Some("compact"))], false).await,
            0
        );
        assert_eq!(value(&mut client, policy).await.0, "delete,compact");
        assert_eq!(
            alter(&mut client, &[(policy, append, Some("compact"))], false).await,
            0
        );
        assert_eq!(
            value(&mut client, policy).await.0,
            "delete,compact",
            "element by element"
        );
        assert_eq!(
            alter(&mut client, &[(policy, subtract, Some("delete"))], false).await,
            0
        );
        assert_eq!(value(&mut client, policy).await.0, "compact");
    });
}

#[test]
fn a_change_that_is_wrong_changes_nothing() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let (set, append) = (0, 2);
        // Kafka's tests and old tools set these.
        let flush = [
            ("flush.ms", set, Some("1000")),
            ("flush.messages", set, Some("1")),
        ];
        assert_eq!(alter(&mut client, &flush, false).await, 0);
        let (config, invalid) = (
            ErrorCode::InvalidConfig.code(),
            ErrorCode::InvalidRequest.code(),
        );
        for (change, code) in [
            (("no.such.key", set, Some("1")), config),
            (("retention.ms", append, Some("1")), config),
            (("retention.ms", set, Some("soon")), config),
            (("retention.ms", set, None), invalid),
            (("retention.ms", 9, Some("1")), invalid),
        ] {
            let good = ("retention.bytes", set, Some("77"));
            assert_eq!(
                alter(&mut client, &[good, change], false).await,
                code,
                "{change:?}"
            );
        }
        assert_eq!(
            value(&mut client, "retention.bytes").await.1,
            5,
            "all or nothing"
        );
    });
}

#[test]
fn the_old_way_of_altering_replaces_everything() {
    on_server(async |server| {
        server.topic("orders", 1, &[("retention.ms", "5")]).await;
        let mut client = server.client();
        let request = m::AlterConfigsRequest {
            resources: vec![ac::AlterConfigsResource {
                resource_type: TOPIC,
                resource_name: "orders".into(),
                configs: vec![ac::AlterableConfig {
                    name: "retention.bytes".into(),
                    value: Some("7".into()),
                }],
            }],
            validate_only: false,
        };
        assert_eq!(client.ask(2, request).await.responses[0].error_code, 0);
        assert_eq!(
            value(&mut client, "retention.bytes").await,
            ("7".to_owned(), 1)
        );
        assert_eq!(value(&mut client, "retention.ms").await.1, 5);
    });
}

async fn delete_records(client: &mut Client, topic: &str, offset: i64) -> (i16, i64) {
    let request = m::DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.into(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset,
            }],
        }],
        timeout_ms: 1000,
    };
    let answer = client.ask(2, request).await;
    let told = &answer.topics[0].partitions[0];
    (told.error_code, told.low_watermark)
}

#[test]
fn records_are_deleted_up_to_an_offset_within_the_log() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        server
            .topic("keys", 1, &[("cleanup.policy", "compact")])
            .await;
        server
            .topic("both", 1, &[("cleanup.policy", "compact,delete")])
            .await;
        let mut client = server.client();
        for topic in ["orders", "keys", "both"] {
            client.ask(9, produce(topic, 0, batch(10))).await;
        }
        let range = (ErrorCode::OffsetOutOfRange.code(), -1);
        assert_eq!(delete_records(&mut client, "orders", 4).await, (0, 4));
        assert_eq!(
            delete_records(&mut client, "orders", 2).await,
            (0, 4),
            "never back"
        );
        assert_eq!(delete_records(&mut client, "orders", 11).await, range);
        assert_eq!(delete_records(&mut client, "orders", -2).await, range);
        assert_eq!(
            delete_records(&mut client, "orders", -1).await,
            (0, 10),
            "all there is"
        );
        let policy = (ErrorCode::PolicyViolation.code(), -1);
        assert_eq!(delete_records(&mut client, "keys", 4).await, policy);
        assert_eq!(delete_records(&mut client, "both", 4).await, (0, 4));
        let unknown = (ErrorCode::UnknownTopicOrPartition.code(), -1);
        assert_eq!(delete_records(&mut client, "none", 4).await, unknown);
    });
}

fn delete_offsets(topic: &str) -> m::OffsetDeleteRequest {
    m::OffsetDeleteRequest {
        group_id: "g".into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    }
}

#[test]
fn offsets_of_topics_that_are_read_and_groups_with_members_stay() {
    with(prompt(), async |server| {
        server.topic("orders", 1, &[]).await;
        server.topic("bills", 1, &[]).await;
        let mut client = server.client();
        let missing = client.ask(0, delete_offsets("orders")).await.error_code;
        assert_eq!(missing, ErrorCode::GroupIdNotFound.code());
        let joined = enter(&mut client, 2).await;
        let id = &joined.member_id;
        client.ask(2, sync(id, 1, &[])).await;
        let read = client.ask(0, delete_offsets("orders")).await;
        let told = (read.error_code, read.topics[0].partitions[0].error_code);
        assert_eq!(told, (0, ErrorCode::GroupSubscribedToTopic.code()));
        let other = client.ask(0, delete_offsets("bills")).await;
        assert_eq!(
            (other.error_code, other.topics[0].partitions[0].error_code),
            (0, 0)
        );
        let delete = || m::DeleteGroupsRequest {
            groups_names: vec!["g".into(), "none".into()],
        };
        let codes = |answer: m::DeleteGroupsResponse| -> Vec<i16> {
            answer
                .results
                .iter()
                .map(|result| result.error_code)
                .collect()
        };
        let unknown = ErrorCode::GroupIdNotFound.code();
        let told = codes(client.ask(2, delete()).await);
        assert_eq!(told, [ErrorCode::NonEmptyGroup.code(), unknown]);
        let leave = m::LeaveGroupRequest {
            group_id: "g".into(),
            member_id: id.clone(),
            ..Default::default()
        };
        client.ask(2, leave).await;
        assert_eq!(codes(client.ask(2, delete()).await), [0, unknown]);
        assert_eq!(codes(client.ask(2, delete()).await), [unknown, unknown]);
    });
}

#[test]
fn a_group_whose_members_say_nothing_readable_keeps_its_offsets() {
    with(prompt(), async |server| {
        let mut client = server.client();
        let mut connect = join(2);
        connect.protocol_type = "connect".into();
        client.ask(2, connect).await;
        let told = client.ask(0, delete_offsets("orders")).await.error_code;
        assert_eq!(told, ErrorCode::NonEmptyGroup.code());
    });
}

#[test]
fn a_group_that_is_not_there_is_dead_or_unknown_by_version() {
    on_server(async |server| {
        let mut client = server.client();
        for version in 0..=6 {
            let request = m::DescribeGroupsRequest {
                groups: vec!["none".into()],
                ..Default::default()
            };
            let answer = client.ask(version, request).await;
            let code = if version < 6 {
                0
            } else {
                ErrorCode::GroupIdNotFound.code()
            };
            assert_eq!(answer.groups[0].error_code, code);
            assert_eq!(answer.groups[0].group_state, "Dead");
        }
    });
}

#[test]
fn groups_are_listed_by_state_and_type_and_described() {
    with(prompt(), async |server| {
        let mut client = server.client();
        let joined = enter(&mut client, 2).await;
        client
            .ask(2, sync(&joined.member_id, 1, &[(&joined.member_id, "all")]))
            .await;
        let mut other = join(2);
        other.group_id = "other".into();
        client.ask(2, other).await;
        let mut list = async |states: &[&str], types: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|word| Str::from(*word)).collect();
            let request = m::ListGroupsRequest {
                states_filter: words(states),
                types_filter: words(types),
            };
            let answer = client.ask(5, request).await;
            answer
                .groups
                .iter()
                .map(|g| g.group_id.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(list(&[], &[]).await, ["g", "other"]);
        assert_eq!(list(&["stable"], &[]).await, ["g"]);
        assert_eq!(
            list(&["Empty", "CompletingRebalance"], &[]).await,
            ["other"]
        );
        assert_eq!(list(&[], &["Classic"]).await, ["g", "other"]);
        assert!(list(&[], &["consumer"]).await.is_empty());
        let request = m::DescribeGroupsRequest {
            groups: vec!["g".into()],
            ..Default::default()
        };
        let answer = client.ask(4, request).await;
        let group = &answer.groups[0];
        assert_eq!(
            (group.group_state.as_str(), group.protocol_data.as_str()),
            ("Stable", "range")
        );
        let member = &group.members[0];
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("test", "/127.0.0.1")
        );
        assert_eq!(member.member_assignment, "all");
    });
}

#[test]
fn topics_are_described_page_by_page() {
    on_server(async |server| {
        for name in ["a", "b", "c"] {
            server.topic(name, 3, &[]).await;
        }
        let mut client = server.client();
        let mut cursor = None;
        let mut pages = Vec::new();
        loop {
            let request = m::DescribeTopicPartitionsRequest {
                topics: ["c", "a", "b", "a"]
                    .map(|name| TopicRequest { name: name.into() })
                    .to_vec(),
                response_partition_limit: 4,
                cursor,
            };
            let answer = client.ask(0, request).await;
            let page: Vec<_> = answer
                .topics
                .iter()
                .flat_map(|topic| {
                    let name = topic.name.clone().unwrap().as_str().to_owned();
                    topic
                        .partitions
                        .iter()
                        .map(move |p| format!("{name}{}", p.partition_index))
                })
                .collect();
            pages.push(page);
            let Some(next) = answer.next_cursor else {
                break;
            };
            cursor = Some(Cursor {
                topic_name: next.topic_name,
                partition_index: next.partition_index,
            });
        }
        assert_eq!(
            pages,
            [
                vec!["a0", "a1", "a2", "b0"],
                vec!["b1", "b2", "c0", "c1"],
                vec!["c2"]
            ]
        );
    });
}

#[test]
fn only_the_brokers_are_described() {
    on_server(async |server| {
        let mut client = server.client();
        for (version, kind, code, brokers) in [
            (0, 2, 0, 1),
            (1, 1, 0, 1),
            (1, 2, ErrorCode::MismatchedEndpointType.code(), 0),
            (2, 3, ErrorCode::UnsupportedEndpointType.code(), 0),
        ] {
            let request = m::DescribeClusterRequest {
                endpoint_type: kind,
                ..Default::default()
            };
            let answer = client.ask(version, request).await;
            let told = (answer.error_code, answer.brokers.len());
            assert_eq!(told, (code, brokers), "{version} {kind}");
        }
    });
}

#[test]
fn what_is_asked_about_twice_is_answered_once() {
    on_server(async |server| {
        server.topic("orders", 3, &[]).await;
        let mut client = server.client();
        let asked = |partitions: &[i32]| DescribableLogDirTopic {
            topic: "orders".into(),
            partitions: partitions.to_vec(),
        };
        let request = m::DescribeLogDirsRequest {
            topics: Some(vec![asked(&[2, 0, 2, 7]), asked(&[0])]),
        };
        let answer = client.ask(4, request).await;
        let topics = &answer.results[0].topics;
        let told: Vec<_> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| p.partition_index))
            .collect();
        assert_eq!((topics.len(), told), (1, vec![0, 2]));
        let request = m::DeleteGroupsRequest {
            groups_names: vec!["none".into(), "none".into()],
        };
        assert_eq!(client.ask(1, request).await.results.len(), 1);
        let topic = MetadataRequestTopic {
            name: Some("orders".into()),
            ..Default::default()
        };
        let request = m::MetadataRequest {
            topics: Some(vec![topic; 3]),
            ..Default::default()
        };
        assert_eq!(client.ask(9, request).await.topics.len(), 1);
    });
}

#[test]
fn an_answer_has_so_many_bytes_and_no_more() {
    let kafka = crate::Config {
        answer_bytes_max: base::ByteSize(1 << 20),
        ..crate::Config::default()
    };
    let settings = Settings {
        kafka,
        ..Settings::default()
    };
    with(settings, async |server| {
        server.topic("orders", 1, &[]).await;
        let before = server.broker.ledger().used();
        let asked = |count: usize| m::DescribeConfigsRequest {
            resources: vec![describe(2, "orders", None).resources[0].clone(); count],
            ..Default::default()
        };
        let mut client = server.client();
        assert_eq!(client.ask(4, asked(10)).await.results.len(), 10);
        let refused = client.try_ask(4, &asked(1000)).await.map(|_| ());
        assert_eq!(refused, Err(Close::Limit("kafka.answer_bytes_max")));
        assert_eq!(server.broker.ledger().used(), before, "nothing is kept");
        // And where there is no memory for it.
        let ledger = server.broker.ledger().clone();
        let held = ledger.force_charge(ledger.limit());
        let refused = server.client().try_ask(4, &asked(10)).await.map(|_| ());
        assert_eq!(refused, Err(Close::Memory));
        drop(held);
        assert_eq!(server.client().ask(4, asked(10)).await.results.len(), 10);
    });
}

#[test]
fn the_log_has_a_size() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        let mut client = server.client();
        client.ask(9, produce("orders", 0, batch(10))).await;
        let answer = client.ask(4, m::DescribeLogDirsRequest::default()).await;
        assert_eq!((answer.error_code, answer.results.len()), (0, 1));
    });
}
