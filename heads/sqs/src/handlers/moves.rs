//! Move tasks, from outside.

use super::Context;
use crate::attributes::{dead_letter_queue, name_of_arn};
use crate::error::{Code, Failure};
use crate::limits;
use crate::model::{self, Cancelled, TaskHandle, Tasks};
use crate::moves::{self, Status, Task};
use crate::wire::write::Always;

const RATE_MAX: i64 = 500;
const LISTED_MAX: i64 = 10;

fn no_resource(parameter: &str) -> Failure {
    Failure::new(
        Code::NotFound,
        format!("The resource that you specified for the {parameter} parameter doesn't exist."),
    )
}

/// The name of the queue that an ARN names, if there is one.
fn named(context: &Context<'_>, arn: &str, parameter: &'static str) -> Result<String, Failure> {
    let name = name_of_arn(arn).ok_or_else(|| {
        Failure::invalid("You must use this format to specify the SourceArn: arn:<partition>:<service>:<region>:<account-id>:<resource-id>")
    })?;
    let queue = context
        .shared
        .queue(name)
        .map_err(|_| no_resource(parameter))?;
    Ok(queue.name().to_string())
}

/// Whether some queue sends its dead letters there.
fn is_dead_letter_queue(context: &Context<'_>, name: &str) -> bool {
    let queues = context.shared.visible_queues();
    queues
        .iter()
        .any(|queue| dead_letter_queue(queue).is_some_and(|to| to == name))
}

pub(super) async fn start(
    context: &Context<'_>,
    input: model::StartMessageMoveTask<'_>,
) -> Result<TaskHandle, Failure> {
    let shared = context.shared;
    let source = named(context, &input.source, "SourceArn")?;
    if !is_dead_letter_queue(context, &source) {
        return Err(Failure::invalid(
            "Source queue must be configured as a Dead Letter Queue.",
        ));
    }
    let destination = match &*input.destination {
        "" => None,
        arn => Some(named(context, arn, "DestinationArn")?),
    };
    if destination.as_ref() == Some(&source) {
        return Err(Failure::invalid(
            "Source queue arn and destination queue arn cannot be the same.",
        ));
    }
    if let Some(rate) = input.rate {
        let reason = "Must be between 1 and 500, if provided.";
        limits::check_range("MaxNumberOfMessagesPerSecond", rate, 1..=RATE_MAX, reason)?;
    }
    let id = shared.rng.uuid().to_string();
    let handle = moves::handle(&id, &shared.arn(&source));
    let to_move = shared.queue(&source)?.stats().ready;
    let task = Task {
        id,
        source,
        destination,
        rate: input.rate.and_then(|rate| u32::try_from(rate).ok()),
        status: Status::Running,
        moved: 0,
        to_move,
        started_ms: context.now_ms,
        failure: None,
    };
    moves::start(shared, task).await?;
    Ok(TaskHandle { handle })
}

pub(super) async fn cancel(
    context: &Context<'_>,
    input: model::CancelMessageMoveTask<'_>,
) -> Result<Cancelled, Failure> {
    let Some((id, arn)) = moves::open_handle(&input.handle) else {
        return Err(Failure::invalid(
            "Value for parameter TaskHandle is invalid.",
        ));
    };
    let source = named(context, &arn, "SourceArn")?;
    let known = context
        .shared
        .moves
        .of(&source)
        .iter()
        .any(|task| task.id == id);
    if !known {
        return Err(Failure::new(Code::NotFound, "Task does not exist."));
    }
    match moves::cancel(context.shared, &source, &id).await? {
        Some(task) => Ok(Cancelled {
            moved: i64::try_from(task.moved).unwrap_or(i64::MAX),
        }),
        None => Err(Failure::new(
            Code::Unsupported,
            "Only active tasks can be cancelled.",
        )),
    }
}

pub(super) async fn list(
    context: &Context<'_>,
    input: model::ListMessageMoveTasks<'_>,
) -> Result<Tasks, Failure> {
    let source = named(context, &input.source, "SourceArn")?;
    let max = input.max_results.unwrap_or(1);
    let reason = "Must be between 1 and 10, if provided.";
    limits::check_range("MaxResults", max, 1..=LISTED_MAX, reason)?;
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let shared = context.shared;
    let shown = |task: Task| model::Task {
        handle: (task.status == Status::Running)
            .then(|| moves::handle(&task.id, &shared.arn(&task.source))),
        status: task.status.name(),
        source: shared.arn(&task.source),
        destination: task.destination.as_deref().map(|name| shared.arn(name)),
        rate: task.rate.map(i64::from),
        moved: number(task.moved),
        to_move: Some(number(task.to_move)),
        failure: task.failure,
        started: task.started_ms,
    };
    let tasks = shared
        .moves
        .of(&source)
        .into_iter()
        .take(usize::try_from(max).unwrap_or(1));
    Ok(Tasks {
        tasks: Always(tasks.map(shown).collect()),
    })
}
