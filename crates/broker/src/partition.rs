//! A partition: validation, deduplication, append, and the questions about its offsets.
//!
//! An append is cheap and never waits: validate (header and checksum; records only where the
//! topic asks for it), then under the partition's lock ask the producer table, queue in the store,
//! remember the sequence. Waiting for the disk is a step of its own
//! ([`Partition::acknowledged`]), so that a head can have many appends under way.

use std::sync::Arc;

use base::{Offset, StreamId};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use store::{AppendOptions, Stream};
use tracing::error;

use crate::broker::Shared;
use crate::error::Error;
pub use crate::producer::ProducerInfo;
use crate::producer::{ProducerTable, Stamp, Verdict};
use crate::topic_config::{TimestampType, TopicConfig};
use crate::validate::{self, Checked};

/// What an append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Nothing.
    None,
    /// That the leader has written it.
    Leader,
    /// That it is as durable as the topic promises.
    Quorum,
}

/// Where a batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub first: Offset,
    /// One past the last record's offset.
    pub next: Offset,
    /// The broker's time on the batch, where the topic says that its time counts.
    pub append_time: Option<i64>,
    /// Whether it had been appended before; then nothing was added.
    pub duplicate: bool,
}

/// One partition of a topic.
pub struct Partition {
    topic: Arc<str>,
    stream: Stream,
    epoch: i32,
    config: RwLock<Arc<TopicConfig>>,
    inner: Arc<Mutex<Inner>>,
    /// Why it takes nothing more: who has sent what is not known any more.
    fenced: Option<store::Error>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Inner {
    producers: ProducerTable,
    since_snapshot: u64,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.stream.id().partition)
    }
}

impl Partition {
    pub(crate) fn open(
        topic: Arc<str>,
        stream: Stream,
        epoch: i32,
        config: Arc<TopicConfig>,
        shared: Arc<Shared>,
    ) -> Result<Self, Error> {
        let limit = shared.config.producers_per_partition_max;
        let loaded = load_producers(&stream, limit, shared.clock.unix_ms());
        let (producers, fenced) = match loaded {
            Ok(producers) => (producers, None),
            // One stream's damage is no reason to keep all others from their clients.
            Err(Error::Store(damage @ store::Error::Damaged { .. })) => {
                error!(%topic, stream = %stream.id(), error = %damage, "a damaged partition is fenced");
                (ProducerTable::default(), Some(damage))
            }
            Err(error) => return Err(error),
        };
        let inner = Arc::new(Mutex::new(Inner {
            producers,
            since_snapshot: 0,
        }));
        // Producers' sequences must survive that their records are compacted away. Whoever is
        // asked for them while an append is under way waits for it, so that none is missed.
        let weak = Arc::downgrade(&inner);
        stream.pin_batches(move || {
            weak.upgrade()
                .map(|inner| inner.lock().producers.batches())
                .unwrap_or_default()
        });
        Ok(Self {
            topic,
            stream,
            epoch,
            config: RwLock::new(config),
            inner,
            fenced,
            shared,
        })
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Its stream's identity: topic id and partition number.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    /// Its number, from 0.
    #[must_use]
    pub fn index(&self) -> i32 {
        i32::try_from(self.stream.id().partition).unwrap_or(i32::MAX)
    }

    /// The current leader epoch.
    #[must_use]
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The first offset kept.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.stream.start()
    }

    /// One past the last offset that readers may see.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.stream.end()
    }

    /// Bytes at rest.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.stream.size()
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(crate) fn configure(&self, config: &Arc<TopicConfig>) {
        *self.config.write() = config.clone();
        self.stream.configure(config.stream.clone());
    }

    /// Compares the epoch that a client believes in with ours; `None` is no belief.
    ///
    /// # Errors
    /// [`Error::FencedEpoch`], [`Error::UnknownEpoch`].
    pub fn check_epoch(&self, asked: Option<i32>) -> Result<(), Error> {
        let current = self.epoch;
        match asked {
            Some(asked) if asked < current => Err(Error::FencedEpoch { asked, current }),
            Some(asked) if asked > current => Err(Error::UnknownEpoch { asked, current }),
            _ => Ok(()),
        }
    }

    /// Why it takes no batches, if it does not: damage that a start has met.
    #[must_use]
    pub fn fenced(&self) -> Option<&store::Error> {
        self.fenced.as_ref()
    }

    /// Validates one batch and queues it. Returns at once; the order of calls is the order in the
    /// log. [`Partition::acknowledged`] waits for the disk.
    ///
    /// # Errors
    /// [`Error::Batch`], [`Error::Producer`], [`Error::Store`]; `store::Error::Busy` when the
    /// commit queue is full: wait for [`crate::Broker::room`] and try again.
    pub fn append(&self, batch: &Bytes) -> Result<Appended, Error> {
        if let Some(damage) = &self.fenced {
            return Err(Error::Store(damage.clone()));
        }
        let config = self.config.read().clone();
        let now_ms = self.shared.clock.unix_ms();
        let checked = match validate::check(batch, &config, &self.shared.config, now_ms) {
            Ok(checked) => checked,
            Err(problem) => {
                self.shared.metrics.batches_refused.inc();
                return Err(Error::Batch(problem));
            }
        };
        let append_time = (config.timestamp_type == TimestampType::LogAppend).then_some(now_ms);
        self.append_checked(checked, append_time, now_ms)
    }

    fn append_checked(
        &self,
        checked: Checked,
        append_time: Option<i64>,
        now_ms: i64,
    ) -> Result<Appended, Error> {
        let metrics = &self.shared.metrics;
        let bytes = checked.batch.len() as u64;
        let options = AppendOptions {
            epoch: self.epoch,
            log_append_time: append_time,
        };
        let mut inner = self.inner.lock();
        if let Some(stamp) = checked.stamp {
            match inner.producers.check(stamp).map_err(Error::Producer)? {
                Verdict::Append => {}
                Verdict::Duplicate {
                    first,
                    next,
                    timestamp,
                } => {
                    metrics.batches_duplicate.inc();
                    let append_time = append_time.map(|_| timestamp);
                    return Ok(Appended {
                        first,
                        next,
                        append_time,
                        duplicate: true,
                    });
                }
            }
        }
        let appended = self.stream.append(checked.batch, options)?;
        if let Some(stamp) = checked.stamp {
            let evicted = inner.producers.record(
                stamp,
                (appended.first, appended.next),
                append_time.unwrap_or(checked.max_timestamp),
                now_ms,
                self.shared.config.producers_per_partition_max,
            );
            metrics.producers_evicted.inc_by(evicted);
        }
        self.snapshot_when_due(&mut inner, bytes, appended.next);
        drop(inner);
        metrics.batches_appended.inc();
        metrics.records_appended.inc_by(u64::from(checked.count));
        metrics.bytes_appended.inc_by(bytes);
        Ok(Appended {
            first: appended.first,
            next: appended.next,
            append_time,
            duplicate: false,
        })
    }

    fn snapshot_when_due(&self, inner: &mut Inner, bytes: u64, next: Offset) {
        inner.since_snapshot += bytes;
        if inner.since_snapshot >= self.shared.config.producer_snapshot_bytes.0 {
            inner.since_snapshot = 0;
            if !inner.producers.is_empty() {
                self.stream
                    .checkpoint_blob(next, Bytes::from(inner.producers.encode()));
            }
        }
    }

    /// Saves the producers' state; called at a clean shutdown, so that the next start replays
    /// nothing.
    pub(crate) fn snapshot(&self) {
        if self.fenced.is_some() {
            return;
        }
        let inner = self.inner.lock();
        if inner.since_snapshot > 0 && !inner.producers.is_empty() {
            let next = self.stream.appended_end();
            self.stream
                .checkpoint_blob(next, Bytes::from(inner.producers.encode()));
        }
    }

    /// Waits until an append is as durable as `ack` asks.
    ///
    /// # Errors
    /// [`Error::Store`] when the store stopped before it was.
    pub async fn acknowledged(&self, appended: &Appended, ack: Ack) -> Result<(), Error> {
        match ack {
            Ack::None => Ok(()),
            Ack::Leader => Ok(self.stream.written(appended.next).await?),
            Ack::Quorum => Ok(self.stream.durable(appended.next).await?),
        }
    }

    /// The first record whose timestamp is at least `at` (milliseconds): its offset, timestamp and
    /// leader epoch. May read from disk.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn by_timestamp(
        self: &Arc<Self>,
        at: i64,
    ) -> Result<Option<(Offset, i64, i32)>, Error> {
        let this = self.clone();
        self.shared
            .blocking("broker.by_timestamp", move || {
                Ok(this.stream.by_timestamp(at)?)
            })
            .await
    }

    /// The record with the largest timestamp: its offset, timestamp and leader epoch. May read
    /// from disk.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn max_timestamp(self: &Arc<Self>) -> Result<Option<(Offset, i64, i32)>, Error> {
        let this = self.clone();
        self.shared
            .blocking("broker.max_timestamp", move || {
                Ok(this.stream.max_timestamp()?)
            })
            .await
    }

    /// The largest leader epoch that is at most `epoch`, and where it ends (KIP-101).
    #[must_use]
    pub fn epoch_end(&self, epoch: i32) -> Option<(i32, Offset)> {
        if epoch == self.epoch {
            return Some((epoch, self.end()));
        }
        if epoch > self.epoch {
            return None;
        }
        self.stream.epoch_end(epoch)
    }

    /// The leader epoch in which the record at `offset` was written; the current one when that is
    /// not known any more.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> i32 {
        self.stream.epoch_of(offset).unwrap_or(self.epoch)
    }

    /// Deletes the records below `before`; `None` means all that readers may see. Returns the
    /// new first offset; durable when it returns.
    ///
    /// # Errors
    /// [`Error::Policy`] for a topic that is only compacted, [`Error::OutOfRange`] beyond the end,
    /// [`Error::Store`].
    pub async fn delete_before(self: &Arc<Self>, before: Option<i64>) -> Result<Offset, Error> {
        let cleanup = self.config.read().stream.cleanup;
        if cleanup.compact && !cleanup.delete {
            return Err(Error::Policy(format!(
                "topic `{}` is compacted: its records are not deleted by offset",
                self.topic
            )));
        }
        let (start, end) = (self.start(), self.end());
        let from = before.unwrap_or_else(|| i64::try_from(end.0).unwrap_or(i64::MAX));
        let to = u64::try_from(from)
            .ok()
            .map(Offset)
            .filter(|to| *to <= end)
            .ok_or(Error::OutOfRange { from, start, end })?;
        let this = self.clone();
        self.shared
            .blocking("broker.delete_before", move || {
                Ok(this.stream.trim_to(to)?)
            })
            .await
    }

    /// The producers whose batches are deduplicated here.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerInfo> {
        self.inner.lock().producers.list()
    }

    /// How many producers there are whose batches are deduplicated here.
    #[must_use]
    pub fn producers_count(&self) -> usize {
        self.inner.lock().producers.count()
    }

    /// Forgets producers that have been silent since before `before_ms`.
    pub(crate) fn expire_producers(&self, before_ms: i64) {
        self.inner.lock().producers.expire(before_ms);
    }
}

/// The producers' state as the log tells it: the last save, then the headers after it.
fn load_producers(stream: &Stream, limit: usize, now_ms: i64) -> Result<ProducerTable, Error> {
    let saved = stream
        .blob()
        // It must not speak of batches that a crash has taken.
        .filter(|(at, _)| *at <= stream.end())
        .and_then(|(at, blob)| Some((at, ProducerTable::decode(&blob)?)));
    let (from, mut table) = saved.unwrap_or_else(|| (stream.start(), ProducerTable::default()));
    for header in stream.headers(from) {
        let header = header?;
        if header.producer_id < 0 || header.base_sequence < 0 {
            continue;
        }
        let count = u32::try_from(header.last_offset_delta)
            .unwrap_or(0)
            .saturating_add(1);
        let first = Offset(u64::try_from(header.base_offset).unwrap_or(0));
        if first < from {
            continue;
        }
        let stamp = Stamp::new(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            count,
        );
        let next = first.plus(u64::from(count));
        // Silence is counted from the start: how long the process was down says nothing.
        table.record(stamp, (first, next), header.max_timestamp, now_ms, limit);
    }
    Ok(table)
}
