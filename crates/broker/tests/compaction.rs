//! What the engine itself relies on survives compaction: producers' sequences and groups.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected is met"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ledger, Metrics, Millis, Rng, Tasks};
use broker::group::Committed;
use broker::{Ack, Appended, Broker, Error, NewTopic, Partition, Parts, ProducerProblem};
use bytes::Bytes;
use meta::Meta;
use store::Store;
use store::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN, rebuild};
use store::sim::SimDisk;

const T0: i64 = 1_700_000_000_000;

struct World {
    disk: SimDisk,
    clock: Clock,
    meta: Meta,
    broker: Broker,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(), Clock::manual(T0));
        let meta = Meta::in_memory(Rng::seeded(1)).unwrap();
        let broker = open(&disk, &clock, &meta);
        Self {
            disk,
            clock,
            meta,
            broker,
        }
    }

    /// The machine loses power, and the engine starts again.
    async fn crash(&mut self, seed: u64) {
        self.disk = self.disk.crash(seed);
        let _ = self.broker.close().await;
        self.broker = open(&self.disk, &self.clock, &self.meta);
    }

    async fn topic(&self, config: &[(&str, &str)]) -> Arc<Partition> {
        let config = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let new = NewTopic {
            name: "t".to_owned(),
            partitions: Some(1),
            config: config.collect(),
            internal: false,
        };
        self.broker.create_topic(new, false).await.unwrap();
        self.partition("t")
    }

    fn partition(&self, topic: &str) -> Arc<Partition> {
        self.broker.topic(topic).unwrap().partition(0).unwrap()
    }

    /// Lets what there is grow old enough for a segment of its own, and compacts it.
    fn compact(&self) {
        self.clock.advance(Duration::from_secs(2));
        self.broker.store().compact().unwrap();
    }

    fn size(&self, topic: &str) -> u64 {
        let topic = self.broker.topic(topic).unwrap();
        topic.partitions().iter().map(|p| p.size()).sum()
    }
}

fn open(disk: &SimDisk, clock: &Clock, meta: &Meta) -> Broker {
    let (metrics, tasks) = (Metrics::default(), Tasks::current());
    let store = Store::open(
        store::Config {
            maintenance_interval: Millis(86_400_000),
            ..store::Config::default()
        },
        store::Parts {
            disk: Arc::new(disk.clone()),
            clock: clock.clone(),
            ledger: Ledger::new(1 << 30),
            tasks: tasks.clone(),
            metrics: metrics.clone(),
        },
    )
    .unwrap();
    Broker::open(Parts {
        store,
        meta: meta.clone(),
        clock: clock.clone(),
        rng: Rng::seeded(2),
        tasks,
        metrics,
        config: broker::Config::default(),
        exchanges: broker::exchange::Config::default(),
        groups: broker::group::Config {
            offsets_partitions: 1,
            ..broker::group::Config::default()
        },
        queues: broker::queue::Config::default(),
    })
    .unwrap()
}

const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0"),
];

/// A batch of one record of `producer`, with this sequence.
fn batch(clock: &Clock, producer: i64, sequence: i32, key: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    let value = format!("{producer}/{sequence}");
    builder.push(
        clock.unix_ms(),
        Some(key.as_bytes()),
        Some(value.as_bytes()),
        [],
    );
    let built = builder.build(Compression::None).unwrap();
    let header = BatchHeader {
        producer_id: producer,
        producer_epoch: 0,
        base_sequence: sequence,
        ..BatchHeader::parse(&built).unwrap()
    };
    rebuild(&header, &built[HEADER_LEN..], Compression::None, 0).unwrap()
}

async fn append(partition: &Arc<Partition>, batch: &Bytes) -> Result<Appended, Error> {
    let appended = partition.append(batch)?;
    partition.acknowledged(&appended, Ack::Quorum).await?;
    Ok(appended)
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_are_known_when_all_their_records_are_gone() {
    let mut world = World::new();
    let partition = world.topic(COMPACTED).await;
    let mut offsets = Vec::new();
    for sequence in 0..8 {
        let appended = append(&partition, &batch(&world.clock, 7, sequence, "k")).await;
        offsets.push(appended.unwrap().first);
    }
    append(&partition, &batch(&world.clock, 8, 0, "k"))
        .await
        .unwrap();
    world.compact();
    // Nothing but the table of producers tells of them now, and that is lost.
    world.crash(3).await;
    let partition = world.partition("t");
    let known: Vec<_> = partition
        .producers()
        .iter()
        .map(|p| (p.id, p.last_sequence))
        .collect();
    assert_eq!(known, [(7, 7), (8, 0)]);
    for sequence in 3..8 {
        let again = append(&partition, &batch(&world.clock, 7, sequence, "k")).await;
        let again = again.unwrap();
        let at = usize::try_from(sequence).unwrap();
        assert_eq!((again.duplicate, again.first), (true, offsets[at]));
    }
    let skipped = append(&partition, &batch(&world.clock, 7, 9, "k")).await;
    assert!(matches!(
        skipped,
        Err(Error::Producer(ProducerProblem::OutOfOrder { last: 7, .. }))
    ));
    let next = append(&partition, &batch(&world.clock, 7, 8, "k")).await;
    assert!(!next.unwrap().duplicate);
    world.broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_refuses_what_has_no_key_and_deletions_by_offset() {
    let world = World::new();
    let partition = world.topic(COMPACTED).await;
    let mut builder = BatchBuilder::new();
    builder.push(T0, None, Some(b"v"), []);
    let keyless = builder.build(Compression::None).unwrap();
    assert!(matches!(
        append(&partition, &keyless).await,
        Err(Error::Batch(broker::BatchProblem::Records(_)))
    ));
    assert!(matches!(
        partition.delete_before(None).await,
        Err(Error::Policy(_))
    ));
    // Compacted and deleted: then offsets may be deleted.
    let both = BTreeMap::from([("cleanup.policy".to_owned(), "compact,delete".to_owned())]);
    world
        .broker
        .set_topic_config("t", both, false)
        .await
        .unwrap();
    append(&partition, &batch(&world.clock, 1, 0, "k"))
        .await
        .unwrap();
    assert_eq!(partition.delete_before(None).await.unwrap().0, 1);
    world.broker.close().await.unwrap();
}

async fn commit(world: &World, group: &str, topic: &str, offset: i64) {
    let at = Committed::new(offset, 0, "note".to_owned());
    let offsets = vec![(topic.to_owned(), 0, at)];
    let outcome = world.broker.groups().commit(group, ("", None, -1), offsets);
    assert!(outcome.await.unwrap().iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_the_same_and_take_little_room() {
    let mut world = World::new();
    let set: BTreeMap<_, _> = COMPACTED
        .iter()
        .chain(&[("delete.retention.ms", "60000")])
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    assert!(
        world
            .broker
            .topic(broker::group::TOPIC)
            .unwrap()
            .config()
            .is_compacted()
    );
    let topic = broker::group::TOPIC;
    world
        .broker
        .set_topic_config(topic, set, false)
        .await
        .unwrap();
    for offset in 0..40 {
        commit(&world, "stays", "orders", offset).await;
        commit(&world, "goes", "orders", offset).await;
        commit(
            &world,
            "shrinks",
            if offset % 2 == 0 { "a" } else { "b" },
            offset,
        )
        .await;
    }
    let groups = world.broker.groups();
    groups.delete("goes").await.unwrap();
    groups
        .delete_offsets("shrinks", &[("a".to_owned(), 0)])
        .await
        .unwrap();
    let before = world.size(topic);
    let check = |world: &World| {
        let groups = world.broker.groups();
        let offset =
            |group: &str, topic: &str| groups.committed(group, topic, 0).map(|at| at.offset);
        assert_eq!(offset("stays", "orders"), Some(39));
        assert_eq!(offset("goes", "orders"), None);
        assert_eq!(offset("shrinks", "a"), None);
        assert_eq!(offset("shrinks", "b"), Some(39));
        let names: Vec<_> = groups.list().into_iter().map(|group| group.name).collect();
        assert_eq!(names, ["shrinks", "stays"]);
    };
    for round in 0..3 {
        world.compact();
        check(&world);
        world.crash(round).await;
        check(&world);
        // Tombstones go in the second round.
        world.clock.advance(Duration::from_secs(61));
        commit(&world, "stays", "orders", 39).await;
    }
    let after = world.size(topic);
    assert!(after * 15 < before, "{after} of {before} bytes");
    world.broker.close().await.unwrap();
}
