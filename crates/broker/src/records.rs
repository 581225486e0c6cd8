//! Single records over a log of batches: for protocols that have no batches of their own.
//!
//! [`Publisher`] chooses a partition for each record, packs what goes to one partition into
//! batches, appends them and waits. [`Broker::read_records`] reads batches, unpacks them, and
//! hands out the records from the wanted offset on.
//!
//! A record with a key goes to the partition that Kafka's default partitioner chooses (murmur2 of
//! the key), so that all protocols agree on where a key lives. Records without a key that are
//! published together stay together, and the next call takes the next partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base::Offset;
use bytes::Bytes;
use store::batch::{self, BatchBuilder, BatchHeader, Compression, HEADER_LEN};
use store::{Piece, Read};

use crate::broker::Broker;
use crate::error::{BatchProblem, Error};
use crate::partition::{Ack, Appended, Partition};
use crate::read::{ReadOne, ReadRequest};
use crate::topic::Topic;

/// Room for a record's own numbers (lengths, deltas, counts), over its key, value and headers.
const RECORD_OVERHEAD: usize = 64;
/// The same for one header.
const HEADER_OVERHEAD: usize = 10;

/// A header's name and value; names may repeat and keep their order.
pub type RecordHeader = (Bytes, Option<Bytes>);

/// A record to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The partition; `None` lets the key decide, or the publisher where there is none.
    pub partition: Option<i32>,
    /// What it is about.
    pub key: Option<Bytes>,
    /// What it says; `None` deletes the key where the topic is compacted.
    pub value: Option<Bytes>,
    /// Whatever else goes with it.
    pub headers: Vec<RecordHeader>,
    /// Its time in milliseconds since 1970; `None` is now.
    pub timestamp: Option<i64>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: Offset,
    /// Its time in milliseconds since 1970; -1 for none.
    pub timestamp: i64,
    /// What it is about.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Option<Bytes>,
    /// Whatever else goes with it.
    pub headers: Vec<RecordHeader>,
}

/// Where a published record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: Offset,
}

/// From where to read one partition.
#[derive(Clone, Debug)]
pub struct ReadFrom {
    /// The partition.
    pub partition: Arc<Partition>,
    /// The first offset wanted.
    pub from: i64,
}

/// How much to read, and how long to wait for it.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// How many records of all partitions together.
    pub records: usize,
    /// How many bytes of batches of all partitions together; the first batch is read whatever
    /// its size.
    pub bytes: usize,
    /// How long to wait when there is nothing.
    pub wait: Duration,
}

/// What was read of one partition.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Where to read on.
    pub next: Offset,
    /// The first offset kept.
    pub start: Offset,
    /// One past the last readable offset.
    pub end: Offset,
}

/// Publishes records one by one; one per head.
#[derive(Debug)]
pub struct Publisher {
    broker: Broker,
    /// The partition of the next records without a key.
    turn: AtomicU32,
}

impl Publisher {
    /// A publisher over `broker`.
    #[must_use]
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            turn: AtomicU32::new(0),
        }
    }

    /// Publishes `records` in their order and waits as `ack` says. Says for each where it is.
    /// When it fails, records before the one to blame may have been appended.
    ///
    /// # Errors
    /// [`Error::Policy`] for an internal topic, [`Error::UnknownPartition`], [`Error::Batch`],
    /// [`Error::Store`].
    pub async fn publish(
        &self,
        topic: &Topic,
        records: Vec<NewRecord>,
        ack: Ack,
    ) -> Result<Vec<Published>, Error> {
        if topic.is_internal() {
            let why = format!("topic `{}` holds the broker's own state", topic.name());
            return Err(Error::Policy(why));
        }
        let mut packed = self.pack(topic, &records)?;
        drop(records);
        let count = packed.iter().map(|packed| packed.places.len()).sum();
        for packed in &mut packed {
            packed.appended = Some(self.append(packed).await?);
        }
        let nowhere = Published {
            partition: -1,
            offset: Offset(0),
        };
        let mut published = vec![nowhere; count];
        for packed in &packed {
            let Some(appended) = &packed.appended else {
                continue;
            };
            packed.partition.acknowledged(appended, ack).await?;
            for (place, at) in packed.places.iter().zip(0_u64..) {
                let partition = packed.partition.index();
                if let Some(published) = published.get_mut(*place) {
                    *published = Published {
                        partition,
                        offset: appended.first.plus(at),
                    };
                }
            }
        }
        Ok(published)
    }

    async fn append(&self, packed: &Packed) -> Result<Appended, Error> {
        loop {
            match packed.partition.append(&packed.batch) {
                Err(Error::Store(store::Error::Busy)) => self.broker.room().await,
                other => return other,
            }
        }
    }

    /// Batches in the order in which their first records came.
    fn pack(&self, topic: &Topic, records: &[NewRecord]) -> Result<Vec<Packed>, Error> {
        let partitions = topic.partitions();
        let count = u32::try_from(partitions.len()).unwrap_or(1).max(1);
        let keyless = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let bytes_max = topic.config().max_message_bytes.saturating_sub(HEADER_LEN);
        let now_ms = self.broker.clock().unix_ms();
        let mut open: Vec<Option<Open>> = partitions.iter().map(|_| None).collect();
        let mut packed = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let index = match (record.partition, &record.key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => i32::try_from(partition_of(key, count)).unwrap_or(0),
                (None, None) => i32::try_from(keyless).unwrap_or(0),
            };
            let partition = topic.partition(index)?;
            let slot = usize::try_from(index).ok().and_then(|at| open.get_mut(at));
            let Some(slot) = slot else {
                return Err(unknown_partition(topic, index));
            };
            let size = size_of(record);
            if slot
                .as_ref()
                .is_some_and(|open| open.builder.len() + size > bytes_max)
                && let Some(full) = slot.take()
            {
                packed.push(full.close()?);
            }
            let open = slot.get_or_insert_with(|| Open::new(partition));
            open.push(place, record, now_ms);
        }
        for open in open.into_iter().flatten() {
            packed.push(open.close()?);
        }
        // What goes to one partition was closed in order already.
        packed.sort_by_key(|packed| packed.places.first().copied());
        Ok(packed)
    }
}

fn unknown_partition(topic: &Topic, partition: i32) -> Error {
    Error::UnknownPartition {
        topic: topic.name().to_string(),
        partition: i64::from(partition),
    }
}

fn size_of(record: &NewRecord) -> usize {
    let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let header = |(name, value): &RecordHeader| HEADER_OVERHEAD + name.len() + len(value);
    let headers: usize = record.headers.iter().map(header).sum();
    RECORD_OVERHEAD + len(&record.key) + len(&record.value) + headers
}

/// A batch in the making, and which of the request's records are in it.
struct Open {
    partition: Arc<Partition>,
    builder: BatchBuilder,
    places: Vec<usize>,
}

/// A batch that is ready.
struct Packed {
    partition: Arc<Partition>,
    batch: Bytes,
    places: Vec<usize>,
    appended: Option<Appended>,
}

impl Open {
    fn new(partition: Arc<Partition>) -> Self {
        Self {
            partition,
            builder: BatchBuilder::new(),
            places: Vec::new(),
        }
    }

    fn push(&mut self, place: usize, record: &NewRecord, now_ms: i64) {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| (&name[..], value.as_deref()));
        self.builder.push(
            record.timestamp.unwrap_or(now_ms),
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        );
        self.places.push(place);
    }

    fn close(self) -> Result<Packed, Error> {
        let batch = self
            .builder
            .build(Compression::None)
            .map_err(|error| Error::Batch(BatchProblem::Invalid(error.to_string())))?;
        Ok(Packed {
            partition: self.partition,
            batch,
            places: self.places,
            appended: None,
        })
    }
}

/// The partition of `key` among `partitions`, as Kafka's default partitioner has it.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// MurmurHash2 (Appleby, 32 bits) with the seed that Kafka's clients use.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

impl Broker {
    /// Reads records of several partitions; waits as long as `limits` say when there is nothing in
    /// any of them. An answer in the order of `wanted`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Store`], [`Error::Batch`] for a batch that cannot be
    /// unpacked.
    pub async fn read_records(
        &self,
        wanted: &[ReadFrom],
        limits: ReadLimits,
    ) -> Result<Vec<Records>, Error> {
        let parts = wanted.iter().map(|one| ReadOne {
            partition: one.partition.clone(),
            from: one.from,
            max_bytes: limits.bytes,
        });
        let request = ReadRequest {
            parts: parts.collect(),
            min_bytes: 1,
            max_bytes: limits.bytes,
            max_wait: limits.wait,
            at_once: false,
        };
        let reads = self.read(request).await;
        let mut left = limits.records;
        let mut all = Vec::with_capacity(reads.len());
        for (one, read) in wanted.iter().zip(reads) {
            let from = Offset(u64::try_from(one.from).unwrap_or(0));
            let mut records = Records {
                next: from,
                start: read.start,
                end: read.end,
                ..Records::default()
            };
            if let Some(read) = read.result?.filter(|_| left > 0) {
                (records.records, records.next) = self.unpack(read, from, left).await?;
                left = left.saturating_sub(records.records.len());
            }
            all.push(records);
        }
        Ok(all)
    }

    /// Unpacks where it holds up no socket: files are read, batches decompressed.
    async fn unpack(
        &self,
        read: Read,
        from: Offset,
        records_max: usize,
    ) -> Result<(Vec<Record>, Offset), Error> {
        let bytes_max = self.config().decompressed_bytes_max.as_usize();
        self.shared()
            .blocking("broker.unpack", move || {
                let bytes = whole(&read)?;
                let mut unpack = Unpack {
                    from,
                    next: from,
                    records_max,
                    bytes_max,
                    records: Vec::new(),
                };
                let finished = unpack.batches(&bytes)?;
                let next = if finished {
                    read.next.max(unpack.next)
                } else {
                    unpack.next
                };
                Ok((unpack.records, next))
            })
            .await
    }
}

fn whole(read: &Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(read.bytes);
    for piece in &read.pieces {
        match piece {
            Piece::Memory(part) => bytes.extend_from_slice(part),
            Piece::File(range) => {
                let part = range.read().map_err(|error| corrupt(&error))?;
                bytes.extend_from_slice(&part);
            }
        }
    }
    Ok(bytes)
}

fn corrupt(error: &dyn std::fmt::Display) -> Error {
    Error::Batch(BatchProblem::Corrupt(error.to_string()))
}

struct Unpack {
    from: Offset,
    next: Offset,
    records_max: usize,
    bytes_max: usize,
    records: Vec<Record>,
}

impl Unpack {
    /// Whether it got to the end of `bytes` before it had enough records.
    fn batches(&mut self, mut bytes: &[u8]) -> Result<bool, Error> {
        while !bytes.is_empty() {
            let header = BatchHeader::parse(bytes).map_err(|e| corrupt(&e))?;
            let (batch, rest) = bytes
                .split_at_checked(header.total_len())
                .ok_or_else(|| corrupt(&"a batch is cut short"))?;
            bytes = rest;
            if !header.is_control() && !self.batch(&header, batch)? {
                return Ok(false);
            }
            self.next = self.next.max(Offset(header.next_offset()));
        }
        Ok(true)
    }

    fn batch(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<bool, Error> {
        let codec = header
            .compression()
            .ok_or_else(|| corrupt(&"an unknown compression"))?;
        let body = batch.get(HEADER_LEN..).unwrap_or_default();
        let plain = batch::decompress(codec, body, self.bytes_max).map_err(|e| corrupt(&e))?;
        let plain = Bytes::from(plain);
        let base = Offset(u64::try_from(header.base_offset).unwrap_or(0));
        for record in batch::records(&plain) {
            let record = record.map_err(|e| corrupt(&e))?;
            let offset = base.plus(u64::try_from(record.offset_delta).unwrap_or(0));
            if offset < self.from {
                continue;
            }
            if self.records.len() >= self.records_max {
                return Ok(false);
            }
            let timestamp = if header.is_log_append_time() {
                header.max_timestamp
            } else {
                header.base_timestamp.saturating_add(record.timestamp_delta)
            };
            let share = |part: &[u8]| plain.slice_ref(part);
            let headers = record.headers.map(|h| (share(h.key), h.value.map(share)));
            self.records.push(Record {
                offset,
                timestamp,
                key: record.key.map(share),
                value: record.value.map(share),
                headers: headers.collect(),
            });
            self.next = offset.plus(1);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
