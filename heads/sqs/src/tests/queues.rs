//! Queues, their attributes, tags and permissions.

use std::time::Duration;

use broker::queue::QueueSettings;
use serde_json::json;

use super::harness::{on_server, run};
use crate::Config;

#[test]
fn a_queue_is_made_found_listed_and_deleted() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        assert_eq!(url, "http://sqs.test/000000000000/q");
        let found = server.ok("GetQueueUrl", json!({"QueueName": "q"})).await;
        assert_eq!(found["QueueUrl"], url.as_str());
        for name in ["r1", "r2", "r3"] {
            server.queue(name, json!({})).await;
        }
        let page = json!({"QueueNamePrefix": "r", "MaxResults": 2});
        let first = server.ok("ListQueues", page).await;
        assert_eq!(first["QueueUrls"].as_array().unwrap().len(), 2);
        let page =
            json!({"QueueNamePrefix": "r", "MaxResults": 2, "NextToken": first["NextToken"]});
        let second = server.ok("ListQueues", page).await;
        assert_eq!(
            second,
            json!({"QueueUrls": ["http://sqs.test/000000000000/r3"]})
        );
        server.ok("DeleteQueue", json!({"QueueUrl": url})).await;
        let (name, text) = server.fails("GetQueueUrl", json!({"QueueName": "q"})).await;
        assert_eq!(name, "QueueDoesNotExist");
        assert_eq!(text, "The specified queue does not exist.");
        let (name, _) = server.fails("CreateQueue", json!({"QueueName": "q"})).await;
        assert_eq!(name, "QueueDeletedRecently");
        server.advance(Duration::from_secs(60)).await;
        server.queue("q", json!({})).await;
    });
}

#[test]
fn attributes_are_kept_told_and_checked() {
    on_server(async |server| {
        let given = json!({"VisibilityTimeout": "7", "DelaySeconds": "1", "MaximumMessageSize": "2048",
            "MessageRetentionPeriod": "60", "ReceiveMessageWaitTimeSeconds": "2",
            "Policy": "{\"Version\":  \"2012-10-17\"}"});
        let url = server.queue("q", given.clone()).await;
        for (name, value) in given.as_object().unwrap() {
            assert_eq!(server.attribute(&url, name).await, value.as_str().unwrap());
        }
        let same = json!({"QueueName": "q", "Attributes": {"VisibilityTimeout": "7",
            "Policy": "{\"Version\":\"2012-10-17\"}"}});
        server.ok("CreateQueue", same).await;
        let other = json!({"QueueName": "q", "Attributes": {"VisibilityTimeout": "8"}});
        let (name, text) = server.fails("CreateQueue", other).await;
        assert_eq!(name, "QueueNameExists");
        assert!(
            text.ends_with("different value for attribute VisibilityTimeout"),
            "{text}"
        );
        for (attributes, name) in [
            (
                json!({"VisibilityTimeout": "43201"}),
                "InvalidAttributeValue",
            ),
            (json!({"VisibilityTimeout": "x"}), "InvalidAttributeValue"),
            (json!({"Nothing": "1"}), "InvalidAttributeName"),
            (json!({"QueueArn": "1"}), "InvalidAttributeName"),
            (json!({"FifoQueue": "true"}), "InvalidAttributeValue"),
            (
                json!({"ContentBasedDeduplication": "true"}),
                "InvalidAttributeName",
            ),
            (json!({"Policy": "["}), "InvalidAttributeValue"),
        ] {
            let members = json!({"QueueUrl": url, "Attributes": attributes});
            assert_eq!(
                server.fails("SetQueueAttributes", members).await.0,
                name,
                "{attributes}"
            );
        }
        let members =
            json!({"QueueUrl": url, "Attributes": {"VisibilityTimeout": "9", "Policy": ""}});
        server.ok("SetQueueAttributes", members).await;
        assert_eq!(server.attribute(&url, "VisibilityTimeout").await, "9");
        let all = server
            .ok(
                "GetQueueAttributes",
                json!({"QueueUrl": url, "AttributeNames": ["All"]}),
            )
            .await;
        let all = all["Attributes"].as_object().unwrap();
        assert!(!all.contains_key("Policy") && !all.contains_key("FifoQueue"));
        assert_eq!(all["QueueArn"], "arn:aws:sqs:us-east-1:000000000000:q");
        let none = server
            .ok("GetQueueAttributes", json!({"QueueUrl": url}))
            .await;
        assert_eq!(none, json!({}));
    });
}

#[test]
fn names_say_whether_a_queue_is_fifo() {
    on_server(async |server| {
        for (name, attributes) in [
            ("q", json!({"FifoQueue": "true"})),
            ("q.fifo", json!({})),
            ("", json!({})),
            ("a.b", json!({})),
            ("x/y", json!({})),
        ] {
            let members = json!({"QueueName": name, "Attributes": attributes});
            let (error, _) = server.fails("CreateQueue", members).await;
            assert_eq!(error, "InvalidParameterValueException", "{name}");
        }
        let url = server.queue("q.fifo", json!({"FifoQueue": "true"})).await;
        assert_eq!(server.attribute(&url, "FifoQueue").await, "true");
        assert_eq!(server.attribute(&url, "DeduplicationScope").await, "queue");
        assert_eq!(
            server.attribute(&url, "FifoThroughputLimit").await,
            "perQueue"
        );
        let alone =
            json!({"QueueUrl": url, "Attributes": {"FifoThroughputLimit": "perMessageGroupId"}});
        assert_eq!(
            server.fails("SetQueueAttributes", alone).await.0,
            "InvalidAttributeValue"
        );
        let both = json!({"QueueUrl": url, "Attributes": {"FifoThroughputLimit": "perMessageGroupId",
            "DeduplicationScope": "messageGroup"}});
        server.ok("SetQueueAttributes", both).await;
    });
}

#[test]
fn tags_come_and_go() {
    on_server(async |server| {
        let members = json!({"QueueName": "q", "tags": {"a": "1"}});
        let url = server.ok("CreateQueue", members).await["QueueUrl"].clone();
        server
            .ok(
                "TagQueue",
                json!({"QueueUrl": url, "Tags": {"a": "2", "b": "3"}}),
            )
            .await;
        let tags = server.ok("ListQueueTags", json!({"QueueUrl": url})).await;
        assert_eq!(tags, json!({"Tags": {"a": "2", "b": "3"}}));
        server
            .ok(
                "UntagQueue",
                json!({"QueueUrl": url, "TagKeys": ["a", "b", "c"]}),
            )
            .await;
        assert_eq!(
            server.ok("ListQueueTags", json!({"QueueUrl": url})).await,
            json!({})
        );
        let many: serde_json::Map<_, _> = (0..51).map(|n| (n.to_string(), json!("x"))).collect();
        let (_, text) = server
            .fails("TagQueue", json!({"QueueUrl": url, "Tags": many}))
            .await;
        assert_eq!(text, "Too many tags added for queue q.");
    });
}

#[test]
fn permissions_are_statements_of_the_policy() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        let add = |label: &str, actions: &[&str]| json!({"QueueUrl": url, "Label": label, "AWSAccountIds": ["111111111111"], "Actions": actions});
        server
            .ok("AddPermission", add("one", &["SendMessage"]))
            .await;
        server
            .ok(
                "AddPermission",
                add("two", &["SendMessage", "DeleteMessage"]),
            )
            .await;
        let policy: serde_json::Value =
            serde_json::from_str(&server.attribute(&url, "Policy").await).unwrap();
        assert_eq!(policy["Statement"][0]["Action"], "SQS:SendMessage");
        assert_eq!(
            policy["Statement"][1]["Action"],
            json!(["SQS:SendMessage", "SQS:DeleteMessage"])
        );
        assert_eq!(
            policy["Statement"][0]["Principal"]["AWS"],
            "arn:aws:iam::111111111111:root"
        );
        let (_, text) = server
            .fails("AddPermission", add("one", &["SendMessage"]))
            .await;
        assert_eq!(
            text,
            "Value one for parameter Label is invalid. Reason: Already exists."
        );
        assert_eq!(
            server
                .fails("AddPermission", add("x", &["SendMessage"; 8]))
                .await
                .0,
            "OverLimit"
        );
        for label in ["one", "two"] {
            server
                .ok("RemovePermission", json!({"QueueUrl": url, "Label": label}))
                .await;
        }
        assert_eq!(server.attribute(&url, "Policy").await, "");
        let gone = json!({"QueueUrl": url, "Label": "one"});
        assert!(
            server
                .fails("RemovePermission", gone)
                .await
                .1
                .contains("can't find label")
        );
    });
}

#[test]
fn a_purge_takes_everything_and_is_allowed_once_a_minute() {
    on_server(async |server| {
        let url = server.queue("q", json!({})).await;
        for body in ["a", "b"] {
            server.put(&url, body).await;
        }
        let members = json!({"QueueUrl": url});
        assert_eq!(
            server.ok("ReceiveMessage", members.clone()).await["Messages"][0]["Body"],
            "a"
        );
        server.ok("PurgeQueue", members.clone()).await;
        assert_eq!(server.counts(&url).await, ["0", "0", "0"]);
        let (name, text) = server.fails("PurgeQueue", members.clone()).await;
        assert_eq!(name, "PurgeQueueInProgress");
        assert_eq!(
            text,
            "Only one PurgeQueue operation on q is allowed every 60 seconds."
        );
        server.advance(Duration::from_secs(60)).await;
        server.ok("PurgeQueue", members).await;
    });
}

#[test]
fn query_is_answered_in_xml() {
    on_server(async |server| {
        let form = "Action=CreateQueue&QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=0&Tag.1.Key=a&Tag.1.Value=b";
        let (status, xml) = server.query("/", form).await;
        assert_eq!(status, 200);
        assert!(
            xml.contains("<CreateQueueResult><QueueUrl>http://sqs.test/000000000000/q</QueueUrl>"),
            "{xml}"
        );
        let at = "/000000000000/q";
        let (status, xml) = server
            .query(at, "Action=SendMessage&MessageBody=a%26b")
            .await;
        assert!(status == 200 && xml.contains("<MD5OfMessageBody>"), "{xml}");
        let (_, xml) = server
            .query(
                &format!("{at}?Action=ReceiveMessage&AttributeName.1=All"),
                "",
            )
            .await;
        assert!(
            xml.contains("<Body>a&amp;b</Body>")
                && xml.contains("<Attribute><Name>SenderId</Name>"),
            "{xml}"
        );
        let (status, xml) = server.query(at, "").await;
        assert!(
            status == 404 && xml.contains("<UnknownOperationException/>"),
            "{xml}"
        );
        let (status, xml) = server.query(at, "Action=CreateQueue&QueueName=x").await;
        assert!(
            status == 400 && xml.contains("The action CreateQueue is not valid for this endpoint."),
            "{xml}"
        );
        let (status, xml) = server.query("/0/none", "Action=PurgeQueue").await;
        assert!(
            status == 400 && xml.contains("does not exist for this wsdl version."),
            "{xml}"
        );
    });
}

#[test]
fn a_restart_keeps_queues_attributes_and_handles() {
    let folder = tempfile::tempdir().unwrap();
    let mut handle = json!(null);
    run(folder.path(), Config::default(), async |server| {
        let url = server.queue("q", json!({"VisibilityTimeout": "7"})).await;
        server.put(&url, "a").await;
        handle = server.take(&url).await[0]["ReceiptHandle"].clone();
    });
    run(folder.path(), Config::default(), async |server| {
        let url = "http://elsewhere:1/000000000000/q";
        assert_eq!(server.attribute(url, "VisibilityTimeout").await, "7");
        assert_eq!(server.counts(url).await[0], "1");
        server
            .ok(
                "DeleteMessage",
                json!({"QueueUrl": url, "ReceiptHandle": handle}),
            )
            .await;
        assert_eq!(server.counts(url).await, ["0", "0", "0"]);
    });
}

/// An exclusive queue of AMQP is its connection's.
#[test]
fn a_queue_of_a_connection_is_not_seen() {
    on_server(async |server| {
        let queues = server.broker.queues();
        let settings = QueueSettings {
            durable: false,
            owner: Some(queues.new_owner()),
            ..QueueSettings::default()
        };
        queues.declare("/", "own", settings).await.unwrap();
        assert_eq!(server.ok("ListQueues", json!({})).await, json!({}));
        let named = json!({"QueueUrl": "http://h/0/own"});
        for action in [
            "DeleteQueue",
            "PurgeQueue",
            "ReceiveMessage",
            "GetQueueAttributes",
        ] {
            let (error, _) = server.fails(action, named.clone()).await;
            assert_eq!(error, "QueueDoesNotExist", "{action}");
        }
        let (error, _) = server
            .fails("CreateQueue", json!({"QueueName": "own"}))
            .await;
        assert_eq!(error, "QueueNameExists");
        let target = json!({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:own",
            "maxReceiveCount": 1});
        let attributes = json!({"RedrivePolicy": target.to_string()});
        let members = json!({"QueueName": "q", "Attributes": attributes});
        let (_, text) = server.fails("CreateQueue", members).await;
        assert!(text.contains("target does not exist"), "{text}");
        assert!(queues.get("/", "own").is_some());
    });
}
