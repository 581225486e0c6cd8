//! Publishing, consuming, taking, settling.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use base::Rng;
use broker::queue::{
    Consumer, ConsumerEvent, ConsumerSettings, Credit, Delivery, Extended, Outcome, QueueSettings,
    Take, Verdict,
};
use futures_core::Stream;
use store::sim::SimDisk;

use crate::machine::{Machine, Setup, message, text};

pub(crate) async fn next(consumer: &mut Consumer) -> Vec<Delivery> {
    match poll_fn(|cx| Pin::new(&mut *consumer).poll_next(cx)).await {
        Some(ConsumerEvent::Deliveries(deliveries)) => deliveries,
        other => panic!("{other:?}"),
    }
}

/// As many messages as asked for.
pub(crate) async fn some(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(next(consumer).await);
    }
    all
}

pub(crate) async fn put(queue: &broker::queue::Queue, texts: &[&str]) {
    let messages = texts.iter().map(|text| message(text)).collect();
    let published = queue.publish(messages).unwrap();
    assert!(
        published
            .verdicts
            .iter()
            .all(|v| matches!(v, Verdict::Queued { .. })),
        "{:?}",
        published.verdicts
    );
    published.durable().await.unwrap();
}

pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

pub(crate) async fn take(queue: &broker::queue::Queue, max: usize) -> Vec<Delivery> {
    let take = Take {
        max,
        ..Take::default()
    };
    queue.take(take).await.unwrap()
}

pub(crate) async fn machine() -> Machine {
    Machine::start(&SimDisk::new(), &Rng::seeded(1), Setup::default()).unwrap()
}

#[tokio::test]
async fn what_is_published_is_delivered_in_order_and_gone_when_settled() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    put(&queue, &["a", "b", "c"]).await;
    assert_eq!((queue.stats().ready, queue.stats().ready_bytes), (3, 3));
    let mut consumer = queue.consume(ConsumerSettings::default()).unwrap();
    let got = some(&mut consumer, 3).await;
    assert_eq!(texts(&got), ["a", "b", "c"]);
    assert!(got.iter().all(|d| !d.redelivered && d.attempts == 1));
    assert_eq!(
        got.iter().map(|d| d.ready_left).collect::<Vec<_>>(),
        [2, 1, 0]
    );
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 3));
    let settled = queue.settle(&[got[0].receipt, got[2].receipt], Outcome::Accept);
    assert_eq!(settled.known, [true, true]);
    settled.durable().await.unwrap();
    let again = queue.settle(&[got[0].receipt], Outcome::Accept);
    assert_eq!(again.known, [false]);
    let back = Outcome::Release {
        counted: true,
        delay: None,
    };
    queue.settle(&[got[1].receipt], back);
    let got = some(&mut consumer, 1).await;
    assert_eq!(texts(&got), ["b"]);
    assert!(got[0].redelivered && got[0].attempts == 2);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn consumers_take_turns_and_credit_is_kept() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    let settings = ConsumerSettings {
        prefetch: 2,
        ..ConsumerSettings::default()
    };
    let mut first = queue.consume(settings.clone()).unwrap();
    let mut second = queue.consume(settings).unwrap();
    put(&queue, &["1", "2", "3", "4", "5", "6"]).await;
    let one = some(&mut first, 2).await;
    let two = some(&mut second, 2).await;
    assert_eq!(
        (texts(&one), texts(&two)),
        (
            vec!["1".to_owned(), "3".to_owned()],
            vec!["2".to_owned(), "4".to_owned()]
        )
    );
    assert_eq!(queue.stats().leased, 4);
    queue.settle(&[two[0].receipt], Outcome::Accept);
    assert_eq!(texts(&some(&mut second, 1).await), ["5"]);
    // A limit that two consumers share.
    drop((first, second));
    let credit = Credit::new(1);
    let settings = ConsumerSettings {
        shared: Some(credit.clone()),
        ..ConsumerSettings::default()
    };
    let other = machine.declare("others", QueueSettings::default()).await;
    let mut first = queue.consume(settings.clone()).unwrap();
    let mut second = other.consume(settings).unwrap();
    let got = some(&mut first, 1).await;
    assert_eq!(texts(&got), ["6"]);
    put(&other, &["x"]).await;
    assert_eq!(other.stats().ready, 1, "the credit is used up");
    queue.settle(&[got[0].receipt], Outcome::Accept);
    let got = some(&mut second, 1).await;
    assert_eq!(texts(&got), ["x"]);
    // One that begins while others hold all of the credit, and one that does and leaves.
    let late = machine.declare("late", QueueSettings::default()).await;
    put(&late, &["y"]).await;
    let settings = ConsumerSettings {
        shared: Some(credit),
        ..ConsumerSettings::default()
    };
    drop(late.consume(settings.clone()).unwrap());
    let mut third = late.consume(settings).unwrap();
    assert_eq!(late.stats().ready, 1);
    other.settle(&[got[0].receipt], Outcome::Accept);
    assert_eq!(texts(&some(&mut third, 1).await), ["y"]);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_higher_priority_is_served_first_and_a_single_active_consumer_alone() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    let low = ConsumerSettings {
        prefetch: 5,
        ..ConsumerSettings::default()
    };
    let high = ConsumerSettings {
        priority: 3,
        prefetch: 1,
        ..ConsumerSettings::default()
    };
    let mut low = queue.consume(low).unwrap();
    let mut high = queue.consume(high).unwrap();
    put(&queue, &["1", "2", "3"]).await;
    assert_eq!(texts(&some(&mut high, 1).await), ["1"]);
    assert_eq!(texts(&some(&mut low, 2).await), ["2", "3"]);
    let single = QueueSettings {
        single_active: true,
        ..QueueSettings::default()
    };
    let queue = machine.declare("single", single).await;
    let mut first = queue.consume(ConsumerSettings::default()).unwrap();
    let mut second = queue.consume(ConsumerSettings::default()).unwrap();
    put(&queue, &["1", "2"]).await;
    assert_eq!(texts(&some(&mut first, 2).await), ["1", "2"]);
    put(&queue, &["3"]).await;
    drop(first);
    assert_eq!(texts(&some(&mut second, 1).await), ["3"]);
    assert_eq!(queue.stats().leased, 3, "leases stay with nobody");
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn who_waits_is_served_and_who_goes_takes_nothing() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    assert!(take(&queue, 3).await.is_empty());
    let wait = Take {
        max: 2,
        wait: Duration::from_secs(20),
        lease: Some(Duration::from_secs(30)),
        ..Take::default()
    };
    {
        let gone = queue.take(wait);
        tokio::pin!(gone);
        let polled = poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx).is_ready())).await;
        assert!(!polled);
    }
    let both = async {
        put(&queue, &["a", "b", "c"]).await;
    };
    let (got, ()) = tokio::join!(queue.take(wait), both);
    let got = got.unwrap();
    assert_eq!(texts(&got), ["a", "b"]);
    assert_eq!((queue.stats().ready, queue.stats().leased), (1, 2));
    // A lease that is made longer, and one that ends.
    let longer = queue.extend(got[1].receipt, Duration::from_secs(60));
    assert_eq!(longer, Extended::Leased);
    machine.clock.advance(Duration::from_secs(31));
    let again = take(&queue, 5).await;
    assert_eq!(texts(&again), ["a", "c"]);
    assert!(again[0].redelivered && again[0].attempts == 2 && !again[1].redelivered);
    assert_eq!(
        queue.settle(&[got[0].receipt], Outcome::Accept).known,
        [false]
    );
    queue.settle(
        &[again[0].receipt, again[1].receipt, got[1].receipt],
        Outcome::Accept,
    );
    let gone = queue.extend(got[1].receipt, Duration::from_secs(60));
    assert_eq!(gone, Extended::Gone);
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 0));
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_cancelled_consumer_had_not_come_for_is_as_new() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    for auto_settle in [false, true] {
        put(&queue, &["a", "b"]).await;
        let settings = ConsumerSettings {
            auto_settle,
            ..ConsumerSettings::default()
        };
        let consumer = queue.consume(settings).unwrap();
        while queue.stats().leased < 2 {
            tokio::task::yield_now().await;
        }
        queue.cancel(consumer.id());
        assert_eq!((queue.stats().ready, queue.stats().leased), (2, 0));
        let settle = Take {
            max: 9,
            auto_settle: true,
            ..Take::default()
        };
        let got = queue.take(settle).await.unwrap();
        assert_eq!(texts(&got), ["a", "b"]);
        assert!(got.iter().all(|d| !d.redelivered && d.attempts == 1));
        assert_eq!((queue.stats().ready, queue.stats().leased), (0, 0));
    }
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn exclusive_consumers_purges_and_deletions() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    let exclusive = ConsumerSettings {
        exclusive: true,
        prefetch: 1,
        ..ConsumerSettings::default()
    };
    let mut consumer = queue.consume(exclusive.clone()).unwrap();
    assert!(queue.consume(ConsumerSettings::default()).is_err());
    put(&queue, &["a", "b", "c"]).await;
    let got = some(&mut consumer, 1).await;
    assert_eq!(
        texts(&queue.peek(0, 9, usize::MAX).await.unwrap()),
        ["b", "c"]
    );
    assert_eq!(texts(&queue.peek(1, 9, usize::MAX).await.unwrap()), ["c"]);
    // The message that reaches the bound is the last.
    assert_eq!(texts(&queue.peek(0, 9, 1).await.unwrap()), ["b"]);
    assert_eq!(texts(&queue.peek(0, 9, 2).await.unwrap()), ["b", "c"]);
    assert_eq!(queue.purge(false).await.unwrap(), 2);
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 1));
    assert_eq!(
        queue.settle(&[got[0].receipt], Outcome::Accept).known,
        [true]
    );
    put(&queue, &["d"]).await;
    assert_eq!(texts(&some(&mut consumer, 1).await), ["d"]);
    assert_eq!(queue.purge(true).await.unwrap(), 1);
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 0));
    let unused = broker::queue::DeleteWhen {
        unused: true,
        empty: false,
    };
    let queues = machine.queues();
    let in_use = queues.delete(&queue, unused).await;
    assert!(matches!(in_use, Err(broker::Error::InUse(_))), "{in_use:?}");
    put(&queue, &["e"]).await;
    assert_eq!(texts(&some(&mut consumer, 1).await), ["e"]);
    queues
        .delete(&queue, broker::queue::DeleteWhen::default())
        .await
        .unwrap();
    let event = poll_fn(|cx| Pin::new(&mut consumer).poll_next(cx)).await;
    assert_eq!(event, Some(ConsumerEvent::Cancelled));
    assert!(queues.get("/", "jobs").is_none());
    assert!(queue.publish(vec![message("x")]).is_err());
    assert!(
        machine.broker.topic("jobs").is_err(),
        "its topic goes with it"
    );
    machine.stop().await.unwrap();
}
