//! A server without sockets and clients that speak frames to it.
//!
//! Time stands still unless a test moves it: the runtime is paused, and a task on the blocking
//! pool keeps it from moving by itself while the disk is waited for.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use base::{ByteSize, Clock, Ledger, Metrics, Rng, Tasks};
use broker::Broker;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use net::head::{Close, Head, Lane, Peer};
use net::testing::{Asked, Script};
use store::{FileDisk, Store};

use crate::codec::{self, Look, Method, Table, Value, hot};
use crate::{Amqp, AmqpSession, Config, Parts, Reply};

/// A server.
pub(super) struct Server {
    pub(super) amqp: Amqp,
    pub(super) broker: Broker,
    clock: Clock,
    tasks: Tasks,
    /// Dropped to let the time go.
    held: std::sync::mpsc::SyncSender<()>,
}

/// Runs `test` against a fresh server.
pub(super) fn on_server(test: impl AsyncFnOnce(&Server)) {
    with(Config::default(), test);
}

/// The same with settings.
pub(super) fn with(config: Config, test: impl AsyncFnOnce(&Server)) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::open(folder.path(), config).await;
        test(&server).await;
        server.close().await;
    });
}

impl Server {
    async fn open(folder: &Path, config: Config) -> Self {
        let (clock, rng) = (Clock::runtime(1_700_000_000_000), Rng::seeded(7));
        let (tasks, metrics) = (Tasks::current(), Metrics::default());
        let ledger = Ledger::new(256 << 20);
        let (held, hold) = std::sync::mpsc::sync_channel(0);
        tasks.spawn_blocking("test.hold_time", move || {
            let _: Result<(), _> = hold.recv();
        });
        let store_config = store::Config {
            wal_file_bytes: ByteSize(4 << 20),
            ..store::Config::default()
        };
        let parts = store::Parts {
            disk: Arc::new(FileDisk::new(folder).unwrap()),
            clock: clock.clone(),
            ledger: ledger.clone(),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
        };
        let broker = Broker::open(broker::Parts {
            store: Store::open(store_config, parts).unwrap(),
            meta: broker::meta::Meta::open(&folder.join("meta"), rng.clone()).unwrap(),
            clock: clock.clone(),
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
        let amqp = Amqp::new(Parts {
            config,
            broker: broker.clone(),
            rng,
            ledger,
            tasks: tasks.clone(),
            metrics,
        })
        .unwrap();
        amqp.prepare().await.unwrap();
        Self {
            amqp,
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
        drop((self.amqp, self.broker, self.held));
        self.tasks.join_threads();
    }

    pub(super) fn now(&self) -> std::time::Instant {
        self.clock.now()
    }

    /// A connection about which nothing was said yet.
    pub(super) fn connect(&self) -> Client {
        self.connect_from(&Peer::loopback())
    }

    pub(super) fn connect_from(&self, peer: &Peer) -> Client {
        let now = self.clock.now();
        let session = self.amqp.open(now, peer);
        Client {
            amqp: self.amqp.clone(),
            script: Script::new(session, now),
            calls: SelectAll::new(),
            answers: BytesMut::new(),
            end: None,
        }
    }

    /// An open connection with channel 1.
    pub(super) async fn client(&self) -> Client {
        let mut client = self.connect();
        client.handshake("guest", "/", 60).await;
        let _ = client.until("connection.open-ok").await;
        client.open_channel(1).await;
        client
    }
}

/// Something that the server sent.
#[derive(Debug, PartialEq)]
pub(super) enum Got {
    Method(u16, Method),
    /// A content's header and body.
    Content(Bytes, Bytes),
    Heartbeat,
}

/// How long something that has to come may take on a busy machine, in real time.
const EXPECTED_MAX: Duration = Duration::from_secs(20);
/// How often others get their turn before nothing is thought to come.
const NOTHING_TURNS: usize = 20_000;

/// What is waited for.
#[derive(Clone, Copy)]
enum Patience {
    /// Something that has to come.
    Expected,
    /// That nothing comes.
    Nothing,
}

/// A connection.
pub(super) struct Client {
    amqp: Amqp,
    pub(super) script: Script<AmqpSession>,
    calls: SelectAll<BoxStream<'static, (Lane, Option<Reply>)>>,
    answers: BytesMut,
    /// How it ended.
    pub(super) end: Option<Close>,
}

impl Client {
    /// Sends bytes; what they ask for is begun.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) {
        self.script.push(bytes);
        self.ask();
    }

    fn ask(&mut self) {
        while self.end.is_none() {
            match self.script.next_asked() {
                Ok(None) => break,
                Err(close) => self.end = Some(close),
                Ok(Some(Asked::Call(lane, call) | Asked::Subscribe(lane, call))) => {
                    let end = futures_util::stream::once(std::future::ready((lane, None)));
                    let all = self.amqp.call(call).map(move |reply| (lane, Some(reply)));
                    self.calls.push(all.chain(end).boxed());
                }
                Ok(Some(Asked::Cancel(_))) => {}
            }
        }
        self.answers.extend_from_slice(&self.script.output());
    }

    /// Time passes for the session.
    pub(super) fn advance(&mut self, by: Duration) {
        /// What is written in the meantime is sent in the meantime.
        const STEP: Duration = Duration::from_secs(1);
        let mut left = by;
        while !left.is_zero() && self.end.is_none() {
            let step = left.min(STEP);
            if let Err(close) = self.script.advance(step) {
                self.end = Some(close);
            }
            left -= step;
            self.answers.extend_from_slice(&self.script.output());
        }
    }

    pub(super) fn send(&mut self, channel: u16, method: &Method) {
        let mut out = BytesMut::new();
        codec::put_method(&mut out, channel, method);
        self.send_bytes(&out);
    }

    /// What comes next, which has to be there some time; `None` when it is not, or the connection
    /// has ended.
    pub(super) async fn next(&mut self) -> Option<Got> {
        self.next_for(Patience::Expected).await
    }

    /// Checks that nothing more comes.
    pub(super) async fn nothing(&mut self) {
        let next = self.next_for(Patience::Nothing).await;
        assert_eq!(next, None, "nothing was to come");
    }

    async fn next_for(&mut self, patience: Patience) -> Option<Got> {
        loop {
            if let Some(got) = self.cut() {
                return Some(got);
            }
            if self.end.is_some() {
                return None;
            }
            if !self.step(patience).await {
                return None;
            }
        }
    }

    /// Takes one answer of a call; whether there was one.
    async fn step(&mut self, patience: Patience) -> bool {
        let Some((lane, reply)) = self.poll_calls(patience).await else {
            return false;
        };
        match reply {
            Some(reply) => {
                if let Err(close) = self.script.reply(lane, reply) {
                    self.end = Some(close);
                }
            }
            None => self.script.end_call(),
        }
        self.answers.extend_from_slice(&self.script.output());
        self.ask();
        true
    }

    /// The next answer of a call; gives up when there is none for a while. The disk is waited for
    /// by yielding, for the time of the runtime stands still.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a machine may take is a matter of real time"
    )]
    async fn poll_calls(&mut self, patience: Patience) -> Option<(Lane, Option<Reply>)> {
        let since = std::time::Instant::now();
        for turn in 0_usize.. {
            let ready = poll_fn(|cx| Poll::Ready(self.calls.poll_next_unpin(cx))).await;
            if let Poll::Ready(Some(event)) = ready {
                return Some(event);
            }
            let over = match patience {
                Patience::Expected => since.elapsed() >= EXPECTED_MAX,
                Patience::Nothing => turn >= NOTHING_TURNS,
            };
            if over {
                break;
            }
            tokio::task::yield_now().await;
        }
        None
    }

    fn cut(&mut self) -> Option<Got> {
        let Ok(Look::Whole(front)) = codec::look(&self.answers, 1 << 20) else {
            return None;
        };
        let frame = self.answers.split_to(front.whole()).freeze();
        let payload = frame.slice(codec::FRAME_HEAD..codec::FRAME_HEAD + front.size);
        match front.kind {
            codec::FRAME_METHOD => {
                let method = Method::decode(&payload).unwrap();
                Some(Got::Method(front.channel, method))
            }
            codec::FRAME_HEADER => {
                let header = codec::content_header(&payload).unwrap();
                let properties = payload.slice_ref(header.properties);
                let mut body = BytesMut::new();
                while (body.len() as u64) < header.body_size {
                    let Ok(Look::Whole(front)) = codec::look(&self.answers, 1 << 20) else {
                        panic!("a body that is not whole");
                    };
                    assert_eq!(front.kind, codec::FRAME_BODY);
                    let piece = self.answers.split_to(front.whole());
                    body.extend_from_slice(codec::payload(&piece, front));
                }
                Some(Got::Content(properties, body.freeze()))
            }
            codec::FRAME_HEARTBEAT => Some(Got::Heartbeat),
            other => panic!("frame {other}"),
        }
    }

    /// The next method; what comes before it is passed over.
    pub(super) async fn until(&mut self, name: &str) -> Method {
        while let Some(got) = self.next().await {
            if let Got::Method(_, method) = got
                && method.name() == name
            {
                return method;
            }
        }
        panic!("no {name}; the connection ended by {:?}", self.end);
    }

    /// Sends a method and takes the next one.
    pub(super) async fn ask_for(&mut self, channel: u16, method: &Method) -> Method {
        self.send(channel, method);
        match self.next().await {
            Some(Got::Method(_, method)) => method,
            other => panic!("{method:?}: {other:?}, the end: {:?}", self.end),
        }
    }

    /// The content that comes next.
    pub(super) async fn content(&mut self) -> (Bytes, Bytes) {
        match self.next().await {
            Some(Got::Content(properties, body)) => (properties, body),
            other => panic!("no content: {other:?}"),
        }
    }

    /// Sends all that opens a connection.
    pub(super) async fn handshake(&mut self, user: &str, namespace: &str, heartbeat: u16) {
        self.send_bytes(&codec::PROTOCOL_HEADER);
        let _ = self.until("connection.start").await;
        let capabilities = Table::new()
            .with("authentication_failure_close", Value::Bool(true))
            .with("consumer_cancel_notify", Value::Bool(true))
            .with("connection.blocked", Value::Bool(true));
        self.send(
            0,
            &Method::StartOk {
                client_properties: Table::new().with("capabilities", Value::Table(capabilities)),
                mechanism: "PLAIN".into(),
                response: format!("\0{user}\0guest").into(),
                locale: "en_US".into(),
            },
        );
        while self.answers.is_empty() && self.end.is_none() {
            if !self.step(Patience::Expected).await {
                return;
            }
        }
        if self.end.is_some() {
            return;
        }
        let _ = self.until("connection.tune").await;
        self.send(
            0,
            &Method::TuneOk {
                channel_max: 100,
                frame_max: 4096,
                heartbeat,
            },
        );
        self.send(
            0,
            &Method::Open {
                virtual_host: namespace.into(),
                capabilities: "".into(),
                insist: false,
            },
        );
    }

    pub(super) async fn open_channel(&mut self, channel: u16) {
        let open = Method::ChannelOpen {
            out_of_band: "".into(),
        };
        let answer = self.ask_for(channel, &open).await;
        assert_eq!(answer.name(), "channel.open-ok");
    }

    /// Declares a queue that lasts.
    pub(super) async fn declare(&mut self, name: &str, arguments: Table) -> Method {
        self.ask_for(1, &declare(name, arguments)).await
    }

    pub(super) fn publish(&mut self, exchange: &str, key: &str, properties: &[u8], body: &[u8]) {
        self.send_bytes(&publish(exchange, key, false, properties, body));
    }

    /// The code and text of the close that comes next.
    pub(super) async fn refusal(&mut self) -> (u16, String) {
        while let Some(got) = self.next().await {
            if let Got::Method(
                _,
                Method::ChannelClose { code, text, .. } | Method::Close { code, text, .. },
            ) = got
            {
                return (code, text.into());
            }
        }
        panic!("nothing was closed; the end: {:?}", self.end);
    }

    /// What a method on channel 1 is refused for; the channel is opened again.
    pub(super) async fn refused(&mut self, method: &Method) -> (u16, String) {
        self.send(1, method);
        let refusal = self.refusal().await;
        self.send(1, &Method::ChannelCloseOk {});
        self.open_channel(1).await;
        refusal
    }
}

pub(super) fn declare(name: &str, arguments: Table) -> Method {
    Method::QueueDeclare {
        ticket: 0,
        queue: name.into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments,
    }
}

pub(super) fn consume(queue: &str, tag: &str, no_ack: bool, arguments: Table) -> Method {
    Method::Consume {
        ticket: 0,
        queue: queue.into(),
        consumer_tag: tag.into(),
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments,
    }
}

/// A message on channel 1, in frames of at most 4096 bytes.
pub(super) fn publish(
    exchange: &str,
    key: &str,
    mandatory: bool,
    properties: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let method = Method::Publish {
        ticket: 0,
        exchange: exchange.into(),
        routing_key: key.into(),
        mandatory,
        immediate: false,
    };
    let mut out = BytesMut::new();
    codec::put_method(&mut out, 1, &method);
    hot::put_content_header(&mut out, 1, body.len(), properties);
    for piece in body.chunks(4088) {
        codec::put_frame(&mut out, codec::FRAME_BODY, 1, |writer| writer.raw(piece));
    }
    out.to_vec()
}

/// Waits for what no client is told.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a machine may take is a matter of real time"
)]
pub(super) async fn eventually(is_so: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < EXPECTED_MAX, "it never came to be");
        tokio::task::yield_now().await;
    }
}
