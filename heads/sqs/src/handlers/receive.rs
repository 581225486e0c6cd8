//! Receiving: up to ten messages, each leased; where there is none, a wait in the engine's queue.

use std::sync::Arc;
use std::time::Duration;

use broker::queue::{Delivery, Extended, Outcome, Queue, Receipt, Take};

use super::Context;
use crate::attributes::View;
use crate::convert::{self, Wanted};
use crate::error::{Code, Failure};
use crate::limits;
use crate::model::{self, Received};
use crate::receipt::Handle;

fn seconds(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or_default())
}

pub(super) async fn receive(
    context: &Context<'_>,
    input: model::ReceiveMessage<'_>,
) -> Result<Received, Failure> {
    let queue = context.queue(&input.queue_url)?;
    let settings = queue.settings();
    let view = View(&settings);
    let max = input.max.unwrap_or(1);
    let reason = "Must be between 1 and 10, if provided.";
    limits::check_range("MaxNumberOfMessages", max, 1..=10, reason)?;
    let wait = input.wait.unwrap_or_else(|| view.wait());
    let reason = "Must be >= 0 and <= 20, if provided.";
    limits::check_range("WaitTimeSeconds", wait, 0..=20, reason)?;
    if let Some(visibility) = input.visibility {
        let reason = "Must be >= 0 and <= 43200, if provided.";
        limits::check_range(
            "VisibilityTimeout",
            visibility,
            0..=limits::VISIBILITY_MAX,
            reason,
        )?;
    }
    let lease = input.visibility.map_or_else(|| view.lease(), seconds);
    let attempt = input.attempt.as_deref().filter(|_| view.is_fifo());
    if let Some(id) = attempt {
        limits::check_id("ReceiveRequestAttemptId", id)?;
        if let Some(again) = repeat(context, &queue, id, lease) {
            return Ok(answer(context, &queue, &again, &input));
        }
    }
    if !view.is_fifo() && !may_receive(context, &queue, max) {
        return Err(Failure::new(
            Code::OverLimit,
            "Too many messages are received and not deleted yet.",
        ));
    }
    let take = Take {
        max: usize::try_from(max).unwrap_or(1),
        // A lease of no time at all is one that is given back below, so that it is counted.
        lease: Some(if lease.is_zero() {
            view.lease().max(Duration::from_secs(1))
        } else {
            lease
        }),
        wait: seconds(wait),
        auto_settle: false,
    };
    let deliveries = Arc::new(queue.take(take).await?);
    if lease.is_zero() {
        let receipts: Vec<Receipt> = deliveries.iter().map(|delivery| delivery.receipt).collect();
        let back = Outcome::Release {
            counted: true,
            delay: None,
        };
        queue.settle(&receipts, back);
    } else if let Some(id) = attempt.filter(|_| !deliveries.is_empty()) {
        let ledger = context.shared.broker.ledger();
        context
            .shared
            .recent
            .keep(ledger, queue.id().0, id, &deliveries, context.now_ms);
    }
    Ok(answer(context, &queue, &deliveries, &input))
}

/// Whether a standard queue has fewer messages in flight than it may.
fn may_receive(context: &Context<'_>, queue: &Queue, max: i64) -> bool {
    let shared = context.shared;
    let bounds = (
        u64::try_from(max).unwrap_or_default(),
        shared.config.in_flight_max,
    );
    let count = || queue.stats().leased;
    shared
        .in_flight
        .reserve(queue.id().0, bounds, context.now_ms, count)
}

/// What the same attempt got before, if all of it is still its own; its leases begin anew.
fn repeat(
    context: &Context<'_>,
    queue: &Queue,
    id: &str,
    lease: Duration,
) -> Option<Arc<Vec<Delivery>>> {
    let recent = &context.shared.recent;
    let deliveries = recent.attempt(queue.id().0, id, context.now_ms)?;
    for delivery in deliveries.iter() {
        if queue.extend(delivery.receipt, lease) != Extended::Leased {
            recent.touch(queue.id().0, delivery.receipt);
            return None;
        }
    }
    Some(deliveries)
}

fn answer(
    context: &Context<'_>,
    queue: &Queue,
    deliveries: &[Delivery],
    input: &model::ReceiveMessage<'_>,
) -> Received {
    let system = input
        .system_names
        .items
        .iter()
        .chain(&input.old_names.items);
    let wanted = (
        Wanted::new(system.map(|name| &**name)),
        Wanted::new(input.names.items.iter().map(|name| &**name)),
    );
    // The time after the wait: a visibility timeout counts from here.
    let at_ms = context.shared.broker.clock().unix_ms();
    let message = |delivery: &Delivery| {
        let receipt = context.shared.sealer.seal(&Handle {
            queue: queue.id().0,
            receipt: delivery.receipt,
            at_ms,
        });
        convert::received(context, queue, delivery, receipt, &wanted)
    };
    Received {
        messages: deliveries.iter().map(message).collect(),
    }
}
