//! Tags: kept and told, nothing more.

use super::Context;
use crate::attributes::{self, View};
use crate::error::Failure;
use crate::limits;
use crate::model::{self, QueueTags};
use crate::wire::write::Pairs;

pub(super) fn too_many(queue: &str) -> Failure {
    Failure::invalid(format!("Too many tags added for queue {queue}."))
}

pub(super) async fn tag(context: &Context<'_>, input: model::TagQueue<'_>) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let mut settings = (*queue.settings()).clone();
    let mut tags = View(&settings).tags();
    for (key, value) in &input.tags.entries {
        tags.retain(|(known, _)| **known != **key);
        tags.push((key.to_string(), value.to_string()));
    }
    if tags.len() > limits::TAGS_MAX || input.tags.sent > limits::TAGS_MAX {
        return Err(too_many(queue.name()));
    }
    attributes::set_tags(&mut settings, tags);
    Ok(context.shared.queues().configure(&queue, settings).await?)
}

pub(super) async fn untag(
    context: &Context<'_>,
    input: model::UntagQueue<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let keys = &input.keys.items;
    if keys.is_empty()
        || keys
            .iter()
            .any(|key| !(1..=128).contains(&key.chars().count()))
    {
        return Err(Failure::invalid(
            "Tag keys must be between 1 and 128 characters in length.",
        ));
    }
    let mut settings = (*queue.settings()).clone();
    let mut tags = View(&settings).tags();
    tags.retain(|(known, _)| !keys.iter().any(|key| **key == **known));
    attributes::set_tags(&mut settings, tags);
    Ok(context.shared.queues().configure(&queue, settings).await?)
}

pub(super) async fn list(
    context: &Context<'_>,
    input: model::OfQueue<'_>,
) -> Result<QueueTags, Failure> {
    let queue = context.queue(&input.queue_url)?;
    Ok(QueueTags {
        tags: Pairs(View(&queue.settings()).tags(), Default::default()),
    })
}
