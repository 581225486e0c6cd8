//! The HTTP server and client against each other and against raw bytes, over loopback.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// Pieces of a flood that were asked for.
    flooded: Arc<AtomicUsize>,
}

const PIECE: usize = 64 << 10;

fn routes(gate: &Arc<watch::Sender<u32>>, flooded: &Arc<AtomicUsize>) -> Routes {
    let flooded = Arc::clone(flooded);
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
        .get("/flood", move |_| {
            let flooded = Arc::clone(&flooded);
            let pieces = stream::repeat_with(move || {
                flooded.fetch_add(1, Ordering::SeqCst);
                Bytes::from(vec![b'x'; PIECE])
            });
            async { Response::stream("text/plain", pieces) }
        })
        .get_small("/healthz", async |_| Response::text(StatusCode::OK, "well"))
        .put("/closed", async |_| Response::text(StatusCode::OK, "in"))
        .guarded(|request| {
            let is_closed = request.path == "/closed" && request.header("key").is_none();
            is_closed.then(|| Response::text(StatusCode::UNAUTHORIZED, "no key"))
        })
}

async fn start_with(limits: Limits, http: HttpConfig, ledger: Ledger) -> Rig {
    let gate = Arc::new(watch::Sender::new(0));
    let flooded = Arc::default();
    let net = Net::new(Parts {
        ledger: ledger.clone(),
        ..crate::listen::tests::parts()
    });
    let config = Config {
        limits,
        ..Config::at("127.0.0.1:0")
    };
    let listener = net
        .serve_http("http", routes(&gate, &flooded), &config, &http)
        .await
        .unwrap()
        .unwrap();
    Rig {
        net,
        listener,
        ledger,
        gate,
        flooded,
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
    // Of the third the headers' read, which brought most of the body, and the body.
    assert!(rig.ledger.peak() <= 2000, "{}", rig.ledger.peak());
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
    let limits = Limits {
        memory_wait_max: Millis(50),
        ..Limits::default()
    };
    let ledger = Ledger::new(100_000);
    let rig = start_with(limits, HttpConfig::default(), ledger.clone()).await;
    let _held = ledger.try_charge(85_000).unwrap();
    let head = "PUT /size HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n";
    let answer = rig
        .raw(format!("{head}{}", "x".repeat(20_000)).as_bytes())
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
    // The request is there before the server has accepted: however slow the machine, it is read
    // before the server finds the connection idle.
    let mut peer = std::net::TcpStream::connect(rig.listener.addr()).unwrap();
    peer.write_all(b"GET /v1/topics HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut answer = String::new();
    let mut peer = TcpStream::from_std(peer).unwrap();
    peer.read_to_string(&mut answer).await.unwrap();
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

impl Rig {
    /// A peer that has asked for a flood and does not read; more of it is not made any more.
    async fn stalled_reader(&self) -> TcpStream {
        let mut peer = self.connect().await;
        peer.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let (mut flooded, mut quiet) = (0, 0);
        let stalled = async {
            // As long as the peer's buffers take something it is written in the next turn.
            while flooded == 0 || quiet < 10_000 {
                tokio::task::yield_now().await;
                let now = self.flooded.load(Ordering::SeqCst);
                quiet = if now == flooded { quiet + 1 } else { 0 };
                flooded = now;
            }
        };
        timeout(Duration::from_secs(10), stalled).await.unwrap();
        peer
    }

    /// Waits until there are no connections.
    async fn gone(&self) {
        timeout(Duration::from_secs(10), async {
            while self.net.connections() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
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
    while rig.flooded.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // The peer does not read: the connection must go by itself.
    rig.gone().await;
    // What the system's buffers take, which is some MiB; not what can be made meanwhile.
    let flooded = rig.flooded.load(Ordering::SeqCst) * PIECE;
    assert!(flooded < 64 << 20, "{flooded} bytes were made");
    assert!(rig.ledger.peak() < 1 << 20);
    assert_eq!(rig.ledger.used(), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_charged_and_gives_way() {
    let limits = Limits {
        hold_max: Millis(50),
        ..Limits::default()
    };
    let rig = start_with(limits, HttpConfig::default(), Ledger::new(1 << 20)).await;
    let peer = rig.stalled_reader().await;
    assert!(rig.ledger.used() >= PIECE, "{} bytes", rig.ledger.used());
    assert_eq!(rig.net.connections(), 1, "while nobody needs the memory");
    let all = rig.ledger.charge(1 << 20);
    let all = timeout(Duration::from_secs(10), all).await.unwrap();
    rig.gone().await;
    drop((all, peer));
}

#[tokio::test]
async fn small_answers_are_given_however_little_memory_is_left_and_others_refused() {
    let limits = Limits {
        hold_max: Millis(0),
        memory_wait_max: Millis(50),
        ..Limits::default()
    };
    let http = HttpConfig {
        memory_max: ByteSize(PIECE as u64),
        ..HttpConfig::default()
    };
    let rig = start_with(limits, http, Ledger::new(1 << 20)).await;
    let peer = rig.stalled_reader().await;
    let mut client = rig.client();
    assert_eq!(client.get("/healthz").await.unwrap().1, "well");
    let (status, _) = client.get("/v1/topics").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    drop(peer);
    let waits = timeout(Duration::from_secs(10), async {
        while rig.client().get("/v1/topics").await.unwrap().0 != StatusCode::OK {}
    });
    waits.await.unwrap();
}

#[tokio::test]
async fn who_may_not_come_in_is_told_before_the_body() {
    let rig = start().await;
    let head = "host: x\r\ncontent-length: 1000000\r\n";
    for (request, status) in [
        ("PUT /closed", "401"),
        ("PUT /nowhere", "404"),
        ("POST /v1/topics", "405"),
    ] {
        let request = format!("{request} HTTP/1.1\r\n{head}\r\n");
        let answer = timeout(Duration::from_secs(10), rig.raw(request.as_bytes()));
        let answer = answer.await.expect("the body is not waited for");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let with_key = "PUT /closed HTTP/1.1\r\nhost: x\r\nkey: k\r\nconnection: close\r\n\r\n";
    assert!(rig.raw(with_key.as_bytes()).await.ends_with("in"));
}

#[tokio::test]
async fn http_has_its_share_of_memory_and_a_body_that_does_not_come_gives_way() {
    let http = HttpConfig {
        memory_max: ByteSize(100_000),
        ..HttpConfig::default()
    };
    let limits = Limits {
        hold_max: Millis(50),
        ..Limits::default()
    };
    let rig = start_with(limits, http, Ledger::new(1 << 20)).await;
    let half = |length: usize, sent: usize| {
        let head = format!("PUT /size HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        head + &"x".repeat(sent)
    };
    let answer = rig.raw(half(100_001, 0).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut stalled = rig.connect().await;
    let bytes = half(90_000, 80_000);
    stalled.write_all(bytes.as_bytes()).await.unwrap();
    let whole =
        "PUT /size HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n";
    let whole = whole.to_owned() + &"x".repeat(60_000);
    let answer = timeout(Duration::from_secs(8), rig.raw(whole.as_bytes())).await;
    let answer = answer.expect("sooner than its patience");
    assert!(answer.ends_with("60000"), "{answer}");
    // Bodies, and what of them came with the headers.
    let peak = rig.ledger.peak();
    assert!(peak <= 100_000 + (64 << 10), "{peak} bytes");
    let mut told = Vec::new();
    let _ = stalled.read_to_end(&mut told).await;
    assert!(told.is_empty(), "it was closed");
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
        drain_max: Millis(300),
        ..Limits::default()
    };
    let rig = start_with(limits, HttpConfig::default(), Ledger::new(1 << 20)).await;
    let (mut client, mut endless) = (rig.client(), rig.client());
    let follow = endless.request(Method::GET, "/follow", HeaderMap::new(), Bytes::new());
    let mut lines = follow.await.unwrap().lines();
    let waiting = async {
        let waits = client.get("/wait");
        let opens = async {
            while rig.gate.receiver_count() < 2 {
                tokio::task::yield_now().await;
            }
            // The gate opens before the server sees the drain: what it opens ends in time.
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
    assert_eq!(rig.gate.receiver_count(), 0, "the endless stream is gone");
    let mut cut = false;
    while let Some(line) = lines.next().await {
        cut |= line.is_err();
    }
    assert!(cut, "its reader is not told that it was all");
    let mut late = rig.client();
    assert!(
        late.get("/v1/topics").await.is_err(),
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
        .serve_http("http", routes(&gate, &Arc::default()), &config, &http)
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
