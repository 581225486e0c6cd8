//! What leaves a queue by itself: messages that expire, that were delivered too often, or for which
//! there is no room.

use super::dispatch::{DYING_MAX, Head, Limits, Todo};
use super::lane::Place;
use super::settings::Overflow;
use super::state::{Dying, State};
use super::window::Parsed;
use crate::message::DeathReason;

impl State {
    /// The head, unless it is to leave: then it goes.
    pub(super) fn alive(&mut self, number: u16, head: Head, limits: Limits) -> Option<Head> {
        let lane = self.lanes.get_mut(usize::from(number))?;
        let (attempts, end) = match &head {
            Head::Ready(parsed) => {
                let slot = lane.slots.get(&parsed.offset);
                (
                    slot.map_or(0, |slot| slot.attempts),
                    ends(&self.settings, parsed),
                )
            }
            Head::Ahead => {
                let parsed = lane.window.peek(lane.next, &mut self.decoder)?;
                let end = ends(&self.settings, parsed);
                (lane.attempts_before(lane.next), end)
            }
            Head::Load(_) | Head::Empty => return Some(head),
        };
        let Ends {
            expires,
            dropped,
            at_once,
        } = end;
        // It has no time to wait, so that it is for whoever could have it now.
        if at_once && attempts == 0 && self.has_targets() {
            self.spared = true;
            return Some(head);
        }
        let reason = if dropped.is_some_and(|at| at <= limits.now_ms) {
            None
        } else if expires.is_some_and(|at| at <= limits.now_ms) {
            Some(DeathReason::Expired)
        } else if self
            .settings
            .delivery_limit
            .is_some_and(|max| attempts >= max)
        {
            Some(DeathReason::DeliveryLimit)
        } else {
            let times = [self.head_expires, expires, dropped];
            self.head_expires = times.into_iter().flatten().min();
            return Some(head);
        };
        self.kill(number, head, reason);
        None
    }

    /// Takes a head out of the queue: to where dead letters go, or for good.
    pub(super) fn kill(&mut self, number: u16, head: Head, reason: Option<DeathReason>) {
        let buried = reason.filter(|_| self.settings.dead_letter.is_some());
        let parsed = match head {
            Head::Ready(parsed) => {
                if buried.is_some()
                    && let Some(lane) = self.lane(number)
                    && let Some(slot) = lane.slots.get_mut(&parsed.offset)
                {
                    slot.place = Place::Dying;
                    let size = u64::from(slot.size);
                    lane.ready.remove(&parsed.offset);
                    lane.bytes = lane.bytes.saturating_sub(size);
                } else {
                    self.settle_slot((number, parsed.offset));
                }
                *parsed
            }
            Head::Ahead => {
                let Some(lane) = self.lane(number) else {
                    return;
                };
                let Some((parsed, slot)) = lane.take_ahead(Place::Dying) else {
                    return;
                };
                if buried.is_some() {
                    lane.slots.insert(parsed.offset, slot);
                } else {
                    lane.cursor.settle(parsed.offset);
                    self.dirty = true;
                }
                parsed
            }
            Head::Load(_) | Head::Empty => return,
        };
        if let Some(reason) = buried {
            self.dying_count += 1;
            self.dying.push(Dying {
                at: (number, parsed.offset),
                message: parsed,
                reason,
            });
        }
    }

    /// Lets go what has expired or has no room, from the heads of the lanes on.
    pub(super) fn sweep(&mut self, limits: Limits, todo: &mut Todo) {
        let due = self.head_expires.is_some_and(|at| at <= limits.now_ms);
        if !self.watch || (self.head_known && !due && !self.is_over()) {
            return;
        }
        self.head_expires = None;
        self.head_known = true;
        for number in self.order() {
            loop {
                if self.dying_count >= DYING_MAX {
                    self.head_known = false;
                    return;
                }
                let head = match self.head(number, limits) {
                    Head::Empty => {
                        self.head_known = false;
                        break;
                    }
                    Head::Load(load) => {
                        self.head_known = false;
                        self.request(load, todo);
                        break;
                    }
                    head @ (Head::Ready(_) | Head::Ahead) => head,
                };
                if self.is_over() {
                    self.kill(number, head, Some(DeathReason::MaxLength));
                } else if self.alive(number, head, limits).is_some() {
                    break;
                }
            }
        }
    }

    /// Lets those go that were kept for somebody who turned out to have no credit left.
    pub(super) fn sweep_spared(&mut self, limits: Limits, todo: &mut Todo) {
        if std::mem::take(&mut self.spared) && !self.has_targets() {
            self.head_known = false;
            self.sweep(limits, todo);
        }
    }

    /// Whether the oldest has to make room.
    pub(super) fn is_over(&self) -> bool {
        let settings = &self.settings;
        if settings.overflow != Overflow::DropHead {
            return false;
        }
        let bytes = || self.lanes.iter().map(|lane| lane.bytes).sum::<u64>();
        settings.length_max.is_some_and(|max| self.ready() > max)
            || settings.bytes_max.is_some_and(|max| bytes() > max)
    }
}

/// When a message leaves by itself, in milliseconds since 1970.
pub(super) struct Ends {
    expires: Option<i64>,
    /// In silence.
    pub(super) dropped: Option<i64>,
    /// It expires as soon as it is there.
    at_once: bool,
}

pub(super) fn ends(settings: &super::settings::QueueSettings, parsed: &Parsed) -> Ends {
    let after = |from: i64, time: std::time::Duration| {
        from.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    };
    // What has no time cannot be too old.
    let ttl = settings.message_ttl.filter(|_| parsed.timestamp_ms >= 0);
    let queue = ttl.map(|ttl| after(parsed.timestamp_ms, ttl));
    let expires = [queue, parsed.attributes.expires_ms];
    let retention = settings.retention.filter(|_| parsed.sent_ms() >= 0);
    let dropped = retention.map(|keep| after(parsed.sent_ms(), keep));
    let expires = expires.into_iter().flatten().min();
    Ends {
        expires,
        dropped,
        at_once: expires.is_some_and(|at| at <= parsed.timestamp_ms) && parsed.timestamp_ms >= 0,
    }
}
