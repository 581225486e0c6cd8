//! `basic.consume`: a stream that begins with the answer and goes on with messages.

use std::sync::Arc;

use broker::Error;
use broker::access::Right;
use broker::queue::{Consumer, ConsumerEvent, ConsumerSettings};
use futures_util::{StreamExt, stream};

use super::Context;
use super::arguments::QueueType;
use crate::access::Resource;
use crate::call::{Consume, Consuming, Reply, Source};
use crate::codec::{CLASS_BASIC, Table, Value};
use crate::error::Failure;
use crate::session::EngineConsumer;
use crate::streams;
use crate::{Answers, Shared, reply_to};

/// Class and id of `basic.consume`.
const IDS: (u16, u16) = (CLASS_BASIC, 20);

/// Begins to consume.
pub(super) fn start(shared: &Arc<Shared>, consume: Consume) -> Answers {
    begin(shared, consume).unwrap_or_else(|(failure, hold)| {
        // The session drops this stream for the answer: the hold has to be gone before.
        let failed = async move {
            drop(hold);
            Reply::Failed(failure.of(IDS))
        };
        Answers::Stream(stream::once(failed).boxed())
    })
}

type Refused = (Failure, crate::call::Hold);

fn begin(shared: &Arc<Shared>, consume: Consume) -> Result<Answers, Refused> {
    let context = Context {
        shared: shared.clone(),
        scope: consume.scope.clone(),
        last_queue: consume.last_queue.clone(),
    };
    let begun = if &*consume.queue == reply_to::QUEUE {
        replies(shared, &consume)
    } else {
        context.consume(&consume)
    };
    match begun {
        Ok((consuming, messages)) => {
            let hold = consume.hold;
            let first = stream::once(async move {
                drop(hold);
                Reply::Consuming(Box::new(consuming))
            });
            Ok(Answers::Stream(first.chain(messages).boxed()))
        }
        Err(failure) => Err((failure, consume.hold)),
    }
}

/// A consumer's beginning and its messages.
pub(super) type Begun = (Consuming, stream::BoxStream<'static, Reply>);

fn consuming(consume: &Consume, counts: bool, source: Source) -> Consuming {
    Consuming {
        nowait: consume.nowait,
        counts,
        source,
    }
}

/// A consumer of direct replies.
fn replies(shared: &Shared, consume: &Consume) -> Result<Begun, Failure> {
    if !consume.no_ack {
        return Err(Failure::precondition("reply consumer cannot acknowledge"));
    }
    if consume.has_reply_consumer {
        return Err(Failure::precondition("reply consumer already set"));
    }
    let (consumer, mail) = shared.replies.wait(&shared.rng);
    let source = Source::Replies(consumer);
    Ok((
        consuming(consume, false, source),
        mail.map(Reply::Messages).boxed(),
    ))
}

impl Context {
    fn consume(&self, consume: &Consume) -> Result<Begun, Failure> {
        let name = self.queue_name(&consume.queue)?;
        self.check(Right::Read, Resource::Queue, &name)?;
        let queue = self.found(&name)?;
        let settings = queue.settings();
        let of = QueueType::of(&settings);
        if of == QueueType::Stream {
            let (cursor, messages) = streams::open(self, consume, &queue)?;
            let source = Source::Stream(cursor);
            return Ok((consuming(consume, false, source), messages));
        }
        if settings.single_active && consume.exclusive {
            return Err(Failure::refused(format!(
                "queue '{name}' in vhost '{}' has a single active consumer: no exclusive ones",
                self.scope.namespace
            )));
        }
        let priority = priority(&consume.arguments)?;
        let most = self.shared.config.unacknowledged_max;
        let wanted = ConsumerSettings {
            prefetch: match (consume.no_ack, consume.prefetch) {
                (true, _) => 0,
                (false, 0) => most,
                (false, prefetch) => prefetch,
            },
            shared: (!consume.no_ack).then(|| consume.shared.clone()),
            priority,
            exclusive: consume.exclusive,
            auto_settle: consume.no_ack,
        };
        let consumer = queue.consume(wanted).map_err(|error| {
            if matches!(error, Error::InUse(_)) {
                let namespace = &self.scope.namespace;
                let why = format!("queue '{name}' in vhost '{namespace}' in exclusive use");
                Failure::refused(why)
            } else {
                self.failure(&error)
            }
        })?;
        let guard = EngineConsumer {
            queue: queue.clone(),
            id: consumer.id(),
        };
        let source = Source::Queue { queue, guard };
        let counts = of == QueueType::Quorum;
        Ok((consuming(consume, counts, source), messages(consumer)))
    }
}

fn messages(consumer: Consumer) -> stream::BoxStream<'static, Reply> {
    consumer
        .map(|event| match event {
            ConsumerEvent::Deliveries(deliveries) => Reply::Deliveries(deliveries),
            ConsumerEvent::Cancelled => Reply::Cancelled,
        })
        .boxed()
}

/// `x-priority`
fn priority(arguments: &Table) -> Result<i32, Failure> {
    let Some(value) = arguments.get("x-priority") else {
        return Ok(0);
    };
    let wrong = || Failure::precondition(format!("invalid x-priority: {}", value.kind()));
    let number = value.integer().ok_or_else(wrong)?;
    let near = number.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    Ok(i32::try_from(near).unwrap_or_default())
}

/// The texts of an argument that is one or many.
pub(crate) fn texts(value: &Value) -> Vec<bytes::Bytes> {
    if let Value::Array(items) = value {
        return items.iter().filter_map(Value::as_bytes).cloned().collect();
    }
    value.as_bytes().cloned().into_iter().collect()
}
