//! Dead letters: where they go, what is written on them, and the move itself.
//!
//! A move is one entry of the write-ahead log: the message in its new queues, and the journal's
//! word that it is settled here. The queues are locked in the order of their ids.
//!
//! A message whose queue for dead letters is gone or full stays and is tried again, unless it died
//! to make room. One that an exchange leads nowhere is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::MutexGuard;
use store::{AppendOptions, GroupAppend};

use super::QueueId;
use super::handle::{Inner, Queue};
use super::lane::Place;
use super::publish::{Plan, PublishLimits};
use super::settings::DeadLetter;
use super::state::{At, Dying, State};
use super::window::Parsed;
use crate::error::Error;
use crate::message::{Death, DeathReason, Message};

/// How many messages are moved in one entry.
const MOVE_MAX: usize = 256;
/// How many deaths a message remembers: one for each queue and reason on its way.
const DEATHS_MAX: usize = 64;

/// How many bytes, over all queues that they go to; one message may have more.
pub(super) const MOVE_BYTES_MAX: usize = 32 << 20;
/// How long a message stays that has no place to go to, before that is looked at again.
const RETRY_MS: i64 = 1000;

/// A message with the places it goes to.
#[derive(Clone)]
struct Letter {
    at: Option<At>,
    reason: DeathReason,
    message: Message,
    to: Vec<Queue>,
    /// Whether the queue that it should go to is not there.
    homeless: bool,
}

impl Letter {
    /// About how much of the log it needs in each of its queues.
    fn bytes(&self) -> usize {
        let Message {
            key,
            value,
            headers,
            attributes,
            ..
        } = &self.message;
        let header = |(name, value): &crate::records::RecordHeader| {
            name.len() + value.as_ref().map_or(0, Bytes::len)
        };
        let origin = attributes
            .origin
            .as_ref()
            .map_or(0, |(_, block)| block.len());
        let headers: usize = headers.iter().map(header).sum();
        value.len() + key.as_ref().map_or(0, Bytes::len) + headers + origin
    }

    /// Whether it stays where it is when it cannot go. What made room for others goes anyhow: else
    /// the queue would have no limit.
    fn stays(&self) -> bool {
        self.reason != DeathReason::MaxLength
    }
}

/// Letters in parts that one entry of the log has room for.
fn cut<T>(letters: Vec<(Letter, T)>) -> Vec<Vec<(Letter, T)>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0_usize;
    for letter in letters {
        let more = letter.0.bytes().saturating_mul(letter.0.to.len().max(1));
        bytes = bytes.saturating_add(more);
        match parts.last_mut() {
            Some(part) if part.len() < MOVE_MAX && bytes <= MOVE_BYTES_MAX => part.push(letter),
            _ => {
                parts.push(vec![letter]);
                bytes = more;
            }
        }
    }
    parts
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
        self.unread_dying.push((at, DeathReason::Rejected));
    }
}

impl Inner {
    /// Moves dead letters; whether the caller should look again. What there is no room for in the
    /// log goes later, what has no place to go to stays and is tried again.
    pub(super) fn bury(&self, dying: Vec<Dying>) -> bool {
        let letters = dying
            .into_iter()
            .map(|one| (self.letter(Some(one.at), &one.message, one.reason), one));
        // The next part is the last one.
        let mut parts = cut(letters.collect());
        parts.reverse();
        while let Some(mut part) = parts.pop() {
            let letters = part.iter().map(|(letter, _)| letter.clone()).collect();
            match self.move_part(letters) {
                Ok(left) => self.keep(left.iter().filter_map(|l| Some((l.at?, l.reason)))),
                Err(error @ Error::Store(store::Error::Busy | store::Error::Stopped(_))) => {
                    let rest = part.into_iter().chain(parts.into_iter().rev().flatten());
                    let rest: Vec<Dying> = rest.map(|(_, one)| one).collect();
                    self.state.lock().dying.extend(rest);
                    self.bury_later(&error);
                    return false;
                }
                Err(_) if part.len() > 1 => {
                    // One of them is to blame: the others do not wait for it.
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(error) => {
                    tracing::warn!(queue = %self.name, %error, "a dead letter cannot be moved");
                    self.keep(part.iter().map(|(_, one)| (one.at, one.reason)));
                }
            }
        }
        true
    }

    /// [`Inner::move_all`]; a letter to more queues than one entry has room for goes to some of
    /// them after the others, and may reach those again when it does not reach all.
    fn move_part(&self, mut letters: Vec<Letter>) -> Result<Vec<Letter>, Error> {
        if letters.len() > 1 {
            return self.move_all(letters);
        }
        let Some(letter) = letters.pop() else {
            return Ok(letters);
        };
        let each = (MOVE_BYTES_MAX / letter.bytes().max(1)).max(1);
        let parts: Vec<Vec<Queue>> = letter.to.chunks(each).map(<[Queue]>::to_vec).collect();
        let Some((last, first)) = parts.split_last() else {
            return self.move_all(vec![letter]);
        };
        for to in first {
            let part = Letter {
                at: None,
                to: to.clone(),
                ..letter.clone()
            };
            let left = self.move_all(vec![part])?;
            if !left.is_empty() && letter.stays() {
                return Ok(vec![letter]);
            }
        }
        let to = last.clone();
        self.move_all(vec![Letter { to, ..letter }])
    }

    /// These stay, and are tried again.
    fn keep(&self, kept: impl Iterator<Item = (At, DeathReason)>) {
        let mut kept = kept.peekable();
        if kept.peek().is_none() {
            return;
        }
        let mut state = self.state.lock();
        state.kept.extend(kept);
        let again = self.shared.clock.unix_ms().saturating_add(RETRY_MS);
        state.retry_ms.get_or_insert(again);
        self.after(&mut state);
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
        let mut homeless = false;
        let mut to = match letter {
            None => Vec::new(),
            Some(DeadLetter::Queue(name)) => {
                let queue = self.shared.get(&self.namespace, &name);
                homeless = queue.is_none();
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
        Letter {
            at,
            reason,
            message,
            to,
            homeless,
        }
    }

    /// Puts letters into their queues and settles them here, all of it or nothing. Those that have
    /// no place now are returned, and went nowhere.
    fn move_all(&self, letters: Vec<Letter>) -> Result<Vec<Letter>, Error> {
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
        let (mut left, mut letters): (Vec<Letter>, Vec<Letter>) =
            letters.into_iter().partition(|letter| letter.homeless);
        let moves = loop {
            let moves = plan_moves(&targets, &letters, &mut states)?;
            if moves.refused.is_empty() {
                break moves;
            }
            // The others have at least as much room without these.
            let mut at = 0;
            left.extend(letters.extract_if(.., |_| {
                at += 1;
                moves.refused.contains(&(at - 1))
            }));
        };
        let mut settled: Vec<At> = letters.iter().filter_map(|letter| letter.at).collect();
        let dropped = left.iter().filter(|letter| !letter.stays()).count();
        let count = (letters.len() + dropped) as u64;
        left.retain(|letter| {
            settled.extend(letter.at.filter(|_| !letter.stays()));
            letter.stays() || letter.at.is_none()
        });
        let mut appends = moves.appends;
        if let Some(state) = state_of(&mut states, self.id) {
            appends.extend(self.journal_move(state, &settled));
        }
        let appended = self.append(appends)?;
        let mut rest = &appended[..];
        for (target, plan, count, limits) in moves.plans {
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
        self.shared.metrics.dead_lettered.inc_by(count);
        Ok(left)
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

/// What letters come to in the queues that they go to, before anything is appended.
#[derive(Default)]
struct Moves {
    /// With how many of the appends each has.
    plans: Vec<(Queue, Plan, usize, PublishLimits)>,
    appends: Vec<GroupAppend>,
    /// Which letters have no place in one of their queues.
    refused: BTreeSet<usize>,
}

fn plan_moves(
    targets: &[Queue],
    letters: &[Letter],
    states: &mut [(QueueId, MutexGuard<'_, State>)],
) -> Result<Moves, Error> {
    let mut moves = Moves::default();
    for target in targets {
        let Some(state) = state_of(states, target.id()) else {
            continue;
        };
        let goes = |letter: &Letter| letter.to.iter().any(|queue| queue.id() == target.id());
        let mine: Vec<usize> = (0..letters.len())
            .filter(|at| letters.get(*at).is_some_and(goes))
            .collect();
        if state.deleted {
            moves.refused.extend(mine);
            continue;
        }
        let messages = mine.iter().filter_map(|at| letters.get(*at));
        let messages = messages.map(|letter| letter.message.clone()).collect();
        let limits = PublishLimits {
            moved: true,
            ..target.0.publish_limits()
        };
        let plan = state.prepare(messages, limits)?;
        let refused = plan.rejected().filter_map(|at| mine.get(at));
        moves.refused.extend(refused);
        let own = plan.appends(state, limits.epoch);
        let place = (target.clone(), plan, own.len(), limits);
        moves.plans.push(place);
        moves.appends.extend(own);
    }
    Ok(moves)
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
