//! The HTTP server and client against each other and against raw bytes, over loopback.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Ledger, Millis, Tasks};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::config::{Config, Limits};
use crate::listen::{Listener, Net, Parts};

struct Rig {
    net: Net,
    listener: Listener,
    ledger: Ledger,
    gate: Arc<watch::Sender<u32>>,
}

fn routes(gate: &Arc<watch::Sender<u32>>) -> Routes {
    let (wait, follow) = (Arc::clone(gate), Arc::clone(gate));
    Routes::new()
        .get("/v1/topics", async |_| {
            Response::json(StatusCode::OK, &json!(["a", "b"]))
        })
        .get("/v1/topics/{name}", async |request: Request| {
            let show = request.query_param("show").unwrap_or_default();
            Response::text(StatusCode::OK, format!("{} {show}", request.param("name")))
        })
        .get("/v1/topics/special", async |_| {
            Response::text(StatusCode::OK, "literal")
        })
        .delete("/v1/topics/{name}", async |_| {
            Response::empty(StatusCode::NO_CONTENT)
        })
        .get("/files/{*path}", async |request: Request| {
            Response::text(StatusCode::OK, request.param("path"))
        })
        .post("/echo", async |request: Request| {
            match request.json::<Value>() {
                Ok(value) => Response::json(StatusCode::CREATED, &value),
                Err(refusal) => refusal,
            }
        })
        .put("/size", async |request: Request| {
            Response::text(StatusCode::OK, request.body.len().to_string())
        })
        .get("/wait", move |_| {
            let mut gate = wait.subscribe();
            async move {
                let _ = gate.wait_for(|value| *value > 0).await;
                Response::text(StatusCode::OK, "opened")
            }
        })
        .get("/follow", move |_| {
            let values = stream::unfold(follow.subscribe(), async |mut gate| {
                let value = *gate.borrow_and_update();
                (value < 3).then_some(())?;
                let _ = gate.changed().await;
                Some((Bytes::from(format!("{{\"n\":{value}}}\r\n")), gate))
            });
            async { Response::stream("application/x-ndjson", values) }
        })
        .get("/large", async |_| {
            Response::text(StatusCode::OK, "x".repeat(300_000))
        })
        .get("/flood", async |_| {
            let piece = Bytes::from(vec![b'x'; 64 << 10]);
            Response::stream("text/plain", stream::repeat(piece))
        })
}

async fn start_with(limits: Limits, http: HttpConfig, ledger: Ledger) -> Rig {
    let gate = Arc::new(watch::Sender::new(0));
    let net = Net::new(Parts {
        ledger: ledger.clone(),
        ..crate::listen::tests::parts()
    });
    let config = Config {
        limits,
        ..Config::at("127.0.0.1:0")
    };
    let listener = net
        .serve_http("http", routes(&gate), &config, &http)
        .await
        .unwrap()
        .unwrap();
    Rig {
        net,
        listener,
        ledger,
        gate,
    }
}

async fn start() -> Rig {
    start_with(
        Limits::default(),
        HttpConfig::default(),
        Ledger::new(64 << 20),
    )
    .await
}

impl Rig {
    fn client(&self) -> Client {
        let url = format!("http://{}", self.listener.addr());
        Client::new(&url, None, Tasks::current(), Duration::from_secs(10)).unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.addr()).await.unwrap()
    }

    /// Sends raw bytes and returns all that comes until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut peer = self.connect().await;
        peer.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = peer.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn routes_by_method_and_path_and_keeps_the_connection() {
    let rig = start().await;
    let mut client = rig.client();
    for (path, status, body) in [
        ("/v1/topics", 200, r#"["a","b"]"#),
        ("/v1/topics/a%2Fb?show=x+y&z", 200, "a/b x y"),
        ("/v1/topics/special", 200, "literal"),
        ("/files/a/b%20c", 200, "a/b c"),
        ("/nowhere", 404, "nothing is at this path"),
        ("/v1/topics/", 404, "nothing is at this path"),
        ("/v1/topics/%zz", 400, "the path is malformed"),
        ("/echo", 405, "this path takes POST"),
    ] {
        let (got, text) = client.get(path).await.unwrap();
        assert_eq!(
            (got.as_u16(), &text[..]),
            (status, body.as_bytes()),
            "{path}"
        );
    }
    assert_eq!(
        client.delete("/v1/topics/a").await.unwrap().0,
        StatusCode::NO_CONTENT
    );
    let value = json!({"key": [1, 2, 3]});
    let (status, body) = client.post_json("/echo", &value).await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), value);
    let none = (HeaderMap::new(), Bytes::new());
    let answer = client
        .request(Method::HEAD, "/v1/topics", none.0, none.1)
        .await
        .unwrap();
    assert_eq!(answer.headers["content-length"], "9");
    assert!(answer.bytes().await.unwrap().is_empty());
    assert_eq!(rig.net.connections(), 1, "all of it by one connection");
}

#[tokio::test]
async fn answers_bad_json_bad_methods_and_options() {
    let rig = start().await;
    let mut client = rig.client();
    let send = |method, body: &'static str| {
        (
            method,
            "/echo",
            HeaderMap::new(),
            Bytes::from_static(body.as_bytes()),
        )
    };
    let (method, path, headers, body) = send(Method::POST, "{\"a\":");
    let answer = client.request(method, path, headers, body).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let text = answer.bytes().await.unwrap();
    assert!(
        String::from_utf8_lossy(&text).contains("line 1"),
        "{text:?}"
    );
    let (method, path, headers, body) = send(Method::OPTIONS, "");
    let answer = client.request(method, path, headers, body).await.unwrap();
    assert_eq!(
        (answer.status, &answer.headers["allow"]),
        (StatusCode::NO_CONTENT, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn caps_bodies_whether_announced_or_chunked() {
    let http = HttpConfig {
        body_bytes_max: ByteSize(1000),
        ..HttpConfig::default()
    };
    let rig = start_with(Limits::default(), http, Ledger::new(1 << 20)).await;
    let announced = "PUT /size HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n";
    let answer = rig.raw(announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
    let chunked = "PUT /size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = rig.raw(format!("{chunked}{chunk}{chunk}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let close = "PUT /size HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let fits = format!("{close}transfer-encoding: chunked\r\n\r\n{chunk}1\r\ny\r\n0\r\n\r\n");
    let answer = rig.raw(fits.as_bytes()).await;
    assert!(answer.ends_with("\r\n513"), "{answer}");
    assert_eq!(rig.ledger.used(), 0);
    assert!(rig.ledger.peak() <= 1000);
}

#[tokio::test]
async fn an_answer_is_charged_until_it_is_sent() {
    let rig = start().await;
    let answer = rig
        .raw(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.len() > 300_000);
    assert!(rig.ledger.peak() >= 300_000, "{}", rig.ledger.peak());
    assert_eq!(rig.ledger.used(), 0);
}

#[tokio::test]
async fn refuses_a_body_that_the_budget_has_no_room_for() {
    let ledger = Ledger::new(10_000);
    let rig = start_with(Limits::default(), HttpConfig::default(), ledger.clone()).await;
    let _held = ledger.try_charge(9_500).unwrap();
    let head = "PUT /size HTTP/1.1\r\nhost: x\r\ncontent-length: 600\r\n\r\n";
    let answer = rig
        .raw(format!("{head}{}", "x".repeat(600)).as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn refuses_too_many_headers_and_nonsense() {
    let http = HttpConfig {
        headers_max: 10,
        ..HttpConfig::default()
    };
    let rig = start_with(Limits::default(), http, Ledger::new(1 << 20)).await;
    let headers = "a: b\r\n".repeat(11);
    let answer = rig
        .raw(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(100 << 10));
    assert!(rig.raw(long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    assert!(
        rig.raw(b"\x16\x03\x01 not http\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn closes_when_headers_dribble_and_when_idle() {
    let http = HttpConfig {
        header_time_max: Millis(50),
        ..HttpConfig::default()
    };
    let rig = start_with(Limits::default(), http, Ledger::new(1 << 20)).await;
    assert_eq!(rig.raw(b"GET / HTT").await, "");
    assert_eq!(rig.raw(b"").await, "");

    let limits = Limits {
        idle_max: Millis(50),
        ..Limits::default()
    };
    let rig = start_with(limits, HttpConfig::default(), Ledger::new(1 << 20)).await;
    let answer = rig.raw(b"GET /v1/topics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with(r#"["a","b"]"#), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let limits = Limits {
        frame_time_max: Millis(50),
        ..Limits::default()
    };
    let rig = start_with(limits, HttpConfig::default(), Ledger::new(1 << 20)).await;
    let head = "PUT /size HTTP/1.1\r\nhost: x\r\ncontent-length: 600\r\n\r\nhalf";
    assert!(rig.raw(head.as_bytes()).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_and_its_stream_not_polled() {
    let limits = Limits {
        idle_max: Millis(50),
        ..Limits::default()
    };
    let rig = start_with(limits, HttpConfig::default(), Ledger::new(1 << 20)).await;
    let mut peer = rig.connect().await;
    peer.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let live = rig.net.clone();
    // The peer does not read: the connection must go by itself.
    timeout(Duration::from_secs(10), async {
        while live.connections() == 0 {
            tokio::task::yield_now().await;
        }
        while live.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn streams_lines_as_they_come() {
    let rig = start().await;
    let mut client = rig.client();
    let answer = client
        .request(Method::GET, "/follow", HeaderMap::new(), Bytes::new())
        .await
        .unwrap();
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let mut lines = answer.lines();
    for n in 1..=3 {
        rig.gate.send_replace(n);
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!(line, format!("{{\"n\":{}}}", n - 1));
    }
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_stream_is_dropped_when_its_reader_goes() {
    let rig = start().await;
    let mut client = rig.client();
    let answer = client
        .request(Method::GET, "/follow", HeaderMap::new(), Bytes::new())
        .await
        .unwrap();
    assert_eq!(rig.gate.receiver_count(), 1);
    drop((answer, client));
    timeout(Duration::from_secs(10), rig.gate.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_cuts_what_does_not() {
    let limits = Limits {
        drain_max: Millis(2_000),
        ..Limits::default()
    };
    let rig = start_with(limits, HttpConfig::default(), Ledger::new(1 << 20)).await;
    let (mut client, mut endless) = (rig.client(), rig.client());
    let waiting = async {
        let waits = client.get("/wait");
        let opens = async {
            while rig.gate.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
            let drain = rig.net.drain(Duration::from_secs(30));
            let open = async { rig.gate.send_replace(1) };
            tokio::join!(drain, open).0
        };
        tokio::join!(waits, opens)
    };
    let (answer, left) = waiting.await;
    assert_eq!(
        (answer.unwrap().1, left),
        (Bytes::from_static(b"opened"), 0)
    );
    assert!(
        endless.get("/v1/topics").await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn serves_and_asks_under_tls() {
    let pki = crate::tls::tests::Pki::new();
    let gate = Arc::new(watch::Sender::new(0));
    let net = Net::new(crate::listen::tests::parts());
    let config = Config {
        tls: Some(pki.server()),
        ..Config::at("127.0.0.1:0")
    };
    let http = HttpConfig::default();
    let listener = net
        .serve_http("http", routes(&gate), &config, &http)
        .await
        .unwrap()
        .unwrap();
    let url = format!("https://localhost:{}", listener.addr().port());
    let tls = Some(pki.client(None));
    let mut client = Client::new(&url, tls, Tasks::current(), Duration::from_secs(10)).unwrap();
    assert_eq!(client.get("/v1/topics").await.unwrap().0, StatusCode::OK);
    assert!(Client::new(&url, None, Tasks::current(), Duration::ZERO).is_err());
}

#[tokio::test]
async fn the_client_says_why_it_cannot() {
    let tasks = Tasks::current();
    for url in ["localhost", "ftp://x", "http://"] {
        let client = Client::new(url, None, tasks.clone(), Duration::from_secs(1));
        assert!(matches!(client, Err(crate::Error::Url(_))), "{url}");
    }
    let rig = start().await;
    let url = format!("http://{}", rig.listener.addr());
    let mut client = Client::new(&url, None, tasks, Duration::from_millis(20)).unwrap();
    assert!(matches!(
        client.get("/wait").await,
        Err(crate::Error::Timeout { millis: 20 })
    ));
}
