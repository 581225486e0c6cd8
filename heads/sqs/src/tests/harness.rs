//! A head over an engine in a folder, without sockets.
//!
//! Time stands still unless a test moves it, as in the tests of the Kafka head: the runtime is
//! paused, and a task on the blocking pool keeps it from moving by itself while the disk is waited
//! for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Clock, Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use bytes::Bytes;
use net::http::{Body, HeaderMap, HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};
use store::{FileDisk, Store};

use crate::{Config, Parts, Sqs, routes};

/// The wall time at which every server starts, in milliseconds since 1970.
pub(super) const START_MS: i64 = 1_700_000_000_000;

pub(super) struct Server {
    sqs: Sqs,
    pub(super) broker: Broker,
    tasks: Tasks,
    /// Dropped to let the time go.
    held: std::sync::mpsc::SyncSender<()>,
}

/// Runs `test` against a fresh server.
pub(super) fn on_server(test: impl AsyncFnOnce(&Server)) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), Config::default(), test);
}

/// The same over a folder that may have been used before.
pub(super) fn run(folder: &Path, config: Config, test: impl AsyncFnOnce(&Server)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::open(folder, config);
        server.advance(Duration::ZERO).await;
        test(&server).await;
        server.close().await;
    });
}

impl Server {
    fn open(folder: &Path, mut config: Config) -> Self {
        config.hosts.push("sqs.test".to_owned());
        let (clock, rng) = (Clock::runtime(START_MS), Rng::seeded(7));
        let (tasks, metrics) = (Tasks::current(), Metrics::default());
        let (held, hold) = std::sync::mpsc::sync_channel(0);
        tasks.spawn_blocking("test.hold_time", move || {
            let _: Result<(), _> = hold.recv();
        });
        let store = store::Config {
            wal_file_bytes: ByteSize(4 << 20),
            ..store::Config::default()
        };
        let parts = store::Parts {
            disk: Arc::new(FileDisk::new(folder).unwrap()),
            clock: clock.clone(),
            ledger: Ledger::new(256 << 20),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
        };
        let broker = Broker::open(broker::Parts {
            store: Store::open(store, parts).unwrap(),
            meta: broker::meta::Meta::open(&folder.join("meta"), rng.clone()).unwrap(),
            clock,
            rng: rng.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            config: broker::Config::default(),
            exchanges: broker::exchange::Config::default(),
            queues: broker::queue::Config::default(),
            groups: broker::group::Config {
                offsets_partitions: 1,
                ..broker::group::Config::default()
            },
        })
        .unwrap();
        let sqs = Sqs::new(Parts {
            config,
            credentials: None,
            broker: broker.clone(),
            rng,
            tasks: tasks.clone(),
            metrics,
        });
        Self {
            sqs: sqs.unwrap(),
            broker,
            tasks,
            held,
        }
    }

    /// Moves the time.
    pub(super) async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn close(self) {
        self.broker.close().await.unwrap();
        self.broker.release();
        let Self {
            sqs,
            broker,
            tasks,
            held,
            ..
        } = self;
        drop((sqs, broker, held));
        tasks.signal();
        // No deadline: time stands still as long as there is something to do.
        while tasks.live() > 0 {
            tokio::task::yield_now().await;
        }
        tasks.join_threads();
    }

    async fn send(&self, request: Request) -> (StatusCode, HeaderMap, Bytes) {
        let response = routes::answer(self.sqs.0.clone(), request).await;
        match response.body {
            Body::Full(bytes) => (response.status, response.headers, bytes),
            Body::Stream(_) => panic!("a stream"),
        }
    }

    /// Asks in JSON: status and answer.
    pub(super) async fn ask(&self, action: &str, members: Value) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        let target = HeaderValue::try_from(format!("AmazonSQS.{action}")).unwrap();
        headers.insert("x-amz-target", target);
        headers.insert("host", HeaderValue::from_static("sqs.test"));
        let body = members.to_string().into();
        let request = Request::new(Method::POST, "/", headers, body);
        let (status, _, body) = self.send(request).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }

    /// Asks for what must go well.
    pub(super) async fn ok(&self, action: &str, members: Value) -> Value {
        let (status, answer) = self.ask(action, members.clone()).await;
        assert_eq!(status, 200, "{action} {members}: {answer}");
        answer
    }

    /// Asks for what must not: the error's name and text.
    pub(super) async fn fails(&self, action: &str, members: Value) -> (String, String) {
        let (status, answer) = self.ask(action, members.clone()).await;
        assert_ne!(status, 200, "{action} {members}: {answer}");
        let name = answer["__type"].as_str().unwrap();
        let name = name.strip_prefix("com.amazonaws.sqs#").unwrap().to_owned();
        (name, answer["message"].as_str().unwrap().to_owned())
    }

    /// Asks in Query: status and XML.
    pub(super) async fn query(&self, target: &str, form: &str) -> (u16, String) {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("sqs.test"));
        let request = Request::new(Method::POST, target, headers, form.to_owned().into());
        let (status, _, body) = self.send(request).await;
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// Makes a queue; its URL.
    pub(super) async fn queue(&self, name: &str, attributes: Value) -> String {
        let made = self
            .ok(
                "CreateQueue",
                json!({"QueueName": name, "Attributes": attributes}),
            )
            .await;
        made["QueueUrl"].as_str().unwrap().to_owned()
    }

    /// One attribute of a queue.
    pub(super) async fn attribute(&self, url: &str, name: &str) -> String {
        let members = json!({"QueueUrl": url, "AttributeNames": [name]});
        let answer = self.ok("GetQueueAttributes", members).await;
        answer["Attributes"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Messages ready, in flight, delayed.
    pub(super) async fn counts(&self, url: &str) -> [String; 3] {
        [
            self.attribute(url, "ApproximateNumberOfMessages").await,
            self.attribute(url, "ApproximateNumberOfMessagesNotVisible")
                .await,
            self.attribute(url, "ApproximateNumberOfMessagesDelayed")
                .await,
        ]
    }

    /// Sends a body to a standard queue.
    pub(super) async fn put(&self, url: &str, body: &str) -> Value {
        self.ok("SendMessage", json!({"QueueUrl": url, "MessageBody": body}))
            .await
    }

    /// Sends a body to a group of a FIFO queue.
    pub(super) async fn put_in(&self, url: &str, group: &str, body: &str) -> Value {
        let members = json!({"QueueUrl": url, "MessageBody": body, "MessageGroupId": group,
            "MessageDeduplicationId": format!("{group}-{body}")});
        self.ok("SendMessage", members).await
    }

    /// Receives up to ten messages with everything about them.
    pub(super) async fn take(&self, url: &str) -> Vec<Value> {
        let members = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"]});
        let answer = self.ok("ReceiveMessage", members).await;
        answer["Messages"].as_array().cloned().unwrap_or_default()
    }

    pub(super) async fn delete(&self, url: &str, message: &Value) {
        let members = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
        self.ok("DeleteMessage", members).await;
    }
}

/// The bodies of messages.
pub(super) fn bodies(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .filter_map(|message| message["Body"].as_str())
        .collect()
}
