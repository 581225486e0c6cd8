//! Sending: one message, or up to ten, in one call of the engine; answered when they are on disk.

use base::{Kind, Retry};
use broker::Error;
use broker::message::Message;
use broker::queue::{Publication, Queue, Verdict};

use super::{Context, batch};
use crate::Shared;
use crate::attributes::View;
use crate::convert::{self, Outgoing};
use crate::error::{Code, Failure};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::model::{self, Sent, SentBatch, SentEntry};
use crate::wire::Text;
use crate::wire::write::Always;

/// Publishes, waiting for room where there is none.
pub(crate) async fn publish(
    shared: &Shared,
    queue: &Queue,
    messages: &[Message],
) -> Result<Publication, Error> {
    loop {
        match queue.publish(messages.to_vec()) {
            Err(error) if error.kind() == Kind::Exhausted && error.retry() == Retry::After => {
                shared.broker.room().await;
            }
            other => return other,
        }
    }
}

/// What became of a message: its id and place, or why it was refused.
fn outcome(
    verdict: Option<&Verdict>,
    id: String,
    is_fifo: bool,
) -> Result<(String, Option<String>), Failure> {
    let number = |offset: u64| is_fifo.then(|| convert::sequence(offset));
    match verdict {
        Some(Verdict::Queued { offset, .. }) => Ok((id, number(*offset))),
        Some(Verdict::Duplicate {
            offset, message_id, ..
        }) => {
            let first = message_id
                .as_deref()
                .and_then(|id| std::str::from_utf8(id).ok());
            Ok((first.map_or(id, str::to_owned), number(*offset)))
        }
        Some(Verdict::Rejected) | None => Err(Failure::new(Code::OverLimit, "The queue is full.")),
    }
}

fn too_long(limit: usize, words: &str) -> Failure {
    Failure::invalid(format!(
        "One or more parameters {words}. Reason: Message must be shorter than {limit} bytes."
    ))
}

pub(super) async fn send(
    context: &Context<'_>,
    input: model::SendMessage<'_>,
) -> Result<Sent, Failure> {
    let queue = context.queue(&input.queue_url)?;
    let settings = queue.settings();
    let view = View(&settings);
    let entry = model::SendEntry {
        id: Text::default(),
        body: input.body,
        delay: input.delay,
        attributes: input.attributes,
        system: input.system,
        dedup: input.dedup,
        group: input.group,
    };
    let limit = view.message_bytes_max();
    if convert::size(&entry) > limit {
        return Err(too_long(limit, "are invalid"));
    }
    let Outgoing {
        message,
        id,
        body_md5,
        attributes_md5,
        system_md5,
    } = convert::outgoing(context, view, &entry)?;
    let publication = publish(context.shared, &queue, &[message]).await?;
    publication.durable().await?;
    let (id, sequence) = outcome(publication.verdicts.first(), id, view.is_fifo())?;
    Ok(Sent {
        body_md5,
        attributes_md5,
        system_md5,
        id,
        sequence,
    })
}

pub(super) async fn send_batch(
    context: &Context<'_>,
    input: model::SendMessageBatch<'_>,
) -> Result<SentBatch, Failure> {
    let queue = context.queue(&input.queue_url)?;
    let settings = queue.settings();
    let view = View(&settings);
    let entries = &input.entries.items;
    batch::check(
        "SendMessageBatchRequestEntry",
        input.entries.sent,
        entries.iter().map(|entry| &*entry.id),
    )?;
    let bytes: usize = entries.iter().map(convert::size).sum();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(Failure::new(
            Code::BatchTooLong,
            format!(
                "Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {bytes} bytes."
            ),
        ));
    }
    let mut answer = SentBatch::default();
    let mut messages = Vec::with_capacity(entries.len());
    let mut waiting = Vec::with_capacity(entries.len());
    for entry in entries {
        match prepare(context, view, entry) {
            Ok(outgoing) => {
                messages.push(outgoing.message);
                let told = SentEntry {
                    entry: entry.id.to_string(),
                    id: outgoing.id,
                    body_md5: outgoing.body_md5,
                    attributes_md5: outgoing.attributes_md5,
                    system_md5: outgoing.system_md5,
                    sequence: None,
                };
                waiting.push(told);
            }
            // What a FIFO queue needs to know of each message is asked of the whole batch.
            Err(failure) if view.is_fifo() && wants_ids(entry, view) => return Err(failure),
            Err(failure) => answer.failed.push(batch::failed(&entry.id, failure)),
        }
    }
    if messages.is_empty() {
        return Ok(answer);
    }
    let publication = publish(context.shared, &queue, &messages).await?;
    publication.durable().await?;
    for (at, told) in waiting.into_iter().enumerate() {
        match outcome(publication.verdicts.get(at), told.id, view.is_fifo()) {
            Ok((id, sequence)) => answer.successful.0.push(SentEntry {
                id,
                sequence,
                ..told
            }),
            Err(failure) => answer.failed.push(batch::failed(&told.entry, failure)),
        }
    }
    Ok(SentBatch {
        successful: Always(answer.successful.0),
        ..answer
    })
}

/// Whether an entry lacks its group, or what it is known by.
fn wants_ids(entry: &model::SendEntry<'_>, view: View<'_>) -> bool {
    entry.group.is_none() || (entry.dedup.is_none() && !view.dedups_by_content())
}

fn prepare(
    context: &Context<'_>,
    view: View<'_>,
    entry: &model::SendEntry<'_>,
) -> Result<Outgoing, Failure> {
    if entry.body.is_empty() {
        return Err(Failure::missing("MessageBody"));
    }
    let limit = view.message_bytes_max();
    if convert::size(entry) > limit {
        return Err(too_long(limit, "cannot be validated"));
    }
    convert::outgoing(context, view, entry)
}
