//! A client that costs next to nothing: batches are made once and only stamped, so that what is
//! measured is the server.
//!
//! It behaves as a busy producer does: one connection, five requests under way, in each a batch of
//! 16 KiB (Java's default) for every partition, idempotent with acks=all. The consumer fetches
//! without a session and counts records by the headers of batches.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use store::batch::{BatchBuilder, BatchHeader, Compression};

use crate::connection::{Connection, check_produced, produce_frame, read_answer};

/// The size at which a producer sends a batch.
const BATCH_BYTES: usize = 16 << 10;
/// Requests under way (`max.in.flight.requests.per.connection`).
const IN_FLIGHT: usize = 5;
/// A request is not larger, as a producer's is not (`max.request.size`).
const REQUEST_BYTES: usize = 1 << 20;
/// Nothing came for this long: something is wrong.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What is produced and consumed.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// Of a record's value, in bytes.
    pub(crate) size: usize,
    /// -1 or 1.
    pub(crate) acks: i16,
    /// Records in all.
    pub(crate) records: usize,
}

impl Load {
    /// Whether its producers are idempotent: all that can be.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.acks == -1
    }
}

/// The records of one batch: `count` values of `size` bytes that do not compress to nothing.
fn batch(size: usize, count: usize) -> Result<BytesMut> {
    let mut builder = BatchBuilder::new();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_millis();
    let mut seed = 88_172_645_463_325_252_u64;
    for _ in 0..count {
        let mut value = Vec::with_capacity(size);
        while value.len() < size {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            value.push(b' ' + (seed % 90) as u8);
        }
        builder.push(i64::try_from(now)?, None, Some(&value), []);
    }
    Ok(BytesMut::from(&builder.build(Compression::None)?[..]))
}

/// Sets producer and sequence of a batch, and its checksum.
fn stamp(batch: &mut BytesMut, producer: (i64, i16), sequence: i32) -> Bytes {
    batch[43..51].copy_from_slice(&producer.0.to_be_bytes());
    batch[51..53].copy_from_slice(&producer.1.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::copy_from_slice(batch)
}

/// Produces it all; how long that took, until the last acknowledgement.
pub(crate) fn produce(address: SocketAddr, load: &Load) -> Result<Duration> {
    let count = (BATCH_BYTES / (load.size + 12)).max(1);
    let mut batch = batch(load.size, count)?;
    let mut connection = Connection::open(address)?;
    let producer = load
        .is_idempotent()
        .then(|| connection.producer_id())
        .transpose()?;
    let per_request = (REQUEST_BYTES / batch.len()).clamp(1, usize::try_from(load.partitions)?);
    let requests = load.records.div_ceil(count * per_request);
    let mut answers = connection.socket()?;
    let mut buffer = BytesMut::new();
    let mut sequences = vec![0_i32; usize::try_from(load.partitions)?];
    let (mut at, mut acknowledged) = (0, 0);
    let started = Instant::now();
    for sent in 0..requests {
        let batches = (0..per_request).map(|_| {
            let partition = at % sequences.len();
            at += 1;
            let records = match producer {
                Some(producer) => stamp(&mut batch, producer, sequences[partition]),
                None => Bytes::copy_from_slice(&batch),
            };
            sequences[partition] += i32::try_from(count).unwrap_or(0);
            (i32::try_from(partition).unwrap_or(0), records)
        });
        let id = i32::try_from(sent)?;
        connection.send(&produce_frame(id, &load.topic, load.acks, batches)?)?;
        while sent + 1 - acknowledged >= IN_FLIGHT
            || (sent + 1 == requests && acknowledged < requests)
        {
            let (id, answer) = read_answer(&mut answers, &mut buffer)?;
            ensure!(id == i32::try_from(acknowledged)?, "answers out of order");
            check_produced(answer)?;
            acknowledged += 1;
        }
    }
    Ok(started.elapsed())
}

/// Reads `load.records` records from the beginning; how long that took.
pub(crate) fn consume(address: SocketAddr, load: &Load) -> Result<Duration> {
    let mut connection = Connection::open(address)?;
    let mut offsets = vec![0; usize::try_from(load.partitions)?];
    let mut records = 0;
    let started = Instant::now();
    let mut last = started;
    while records < load.records {
        for (partition, mut rest) in connection.fetch(&load.topic, &offsets)? {
            last = Instant::now();
            while let Ok(header) = BatchHeader::parse(&rest) {
                if header.total_len() > rest.len() {
                    break;
                }
                records += usize::try_from(header.count)?;
                offsets[partition] = i64::try_from(header.next_offset())?;
                rest = rest.slice(header.total_len()..);
            }
        }
        ensure!(
            last.elapsed() < SILENCE_MAX,
            "{records} of {} records came",
            load.records
        );
    }
    Ok(started.elapsed())
}
