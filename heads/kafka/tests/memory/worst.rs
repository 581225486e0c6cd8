//! The worst that is known of each kind of request: many small elements, few that ask for much,
//! long names that are repeated.

use bytes::{Bytes, BytesMut};
use kafka_wire::messages as m;
use kafka_wire::{ApiKey, EncodeError, Str};

/// A request.
pub(crate) struct Case {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) what: &'static str,
    pub(crate) body: Bytes,
    /// What becomes of it.
    pub(crate) outcome: &'static str,
}

/// How many elements most cases have.
const MANY: usize = 20_000;

const ANSWERED: &str = "answered";
const REFUSED: &str = "refused";

fn case(
    key: ApiKey,
    version: i16,
    what: &'static str,
    outcome: &'static str,
    encode: impl FnOnce(&mut BytesMut, i16) -> Result<(), EncodeError>,
) -> Case {
    let mut body = BytesMut::new();
    encode(&mut body, version).unwrap();
    Case {
        key,
        version,
        what,
        body: body.freeze(),
        outcome,
    }
}

/// A case for each line: kind, version, what it is, what becomes of it, the request.
macro_rules! cases {
    ($($key:ident $version:literal $what:literal $outcome:ident: $request:expr;)*) => {
        vec![$({
            let request = $request;
            case(ApiKey::$key, $version, $what, $outcome, |out, version| request.encode(out, version))
        },)*]
    };
}

/// Short names, each another.
fn names() -> impl Iterator<Item = Str> {
    (0..MANY).map(|at| Str::from(format!("{at:x}")))
}

/// A name as long as they get in old versions.
fn long() -> Str {
    Str::from("x".repeat(32_000))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = topics();
    all.extend(groups());
    all.extend(records());
    all.extend(partitions());
    all.extend(others());
    all
}

fn topics() -> Vec<Case> {
    use m::create_partitions_request::CreatePartitionsTopic;
    use m::create_topics_request::CreatableTopic;
    use m::delete_topics_request::DeleteTopicState;
    use m::describe_configs_request::DescribeConfigsResource;
    let resource = |name: &str| DescribeConfigsResource {
        resource_type: 2,
        resource_name: name.into(),
        configuration_keys: None,
    };
    let resources = |count: usize| m::DescribeConfigsRequest {
        resources: vec![resource("t"); count],
        include_synonyms: true,
        include_documentation: true,
    };
    let creatable = |name: Str| CreatableTopic {
        name,
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let creatables = |count: usize| m::CreateTopicsRequest {
        topics: names().take(count).map(creatable).collect(),
        validate_only: true,
        ..Default::default()
    };
    let growing = |name: Str| CreatePartitionsTopic {
        name,
        count: 2,
        assignments: None,
    };
    let mut all = cases! {
        CreateTopics 7 "many, nothing made" ANSWERED: creatables(4000);
        CreateTopics 7 "too many" REFUSED: creatables(MANY);
        DeleteTopics 6 "unknown names" ANSWERED: m::DeleteTopicsRequest {
            topics: names().map(|name| DeleteTopicState { name: Some(name), ..Default::default() }).collect(),
            ..Default::default()
        };
        DeleteTopics 1 "a long name" ANSWERED: m::DeleteTopicsRequest {
            topic_names: vec![long(); 50],
            ..Default::default()
        };
        CreatePartitions 3 "unknown names" ANSWERED: m::CreatePartitionsRequest {
            topics: names().map(growing).collect(),
            validate_only: true,
            ..Default::default()
        };
        DescribeConfigs 4 "a topic again and again" ANSWERED: resources(1000);
        DescribeConfigs 4 "too often" REFUSED: resources(MANY);
        DescribeConfigs 1 "unknown names" ANSWERED: m::DescribeConfigsRequest {
            resources: names().map(|name| resource(&name)).collect(),
            ..Default::default()
        };
    };
    all.extend(metadata());
    all.extend(configs());
    all
}

fn metadata() -> Vec<Case> {
    use m::describe_log_dirs_request::DescribableLogDirTopic;
    use m::describe_topic_partitions_request::TopicRequest;
    use m::metadata_request::MetadataRequestTopic;
    let topic = |name: Str| MetadataRequestTopic {
        name: Some(name),
        ..Default::default()
    };
    let asked = |names: Vec<Str>| m::MetadataRequest {
        topics: Some(names.into_iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    cases! {
        Metadata 13 "a topic again and again" ANSWERED: asked(vec!["wide".into(); MANY]);
        Metadata 9 "unknown names" ANSWERED: asked(names().collect());
        Metadata 9 "long names" ANSWERED: asked(vec![long(); 50]);
        Metadata 1 "all" ANSWERED: m::MetadataRequest { topics: None, ..Default::default() };
        DescribeLogDirs 4 "partitions again and again" ANSWERED: m::DescribeLogDirsRequest {
            topics: Some(vec![DescribableLogDirTopic {
                topic: "wide".into(),
                partitions: (0..300).cycle().take(MANY).collect(),
            }; 2]),
        };
        DescribeLogDirs 4 "all" ANSWERED: m::DescribeLogDirsRequest { topics: None };
        DescribeTopicPartitions 0 "unknown names" ANSWERED: m::DescribeTopicPartitionsRequest {
            topics: names().map(|name| TopicRequest { name }).collect(),
            response_partition_limit: i32::MAX,
            ..Default::default()
        };
        DescribeTopicPartitions 0 "all" ANSWERED: m::DescribeTopicPartitionsRequest {
            response_partition_limit: i32::MAX,
            ..Default::default()
        };
    }
}

fn configs() -> Vec<Case> {
    use m::alter_configs_request as ac;
    use m::incremental_alter_configs_request as iac;
    let set = |name: Str| ac::AlterableConfig {
        value: Some(name.clone()),
        name,
    };
    let change = |name: Str| iac::AlterableConfig {
        value: Some(name.clone()),
        config_operation: 0,
        name,
    };
    cases! {
        AlterConfigs 2 "unknown names" ANSWERED: m::AlterConfigsRequest {
            resources: names().map(|name| ac::AlterConfigsResource {
                resource_type: 2,
                resource_name: name,
                ..Default::default()
            }).collect(),
            ..Default::default()
        };
        AlterConfigs 2 "unknown keys" ANSWERED: m::AlterConfigsRequest {
            resources: vec![ac::AlterConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configs: names().map(set).collect(),
            }],
            ..Default::default()
        };
        IncrementalAlterConfigs 1 "unknown keys" ANSWERED: m::IncrementalAlterConfigsRequest {
            resources: vec![iac::AlterConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configs: names().map(change).collect(),
            }],
            ..Default::default()
        };
        IncrementalAlterConfigs 1 "long keys" ANSWERED: m::IncrementalAlterConfigsRequest {
            resources: vec![iac::AlterConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configs: vec![change(long()); 10],
            }; 10],
            ..Default::default()
        };
    }
}

fn groups() -> Vec<Case> {
    use m::join_group_request::JoinGroupRequestProtocol;
    use m::leave_group_request::MemberIdentity;
    use m::sync_group_request::SyncGroupRequestAssignment;
    let protocol = |name: Str| JoinGroupRequestProtocol {
        name,
        metadata: Bytes::new(),
    };
    let part = |member_id: Str| SyncGroupRequestAssignment {
        member_id,
        assignment: Bytes::new(),
    };
    let member = |member_id: Str| MemberIdentity {
        member_id,
        ..Default::default()
    };
    let mut all = cases! {
        FindCoordinator 4 "many keys" ANSWERED: m::FindCoordinatorRequest {
            coordinator_keys: names().collect(),
            ..Default::default()
        };
        JoinGroup 9 "many protocols" ANSWERED: m::JoinGroupRequest {
            group_id: "j".into(),
            protocols: names().map(protocol).collect(),
            ..Default::default()
        };
        JoinGroup 9 "much metadata" ANSWERED: m::JoinGroupRequest {
            group_id: "j".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: vec![0; 4 << 20].into(),
            }],
            ..Default::default()
        };
        SyncGroup 5 "many parts" ANSWERED: m::SyncGroupRequest {
            group_id: "g".into(),
            assignments: names().map(part).collect(),
            ..Default::default()
        };
        Heartbeat 4 "a long name" ANSWERED: m::HeartbeatRequest {
            group_id: long(),
            member_id: long(),
            ..Default::default()
        };
        LeaveGroup 5 "many members" ANSWERED: m::LeaveGroupRequest {
            group_id: "g".into(),
            members: names().map(member).collect(),
            ..Default::default()
        };
    };
    all.extend(described());
    all.extend(positions());
    all
}

fn described() -> Vec<Case> {
    cases! {
        DescribeGroups 6 "unknown names" ANSWERED: m::DescribeGroupsRequest {
            groups: names().collect(),
            ..Default::default()
        };
        DescribeGroups 5 "a group again and again" ANSWERED: m::DescribeGroupsRequest {
            groups: vec!["g".into(); MANY],
            ..Default::default()
        };
        ListGroups 5 "many filters" ANSWERED: m::ListGroupsRequest {
            states_filter: names().collect(),
            types_filter: names().collect(),
        };
        ListGroups 0 "all" ANSWERED: m::ListGroupsRequest::default();
        DeleteGroups 2 "unknown names" ANSWERED: m::DeleteGroupsRequest {
            groups_names: names().collect(),
        };
        DeleteGroups 2 "offsets" ANSWERED: m::DeleteGroupsRequest {
            groups_names: vec!["g".into(); 2],
        };
    }
}

fn positions() -> Vec<Case> {
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use m::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    use m::offset_fetch_request as of;
    let partition = |partition_index: i32| OffsetCommitRequestPartition {
        partition_index,
        committed_metadata: Some(Str::default()),
        ..Default::default()
    };
    let commit = |group: Str, topic: Str, count: usize| m::OffsetCommitRequest {
        group_id: group,
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic,
            partitions: (0..300).cycle().take(count).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let whole = |name: &str| of::OffsetFetchRequestGroup {
        group_id: name.into(),
        topics: None,
        ..Default::default()
    };
    let deleted = |name: Str, count: usize| m::OffsetDeleteRequest {
        group_id: "g".into(),
        topics: vec![OffsetDeleteRequestTopic {
            name,
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 1 }; count],
        }],
    };
    cases! {
        OffsetCommit 9 "many partitions" ANSWERED: commit("c".into(), "wide".into(), MANY);
        OffsetCommit 9 "a long group" ANSWERED: commit(long(), "wide".into(), 300);
        OffsetCommit 9 "a long group too often" REFUSED: commit(long(), "wide".into(), MANY);
        OffsetCommit 7 "an unknown topic" ANSWERED: commit("c".into(), "none".into(), MANY);
        OffsetFetch 8 "a group again and again" REFUSED: m::OffsetFetchRequest {
            groups: vec![whole("g"); MANY],
            ..Default::default()
        };
        OffsetFetch 9 "a group a few times" ANSWERED: m::OffsetFetchRequest {
            groups: vec![whole("g"); 50],
            ..Default::default()
        };
        OffsetFetch 5 "partitions that have none" ANSWERED: m::OffsetFetchRequest {
            group_id: "none".into(),
            topics: Some(vec![of::OffsetFetchRequestTopic {
                name: "wide".into(),
                partition_indexes: vec![1; MANY],
            }]),
            ..Default::default()
        };
        OffsetFetch 5 "a partition again and again" ANSWERED: m::OffsetFetchRequest {
            group_id: "g".into(),
            topics: Some(vec![of::OffsetFetchRequestTopic {
                name: "wide".into(),
                partition_indexes: vec![1; 5000],
            }]),
            ..Default::default()
        };
        OffsetDelete 0 "a partition again and again" ANSWERED: deleted("wide".into(), MANY);
        OffsetDelete 0 "a long name" ANSWERED: deleted(long(), 500);
        OffsetDelete 0 "a long name too often" REFUSED: deleted(long(), MANY);
    }
}

fn records() -> Vec<Case> {
    use m::fetch_request::{FetchPartition, FetchTopic};
    use m::produce_request::{PartitionProduceData, TopicProduceData};
    let produce = |count: usize| m::ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![
                PartitionProduceData {
                    index: 0,
                    records: Some(Bytes::new()),
                };
                count
            ],
            ..Default::default()
        }],
        ..Default::default()
    };
    let fetched = |partition: i32| FetchPartition {
        partition,
        current_leader_epoch: -1,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let fetch = |topics: Vec<FetchTopic>| m::FetchRequest {
        max_wait_ms: 1,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics,
        ..Default::default()
    };
    let fetch_topic = |topic: Str, partitions: Vec<FetchPartition>| FetchTopic {
        topic,
        partitions,
        ..Default::default()
    };
    cases! {
        Produce 9 "batches that are none" ANSWERED: produce(MANY);
        Produce 9 "too many" REFUSED: produce(100_000);
        Fetch 12 "many partitions" ANSWERED: fetch(vec![
            fetch_topic("wide".into(), (0..300).cycle().take(MANY).map(fetched).collect()),
        ]);
        Fetch 4 "topics without partitions" ANSWERED: fetch(
            names().map(|name| fetch_topic(name, Vec::new())).collect(),
        );
        Fetch 12 "unknown names" ANSWERED: fetch(
            names().map(|name| fetch_topic(name, vec![fetched(0)])).collect(),
        );
    }
}

fn partitions() -> Vec<Case> {
    use m::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    use m::describe_producers_request::TopicRequest;
    use m::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    cases! {
        ListOffsets 10 "many partitions" ANSWERED: m::ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "wide".into(),
                partitions: vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }; MANY],
            }],
            ..Default::default()
        };
        ListOffsets 1 "a long name" ANSWERED: m::ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: long(),
                partitions: vec![ListOffsetsPartition::default(); MANY],
            }],
            ..Default::default()
        };
        OffsetForLeaderEpoch 4 "many partitions" ANSWERED: m::OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderTopic {
                topic: "wide".into(),
                partitions: vec![OffsetForLeaderPartition::default(); MANY],
            }],
            ..Default::default()
        };
        DeleteRecords 2 "an unknown topic" ANSWERED: m::DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "none".into(),
                partitions: vec![DeleteRecordsPartition::default(); MANY],
            }],
            ..Default::default()
        };
        DescribeProducers 0 "a partition again and again" ANSWERED: m::DescribeProducersRequest {
            topics: vec![TopicRequest { name: "t".into(), partition_indexes: vec![0; 1000] }],
        };
        DescribeProducers 0 "a partition too often" REFUSED: m::DescribeProducersRequest {
            topics: vec![TopicRequest { name: "t".into(), partition_indexes: vec![0; MANY] }],
        };
        DescribeProducers 0 "a long unknown name" ANSWERED: m::DescribeProducersRequest {
            topics: vec![TopicRequest { name: long(), partition_indexes: vec![0; MANY] }],
        };
    }
}

fn others() -> Vec<Case> {
    let text = || Str::from("x".repeat(1 << 20));
    cases! {
        SaslHandshake 1 "a long name" ANSWERED: m::SaslHandshakeRequest { mechanism: long() };
        SaslAuthenticate 2 "a long token" ANSWERED: m::SaslAuthenticateRequest {
            auth_bytes: vec![0; 1 << 20].into(),
        };
        ApiVersions 4 "long names" ANSWERED: m::ApiVersionsRequest {
            client_software_name: text(),
            client_software_version: text(),
        };
        InitProducerId 5 "a long name" ANSWERED: m::InitProducerIdRequest {
            transactional_id: Some(text()),
            ..Default::default()
        };
        DescribeCluster 2 "nothing" ANSWERED: m::DescribeClusterRequest::default();
    }
}
