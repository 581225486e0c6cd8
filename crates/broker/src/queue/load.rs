//! What a start reads back: the queues of the control state, their cursors from the journal, and
//! the deduplication windows from the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Offset;
use store::AppendOptions;
use tracing::info;

use super::QueueId;
use super::handle::Inner;
use super::journal::{self, Kept};
use super::lane::Lane;
use super::queues::{Made, Queues};
use super::settings::QueueSettings;
use crate::broker::Broker;
use crate::error::Error;

impl Queues {
    pub(super) fn load(&self, broker: &Broker) -> Result<(), Error> {
        let meta = broker.meta();
        let rows = meta.queues()?;
        let mut kept = self.read_journal()?;
        let mut lost = 0;
        for row in rows {
            let topic = row.topic_id.and_then(|id| broker.topic_by_id(id).ok());
            let settings = serde_json::from_value::<QueueSettings>(row.settings.clone());
            let (Some(topic), Ok(settings)) = (topic, settings) else {
                // Its declaration or its deletion was interrupted: nobody counts on it.
                lost += 1;
                meta.delete_queue(row.id)?;
                continue;
            };
            let id = QueueId(row.id);
            let mut lanes_kept = kept.lanes.remove(&id).unwrap_or_default();
            let mut hidden = 0;
            let mut lanes = Vec::new();
            for (number, partition) in topic.partitions().iter().enumerate() {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                let kept = lanes_kept.remove(&number).unwrap_or_default();
                hidden += kept.value.map_or(0, |value| value.hidden);
                lanes.push(Lane::restore(partition.stream().clone(), kept));
            }
            let made = Made {
                id,
                namespace: Arc::from(row.namespace.as_str()),
                name: Arc::from(row.name.as_str()),
                topic,
                owns_topic: row.owns_topic,
                durable: true,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
                settings,
            };
            if made.owns_topic {
                broker.shared().topics.write().claim(lanes.len());
            }
            let queue = self.0.make(made, lanes);
            queue.0.restore_dedup()?;
            let mut state = queue.0.state.lock();
            // Hidden messages have to be found before their time.
            state.watch |= hidden > 0 || state.lanes.iter().any(|lane| lane.unread() > 0);
            let watch = state.watch;
            queue.0.interested.store(watch, Ordering::Release);
            drop(state);
            self.0.insert(queue.clone());
            if watch {
                queue.0.schedule();
            }
        }
        if lost > 0 {
            info!(lost, "queues that were being declared or deleted are gone");
        }
        self.forget_unknown(&kept)
    }

    /// What the journal still has of queues that are no more.
    fn forget_unknown(&self, kept: &Kept) -> Result<(), Error> {
        let now_ms = self.0.clock.unix_ms();
        for (id, lanes) in &kept.lanes {
            let Some(batch) = journal::forget_kept(*id, lanes, now_ms) else {
                continue;
            };
            let options = AppendOptions {
                epoch: self.0.epoch,
                log_append_time: None,
            };
            match self.0.journal.stream.append(batch, options) {
                // The next start tries again.
                Err(store::Error::Busy) => break,
                other => other?,
            };
        }
        Ok(())
    }

    fn read_journal(&self) -> Result<Kept, Error> {
        let mut kept = Kept::default();
        let stream = &self.0.journal.stream;
        let mut at = stream.start();
        while at < stream.end() {
            let read = stream.read(at, 1 << 20)?;
            if read.next <= at {
                break;
            }
            for record in super::window::all(&read, at.0, self.0.decompressed_bytes_max)? {
                if let Some(key) = &record.key {
                    kept.record(key, record.value.as_deref());
                }
            }
            at = read.next;
        }
        Ok(kept)
    }
}

impl Inner {
    /// Reads the deduplication window back from the log. Blocks.
    fn restore_dedup(&self) -> Result<(), Error> {
        let now_ms = self.shared.clock.unix_ms();
        let max = self.shared.config.dedup_max;
        let mut state = self.state.lock();
        let Some(mut dedup) = state.dedup.take() else {
            return Ok(());
        };
        let from = now_ms.saturating_sub(dedup.window_ms());
        for (number, lane) in state.lanes.iter().enumerate() {
            let stream = &lane.stream;
            let Some((start, ..)) = stream.by_timestamp(from)? else {
                continue;
            };
            let mut at = start;
            while at < stream.end() {
                let read = stream.read(at, 1 << 20)?;
                if read.next <= at {
                    break;
                }
                let bytes_max = self.shared.decompressed_bytes_max;
                for record in super::window::all(&read, at.0, bytes_max)? {
                    let Some(key) = dedup.key(&record.attributes) else {
                        continue;
                    };
                    let id = record.attributes.message_id.as_deref();
                    let first = super::dedup::First {
                        lane: u16::try_from(number).unwrap_or(u16::MAX),
                        offset: record.offset,
                        message_id: id.map(bytes::Bytes::copy_from_slice),
                    };
                    if record.timestamp_ms >= from && dedup.get(key).is_none() {
                        dedup.insert(key, first, record.timestamp_ms, max);
                    }
                }
                at = Offset(read.next.0);
            }
        }
        state.dedup = Some(dedup);
        Ok(())
    }
}
