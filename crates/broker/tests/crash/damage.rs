//! Damage in one stream is that stream's: the broker starts and serves all others.

use base::{Offset, Rng};
use broker::group::{Committed, GroupError};
use broker::{Ack, Broker, Error, NewTopic};
use bytes::Bytes;
use store::batch::{BatchBuilder, Compression};
use store::sim::SimDisk;

use crate::machine::Machine;

/// A batch that the sparse index has a place for.
fn batch() -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(&[7; 5000]), []);
    builder.build(Compression::None).unwrap()
}

async fn append(broker: &Broker, topic: &str) -> Result<(), Error> {
    let partition = broker.topic(topic)?.partition(0)?;
    let appended = loop {
        match partition.append(&batch()) {
            Err(Error::Store(store::Error::Busy)) => broker.room().await,
            other => break other?,
        }
    };
    partition.acknowledged(&appended, Ack::Quorum).await
}

async fn commit(broker: &Broker, group: &str, offset: i64) -> Result<(), GroupError> {
    let at = Committed::new(offset, -1, "m".repeat(4000));
    let outcomes = broker
        .groups()
        .commit(group, ("", None, -1), vec![("sound".to_owned(), 0, at)])
        .await?;
    outcomes.into_iter().collect()
}

/// Topics `rotten` and `sound`, and a group, all at rest. The second header of the stream of
/// `topic` is damaged; the index steps over it.
async fn damaged(topic: &str) -> SimDisk {
    let disk = SimDisk::new();
    let machine = Machine::start(&disk, &Rng::seeded(1)).unwrap();
    for name in ["rotten", "sound"] {
        let new = NewTopic {
            name: name.to_owned(),
            partitions: Some(1),
            ..NewTopic::default()
        };
        machine.broker.create_topic(new, false).await.unwrap();
        for _ in 0..4 {
            append(&machine.broker, name).await.unwrap();
        }
    }
    for offset in 1..5 {
        commit(&machine.broker, "readers", offset).await.unwrap();
    }
    machine.broker.store().flush().unwrap();
    let id = machine.broker.topic(topic).unwrap().id();
    machine.stop().await.unwrap();
    let disk = disk.copy();
    let files = disk.files();
    let mut logs = files
        .iter()
        .filter(|(path, _)| path.contains(&id.0.to_string()) && path.ends_with(".log"));
    let (first, _) = logs.next().unwrap();
    let bytes = disk.bytes(first).unwrap();
    let length = i32::from_be_bytes(bytes[8..12].try_into().unwrap());
    disk.flip_bit(first, (12 + length as u64 + 16) * 8).unwrap();
    disk
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

#[test]
fn a_damaged_partition_takes_nothing_and_all_others_go_on() {
    run(async {
        let disk = damaged("rotten").await;
        let machine = Machine::start(&disk, &Rng::seeded(2)).unwrap();
        let refused = append(&machine.broker, "rotten").await;
        let is_damage = matches!(refused, Err(Error::Store(store::Error::Damaged { .. })));
        assert!(is_damage, "{refused:?}");
        let partition = machine
            .broker
            .topic("rotten")
            .unwrap()
            .partition(0)
            .unwrap();
        assert_eq!(partition.end(), Offset(4));
        append(&machine.broker, "sound").await.unwrap();
        commit(&machine.broker, "readers", 9).await.unwrap();
        // What is behind the damage is sound; without the damage it takes batches again.
        partition.delete_before(Some(2)).await.unwrap();
        machine.stop().await.unwrap();
        let machine = Machine::start(&disk, &Rng::seeded(3)).unwrap();
        let after = machine
            .broker
            .topic("rotten")
            .unwrap()
            .partition(0)
            .unwrap();
        assert_eq!(after.start(), Offset(2));
        append(&machine.broker, "rotten").await.unwrap();
        machine.stop().await.unwrap();
    });
}

#[test]
fn groups_of_a_damaged_partition_are_not_served_with_old_offsets() {
    run(async {
        let disk = damaged(broker::group::TOPIC).await;
        let machine = Machine::start(&disk, &Rng::seeded(2)).unwrap();
        append(&machine.broker, "sound").await.unwrap();
        let groups = machine.broker.groups();
        let refused = groups.check("readers");
        let is_away = matches!(refused, Err(GroupError::Unavailable(_)));
        assert!(is_away, "{refused:?}");
        let refused = commit(&machine.broker, "readers", 9).await;
        let is_away = matches!(refused, Err(GroupError::Unavailable(_)));
        assert!(is_away, "{refused:?}");
        assert!(groups.list().is_empty());
        machine.stop().await.unwrap();
    });
}
