//! What a move task does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Shutdown;
use broker::message::{Attributes, Message};
use broker::queue::{Delivery, Outcome, Queue, Receipt, Take};
use bytes::Bytes;
use tracing::warn;

use super::{Status, Task, save};
use crate::Shared;
use crate::attributes::LEASE;
use crate::error::{Code, Failure};
use crate::handlers::publish;

/// How many messages are moved at a time.
const STEP: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Goes on with what a stop interrupted.
pub(crate) fn resume(shared: &Arc<Shared>) {
    for task in shared.moves.active() {
        spawn(shared, task);
    }
}

pub(super) fn spawn(shared: &Arc<Shared>, task: Task) {
    let shared = shared.clone();
    let tasks = shared.tasks.clone();
    tasks.spawn("sqs.move", async move { run(&shared, &task).await });
}

/// How a task ended, and why it failed.
type End = (Status, Option<String>);

async fn run(shared: &Arc<Shared>, task: &Task) {
    let mut shutdown = shared.tasks.shutdown();
    let end = loop {
        let step = match task.rate {
            Some(rate) => rate.min(STEP),
            None => STEP,
        };
        let moved = match move_some(shared, task, step).await {
            Ok(0) => break (Status::Completed, None),
            Ok(moved) => moved,
            Err(failure) if failure.code == Code::Unavailable => return,
            Err(failure) => break (Status::Failed, Some(failure.code.row().query.to_owned())),
        };
        shared.metrics.moved.inc_by(u64::from(moved));
        let now = shared.moves.change(&task.source, &task.id, |task| {
            task.moved += u64::from(moved)
        });
        if now.is_none_or(|now| now.status == Status::Cancelling) {
            break (Status::Cancelled, None);
        }
        let pause = task.rate.map(|rate| SECOND * moved / rate.max(1));
        if goes_down(&mut shutdown, pause).await {
            return;
        }
    };
    finish(shared, task, end).await;
}

/// Whether the process goes down, now or during a pause.
async fn goes_down(shutdown: &mut Shutdown, pause: Option<Duration>) -> bool {
    match pause {
        Some(pause) => shutdown.requested_within(pause).await,
        None => shutdown.is_requested(),
    }
}

async fn finish(shared: &Arc<Shared>, task: &Task, (status, failure): End) {
    shared.moves.change(&task.source, &task.id, |task| {
        task.status = status;
        task.failure = failure;
    });
    if let Err(failure) = save(shared, &task.source).await {
        warn!(queue = task.source, why = %failure.message, "the end of a move task was not saved; it runs again at the next start");
    }
}

/// Moves up to `max` messages; how many.
async fn move_some(shared: &Arc<Shared>, task: &Task, max: u32) -> Result<u32, Failure> {
    let source = shared.queue(&task.source)?;
    let take = Take {
        max: usize::try_from(max).unwrap_or(1),
        lease: Some(LEASE),
        ..Take::default()
    };
    let deliveries = source.take(take).await?;
    let mut by_destination: BTreeMap<String, (Vec<Message>, Vec<Receipt>)> = BTreeMap::new();
    let mut homeless = Vec::new();
    for delivery in &deliveries {
        let own = || delivery.attributes.source.as_deref().map(str::to_owned);
        let Some(name) = task.destination.clone().or_else(own) else {
            homeless.push(delivery.receipt);
            continue;
        };
        let (messages, receipts) = by_destination.entry(name).or_default();
        messages.push(anew(shared, delivery));
        receipts.push(delivery.receipt);
    }
    let mut moved = 0;
    let mut failed = if homeless.is_empty() {
        None
    } else {
        give_back(&source, &homeless);
        Some(Failure::new(
            Code::Unsupported,
            "a message does not say where it came from",
        ))
    };
    for (name, (messages, receipts)) in by_destination {
        match deliver(shared, &source, &name, &messages, &receipts).await {
            Ok(()) => moved += u32::try_from(receipts.len()).unwrap_or(u32::MAX),
            Err(failure) => {
                give_back(&source, &receipts);
                failed = Some(failure);
            }
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(moved),
    }
}

async fn deliver(
    shared: &Arc<Shared>,
    source: &Queue,
    name: &str,
    messages: &[Message],
    receipts: &[Receipt],
) -> Result<(), Failure> {
    let queue = shared.queue(name)?;
    publish(shared, &queue, messages).await?.durable().await?;
    source.settle(receipts, Outcome::Accept).durable().await?;
    Ok(())
}

fn give_back(queue: &Queue, receipts: &[Receipt]) {
    let uncounted = Outcome::Release {
        counted: false,
        delay: None,
    };
    queue.settle(receipts, uncounted);
}

/// The message as a new one.
fn anew(shared: &Shared, delivery: &Delivery) -> Message {
    let old = &delivery.attributes;
    Message {
        key: delivery.key.clone(),
        value: delivery.value.clone().unwrap_or_default(),
        headers: delivery.headers.clone(),
        timestamp_ms: None,
        attributes: Attributes {
            persistent: true,
            priority: old.priority,
            group: old.group.clone(),
            dedup: old.dedup.clone(),
            message_id: Some(Bytes::from(shared.rng.uuid().to_string())),
            origin: old.origin.clone(),
            ..Attributes::default()
        },
    }
}
