//! Time, limits, order, dead letters.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use base::{Clock, Rng};
use broker::message::{Attributes, DeathReason, Message};
use broker::queue::{
    ConsumerSettings, DeadLetter, Dedup, DedupScope, DeleteWhen, Outcome, Overflow, Queue,
    QueueSettings, Take, Verdict,
};
use bytes::Bytes;
use store::batch::{BatchBuilder, Compression};
use store::sim::{Action, SimDisk};

use crate::basics::{machine, put, some, take, texts};
use crate::machine::{Machine, Setup, message};

fn with(text: &str, attributes: Attributes) -> Message {
    Message {
        attributes,
        ..message(text)
    }
}

async fn publish(queue: &Queue, messages: Vec<Message>) -> Vec<Verdict> {
    let published = queue.publish(messages).unwrap();
    published.durable().await.unwrap();
    published.verdicts
}

/// Waits until the queue holds so many ready messages: what moves by itself needs a moment.
pub(crate) async fn until_ready(queue: &Queue, count: u64) {
    while queue.stats().ready != count {
        tokio::task::yield_now().await;
    }
}

fn group(name: &'static str) -> Attributes {
    Attributes {
        group: Some(Bytes::from_static(name.as_bytes())),
        ..Attributes::default()
    }
}

#[tokio::test]
async fn messages_expire_by_the_queue_and_by_themselves_and_are_dead_lettered() {
    let machine = machine().await;
    let dead = machine.declare("dead", QueueSettings::default()).await;
    let settings = QueueSettings {
        message_ttl: Some(Duration::from_secs(10)),
        dead_letter: Some(DeadLetter::Exchange {
            exchange: String::new(),
            routing_key: Some(Bytes::from_static(b"dead")),
        }),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let expires = Attributes {
        expires_ms: Some(1_002_000),
        routing_keys: vec![Bytes::from_static(b"jobs")],
        ..Attributes::default()
    };
    publish(&queue, vec![with("soon", expires), message("later")]).await;
    machine.clock.advance(Duration::from_secs(5));
    assert_eq!(texts(&take(&queue, 1).await), ["later"]);
    until_ready(&dead, 1).await;
    let got = take(&dead, 9).await;
    assert_eq!(texts(&got), ["soon"]);
    let attributes = &got[0].attributes;
    assert_eq!(attributes.source.as_deref(), Some("jobs"));
    assert_eq!(attributes.routing_keys, [Bytes::from_static(b"dead")]);
    assert_eq!(attributes.expires_ms, None);
    let death = &attributes.deaths[0];
    assert_eq!((death.reason, death.count), (DeathReason::Expired, 1));
    assert_eq!(death.original_expiration_ms, Some(2000));
    assert_eq!(death.routing_keys, [Bytes::from_static(b"jobs")]);
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 1));
    machine.stop().await.unwrap();
}

/// The timer's: nobody asks the queue for anything.
#[tokio::test]
async fn what_is_due_happens_by_itself() {
    let setup = Setup {
        clock: Clock::system(),
        ..Setup::default()
    };
    let machine = Machine::start(&SimDisk::new(), &Rng::seeded(1), setup).unwrap();
    let dead = machine.declare("dead", QueueSettings::default()).await;
    let settings = QueueSettings {
        message_ttl: Some(Duration::from_millis(60)),
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        expires: Some(Duration::from_millis(200)),
        ..QueueSettings::default()
    };
    let begin = machine.clock.unix_ms();
    let queue = machine.declare("retry", settings).await;
    publish(&queue, vec![message("a")]).await;
    let wait = Take {
        wait: Duration::from_secs(50),
        lease: Some(Duration::from_millis(30)),
        ..Take::default()
    };
    let got = dead.take(wait).await.unwrap();
    assert_eq!(texts(&got), ["a"]);
    assert!(machine.clock.unix_ms() - begin >= 60);
    // The lease ends, and whoever waits gets it.
    let again = dead.take(wait).await.unwrap();
    assert_eq!(
        (texts(&again), again[0].attempts),
        (vec!["a".to_owned()], 2)
    );
    // Nobody uses the queue: it goes.
    while machine.queues().get("/", "retry").is_some() {
        tokio::task::yield_now().await;
    }
    assert!(machine.clock.unix_ms() - begin >= 200);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn delays_hide_and_retention_drops_in_silence() {
    let machine = machine().await;
    let settings = QueueSettings {
        delay: Some(Duration::from_secs(5)),
        retention: Some(Duration::from_secs(100)),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let at_once = Attributes {
        deliver_ms: Some(0),
        ..Attributes::default()
    };
    let late = Attributes {
        deliver_ms: Some(1_090_000),
        ..Attributes::default()
    };
    let messages = vec![with("late", late), message("delayed"), with("now", at_once)];
    publish(&queue, messages).await;
    assert_eq!((queue.stats().ready, queue.stats().delayed), (1, 2));
    assert_eq!(texts(&take(&queue, 9).await), ["now"]);
    assert_eq!((queue.stats().ready, queue.stats().delayed), (0, 2));
    machine.clock.advance(Duration::from_secs(5));
    assert_eq!((queue.stats().ready, queue.stats().delayed), (1, 1));
    let got = take(&queue, 9).await;
    assert_eq!(texts(&got), ["delayed"]);
    let later = Outcome::Release {
        counted: true,
        delay: Some(Duration::from_secs(7)),
    };
    queue.settle(&[got[0].receipt], later);
    assert_eq!((queue.stats().ready, queue.stats().delayed), (0, 2));
    machine.clock.advance(Duration::from_secs(7));
    assert_eq!(take(&queue, 9).await[0].attempts, 2);
    machine.clock.advance(Duration::from_secs(200));
    assert!(take(&queue, 9).await.is_empty(), "the rest is too old");
    assert_eq!(queue.stats().delayed, 0);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_drops_its_head_or_rejects() {
    let machine = machine().await;
    let dead = machine.declare("dead", QueueSettings::default()).await;
    let full = |overflow| QueueSettings {
        length_max: Some(2),
        overflow,
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        ..QueueSettings::default()
    };
    let queue = machine.declare("head", full(Overflow::DropHead)).await;
    put(&queue, &["1", "2", "3", "4"]).await;
    until_ready(&dead, 2).await;
    let got = take(&dead, 9).await;
    assert_eq!(texts(&got), ["1", "2"]);
    assert_eq!(got[0].attributes.deaths[0].reason, DeathReason::MaxLength);
    assert_eq!(texts(&take(&queue, 9).await), ["3", "4"]);
    let queue = machine.declare("reject", full(Overflow::Reject)).await;
    let verdicts = publish(&queue, vec![message("1"), message("2"), message("3")]).await;
    assert_eq!(verdicts[2], Verdict::Rejected);
    assert_eq!(queue.stats().ready, 2);
    let queue = machine
        .declare("letter", full(Overflow::RejectDeadLetter))
        .await;
    let verdicts = publish(&queue, vec![message("1"), message("2"), message("3")]).await;
    assert_eq!(verdicts[2], Verdict::Rejected);
    until_ready(&dead, 1).await;
    assert_eq!(texts(&take(&dead, 9).await), ["3"]);
    let bytes = QueueSettings {
        bytes_max: Some(5),
        ..QueueSettings::default()
    };
    let queue = machine.declare("bytes", bytes).await;
    put(&queue, &["123", "456", "78"]).await;
    until_ready(&queue, 2).await;
    assert_eq!(texts(&take(&queue, 9).await), ["456", "78"]);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn higher_lanes_go_first_and_returned_messages_before_new_ones() {
    let machine = machine().await;
    let settings = QueueSettings {
        lanes: 5,
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let priority = |priority| Attributes {
        priority,
        ..Attributes::default()
    };
    let messages = vec![
        with("low", priority(0)),
        with("high", priority(9)),
        with("middle", priority(2)),
        with("high too", priority(4)),
    ];
    publish(&queue, messages).await;
    let got = take(&queue, 1).await;
    assert_eq!(texts(&got), ["high"]);
    let back = Outcome::Release {
        counted: true,
        delay: None,
    };
    queue.settle(&[got[0].receipt], back);
    let got = take(&queue, 9).await;
    assert_eq!(texts(&got), ["high", "high too", "middle", "low"]);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn groups_keep_their_order_while_others_go_on() {
    let machine = machine().await;
    let settings = QueueSettings {
        ordered_groups: true,
        lease: Some(Duration::from_secs(30)),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let messages = ["a1", "a2", "b1", "a3", "b2"];
    let messages = messages.iter().map(|text| {
        let name = if text.starts_with('a') { "a" } else { "b" };
        with(text, group(name))
    });
    publish(&queue, messages.collect()).await;
    let first = take(&queue, 2).await;
    assert_eq!(
        texts(&first),
        ["a1", "a2"],
        "one taker may have several of a group"
    );
    let second = take(&queue, 9).await;
    assert_eq!(texts(&second), ["b1", "b2"]);
    assert!(take(&queue, 9).await.is_empty(), "a3 waits for a1 and a2");
    queue.settle(&[first[0].receipt], Outcome::Accept);
    assert!(take(&queue, 9).await.is_empty(), "a3 waits for a2");
    // a2 comes back: it goes before a3.
    let back = Outcome::Release {
        counted: true,
        delay: None,
    };
    queue.settle(&[first[1].receipt], back);
    let third = take(&queue, 1).await;
    assert_eq!(texts(&third), ["a2"]);
    assert!(take(&queue, 9).await.is_empty());
    queue.settle(&[third[0].receipt], Outcome::Accept);
    assert_eq!(texts(&take(&queue, 9).await), ["a3"]);
    assert_eq!((queue.stats().ready, queue.stats().leased), (0, 3));
    // Of three that are leased the first and the last come back while the second goes on.
    queue.purge(true).await.unwrap();
    let messages = ["x", "y", "z"].map(|text| with(text, group("g"))).to_vec();
    publish(&queue, messages).await;
    let three = take(&queue, 3).await;
    assert_eq!(texts(&three), ["x", "y", "z"]);
    let longer = queue.extend(three[1].receipt, Duration::from_secs(100));
    assert_eq!(longer, broker::queue::Extended::Leased);
    machine.clock.advance(Duration::from_secs(31));
    assert_eq!(texts(&take(&queue, 9).await), ["x"]);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_was_seen_is_not_queued_again() {
    let machine = machine().await;
    let settings = QueueSettings {
        dedup: Some(Dedup {
            window: Duration::from_secs(300),
            scope: DedupScope::Queue,
        }),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let known = |id: &'static str, message_id: &'static str| Attributes {
        dedup: Some(Bytes::from_static(id.as_bytes())),
        message_id: Some(Bytes::from_static(message_id.as_bytes())),
        ..Attributes::default()
    };
    let messages = vec![
        with("one", known("1", "m1")),
        with("two", known("2", "m2")),
        with("one again", known("1", "m3")),
    ];
    let verdicts = publish(&queue, messages).await;
    assert!(
        matches!(verdicts[2], Verdict::Duplicate { offset: 0, .. }),
        "{verdicts:?}"
    );
    let got = take(&queue, 9).await;
    assert_eq!(texts(&got), ["one", "two"]);
    queue.settle(&[got[0].receipt], Outcome::Accept);
    let verdicts = publish(&queue, vec![with("still", known("1", "m4"))]).await;
    let first = Verdict::Duplicate {
        lane: 0,
        offset: 0,
        message_id: Some(Bytes::from_static(b"m1")),
    };
    assert_eq!(verdicts, [first]);
    machine.clock.advance(Duration::from_secs(301));
    let verdicts = publish(&queue, vec![with("new", known("1", "m5"))]).await;
    assert!(matches!(verdicts[0], Verdict::Queued { .. }));
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_duplicate_is_durable_no_sooner_than_its_first() {
    let disk = SimDisk::new();
    let machine = Machine::start(&disk, &Rng::seeded(1), Setup::default()).unwrap();
    let settings = QueueSettings {
        dedup: Some(Dedup {
            window: Duration::from_secs(300),
            scope: DedupScope::Queue,
        }),
        ..QueueSettings::default()
    };
    let queue = machine.declare("jobs", settings).await;
    let known = Attributes {
        dedup: Some(Bytes::from_static(b"1")),
        ..Attributes::default()
    };
    let gate = disk.close_gate(Action::Sync, "wal/", 0);
    let first = queue.publish(vec![with("a", known.clone())]).unwrap();
    let second = queue.publish(vec![with("a", known)]).unwrap();
    assert!(matches!(second.verdicts[0], Verdict::Duplicate { .. }));
    {
        let mut waiting = pin!(second.durable());
        let begun = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await;
        assert!(!begun, "the first is on its way to the disk yet");
        disk.open_gate(gate);
        waiting.await.unwrap();
    }
    first.durable().await.unwrap();
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn the_brokers_own_header_is_not_a_publishers_to_write() {
    let machine = machine().await;
    let queue = machine.declare("jobs", QueueSettings::default()).await;
    // Tag 7 is the group.
    let forged = (
        Bytes::from_static(b"stentor"),
        Some(Bytes::from_static(b"\x07\x01g")),
    );
    let other = (Bytes::from_static(b"h"), None);
    for attributes in [group("own"), Attributes::default()] {
        let mut message = with("a", attributes.clone());
        message.headers = vec![forged.clone(), other.clone()];
        publish(&queue, vec![message]).await;
        let got = take(&queue, 1).await;
        assert_eq!(got[0].attributes, attributes);
        assert_eq!(got[0].headers, std::slice::from_ref(&other));
    }
    // Nor is it a producer's who writes the topic itself.
    let mut builder = BatchBuilder::new();
    let value = forged.1.as_deref();
    builder.push(0, None, Some(b"a"), [(&forged.0[..], value)]);
    let batch = builder.build(Compression::None).unwrap();
    let partition = queue.topic().partition(0).unwrap();
    partition.append(&batch).unwrap();
    let got = take(&queue, 1).await;
    assert_eq!(got[0].attributes, Attributes::default());
    assert!(got[0].headers.is_empty());
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_moved_back_is_no_duplicate_of_itself() {
    let machine = machine().await;
    let to = |name: &str| QueueSettings {
        dedup: Some(Dedup {
            window: Duration::from_secs(300),
            scope: DedupScope::Queue,
        }),
        dead_letter: Some(DeadLetter::Queue(name.to_owned())),
        ..QueueSettings::default()
    };
    let first = machine.declare("first", to("second")).await;
    let second = machine.declare("second", to("first")).await;
    let known = Attributes {
        dedup: Some(Bytes::from_static(b"1")),
        ..Attributes::default()
    };
    publish(&first, vec![with("a", known)]).await;
    for (from, into) in [(&first, &second), (&second, &first)] {
        let got = take(from, 1).await;
        from.settle(&[got[0].receipt], Outcome::Reject);
        until_ready(into, 1).await;
    }
    let got = take(&first, 9).await;
    assert_eq!(texts(&got), ["a"]);
    assert_eq!(got[0].attributes.deaths.len(), 2);
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn queues_go_with_their_last_consumer_and_with_their_owner() {
    let machine = machine().await;
    let queues = machine.queues().clone();
    let settings = QueueSettings {
        auto_delete: true,
        ..QueueSettings::default()
    };
    let queue = machine.declare("auto", settings).await;
    let consumer = queue.consume(ConsumerSettings::default()).unwrap();
    drop(consumer);
    while queues.get("/", "auto").is_some() {
        tokio::task::yield_now().await;
    }
    let owner = queues.new_owner();
    let settings = QueueSettings {
        owner: Some(owner),
        ..QueueSettings::default()
    };
    let mine = machine.declare("mine", settings).await;
    put(&mine, &["a"]).await;
    queues.drop_owner(owner).await;
    queues.drop_owner(owner).await;
    assert!(queues.get("/", "mine").is_none());
    let empty = DeleteWhen {
        empty: true,
        unused: false,
    };
    let queue = machine.declare("full", QueueSettings::default()).await;
    put(&queue, &["a"]).await;
    let refused = queues.delete(&queue, empty).await;
    assert!(
        matches!(refused, Err(broker::Error::NotEmpty(_))),
        "{refused:?}"
    );
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn an_auto_settling_consumer_leaves_nothing_behind() {
    let machine = machine().await;
    let queue = machine.declare("fast", QueueSettings::default()).await;
    let settings = ConsumerSettings {
        auto_settle: true,
        ..ConsumerSettings::default()
    };
    let mut consumer = queue.consume(settings).unwrap();
    let names: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for part in names.chunks(300) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        put(&queue, &part).await;
    }
    let got = some(&mut consumer, 1000).await;
    assert_eq!(texts(&got), names);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.leased, stats.ready_bytes), (0, 0, 0));
    machine.stop().await.unwrap();
}
