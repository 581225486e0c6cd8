//! Queues over HTTP.

use broker::queue::{Outcome, Take};
use serde_json::{Value, json};

use super::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_created_with_settings_and_described() {
    let mut server = Server::start().await;
    let settings = json!({
        "lanes": 3, "message_ttl_ms": 5000, "length_max": 10, "overflow": "reject_dead_letter",
        "dead_letter": { "exchange": "dead", "routing_key": "k" }, "delivery_limit": 4,
        "lease_ms": 30_000, "dedup": { "window_ms": 60_000, "scope": "group" },
    });
    let path = "/v1/queues/%2F/a%2Fb";
    let (status, made) = server.ask("PUT", path, settings.clone()).await;
    assert_eq!((status, &made["name"]), (201, &json!("a/b")), "{made}");
    let (status, shown) = server.get(path).await;
    assert_eq!(status, 200);
    assert_eq!(shown, made);
    assert_eq!(shown["namespace"], "/");
    for (name, value) in settings.as_object().unwrap() {
        assert_eq!(&shown["settings"][name], value, "{name}");
    }
    assert_eq!(shown["settings"]["durable"], true);
    assert!(shown["settings"].get("bytes_max").is_none());
    let stats = ["ready", "leased", "delayed", "consumers", "ready_bytes"];
    assert!(stats.iter().all(|stat| shown[stat] == 0), "{shown}");
    assert_eq!(shown["oldest_seconds"], Value::Null);
    // Once more changes nothing; otherwise is a conflict.
    assert_eq!(server.ask("PUT", path, settings).await.0, 200);
    let (status, problem) = server.ask("PUT", path, json!({ "lanes": 2 })).await;
    assert_eq!((status, &problem["kind"]), (409, &json!("conflict")));
    let body = json!({ "name": "a/b" });
    assert_eq!(server.ask("POST", "/v1/queues", body).await.0, 409);
    let body = json!({ "name": "c", "settings": { "durable": false } });
    let (status, made) = server.ask("POST", "/v1/queues", body).await;
    assert_eq!((status, &made["settings"]["durable"]), (201, &json!(false)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_queue_is_refused() {
    let mut server = Server::start().await;
    for (method, path, body, expected) in [
        ("GET", "/v1/queues/%2F/none", Value::Null, 404),
        ("DELETE", "/v1/queues/%2F/none", Value::Null, 404),
        ("GET", "/v1/queues/%2F/none/peek", Value::Null, 404),
        ("POST", "/v1/queues/%2F/none/purge", Value::Null, 404),
        ("PUT", "/v1/queues/none/q", json!({}), 404),
        ("PUT", "/v1/queues/%2F/q", json!({ "lanes": 0 }), 400),
        ("PUT", "/v1/queues/%2F/q", json!({ "lane": 1 }), 400),
        ("PUT", "/v1/queues/%2F/q", json!({ "dead_letter": {} }), 400),
        ("POST", "/v1/queues", json!({ "name": "" }), 400),
        (
            "POST",
            "/v1/queues",
            json!({ "name": "q".repeat(256) }),
            400,
        ),
        (
            "DELETE",
            "/v1/queues/%2F/q?if_empty=perhaps",
            Value::Null,
            400,
        ),
        ("GET", "/v1/queues?limit=some", Value::Null, 400),
    ] {
        let (status, answer) = server.ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_listed_in_pages_with_how_they_are() {
    let mut server = Server::start().await;
    let settings = Default::default();
    server
        .broker
        .create_namespace("other", settings)
        .await
        .unwrap();
    server.queue("b", &["one", "two"]).await;
    server.queue("a", &[]).await;
    let (status, _) = server.ask("PUT", "/v1/queues/other/a", json!({})).await;
    assert_eq!(status, 201);
    let names = |answer: &Value| -> Vec<String> {
        let queues = answer["queues"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        queues
            .map(|one| text(&one["namespace"]) + &text(&one["name"]))
            .collect()
    };
    let (_, page) = server.get("/v1/queues?limit=100").await;
    assert_eq!(names(&page), ["/a", "/b"]);
    assert_eq!(page["next"], json!({ "namespace": "/", "name": "b" }));
    let full = &page["queues"][1];
    assert_eq!(
        (&full["ready"], &full["ready_bytes"]),
        (&json!(2), &json!(6))
    );
    assert!(full["oldest_seconds"].as_f64().unwrap() < 60.0, "{full}");
    let (_, page) = server.get("/v1/queues?after_namespace=%2F&after=b").await;
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["othera".to_owned()], &Value::Null)
    );
    let (_, page) = server.get("/v1/queues?namespace=%2F&after=a").await;
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["/b".to_owned()], &Value::Null)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_takes_nothing_and_a_purge_takes_what_is_ready() {
    let mut server = Server::start().await;
    let queue = server.queue("q", &["one", "two", "three"]).await;
    let (_, seen) = server.get("/v1/queues/%2F/q/peek?from=1&limit=1").await;
    let messages = seen["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1, "{seen}");
    let message = &messages[0];
    assert_eq!(
        (&message["key"], &message["value"]),
        (&json!("key"), &json!("two"))
    );
    assert_eq!(
        (&message["offset"], &message["attempts"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(seen["next"], 2);
    let (_, seen) = server.get("/v1/queues/%2F/q/peek?encoding=base64").await;
    assert_eq!(seen["messages"][0]["value_base64"], "b25l");
    assert_eq!(queue.stats().ready, 3);
    let taken = queue.take(Take::default()).await.unwrap();
    let purge = "/v1/queues/%2F/q/purge";
    assert_eq!(
        server.ask("POST", purge, Value::Null).await,
        (200, json!({ "messages": 2 }))
    );
    let all = json!({ "all": true });
    assert_eq!(
        server.ask("POST", purge, all).await,
        (200, json!({ "messages": 1 }))
    );
    assert_eq!(
        queue.settle(&[taken[0].receipt], Outcome::Accept).known,
        [false]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_deleted_when_it_may_be() {
    let mut server = Server::start().await;
    let queue = server.queue("q", &["one"]).await;
    let consumer = queue.consume(Default::default()).unwrap();
    let path = "/v1/queues/%2F/q";
    let unused = format!("{path}?if_unused=true");
    assert_eq!(server.ask("DELETE", &unused, Value::Null).await.0, 409);
    drop(consumer);
    queue.purge(true).await.unwrap();
    server.queue("q", &["two", "three"]).await;
    let empty = format!("{path}?if_empty=true&if_unused=true");
    assert_eq!(server.ask("DELETE", &empty, Value::Null).await.0, 409);
    let (status, gone) = server.ask("DELETE", path, Value::Null).await;
    assert_eq!((status, gone), (200, json!({ "messages": 2 })));
    assert_eq!(server.get(path).await.0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_totals_over_all_queues() {
    let mut server = Server::start().await;
    server.queue("a", &["one", "two"]).await;
    let queue = server.queue("b", &["three", "four"]).await;
    queue.take(Take::default()).await.unwrap();
    let (status, metrics) = server.get("/metrics").await;
    assert_eq!(status, 200);
    let metrics = metrics.as_str().unwrap();
    for (name, value) in [("ready", 3), ("leased", 1), ("delayed", 0)] {
        let line = format!("\nstentor_queue_messages_{name} {value}\n");
        assert!(metrics.contains(&line), "{name}: {metrics}");
    }
    assert!(
        metrics.contains("\nstentor_queue_oldest_message_seconds "),
        "{metrics}"
    );
    server.stop().await;
}
