//! What a move task does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Shutdown;
use broker::message::{Attributes, Message};
use broker::queue::{Delivery, Outcome, Queue, Receipt, Take, Verdict};
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
        let Step { moved, failed } = move_some(shared, task, step).await;
        shared.metrics.moved.inc_by(u64::from(moved));
        let now = shared.moves.change(&task.source, &task.id, |task| {
            task.moved += u64::from(moved)
        });
        match failed {
            Some(failure) if failure.code == Code::Unavailable => return,
            Some(failure) => break (Status::Failed, Some(failure.code.row().query.to_owned())),
            None if moved == 0 => break (Status::Completed, None),
            None => {}
        }
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

/// What became of some messages.
#[derive(Debug, Default)]
struct Step {
    /// How many are at their destination, and gone from the source.
    moved: u32,
    /// Why others are at the source still.
    failed: Option<Failure>,
}

impl From<Failure> for Step {
    fn from(failure: Failure) -> Self {
        Self {
            moved: 0,
            failed: Some(failure),
        }
    }
}

/// Moves up to `max` messages.
async fn move_some(shared: &Arc<Shared>, task: &Task, max: u32) -> Step {
    let source = match shared.queue(&task.source) {
        Ok(source) => source,
        Err(failure) => return failure.into(),
    };
    let take = Take {
        max: usize::try_from(max).unwrap_or(1),
        lease: Some(LEASE),
        ..Take::default()
    };
    let deliveries = match source.take(take).await {
        Ok(deliveries) => deliveries,
        Err(error) => return Failure::from(error).into(),
    };
    let mut by_destination: BTreeMap<String, Vec<&Delivery>> = BTreeMap::new();
    let mut homeless = Vec::new();
    for delivery in &deliveries {
        let own = || delivery.attributes.source.as_deref().map(str::to_owned);
        match task.destination.clone().or_else(own) {
            Some(name) => by_destination.entry(name).or_default().push(delivery),
            None => homeless.push(delivery.receipt),
        }
    }
    let mut step = Step::default();
    if !homeless.is_empty() {
        give_back(&source, &homeless);
        step.failed = Some(Failure::new(
            Code::Unsupported,
            "a message does not say where it came from",
        ));
    }
    for (name, deliveries) in by_destination {
        let Step { moved, failed } = deliver(shared, &source, &name, &deliveries).await;
        step.moved += moved;
        step.failed = failed.or(step.failed);
    }
    step
}

/// Brings messages to the queue called `name`. Only those that are there leave the source.
async fn deliver(
    shared: &Arc<Shared>,
    source: &Queue,
    name: &str,
    deliveries: &[&Delivery],
) -> Step {
    let arrived = match arrive(shared, source, name, deliveries).await {
        Ok(arrived) => arrived,
        Err(failure) => {
            let receipts: Vec<Receipt> = deliveries.iter().map(|d| d.receipt).collect();
            give_back(source, &receipts);
            return failure.into();
        }
    };
    let of = |wanted: bool| {
        let each = deliveries.iter().zip(&arrived);
        let chosen = each.filter(|(_, arrived)| **arrived == wanted);
        chosen.map(|(delivery, _)| delivery.receipt).collect()
    };
    let (there, left): (Vec<Receipt>, Vec<Receipt>) = (of(true), of(false));
    let mut failed = None;
    if !left.is_empty() {
        give_back(source, &left);
        failed = Some(Failure::new(Code::OverLimit, "the destination is full"));
    }
    if let Err(error) = source.settle(&there, Outcome::Accept).durable().await {
        failed = Some(error.into());
    }
    Step {
        moved: u32::try_from(there.len()).unwrap_or(u32::MAX),
        failed,
    }
}

/// Publishes messages at their destination; for each, whether it is there, on disk.
async fn arrive(
    shared: &Arc<Shared>,
    source: &Queue,
    name: &str,
    deliveries: &[&Delivery],
) -> Result<Vec<bool>, Failure> {
    let queue = shared.queue(name)?;
    let dedups = queue.settings().dedup.is_some();
    let messages: Vec<Message> = deliveries
        .iter()
        .map(|delivery| anew(shared, source, delivery, dedups))
        .collect();
    let publication = publish(shared, &queue, &messages).await?;
    publication.durable().await?;
    let is_there = |(message, verdict): (&Message, &Verdict)| match verdict {
        Verdict::Queued { .. } => true,
        // Its own id: a move that a stop has interrupted brought it here.
        Verdict::Duplicate { message_id, .. } => *message_id == message.attributes.message_id,
        Verdict::Rejected => false,
    };
    let verdicts = publication.verdicts.iter();
    Ok(messages.iter().zip(verdicts).map(is_there).collect())
}

fn give_back(queue: &Queue, receipts: &[Receipt]) {
    let uncounted = Outcome::Release {
        counted: false,
        delay: None,
    };
    queue.settle(receipts, uncounted);
}

/// The message as a new one. Its id is the same however often the move is tried, and takes the
/// place of its deduplication id: by the old one, the queue that it comes back to has seen it.
fn anew(shared: &Shared, source: &Queue, delivery: &Delivery, dedups: bool) -> Message {
    let old = &delivery.attributes;
    let id = shared.sealer.id_after(source.id().0, delivery.receipt);
    let id = Bytes::from(id.to_string());
    Message {
        key: delivery.key.clone(),
        value: delivery.value.clone().unwrap_or_default(),
        headers: delivery.headers.clone(),
        timestamp_ms: None,
        attributes: Attributes {
            persistent: true,
            priority: old.priority,
            group: old.group.clone(),
            dedup: dedups.then(|| id.clone()),
            message_id: Some(id),
            origin: old.origin.clone(),
            ..Attributes::default()
        },
    }
}
