//! What is served: one table, and one file per kind of request.

#![expect(
    clippy::unused_async,
    reason = "one table of handlers, and most of them wait"
)]

mod api_versions;
mod configs;
mod describe;
pub(crate) mod fetch;
mod group_admin;
mod groups;
mod metadata;
mod offsets;
pub(crate) mod produce;
mod producers;
mod records;
mod sasl_handshake;
mod topics;

use std::sync::Arc;

use bytes::Bytes;
use kafka_wire::{ApiKey, Decoder, RequestHeader, Str, messages as m};
use net::head::Close;

use crate::codec::{self, Decided, Reply};
use crate::room::Room;
use crate::sasl;
use crate::session::{Authenticate, Call, Connection, Request};
use crate::{Pending, Shared};

pub(crate) use sasl_handshake::chosen_mechanism;

/// What a handler knows besides the request.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) header: RequestHeader,
    /// What answering it may take.
    pub(crate) room: Room,
}

impl Context {
    /// Reads `body`, as far as its lists are not too long.
    pub(crate) fn decoder(&self, body: Bytes) -> Decoder {
        Decoder::new(body).with_elements_max(self.shared.config.elements_per_request_max)
    }

    pub(crate) fn version(&self) -> i16 {
        self.header.api_version
    }

    pub(crate) fn client_id(&self) -> &str {
        self.header.client_id.as_ref().map_or("", Str::as_str)
    }
}

/// One kind of request in the table of what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Which.
    pub key: ApiKey,
    /// The oldest version that clients are told of.
    pub min: i16,
    /// The newest.
    pub max: i16,
    /// What there is to say about it.
    pub note: &'static str,
}

macro_rules! apis {
    ($($key:ident $min:literal..=$max:literal $note:literal => $handler:expr, $request:ident;)*) => {
        /// Everything that is served, by number.
        pub const APIS: &[Api] = &[
            $(Api { key: ApiKey::$key, min: $min, max: $max, note: $note },)*
        ];

        /// Decodes, makes room, handles, encodes what has no path of its own.
        async fn dispatch(context: &Context, key: ApiKey, body: Bytes) -> Result<Bytes, Close> {
            let (version, room, bytes) = (context.version(), &context.room, body.len());
            let mut decoder = context.decoder(body);
            match key {
                $(ApiKey::$key => {
                    let request = m::$request::decode(&mut decoder, version)
                        .map_err(codec::malformed)?;
                    room.within(room.begin(decoder.elements())).await?;
                    let response = room.within($handler(context, request)).await?;
                    let frame = codec::frame(&context.header, key, room.announced(), |out| {
                        response.encode(out, version)
                    })?;
                    room.check(frame.len(), bytes);
                    Ok(frame)
                })*
                _ => Err(Close::protocol("a request that is not served")),
            }
        }
    };
}

// Versions: what Kafka 4.3 serves, where Stentor does all of it. Produce is announced from 0 on
// because librdkafka before 2.11 looks for old versions by number (KAFKA-18659); 0 to 2 are
// refused, as Kafka does.
apis! {
    Produce 0..=13 "from version 3 on; no transactions" => unreachable_produce, ProduceRequest;
    Fetch 4..=17 "sessions, long polls; no follower fetching" => unreachable_fetch, FetchRequest;
    ListOffsets 1..=10 "" => offsets::list_offsets, ListOffsetsRequest;
    Metadata 0..=13 "" => metadata::metadata, MetadataRequest;
    OffsetCommit 2..=9 "" => groups::offset_commit, OffsetCommitRequest;
    OffsetFetch 1..=9 "" => groups::offset_fetch, OffsetFetchRequest;
    FindCoordinator 0..=6 "groups" => groups::find_coordinator, FindCoordinatorRequest;
    JoinGroup 0..=9 "" => groups::join_group, JoinGroupRequest;
    Heartbeat 0..=4 "" => groups::heartbeat, HeartbeatRequest;
    LeaveGroup 0..=5 "" => groups::leave_group, LeaveGroupRequest;
    SyncGroup 0..=5 "" => groups::sync_group, SyncGroupRequest;
    DescribeGroups 0..=6 "" => group_admin::describe_groups, DescribeGroupsRequest;
    ListGroups 0..=5 "" => group_admin::list_groups, ListGroupsRequest;
    SaslHandshake 0..=1 "" => sasl_handshake::sasl_handshake, SaslHandshakeRequest;
    ApiVersions 0..=4 "" => unreachable_api_versions, ApiVersionsRequest;
    CreateTopics 2..=7 "" => topics::create_topics, CreateTopicsRequest;
    DeleteTopics 1..=6 "" => topics::delete_topics, DeleteTopicsRequest;
    DeleteRecords 0..=2 "" => records::delete_records, DeleteRecordsRequest;
    InitProducerId 0..=5 "idempotent producers" => producers::init_producer_id, InitProducerIdRequest;
    OffsetForLeaderEpoch 2..=4 "" => offsets::offset_for_leader_epoch, OffsetForLeaderEpochRequest;
    DescribeConfigs 1..=4 "topics and the broker" => configs::describe_configs, DescribeConfigsRequest;
    AlterConfigs 0..=2 "topics" => configs::alter_configs, AlterConfigsRequest;
    DescribeLogDirs 1..=4 "" => describe::describe_log_dirs, DescribeLogDirsRequest;
    SaslAuthenticate 0..=2 "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512" => sasl_handshake::out_of_order, SaslAuthenticateRequest;
    CreatePartitions 0..=3 "" => topics::create_partitions, CreatePartitionsRequest;
    DeleteGroups 0..=2 "" => group_admin::delete_groups, DeleteGroupsRequest;
    IncrementalAlterConfigs 0..=1 "topics" => configs::incremental_alter_configs, IncrementalAlterConfigsRequest;
    OffsetDelete 0..=0 "" => group_admin::offset_delete, OffsetDeleteRequest;
    DescribeCluster 0..=2 "" => describe::describe_cluster, DescribeClusterRequest;
    DescribeProducers 0..=0 "" => producers::describe_producers, DescribeProducersRequest;
    DescribeTopicPartitions 0..=0 "" => describe::describe_topic_partitions, DescribeTopicPartitionsRequest;
}

// These three have paths of their own (`start`); the table names them all the same.
async fn unreachable_produce(_: &Context, _: m::ProduceRequest) -> m::ProduceResponse {
    m::ProduceResponse::default()
}

async fn unreachable_fetch(_: &Context, _: m::FetchRequest) -> m::FetchResponse {
    m::FetchResponse::default()
}

async fn unreachable_api_versions(
    context: &Context,
    request: m::ApiVersionsRequest,
) -> m::ApiVersionsResponse {
    api_versions::answer(context.version(), &request)
}

/// Whether a version of a request is served.
pub(crate) fn served(key: ApiKey, version: i16) -> bool {
    let oldest = if key == ApiKey::Produce { 3 } else { 0 };
    APIS.iter()
        .any(|api| api.key == key && (api.min.max(oldest)..=api.max).contains(&version))
}

/// Carries out a call: what must keep its order is done before this returns.
pub(crate) fn start(shared: &Arc<Shared>, call: Call) -> Pending {
    match call {
        Call::Authenticate(step) => {
            let shared = shared.clone();
            Box::pin(async move { Some(authenticate(&shared, step).await) })
        }
        Call::Request(request) => {
            shared.metrics.request(request.key);
            start_request(shared, request)
        }
    }
}

fn start_request(shared: &Arc<Shared>, request: Request) -> Pending {
    let Request {
        connection,
        header,
        key,
        body,
    } = request;
    let context = Context {
        shared: shared.clone(),
        connection,
        header,
        room: Room::new(
            shared.broker.ledger().clone(),
            shared.config.answer_bytes_max.as_usize(),
        ),
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only these have paths of their own"
    )]
    match key {
        ApiKey::Produce => produce::start(context, body),
        ApiKey::Fetch => Box::pin(fetch::fetch(context, body)),
        ApiKey::ApiVersions => {
            let frame = api_versions::frame(&context, body);
            Box::pin(std::future::ready(Some(closing(frame))))
        }
        _ => Box::pin(async move { Some(closing(dispatch(&context, key, body).await)) }),
    }
}

/// A frame, or the end of the connection.
fn closing(frame: Result<Bytes, Close>) -> Reply {
    match frame {
        Ok(frame) => Reply::Frame(frame),
        Err(why) => Reply::Close(why),
    }
}

async fn authenticate(shared: &Shared, call: Authenticate) -> Reply {
    let Some(header) = call.header else {
        let (outcome, token) = sasl::step(shared, call.step, &call.body).await;
        if matches!(outcome, sasl::Outcome::Refused) {
            // There is no answer that says so, but the end of the connection is held back as well.
            let answer = Bytes::new();
            return Reply::Authenticated(Decided { outcome, answer });
        }
        let mut answer = i32::try_from(token.len())
            .unwrap_or(0)
            .to_be_bytes()
            .to_vec();
        answer.extend_from_slice(&token);
        let answer = Bytes::from(answer);
        return Reply::Authenticated(Decided { outcome, answer });
    };
    let mut decoder = Decoder::new(call.body);
    let request = match m::SaslAuthenticateRequest::decode(&mut decoder, header.api_version) {
        Ok(request) => request,
        Err(error) => return Reply::Close(codec::malformed(error)),
    };
    let (outcome, token) = sasl::step(shared, call.step, &request.auth_bytes).await;
    let refused = matches!(outcome, sasl::Outcome::Refused);
    let lifetime = sasl::lifetime(shared).filter(|_| matches!(outcome, sasl::Outcome::Done { .. }));
    let response = m::SaslAuthenticateResponse {
        error_code: if refused {
            kafka_wire::ErrorCode::SaslAuthenticationFailed.code()
        } else {
            0
        },
        error_message: refused.then(|| Str::from_static("Authentication failed")),
        auth_bytes: Bytes::from(token),
        session_lifetime_ms: lifetime
            .map_or(0, |l| i64::try_from(l.as_millis()).unwrap_or(i64::MAX)),
    };
    let version = header.api_version;
    match codec::frame(&header, ApiKey::SaslAuthenticate, 0, |out| {
        response.encode(out, version)
    }) {
        Ok(answer) => Reply::Authenticated(Decided { outcome, answer }),
        Err(why) => Reply::Close(why),
    }
}

#[cfg(test)]
mod tests;
