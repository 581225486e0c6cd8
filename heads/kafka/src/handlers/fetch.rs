//! Fetch: which partitions (a session may know), a read that may wait, an answer whose records
//! are written as they lie.

use std::sync::Arc;
use std::time::Duration;

use base::{HashMap, TopicId};
use broker::{Compression, Error, Partition, PartitionRead, Piece, Read, ReadOne, ReadRequest};
use bytes::Bytes;
use kafka_wire::messages::FetchRequest;
use kafka_wire::{ApiKey, ErrorCode, fetch as wire};
use net::head::{Close, Output};
use uuid::Uuid;

use super::Context;
use crate::codec::{self, Reply};
use crate::fetch_sessions::{Asked, Fetch, Key, Outcome, Problem, TopicKey, Wanted};
use crate::room::Hold;
use crate::{convert, error};

/// How large an answer may be however little memory is left, in bytes.
const SMALL_ANSWER: usize = 1 << 20;
/// What a partition of a fetch takes in memory from the request to the answer, but for records.
const PART: usize = 1024;
/// How long a fetch of many partitions waits where memory is short.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// What a fetch found, to be written.
#[derive(Debug)]
pub struct FetchReply {
    version: i16,
    correlation_id: i32,
    error_code: i16,
    session_id: i32,
    read_committed: bool,
    topics: Vec<FetchedTopic>,
}

#[derive(Debug)]
struct FetchedTopic {
    key: TopicKey,
    partitions: Vec<Fetched>,
}

#[derive(Debug)]
struct Fetched {
    index: i32,
    error_code: i16,
    high_watermark: i64,
    log_start_offset: i64,
    pieces: Vec<Piece>,
    bytes: usize,
}

impl FetchReply {
    pub(crate) fn write(self: Box<Self>, output: &mut Output) {
        // Names came from the client and lengths fit: the answer can be written.
        let version = self.version;
        let _ = codec::put_frame(output, ApiKey::Fetch, version, self.correlation_id, |out| {
            let topics = self.topics.len();
            wire::put_head(
                out.buf(),
                version,
                0,
                self.error_code,
                self.session_id,
                topics,
            )?;
            for topic in self.topics {
                let (name, id) = match &topic.key {
                    TopicKey::Name(name) => (&**name, Uuid::nil()),
                    TopicKey::Id(id) => ("", id.0),
                };
                wire::put_topic(out.buf(), version, name, id, topic.partitions.len())?;
                for fetched in topic.partitions {
                    let partition = wire::Partition {
                        index: fetched.index,
                        error_code: fetched.error_code,
                        high_watermark: fetched.high_watermark,
                        log_start_offset: fetched.log_start_offset,
                        records: fetched.bytes,
                        read_committed: self.read_committed,
                    };
                    wire::put_partition(out.buf(), version, &partition)?;
                    for piece in fetched.pieces {
                        match piece {
                            Piece::Memory(bytes) => out.push(bytes),
                            Piece::File(range) => out.push_file(range),
                        }
                    }
                    wire::put_end(out.buf(), version);
                }
                wire::put_end(out.buf(), version);
            }
            wire::put_end(out.buf(), version);
            Ok(())
        });
    }
}

/// Reads, and waits as long as the client wants.
pub(super) async fn fetch(context: Context, body: Bytes) -> Option<Reply> {
    let version = context.version();
    let request = match FetchRequest::decode(&mut context.decoder(body), version) {
        Ok(request) => request,
        Err(error) => {
            context.shared.metrics.refused.inc();
            return Some(Reply::Close(codec::malformed(error)));
        }
    };
    let mut reply = FetchReply {
        version,
        correlation_id: context.header.correlation_id,
        error_code: 0,
        session_id: 0,
        read_committed: request.isolation_level == 1,
        topics: Vec::new(),
    };
    let wants_session = request.session_epoch == 0;
    let want = Want::of(&request);
    let asked = asked(&request, version);
    // It may be a long wait: what the request was made of is not kept for it.
    drop(request);
    let now = context.shared.broker.clock().now();
    match context.shared.fetch_sessions.begin(asked, now) {
        Ok(fetch) => {
            if wants_session && fetch.id == 0 {
                context.shared.metrics.fetch_sessions_full.inc();
            }
            reply.session_id = fetch.id;
            match read(&context, &want, &fetch).await {
                Some(topics) => reply.topics = topics,
                None => return Some(Reply::Close(Close::Memory)),
            }
        }
        Err(problem) => {
            reply.error_code = match problem {
                Problem::NotFound => ErrorCode::FetchSessionIdNotFound,
                Problem::WrongEpoch => ErrorCode::InvalidFetchSessionEpoch,
                Problem::MixedKeys => ErrorCode::FetchSessionTopicIdError,
            }
            .code();
        }
    }
    Some(Reply::Fetch(Box::new(reply)))
}

/// How much a fetch wants, and how long it waits for it.
struct Want {
    min_bytes: usize,
    max_bytes: usize,
    max_wait: Duration,
}

impl Want {
    fn of(request: &FetchRequest) -> Self {
        Self {
            min_bytes: convert::size(request.min_bytes),
            max_bytes: convert::size(request.max_bytes),
            max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        }
    }
}

fn asked(request: &FetchRequest, version: i16) -> Asked {
    let by_id = version >= 13;
    let key = |name: &str, id: Uuid| {
        if by_id {
            TopicKey::Id(TopicId(id))
        } else {
            TopicKey::Name(Arc::from(name))
        }
    };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let key = key(&topic.topic, topic.topic_id);
        for partition in &topic.partitions {
            let want = Wanted {
                from: partition.fetch_offset,
                max_bytes: convert::size(partition.partition_max_bytes),
                epoch: convert::epoch(partition.current_leader_epoch),
            };
            wanted.push(((key.clone(), partition.partition), want));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = key(&topic.topic, topic.topic_id);
        forgotten.extend(
            topic
                .partitions
                .iter()
                .map(|partition| (key.clone(), *partition)),
        );
    }
    let (id, epoch) = (request.session_id, request.session_epoch);
    Asked {
        id,
        epoch,
        by_id,
        wanted,
        forgotten,
    }
}

/// The partitions of a fetch: found ones are read together, the others have an error.
/// `None` when there is no room for them.
async fn read(context: &Context, want: &Want, fetch: &Fetch) -> Option<Vec<FetchedTopic>> {
    let max_wait = match context.room.hold(fetch.parts.len() * PART) {
        Hold::Long => want.max_wait,
        Hold::Briefly => want.max_wait.min(SHORT_WAIT),
        Hold::Not => return None,
    };
    let mut found = Vec::with_capacity(fetch.parts.len());
    let mut parts = Vec::with_capacity(fetch.parts.len());
    let mut failed = false;
    for (key, wanted) in &fetch.parts {
        let partition = find(context, key, wanted);
        failed |= partition.is_err();
        if let Ok(partition) = &partition {
            let partition = partition.clone();
            parts.push(ReadOne {
                partition,
                from: wanted.from,
                max_bytes: wanted.max_bytes,
            });
        }
        found.push((key, partition.err()));
    }
    // What nobody reads stays in memory: the less there is, the smaller the answers.
    let ledger = context.shared.broker.ledger();
    let free = ledger.limit().saturating_sub(ledger.used());
    let limit = context.shared.config.fetch_bytes_max.as_usize();
    let limit = limit.min((free / 4).max(SMALL_ANSWER));
    let reads = context
        .shared
        .broker
        .read(ReadRequest {
            parts,
            min_bytes: want.min_bytes,
            max_bytes: want.max_bytes.min(limit),
            max_wait,
            at_once: failed || fetch.parts.is_empty(),
        })
        .await;
    let mut reads = reads.into_iter();
    let mut topics = Grouped::default();
    for (key, failure) in found {
        let fetched = match failure {
            Some(code) => broken(key.1, code),
            None => match reads.next() {
                Some(read) => fetched(context, key.1, read).await,
                None => broken(key.1, ErrorCode::UnknownServerError),
            },
        };
        let outcome = Outcome {
            end: fetched.high_watermark,
            start: fetched.log_start_offset,
            has_records: fetched.bytes > 0,
            failed: fetched.error_code != 0,
        };
        if fetch.tell(key, outcome) {
            topics.push(&key.0, fetched);
        }
    }
    Some(topics.list)
}

/// Partitions put under their topics, in order.
#[derive(Default)]
struct Grouped {
    list: Vec<FetchedTopic>,
    places: HashMap<TopicKey, usize>,
}

impl Grouped {
    fn push(&mut self, key: &TopicKey, fetched: Fetched) {
        let place = *self.places.entry(key.clone()).or_insert(self.list.len());
        if place == self.list.len() {
            self.list.push(FetchedTopic {
                key: key.clone(),
                partitions: Vec::new(),
            });
        }
        if let Some(topic) = self.list.get_mut(place) {
            topic.partitions.push(fetched);
        }
    }
}

fn find(context: &Context, key: &Key, wanted: &Wanted) -> Result<Arc<Partition>, ErrorCode> {
    let broker = &context.shared.broker;
    let topic = match &key.0 {
        TopicKey::Name(name) => broker.topic(name),
        TopicKey::Id(id) => broker.topic_by_id(*id),
    };
    let code = |error: broker::Error| error::code(&error);
    let partition = topic.map_err(code)?.partition(key.1).map_err(code)?;
    partition.check_epoch(wanted.epoch).map_err(code)?;
    Ok(partition)
}

fn broken(index: i32, code: ErrorCode) -> Fetched {
    Fetched {
        index,
        error_code: code.code(),
        high_watermark: -1,
        log_start_offset: -1,
        pieces: Vec::new(),
        bytes: 0,
    }
}

async fn fetched(context: &Context, index: i32, read: PartitionRead) -> Fetched {
    let mut fetched = Fetched {
        index,
        error_code: 0,
        high_watermark: convert::offset(read.end),
        log_start_offset: convert::offset(read.start),
        pieces: Vec::new(),
        bytes: 0,
    };
    match readable(context, read.result).await {
        Ok(None) => {}
        Ok(Some(read)) => {
            fetched.bytes = read.bytes;
            fetched.pieces = read.pieces;
        }
        Err(code) => fetched.error_code = code.code(),
    }
    fetched
}

/// What was read, if the client can read it, too.
async fn readable(
    context: &Context,
    result: Result<Option<Read>, Error>,
) -> Result<Option<Read>, ErrorCode> {
    let version = context.version();
    let read = result.map_err(|error| code(&error, version))?;
    // zstd came with version 10.
    if let Some(read) = read.as_ref().filter(|_| version < 10) {
        let broker = &context.shared.broker;
        let zstd = broker.any_compressed_by(&read.pieces, Compression::Zstd);
        if zstd.await.map_err(|error| code(&error, version))? {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
    }
    Ok(read)
}

/// The code of an error for clients of this version: up to 5 they do not know of broken storage.
fn code(error: &Error, version: i16) -> ErrorCode {
    let code = error::code(error);
    if code == ErrorCode::KafkaStorageError && version <= 5 {
        return ErrorCode::NotLeaderOrFollower;
    }
    code
}
