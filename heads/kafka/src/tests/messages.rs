//! Requests and the answers that belong to them, and short ways to say the common ones.

use bytes::{Bytes, BytesMut};
use kafka_wire::messages as m;
use kafka_wire::{ApiKey, Decoder};
use store::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN};

use super::harness::START_MS;

/// A request that knows its answer.
pub(super) trait Ask {
    const KEY: ApiKey;
    type Answer;
    fn put(&self, out: &mut BytesMut, version: i16);
    fn answer(decoder: &mut Decoder, version: i16) -> Self::Answer;
}

macro_rules! asks {
    ($($key:ident: $request:ident => $response:ident;)*) => {
        $(impl Ask for m::$request {
            const KEY: ApiKey = ApiKey::$key;
            type Answer = m::$response;

            fn put(&self, out: &mut BytesMut, version: i16) {
                self.encode(out, version).unwrap();
            }

            fn answer(decoder: &mut Decoder, version: i16) -> Self::Answer {
                m::$response::decode(decoder, version).unwrap()
            }
        })*

        /// Reads the body of a request and writes it again.
        pub(super) fn again(key: ApiKey, body: &Bytes, version: i16) -> Bytes {
            let mut decoder = Decoder::new(body.clone());
            let mut out = BytesMut::new();
            match key {
                $(ApiKey::$key => {
                    let request = m::$request::decode(&mut decoder, version).unwrap();
                    assert!(decoder.is_empty(), "{key:?} {version}: bytes left");
                    request.encode(&mut out, version).unwrap();
                })*
                _ => panic!("{key:?} is not served"),
            }
            out.freeze()
        }

        /// The smallest request of a kind.
        pub(super) fn smallest(key: ApiKey, version: i16) -> Bytes {
            let mut out = BytesMut::new();
            match key {
                $(ApiKey::$key => m::$request::default().put(&mut out, version),)*
                _ => panic!("{key:?} is not served"),
            }
            out.freeze()
        }

        /// Reads an answer's body, all of it, and writes it again.
        pub(super) fn answered(key: ApiKey, body: &Bytes, version: i16) {
            let mut decoder = Decoder::new(body.clone());
            let mut out = BytesMut::new();
            match key {
                $(ApiKey::$key => {
                    let answer = m::$response::decode(&mut decoder, version).unwrap();
                    answer.encode(&mut out, version).unwrap();
                })*
                _ => panic!("{key:?} is not served"),
            }
            assert!(decoder.is_empty(), "{key:?} {version}: bytes left");
            assert_eq!(out, body, "{key:?} {version}");
        }
    };
}

asks! {
    Produce: ProduceRequest => ProduceResponse;
    Fetch: FetchRequest => FetchResponse;
    ListOffsets: ListOffsetsRequest => ListOffsetsResponse;
    Metadata: MetadataRequest => MetadataResponse;
    OffsetCommit: OffsetCommitRequest => OffsetCommitResponse;
    OffsetFetch: OffsetFetchRequest => OffsetFetchResponse;
    FindCoordinator: FindCoordinatorRequest => FindCoordinatorResponse;
    JoinGroup: JoinGroupRequest => JoinGroupResponse;
    Heartbeat: HeartbeatRequest => HeartbeatResponse;
    LeaveGroup: LeaveGroupRequest => LeaveGroupResponse;
    SyncGroup: SyncGroupRequest => SyncGroupResponse;
    DescribeGroups: DescribeGroupsRequest => DescribeGroupsResponse;
    ListGroups: ListGroupsRequest => ListGroupsResponse;
    SaslHandshake: SaslHandshakeRequest => SaslHandshakeResponse;
    ApiVersions: ApiVersionsRequest => ApiVersionsResponse;
    CreateTopics: CreateTopicsRequest => CreateTopicsResponse;
    DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse;
    DeleteRecords: DeleteRecordsRequest => DeleteRecordsResponse;
    InitProducerId: InitProducerIdRequest => InitProducerIdResponse;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse;
    DescribeConfigs: DescribeConfigsRequest => DescribeConfigsResponse;
    AlterConfigs: AlterConfigsRequest => AlterConfigsResponse;
    DescribeLogDirs: DescribeLogDirsRequest => DescribeLogDirsResponse;
    SaslAuthenticate: SaslAuthenticateRequest => SaslAuthenticateResponse;
    CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse;
    DeleteGroups: DeleteGroupsRequest => DeleteGroupsResponse;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;
    OffsetDelete: OffsetDeleteRequest => OffsetDeleteResponse;
    DescribeCluster: DescribeClusterRequest => DescribeClusterResponse;
    DescribeProducers: DescribeProducersRequest => DescribeProducersResponse;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse;
}

/// A batch of `count` records with keys, at the servers' first instant.
pub(super) fn batch(count: i64) -> Bytes {
    timed(&(0..count).map(|at| START_MS + at).collect::<Vec<_>>())
}

/// A batch with a record for each time.
pub(super) fn timed(times: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (at, time) in times.iter().enumerate() {
        let value = format!("value-{at}");
        builder.push(*time, Some(b"key"), Some(value.as_bytes()), []);
    }
    builder.build(Compression::None).unwrap()
}

/// A batch whose header is changed by `change`; the checksum is right again afterwards.
pub(super) fn changed(batch: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(batch).unwrap();
    change(&mut header);
    sealed(&header, &batch[HEADER_LEN..])
}

/// A header with these bytes behind it, length and checksum set.
pub(super) fn sealed(header: &BatchHeader, body: &[u8]) -> Bytes {
    let length = i32::try_from(HEADER_LEN - 12 + body.len()).unwrap();
    let mut out = BatchHeader { length, ..*header }.encode().to_vec();
    out.extend_from_slice(body);
    let crc = crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out.into()
}

/// CRC-32C, bit by bit: another implementation than the one under test.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// A produce of one batch.
pub(super) fn produce(topic: &str, index: i32, records: Bytes) -> m::ProduceRequest {
    m::ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![m::produce_request::TopicProduceData {
            name: topic.into(),
            partition_data: vec![m::produce_request::PartitionProduceData {
                index,
                records: Some(records),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A fetch of one partition without a session.
pub(super) fn fetch(topic: &str, partition: i32, from: i64) -> m::FetchRequest {
    use m::fetch_request::{FetchPartition, FetchTopic};
    m::FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: from,
                current_leader_epoch: -1,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
