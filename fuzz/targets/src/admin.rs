//! The HTTP interface over a socket: any bytes are answered in HTTP, or the connection ends.

use std::cell::RefCell;
use std::time::Duration;

use head_admin::{Admin, Config, Parts};
use net::http::HttpConfig;
use net::{Listener, Net};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::Engine;

/// The longest that an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

thread_local! {
    static SERVER: RefCell<Option<(Engine, Net, Listener)>> = const { RefCell::new(None) };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    SERVER.with_borrow_mut(|server| {
        let (engine, _, listener) = server.get_or_insert_with(open);
        let addr = listener.addr();
        let answer = engine.runtime.block_on(async {
            let mut peer = TcpStream::connect(addr).await.unwrap();
            // The server may hang up in the middle.
            let _ = peer.write_all(data).await;
            let _ = peer.shutdown().await;
            let mut answer = Vec::new();
            // A tail that is followed ends when the client goes; anything else by itself.
            let follows = data.windows(5).any(|part| part == b"/tail");
            let read = async {
                if follows {
                    peer.read_buf(&mut answer).await
                } else {
                    peer.read_to_end(&mut answer).await
                }
            };
            let read = tokio::time::timeout(ANSWER_MAX, read).await;
            let _ = read.expect("an answer comes, and ends when the question does");
            answer
        });
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "not an answer"
        );
    });
}

fn open() -> (Engine, Net, Listener) {
    let engine = Engine::new(false);
    let admin = Admin::new(Parts {
        config: Config::default(),
        token: None,
        broker: engine.broker.clone(),
        metrics: engine.metrics.clone(),
    });
    let net = Net::new(net::Parts {
        clock: engine.clock.clone(),
        ledger: engine.ledger.clone(),
        tasks: engine.tasks.clone(),
        metrics: net::Metrics::new(&engine.metrics),
    });
    let config = net::Config::at("127.0.0.1:0");
    let (routes, http) = (admin.routes(), HttpConfig::default());
    let listener = engine
        .runtime
        .block_on(net.serve_http("http", routes, &config, &http));
    (engine, net, listener.unwrap().unwrap())
}

/// A request to each kind of path.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let with = |method: &str, path: &str, body: &str| {
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let requests = [
        get("/healthz"),
        get("/v1/topics"),
        get("/v1/topics/t?x=%41"),
        get("/v1/topics/t/records?partition=0&offset=0&max_bytes=100"),
        get("/v1/topics/t/tail?from=earliest&follow=false"),
        get("/v1/groups/g"),
        get("/v1/queues?namespace=%2F&after=a&limit=2"),
        get("/v1/queues/%2F/q/peek?from=1&limit=2&encoding=base64"),
        get("/v1/exchanges/%2F/e"),
        with(
            "PUT",
            "/v1/queues/%2F/q",
            "{\"lanes\":2,\"lease_ms\":5,\"dead_letter\":{\"exchange\":\"e\",\"routing_key\":\"k\"}}",
        ),
        with("POST", "/v1/queues/%2F/q/purge", "{\"all\":true}"),
        with("DELETE", "/v1/queues/%2F/q?if_empty=true", ""),
        with(
            "PUT",
            "/v1/exchanges/%2F/e",
            "{\"kind\":\"delayed:consistent-hash\",\"hash_header\":\"h\"}",
        ),
        with(
            "POST",
            "/v1/exchanges/%2F/e/bind",
            "{\"queue\":\"q\",\"key\":\"k\",\"arguments\":{\"a\":{\"base64\":\"AA==\"}}}",
        ),
        with(
            "POST",
            "/v1/topics",
            "{\"name\":\"t\",\"partitions\":2,\"config\":{\"retention.ms\":\"5\"}}",
        ),
        with(
            "POST",
            "/v1/topics/t/records",
            "{\"records\":[{\"key\":\"k\",\"value\":\"v\",\"partition\":0}]}",
        ),
        with(
            "PATCH",
            "/v1/topics/t/config",
            "{\"set\":{\"retention.ms\":\"6\"}}",
        ),
        with(
            "PUT",
            "/v1/groups/g/offsets",
            "{\"offsets\":[{\"topic\":\"t\",\"partition\":0,\"offset\":1}]}",
        ),
        with("PUT", "/v1/users/u", "{\"password\":\"p\"}"),
        with("DELETE", "/v1/users/u", ""),
    ];
    requests.map(String::into_bytes).to_vec()
}
