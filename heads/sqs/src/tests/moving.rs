//! Dead letters, and the way back.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, bodies, on_server, run};
use crate::Config;

const SECOND: Duration = Duration::from_secs(1);

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

fn redrive(limit: u32) -> Value {
    let policy = json!({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": limit});
    json!({"VisibilityTimeout": "1", "RedrivePolicy": policy.to_string()})
}

/// A message that nobody deletes.
async fn bury(server: &Server, url: &str, body: &str) {
    server.put(url, body).await;
    for _ in 0..2 {
        assert_eq!(server.take(url).await.len(), 1);
        server.advance(2 * SECOND).await;
    }
    assert_eq!(server.take(url).await, Vec::<Value>::new());
}

#[test]
fn a_message_that_nobody_deletes_goes_to_the_dead_letter_queue() {
    on_server(async |server| {
        let dead = server.queue("dead", json!({})).await;
        let url = server.queue("q", redrive(2)).await;
        bury(server, &url, "x").await;
        let waiting = json!({"QueueUrl": dead, "WaitTimeSeconds": 20, "AttributeNames": ["All"]});
        let got = server.ok("ReceiveMessage", waiting).await["Messages"][0].clone();
        assert_eq!(got["Body"], "x");
        assert_eq!(got["Attributes"]["ApproximateReceiveCount"], "3");
        assert_eq!(got["Attributes"]["DeadLetterQueueSourceArn"], arn("q"));
        let sources = server
            .ok("ListDeadLetterSourceQueues", json!({"QueueUrl": dead}))
            .await;
        assert_eq!(sources, json!({"queueUrls": [url]}));
    });
}

#[test]
fn a_redrive_policy_is_checked() {
    on_server(async |server| {
        server
            .queue(
                "dead",
                json!({"RedriveAllowPolicy": json!({"redrivePermission": "byQueue",
            "sourceQueueArns": [arn("friend")]}).to_string()}),
            )
            .await;
        let policy = |target: &str, count: Value| json!({"RedrivePolicy": json!({"deadLetterTargetArn": target, "maxReceiveCount": count}).to_string()});
        for (name, attributes, text) in [
            ("q", json!({"RedrivePolicy": "x"}), "not a valid JSON map"),
            (
                "q",
                json!({"RedrivePolicy": "{}"}),
                "mandatory attribute: deadLetterTargetArn",
            ),
            ("q", policy(&arn("none"), json!(1)), "target does not exist"),
            (
                "q",
                policy(&arn("dead"), json!(0)),
                "maxReceiveCount: 0, valid values are from 1 to 1000",
            ),
            ("q", policy(&arn("dead"), json!("3")), "permission"),
            (
                "friend.fifo",
                policy(&arn("dead"), json!(3)),
                "same type of queue",
            ),
        ] {
            let mut attributes = attributes;
            if name.ends_with(".fifo") {
                attributes["FifoQueue"] = json!("true");
            }
            let members = json!({"QueueName": name, "Attributes": attributes});
            let (error, said) = server.fails("CreateQueue", members).await;
            assert_eq!(error, "InvalidParameterValueException");
            assert!(said.contains(text), "{said}");
        }
        server
            .queue("friend", policy(&arn("dead"), json!("3")))
            .await;
    });
}

/// Lets a task work until it has ended.
async fn ended(server: &Server) -> Value {
    for _ in 0..1000 {
        let listed = server
            .ok("ListMessageMoveTasks", json!({"SourceArn": arn("dead")}))
            .await;
        let task = listed["Results"][0].clone();
        if !matches!(task["Status"].as_str(), Some("RUNNING" | "CANCELLING")) {
            return task;
        }
        server.advance(SECOND / 10).await;
    }
    panic!("the task does not end");
}

#[test]
fn a_move_task_brings_messages_back() {
    on_server(async |server| {
        let dead = server.queue("dead", json!({})).await;
        let url = server.queue("q", redrive(2)).await;
        for body in ["a", "b"] {
            bury(server, &url, body).await;
        }
        assert_eq!(server.counts(&dead).await[0], "2");
        let started = server
            .ok("StartMessageMoveTask", json!({"SourceArn": arn("dead")}))
            .await;
        assert!(started["TaskHandle"].is_string());
        let task = ended(server).await;
        assert_eq!(task["Status"], "COMPLETED");
        assert_eq!(
            (
                &task["ApproximateNumberOfMessagesMoved"],
                &task["ApproximateNumberOfMessagesToMove"]
            ),
            (&json!(2), &json!(2))
        );
        assert!(task.get("TaskHandle").is_none() && task.get("DestinationArn").is_none());
        assert_eq!(server.counts(&dead).await[0], "0");
        let got = server.take(&url).await;
        assert_eq!(bodies(&got), ["a", "b"]);
        assert_eq!(got[0]["Attributes"]["ApproximateReceiveCount"], "1");
        let (name, _) = server
            .fails(
                "CancelMessageMoveTask",
                json!({"TaskHandle": started["TaskHandle"]}),
            )
            .await;
        assert_eq!(name, "UnsupportedOperation");
    });
}

#[test]
fn a_slow_move_can_be_cancelled_and_only_one_runs() {
    on_server(async |server| {
        let dead = server.queue("dead", json!({})).await;
        server.queue("q", redrive(2)).await;
        let other = server.queue("other", json!({})).await;
        for n in 0..5 {
            server.put(&dead, &n.to_string()).await;
        }
        let members = json!({"SourceArn": arn("dead"), "DestinationArn": arn("other"),
            "MaxNumberOfMessagesPerSecond": 1});
        let started = server.ok("StartMessageMoveTask", members.clone()).await;
        let (_, text) = server.fails("StartMessageMoveTask", members).await;
        assert!(
            text.starts_with("There is already a task running."),
            "{text}"
        );
        server.advance(SECOND).await;
        let told = server
            .ok(
                "CancelMessageMoveTask",
                json!({"TaskHandle": started["TaskHandle"]}),
            )
            .await;
        assert!(told["ApproximateNumberOfMessagesMoved"].is_number());
        let task = ended(server).await;
        assert_eq!(
            (&task["Status"], &task["DestinationArn"]),
            (&json!("CANCELLED"), &json!(arn("other")))
        );
        let moved: u64 = server.counts(&other).await[0].parse().unwrap();
        assert!(moved < 5, "{moved}");
        assert_eq!(task["ApproximateNumberOfMessagesMoved"], moved);
    });
}

#[test]
fn what_cannot_be_moved_is_said() {
    on_server(async |server| {
        let (name, text) = server
            .fails("StartMessageMoveTask", json!({"SourceArn": arn("none")}))
            .await;
        assert_eq!(name, "ResourceNotFoundException");
        assert_eq!(
            text,
            "The resource that you specified for the SourceArn parameter doesn't exist."
        );
        let dead = server.queue("dead", json!({})).await;
        let (_, text) = server
            .fails("StartMessageMoveTask", json!({"SourceArn": arn("dead")}))
            .await;
        assert_eq!(
            text,
            "Source queue must be configured as a Dead Letter Queue."
        );
        server.queue("q", redrive(2)).await;
        // It was sent here, and came from nowhere.
        server.put(&dead, "x").await;
        server
            .ok("StartMessageMoveTask", json!({"SourceArn": arn("dead")}))
            .await;
        assert_eq!(ended(server).await["Status"], "FAILED");
        assert_eq!(server.counts(&dead).await[0], "1");
        let (_, text) = server
            .fails("CancelMessageMoveTask", json!({"TaskHandle": "x"}))
            .await;
        assert_eq!(text, "Value for parameter TaskHandle is invalid.");
    });
}

#[test]
fn a_move_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), Config::default(), async |server| {
        let dead = server.queue("dead", json!({})).await;
        server.queue("q", redrive(2)).await;
        server.queue("other", json!({})).await;
        for n in 0..3 {
            server.put(&dead, &n.to_string()).await;
        }
        let members = json!({"SourceArn": arn("dead"), "DestinationArn": arn("other"),
            "MaxNumberOfMessagesPerSecond": 1});
        server.ok("StartMessageMoveTask", members).await;
    });
    run(folder.path(), Config::default(), async |server| {
        let task = ended(server).await;
        assert_eq!(task["Status"], "COMPLETED");
        let other = server.counts("http://h/0/other").await;
        assert_eq!(other[0], "3");
    });
}
