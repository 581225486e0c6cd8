//! Deliveries of a channel that were not acknowledged yet, by their tags.
//!
//! Tags grow, so the list is in order: a tag is found by bisection, what is settled at the front is
//! forgotten at once. What is settled out of order leaves a hole; holes are closed when they are
//! half of the list. When the list goes, however it goes, what is in it goes back to its queue.

use std::collections::VecDeque;

use broker::queue::{Outcome, Queue, Receipt};

use crate::call::Settle;

/// What was delivered under a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A queue's message: which queue of the list, which lease.
    Queue(u32, Receipt),
    /// A stream's message: the number of its consumer, which gets room for another one.
    Stream(u32),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u64,
    /// `None`: settled out of order.
    held: Option<Held>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    entries: VecDeque<Entry>,
    /// How many entries are settled.
    holes: usize,
    queues: Vec<Queue>,
    /// Whether a transaction may hold places of the list.
    keep: bool,
}

/// Below this many holes nothing is done about them.
const HOLES_MIN: usize = 64;
/// How many queues are remembered that nothing is held of.
const QUEUES_MAX: usize = 32;

impl Unacked {
    /// The place of a queue in the list of queues.
    pub(crate) fn queue(&mut self, queue: &Queue) -> u32 {
        if self.queues.len() >= QUEUES_MAX && self.entries.is_empty() && !self.keep {
            self.queues.clear();
        }
        let at = self
            .queues
            .iter()
            .position(|known| known.id() == queue.id())
            .unwrap_or_else(|| {
                self.queues.push(queue.clone());
                self.queues.len() - 1
            });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Places of queues stay as they are from now on.
    pub(crate) fn keep_places(&mut self) {
        self.keep = true;
    }

    /// A delivery under a tag that is larger than all before.
    pub(crate) fn push(&mut self, tag: u64, held: Held) {
        self.entries.push_back(Entry {
            tag,
            held: Some(held),
        });
    }

    /// Puts back what a transaction had taken, at its place.
    pub(crate) fn put_back(&mut self, taken: Vec<(u64, Held)>) {
        for (tag, held) in taken {
            match self.entries.binary_search_by_key(&tag, |entry| entry.tag) {
                Ok(at) => {
                    if let Some(entry) = self.entries.get_mut(at) {
                        self.holes -= usize::from(entry.held.is_none());
                        entry.held = Some(held);
                    }
                }
                Err(at) => self.entries.insert(
                    at,
                    Entry {
                        tag,
                        held: Some(held),
                    },
                ),
            }
        }
    }

    /// Takes what a settlement of `tag` (or of all up to it) means into `taken`; `false` when
    /// there is no such delivery. Tag 0 with `multiple` is all there are.
    pub(crate) fn take(&mut self, tag: u64, multiple: bool, taken: &mut Vec<(u64, Held)>) -> bool {
        if multiple && tag == 0 {
            taken.extend(self.drain(u64::MAX));
            return true;
        }
        let Ok(at) = self.entries.binary_search_by_key(&tag, |entry| entry.tag) else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(at) else {
            return false;
        };
        if entry.held.is_none() {
            return false;
        }
        if multiple {
            taken.extend(self.drain(tag));
            return true;
        }
        if let Some(held) = entry.held.take() {
            taken.push((tag, held));
            self.holes += 1;
        }
        while self.entries.front().is_some_and(|e| e.held.is_none()) {
            self.entries.pop_front();
            self.holes -= 1;
        }
        self.close_holes();
        true
    }

    /// Takes out what is settled when it is half of all.
    fn close_holes(&mut self) {
        if self.holes >= HOLES_MIN && self.holes * 2 >= self.entries.len() {
            self.entries.retain(|entry| entry.held.is_some());
            self.entries.shrink_to(self.entries.len() * 2);
            self.holes = 0;
        }
    }

    /// Takes everything up to and with `last`.
    fn drain(&mut self, last: u64) -> Vec<(u64, Held)> {
        let mut taken = Vec::new();
        while let Some(entry) = self.entries.front().filter(|entry| entry.tag <= last) {
            match entry.held {
                Some(held) => taken.push((entry.tag, held)),
                None => self.holes -= 1,
            }
            self.entries.pop_front();
        }
        taken
    }

    /// The settlements that give what was taken one outcome; per queue, in the order of tags. The
    /// numbers of consumers of streams go to `streams`.
    pub(crate) fn settles(
        &self,
        taken: &[(u64, Held)],
        outcome: Outcome,
        settles: &mut Vec<Settle>,
        mut stream: impl FnMut(u32),
    ) {
        for (_, held) in taken {
            match *held {
                Held::Stream(consumer) => stream(consumer),
                Held::Queue(at, receipt) => {
                    let Some(queue) = self.queues.get(at as usize) else {
                        continue;
                    };
                    let last = settles
                        .last_mut()
                        .filter(|last| last.outcome == outcome && last.queue.id() == queue.id());
                    match last {
                        Some(last) => last.receipts.push(receipt),
                        None => settles.push(Settle {
                            queue: queue.clone(),
                            receipts: vec![receipt],
                            outcome,
                        }),
                    }
                }
            }
        }
    }

    /// Gives everything back to its queue.
    fn release(&mut self) {
        let taken = self.drain(u64::MAX);
        let outcome = Outcome::Release {
            counted: true,
            delay: None,
        };
        let mut settles = Vec::new();
        self.settles(&taken, outcome, &mut settles, |_| {});
        for settle in settles {
            let _ = settle.queue.settle(&settle.receipts, settle.outcome);
        }
    }
}

impl Drop for Unacked {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::{HOLES_MIN, Held, Unacked};

    #[test]
    fn what_is_settled_out_of_order_does_not_stay_behind_the_first() {
        let mut unacked = Unacked::default();
        let mut taken = Vec::new();
        unacked.push(1, Held::Stream(1));
        for tag in 2..10_000 {
            unacked.push(tag, Held::Stream(1));
            assert!(unacked.take(tag, false, &mut taken));
            assert!(!unacked.take(tag, false, &mut taken), "it is settled");
            assert!(unacked.entries.len() <= HOLES_MIN + 2);
        }
        assert_eq!(taken.len(), 9998);
        // Taken back by a transaction that does not end, then all at once.
        let back = taken.split_off(4000);
        unacked.put_back(back);
        taken.clear();
        assert!(unacked.take(0, true, &mut taken));
        let tags: Vec<u64> = taken.iter().map(|(tag, _)| *tag).collect();
        let wanted: Vec<u64> = std::iter::once(1).chain(4002..10_000).collect();
        assert_eq!(tags, wanted);
        assert_eq!((unacked.entries.len(), unacked.holes), (0, 0));
    }
}
