//! FIFO queues: order in a group, exactly one of two equal messages, handles that expire.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{bodies, on_server};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_group_is_received_in_order_and_locked_while_in_flight() {
    on_server(async |server| {
        let url = server.queue("q.fifo", json!({"FifoQueue": "true"})).await;
        for (group, body) in [("a", "1"), ("b", "2"), ("a", "3")] {
            server.put_in(&url, group, body).await;
        }
        let got = server.ok("ReceiveMessage", json!({"QueueUrl": url})).await;
        let first = got["Messages"][0].clone();
        assert_eq!(first["Body"], "1");
        let other = server.take(&url).await;
        assert_eq!(bodies(&other), ["2"]);
        server.delete(&url, &first).await;
        let rest = server.take(&url).await;
        assert_eq!(bodies(&rest), ["3"]);
        assert_eq!(rest[0]["Attributes"]["MessageGroupId"], "a");
        let number = |message: &Value| {
            let text = message["Attributes"]["SequenceNumber"].as_str().unwrap();
            assert_eq!(text.len(), 20);
            text.to_owned()
        };
        assert!(number(&other[0]) < number(&rest[0]));
    });
}

#[test]
fn a_message_whose_time_is_extended_keeps_the_later_ones_back() {
    on_server(async |server| {
        let url = server
            .queue(
                "q.fifo",
                json!({"FifoQueue": "true", "VisibilityTimeout": "5"}),
            )
            .await;
        for body in ["foo", "bar", "baz"] {
            server.put_in(&url, "g", body).await;
        }
        let got = server.take(&url).await;
        assert_eq!(bodies(&got), ["foo", "bar", "baz"]);
        let members = json!({"QueueUrl": url, "ReceiptHandle": got[1]["ReceiptHandle"], "VisibilityTimeout": 60});
        server.ok("ChangeMessageVisibility", members).await;
        server.advance(6 * SECOND).await;
        assert_eq!(bodies(&server.take(&url).await), ["foo"]);
    });
}

#[test]
fn an_equal_message_within_five_minutes_is_the_first_one() {
    on_server(async |server| {
        let given = json!({"FifoQueue": "true", "ContentBasedDeduplication": "true"});
        let url = server.queue("q.fifo", given).await;
        let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g"});
        let first = server.ok("SendMessage", members.clone()).await;
        let got = server.take(&url).await.remove(0);
        server.delete(&url, &got).await;
        let again = server.ok("SendMessage", members.clone()).await;
        assert_eq!(first, again);
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
        server.advance(301 * SECOND).await;
        let new = server.ok("SendMessage", members).await;
        assert_ne!(first["MessageId"], new["MessageId"]);
        assert_eq!(server.counts(&url).await[0], "1");
    });
}

#[test]
fn a_scope_of_groups_knows_a_message_within_its_group() {
    on_server(async |server| {
        let given = json!({"FifoQueue": "true", "DeduplicationScope": "messageGroup"});
        let url = server.queue("q.fifo", given).await;
        for group in ["a", "b", "a"] {
            let members = json!({"QueueUrl": url, "MessageBody": "x", "MessageGroupId": group,
                "MessageDeduplicationId": "d"});
            server.ok("SendMessage", members).await;
        }
        assert_eq!(server.counts(&url).await[0], "2");
    });
}

#[test]
fn what_a_fifo_queue_needs_is_asked_for() {
    on_server(async |server| {
        let url = server.queue("q.fifo", json!({"FifoQueue": "true"})).await;
        let send = |more: Value| {
            let mut members = json!({"QueueUrl": url, "MessageBody": "x"});
            members
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            members
        };
        let (_, text) = server.fails("SendMessage", send(json!({}))).await;
        assert_eq!(
            text,
            "The request must contain the parameter MessageGroupId."
        );
        let (_, text) = server
            .fails("SendMessage", send(json!({"MessageGroupId": "g"})))
            .await;
        assert!(
            text.starts_with("The queue should either have ContentBasedDeduplication"),
            "{text}"
        );
        let delayed =
            json!({"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 2});
        let (_, text) = server.fails("SendMessage", send(delayed)).await;
        assert_eq!(
            text,
            "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type."
        );
    });
}

#[test]
fn an_expired_handle_deletes_nothing() {
    on_server(async |server| {
        let url = server
            .queue(
                "q.fifo",
                json!({"FifoQueue": "true", "VisibilityTimeout": "5"}),
            )
            .await;
        server.put_in(&url, "g", "x").await;
        let old = server.take(&url).await.remove(0);
        server.advance(6 * SECOND).await;
        let members = json!({"QueueUrl": url, "ReceiptHandle": old["ReceiptHandle"]});
        let (_, text) = server.fails("DeleteMessage", members).await;
        assert!(
            text.ends_with("Reason: The receipt handle has expired."),
            "{text}"
        );
        let new = server.take(&url).await.remove(0);
        server.delete(&url, &new).await;
        server.delete(&url, &new).await;
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
    });
}

#[test]
fn an_attempt_that_is_repeated_gets_the_same() {
    on_server(async |server| {
        let url = server.queue("q.fifo", json!({"FifoQueue": "true"})).await;
        for body in ["1", "2"] {
            server.put_in(&url, "g", body).await;
        }
        let members =
            json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "ReceiveRequestAttemptId": "try"});
        let first = server.ok("ReceiveMessage", members.clone()).await;
        let bodies_of = |answer: &Value| bodies(answer["Messages"].as_array().unwrap()).join(",");
        let again = server.ok("ReceiveMessage", members.clone()).await;
        assert_eq!(
            (bodies_of(&first), bodies_of(&again)),
            ("1,2".to_owned(), "1,2".to_owned())
        );
        server.delete(&url, &again["Messages"][0]).await;
        assert_eq!(server.ok("ReceiveMessage", members).await, json!({}));
    });
}
