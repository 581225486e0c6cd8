//! A whole server in this process: start, use, stop, start again.

#![expect(clippy::disallowed_methods, reason = "files of its own")]

use std::path::Path;

use net::http::{Client, StatusCode};

use super::*;
use crate::config::Layers;

fn config(data_dir: &Path, set: &[&str]) -> Config {
    let mut all = vec![
        format!("data_dir={}", data_dir.display()),
        "http.listen=127.0.0.1:0".to_owned(),
        "kafka.listen=127.0.0.1:0".to_owned(),
        "sqs.listen=127.0.0.1:0".to_owned(),
        "amqp.listen=127.0.0.1:0".to_owned(),
        "groups.offsets_partitions=1".to_owned(),
    ];
    all.extend(set.iter().map(|set| (*set).to_owned()));
    let file = data_dir.join("stentor.toml");
    std::fs::write(&file, "").unwrap();
    Layers {
        file: Some(file),
        env: Vec::new(),
        set: all,
    }
    .load()
    .unwrap()
    .config
}

fn client(server: &Server) -> Client {
    let http = server
        .listeners
        .iter()
        .find(|l| l.name() == "http")
        .unwrap();
    let url = format!("http://{}", http.addr());
    Client::new(
        &url,
        None,
        server.ground.tasks.clone(),
        Duration::from_secs(10),
    )
    .unwrap()
}

/// Every metric that a server shows is in docs/operations/metrics.md: what the document is made
/// from may not overlook any.
fn assert_documented(metrics: &[u8]) {
    let document = include_str!("../../../docs/operations/metrics.md");
    let text = String::from_utf8_lossy(metrics);
    let shown: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert!(shown.len() > 30, "{text}");
    for (name, kind) in shown {
        let total = if kind == "counter" { "_total" } else { "" };
        let row = format!("| `{name}{total}` | {kind} |");
        assert!(document.contains(&row), "{row} is not documented");
    }
}

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path(), &[])).await.unwrap();
    let names: Vec<_> = server.listeners.iter().map(Listener::name).collect();
    assert_eq!(names, ["kafka", "amqp", "http", "sqs"]);
    let mut http = client(&server);
    assert_eq!(http.get("/readyz").await.unwrap().0, StatusCode::OK);
    let record = serde_json::json!({ "records": [{ "key": "k", "value": "kept" }] });
    let (status, _) = http
        .post_json("/v1/topics/t/records", &record)
        .await
        .unwrap();
    assert_eq!(status, StatusCode::OK);
    drop(http);
    server.stop(LIMIT).await.unwrap();

    let server = Server::start(config(dir.path(), &[])).await.unwrap();
    let mut http = client(&server);
    let tail = "/v1/topics/t/tail?from=earliest&follow=false";
    let (_, body) = http.get(tail).await.unwrap();
    assert!(
        String::from_utf8_lossy(&body).contains("\"value\":\"kept\""),
        "{body:?}"
    );
    let (_, store) = http.get("/v1/store").await.unwrap();
    assert!(
        String::from_utf8_lossy(&store).contains("\"clean\":true"),
        "{store:?}"
    );
    let (_, metrics) = http.get("/metrics").await.unwrap();
    assert_documented(&metrics);
    drop(http);
    server.stop(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path(), &[])).await.unwrap();
    let failure = Server::start(config(dir.path(), &[])).await.unwrap_err();
    assert_eq!(failure.exit, Exit::InUse);
    assert!(
        failure.message.contains(&dir.path().display().to_string()),
        "{failure}"
    );
    server.stop(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_refused_and_leaves_the_directory_in_order() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(config(one.path(), &[])).await.unwrap();
    let taken = format!("kafka.listen={}", server.listeners[0].addr());
    let failure = Server::start(config(two.path(), &[&taken]))
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::Address);
    let other = Server::start(config(two.path(), &[])).await.unwrap();
    assert!(other.broker.status().clean_start);
    other.stop(LIMIT).await.unwrap();
    server.stop(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_can_be_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let off = [
        "kafka.listen=off",
        "amqp.listen=off",
        "http.listen=off",
        "sqs.listen=off",
    ];
    let server = Server::start(config(dir.path(), &off)).await.unwrap();
    assert!(server.listeners.is_empty());
    server.stop(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("format"), "99\n").unwrap();
    let failure = Server::start(config(dir.path(), &[])).await.unwrap_err();
    assert_eq!(failure.exit, Exit::TooNew);
}

/// The status of a request whose `Host` is `host`.
async fn status(server: &Server, path: &str, host: &str, more: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let http = server.listeners.iter().find(|l| l.name() == "http");
    let mut peer = tokio::net::TcpStream::connect(http.unwrap().addr())
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n");
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_server_s_own_is_refused_where_no_token_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let set = ["http.hosts=[\"broker.example\"]"];
    let server = Server::start(config(dir.path(), &set)).await.unwrap();
    for (host, expected) in [
        ("localhost:8080", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:8080", "200"),
        ("Broker.example:80", "200"),
        ("rebound.example", "421"),
        ("localhost.rebound.example:8080", "421"),
        ("127.0.0.1.rebound.example", "421"),
    ] {
        let told = status(&server, "/v1/topics", host, "").await;
        assert_eq!(told, expected, "{host}");
    }
    assert_eq!(status(&server, "/healthz", "any.example", "").await, "200");
    server.stop(LIMIT).await.unwrap();

    // A page does not know the token, whatever it is called.
    let token = dir.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let set = [format!("http.token_file={}", token.display())];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let server = Server::start(config(dir.path(), &set)).await.unwrap();
    for (bearer, expected) in [
        ("", "401"),
        ("authorization: Bearer wrong\r\n", "401"),
        ("authorization: Bearer secret\r\n", "200"),
    ] {
        let told = status(&server, "/v1/topics", "any.example", bearer).await;
        assert_eq!(told, expected);
    }
    server.stop(LIMIT).await.unwrap();
}
