//! Permissions: statements of the queue's policy, which is kept and told.

use serde_json::{Value, json};

use super::Context;
use crate::attributes::{self, View};
use crate::error::{Code, Failure};
use crate::limits::PERMISSION_ACTIONS_MAX;
use crate::model;
use crate::wire::Text;

/// Actions that others can be allowed.
const ALLOWED: &[&str] = &[
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];

/// One is a text, more are a list.
fn one_or_more(mut texts: Vec<String>) -> Value {
    match texts.pop() {
        Some(only) if texts.is_empty() => Value::String(only),
        Some(last) => texts.into_iter().chain([last]).map(Value::String).collect(),
        None => Value::Null,
    }
}

fn check(input: &model::AddPermission<'_>) -> Result<(), Failure> {
    if input.actions.sent > PERMISSION_ACTIONS_MAX {
        let message = format!(
            "{} Actions were found, maximum allowed is {PERMISSION_ACTIONS_MAX}.",
            input.actions.sent
        );
        return Err(Failure::new(Code::OverLimit, message));
    }
    let is_account = |id: &Text<'_>| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    if !input.accounts.items.iter().all(is_account) || input.accounts.sent == 0 {
        let shown: Vec<&str> = input.accounts.items.iter().map(|id| &**id).collect();
        let shown = format!("[{}]", shown.join(", "));
        return Err(Failure::value(&shown, "PrincipalId", "Unable to verify."));
    }
    if let Some(other) = input
        .actions
        .items
        .iter()
        .find(|action| !ALLOWED.contains(&&***action))
    {
        let shown = format!("SQS:{}", &**other);
        let reason = "Only the queue owner is allowed to invoke this action.";
        return Err(Failure::value(&shown, "ActionName", reason));
    }
    Ok(())
}

pub(super) async fn add(
    context: &Context<'_>,
    input: model::AddPermission<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let shared = context.shared;
    let arn = shared.arn(queue.name());
    let mut settings = (*queue.settings()).clone();
    let policy = View(&settings)
        .policy()
        .and_then(|text| serde_json::from_str(text).ok());
    let mut policy: Value = policy.unwrap_or_else(|| {
        json!({"Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": []})
    });
    let statements = policy.get_mut("Statement").and_then(Value::as_array_mut);
    let Some(statements) = statements else {
        return Err(Failure::invalid(
            "The queue's policy has no list of statements.",
        ));
    };
    let has =
        |statement: &Value| statement.get("Sid").and_then(Value::as_str) == Some(&*input.label);
    if statements.iter().any(has) {
        return Err(Failure::value(&input.label, "Label", "Already exists."));
    }
    check(&input)?;
    let principals = input
        .accounts
        .items
        .iter()
        .map(|id| format!("arn:aws:iam::{}:root", &**id));
    let actions = input
        .actions
        .items
        .iter()
        .map(|action| format!("SQS:{}", &**action));
    statements.push(json!({
        "Sid": &*input.label,
        "Effect": "Allow",
        "Principal": {"AWS": one_or_more(principals.collect())},
        "Action": one_or_more(actions.collect()),
        "Resource": arn,
    }));
    attributes::set_policy(&mut settings, Some(policy.to_string()));
    Ok(shared.queues().configure(&queue, settings).await?)
}

pub(super) async fn remove(
    context: &Context<'_>,
    input: model::RemovePermission<'_>,
) -> Result<(), Failure> {
    let queue = context.queue(&input.queue_url)?;
    let mut settings = (*queue.settings()).clone();
    let policy = View(&settings)
        .policy()
        .and_then(|text| serde_json::from_str(text).ok());
    let mut policy: Value = policy.unwrap_or_default();
    let mut found = false;
    let mut is_empty = false;
    if let Some(statements) = policy.get_mut("Statement").and_then(Value::as_array_mut) {
        let before = statements.len();
        statements.retain(|s| s.get("Sid").and_then(Value::as_str) != Some(&*input.label));
        found = statements.len() < before;
        is_empty = statements.is_empty();
    }
    if !found {
        let reason = "can't find label on existing policy.";
        return Err(Failure::value(&input.label, "Label", reason));
    }
    attributes::set_policy(&mut settings, (!is_empty).then(|| policy.to_string()));
    Ok(context.shared.queues().configure(&queue, settings).await?)
}
