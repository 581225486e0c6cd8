//! Dead letters, and the way back.

use std::time::Duration;

use broker::queue::{Overflow, QueueSettings};
use serde_json::{Value, json};

use super::harness::{Server, bodies, on_server, run};
use crate::Config;

const SECOND: Duration = Duration::from_secs(1);

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

fn redrive(limit: u32) -> Value {
    redrive_to("dead", limit)
}

fn redrive_to(target: &str, limit: u32) -> Value {
    let policy = json!({"deadLetterTargetArn": arn(target), "maxReceiveCount": limit});
    json!({"VisibilityTimeout": "1", "RedrivePolicy": policy.to_string()})
}

/// A message that nobody deletes.
async fn bury(server: &Server, url: &str, body: &str) {
    server.put(url, body).await;
    give_up(server, url).await;
}

/// Receives what is there, and does not delete it, until it is a dead letter.
async fn give_up(server: &Server, url: &str) {
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
    ended_from(server, "dead").await
}

async fn ended_from(server: &Server, source: &str) -> Value {
    for _ in 0..1000 {
        let listed = server
            .ok("ListMessageMoveTasks", json!({"SourceArn": arn(source)}))
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

/// A FIFO queue, and one that its dead letters go to.
async fn fifo_with_dead_letters(server: &Server) -> (String, String) {
    let dead = json!({"FifoQueue": "true"});
    let dead = server.queue("dead.fifo", dead).await;
    let mut alive = redrive_to("dead.fifo", 2);
    alive["FifoQueue"] = json!("true");
    (server.queue("q.fifo", alive).await, dead)
}

async fn redrive_fifo(server: &Server) -> Value {
    let members = json!({"SourceArn": arn("dead.fifo")});
    server.ok("StartMessageMoveTask", members).await;
    ended_from(server, "dead.fifo").await
}

#[test]
fn a_fifo_queue_gets_back_what_it_has_seen_within_its_five_minutes() {
    on_server(async |server| {
        let (url, dead) = fifo_with_dead_letters(server).await;
        // It dies again after the first move, and is moved again.
        server.put_in(&url, "g", "x").await;
        for _ in 0..2 {
            give_up(server, &url).await;
            assert_eq!(server.counts(&dead).await, ["1", "0", "0"]);
            let task = redrive_fifo(server).await;
            assert_eq!(task["Status"], "COMPLETED");
            assert_eq!(task["ApproximateNumberOfMessagesMoved"], 1);
            assert_eq!(server.counts(&dead).await, ["0", "0", "0"]);
            assert_eq!(server.counts(&url).await, ["1", "0", "0"]);
        }
        let got = server.take(&url).await;
        assert_eq!(bodies(&got), ["x"]);
        let told = &got[0]["Attributes"];
        assert_eq!(told["MessageGroupId"], "g");
        assert_eq!(told["MessageDeduplicationId"], got[0]["MessageId"]);
        // What was sent is a duplicate of itself still.
        server.put_in(&url, "g", "x").await;
        assert_eq!(server.counts(&url).await, ["0", "1", "0"]);
    });
}

#[test]
fn a_move_of_a_fifo_queue_keeps_the_order_of_groups() {
    on_server(async |server| {
        let (url, _) = fifo_with_dead_letters(server).await;
        for body in ["1", "2", "3"] {
            server.put_in(&url, "g", body).await;
        }
        for _ in 0..2 {
            assert_eq!(server.take(&url).await.len(), 3);
            server.advance(2 * SECOND).await;
        }
        assert_eq!(server.take(&url).await, Vec::<Value>::new());
        assert_eq!(redrive_fifo(server).await["Status"], "COMPLETED");
        assert_eq!(bodies(&server.take(&url).await), ["1", "2", "3"]);
    });
}

#[test]
fn what_a_full_destination_does_not_take_stays() {
    on_server(async |server| {
        let dead = server.queue("dead", json!({})).await;
        server.queue("q", redrive(2)).await;
        let settings = QueueSettings {
            length_max: Some(2),
            overflow: Overflow::Reject,
            ..QueueSettings::default()
        };
        let queues = server.broker.queues();
        queues.declare("/", "small", settings).await.unwrap();
        for n in 0..5 {
            server.put(&dead, &n.to_string()).await;
        }
        let members = json!({"SourceArn": arn("dead"), "DestinationArn": arn("small")});
        server.ok("StartMessageMoveTask", members).await;
        let task = ended(server).await;
        assert_eq!(
            (&task["Status"], &task["FailureReason"]),
            (&json!("FAILED"), &json!("OverLimit"))
        );
        assert_eq!(task["ApproximateNumberOfMessagesMoved"], 2);
        assert_eq!(server.counts("http://h/0/small").await[0], "2");
        assert_eq!(bodies(&server.take(&dead).await), ["2", "3", "4"]);
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
        // One may have been moved twice: it was on its way when the server stopped.
        let got = server.take("http://h/0/other").await;
        let mut bodies = bodies(&got);
        bodies.dedup();
        assert_eq!(bodies, ["0", "1", "2"]);
        assert!(got.len() <= 4, "{got:?}");
    });
}
