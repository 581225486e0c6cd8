//! What a request takes in memory is charged for, whatever kind it is: each kind is asked the worst
//! that is known of it, and what the allocator has seen at most is compared with the session's
//! `weight` and what was charged to the ledger.
//!
//! A kind without a case here fails the test. It is a binary of its own because the allocator
//! counts for the whole process.

#![allow(clippy::unwrap_used, reason = "a test")]

mod worst;

use std::sync::Arc;

use base::{ByteSize, Clock, Ledger, Metrics, Rng, Tasks};
use broker::{Broker, NewTopic};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use head_kafka::{Config, Kafka, handlers};
use kafka_wire::{ApiKey, RequestHeader};
use net::head::{Head, Peer, Session};
use net::testing::{Asked, Script};
use peak_alloc::PeakAlloc;
use store::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN};
use store::{FileDisk, Store};

use worst::Case;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What a call takes beside its data: futures, tasks, the answer that nobody charges because it is
/// small, the engine's own allocations while it writes.
const SLACK: usize = 256 << 10;
/// The memory of the process: enough for each case by itself.
const MEMORY: usize = 512 << 20;

struct Server {
    kafka: Kafka,
    broker: Broker,
    clock: Clock,
    ledger: Ledger,
}

impl Server {
    fn open(folder: &std::path::Path) -> Self {
        let (clock, rng) = (Clock::system(), Rng::seeded(7));
        let (tasks, metrics) = (Tasks::current(), Metrics::default());
        let ledger = Ledger::new(MEMORY);
        let config = store::Config {
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
            store: Store::open(config, parts).unwrap(),
            meta: broker::meta::Meta::open(&folder.join("meta"), rng.clone()).unwrap(),
            clock: clock.clone(),
            rng: rng.clone(),
            tasks,
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
        let kafka = Kafka::new(Config::default(), broker.clone(), rng, &metrics).unwrap();
        Self {
            kafka,
            broker,
            clock,
            ledger,
        }
    }

    /// What the cases ask about: a topic of many partitions, one of one, a group with offsets.
    async fn fill(&self) {
        for (name, partitions) in [("wide", 300), ("t", 1)] {
            let new = NewTopic {
                name: name.to_owned(),
                partitions: Some(partitions),
                ..NewTopic::default()
            };
            self.broker.create_topic(new, false).await.unwrap();
        }
        let topic = self.broker.topic("t").unwrap();
        let partition = topic.partition(0).unwrap();
        for producer in 0..200 {
            partition.append(&batch_of(producer)).unwrap();
        }
        let committed = || broker::group::Committed::new(1, -1, "x".repeat(4000));
        let offsets = (0..100).map(|at| ("wide".to_owned(), at, committed()));
        let groups = self.broker.groups();
        groups
            .commit("g", ("", None, -1), offsets.collect())
            .await
            .unwrap();
    }

    /// Asks, and says what it took at most and what was charged for, in bytes.
    async fn measure(&self, case: &Case) -> (usize, usize, &'static str) {
        let frame = frame(case);
        let session = self.kafka.open(self.clock.now(), &Peer::loopback());
        let mut script = Script::new(session, self.clock.now());
        let (charged, before) = (self.ledger.used(), ALLOCATOR.current_usage());
        ALLOCATOR.reset_peak_usage();
        script.push(&frame);
        let Some(Asked::Call(lane, call)) = script.next_asked().unwrap() else {
            panic!("{:?}: a whole request", case.key)
        };
        let weight = self.weight(&call, frame.len());
        let mut replies = self.kafka.call(call).boxed();
        let reply = replies.next().await;
        let outcome = match reply.map(|reply| script.reply(lane, reply)) {
            Some(Ok(())) => "answered",
            Some(Err(_)) => "refused",
            None => "no answer",
        };
        let took = ALLOCATOR.peak_usage().saturating_sub(before);
        drop(replies);
        (
            took,
            weight + self.ledger.peak().saturating_sub(charged),
            outcome,
        )
    }

    fn weight(&self, call: &head_kafka::Call, bytes: usize) -> usize {
        let session = self.kafka.open(self.clock.now(), &Peer::loopback());
        session.weight(call, bytes)
    }
}

/// A batch of an idempotent producer.
fn batch_of(producer: i64) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), []);
    let batch = builder.build(Compression::None).unwrap();
    let mut header = BatchHeader::parse(&batch).unwrap();
    header.producer_id = producer;
    (header.producer_epoch, header.base_sequence) = (0, 0);
    let mut out = header.encode().to_vec();
    out.extend_from_slice(&batch[HEADER_LEN..]);
    let crc = store::batch::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out.into()
}

fn frame(case: &Case) -> Vec<u8> {
    let header = RequestHeader {
        api_key: case.key.number(),
        api_version: case.version,
        correlation_id: 1,
        client_id: None,
    };
    let mut out = BytesMut::new();
    out.put_i32(0);
    header.encode(&mut out).unwrap();
    out.put_slice(&case.body);
    let length = u32::try_from(out.len() - 4).unwrap();
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.to_vec()
}

#[test]
fn nothing_takes_more_memory_than_it_is_charged_for() {
    let cases = worst::cases();
    for api in handlers_served() {
        assert!(cases.iter().any(|case| case.key == api), "{api:?}: no case");
    }
    let mut wrong = Vec::new();
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (took, charged, outcome) = runtime.block_on(async {
            let server = Server::open(folder.path());
            server.fill().await;
            let measured = server.measure(case).await;
            server.broker.close().await.unwrap();
            server.broker.release();
            measured
        });
        let name = format!("{:?} {} ({})", case.key, case.version, case.what);
        assert_eq!(outcome, case.outcome, "{name}");
        if took > charged + SLACK {
            wrong.push(format!("{name}: {took} bytes, but {charged} charged"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn handlers_served() -> impl Iterator<Item = ApiKey> {
    handlers::APIS.iter().map(|api| api.key)
}
