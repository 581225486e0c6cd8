//! Dead letters: where they go, and what stays.

use std::time::Duration;

use base::Rng;
use broker::message::DeathReason;
use broker::queue::{
    ConsumerSettings, DeadLetter, DeleteWhen, Outcome, Overflow, Queue, QueueSettings,
};
use store::sim::SimDisk;

use crate::basics::{machine, put, some, take, texts};
use crate::features::until_ready;
use crate::machine::{Machine, Setup};

#[tokio::test]
async fn rejected_and_too_often_delivered_messages_are_dead_lettered() {
    let machine = machine().await;
    let dead = machine.declare("dead", QueueSettings::default()).await;
    let settings = QueueSettings {
        delivery_limit: Some(2),
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    put(&queue, &["no", "again"]).await;
    let got = take(&queue, 2).await;
    assert_eq!(
        queue.settle(&[got[0].receipt], Outcome::Reject).known,
        [true]
    );
    until_ready(&dead, 1).await;
    let rejected = take(&dead, 9).await;
    assert_eq!(texts(&rejected), ["no"]);
    assert_eq!(
        rejected[0].attributes.deaths[0].reason,
        DeathReason::Rejected
    );
    let back = Outcome::Release {
        counted: true,
        delay: None,
    };
    queue.settle(&[got[1].receipt], back);
    let got = take(&queue, 2).await;
    assert_eq!(
        (texts(&got), got[0].attempts),
        (vec!["again".to_owned()], 2)
    );
    // What does not count does not bring it nearer to the limit.
    let uncounted = Outcome::Release {
        counted: false,
        delay: None,
    };
    queue.settle(&[got[0].receipt], uncounted);
    let got = take(&queue, 2).await;
    assert_eq!(got[0].attempts, 2);
    queue.settle(&[got[0].receipt], back);
    assert!(take(&queue, 2).await.is_empty());
    until_ready(&dead, 1).await;
    let limit = take(&dead, 9).await;
    assert_eq!(
        limit[0].attributes.deaths[0].reason,
        DeathReason::DeliveryLimit
    );
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 0));
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_without_a_place_stays_until_there_is_one() {
    let machine = machine().await;
    let narrow = QueueSettings {
        length_max: Some(1),
        overflow: Overflow::Reject,
        ..QueueSettings::default()
    };
    let dead = machine.declare("dead", narrow.clone()).await;
    let settings = QueueSettings {
        delivery_limit: Some(9),
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    put(&queue, &["1", "2", "3"]).await;
    let got = take(&queue, 3).await;
    let receipts: Vec<_> = got.iter().map(|d| d.receipt).collect();
    queue.settle(&receipts, Outcome::Reject);
    until_ready(&dead, 1).await;
    let again = async |dead: &Queue| {
        machine.clock.advance(Duration::from_secs(2));
        assert!(take(&queue, 9).await.is_empty());
        until_ready(dead, 1).await;
        take(dead, 9).await
    };
    assert_eq!(texts(&take(&dead, 9).await), ["1"]);
    assert_eq!(texts(&again(&dead).await), ["2"], "the queue was full");
    // It goes, and one of its name comes.
    machine
        .queues()
        .delete(&dead, DeleteWhen::default())
        .await
        .unwrap();
    machine.clock.advance(Duration::from_secs(2));
    assert!(take(&queue, 9).await.is_empty());
    let dead = machine.declare("dead", narrow).await;
    assert_eq!(texts(&again(&dead).await), ["3"], "the queue was gone");
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_is_moved_though_it_would_be_too_large_to_publish() {
    let (disk, rng) = (SimDisk::new(), Rng::seeded(1));
    let machine = Machine::start(&disk, &rng, Setup::default()).unwrap();
    machine.declare("dead", QueueSettings::default()).await;
    let settings = QueueSettings {
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    put(&queue, &["long", "longer"]).await;
    machine.stop().await.unwrap();
    let setup = Setup {
        queues: broker::queue::Config {
            message_bytes_max: base::ByteSize(3),
            ..broker::queue::Config::default()
        },
        ..Setup::default()
    };
    let machine = Machine::start(&disk, &rng, setup).unwrap();
    let queue = machine.queues().get("/", "jobs").unwrap();
    let dead = machine.queues().get("/", "dead").unwrap();
    let mut consumer = queue.consume(ConsumerSettings::default()).unwrap();
    let got = some(&mut consumer, 2).await;
    let receipts: Vec<_> = got.iter().map(|d| d.receipt).collect();
    queue.settle(&receipts, Outcome::Reject);
    until_ready(&dead, 2).await;
    drop(consumer);
    drop((queue, dead));
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn what_has_no_time_to_wait_is_for_whoever_is_ready() {
    let machine = machine().await;
    let dead = machine.declare("dead", QueueSettings::default()).await;
    let settings = QueueSettings {
        message_ttl: Some(Duration::ZERO),
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    put(&queue, &["nobody"]).await;
    until_ready(&dead, 1).await;
    let one = ConsumerSettings {
        prefetch: 1,
        ..ConsumerSettings::default()
    };
    let mut consumer = queue.consume(one).unwrap();
    put(&queue, &["ready", "too many"]).await;
    assert_eq!(texts(&some(&mut consumer, 1).await), ["ready"]);
    until_ready(&dead, 2).await;
    put(&queue, &["no credit"]).await;
    until_ready(&dead, 3).await;
    let mut dead = dead.consume(ConsumerSettings::default()).unwrap();
    let gone = some(&mut dead, 3).await;
    assert_eq!(texts(&gone), ["nobody", "too many", "no credit"]);
    assert_eq!(gone[1].attributes.deaths[0].reason, DeathReason::Expired);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_circle_without_a_rejection_is_broken() {
    let machine = machine().await;
    let to = |name: &str| QueueSettings {
        message_ttl: Some(Duration::from_secs(1)),
        dead_letter: Some(DeadLetter::Queue(name.to_owned())),
        ..QueueSettings::default()
    };
    let first = machine.declare("first", to("second")).await;
    let second = machine.declare("second", to("first")).await;
    put(&first, &["a"]).await;
    machine.clock.advance(Duration::from_secs(2));
    assert!(take(&first, 1).await.is_empty());
    until_ready(&second, 1).await;
    machine.clock.advance(Duration::from_secs(2));
    assert!(take(&second, 1).await.is_empty());
    // It died here before: it is dropped.
    while second.stats() != broker::queue::QueueStats::default() {
        tokio::task::yield_now().await;
    }
    assert_eq!(first.stats().ready, 0);
    machine.stop().await.unwrap();
}
