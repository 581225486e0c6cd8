//! Dead letters: who sends them where, and who may.

use broker::queue::{DeadLetter, Queue};
use serde_json::Value;

use super::View;
use crate::Shared;
use crate::error::Failure;

const RECEIVES_MAX: i64 = 1000;
const SOURCES_MAX: usize = 10;

/// What a redrive policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redrive {
    /// The dead-letter queue's name.
    pub(super) target: String,
    /// After how many receives.
    pub(super) limit: u32,
    /// What is told of it: as it came, but that the number is one.
    pub(super) text: String,
}

/// The queue's name in an ARN (`arn:aws:sqs:region:account:name`).
pub(crate) fn name_of_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let is_queue = parts.next() == Some("arn") && parts.nth(1) == Some("sqs");
    let name = parts.nth(2)?;
    (is_queue && parts.next().is_none() && !name.is_empty()).then_some(name)
}

pub(super) fn policy(
    shared: &Shared,
    queue: &str,
    is_fifo: bool,
    text: &str,
) -> Result<Redrive, Failure> {
    let wrong = |reason: &str| Failure::value(text, "RedrivePolicy", reason);
    let parsed: Result<Value, _> = serde_json::from_str(text);
    let Ok(Value::Object(mut policy)) = parsed else {
        return Err(wrong("Redrive policy is not a valid JSON map."));
    };
    let mandatory = |name: &str| {
        let why = format!("Redrive policy does not contain mandatory attribute: {name}.");
        policy.get(name).ok_or_else(|| wrong(&why))
    };
    let arn = mandatory("deadLetterTargetArn")?;
    let count = match mandatory("maxReceiveCount")? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let limit = count.filter(|count| (1..=RECEIVES_MAX).contains(count));
    let Some(limit) = limit.and_then(|limit| u32::try_from(limit).ok()) else {
        let shown = policy
            .get("maxReceiveCount")
            .map(Value::to_string)
            .unwrap_or_default();
        return Err(wrong(&format!(
            "Invalid value for maxReceiveCount: {}, valid values are from 1 to {RECEIVES_MAX} both \
             inclusive.",
            shown.trim_matches('"')
        )));
    };
    let Some(target) = arn.as_str().and_then(name_of_arn) else {
        return Err(wrong("Invalid value for deadLetterTargetArn."));
    };
    let Ok(dead_letters) = shared.queue(target) else {
        return Err(wrong("Dead letter target does not exist."));
    };
    if View(&dead_letters.settings()).is_fifo() != is_fifo {
        return Err(wrong(
            "Dead-letter queue must be same type of queue as the source.",
        ));
    }
    if !allows(shared, &dead_letters, queue) {
        return Err(wrong(
            "Queue does not have permission to use the dead-letter queue that was specified.",
        ));
    }
    let target = target.to_owned();
    let is_text = policy.get("maxReceiveCount").is_some_and(Value::is_string);
    let text = if is_text {
        policy.insert("maxReceiveCount".to_owned(), Value::from(limit));
        Value::Object(policy).to_string()
    } else {
        text.to_owned()
    };
    Ok(Redrive {
        target,
        limit,
        text,
    })
}

/// Whether `dead_letters` takes those of the queue called `source`.
fn allows(shared: &Shared, dead_letters: &Queue, source: &str) -> bool {
    let settings = dead_letters.settings();
    let Some(text) = View(&settings).kept("RedriveAllowPolicy") else {
        return true;
    };
    let policy: Value = serde_json::from_str(text).unwrap_or_default();
    match policy.get("redrivePermission").and_then(Value::as_str) {
        Some("denyAll") => false,
        Some("byQueue") => {
            let arn = shared.arn(source);
            let sources = policy.get("sourceQueueArns").and_then(Value::as_array);
            sources.is_some_and(|list| list.iter().any(|one| one.as_str() == Some(&arn)))
        }
        _ => true,
    }
}

pub(super) fn check_allow_policy(text: &str) -> Result<(), Failure> {
    let wrong = |reason: &str| Failure::value(text, "RedriveAllowPolicy", reason);
    let parsed: Result<Value, _> = serde_json::from_str(text);
    let Ok(Value::Object(policy)) = parsed else {
        return Err(wrong("Redrive allow policy is not a valid JSON map."));
    };
    let sources = policy.get("sourceQueueArns").map(Value::as_array);
    match (
        policy.get("redrivePermission").and_then(Value::as_str),
        sources,
    ) {
        (Some("allowAll" | "denyAll"), None) => Ok(()),
        (Some("byQueue"), Some(Some(list))) if (1..=SOURCES_MAX).contains(&list.len()) => Ok(()),
        (Some("byQueue"), Some(Some(list))) if list.len() > SOURCES_MAX => {
            Err(wrong("sourceQueueArns can contain at most 10 values."))
        }
        (Some("byQueue"), _) => Err(wrong("byQueue needs sourceQueueArns.")),
        (Some("allowAll" | "denyAll"), Some(_)) => {
            Err(wrong("sourceQueueArns can only be specified with byQueue."))
        }
        _ => Err(wrong("redrivePermission is allowAll, denyAll or byQueue.")),
    }
}

/// The name of the queue that takes a queue's dead letters.
pub(crate) fn dead_letter_queue(queue: &Queue) -> Option<String> {
    match &queue.settings().dead_letter {
        Some(DeadLetter::Queue(name)) => Some(name.clone()),
        Some(DeadLetter::Exchange { .. }) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_queues() {
        assert_eq!(
            name_of_arn("arn:aws:sqs:us-east-1:000000000000:q"),
            Some("q")
        );
        assert_eq!(name_of_arn("arn:aws-cn:sqs:x:1:q.fifo"), Some("q.fifo"));
        for bad in [
            "",
            "q",
            "arn:aws:sns:r:1:q",
            "arn:aws:sqs:r:1",
            "arn:aws:sqs:r:1:",
            "arn:aws:sqs:r:1:q:x",
        ] {
            assert_eq!(name_of_arn(bad), None, "{bad}");
        }
    }

    #[test]
    fn allow_policies_say_who() {
        for good in [
            r#"{"redrivePermission":"allowAll"}"#,
            r#"{"redrivePermission":"denyAll"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:r:1:q"]}"#,
        ] {
            assert!(check_allow_policy(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "[]",
            r#"{"redrivePermission":"all"}"#,
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
            r#"{"redrivePermission":"allowAll","sourceQueueArns":["a"]}"#,
        ] {
            assert!(check_allow_policy(bad).is_err(), "{bad}");
        }
    }
}
