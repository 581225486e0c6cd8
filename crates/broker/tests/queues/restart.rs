//! What a restart finds.

use std::time::Duration;

use base::Rng;
use broker::exchange::NamespaceSettings;
use broker::message::{Attributes, Message};
use broker::queue::{DeadLetter, Dedup, DedupScope, Outcome, Queue, QueueSettings, Take, Verdict};
use bytes::Bytes;
use store::sim::SimDisk;

use crate::basics::{put, take, texts};
use crate::machine::{Machine, Setup, message};

fn start(disk: &SimDisk) -> Machine {
    Machine::start(disk, &Rng::seeded(1), Setup::default()).unwrap()
}

/// Publishes, however long there is no room.
async fn publish(machine: &Machine, queue: &Queue, messages: Vec<Message>) {
    loop {
        match queue.publish(messages.clone()) {
            Ok(published) => return published.durable().await.unwrap(),
            Err(broker::Error::Store(store::Error::Busy)) => machine.broker.room().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_settled_is_back_and_what_was_delivered_says_so() {
    for in_order in [true, false] {
        let disk = SimDisk::new();
        let machine = start(&disk);
        let queue = machine.declare("jobs", QueueSettings::default()).await;
        put(&queue, &["a", "b", "c", "d"]).await;
        let got = take(&queue, 3).await;
        let back = Outcome::Release {
            counted: true,
            delay: None,
        };
        queue.settle(&[got[2].receipt], back);
        let again = take(&queue, 1).await;
        assert_eq!(texts(&again), ["c"]);
        let settled = queue.settle(&[got[1].receipt], Outcome::Accept);
        settled.durable().await.unwrap();
        let disk = if in_order {
            machine.stop().await.unwrap();
            disk
        } else {
            machine.kill(&disk).await
        };
        let machine = start(&disk);
        let queue = machine.queues().get("/", "jobs").unwrap();
        assert_eq!((queue.stats().ready, queue.stats().leased), (3, 0));
        let old = queue.settle(&[got[0].receipt], Outcome::Accept);
        assert_eq!(old.known, [false], "a receipt of an earlier start");
        let got = take(&queue, 9).await;
        assert_eq!(texts(&got), ["a", "c", "d"]);
        let told: Vec<_> = got.iter().map(|d| (d.redelivered, d.attempts)).collect();
        assert_eq!(told, [(true, 2), (true, 3), (false, 1)]);
        queue.settle(
            &got.iter().map(|d| d.receipt).collect::<Vec<_>>(),
            Outcome::Accept,
        );
        machine.stop().await.unwrap();
        let machine = start(&disk);
        let queue = machine.queues().get("/", "jobs").unwrap();
        assert!(take(&queue, 9).await.is_empty());
        machine.stop().await.unwrap();
    }
}

#[tokio::test]
async fn settings_stay_and_queues_that_are_not_durable_do_not() {
    let disk = SimDisk::new();
    let machine = start(&disk);
    let settings = QueueSettings {
        lanes: 3,
        message_ttl: Some(Duration::from_secs(9)),
        dead_letter: Some(DeadLetter::Exchange {
            exchange: "x".to_owned(),
            routing_key: Some(Bytes::from_static(b"\xff")),
        }),
        origin: [("argument".to_owned(), serde_json::json!({"a": 1}))].into(),
        ..QueueSettings::default()
    };
    machine.declare("stays", settings.clone()).await;
    let other = machine
        .broker
        .create_namespace("other", NamespaceSettings::default());
    assert!(other.await.unwrap());
    let queues = machine.queues().clone();
    queues
        .declare("other", "strange name/", QueueSettings::default())
        .await
        .unwrap();
    let goes = QueueSettings {
        durable: false,
        ..QueueSettings::default()
    };
    let queue = machine.declare("goes", goes).await;
    put(&queue, &["a"]).await;
    drop((queues, queue));
    let disk = machine.kill(&disk).await;
    let machine = start(&disk);
    let queue = machine.queues().get("/", "stays").unwrap();
    assert_eq!(*queue.settings(), settings);
    assert_eq!(queue.topic().name().as_ref(), "stays");
    assert_eq!(queue.topic().partitions().len(), 3);
    let other = machine.queues().get("other", "strange name/").unwrap();
    assert!(other.topic().is_internal());
    assert!(machine.queues().get("/", "goes").is_none());
    assert_eq!(machine.queues().list(None).len(), 2);
    // What was left of it goes in the background.
    let topics: Vec<_> = machine.broker.topics().iter().map(|t| t.id()).collect();
    while machine
        .store
        .streams()
        .iter()
        .any(|id| !topics.contains(&id.topic))
    {
        tokio::task::yield_now().await;
    }
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_queue_over_a_topic_has_a_cursor_of_its_own() {
    let disk = SimDisk::new();
    let machine = start(&disk);
    let new = broker::NewTopic {
        name: "events".to_owned(),
        partitions: Some(2),
        ..broker::NewTopic::default()
    };
    let topic = machine.broker.create_topic(new, false).await.unwrap();
    let publisher = broker::Publisher::new(machine.broker.clone());
    let records = ["a", "b", "c", "d"].map(|text| broker::NewRecord {
        key: Some(Bytes::from_static(text.as_bytes())),
        value: Some(Bytes::from_static(text.as_bytes())),
        ..broker::NewRecord::default()
    });
    publisher
        .publish(&topic, records.to_vec(), broker::Ack::Quorum)
        .await
        .unwrap();
    let queue = machine.declare("events", QueueSettings::default()).await;
    assert_eq!(queue.stats().ready, 4);
    let got = take(&queue, 9).await;
    let mut found = texts(&got);
    found.sort();
    assert_eq!(found, ["a", "b", "c", "d"]);
    queue
        .settle(&[got[0].receipt], Outcome::Accept)
        .durable()
        .await
        .unwrap();
    machine
        .queues()
        .delete(&queue, broker::queue::DeleteWhen::default())
        .await
        .unwrap();
    assert!(
        machine.broker.topic("events").is_ok(),
        "the topic was there before"
    );
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn the_deduplication_window_survives() {
    let disk = SimDisk::new();
    let setup = || Setup {
        // Small, so that what is settled leaves the log as soon as it may.
        wal_bytes: 2000,
        tail_bytes: 0,
        ..Setup::default()
    };
    let rng = Rng::seeded(1);
    let machine = Machine::start(&disk, &rng, setup()).unwrap();
    let settings = QueueSettings {
        dedup: Some(Dedup {
            window: Duration::from_secs(300),
            scope: DedupScope::Queue,
        }),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let known = |n: u32| Message {
        attributes: Attributes {
            dedup: Some(Bytes::from(n.to_string())),
            message_id: Some(Bytes::from(format!("m{n}"))),
            ..Attributes::default()
        },
        ..message("text")
    };
    for n in 0..100 {
        publish(&machine, &queue, vec![known(n)]).await;
        let got = take(&queue, 1).await;
        queue.settle(&[got[0].receipt], Outcome::Accept);
    }
    machine.stop().await.unwrap();
    let machine = Machine::start(&disk, &rng, setup()).unwrap();
    let queue = machine.queues().get("/", "jobs").unwrap();
    assert_eq!(queue.stats().ready, 0);
    for n in [0, 50, 99] {
        let verdicts = queue.publish(vec![known(n)]).unwrap().verdicts;
        let first = Verdict::Duplicate {
            lane: 0,
            offset: u64::from(n),
            message_id: Some(Bytes::from(format!("m{n}"))),
        };
        assert_eq!(verdicts, [first]);
    }
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_backlog_on_disk_is_read_with_holes_and_the_settled_part_leaves_the_log() {
    let disk = SimDisk::new();
    let setup = || Setup {
        wal_bytes: 4000,
        tail_bytes: 0,
        ..Setup::default()
    };
    let rng = Rng::seeded(1);
    let machine = Machine::start(&disk, &rng, setup()).unwrap();
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    let names: Vec<String> = (0..2000).map(|n| format!("message {n}")).collect();
    for part in names.chunks(20) {
        let messages = part.iter().map(|text| message(text)).collect();
        publish(&machine, &queue, messages).await;
    }
    let wait = Take {
        max: 100,
        wait: Duration::from_secs(20),
        ..Take::default()
    };
    let mut all = Vec::new();
    while all.len() < 2000 {
        all.extend(queue.take(wait).await.unwrap());
    }
    assert_eq!(texts(&all), names);
    let receipts: Vec<_> = all.iter().map(|d| d.receipt).collect();
    let odd: Vec<_> = receipts
        .iter()
        .filter(|r| r.offset % 2 == 1)
        .copied()
        .collect();
    queue.settle(&odd, Outcome::Accept).durable().await.unwrap();
    machine.stop().await.unwrap();
    let machine = Machine::start(&disk, &rng, setup()).unwrap();
    let queue = machine.queues().get("/", "jobs").unwrap();
    assert_eq!(queue.stats().ready, 1000);
    let mut all = Vec::new();
    while all.len() < 1000 {
        all.extend(queue.take(wait).await.unwrap());
    }
    let even: Vec<String> = names.iter().step_by(2).cloned().collect();
    assert_eq!(texts(&all), even);
    let receipts: Vec<_> = all.iter().map(|d| d.receipt).collect();
    queue
        .settle(&receipts, Outcome::Accept)
        .durable()
        .await
        .unwrap();
    let partition = queue.topic().partition(0).unwrap();
    while partition.start().0 < 2000 {
        tokio::task::yield_now().await;
    }
    machine.stop().await.unwrap();
    let machine = Machine::start(&disk, &rng, setup()).unwrap();
    let queue = machine.queues().get("/", "jobs").unwrap();
    assert_eq!(queue.stats().ready, 0);
    machine.stop().await.unwrap();
}
