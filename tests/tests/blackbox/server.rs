//! A server process over a folder of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to answer.
const READY: Duration = Duration::from_secs(90);

/// The ports that servers get: below those that the system gives to outgoing connections, or a
/// client that tries to come back to a killed server might be given the server's own port.
const PORTS: std::ops::Range<u32> = 12_000..32_000;

/// Configuration: the environment's name behind `STENTOR__`, and the value.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    settings: Vec<(String, String)>,
    pub(crate) kafka: SocketAddr,
    pub(crate) amqp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) sqs: SocketAddr,
    child: Child,
}

fn required(name: &str) -> PathBuf {
    PathBuf::from(
        std::env::var_os(name)
            .unwrap_or_else(|| panic!("{name} is not set: run these tests by `cargo xtask test`")),
    )
}

pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id() * 101;
    loop {
        let at = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
        let port = u16::try_from(PORTS.start + at).unwrap();
        if let Ok(free) = TcpListener::bind(("127.0.0.1", port)) {
            return free.local_addr().unwrap();
        }
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(settings: Settings<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [kafka, amqp, http, sqs] = std::array::from_fn(|_| free_address());
        let settings = settings
            .iter()
            .map(|(name, value)| (format!("STENTOR__{name}"), (*value).to_owned()));
        let settings: Vec<_> = settings.collect();
        let child = spawn(&folder, [kafka, amqp, http, sqs], &settings);
        let server = Self {
            folder,
            settings,
            kafka,
            amqp,
            http,
            sqs,
            child,
        };
        server.wait_ready();
        server
    }

    /// `kill -9`, and a new process over the same folder.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(
            &self.folder,
            [self.kafka, self.amqp, self.http, self.sqs],
            &self.settings,
        );
        self.wait_ready();
    }

    fn wait_ready(&self) {
        let deadline = Instant::now() + READY;
        loop {
            if self
                .request("GET", "/readyz", "")
                .is_some_and(|(status, _)| status == 200)
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the server is not ready after {READY:?}"
            );
            std::thread::yield_now();
        }
    }

    /// One HTTP request: status and body.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut socket = TcpStream::connect(self.http).ok()?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let status = answer.split_whitespace().nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Some((status, body.to_owned()))
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: u32) {
        let body = format!("{{\"name\":\"{name}\",\"partitions\":{partitions}}}");
        let (status, body) = self.request("POST", "/v1/topics", &body).unwrap();
        assert!(status == 200 || status == 201, "{status}: {body}");
    }

    /// First offset and end of each partition.
    pub(crate) fn offsets(&self, topic: &str) -> Vec<(u64, u64)> {
        let (_, body) = self
            .request("GET", &format!("/v1/topics/{topic}"), "")
            .unwrap();
        let topic: serde_json::Value = serde_json::from_str(&body).unwrap();
        let partitions = topic["partitions"].as_array().unwrap().iter();
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        partitions
            .map(|one| (number(&one["start"]), number(&one["end"])))
            .collect()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The most memory that the process has had resident so far, in bytes.
    pub(crate) fn resident_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

fn spawn(
    folder: &TempDir,
    [kafka, amqp, http, sqs]: [SocketAddr; 4],
    settings: &[(String, String)],
) -> Child {
    let mut log = std::fs::OpenOptions::new();
    let log = log
        .append(true)
        .create(true)
        .open(folder.path().join("log"));
    Command::new(required("STENTOR_BIN"))
        .arg("serve")
        .env("STENTOR__DATA_DIR", folder.path().join("data"))
        .env("STENTOR__KAFKA__LISTEN", kafka.to_string())
        .env("STENTOR__AMQP__LISTEN", amqp.to_string())
        .env("STENTOR__HTTP__LISTEN", http.to_string())
        .env("STENTOR__SQS__LISTEN", sqs.to_string())
        .env("STENTOR__GROUPS__INITIAL_REBALANCE_DELAY", "500ms")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(log.unwrap())
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("the server said:\n{log}");
        }
    }
}
