//! Produce: every batch is appended before the call returns; its stream only waits for the disk.
//!
//! When the commit queue is full the request is deferred: it waits for room and is appended then.
//! As long as any request of a connection is deferred, those behind it are too, so that the order
//! of requests stays the order in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker::{Ack, Appended, BatchProblem, Error, Partition, Topic};
use bytes::Bytes;
use kafka_wire::produce::{self as wire, Outcome, Part, Request};
use kafka_wire::{ApiKey, ErrorCode, Str};
use net::head::{Close, Output};

use super::Context;
use crate::codec::{self, Reply};
use crate::{Pending, convert, error};

/// The client that may write to internal topics: Kafka's own tool.
const ADMIN_CLIENT: &str = "__admin_client";

/// What became of a produce, to be written.
#[derive(Debug)]
pub struct ProduceReply {
    version: i16,
    correlation_id: i32,
    topics: Vec<wire::Topic>,
    outcomes: Vec<Outcome>,
}

impl ProduceReply {
    pub(crate) fn write(self, output: &mut Output) {
        // The messages are ours and short: the answer can be written.
        let _ = codec::put_frame(
            output,
            ApiKey::Produce,
            self.version,
            self.correlation_id,
            |out| wire::put_response(out.buf(), self.version, &self.topics, &self.outcomes, 0),
        );
    }
}

/// A batch on its way.
enum Step {
    Refused(ErrorCode, Option<Error>),
    Appended(Arc<Partition>, Appended),
    Waiting(Arc<Partition>, Bytes),
}

/// Leaves the line of deferred requests when it goes, however it goes.
struct Deferred(Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Deferred {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Appends, unless earlier requests of the connection still wait for room.
pub(super) fn start(context: Context, body: Bytes) -> Pending {
    let version = context.version();
    let request = match Request::decode(&mut context.decoder(body), version) {
        Ok(request) => request,
        Err(error) => {
            context.shared.metrics.refused.inc();
            return Box::pin(std::future::ready(Some(Reply::Close(codec::malformed(
                error,
            )))));
        }
    };
    let mut wait = context.connection.deferred.load(Ordering::Acquire) > 0;
    let mut topics = Topics::default();
    let mut steps = Vec::with_capacity(request.parts.len());
    for part in &request.parts {
        let step = topics.step(&context, &request, part, wait);
        wait |= matches!(step, Step::Waiting(..));
        steps.push(step);
    }
    let deferred = wait.then(|| {
        context.connection.deferred.fetch_add(1, Ordering::AcqRel);
        context.shared.metrics.deferred.inc();
        Deferred(context.connection.deferred.clone())
    });
    Box::pin(finish(context, request, steps, deferred))
}

async fn finish(
    context: Context,
    request: Request,
    mut steps: Vec<Step>,
    deferred: Option<Deferred>,
) -> Option<Reply> {
    for step in &mut steps {
        if let Step::Waiting(partition, batch) = step {
            *step = append_when_room(&context, partition.clone(), batch).await;
        }
    }
    drop(deferred);
    let ack = match request.acks {
        0 => Ack::None,
        1 => Ack::Leader,
        _ => Ack::Quorum,
    };
    let version = context.version();
    let mut outcomes = Vec::with_capacity(steps.len());
    for (part, step) in request.parts.iter().zip(steps) {
        outcomes.push(outcome(part.index, step, ack).await);
    }
    if request.acks == 0 {
        let failed = outcomes.iter().find(|outcome| outcome.error_code != 0)?;
        // The client hears of nothing: the end of the connection makes it look for the leader.
        let code = failed.error_code;
        return Some(Reply::Close(Close::protocol(format!(
            "error {code} for acks=0"
        ))));
    }
    Some(Reply::Produce(ProduceReply {
        version,
        correlation_id: context.header.correlation_id,
        topics: request.topics,
        outcomes,
    }))
}

async fn append_when_room(context: &Context, partition: Arc<Partition>, batch: &Bytes) -> Step {
    loop {
        match partition.append(batch) {
            Err(error) if is_busy(&error) => context.shared.broker.room().await,
            other => return appended(partition, other),
        }
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Store(_)) && error.kind() == base::Kind::Exhausted
}

fn appended(partition: Arc<Partition>, result: Result<Appended, Error>) -> Step {
    match result {
        Ok(appended) => Step::Appended(partition, appended),
        Err(error) => Step::Refused(error::code(&error), Some(error)),
    }
}

/// The topics of a request, each looked up once.
#[derive(Default)]
struct Topics(Option<(usize, Result<Arc<Topic>, ErrorCode>)>);

impl Topics {
    fn step(&mut self, context: &Context, request: &Request, part: &Part, wait: bool) -> Step {
        if !matches!(request.acks, -1..=1) {
            return Step::Refused(ErrorCode::InvalidRequiredAcks, None);
        }
        if request.transactional_id.is_some() {
            return Step::Refused(ErrorCode::TransactionalIdAuthorizationFailed, None);
        }
        let topic = match &self.0 {
            Some((at, topic)) if *at == part.topic => topic.clone(),
            _ => {
                let topic = find(context, request, part.topic);
                self.0 = Some((part.topic, topic.clone()));
                topic
            }
        };
        let topic = match topic {
            Ok(topic) => topic,
            Err(code) => return Step::Refused(code, None),
        };
        let partition = match topic.partition(part.index) {
            Ok(partition) => partition,
            Err(error) => return Step::Refused(error::code(&error), None),
        };
        let Some(records) = &part.records else {
            return Step::Refused(ErrorCode::InvalidRecord, None);
        };
        // zstd came with version 7.
        let codec = records.get(22).map_or(0, |bits| bits & 7);
        if codec == 4 && context.version() < 7 {
            return Step::Refused(ErrorCode::UnsupportedCompressionType, None);
        }
        if wait {
            return Step::Waiting(partition, records.clone());
        }
        match partition.append(records) {
            Err(error) if is_busy(&error) => Step::Waiting(partition, records.clone()),
            other => appended(partition, other),
        }
    }
}

fn find(context: &Context, request: &Request, at: usize) -> Result<Arc<Topic>, ErrorCode> {
    let broker = &context.shared.broker;
    let Some(named) = request.topics.get(at) else {
        return Err(ErrorCode::InvalidRequest);
    };
    let topic = if context.version() >= 13 {
        broker.topic_by_id(base::TopicId(named.id))
    } else {
        broker.topic(&named.name)
    };
    let topic = topic.map_err(|error| error::code(&error))?;
    if topic.is_internal() && context.client_id() != ADMIN_CLIENT {
        return Err(ErrorCode::InvalidTopicException);
    }
    Ok(topic)
}

async fn outcome(index: i32, step: Step, ack: Ack) -> Outcome {
    let (partition, appended) = match step {
        Step::Appended(partition, appended) => (partition, appended),
        Step::Refused(code, error) => return refused(index, code, error),
        Step::Waiting(..) => return refused(index, ErrorCode::RequestTimedOut, None),
    };
    if let Err(error) = partition.acknowledged(&appended, ack).await {
        return refused(index, error::code(&error), Some(error));
    }
    Outcome {
        index,
        error_code: 0,
        base_offset: convert::offset(appended.first),
        log_append_time_ms: appended.append_time.unwrap_or(-1),
        log_start_offset: convert::offset(partition.start()),
        record_errors: Vec::new(),
        error_message: None,
    }
}

fn refused(index: i32, code: ErrorCode, error: Option<Error>) -> Outcome {
    let error_message = error.as_ref().map(|error| Str::from(error.to_string()));
    let blamed = match error {
        Some(Error::Batch(BatchProblem::Records(blamed))) => blamed,
        Some(Error::Batch(BatchProblem::Timestamp {
            index: Some(index),
            timestamp,
        })) => {
            vec![(
                index,
                format!("timestamp {timestamp} is outside the topic's bounds"),
            )]
        }
        _ => Vec::new(),
    };
    let record_errors = blamed
        .into_iter()
        .map(|(at, why)| (i32::try_from(at).unwrap_or(-1), why.into()));
    Outcome {
        index,
        error_code: code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        record_errors: record_errors.collect(),
        error_message,
    }
}
