//! What hides a message, and who may still delete it.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{bodies, on_server};

#[test]
fn a_message_comes_again_with_a_new_handle_and_a_higher_count() {
    on_server(async |server| {
        let url = server.queue("q", json!({"VisibilityTimeout": "30"})).await;
        server.put(&url, "x").await;
        let first = server.take(&url).await.remove(0);
        assert_eq!(server.counts(&url).await, ["0", "1", "0"]);
        assert_eq!(server.take(&url).await, Vec::<Value>::new());
        server.advance(Duration::from_secs(30)).await;
        let second = server.take(&url).await.remove(0);
        assert_ne!(first["ReceiptHandle"], second["ReceiptHandle"]);
        assert_eq!(second["Attributes"]["ApproximateReceiveCount"], "2");
        let first_at = "ApproximateFirstReceiveTimestamp";
        assert_eq!(
            first["Attributes"][first_at],
            second["Attributes"][first_at]
        );
        server.delete(&url, &second).await;
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
        server.delete(&url, &second).await;
    });
}

#[test]
fn an_old_handle_deletes_a_message_of_a_standard_queue() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        server.put(&url, "x").await;
        let old = server.take(&url).await.remove(0);
        server.advance(Duration::from_secs(31)).await;
        server.delete(&url, &old).await;
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
        server.put(&url, "y").await;
        let old = server.take(&url).await.remove(0);
        server.advance(Duration::from_secs(31)).await;
        server.take(&url).await;
        server.delete(&url, &old).await;
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
    });
}

#[test]
fn visibility_is_changed_from_now_on() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        server.put(&url, "x").await;
        let got = server.take(&url).await.remove(0);
        let change = |message: &Value, seconds: i64| json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": seconds});
        server.advance(Duration::from_secs(20)).await;
        server.ok("ChangeMessageVisibility", change(&got, 30)).await;
        server.advance(Duration::from_secs(29)).await;
        assert_eq!(server.take(&url).await, Vec::<Value>::new());
        server.advance(Duration::from_secs(1)).await;
        let got = server.take(&url).await.remove(0);
        server.ok("ChangeMessageVisibility", change(&got, 0)).await;
        // It is visible already: nothing changes, and nothing is wrong.
        server.ok("ChangeMessageVisibility", change(&got, 10)).await;
        let got = server.take(&url).await.remove(0);
        let (_, text) = server
            .fails("ChangeMessageVisibility", change(&got, 43_201))
            .await;
        assert!(
            text.starts_with("Value 43201 for parameter VisibilityTimeout is invalid."),
            "{text}"
        );
        server.advance(Duration::from_secs(10)).await;
        let (_, text) = server
            .fails("ChangeMessageVisibility", change(&got, 43_200))
            .await;
        assert!(text.contains("beyond the limit [43200 seconds]"), "{text}");
        server.delete(&url, &got).await;
        let (_, text) = server
            .fails("ChangeMessageVisibility", change(&got, 10))
            .await;
        assert!(text.contains("Message does not exist"), "{text}");
        let nonsense = json!({"ReceiptHandle": "x"});
        let (name, _) = server
            .fails("ChangeMessageVisibility", change(&nonsense, 10))
            .await;
        assert_eq!(name, "ReceiptHandleIsInvalid");
    });
}

#[test]
fn a_handle_is_of_one_queue() {
    on_server(async |server| {
        let (one, two) = (
            server.queue("one", json!({})).await,
            server.queue("two", json!({})).await,
        );
        server.put(&one, "x").await;
        let got = server.take(&one).await.remove(0);
        let members = json!({"QueueUrl": two, "ReceiptHandle": got["ReceiptHandle"]});
        assert_eq!(
            server.fails("DeleteMessage", members).await.0,
            "ReceiptHandleIsInvalid"
        );
    });
}

#[test]
fn no_visibility_timeout_gives_a_message_to_everybody() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        server.put(&url, "x").await;
        for count in 1..4 {
            let members =
                json!({"QueueUrl": url, "VisibilityTimeout": 0, "AttributeNames": ["All"]});
            let got = server.ok("ReceiveMessage", members).await;
            let told = &got["Messages"][0]["Attributes"]["ApproximateReceiveCount"];
            assert_eq!(told, &json!(count.to_string()));
        }
        assert_eq!(bodies(&server.take(&url).await), ["x"]);
    });
}
