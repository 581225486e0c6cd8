//! Dead letters: where they go, what is written on them, and the move itself.
//!
//! A move is one entry of the write-ahead log: the message in its new queues, and the journal's
//! word that it is settled here. The queues are locked in the order of their ids.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::MutexGuard;
use store::{AppendOptions, GroupAppend};

use super::QueueId;
use super::handle::{Inner, Queue};
use super::lane::Place;
use super::publish::PublishLimits;
use super::settings::DeadLetter;
use super::state::{At, Dying, State};
use super::window::{self, Parsed};
use crate::error::Error;
use crate::message::{Death, DeathReason, Message};

/// How many messages are moved in one entry.
const MOVE_MAX: usize = 256;
/// How many deaths a message remembers: one for each queue and reason on its way.
const DEATHS_MAX: usize = 64;

/// A message with the places it goes to.
struct Letter {
    at: Option<At>,
    message: Message,
    to: Vec<Queue>,
}

impl State {
    /// A consumer would not have it: it dies, and who comes after it in its group may go.
    pub(super) fn reject(&mut self, at: At) {
        if self.settings.dead_letter.is_none() {
            self.settle_slot(at);
            return;
        }
        // Its text has to be read first, as that of any message that is handed out again.
        self.release_slot(at, true, true, None);
        let Some(lane) = self.lane(at.0) else {
            return;
        };
        if let Some(slot) = lane.slots.get_mut(&at.1) {
            slot.place = Place::Dying;
            let size = u64::from(slot.size);
            lane.ready.remove(&at.1);
            lane.bytes = lane.bytes.saturating_sub(size);
        }
        self.dying_count += 1;
        self.rejected.push(at);
    }

    /// The texts of rejected messages, as far as they are in memory.
    pub(super) fn read_rejected(&mut self) {
        let mut later = Vec::new();
        for at in std::mem::take(&mut self.rejected) {
            let decoder = &mut self.decoder;
            let Some(lane) = self.lanes.get_mut(usize::from(at.0)) else {
                continue;
            };
            if !lane.again.covers(at.1) {
                let Some(read) = lane.read_cached(at.1, 1) else {
                    later.push(at);
                    continue;
                };
                let batches = window::unpack(&read, 0).unwrap_or_default();
                lane.again.set(batches.into_iter().next());
            }
            match lane.again.get(at.1, decoder) {
                Some(message) => self.dying.push(Dying {
                    at,
                    message,
                    reason: DeathReason::Rejected,
                }),
                None => {
                    self.settle_slot(at);
                }
            }
        }
        self.rejected = later;
    }
}

impl Inner {
    /// Moves dead letters; whether the caller should look again. What there is no room for now
    /// goes later.
    pub(super) fn bury(&self, dying: Vec<Dying>) -> bool {
        let mut rest = dying;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(MOVE_MAX));
            let letters = rest
                .iter()
                .map(|one| self.letter(Some(one.at), &one.message, one.reason));
            match self.move_all(letters.collect()) {
                Ok(()) => rest = later,
                Err(error) => {
                    rest.extend(later);
                    let mut state = self.state.lock();
                    state.dying.append(&mut rest);
                    drop(state);
                    self.bury_later(&error);
                    return false;
                }
            }
        }
        true
    }

    /// Messages that were never in the queue: there was no room.
    pub(super) fn bury_refused(&self, refused: Vec<Message>) {
        let now_ms = self.shared.clock.unix_ms();
        let letters = refused.into_iter().map(|message| {
            let parsed = Parsed {
                offset: 0,
                timestamp_ms: message.timestamp_ms.unwrap_or(now_ms),
                key: message.key,
                value: Some(message.value),
                headers: message.headers,
                attributes: message.attributes,
            };
            self.letter(None, &parsed, DeathReason::MaxLength)
        });
        // Its publisher was told that it was rejected: nothing is promised.
        if let Err(error) = self.move_all(letters.collect()) {
            tracing::debug!(queue = %self.name, %error, "rejected messages were not dead-lettered");
        }
    }

    fn bury_later(&self, error: &Error) {
        if !matches!(error, Error::Store(store::Error::Busy)) {
            tracing::warn!(queue = %self.name, %error, "dead letters cannot be moved");
            return;
        }
        if self.stuck.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(queue) = self.me.upgrade() else {
            return;
        };
        self.shared.tasks.spawn("broker.queue_room", async move {
            queue.shared.store.room().await;
            queue.stuck.store(false, Ordering::Release);
            queue.schedule();
        });
    }

    /// The message as it goes on, and where to.
    fn letter(&self, at: Option<At>, parsed: &Parsed, reason: DeathReason) -> Letter {
        let now_ms = self.shared.clock.unix_ms();
        let letter = self.state.lock().settings.dead_letter.clone();
        let mut attributes = parsed.attributes.clone();
        attributes.sent_ms = Some(parsed.sent_ms());
        attributes.source = Some(self.name.clone());
        let expiration = attributes
            .expires_ms
            .take()
            .map(|expires| u64::try_from(expires.saturating_sub(parsed.timestamp_ms)).unwrap_or(0));
        attributes.deliver_ms = None;
        let death = Death {
            queue: self.name.clone(),
            reason,
            count: 1,
            first_ms: now_ms,
            exchange: attributes.exchange.clone().unwrap_or_else(|| Arc::from("")),
            routing_keys: attributes.routing_keys.clone(),
            original_expiration_ms: expiration,
        };
        note_death(&mut attributes.deaths, death);
        let mut message = Message {
            key: parsed.key.clone(),
            value: parsed.value.clone().unwrap_or_default(),
            headers: parsed.headers.clone(),
            timestamp_ms: None,
            attributes,
        };
        let mut to = match letter {
            None => Vec::new(),
            Some(DeadLetter::Queue(name)) => {
                let queue = self.shared.get(&self.namespace, &name);
                queue.into_iter().collect()
            }
            Some(DeadLetter::Exchange {
                exchange,
                routing_key,
            }) => {
                message.attributes.exchange = Some(Arc::from(exchange.as_str()));
                if let Some(key) = routing_key {
                    message.attributes.routing_keys = vec![key];
                }
                self.shared.route(&self.namespace, &exchange, &message)
            }
        };
        let deaths = &message.attributes.deaths;
        to.retain(|queue| reason == DeathReason::Rejected || !is_circle(deaths, queue.name()));
        to.sort_by_key(Queue::id);
        to.dedup_by_key(|queue| queue.id());
        Letter { at, message, to }
    }

    /// Puts letters into their queues and settles them here, all of it or nothing.
    fn move_all(&self, letters: Vec<Letter>) -> Result<(), Error> {
        let mut targets: Vec<Queue> = letters.iter().flat_map(|l| l.to.clone()).collect();
        targets.sort_by_key(Queue::id);
        targets.dedup_by_key(|queue| queue.id());
        let mut queues: Vec<&Self> = targets.iter().map(|queue| &*queue.0).collect();
        if !queues.iter().any(|queue| queue.id == self.id) {
            queues.push(self);
        }
        queues.sort_by_key(|queue| queue.id);
        let mut states: Vec<(QueueId, MutexGuard<'_, State>)> = queues
            .iter()
            .map(|queue| (queue.id, queue.state.lock()))
            .collect();
        let mut plans = Vec::new();
        let mut appends = Vec::new();
        for target in &targets {
            let Some(state) = state_of(&mut states, target.id()) else {
                continue;
            };
            if state.deleted {
                continue;
            }
            let mine = letters
                .iter()
                .filter(|l| l.to.iter().any(|q| q.id() == target.id()));
            let messages = mine.map(|letter| letter.message.clone()).collect();
            let limits = PublishLimits {
                moved: true,
                ..target.0.publish_limits()
            };
            let plan = state.prepare(messages, limits)?;
            let own = plan.appends(state, limits.epoch);
            plans.push((target, plan, own.len(), limits));
            appends.extend(own);
        }
        let settled: Vec<At> = letters.iter().filter_map(|letter| letter.at).collect();
        if let Some(state) = state_of(&mut states, self.id) {
            appends.extend(self.journal_move(state, &settled));
        }
        let appended = self.append(appends)?;
        let mut rest = &appended[..];
        for (target, plan, count, limits) in plans {
            let (own, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            if let Some(state) = state_of(&mut states, target.id()) {
                state.commit(plan, own, limits);
                target.0.after(state);
                if state.watch || !state.due.is_empty() {
                    target.0.interested.store(true, Ordering::Release);
                }
            }
        }
        if let Some(state) = state_of(&mut states, self.id) {
            for at in settled {
                state.settle_slot(at);
            }
            self.after(state);
        }
        drop(states);
        let count = letters.len() as u64;
        self.shared.metrics.dead_lettered.inc_by(count);
        Ok(())
    }

    /// The journal's word that these are settled, to be appended with their move.
    fn journal_move(&self, state: &State, settled: &[At]) -> Option<GroupAppend> {
        if !self.durable || settled.is_empty() || state.deleted {
            return None;
        }
        let now_ms = self.shared.clock.unix_ms();
        let batches = super::journal::batch(self.id, state, settled, now_ms)?;
        Some(GroupAppend {
            stream: self.shared.journal.stream.clone(),
            batches,
            options: AppendOptions {
                epoch: self.shared.epoch,
                log_append_time: None,
            },
        })
    }
}

fn state_of<'a>(
    states: &'a mut [(QueueId, MutexGuard<'_, State>)],
    id: QueueId,
) -> Option<&'a mut State> {
    let found = states.iter_mut().find(|(of, _)| *of == id);
    found.map(|(_, state)| &mut **state)
}

/// Counts a death: one entry for each queue and reason, the newest first.
fn note_death(deaths: &mut Vec<Death>, mut death: Death) {
    let same = |known: &Death| known.queue == death.queue && known.reason == death.reason;
    if let Some(at) = deaths.iter().position(same) {
        let known = deaths.remove(at);
        death = Death {
            count: known.count.saturating_add(1),
            ..known
        };
    }
    deaths.insert(0, death);
    deaths.truncate(DEATHS_MAX);
}

/// Whether a message goes in a circle by itself: it has died in `queue` before, and nobody has
/// rejected it since.
fn is_circle(deaths: &[Death], queue: &str) -> bool {
    let at = deaths.iter().position(|death| &*death.queue == queue);
    at.is_some_and(|at| {
        let since = deaths.get(..=at).unwrap_or_default();
        !since
            .iter()
            .any(|death| death.reason == DeathReason::Rejected)
    })
}

/// What a router is asked: namespace, exchange, routing keys, the message's headers.
pub(super) type Router =
    dyn Fn(&str, &str, &[Bytes], &[crate::records::RecordHeader]) -> Vec<Queue> + Send + Sync;

#[cfg(test)]
mod tests {
    use super::*;

    fn death(queue: &str, reason: DeathReason) -> Death {
        Death {
            queue: Arc::from(queue),
            reason,
            count: 1,
            first_ms: 0,
            exchange: Arc::from(""),
            routing_keys: Vec::new(),
            original_expiration_ms: None,
        }
    }

    #[test]
    fn deaths_are_counted_by_queue_and_reason_the_newest_first() {
        let mut deaths = Vec::new();
        note_death(&mut deaths, death("a", DeathReason::Expired));
        note_death(&mut deaths, death("b", DeathReason::Expired));
        note_death(&mut deaths, death("a", DeathReason::Rejected));
        note_death(&mut deaths, death("a", DeathReason::Expired));
        let told: Vec<_> = deaths
            .iter()
            .map(|d| (&*d.queue, d.reason, d.count))
            .collect();
        let expected = [
            ("a", DeathReason::Expired, 2),
            ("a", DeathReason::Rejected, 1),
            ("b", DeathReason::Expired, 1),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_circle_is_broken_unless_somebody_rejected() {
        let expired = [
            death("a", DeathReason::Expired),
            death("b", DeathReason::Expired),
        ];
        assert!(is_circle(&expired, "a") && is_circle(&expired, "b"));
        assert!(!is_circle(&expired, "c"));
        let rejected = [
            death("a", DeathReason::Rejected),
            death("b", DeathReason::Expired),
        ];
        assert!(!is_circle(&rejected, "b"));
    }
}
