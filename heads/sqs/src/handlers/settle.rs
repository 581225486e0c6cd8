//! Deleting messages, and changing how long they stay hidden.
//!
//! On a standard queue an old handle deletes its message all the same; on a FIFO queue one whose
//! time is up does not, for the message may be somebody else's by now.

use std::time::Duration;

use broker::queue::{Extended, Outcome, Queue, Receipt};

use super::{Context, batch};
use crate::attributes::View;
use crate::error::{Code, Failure};
use crate::limits;
use crate::model::{self, Changed, Deleted, Done};
use crate::receipt::Handle;

const NO_MESSAGE: &str =
    "Message does not exist or is not available for visibility timeout change.";

fn not_valid(handle: &str) -> Failure {
    Failure::new(
        Code::ReceiptHandle,
        format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
    )
}

fn expired(handle: &str) -> Failure {
    Failure::value(handle, "ReceiptHandle", "The receipt handle has expired.")
}

/// Settles receipts; says of each whether its message is deleted.
async fn accept(
    context: &Context<'_>,
    queue: &Queue,
    receipts: &[Receipt],
) -> Result<Vec<bool>, Failure> {
    let is_fifo = View(&queue.settings()).is_fifo();
    for receipt in receipts.iter().filter(|_| is_fifo) {
        context.shared.recent.touch(queue.id().0, *receipt);
    }
    let settled = queue.settle(receipts, Outcome::Accept);
    let mut done = settled.known.clone();
    if is_fifo {
        // An answer means that it never comes again.
        settled.durable().await?;
        for (receipt, done) in receipts.iter().zip(&mut done) {
            // What was deleted before is deleted; what is there again is not this handle's.
            *done = *done || queue.extend(*receipt, Duration::ZERO) == Extended::Gone;
        }
    } else {
        let each = receipts.iter().zip(&settled.known);
        let old: Vec<Receipt> = each
            .filter(|(_, known)| !**known)
            .map(|(r, _)| *r)
            .collect();
        if !old.is_empty() {
            queue.settle_any(&old);
        }
        done.fill(true);
    }
    Ok(done)
}

pub(super) async fn delete(
    context: &Context<'_>,
    input: model::DeleteMessage<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let text = &*input.receipt;
    let handle = context
        .handle(&queue, text)
        .ok_or_else(|| not_valid(text))?;
    let done = accept(context, &queue, &[handle.receipt]).await?;
    if done.first() == Some(&true) {
        Ok(())
    } else {
        Err(expired(text))
    }
}

pub(super) async fn delete_batch(
    context: &Context<'_>,
    input: model::DeleteMessageBatch<'_>,
) -> Result<Deleted, Failure> {
    let queue = context.queue(&input.queue_url)?;
    let entries = &input.entries.items;
    let kind = "DeleteMessageBatchRequestEntry";
    batch::check(
        kind,
        input.entries.sent,
        entries.iter().map(|entry| &*entry.id),
    )?;
    let mut answer = Deleted::default();
    let mut known = Vec::with_capacity(entries.len());
    let mut receipts = Vec::with_capacity(entries.len());
    for entry in entries {
        match context.handle(&queue, &entry.receipt) {
            Some(handle) => {
                known.push(entry);
                receipts.push(handle.receipt);
            }
            None => answer
                .failed
                .push(batch::failed(&entry.id, not_valid(&entry.receipt))),
        }
    }
    let done = accept(context, &queue, &receipts).await?;
    for (entry, done) in known.into_iter().zip(done) {
        if done {
            let entry = entry.id.to_string();
            answer.successful.0.push(Done { entry });
        } else {
            answer
                .failed
                .push(batch::failed(&entry.id, expired(&entry.receipt)));
        }
    }
    Ok(answer)
}

fn change_one(
    context: &Context<'_>,
    queue: &Queue,
    handle: &Handle,
    visibility: i64,
) -> Result<(), Failure> {
    let reason = "VisibilityTimeout must be an integer between 0 and 43200";
    limits::check_range(
        "VisibilityTimeout",
        visibility,
        0..=limits::VISIBILITY_MAX,
        reason,
    )?;
    let since = context.now_ms.saturating_sub(handle.at_ms);
    if since.saturating_add(visibility * 1000) > limits::VISIBILITY_MAX * 1000 && visibility > 0 {
        let reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
        return Err(Failure::value(
            &visibility.to_string(),
            "VisibilityTimeout",
            reason,
        ));
    }
    context.shared.recent.touch(queue.id().0, handle.receipt);
    let seconds = u64::try_from(visibility).unwrap_or_default();
    if seconds == 0 {
        let back = Outcome::Release {
            counted: true,
            delay: None,
        };
        let settled = queue.settle(&[handle.receipt], back);
        if settled.known.first() == Some(&true) {
            return Ok(());
        }
    }
    match queue.extend(handle.receipt, Duration::from_secs(seconds)) {
        Extended::Leased => Ok(()),
        // It is visible already, or another's: there is nothing to change.
        Extended::Available => Ok(()),
        Extended::Gone => Err(Failure::value(
            &visibility.to_string(),
            "VisibilityTimeout",
            NO_MESSAGE,
        )),
    }
}

pub(super) async fn change(
    context: &Context<'_>,
    input: model::ChangeMessageVisibility<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let handle = context
        .handle(&queue, &input.receipt)
        .ok_or_else(|| Failure::new(Code::ReceiptHandle, "The input receipt handle is invalid."))?;
    change_one(
        context,
        &queue,
        &handle,
        input.visibility.unwrap_or_default(),
    )
}

pub(super) async fn change_batch(
    context: &Context<'_>,
    input: model::ChangeMessageVisibilityBatch<'_>,
) -> Result<Changed, Failure> {
    let queue = context.queue(&input.queue_url)?;
    let entries = &input.entries.items;
    let kind = "ChangeMessageVisibilityBatchRequestEntry";
    batch::check(
        kind,
        input.entries.sent,
        entries.iter().map(|entry| &*entry.id),
    )?;
    let mut answer = Changed::default();
    for entry in entries {
        let visibility = entry.visibility.unwrap_or_default();
        let changed = match context.handle(&queue, &entry.receipt) {
            Some(handle) => change_one(context, &queue, &handle, visibility),
            None => Err(not_valid(&entry.receipt)),
        };
        match changed {
            Ok(()) => {
                let entry = entry.id.to_string();
                answer.successful.0.push(Done { entry });
            }
            Err(failure) => answer.failed.push(batch::failed(&entry.id, failure)),
        }
    }
    Ok(answer)
}
