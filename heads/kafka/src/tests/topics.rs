//! Names and ids of topics; making, growing and deleting them.

use kafka_wire::messages as m;
use kafka_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::delete_topics_request::DeleteTopicState;
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::{ErrorCode, Str};
use uuid::Uuid;

use super::harness::{Client, Server, Settings, on_server, run, with};
use super::messages::{batch, fetch, produce};

fn named(names: &[&'static str]) -> m::MetadataRequest {
    let topic = |name: &&'static str| MetadataRequestTopic {
        name: Some((*name).into()),
        ..Default::default()
    };
    m::MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    }
}

fn by_id(id: Uuid) -> m::MetadataRequest {
    let topic = MetadataRequestTopic {
        topic_id: id,
        name: None,
    };
    m::MetadataRequest {
        topics: Some(vec![topic]),
        ..Default::default()
    }
}

async fn id_of(client: &mut Client, name: &'static str) -> Uuid {
    client.ask(12, named(&[name])).await.topics[0].topic_id
}

fn created(name: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: -1,
        ..Default::default()
    }
}

async fn create(client: &mut Client, topics: Vec<CreatableTopic>, dry: bool) -> Vec<(String, i16)> {
    let request = m::CreateTopicsRequest {
        topics,
        timeout_ms: 1000,
        validate_only: dry,
    };
    let answer = client.ask(7, request).await;
    let told = answer.topics.iter();
    told.map(|t| (t.name.as_str().to_owned(), t.error_code))
        .collect()
}

#[test]
fn a_topic_keeps_its_id_over_a_restart_and_a_new_one_gets_another() {
    let folder = tempfile::tempdir().unwrap();
    let first = std::cell::Cell::new(Uuid::nil());
    run(
        folder.path(),
        Settings::default(),
        async |server: &Server| {
            server.topic("orders", 1, &[]).await;
            server.topic("bills", 1, &[]).await;
            let mut client = server.client();
            first.set(id_of(&mut client, "orders").await);
            assert!(!first.get().is_nil() && first.get() != id_of(&mut client, "bills").await);
        },
    );
    run(
        folder.path(),
        Settings::default(),
        async |server: &Server| {
            let mut client = server.client();
            assert_eq!(id_of(&mut client, "orders").await, first.get());
            server
                .broker
                .delete_topic(server.broker.topic("orders").unwrap())
                .await
                .unwrap();
            server.topic("orders", 1, &[]).await;
            assert_ne!(id_of(&mut client, "orders").await, first.get());
        },
    );
}

#[test]
fn the_id_of_a_deleted_topic_never_means_its_successor() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let old = id_of(&mut client, "orders").await;
        let mut request = fetch("", 0, 0);
        request.topics[0].topic_id = old;
        request.session_epoch = 0;
        let session = client.ask(13, request.clone()).await.session_id;
        assert!(session > 0);
        server
            .broker
            .delete_topic(server.broker.topic("orders").unwrap())
            .await
            .unwrap();
        server.topic("orders", 1, &[]).await;
        let unknown = ErrorCode::UnknownTopicId.code();

        let answer = client.ask(12, by_id(old)).await;
        let topic = &answer.topics[0];
        assert_eq!(
            (topic.error_code, topic.name.clone(), topic.topic_id),
            (unknown, None, old)
        );
        let mut append = produce("", 0, batch(1));
        append.topic_data[0].topic_id = old;
        let answer = client.ask(13, append).await;
        assert_eq!(
            answer.responses[0].partition_responses[0].error_code,
            unknown
        );
        let next = m::FetchRequest {
            session_id: session,
            session_epoch: 1,
            ..Default::default()
        };
        let answer = client.ask(13, next).await;
        assert_eq!(answer.responses[0].topic_id, old);
        assert_eq!(answer.responses[0].partitions[0].error_code, unknown);
    });
}

#[test]
fn all_topics_and_no_topics_are_told_apart_by_version() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        server.topic("bills", 1, &[]).await;
        let mut client = server.client();
        let empty = named(&[]);
        let everything = server.broker.topics().len();
        assert_eq!(client.ask(0, empty.clone()).await.topics.len(), everything);
        let all = m::MetadataRequest {
            topics: None,
            ..Default::default()
        };
        for version in 1..=13 {
            assert_eq!(client.ask(version, empty.clone()).await.topics.len(), 0);
            assert_eq!(
                client.ask(version, all.clone()).await.topics.len(),
                everything
            );
        }
    });
}

#[test]
fn ids_are_asked_for_from_version_12_on_only() {
    on_server(async |server| {
        server.topic("orders", 1, &[]).await;
        let mut client = server.client();
        let id = id_of(&mut client, "orders").await;
        for version in [10, 11] {
            for request in [by_id(id), by_id(Uuid::nil())] {
                let answer = client.ask(version, request).await;
                assert_eq!(
                    answer.topics[0].error_code,
                    ErrorCode::InvalidRequest.code()
                );
            }
        }
        let answer = client.ask(12, by_id(id)).await;
        assert_eq!(answer.topics[0].name, Some(Str::from("orders")));
    });
}

#[test]
fn a_topic_is_made_for_who_asks_when_he_and_the_operator_allow_it() {
    on_server(async |server| {
        let mut client = server.client();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(
            client.ask(4, named(&["new"])).await.topics[0].error_code,
            unknown
        );
        let mut allowed = named(&["new"]);
        allowed.allow_auto_topic_creation = true;
        let answer = client.ask(4, allowed).await;
        assert_eq!(
            (
                answer.topics[0].error_code,
                answer.topics[0].partitions.len()
            ),
            (0, 4)
        );
        // Version 3 cannot say no.
        assert_eq!(client.ask(3, named(&["old"])).await.topics[0].error_code, 0);
    });
    let topics = broker::Config {
        auto_create: false,
        ..broker::Config::default()
    };
    let settings = Settings {
        topics,
        ..Settings::default()
    };
    with(settings, async |server| {
        let answer = server.client().ask(3, named(&["new"])).await;
        assert_eq!(
            answer.topics[0].error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );
    });
}

#[test]
fn names_are_checked_wherever_a_topic_could_be_made() {
    on_server(async |server| {
        let invalid = ErrorCode::InvalidTopicException.code();
        let mut client = server.client();
        let (longest, longer) = ("x".repeat(249), "x".repeat(250));
        for name in ["", ".", "..", "a/b", "a b", "ä", &longer] {
            let told = create(&mut client, vec![created(name, 1)], false).await;
            assert_eq!(told, [(name.to_owned(), invalid)]);
            let topic = MetadataRequestTopic {
                name: Some(name.into()),
                ..Default::default()
            };
            let request = m::MetadataRequest {
                topics: Some(vec![topic]),
                allow_auto_topic_creation: true,
                ..Default::default()
            };
            assert_eq!(client.ask(9, request).await.topics[0].error_code, invalid);
        }
        for name in ["a.b", "A-1", &longest] {
            assert_eq!(
                create(&mut client, vec![created(name, 1)], false).await[0].1,
                0
            );
        }
        // In the names of metrics `.` and `_` are one.
        assert_eq!(
            create(&mut client, vec![created("a_b", 1)], false).await[0].1,
            invalid
        );
    });
}

#[test]
fn each_topic_of_a_creation_has_its_own_outcome() {
    on_server(async |server| {
        let mut client = server.client();
        let mut wrong = created("wrong", 1);
        wrong.configs = vec![CreatableTopicConfig {
            name: "no.such.key".into(),
            value: Some("1".into()),
        }];
        let mut copies = created("copies", 1);
        copies.replication_factor = 3;
        let topics = vec![
            created("good", -1),
            created("twice", 1),
            created("twice", 2),
            created("zero", 0),
            wrong,
            copies,
        ];
        let expected = [
            ("good", 0),
            ("twice", ErrorCode::InvalidRequest.code()),
            ("zero", ErrorCode::InvalidPartitions.code()),
            ("wrong", ErrorCode::InvalidConfig.code()),
            ("copies", ErrorCode::InvalidReplicationFactor.code()),
        ]
        .map(|(name, code)| (name.to_owned(), code));
        assert_eq!(create(&mut client, topics.clone(), true).await, expected);
        assert!(server.broker.topic("good").is_err(), "only validated");
        assert_eq!(create(&mut client, topics, false).await, expected);
        assert_eq!(server.broker.topic("good").unwrap().partitions().len(), 4);
        let again = create(&mut client, vec![created("good", 1)], false).await;
        assert_eq!(again[0].1, ErrorCode::TopicAlreadyExists.code());
    });
}

#[test]
fn a_new_topics_settings_are_told_with_where_they_come_from() {
    let defaults = [("retention.ms", "7000"), ("segment.bytes", "5000000")];
    let topics = broker::Config {
        defaults: defaults
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..broker::Config::default()
    };
    let settings = Settings {
        topics,
        ..Settings::default()
    };
    with(settings, async |server| {
        let mut topic = created("orders", 1);
        topic.configs = vec![CreatableTopicConfig {
            name: "retention.ms".into(),
            value: Some("9000".into()),
        }];
        let request = m::CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let answer = server.client().ask(7, request).await;
        let configs = answer.topics[0].configs.as_ref().unwrap();
        let told = |name: &str| {
            let config = configs.iter().find(|config| config.name == name).unwrap();
            let value = config.value.clone().unwrap();
            (value.as_str().to_owned(), config.config_source)
        };
        // The topic's own, the operator's, the server's.
        assert_eq!(told("retention.ms"), ("9000".to_owned(), 1));
        assert_eq!(told("segment.bytes"), ("5000000".to_owned(), 4));
        assert_eq!(told("cleanup.policy"), ("delete".to_owned(), 5));
    });
}

fn grown(name: &str, count: i32, assigned: Option<usize>) -> CreatePartitionsTopic {
    let assignment = || CreatePartitionsAssignment {
        broker_ids: vec![1],
    };
    CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: assigned.map(|n| (0..n).map(|_| assignment()).collect()),
    }
}

#[test]
fn topics_grow_and_never_shrink() {
    on_server(async |server| {
        server.topic("orders", 2, &[]).await;
        server.topic("bills", 2, &[]).await;
        let mut client = server.client();
        let mut grow = async |topics: Vec<CreatePartitionsTopic>, validate_only: bool| {
            let request = m::CreatePartitionsRequest {
                topics,
                timeout_ms: 1000,
                validate_only,
            };
            let answer = client.ask(3, request).await;
            answer
                .results
                .iter()
                .map(|r| r.error_code)
                .collect::<Vec<_>>()
        };
        assert_eq!(grow(vec![grown("orders", 4, None)], true).await, [0]);
        assert_eq!(server.broker.topic("orders").unwrap().partitions().len(), 2);
        let all = vec![
            grown("orders", 4, None),
            grown("none", 4, None),
            grown("bills", 3, None),
            grown("bills", 4, None),
        ];
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let twice = ErrorCode::InvalidRequest.code();
        assert_eq!(grow(all, false).await, [0, unknown, twice]);
        assert_eq!(server.broker.topic("orders").unwrap().partitions().len(), 4);
        let invalid = ErrorCode::InvalidPartitions.code();
        for count in [4, 3, 0, -1] {
            assert_eq!(
                grow(vec![grown("orders", count, None)], false).await,
                [invalid]
            );
        }
        // As many assignments as there are new partitions.
        let assignment = ErrorCode::InvalidReplicaAssignment.code();
        assert_eq!(
            grow(vec![grown("bills", 4, Some(1))], false).await,
            [assignment]
        );
        assert_eq!(grow(vec![grown("bills", 4, Some(2))], false).await, [0]);
    });
}

#[test]
fn topics_are_deleted_by_name_or_by_id_but_not_by_both() {
    on_server(async |server| {
        for name in ["one", "two", "three", "four"] {
            server.topic(name, 1, &[]).await;
        }
        let mut client = server.client();
        let (two, four) = (
            id_of(&mut client, "two").await,
            id_of(&mut client, "four").await,
        );
        let state = |name: Option<&'static str>, topic_id: Uuid| DeleteTopicState {
            name: name.map(Str::from),
            topic_id,
        };
        let request = m::DeleteTopicsRequest {
            topics: vec![
                state(Some("one"), Uuid::nil()),
                state(None, two),
                state(Some("none"), Uuid::nil()),
                state(None, Uuid::from_u128(9)),
                state(Some("three"), two),
                state(Some("four"), Uuid::nil()),
                state(Some("four"), Uuid::nil()),
                state(None, Uuid::nil()),
            ],
            ..Default::default()
        };
        let answer = client.ask(6, request).await;
        let told: Vec<_> = answer.responses.iter().map(|r| r.error_code).collect();
        let (name, id) = (
            ErrorCode::UnknownTopicOrPartition.code(),
            ErrorCode::UnknownTopicId.code(),
        );
        let invalid = ErrorCode::InvalidRequest.code();
        assert_eq!(told, [0, 0, name, id, invalid, invalid, invalid]);
        assert_eq!(answer.responses[1].name, Some(Str::from("two")));
        assert!(server.broker.topic("one").is_err() && server.broker.topic("two").is_err());
        assert!(server.broker.topic("three").is_ok());
        let request = m::DeleteTopicsRequest {
            topics: vec![state(None, four), state(None, four)],
            ..Default::default()
        };
        let answer = client.ask(6, request).await;
        assert_eq!(
            answer
                .responses
                .iter()
                .map(|r| r.error_code)
                .collect::<Vec<_>>(),
            [invalid]
        );
        assert!(
            server.broker.topic("four").is_ok(),
            "named twice, deleted never"
        );
        let old = m::DeleteTopicsRequest {
            topic_names: vec!["four".into(), "none".into()],
            ..Default::default()
        };
        let answer = client.ask(1, old).await;
        assert_eq!(
            answer
                .responses
                .iter()
                .map(|r| r.error_code)
                .collect::<Vec<_>>(),
            [0, name]
        );
    });
}
