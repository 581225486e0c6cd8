//! Dying messages that are not in memory: rejected ones, and those that had no place to go to.

use super::dead::MOVE_BYTES_MAX;
use super::lane::Place;
use super::leave::ends;
use super::state::{At, Dying, State};
use super::window;

impl State {
    /// Has those looked at again that had no place to go to, when it is time.
    pub(super) fn retry_kept(&mut self, now_ms: i64) {
        if self.retry_ms.is_none_or(|at| at > now_ms) {
            return;
        }
        self.retry_ms = None;
        let kept = std::mem::take(&mut self.kept);
        if self.settings.dead_letter.is_some() {
            self.unread_dying.extend(kept);
            return;
        }
        // There is no place for dead letters any more, so that they are none.
        for (at, _) in kept {
            self.revive(at);
        }
    }

    fn revive(&mut self, at: At) {
        let Some(lane) = self.lane(at.0) else {
            return;
        };
        if let Some(slot) = lane.slots.get_mut(&at.1)
            && slot.place == Place::Dying
        {
            slot.place = Place::Ready;
            lane.bytes += u64::from(slot.size);
            lane.ready.insert(at.1, slot.size);
            self.dying_count -= 1;
            self.head_known = false;
        }
    }

    /// Reads the texts of dying messages, as far as they are in memory and one move takes them;
    /// says which one has to be read from disk first.
    pub(super) fn read_dying(&mut self, now_ms: i64) -> Option<At> {
        let mut later = Vec::new();
        let mut load = None;
        let mut bytes = 0;
        for (at, reason) in std::mem::take(&mut self.unread_dying) {
            let decoder = &mut self.decoder;
            let Some(lane) = self.lanes.get_mut(usize::from(at.0)) else {
                continue;
            };
            if bytes >= MOVE_BYTES_MAX as u64 {
                later.push((at, reason));
                continue;
            }
            if !lane.again.covers(at.1) {
                let Some(read) = lane.read_cached(at.1, 1) else {
                    load = load.or(Some(at));
                    later.push((at, reason));
                    continue;
                };
                let batches = window::unpack(&read, 0).unwrap_or_default();
                lane.again.set(batches.into_iter().next());
            }
            let message = lane.again.get(at.1, decoder);
            // Kept for as long as the queue keeps anything.
            let kept = |message: &window::Parsed| {
                let dropped = ends(&self.settings, message).dropped;
                dropped.is_none_or(|dropped| dropped > now_ms)
            };
            match message.filter(kept) {
                Some(message) => {
                    bytes += message.size();
                    self.dying.push(Dying {
                        at,
                        message,
                        reason,
                    });
                }
                None => {
                    self.settle_slot(at);
                }
            }
        }
        self.unread_dying = later;
        load
    }
}
