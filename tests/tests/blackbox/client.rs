//! A client program of `tests/clients/`: options in, one line of JSON per event out.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Confluent,
    Kcat,
    KafkaJs,
    KafkaPython,
    Aiokafka,
    Java,
    Franz,
    Sarama,
}

/// Where `cargo xtask test` has installed the clients.
pub(crate) fn installed() -> PathBuf {
    let path = std::env::var_os("STENTOR_CLIENTS");
    PathBuf::from(path.expect("STENTOR_CLIENTS is not set: run these tests by `cargo xtask test`"))
}

/// Notes for the closing table of `cargo xtask test` what was run: one line each.
pub(crate) fn report(name: &str, what: &str) {
    let Some(path) = std::env::var_os("STENTOR_REPORT") else {
        return;
    };
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.append(true).create(true).open(path).unwrap();
    file.write_all(format!("{name}\t{what}\n").as_bytes())
        .unwrap();
}

impl Kind {
    /// Its name in the closing table of `cargo xtask test`.
    fn name(self) -> &'static str {
        match self {
            Self::Confluent => "confluent-kafka",
            Self::Kcat => "kcat",
            Self::KafkaJs => "KafkaJS",
            Self::KafkaPython => "kafka-python",
            Self::Aiokafka => "aiokafka",
            Self::Java => "Java's client",
            Self::Franz => "franz-go",
            Self::Sarama => "sarama",
        }
    }

    fn command(self) -> Command {
        let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients");
        let clients = installed();
        let python = clients.join("python/bin/python");
        let script = |program: PathBuf, script: &str| {
            let mut command = Command::new(program);
            command.arg(sources.join(script));
            command
        };
        match self {
            Self::Confluent => script(python, "python/confluent.py"),
            Self::KafkaPython => script(python, "python/kafka_python.py"),
            Self::Aiokafka => script(python, "python/aio.py"),
            Self::Kcat => script(python, "kcat/kcat.py"),
            Self::KafkaJs => {
                let mut command = script(PathBuf::from("node"), "kafkajs/client.js");
                command.env("STENTOR_NODE_MODULES", clients.join("kafkajs/node_modules"));
                command
            }
            Self::Java => {
                let jars = clients.join("java/lib/*");
                let mut command = Command::new("java");
                let path = format!("{}:{}", clients.join("java").display(), jars.display());
                command.args(["-cp", &path, "Client"]);
                command
            }
            Self::Franz => Command::new(clients.join("go/franz")),
            Self::Sarama => Command::new(clients.join("go/sarama")),
        }
    }
}

/// A running client.
pub(crate) struct Client {
    kind: Kind,
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Value>,
    /// What it has said so far, but for what was taken.
    pub(crate) seen: Vec<Value>,
    /// How often it has said each kind of event.
    counts: HashMap<String, usize>,
}

impl Client {
    pub(crate) fn start(kind: Kind, action: &str, options: &Value) -> Self {
        let mut child = kind
            .command()
            .args([action, &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{kind:?} cannot be started: {error}"));
        report(kind.name(), action);
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, events) = sync_channel(100_000);
        std::thread::Builder::new()
            .spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    if let Ok(event) = serde_json::from_str(&line)
                        && sender.send(event).is_err()
                    {
                        return;
                    }
                }
            })
            .unwrap();
        let input = child.stdin.take();
        Self {
            kind,
            child,
            input,
            events,
            seen: Vec::new(),
            counts: HashMap::new(),
        }
    }

    fn note(&mut self, event: Value) {
        let kind = event["e"].as_str().unwrap_or_default().to_owned();
        *self.counts.entry(kind).or_default() += 1;
        self.seen.push(event);
    }

    /// How often it has said this kind of event.
    pub(crate) fn said(&self, kind: &str) -> usize {
        self.counts.get(kind).copied().unwrap_or_default()
    }

    pub(crate) fn say(&mut self, line: &str) {
        // A client that has ended already does not listen any more; what it said is checked.
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{line}");
            let _ = input.flush();
        }
    }

    /// Nothing more is going to be said to it.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits until what it has said is enough.
    pub(crate) fn until(&mut self, what: &str, enough: impl Fn(&[Value]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.seen) {
            self.hear(what, deadline);
        }
    }

    /// Waits until it has said so many events of this kind.
    pub(crate) fn until_said(&mut self, kind: &str, wanted: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.said(kind) < wanted {
            self.hear(kind, deadline);
        }
    }

    /// Takes what it has said so far.
    pub(crate) fn take(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.seen)
    }

    fn hear(&mut self, what: &str, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(event) => self.note(event),
            Err(RecvTimeoutError::Timeout) => self.give_up(what, "in time"),
            Err(RecvTimeoutError::Disconnected) => self.give_up(what, "before it ended"),
        }
    }

    fn give_up(&self, what: &str, when: &str) -> ! {
        let last: Vec<_> = self.seen.iter().rev().take(5).collect();
        let count = self.seen.len();
        panic!(
            "{:?}: not {what} {when}; {count} events, the last {last:?}",
            self.kind
        )
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.hang_up();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => self.note(event),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.give_up("ended", "in time"),
            }
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{:?} ended with {status}", self.kind);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often an event of this kind was seen.
pub(crate) fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["e"] == kind).count()
}

/// The values of the records seen.
pub(crate) fn values(events: &[Value]) -> Vec<String> {
    let records = events.iter().filter(|event| event["e"] == "record");
    records.map(|event| text(&event["v"])).collect()
}

fn text(value: &Value) -> String {
    let bytes = BASE64.decode(value.as_str().unwrap_or_default()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The partitions a consumer says it holds now.
pub(crate) fn held(events: &[Value]) -> usize {
    let last = events.iter().rev().find(|event| event["e"] == "assigned");
    last.and_then(|event| event["p"].as_array())
        .map_or(0, Vec::len)
}

/// Produces the values `range` to four partitions in turn, and checks that all were acknowledged.
pub(crate) fn produce(kind: Kind, options: &Value, range: std::ops::Range<usize>) {
    let total = range.len();
    let mut client = Client::start(kind, "produce", options);
    for i in range {
        let encode = |text: String| BASE64.encode(text);
        let record = json!({
            "i": i, "p": i % 4, "k": encode(format!("key-{i}")), "v": encode(format!("value-{i}")),
            "h": [["name", encode(format!("header-{i}"))]],
        });
        client.say(&record.to_string());
    }
    let events = client.end();
    assert_eq!(
        count(&events, "ack"),
        total,
        "{kind:?}: {:?}",
        events.last()
    );
    assert_eq!(count(&events, "fail"), 0, "{kind:?}");
}
