//! A server without sockets and clients that speak bytes to it.
//!
//! Time stands still unless a test moves it: the runtime is paused, and a task on the blocking
//! pool keeps it from moving by itself while the disk is waited for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use base::{ByteSize, Clock, Ledger, Metrics, Rng, Tasks};
use broker::{Broker, NewTopic};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use kafka_wire::{ApiKey, Decoder, RequestHeader};
use net::head::{Close, Head, Lane, Peer};
use net::testing::{Asked, Script};
use store::{FileDisk, Store};

use super::messages::Ask;
use crate::codec::Reply;
use crate::{Config, Kafka, KafkaSession};

/// The wall time at which every server starts, in milliseconds since 1970.
pub(super) const START_MS: i64 = 1_700_000_000_000;

/// What a test may set.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) kafka: Config,
    pub(super) topics: broker::Config,
    pub(super) groups: broker::group::Config,
}

impl Default for Settings {
    fn default() -> Self {
        let groups = broker::group::Config {
            offsets_partitions: 1,
            ..broker::group::Config::default()
        };
        Self {
            kafka: Config::default(),
            topics: broker::Config::default(),
            groups,
        }
    }
}

/// A server.
pub(super) struct Server {
    pub(super) kafka: Kafka,
    pub(super) broker: Broker,
    clock: Clock,
    tasks: Tasks,
    /// Dropped to let the time go.
    held: std::sync::mpsc::SyncSender<()>,
}

/// Runs `test` against a fresh server.
pub(super) fn on_server(test: impl AsyncFnOnce(&Server)) {
    with(Settings::default(), test);
}

/// The same with settings.
pub(super) fn with(settings: Settings, test: impl AsyncFnOnce(&Server)) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), settings, test);
}

/// The same over a folder that may have been used before.
pub(super) fn run(folder: &Path, settings: Settings, test: impl AsyncFnOnce(&Server)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::open(folder, settings);
        // Whoever works by the clock looks at it for the first time.
        server.advance(Duration::ZERO).await;
        test(&server).await;
        server.close().await;
    });
}

impl Server {
    fn open(folder: &Path, settings: Settings) -> Self {
        let (clock, rng) = (Clock::runtime(START_MS), Rng::seeded(7));
        let (tasks, metrics) = (Tasks::current(), Metrics::default());
        let (held, hold) = std::sync::mpsc::sync_channel(0);
        tasks.spawn_blocking("test.hold_time", move || {
            let _: Result<(), _> = hold.recv();
        });
        let config = store::Config {
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
            store: Store::open(config, parts).unwrap(),
            meta: broker::meta::Meta::open(&folder.join("meta"), rng.clone()).unwrap(),
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
            config: settings.topics,
            exchanges: broker::exchange::Config::default(),
            groups: settings.groups,
            queues: broker::queue::Config::default(),
        })
        .unwrap();
        let kafka = Kafka::new(settings.kafka, broker.clone(), rng, &metrics).unwrap();
        Self {
            kafka,
            broker,
            clock,
            tasks,
            held,
        }
    }

    async fn close(self) {
        self.broker.close().await.unwrap();
        self.broker.release();
        self.tasks.signal();
        drop((self.kafka, self.broker, self.held));
        self.tasks.join_threads();
    }

    /// A new connection.
    pub(super) fn client(&self) -> Client {
        let session = self.kafka.open(self.clock.now(), &Peer::loopback());
        Client {
            kafka: self.kafka.clone(),
            script: Script::new(session, self.clock.now()),
            correlation: 0,
            name: "test",
            open: VecDeque::new(),
        }
    }

    /// Makes a topic.
    pub(super) async fn topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) {
        let config = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let new = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            config: config.collect(),
            internal: false,
        };
        self.broker.create_topic(new, false).await.unwrap();
    }

    /// Lets time pass, and whoever waited for it do its work.
    pub(super) async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// The wall time.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.unix_ms()
    }
}

/// A connection.
pub(super) struct Client {
    kafka: Kafka,
    pub(super) script: Script<KafkaSession>,
    correlation: i32,
    pub(super) name: &'static str,
    open: VecDeque<(Lane, BoxStream<'static, Reply>)>,
}

impl Client {
    /// Sends bytes; what they ask for is begun.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Close> {
        self.script.push(bytes);
        while let Some(asked) = self.script.next_asked()? {
            let Asked::Call(lane, call) = asked else {
                panic!("the head has calls only")
            };
            self.open.push_back((lane, self.kafka.call(call).boxed()));
        }
        Ok(())
    }

    /// Sends a frame.
    pub(super) fn send_frame(&mut self, key: i16, version: i16, body: &[u8]) -> Result<(), Close> {
        self.correlation += 1;
        let header = RequestHeader {
            api_key: key,
            api_version: version,
            correlation_id: self.correlation,
            client_id: Some(self.name.into()),
        };
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame).unwrap();
        frame.put_slice(body);
        let length = i32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.send_bytes(&frame)
    }

    /// Sends a request; its answer is waited for by [`Client::receive`].
    pub(super) fn send<Q: Ask>(&mut self, version: i16, request: &Q) -> Result<(), Close> {
        let mut body = BytesMut::new();
        request.put(&mut body, version);
        self.send_frame(Q::KEY.number(), version, &body)
    }

    /// The next bytes that are answered; `None` when the oldest request has no answer.
    pub(super) async fn bytes(&mut self) -> Result<Option<Bytes>, Close> {
        let (lane, mut replies) = self.open.pop_front().expect("a request is open");
        let Some(reply) = replies.next().await else {
            self.script.end_call();
            return Ok(None);
        };
        self.script.reply(lane, reply)?;
        assert!(replies.next().await.is_none(), "one answer");
        self.script.end_call();
        Ok(Some(self.script.output().into()))
    }

    /// The answer to the oldest request.
    pub(super) async fn receive<Q: Ask>(
        &mut self,
        version: i16,
    ) -> Result<Option<Q::Answer>, Close> {
        let Some(frame) = self.bytes().await? else {
            return Ok(None);
        };
        Ok(Some(decode::<Q>(frame, version)))
    }

    /// Asks, and waits for the answer or the end of the connection.
    pub(super) async fn try_ask<Q: Ask>(
        &mut self,
        version: i16,
        request: &Q,
    ) -> Result<Option<Q::Answer>, Close> {
        self.send(version, request)?;
        self.receive::<Q>(version).await
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask<Q: Ask>(&mut self, version: i16, request: Q) -> Q::Answer {
        let answer = self.try_ask(version, &request).await;
        answer
            .unwrap_or_else(|close| panic!("{:?} {version}: {close}", Q::KEY))
            .unwrap_or_else(|| panic!("{:?} {version}: no answer", Q::KEY))
    }
}

/// Reads an answer, all of it.
fn decode<Q: Ask>(frame: Bytes, version: i16) -> Q::Answer {
    let length = u32::from_be_bytes(*frame.first_chunk::<4>().unwrap()) as usize;
    assert_eq!(frame.len(), 4 + length, "one whole frame");
    let tagged = Q::KEY != ApiKey::ApiVersions && version >= Q::KEY.flexible_from();
    if tagged {
        assert_eq!(frame[8], 0, "no tags in the header");
    }
    let mut decoder = Decoder::new(frame.slice(if tagged { 9.. } else { 8.. }));
    let answer = Q::answer(&mut decoder, version);
    assert!(decoder.is_empty(), "{:?} {version}: bytes left", Q::KEY);
    answer
}

/// A request whose answer comes later.
pub(super) struct Parked<'a, T>(Pin<Box<dyn Future<Output = T> + 'a>>, Option<T>);

/// Begins a request.
pub(super) async fn park<'a, T>(future: impl Future<Output = T> + 'a) -> Parked<'a, T> {
    let mut parked = Parked(Box::pin(future), None);
    parked.look().await;
    parked
}

impl<T> Parked<'_, T> {
    async fn look(&mut self) {
        if self.1.is_none() {
            self.1 = poll_fn(|cx| match self.0.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => Poll::Ready(None),
            })
            .await;
        }
    }

    /// Whether there is no answer yet.
    pub(super) async fn waits(&mut self) -> bool {
        self.look().await;
        self.1.is_none()
    }

    /// The answer.
    pub(super) async fn done(self) -> T {
        match self.1 {
            Some(done) => done,
            None => self.0.await,
        }
    }
}
