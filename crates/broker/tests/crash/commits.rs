//! Commits and deletions of offsets that are under way together: memory and log agree on which came
//! last, whatever the order in which their callers hear of it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use base::{ByteSize, Rng};
use broker::group::Committed;
use broker::{Broker, NewTopic};
use bytes::Bytes;
use store::batch::{BatchBuilder, Compression};
use store::sim::{Action, SimDisk};

use crate::machine::Machine;

const GROUP: &str = "readers";
const TOPIC: &str = "orders";

async fn commit(broker: &Broker, offset: i64) {
    let at = Committed::new(offset, -1, String::new());
    let offsets = vec![(TOPIC.to_owned(), 0, at)];
    let outcomes = broker.groups().commit(GROUP, ("", None, -1), offsets);
    outcomes.await.unwrap().into_iter().for_each(Result::unwrap);
}

async fn delete(broker: &Broker) {
    let partitions = [(TOPIC.to_owned(), 0)];
    let deleted = broker.groups().delete_offsets(GROUP, &partitions);
    deleted.await.unwrap();
}

/// Lets it begin.
async fn begin(mut work: Pin<&mut impl Future<Output = ()>>) {
    poll_fn(|context| {
        assert!(work.as_mut().poll(context).is_pending(), "it is held up");
        Poll::Ready(())
    })
    .await;
}

fn committed(broker: &Broker) -> Option<i64> {
    let at = broker.groups().committed(GROUP, TOPIC, 0);
    at.map(|at| at.offset)
}

async fn machine(disk: &SimDisk, queue: u64) -> Machine {
    let config = store::Config {
        commit_queue_bytes: ByteSize(queue),
        ..store::Config::default()
    };
    let machine = Machine::with(disk, &Rng::seeded(1), config).unwrap();
    let new = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(1),
        ..NewTopic::default()
    };
    machine.broker.create_topic(new, false).await.unwrap();
    commit(&machine.broker, 1).await;
    machine
}

/// What is known now is what a start finds.
async fn check(machine: Machine, disk: &SimDisk, wanted: Option<i64>) {
    assert_eq!(committed(&machine.broker), wanted, "in memory");
    machine.stop().await.unwrap();
    let machine = Machine::start(disk, &Rng::seeded(2)).unwrap();
    assert_eq!(committed(&machine.broker), wanted, "in the log");
    machine.stop().await.unwrap();
}

#[tokio::test]
async fn a_commit_behind_a_deletion_stays() {
    let disk = SimDisk::new();
    let machine = machine(&disk, 1 << 20).await;
    let gate = disk.close_gate(Action::Sync, "wal/", 0);
    {
        let (mut deletion, mut commit) = (
            pin!(delete(&machine.broker)),
            pin!(commit(&machine.broker, 7)),
        );
        begin(deletion.as_mut()).await;
        begin(commit.as_mut()).await;
        disk.open_gate(gate);
        commit.await;
        deletion.await;
    }
    check(machine, &disk, Some(7)).await;
}

#[tokio::test]
async fn a_commit_before_a_deletion_does_not_come_back() {
    let disk = SimDisk::new();
    let machine = machine(&disk, 1 << 20).await;
    let gate = disk.close_gate(Action::Sync, "wal/", 0);
    {
        let (mut commit, mut deletion) = (
            pin!(commit(&machine.broker, 7)),
            pin!(delete(&machine.broker)),
        );
        begin(commit.as_mut()).await;
        begin(deletion.as_mut()).await;
        disk.open_gate(gate);
        deletion.await;
        commit.await;
    }
    check(machine, &disk, None).await;
}

#[tokio::test]
async fn a_full_queue_keeps_the_order_of_commits() {
    let disk = SimDisk::new();
    let machine = machine(&disk, 1).await;
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(b"x"), []);
    let filler: Bytes = builder.build(Compression::None).unwrap();
    // What the start has written counts until a moment after its answer.
    machine.broker.room().await;
    let gate = disk.close_gate(Action::Sync, "wal/", 0);
    let partition = machine.broker.topic(TOPIC).unwrap().partition(0).unwrap();
    partition.append(&filler).unwrap();
    {
        let (mut first, mut second) = (
            pin!(commit(&machine.broker, 7)),
            pin!(commit(&machine.broker, 8)),
        );
        begin(first.as_mut()).await;
        begin(second.as_mut()).await;
        disk.open_gate(gate);
        machine.broker.room().await;
        // The later one looks first.
        tokio::join!(second, first);
    }
    check(machine, &disk, Some(8)).await;
}
