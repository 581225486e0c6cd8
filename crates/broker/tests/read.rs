//! Reads that wait, on a real engine over a folder.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test that hangs has to end all the same"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use base::{Clock, Kind, Ledger, Metrics, Rng, Tasks};
use broker::meta::Meta;
use broker::{Ack, Broker, NewTopic, PartitionRead, ReadOne, ReadRequest, Topic};
use store::batch::{BatchBuilder, Compression};
use store::{FileDisk, Store};

/// How long a test may hang before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(folder: &Path) -> Broker {
    let (clock, tasks, metrics) = (Clock::system(), Tasks::current(), Metrics::default());
    let store = store::Parts {
        disk: Arc::new(FileDisk::new(folder).unwrap()),
        clock: clock.clone(),
        ledger: Ledger::new(1 << 30),
        tasks: tasks.clone(),
        metrics: metrics.clone(),
    };
    Broker::open(broker::Parts {
        store: Store::open(store::Config::default(), store).unwrap(),
        meta: Meta::open(&folder.join("meta"), Rng::seeded(1)).unwrap(),
        clock,
        rng: Rng::seeded(2),
        tasks,
        metrics,
        config: broker::Config::default(),
        exchanges: broker::exchange::Config::default(),
        groups: broker::group::Config::default(),
        queues: broker::queue::Config::default(),
    })
    .unwrap()
}

async fn topic(broker: &Broker) -> Arc<Topic> {
    let new = NewTopic {
        name: "orders".to_owned(),
        partitions: Some(1),
        config: BTreeMap::new(),
        internal: false,
    };
    broker.create_topic(new, false).await.unwrap()
}

fn long_read(topic: &Topic) -> ReadRequest {
    let part = ReadOne {
        partition: topic.partition(0).unwrap(),
        from: 0,
        max_bytes: 1000,
    };
    ReadRequest {
        parts: vec![part],
        min_bytes: 1000,
        max_bytes: 1000,
        max_wait: Duration::from_secs(3600),
        at_once: false,
    }
}

async fn append(topic: &Topic) {
    let mut batch = BatchBuilder::new();
    batch.push(1, None, Some(b"one"), []);
    let partition = topic.partition(0).unwrap();
    let appended = partition
        .append(&batch.build(Compression::None).unwrap())
        .unwrap();
    partition
        .acknowledged(&appended, Ack::Quorum)
        .await
        .unwrap();
}

/// What a read that waits answers when `then` happens to it, with so many records to begin with.
fn interrupted<F, Fut>(records: usize, then: F) -> PartitionRead
where
    F: FnOnce(Broker, Arc<Topic>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let read = runtime.block_on(async {
            let broker = open(folder.path());
            let topic = topic(&broker).await;
            for _ in 0..records {
                append(&topic).await;
            }
            let mut read = Box::pin(broker.read(long_read(&topic)));
            let first = std::future::poll_fn(|context| {
                std::task::Poll::Ready(read.as_mut().poll(context).is_pending())
            });
            assert!(first.await, "there was enough to read");
            then(broker.clone(), topic).await;
            read.await.remove(0)
        });
        sender.send(read).unwrap();
    });
    receiver.recv_timeout(PATIENCE).expect("an answer")
}

#[test]
fn a_read_that_waits_ends_when_its_topic_is_deleted() {
    for records in 0..2 {
        let read = interrupted(records, |broker, topic| async move {
            broker.delete_topic(topic).await.unwrap();
        });
        let error = read.result.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    }
}

#[test]
fn a_read_that_waits_ends_when_the_broker_closes() {
    let read = interrupted(0, |broker, _| async move {
        broker.close().await.unwrap();
    });
    let error = read.result.unwrap_err();
    assert_ne!(error.kind(), Kind::NotFound, "{error}");
}

/// What a read of 500 bytes answers while so many records, of some 70 bytes each, come one by one.
fn beside_appends(max_wait: Duration, records: usize) -> store::Read {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let broker = open(folder.path());
        let topic = topic(&broker).await;
        let request = ReadRequest {
            min_bytes: 500,
            max_wait,
            ..long_read(&topic)
        };
        let appends = async {
            for _ in 0..records {
                append(&topic).await;
            }
        };
        let read = tokio::time::timeout(PATIENCE / 2, broker.read(request));
        let (read, ()) = tokio::join!(read, appends);
        read.unwrap().remove(0).result.unwrap().unwrap()
    })
}

#[test]
fn a_read_that_waits_is_answered_once_enough_has_come_in_small_steps() {
    let read = beside_appends(Duration::from_secs(3600), 30);
    assert!(read.bytes >= 500, "{} bytes", read.bytes);
}

#[test]
fn a_read_whose_time_is_up_gets_what_has_come_meanwhile() {
    let read = beside_appends(Duration::from_secs(1), 2);
    assert_eq!(read.next, base::Offset(2));
}
