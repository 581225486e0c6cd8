//! Every message of the Kafka protocol in every version: bytes that are one stay one when they are
//! written and read again, and nothing panics. The first two bytes choose message and version.

use bytes::{Bytes, BytesMut};
use kafka_wire::{Decoder, messages as m};

/// Reads, and if that goes well writes and reads again.
type Play = fn(Bytes, u8);

macro_rules! messages {
    ($($name:ident,)*) => {
        /// All messages by name.
        const MESSAGES: &[(&str, Play)] = &[$((stringify!($name), |body, version| {
            let versions = m::$name::VERSIONS;
            let count = i16::from(version) % (versions.end() - versions.start() + 1);
            let version = versions.start() + count;
            let Ok(first) = m::$name::decode(&mut Decoder::new(body), version) else { return };
            let mut out = BytesMut::new();
            first.encode(&mut out, version).expect("what was read can be written");
            let written = out.freeze();
            let mut decoder = Decoder::new(written.clone());
            let second = m::$name::decode(&mut decoder, version).expect("what was written can be read");
            assert!(decoder.is_empty(), "bytes are left");
            assert_eq!(first, second);
            let mut again = BytesMut::new();
            second.encode(&mut again, version).expect("once more");
            assert_eq!(written, again);
        }),)*];

        fn defaults() -> Vec<Vec<u8>> {
            let mut seeds = Vec::new();
            let mut number = 0_u8;
            $({
                let versions = m::$name::VERSIONS;
                for (at, version) in versions.enumerate() {
                    let mut out = BytesMut::from(&[number, u8::try_from(at).unwrap_or(0)][..]);
                    if m::$name::default().encode(&mut out, version).is_ok() {
                        seeds.push(out.to_vec());
                    }
                }
                number += 1;
            })*
            let _ = number;
            seeds
        }
    };
}

messages! {
    AlterConfigsRequest,
    AlterConfigsResponse,
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    ApiVersionsRequest,
    ApiVersionsResponse,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DescribeClusterRequest,
    DescribeClusterResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    FetchRequest,
    FetchResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MetadataRequest,
    MetadataResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    ProduceRequest,
    ProduceResponse,
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
    SyncGroupRequest,
    SyncGroupResponse,
}

/// Plays one input.
pub fn run(data: &[u8]) {
    let [message, version, body @ ..] = data else {
        return;
    };
    let (_, play) = MESSAGES[usize::from(*message) % MESSAGES.len()];
    play(Bytes::copy_from_slice(body), *version);
}

/// Each message in each version, empty; and bodies whose arrays have elements.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = defaults();
    // One element in every array, one letter in every text: 1, 2 and 0 go far as lengths.
    for message in 0..u8::try_from(MESSAGES.len()).unwrap_or(u8::MAX) {
        for (version, fill) in [(0, [0, 1, b'a']), (4, [2, b'a', 0]), (9, [0, 2, b'b'])] {
            let body = fill.iter().copied().cycle().take(120);
            seeds.push([message, version].into_iter().chain(body).collect());
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_is_missing() {
        let source = include_str!("../../../crates/kafka-wire/src/messages.rs");
        let all = source.lines().filter(|line| line.starts_with("pub use "));
        let names = all.filter_map(|line| line.rsplit("::").next()?.strip_suffix(';'));
        let listed: Vec<_> = MESSAGES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.collect::<Vec<_>>(), listed);
    }
}
