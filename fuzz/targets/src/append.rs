//! A batch that keeps its checksum and nothing else, to topics of every kind of configuration: the
//! partition refuses it, or stores something that can be read as what it said. The first byte
//! chooses the topic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{Ack, Broker, NewTopic, Partition};
use bytes::Bytes;
use store::batch::{BatchHeader, HEADER_LEN, check_crc, decompress, records};

use crate::batch;
use crate::engine::Engine;

/// Configurations that make the partition look into batches.
const CONFIGS: &[&[(&str, &str)]] = &[
    &[],
    &[("compression.type", "gzip")],
    &[("compression.type", "uncompressed")],
    &[("message.timestamp.type", "LogAppendTime")],
    // What is compacted would have fewer records.
    &[
        ("cleanup.policy", "compact"),
        ("min.compaction.lag.ms", "1000000000000"),
    ],
    &[("max.message.bytes", "300")],
];

thread_local! {
    static TOPICS: RefCell<Option<(Engine, Vec<Arc<Partition>>)>> = const { RefCell::new(None) };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    let [topic, data @ ..] = data else { return };
    TOPICS.with_borrow_mut(|topics| {
        let (engine, partitions) = topics.get_or_insert_with(open);
        let partition = &partitions[usize::from(*topic) % partitions.len()];
        let sent = Bytes::from(batch::seal(data));
        let Ok(appended) = partition.append(&sent) else {
            return;
        };
        let acknowledged = partition.acknowledged(&appended, Ack::Quorum);
        engine
            .runtime
            .block_on(acknowledged)
            .expect("the disk is never full");
        let stream = engine
            .broker
            .store()
            .stream(partition.id())
            .expect("it has just been used");
        let read = stream
            .read(appended.first, 1)
            .expect("what is durable can be read");
        let mut bytes = Vec::new();
        for piece in &read.pieces {
            match piece {
                store::Piece::Memory(part) => bytes.extend_from_slice(part),
                store::Piece::File(range) => bytes.extend(range.read().expect("it is there")),
            }
        }
        check(&bytes, &sent);
    });
}

/// What is stored is a batch with as many records as were sent.
fn check(stored: &[u8], sent: &[u8]) {
    let header = BatchHeader::parse(stored).expect("a batch was stored");
    let sent = BatchHeader::parse(sent).expect("a batch was taken");
    check_crc(&stored[..header.total_len()]).expect("its checksum holds");
    assert_eq!(
        (header.count, header.last_offset_delta),
        (sent.count, sent.last_offset_delta)
    );
    let codec = header.compression().expect("a codec that is known");
    // What nobody had to look into may hold anything.
    let body = &stored[HEADER_LEN..header.total_len()];
    let Ok(plain) = decompress(codec, body, 1 << 20) else {
        return;
    };
    let _ = records(&plain).count();
}

fn open() -> (Engine, Vec<Arc<Partition>>) {
    let engine = Engine::new(true);
    let partitions = CONFIGS
        .iter()
        .enumerate()
        .map(|(at, config)| topic(&engine, at, config));
    let partitions = partitions.collect();
    (engine, partitions)
}

fn topic(engine: &Engine, at: usize, config: &[(&str, &str)]) -> Arc<Partition> {
    let broker: &Broker = &engine.broker;
    // The records are years old: by default they would be deleted at once.
    let kept = [("retention.ms", "-1")];
    let pairs = config.iter().chain(&kept);
    let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let new = NewTopic {
        name: format!("t{at}"),
        partitions: Some(1),
        config: pairs.collect::<BTreeMap<_, _>>(),
        internal: false,
    };
    let topic = engine
        .runtime
        .block_on(broker.create_topic(new, false))
        .unwrap();
    topic.partition(0).unwrap()
}

/// Batches in each compression, to each topic.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let to = |topic: usize| {
        let batches = batch::seeds().into_iter();
        batches.map(move |batch| [&[u8::try_from(topic).unwrap()][..], &batch].concat())
    };
    (0..CONFIGS.len()).flat_map(to).collect()
}
