//! Exchanges and bindings over HTTP.

use broker::exchange::{ExchangeKind, ExchangeSettings};
use bytes::Bytes;
use serde_json::{Value, json};

use super::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_created_described_and_deleted() {
    let mut server = Server::start().await;
    let path = "/v1/exchanges/%2F/e";
    let settings = json!({
        "kind": "delayed:consistent-hash", "hash_header": "customer", "alternate": "rest",
    });
    let (status, made) = server.ask("PUT", path, settings.clone()).await;
    assert_eq!(status, 201, "{made}");
    let expected = json!({
        "namespace": "/", "name": "e", "kind": "delayed:consistent-hash",
        "hash_header": "customer", "durable": true, "auto_delete": false, "internal": false,
        "alternate": "rest", "bindings": [], "bindings_total": 0,
    });
    assert_eq!(made, expected);
    assert_eq!(server.get(path).await, (200, expected));
    assert_eq!(server.ask("PUT", path, settings.clone()).await.0, 200);
    let other = json!({ "kind": "direct" });
    assert_eq!(server.ask("PUT", path, other).await.0, 409);
    let again = json!({ "name": "e", "settings": settings });
    assert_eq!(server.ask("POST", "/v1/exchanges", again).await.0, 409);
    assert_eq!(server.ask("DELETE", path, Value::Null).await.0, 204);
    assert_eq!(server.get(path).await.0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_lead_where_they_say_until_they_are_taken_away() {
    let mut server = Server::start().await;
    server.queue("q", &[]).await;
    for (name, kind) in [("e", "topic"), ("f", "fanout")] {
        let settings = json!({ "name": name, "settings": { "kind": kind } });
        let (status, _) = server.ask("POST", "/v1/exchanges", settings).await;
        assert_eq!(status, 201);
    }
    let bind = "/v1/exchanges/%2F/e/bind";
    let to_queue = json!({ "queue": "q", "key": "a.*", "arguments": { "n": 1, "t": "x" } });
    assert_eq!(server.ask("POST", bind, to_queue.clone()).await.0, 201);
    assert_eq!(server.ask("POST", bind, to_queue.clone()).await.0, 200);
    let from_other = json!({ "exchange": "e" });
    let other = "/v1/exchanges/%2F/f/bind";
    assert_eq!(server.ask("POST", other, from_other).await.0, 201);
    let route = |server: &Server| {
        let keys = [Bytes::from_static(b"a.b")];
        let exchanges = server.broker.exchanges();
        exchanges.route("/", "f", &keys, &|_| None).unwrap().len()
    };
    assert_eq!(route(&server), 1);

    let (_, shown) = server.get("/v1/exchanges/%2F/e").await;
    let from = json!({
        "source": "e", "destination": "q", "destination_type": "queue", "key": "a.*",
        "arguments": { "n": 1, "t": "x" },
    });
    let to = json!({
        "source": "f", "destination": "e", "destination_type": "exchange", "key": "",
    });
    assert_eq!(shown["bindings"], json!([from, to]));
    let (_, shown) = server.get("/v1/queues/%2F/q").await;
    assert_eq!(shown["bindings"], json!([from]));

    let unused = "/v1/exchanges/%2F/e?if_unused=true";
    assert_eq!(server.ask("DELETE", unused, Value::Null).await.0, 409);
    let unbind = "/v1/exchanges/%2F/e/unbind";
    let unlike = json!({ "queue": "q", "key": "a.*" });
    assert_eq!(server.ask("POST", unbind, unlike).await.0, 404);
    assert_eq!(server.ask("POST", unbind, to_queue.clone()).await.0, 204);
    assert_eq!(server.ask("POST", unbind, to_queue).await.0, 404);
    assert_eq!(route(&server), 0);
    assert_eq!(server.ask("DELETE", unused, Value::Null).await.0, 204);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_exchange_is_refused() {
    let mut server = Server::start().await;
    let direct = ExchangeSettings::durable(ExchangeKind::Direct);
    let given = vec![("given".to_owned(), direct)];
    server.broker.exchanges().predeclare(given).await.unwrap();
    for (method, path, body, expected) in [
        ("GET", "/v1/exchanges/%2F/none", Value::Null, 404),
        ("DELETE", "/v1/exchanges/%2F/none", Value::Null, 404),
        ("DELETE", "/v1/exchanges/%2F/given", Value::Null, 403),
        (
            "POST",
            "/v1/exchanges/%2F/none/bind",
            json!({ "exchange": "given" }),
            404,
        ),
        (
            "POST",
            "/v1/exchanges/%2F/given/bind",
            json!({ "queue": "none" }),
            404,
        ),
        (
            "POST",
            "/v1/exchanges/%2F/given/bind",
            json!({ "key": "k" }),
            400,
        ),
        (
            "PUT",
            "/v1/exchanges/%2F/e",
            json!({ "kind": "unkind" }),
            400,
        ),
        (
            "PUT",
            "/v1/exchanges/%2F/e",
            json!({ "kind": "topic", "hash_header": "h" }),
            400,
        ),
        (
            "PUT",
            "/v1/exchanges/none/e",
            json!({ "kind": "topic" }),
            404,
        ),
    ] {
        let (status, answer) = server.ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    assert_eq!(server.get("/v1/exchanges/%2F/given").await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_are_listed_in_pages() {
    let mut server = Server::start().await;
    let settings = Default::default();
    server
        .broker
        .create_namespace("other", settings)
        .await
        .unwrap();
    for path in ["%2F/a", "%2F/b", "other/a"] {
        let path = format!("/v1/exchanges/{path}");
        let (status, _) = server.ask("PUT", &path, json!({ "kind": "direct" })).await;
        assert_eq!(status, 201);
    }
    let names = |answer: &Value| -> Vec<String> {
        let exchanges = answer["exchanges"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        exchanges
            .map(|one| text(&one["namespace"]) + &text(&one["name"]))
            .collect()
    };
    let (_, page) = server.get("/v1/exchanges").await;
    assert_eq!(names(&page), ["/a", "/b"]);
    assert_eq!(page["next"], json!({ "namespace": "/", "name": "b" }));
    let (_, page) = server
        .get("/v1/exchanges?after_namespace=%2F&after=b")
        .await;
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["othera".to_owned()], &Value::Null)
    );
    let (_, page) = server.get("/v1/exchanges?namespace=other&limit=1").await;
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["othera".to_owned()], &Value::Null)
    );
    server.stop().await;
}
