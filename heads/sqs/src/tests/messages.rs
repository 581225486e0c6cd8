//! Messages: what is sent comes back, and what may not be sent is refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{START_MS, bodies, on_server};

#[test]
fn everything_about_a_message_comes_back() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        let sent = json!({"QueueUrl": url, "MessageBody": "h\u{e4}llo\n<&>\u{1f600}", "MessageGroupId": "tenant",
            "MessageAttributes": {
                "S": {"DataType": "String.x", "StringValue": "v"},
                "N": {"DataType": "Number", "StringValue": "1.50"},
                "B": {"DataType": "Binary.png", "BinaryValue": "AAEC/w=="}},
            "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}});
        let told = server.ok("SendMessage", sent.clone()).await;
        assert!(told.get("SequenceNumber").is_none());
        let got = &server.take(&url).await[0];
        assert_eq!(got["Body"], sent["MessageBody"]);
        assert_eq!(got["MessageAttributes"], sent["MessageAttributes"]);
        assert_eq!(got["MessageId"], told["MessageId"]);
        assert_eq!(got["MD5OfBody"], told["MD5OfMessageBody"]);
        assert_eq!(
            got["MD5OfMessageAttributes"],
            told["MD5OfMessageAttributes"]
        );
        let start = START_MS.to_string();
        let attributes = json!({"SenderId": "anonymous", "SentTimestamp": start,
            "ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": start,
            "MessageGroupId": "tenant", "AWSTraceHeader": "Root=1"});
        assert_eq!(got["Attributes"], attributes);
    });
}

#[test]
fn only_what_is_asked_for_is_told() {
    on_server(async |server| {
        let url = server.queue("q", json!({"VisibilityTimeout": "0"})).await;
        let value = json!({"DataType": "String", "StringValue": "v"});
        let sent = json!({"QueueUrl": url, "MessageBody": "x",
            "MessageAttributes": {"foo.a": value, "foo.b": value, "bar": value}});
        server.ok("SendMessage", sent).await;
        let names = async |wanted: Value| {
            let members = json!({"QueueUrl": url, "MessageAttributeNames": wanted});
            let got = server.ok("ReceiveMessage", members).await;
            let message = &got["Messages"][0];
            assert!(message.get("Attributes").is_none());
            let names = message["MessageAttributes"].as_object();
            assert_eq!(
                message.get("MD5OfMessageAttributes").is_some(),
                names.is_some()
            );
            names
                .map(|names| names.keys().cloned().collect::<Vec<_>>())
                .unwrap_or_default()
        };
        assert_eq!(names(json!([])).await, Vec::<String>::new());
        assert_eq!(names(json!(["none"])).await, Vec::<String>::new());
        assert_eq!(names(json!(["bar", "none"])).await, ["bar"]);
        assert_eq!(names(json!(["foo.*"])).await, ["foo.a", "foo.b"]);
        assert_eq!(names(json!([".*"])).await.len(), 3);
        let members = json!({"QueueUrl": url, "MessageSystemAttributeNames": ["SentTimestamp"],
            "AttributeNames": ["SenderId"]});
        let got = server.ok("ReceiveMessage", members).await;
        assert_eq!(
            got["Messages"][0]["Attributes"].as_object().unwrap().len(),
            2
        );
    });
}

/// Members that may not be sent, the error's name, and words of its text.
fn refused() -> Vec<(Value, &'static str, &'static str)> {
    const WRONG: &str = "InvalidParameterValueException";
    let attribute = |value: Value| json!({"MessageBody": "x", "MessageAttributes": {"A": value}});
    let value = json!({"DataType": "String", "StringValue": "v"});
    let many: serde_json::Map<_, _> = (0..11).map(|n| (n.to_string(), value.clone())).collect();
    let with = |name: &str, value: Value| json!({"MessageBody": "x", name: value});
    vec![
        (
            json!({"MessageBody": ""}),
            "MissingRequiredParameterException",
            "parameter MessageBody.",
        ),
        (
            json!({"MessageBody": "x".repeat(1025)}),
            WRONG,
            "shorter than 1024 bytes",
        ),
        (
            json!({"MessageBody": "\u{0}"}),
            "InvalidMessageContents",
            "Invalid characters",
        ),
        (with("DelaySeconds", json!(901)), WRONG, "<= 900"),
        (with("MessageGroupId", json!("a b")), WRONG, "1 to 128"),
        (
            with("MessageDeduplicationId", json!("d")),
            WRONG,
            "queue type",
        ),
        (with("MessageAttributes", json!(many)), WRONG, "[11]"),
        (
            attribute(json!({"DataType": "String", "StringValue": ""})),
            WRONG,
            "value of type 'String'",
        ),
        (
            attribute(json!({"StringValue": "v"})),
            WRONG,
            "non-empty message attribute type",
        ),
        (
            attribute(json!({"DataType": "Text", "StringValue": "v"})),
            WRONG,
            "type prefixes",
        ),
        (
            attribute(json!({"DataType": "Number", "StringValue": "v"})),
            WRONG,
            "to a number",
        ),
    ]
}

#[test]
fn what_may_not_be_sent_is_refused_in_known_words() {
    on_server(async |server| {
        let url = server
            .queue("q", json!({"MaximumMessageSize": "1024"}))
            .await;
        for (mut members, name, text) in refused() {
            members["QueueUrl"] = json!(url);
            let (error, said) = server.fails("SendMessage", members.clone()).await;
            assert_eq!(error, name, "{members}");
            assert!(said.contains(text), "{said}");
        }
        assert_eq!(server.counts(&url).await[0], "0");
    });
}

#[test]
fn a_batch_succeeds_in_part() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        let entries = json!([{"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": ""},
            {"Id": "c", "MessageBody": "3", "DelaySeconds": 1000}, {"Id": "d", "MessageBody": "4"}]);
        let told = server
            .ok(
                "SendMessageBatch",
                json!({"QueueUrl": url, "Entries": entries}),
            )
            .await;
        let ids = |list: &str| -> Vec<String> {
            let list = told[list].as_array().unwrap().iter();
            list.map(|one| one["Id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            (ids("Successful"), ids("Failed")),
            (vec!["a".into(), "d".into()], vec!["b".into(), "c".into()])
        );
        assert_eq!(told["Failed"][0]["Code"], "MissingParameter");
        assert_eq!(told["Failed"][0]["SenderFault"], true);
        let got = server.take(&url).await;
        assert_eq!(bodies(&got), ["1", "4"]);
        let entries = json!([{"Id": "x", "ReceiptHandle": got[0]["ReceiptHandle"]},
            {"Id": "y", "ReceiptHandle": "nonsense"}, {"Id": "z", "ReceiptHandle": got[1]["ReceiptHandle"]}]);
        let told = server
            .ok(
                "DeleteMessageBatch",
                json!({"QueueUrl": url, "Entries": entries}),
            )
            .await;
        assert_eq!(told["Successful"], json!([{"Id": "x"}, {"Id": "z"}]));
        assert_eq!(told["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
        let long = "x".repeat(600_000);
        let entries = json!([{"Id": "a", "MessageBody": long}, {"Id": "b", "MessageBody": long}]);
        let (name, text) = server
            .fails(
                "SendMessageBatch",
                json!({"QueueUrl": url, "Entries": entries}),
            )
            .await;
        assert_eq!(name, "BatchRequestTooLong");
        assert!(text.ends_with("You have sent 1200000 bytes."), "{text}");
    });
}

#[test]
fn a_delayed_message_is_hidden_until_its_time() {
    on_server(async |server| {
        let url = server.queue("q", json!({"DelaySeconds": "5"})).await;
        server.put(&url, "queue's").await;
        let own = |body: &str, delay: i64| json!({"QueueUrl": url, "MessageBody": body, "DelaySeconds": delay});
        server.ok("SendMessage", own("own", 10)).await;
        server.ok("SendMessage", own("none", 0)).await;
        assert_eq!(server.counts(&url).await, ["1", "0", "2"]);
        assert_eq!(bodies(&server.take(&url).await), ["none"]);
        server.advance(Duration::from_secs(5)).await;
        assert_eq!(bodies(&server.take(&url).await), ["queue's"]);
        server.advance(Duration::from_secs(5)).await;
        assert_eq!(bodies(&server.take(&url).await), ["own"]);
    });
}

#[test]
fn a_long_poll_ends_with_a_message_or_its_time() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        let members = json!({"QueueUrl": url, "WaitTimeSeconds": 20});
        let poll = server.ok("ReceiveMessage", members.clone());
        let put = async {
            server.advance(Duration::from_secs(10)).await;
            server.put(&url, "late").await;
        };
        let (got, ()) = futures_util::future::join(poll, put).await;
        assert_eq!(got["Messages"][0]["Body"], "late");
        let poll = server.ok("ReceiveMessage", members);
        let (got, ()) =
            futures_util::future::join(poll, server.advance(Duration::from_secs(20))).await;
        assert_eq!(got, json!({}));
        for wait in [-1, 21] {
            let members = json!({"QueueUrl": url, "WaitTimeSeconds": wait});
            let (_, text) = server.fails("ReceiveMessage", members).await;
            assert!(
                text.ends_with("Must be >= 0 and <= 20, if provided."),
                "{text}"
            );
        }
    });
}

#[test]
fn a_message_older_than_the_retention_is_gone() {
    on_server(async |server| {
        let url = server
            .queue("q", json!({"MessageRetentionPeriod": "60"}))
            .await;
        server.put(&url, "old").await;
        server.advance(Duration::from_secs(61)).await;
        assert_eq!(server.take(&url).await, Vec::<Value>::new());
    });
}
