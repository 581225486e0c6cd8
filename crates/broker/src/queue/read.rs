//! Going over a lane: what is passed over, and reading what is not in memory.

use base::Offset;

use super::dispatch::{Head, Load};
use super::handle::Inner;
use super::lane::{Lane, Place, Slot};
use super::window::{self, Parsed};

impl Lane {
    pub(super) fn load(&self, number: u16, from: u64, again: bool) -> Head {
        Head::Load(Load {
            lane: number,
            from,
            again,
            number: self.reads,
        })
    }

    /// Passes over what was settled before the start.
    pub(super) fn skip_settled(&mut self) {
        if self.settled_ahead > 0 {
            let next = self.cursor.next_unsettled(self.next);
            self.settled_ahead = self.settled_ahead.saturating_sub(next - self.next);
            self.next = next;
        }
    }

    /// Goes on at `offset`; what is passed over is settled or not there.
    pub(super) fn advance_to(&mut self, offset: u64) {
        if offset <= self.next {
            return;
        }
        let settled = if self.settled_ahead == 0 {
            0
        } else {
            let passed = self.next..offset;
            passed.filter(|at| self.cursor.is_settled(*at)).count() as u64
        };
        self.cursor.settle_range(self.next..offset);
        self.settled_ahead = self.settled_ahead.saturating_sub(settled);
        self.next = offset;
    }

    /// How often a record that nobody has looked at since the start was delivered before it.
    pub(super) fn attempts_before(&self, offset: u64) -> u32 {
        if offset >= self.seen {
            return 0;
        }
        self.counts.get(&offset).map_or(1, |count| count.attempts)
    }

    /// The slot of a record that is looked at for the first time, and its bytes out of those that
    /// nobody has looked at.
    pub(super) fn look_at(&mut self, offset: u64, size: u64, place: Place) -> (Slot, u32) {
        let mut slot = Slot::new(place, size);
        slot.attempts = self.attempts_before(offset);
        slot.redelivered = slot.attempts > 0;
        slot.first_ms = self
            .counts
            .remove(&offset)
            .map_or(0, |count| count.first_ms);
        self.uncount(offset, size);
        self.next = offset + 1;
        (slot, slot.attempts)
    }

    /// Takes the record out of the window.
    pub(super) fn take_ahead(&mut self, place: Place) -> Option<(Parsed, Slot)> {
        let parsed = self.window.take()?;
        let (slot, _) = self.look_at(parsed.offset, parsed.size(), place);
        Some((parsed, slot))
    }
}

impl Inner {
    /// Reads what a pass could not go on without, on a thread that may wait for the disk.
    pub(super) fn load(&self, load: Load) {
        let Some(queue) = self.me.upgrade() else {
            return;
        };
        self.shared
            .tasks
            .spawn_blocking("broker.queue_read", move || {
                let bytes = if load.again {
                    1
                } else {
                    queue.shared.config.read_ahead_bytes.as_usize()
                };
                let stream = queue.state.lock().lane(load.lane).map(|l| l.stream.clone());
                let Some(stream) = stream else {
                    return;
                };
                let charge = queue.shared.ledger().force_charge(bytes);
                let read = stream
                    .read(Offset(load.from), bytes)
                    .map_err(crate::Error::from);
                let unpacked = read.and_then(|read| {
                    let max = queue.shared.decompressed_bytes_max;
                    Ok((window::unpack(&read, max)?, read.next.0))
                });
                let mut state = queue.state.lock();
                let Some(lane) = state.lane(load.lane) else {
                    return;
                };
                lane.loading = false;
                match unpacked {
                    _ if lane.reads != load.number => {}
                    Ok((batches, _)) if load.again => {
                        lane.again.set(batches.into_iter().next());
                        if !lane.again.covers(load.from) {
                            // Compaction or retention has taken it.
                            state.settle_slot((load.lane, load.from));
                        }
                    }
                    Ok((batches, next)) => lane.window.push(batches, next, Some(charge)),
                    Err(error) => {
                        // It is tried again by whatever asks next; who does not wait gets nothing.
                        let wakers = state.answer_now();
                        drop(state);
                        wakers.into_iter().for_each(std::task::Waker::wake);
                        tracing::warn!(queue = %queue.name, %error, "a queue cannot be read");
                        return;
                    }
                }
                drop(state);
                queue.schedule();
            });
    }
}
