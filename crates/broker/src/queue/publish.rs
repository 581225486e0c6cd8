//! Publishing: what is refused, what is a duplicate, and the rest as one batch for each lane.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{HashMap, Offset};
use bytes::Bytes;
use store::batch::{BatchBuilder, Compression};
use store::{AppendOptions, Appended, GroupAppend, Stream};

use super::dedup::First;
use super::delivery::Verdict;
use super::handle::{Inner, Queue, millis};
use super::lane::Lane;
use super::settings::Overflow;
use super::state::State;
use crate::error::{BatchProblem, Error};
use crate::message::{HEADER, Message, OWN_SEQUENCE, encode};
use crate::records::partition_of;

/// At this size a batch is closed: a message that is read again is looked for in its batch.
const BATCH_BYTES: usize = 64 << 10;

/// What publishing came to.
#[derive(Clone, Debug)]
pub struct Publication {
    /// For each message, in order.
    pub verdicts: Vec<Verdict>,
    waits: Vec<(Stream, Offset)>,
}

impl Publication {
    /// Waits until all of it is durable.
    ///
    /// # Errors
    /// [`Error::Store`] when it never will be; not when the queue was deleted meanwhile.
    pub async fn durable(&self) -> Result<(), Error> {
        for (stream, next) in &self.waits {
            match stream.durable(*next).await {
                Ok(()) | Err(store::Error::Removed(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// A message that is about to be appended.
#[derive(Debug)]
struct Placed {
    /// Which of the call's messages it is.
    index: usize,
    size: u64,
    deliver_ms: Option<i64>,
    dedup: Option<(u128, Option<Bytes>)>,
    expires: bool,
}

#[derive(Debug)]
struct LanePlan {
    lane: u16,
    builder: BatchBuilder,
    batches: Vec<Bytes>,
    placed: Vec<Placed>,
}

impl LanePlan {
    fn close(&mut self) -> Result<(), Error> {
        if !self.builder.is_empty() {
            let batch =
                std::mem::take(&mut self.builder).build_marked(Compression::None, OWN_SEQUENCE);
            let invalid = |e: store::batch::BatchError| BatchProblem::Invalid(e.to_string());
            self.batches
                .push(batch.map_err(|e| Error::Batch(invalid(e)))?);
        }
        Ok(())
    }
}

/// What a call's messages come to before anything is appended.
#[derive(Debug, Default)]
pub(super) struct Plan {
    lanes: Vec<LanePlan>,
    verdicts: Vec<Verdict>,
    /// Which message is the first one of a duplicate in the same call.
    same: Vec<(usize, usize)>,
    /// The call's messages by what they are known by.
    pending: HashMap<u128, usize>,
    /// Messages that were rejected and are to be dead-lettered.
    pub(super) refused: Vec<Message>,
}

/// The limits of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishLimits {
    pub(super) now_ms: i64,
    pub(super) message_bytes_max: usize,
    pub(super) dedup_max: usize,
    pub(super) delayed_max: usize,
    pub(super) epoch: i32,
    /// It is a move: what was published before is no duplicate of itself.
    pub(super) moved: bool,
}

impl Plan {
    /// Which of the call's messages there is no room for.
    pub(super) fn rejected(&self) -> impl Iterator<Item = usize> {
        let rejected = |(_, verdict): &(usize, &Verdict)| **verdict == Verdict::Rejected;
        self.verdicts
            .iter()
            .enumerate()
            .filter(rejected)
            .map(|(at, _)| at)
    }

    /// The appends, lane by lane.
    pub(super) fn appends(&self, state: &State, epoch: i32) -> Vec<GroupAppend> {
        let mut appends = Vec::new();
        for plan in &self.lanes {
            let Some(lane) = state.lanes.get(usize::from(plan.lane)) else {
                continue;
            };
            appends.extend(plan.batches.iter().map(|batch| GroupAppend {
                stream: lane.stream.clone(),
                batches: batch.clone(),
                options: AppendOptions {
                    epoch,
                    log_append_time: None,
                },
            }));
        }
        appends
    }
}

impl State {
    /// Looks at each message, and packs those that are taken into batches.
    pub(super) fn prepare(
        &mut self,
        messages: Vec<Message>,
        limits: PublishLimits,
    ) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        let mut scratch = Vec::new();
        let mut room = self.room();
        let turn = self.next_id;
        for (index, mut message) in messages.into_iter().enumerate() {
            check_size(&message, limits)?;
            let Ok(dedup) = self.look_up(&mut plan, index, &message, limits) else {
                continue;
            };
            let size = message.value.len() as u64;
            if !room.take(size) {
                plan.verdicts.push(Verdict::Rejected);
                if self.settings.overflow == Overflow::RejectDeadLetter {
                    plan.refused.push(message);
                }
                continue;
            }
            let deliver_ms = self.hide_until(&message, limits.now_ms);
            message.attributes.deliver_ms = deliver_ms;
            if let Some(key) = dedup {
                plan.pending.insert(key, index);
            }
            let placed = Placed {
                index,
                size,
                deliver_ms,
                dedup: dedup.map(|key| (key, message.attributes.message_id.clone())),
                expires: message.attributes.expires_ms.is_some(),
            };
            let lane = self.lane_of(&message, turn);
            let lane_plan = plan.lane(lane);
            lane_plan.placed.push(placed);
            push(
                &mut lane_plan.builder,
                &message,
                limits.now_ms,
                &mut scratch,
            );
            if lane_plan.builder.len() >= BATCH_BYTES {
                lane_plan.close()?;
            }
            plan.verdicts.push(Verdict::Queued { lane, offset: 0 });
        }
        plan.lanes.iter_mut().try_for_each(LanePlan::close)?;
        let delayed = self.due.len() + plan.delayed();
        if plan.delayed() > 0 && delayed > limits.delayed_max {
            return Err(Error::Limit {
                name: "queues.delayed_max",
                limit: limits.delayed_max as u64,
            });
        }
        Ok(plan)
    }

    /// What a message is known by, unless it was seen before: then it has its verdict.
    fn look_up(
        &mut self,
        plan: &mut Plan,
        index: usize,
        message: &Message,
        limits: PublishLimits,
    ) -> Result<Option<u128>, ()> {
        let Some(dedup) = self.dedup.as_mut().filter(|_| !limits.moved) else {
            return Ok(None);
        };
        dedup.expire(limits.now_ms);
        let Some(key) = dedup.key(&message.attributes) else {
            return Ok(None);
        };
        if let Some(first) = plan.pending.get(&key) {
            plan.same.push((index, *first));
            plan.verdicts.push(Verdict::Rejected);
            return Err(());
        }
        if let Some(first) = dedup.get(key) {
            plan.verdicts.push(Verdict::Duplicate {
                lane: first.lane,
                offset: first.offset,
                message_id: first.message_id.clone(),
            });
            return Err(());
        }
        Ok(Some(key))
    }

    /// Until when a message is hidden, if it is.
    fn hide_until(&self, message: &Message, now_ms: i64) -> Option<i64> {
        let default = self
            .settings
            .delay
            .map(|delay| now_ms.saturating_add(millis(delay)));
        let at = message.attributes.deliver_ms.or(default);
        at.filter(|at| *at > now_ms)
    }

    fn lane_of(&self, message: &Message, turn: u64) -> u16 {
        let count = u32::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let lane = if count == 1 {
            0
        } else if self.by_priority {
            u32::from(message.attributes.priority).min(count - 1)
        } else {
            match message.key.as_ref().or(message.attributes.group.as_ref()) {
                Some(key) => partition_of(key, count),
                None => (turn % u64::from(count)) as u32,
            }
        };
        u16::try_from(lane).unwrap_or(0)
    }

    /// How much more is taken where what is too much is rejected.
    fn room(&self) -> Room {
        let settings = &self.settings;
        if settings.overflow == Overflow::DropHead {
            return Room {
                messages: u64::MAX,
                bytes: u64::MAX,
            };
        }
        let bytes: u64 = self.lanes.iter().map(|lane| lane.bytes).sum();
        let left = |max: Option<u64>, have: u64| max.map_or(u64::MAX, |m| m.saturating_sub(have));
        Room {
            messages: left(settings.length_max, self.ready()),
            bytes: left(settings.bytes_max, bytes),
        }
    }

    /// A duplicate is as durable as its first, which may be on its way to the disk yet.
    fn wait_for_firsts(&self, verdicts: &[Verdict], waits: &mut Vec<(Stream, Offset)>) {
        let mut last: BTreeMap<u16, u64> = BTreeMap::new();
        for verdict in verdicts {
            if let Verdict::Duplicate { lane, offset, .. } = verdict {
                let next = last.entry(*lane).or_default();
                *next = (*next).max(offset + 1);
            }
        }
        for (lane, next) in last {
            if let Some(lane) = self.lanes.get(usize::from(lane)) {
                waits.push((lane.stream.clone(), Offset(next)));
            }
        }
    }

    /// Takes in what was appended; `appended` as [`Plan::appends`] had them.
    pub(super) fn commit(
        &mut self,
        mut plan: Plan,
        appended: &[Appended],
        limits: PublishLimits,
    ) -> Publication {
        let mut appended = appended.iter();
        let mut waits = Vec::with_capacity(plan.lanes.len());
        for lane_plan in std::mem::take(&mut plan.lanes) {
            let number = lane_plan.lane;
            let mut ranges = appended.by_ref().take(lane_plan.batches.len());
            let Some(first) = ranges.next() else {
                continue;
            };
            let end = ranges.last().map_or(first.next, |last| last.next);
            let Some(lane) = self.lanes.get_mut(usize::from(number)) else {
                continue;
            };
            lane.add_uncounted(lane.appended..first.first.0);
            lane.appended = end.0;
            for (offset, placed) in (first.first.0..).zip(lane_plan.placed) {
                if let Some(at) = placed.deliver_ms {
                    lane.add_uncounted(offset..offset + 1);
                    lane.delayed_ahead += 1;
                    self.due.insert((at, number, offset));
                } else {
                    lane.bytes += placed.size;
                }
                self.watch |= placed.expires;
                if let (Some((key, message_id)), Some(dedup)) = (placed.dedup, &mut self.dedup) {
                    let first = First {
                        lane: number,
                        offset,
                        // Of its own, so that it does not hold the whole request.
                        message_id: message_id.map(|id| Bytes::copy_from_slice(&id)),
                    };
                    dedup.insert(key, first, limits.now_ms, limits.dedup_max);
                }
                if let Some(verdict) = plan.verdicts.get_mut(placed.index) {
                    *verdict = Verdict::Queued {
                        lane: number,
                        offset,
                    };
                }
            }
            waits.push((lane.stream.clone(), end));
        }
        self.wait_for_firsts(&plan.verdicts, &mut waits);
        for (index, first) in plan.same {
            let found = plan.verdicts.get(first).cloned();
            if let (Some(place), Some(Verdict::Queued { lane, offset })) =
                (plan.verdicts.get_mut(index), found)
            {
                *place = Verdict::Duplicate {
                    lane,
                    offset,
                    message_id: None,
                };
            }
        }
        self.next_id += 1;
        Publication {
            verdicts: plan.verdicts,
            waits,
        }
    }
}

#[derive(Debug)]
struct Room {
    messages: u64,
    bytes: u64,
}

impl Room {
    fn take(&mut self, size: u64) -> bool {
        if self.messages == 0 || self.bytes < size {
            return false;
        }
        self.messages -= 1;
        self.bytes -= size;
        true
    }
}

impl Plan {
    fn lane(&mut self, lane: u16) -> &mut LanePlan {
        let at = self.lanes.iter().position(|plan| plan.lane == lane);
        let at = at.unwrap_or_else(|| {
            self.lanes.push(LanePlan {
                lane,
                builder: BatchBuilder::new(),
                batches: Vec::new(),
                placed: Vec::new(),
            });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    fn delayed(&self) -> usize {
        let placed = self.lanes.iter().flat_map(|lane| &lane.placed);
        placed.filter(|placed| placed.deliver_ms.is_some()).count()
    }
}

fn check_size(message: &Message, limits: PublishLimits) -> Result<(), Error> {
    // What is here already is moved whatever the limit is now.
    if limits.moved || message.value.len() <= limits.message_bytes_max {
        return Ok(());
    }
    Err(Error::Batch(BatchProblem::TooLarge {
        bytes: message.value.len(),
        limit: limits.message_bytes_max,
    }))
}

/// Writes a message as a record.
fn push(builder: &mut BatchBuilder, message: &Message, now_ms: i64, scratch: &mut Vec<u8>) {
    scratch.clear();
    encode(&message.attributes, scratch);
    let own = (!scratch.is_empty()).then_some((HEADER, Some(&scratch[..])));
    let origin = message.attributes.origin.as_ref();
    let origin = origin.map(|(name, block)| (name.as_bytes(), Some(&block[..])));
    // The broker's own header is no publisher's to write.
    let headers = message.headers.iter().filter(|(name, _)| name != HEADER);
    let headers = headers.map(|(name, value)| (&name[..], value.as_deref()));
    builder.push(
        message.timestamp_ms.unwrap_or(now_ms),
        message.key.as_deref(),
        Some(&message.value),
        own.into_iter().chain(origin).chain(headers),
    );
}

impl Inner {
    pub(super) fn publish_limits(&self) -> PublishLimits {
        let config = &self.shared.config;
        PublishLimits {
            now_ms: self.shared.clock.unix_ms(),
            message_bytes_max: config.message_bytes_max.as_usize(),
            dedup_max: config.dedup_max,
            delayed_max: config.delayed_max,
            epoch: self.shared.epoch,
            moved: false,
        }
    }

    /// Appends: one batch as it is, more of them as a group, so that all are there or none.
    pub(super) fn append(&self, mut appends: Vec<GroupAppend>) -> Result<Vec<Appended>, Error> {
        match (appends.len(), appends.pop()) {
            (_, None) => Ok(Vec::new()),
            (1, Some(one)) => Ok(vec![one.stream.append(one.batches, one.options)?]),
            (_, Some(last)) => {
                appends.push(last);
                match self.shared.store.append_all(appends.clone()) {
                    // A topic that does not wait for the disk promises nothing to begin with.
                    Err(store::Error::NotAtomic(_)) => appends
                        .into_iter()
                        .map(|one| Ok(one.stream.append(one.batches, one.options)?))
                        .collect(),
                    other => Ok(other?),
                }
            }
        }
    }
}

impl Queue {
    /// Puts messages into the queue. Returns at once: the order of calls is the order in the log,
    /// and [`Publication::durable`] waits for the disk.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Limit`], [`Error::Batch`] for a message that is too large;
    /// [`Error::Store`], of which `Busy` says to wait for [`crate::Broker::room`]. Then nothing was
    /// published.
    pub fn publish(&self, messages: Vec<Message>) -> Result<Publication, Error> {
        let inner = &self.0;
        let limits = inner.publish_limits();
        let count = messages.len() as u64;
        let mut state = inner.state.lock();
        if state.deleted {
            return Err(inner.unknown());
        }
        let mut plan = state.prepare(messages, limits)?;
        let appends = plan.appends(&state, limits.epoch);
        let appended = inner.append(appends)?;
        let refused = std::mem::take(&mut plan.refused);
        let publication = state.commit(plan, &appended, limits);
        if !state.due.is_empty() || state.watch {
            inner.after(&mut state);
            inner
                .interested
                .store(true, std::sync::atomic::Ordering::Release);
        }
        drop(state);
        inner.shared.metrics.published.inc_by(count);
        if !refused.is_empty() {
            inner.bury_refused(refused);
        }
        Ok(publication)
    }
}

/// A lane's stream tells its queue when readers may see more.
pub(super) fn listen(lane: &Lane, queue: &Arc<Inner>) {
    let queue = Arc::downgrade(queue);
    lane.stream.on_durable(move || {
        if let Some(queue) = queue.upgrade() {
            queue.appended();
        }
    });
}
