//! The journal of cursors: records of the internal, compacted topic [`TOPIC`].
//!
//! A record is about a lane (its floor, and below where everything has been looked at) or about a
//! chunk of it (which records are settled, how often the others were delivered). What changes is
//! written with all that is in the same chunk, many changes at a time, and without a sync of its
//! own: a task writes what is new every [`Config::settle_interval`](super::Config), whoever waits
//! for it writes it at once. A record below `seen` that is neither settled nor counted was
//! delivered once.

mod layout;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{HashMap, Offset};
use bytes::Bytes;
use parking_lot::Mutex;
use store::batch::{BatchBuilder, Compression};
use store::{AppendOptions, Stream};
use tokio::sync::Notify;

use super::QueueId;
use super::cursor::{CHUNK, Chunk};
use super::handle::Inner;
use super::lane::{Count, Lane};
use super::queues::Shared;
use super::state::{At, State};
use crate::error::Error;

pub(super) use layout::{ChunkValue, Key, LaneValue};

/// The topic's name.
pub(crate) const TOPIC: &str = "__queues";

/// What the journal's task works on.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) stream: Stream,
    /// Queues of which something is not written.
    dirty: Mutex<Vec<Arc<Inner>>>,
    wake: Notify,
}

/// A chunk as it is now, with `extra` settled too.
fn chunk_value(lane: &Lane, number: u64, extra: &[u64]) -> ChunkValue {
    let range = number * CHUNK..(number + 1) * CHUNK;
    let mut settled = lane.cursor.chunk(number).cloned();
    for offset in extra.iter().filter(|offset| range.contains(offset)) {
        let chunk = settled.get_or_insert_with(|| Chunk::Mixed(Box::new([0; 64]), 0));
        if let Chunk::Mixed(bits, count) = chunk {
            let at = offset % CHUNK;
            let word = &mut bits[(at / 64) as usize];
            let mask = 1 << (at % 64);
            *count += u16::from(*word & mask == 0);
            *word |= mask;
        }
    }
    let place = |offset: &u64| u16::try_from(offset % CHUNK).unwrap_or(0);
    let mut counts = Vec::new();
    for (offset, slot) in lane.slots.range(range.clone()) {
        // Once is what is taken for granted.
        if slot.attempts != 1 && !extra.contains(offset) {
            let count = Count {
                attempts: slot.attempts,
                first_ms: slot.first_ms,
            };
            counts.push((place(offset), count));
        }
    }
    for (offset, count) in lane.counts.range(range) {
        counts.push((place(offset), *count));
    }
    ChunkValue { settled, counts }
}

/// All that the journal does not know of a queue, and that `settled` is; `None` when that is
/// nothing.
pub(super) fn batch(queue: QueueId, state: &State, settled: &[At], now_ms: i64) -> Option<Bytes> {
    let mut builder = BatchBuilder::new();
    for (number, lane) in state.lanes.iter().enumerate() {
        let lane_number = u16::try_from(number).unwrap_or(u16::MAX);
        let mut put = |chunk: Option<u64>, value: Option<Vec<u8>>| {
            let key = Key {
                queue,
                lane: lane_number,
                chunk,
            };
            builder.push(now_ms, Some(&key.encode()), value.as_deref(), []);
        };
        let extra: Vec<u64> = settled
            .iter()
            .filter(|(of, _)| *of == lane_number)
            .map(|(_, offset)| *offset)
            .collect();
        let mut chunks = lane.cursor.dirty().clone();
        chunks.extend(extra.iter().map(|offset| offset / CHUNK));
        for chunk in &chunks {
            put(
                Some(*chunk),
                Some(chunk_value(lane, *chunk, &extra).encode()),
            );
        }
        let floor = lane.floor() / CHUNK;
        for chunk in lane.journaled.range(..floor) {
            put(Some(*chunk), None);
        }
        let hidden = lane.delayed_ahead + if number == 0 { state.delayed } else { 0 };
        let value = LaneValue::of(lane, hidden);
        if lane.kept != Some(value) {
            put(None, Some(value.encode()));
        }
    }
    if builder.is_empty() {
        return None;
    }
    // Built from records of a few hundred bytes each: it is never too long for a batch.
    builder.build(Compression::None).ok()
}

/// What was written is known to the journal.
pub(super) fn note_written(state: &mut State) {
    for number in 0..state.lanes.len() {
        let delayed = if number == 0 { state.delayed } else { 0 };
        let lane = &mut state.lanes[number];
        let written = lane.cursor.take_dirty();
        let floor = lane.floor() / CHUNK;
        lane.journaled = lane.journaled.split_off(&floor);
        lane.journaled.extend(written);
        let hidden = lane.delayed_ahead + delayed;
        lane.kept = Some(LaneValue::of(lane, hidden));
    }
    state.dirty = false;
}

/// Tombstones for all that the journal has of a queue.
pub(super) fn forget(queue: QueueId, lanes: &[Lane], now_ms: i64) -> Option<Bytes> {
    let mut builder = BatchBuilder::new();
    for (number, lane) in lanes.iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let chunks = lane.journaled.iter().copied().map(Some);
        for chunk in chunks.chain([None]) {
            let key = Key {
                queue,
                lane: number,
                chunk,
            };
            builder.push(now_ms, Some(&key.encode()), None, []);
        }
    }
    builder.build(Compression::None).ok()
}

/// Tombstones for a queue that is no more, from what the journal was found to have of it.
pub(super) fn forget_kept(
    queue: QueueId,
    lanes: &BTreeMap<u16, KeptLane>,
    now_ms: i64,
) -> Option<Bytes> {
    let mut builder = BatchBuilder::new();
    for (lane, kept) in lanes {
        let chunks = kept.chunks.keys().copied().map(Some);
        for chunk in chunks.chain(kept.value.map(|_| None)) {
            let key = Key {
                queue,
                lane: *lane,
                chunk,
            };
            builder.push(now_ms, Some(&key.encode()), None, []);
        }
    }
    let batch = builder.build(Compression::None).ok();
    batch.filter(|_| {
        lanes
            .values()
            .any(|kept| kept.value.is_some() || !kept.chunks.is_empty())
    })
}

/// What the journal says, by queue and lane.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) lanes: HashMap<QueueId, BTreeMap<u16, KeptLane>>,
}

#[derive(Debug, Default)]
pub(super) struct KeptLane {
    pub(super) value: Option<LaneValue>,
    pub(super) chunks: BTreeMap<u64, ChunkValue>,
}

impl Kept {
    /// Takes over a record.
    pub(super) fn record(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(key) = Key::decode(key) else {
            return;
        };
        let lane = self
            .lanes
            .entry(key.queue)
            .or_default()
            .entry(key.lane)
            .or_default();
        match (key.chunk, value) {
            (None, value) => lane.value = value.and_then(LaneValue::decode),
            (Some(chunk), Some(value)) => {
                if let Some(value) = ChunkValue::decode(value) {
                    lane.chunks.insert(chunk, value);
                }
            }
            (Some(chunk), None) => {
                lane.chunks.remove(&chunk);
            }
        }
    }
}

impl Lane {
    /// A lane as the journal has it.
    pub(super) fn restore(stream: Stream, kept: KeptLane) -> Self {
        let Some(value) = kept.value else {
            return Self::new(stream, 0);
        };
        let mut lane = Self::new(stream, value.floor);
        lane.kept = Some(value);
        // It may have been trimmed further than the journal knows.
        lane.seen = value.seen.clamp(lane.next, lane.appended.max(lane.next));
        for (number, chunk) in kept.chunks {
            lane.journaled.insert(number);
            if let Some(settled) = chunk.settled {
                lane.cursor.load(number, settled);
            }
            for (place, count) in chunk.counts {
                let offset = number * CHUNK + u64::from(place);
                if offset >= lane.next && offset < lane.seen {
                    lane.counts.insert(offset, count);
                }
            }
        }
        lane.cursor.loaded();
        lane.next = lane.cursor.floor();
        let settled = |offset: &u64| lane.cursor.is_settled(*offset);
        let gone: Vec<u64> = lane.counts.keys().copied().filter(settled).collect();
        for offset in gone {
            lane.counts.remove(&offset);
        }
        lane.settled_ahead = lane.cursor.above();
        lane.uncounted.clear();
        let counted = value.counted.clamp(lane.next, lane.appended.max(lane.next));
        lane.bytes = if value.counted == 0 { 0 } else { value.bytes };
        lane.add_uncounted(counted..lane.appended);
        lane
    }
}

impl Journal {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            dirty: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Lets go of the queues.
    pub(super) fn clear(&self) {
        self.dirty.lock().clear();
    }

    /// A queue has something to write.
    pub(super) fn note(&self, queue: Arc<Inner>) {
        self.dirty.lock().push(queue);
        self.wake.notify_one();
    }
}

impl Inner {
    /// The journal's task is to write what is new.
    pub(super) fn note_dirty(&self) {
        if !self.noted.swap(true, std::sync::atomic::Ordering::AcqRel)
            && let Some(me) = self.me.upgrade()
        {
            self.shared.journal.note(me);
        }
    }

    /// Writes what the journal does not know; says where that ends there.
    fn journal(&self, state: &mut State) -> Result<u64, Error> {
        if !state.dirty || state.deleted {
            return Ok(state.journal_end);
        }
        let now_ms = self.shared.clock.unix_ms();
        if let Some(batch) = batch(self.id, state, &[], now_ms) {
            let options = AppendOptions {
                epoch: self.shared.epoch,
                log_append_time: None,
            };
            let appended = self.shared.journal.stream.append(batch, options)?;
            state.journal_end = appended.next.0;
        }
        note_written(state);
        Ok(state.journal_end)
    }

    /// Waits until a restart will know all that has happened by now.
    pub(super) async fn journaled(&self) -> Result<(), Error> {
        if !self.durable {
            return Ok(());
        }
        let end = loop {
            let written = self.journal(&mut self.state.lock());
            match written {
                Ok(end) => break end,
                Err(Error::Store(store::Error::Busy)) => self.shared.store.room().await,
                Err(error) => return Err(error),
            }
        };
        Ok(self.shared.journal.stream.durable(Offset(end)).await?)
    }

    /// Lets the log go below what is settled, once a restart would know that.
    pub(super) fn trim(&self, floors: &[u64]) {
        if !self.owns_topic {
            return;
        }
        let now_ms = self.shared.clock.unix_ms();
        let mut state = self.state.lock();
        for (number, floor) in floors.iter().enumerate() {
            let lane = u16::try_from(number).unwrap_or(u16::MAX);
            if let Some(dedup) = &mut state.dedup {
                dedup.expire(now_ms);
            }
            // The next start reads the window from the log.
            let window = state.dedup.as_ref().and_then(|dedup| dedup.floor(lane));
            let floor = window.map_or(*floor, |window| window.min(*floor));
            if let Some(lane) = state.lane(lane) {
                lane.stream.forget_below(Offset(floor));
            }
        }
    }

    fn floors(state: &State) -> Vec<u64> {
        state.lanes.iter().map(Lane::floor).collect()
    }
}

/// The journal's task: writes what is new of all queues, a moment after the first change.
pub(super) async fn run(shared: std::sync::Weak<Shared>, interval: Duration) {
    let Some(mut shutdown) = shared.upgrade().map(|shared| shared.tasks.shutdown()) else {
        return;
    };
    loop {
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let told = strong.journal.wake.notified();
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = told => {}
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = tokio::time::sleep(interval) => {}
        }
        if let Err(error) = strong.write_dirty().await {
            tracing::debug!(%error, "the journal of queues was not written");
        }
    }
}

impl Shared {
    async fn write_dirty(&self) -> Result<(), Error> {
        let queues = std::mem::take(&mut *self.journal.dirty.lock());
        let mut written = Vec::with_capacity(queues.len());
        let mut end = 0;
        for queue in queues {
            // What changes from here on is noted again.
            queue
                .noted
                .store(false, std::sync::atomic::Ordering::Release);
            loop {
                let result = {
                    let mut state = queue.state.lock();
                    let result = if queue.durable {
                        queue.journal(&mut state)
                    } else {
                        state.dirty = false;
                        Ok(0)
                    };
                    result.map(|end| (end, Inner::floors(&state)))
                };
                match result {
                    Ok((at, floors)) => {
                        end = end.max(at);
                        written.push((queue, floors));
                        break;
                    }
                    Err(Error::Store(store::Error::Busy)) => self.store.room().await,
                    Err(error) => return Err(error),
                }
            }
        }
        self.journal.stream.durable(Offset(end)).await?;
        for (queue, floors) in written {
            queue.trim(&floors);
        }
        Ok(())
    }

    /// Writes everything now, for a shutdown in order.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.write_dirty().await
    }
}
