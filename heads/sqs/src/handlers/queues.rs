//! Queues: create, find, list, describe, change, purge, delete.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use broker::queue::{DeleteWhen, Queue};

use super::Context;
use crate::attributes::{self, ATTRIBUTES};
use crate::error::{Code, Failure};
use crate::limits;
use crate::model::{self, QueueAttributes, QueueUrl, QueueUrls, SourceQueues};
use crate::wire::Text;
use crate::wire::write::{Always, Pairs};

pub(super) async fn create(
    context: &Context<'_>,
    input: model::CreateQueue<'_>,
) -> Result<QueueUrl, Failure> {
    let shared = context.shared;
    let name = &*input.queue_name;
    if !name.ends_with(limits::FIFO) || !limits::is_queue_name(name) {
        limits::check_queue_name(name)?;
    }
    let url = context.url(name);
    if let Some(queue) = shared.queues().get(&shared.config.namespace, name) {
        return same(context, &queue, &input).map(|()| QueueUrl { url });
    }
    if shared.recent.was_deleted(name, context.now_ms) {
        return Err(Failure::new(
            Code::QueueDeletedRecently,
            "You must wait 60 seconds after deleting a queue before you can create another with the \
             same name.",
        ));
    }
    let mut settings = attributes::create(shared, name, &input.attributes)?;
    if input.tags.sent > limits::TAGS_MAX {
        return Err(super::tags::too_many(name));
    }
    let tag = |(key, value): &(Text<'_>, Text<'_>)| (key.to_string(), value.to_string());
    attributes::set_tags(&mut settings, input.tags.entries.iter().map(tag).collect());
    let declared = shared
        .queues()
        .declare(&shared.config.namespace, name, settings)
        .await?;
    if !declared.created {
        same(context, &declared.queue, &input)?;
    }
    Ok(QueueUrl { url })
}

/// Whether the queue that exists is what is asked for.
fn same(
    context: &Context<'_>,
    queue: &Queue,
    input: &model::CreateQueue<'_>,
) -> Result<(), Failure> {
    if !super::is_visible(queue) {
        return Err(Failure::new(
            Code::QueueNameExists,
            "A queue of another protocol has this name, and belongs to one of its connections",
        ));
    }
    match attributes::differing(context.shared, queue, &input.attributes)? {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            Code::QueueNameExists,
            format!(
                "A queue already exists with the same name and a different value for attribute {name}"
            ),
        )),
    }
}

pub(super) async fn delete(
    context: &Context<'_>,
    input: model::OfQueue<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    context
        .shared
        .queues()
        .delete(&queue, DeleteWhen::default())
        .await?;
    context
        .shared
        .recent
        .note_deleted(queue.name(), context.now_ms);
    Ok(())
}

pub(super) async fn url(
    context: &Context<'_>,
    input: model::GetQueueUrl<'_>,
) -> Result<QueueUrl, Failure> {
    let queue = context.shared.queue(&input.queue_name)?;
    Ok(QueueUrl {
        url: context.url(queue.name()),
    })
}

/// A page of URLs: those behind the token, as many as asked for, and the token of the next page.
fn page(
    context: &Context<'_>,
    names: Vec<String>,
    max: Option<i64>,
    token: &str,
) -> Result<(Vec<String>, Option<String>), Failure> {
    if let Some(max) = max {
        let reason = "MaxResults must be an integer between 1 and 1000.";
        limits::check_range("MaxResults", max, 1..=limits::PAGE_MAX, reason)?;
    }
    let after = if token.is_empty() {
        None
    } else {
        let wrong = || Failure::value(token, "NextToken", "Invalid or expired next token.");
        let name = BASE64
            .decode(token)
            .ok()
            .and_then(|name| String::from_utf8(name).ok());
        Some(name.ok_or_else(wrong)?)
    };
    let size = usize::try_from(max.unwrap_or(limits::PAGE_MAX)).unwrap_or(usize::MAX);
    let mut left = names
        .into_iter()
        .filter(|name| after.as_ref().is_none_or(|after| name > after))
        .peekable();
    let page: Vec<String> = left.by_ref().take(size).collect();
    let more = max.is_some() && left.peek().is_some();
    let next = page.last().filter(|_| more).map(|last| BASE64.encode(last));
    Ok((page.iter().map(|name| context.url(name)).collect(), next))
}

/// The names of all queues that SQS can see, sorted.
fn names(context: &Context<'_>, wanted: impl Fn(&Queue) -> bool) -> Vec<String> {
    let queues = context.shared.visible_queues();
    let visible = queues.iter().filter(|queue| wanted(queue));
    let mut names: Vec<String> = visible.map(|queue| queue.name().to_string()).collect();
    names.sort_unstable();
    names
}

pub(super) async fn list(
    context: &Context<'_>,
    input: model::ListQueues<'_>,
) -> Result<QueueUrls, Failure> {
    let names = names(context, |queue| queue.name().starts_with(&*input.prefix));
    let (urls, next_token) = page(context, names, input.max_results, &input.next_token)?;
    Ok(QueueUrls { urls, next_token })
}

pub(super) async fn sources(
    context: &Context<'_>,
    input: model::ListDeadLetterSourceQueues<'_>,
) -> Result<SourceQueues, Failure> {
    let target = context.queue(&input.queue_url)?;
    let sends = |queue: &Queue| {
        attributes::dead_letter_queue(queue).is_some_and(|to| *to == **target.name())
    };
    let (urls, next_token) = page(
        context,
        names(context, sends),
        input.max_results,
        &input.next_token,
    )?;
    Ok(SourceQueues {
        urls: Always(urls),
        next_token,
    })
}

pub(super) async fn attributes(
    context: &Context<'_>,
    input: model::GetQueueAttributes<'_>,
) -> Result<QueueAttributes, Failure> {
    let queue = context.queue(&input.queue_url)?;
    let names = &input.names.items;
    let unknown = |name: &&Text<'_>| &***name != "All" && attributes::find(name).is_none();
    if let Some(name) = names.iter().find(unknown) {
        let name = &**name;
        return Err(Failure::new(
            Code::AttributeName,
            format!("Unknown Attribute {name}."),
        ));
    }
    let all = names.iter().any(|name| &**name == "All");
    let wanted = ATTRIBUTES
        .iter()
        .filter(|a| all || names.iter().any(|name| &**name == a.name));
    let told = wanted.filter_map(|a| Some((a.name, attributes::told(context.shared, &queue, a)?)));
    Ok(QueueAttributes {
        attributes: Pairs(told.collect(), Default::default()),
    })
}

pub(super) async fn set_attributes(
    context: &Context<'_>,
    input: model::SetQueueAttributes<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let settings = attributes::set(context.shared, &queue, &input.attributes)?;
    Ok(context.shared.queues().configure(&queue, settings).await?)
}

pub(super) async fn purge(context: &Context<'_>, input: model::OfQueue<'_>) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    if context.shared.recent.purges(queue.id().0, context.now_ms) {
        return Err(Failure::new(
            Code::PurgeQueueInProgress,
            format!(
                "Only one PurgeQueue operation on {} is allowed every 60 seconds.",
                queue.name()
            ),
        ));
    }
    queue.purge(true).await?;
    Ok(())
}
