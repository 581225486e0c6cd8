//! The memory that groups take: what clients make up (names, what members say, offsets) has a
//! limit of its own, so that nobody can fill the process with groups, and is charged to the
//! process's ledger, so that connections get so much less.

use base::{Charge, Ledger};

/// What all groups together may take.
#[derive(Debug)]
pub(super) struct Room {
    own: Ledger,
    process: Ledger,
}

/// What one group takes.
#[derive(Debug)]
pub(super) struct Held {
    own: Charge,
    process: Charge,
}

impl Room {
    pub(super) fn new(limit: usize, process: Ledger) -> Self {
        Self {
            own: Ledger::new(limit),
            process,
        }
    }

    /// Whether there is room for `more` bytes.
    pub(super) fn has(&self, more: usize) -> bool {
        more == 0 || self.own.used().saturating_add(more) <= self.own.limit()
    }

    /// A group now takes `bytes`.
    pub(super) fn hold(&self, held: &mut Option<Held>, bytes: usize) {
        let held = held.get_or_insert_with(|| Held {
            own: self.own.force_charge(0),
            process: self.process.force_charge(0),
        });
        let before = held.own.bytes();
        if bytes > before {
            held.own.merge(self.own.force_charge(bytes - before));
            held.process
                .merge(self.process.force_charge(bytes - before));
        } else if bytes < before {
            drop(held.own.split(before - bytes));
            drop(held.process.split(before - bytes));
        }
    }
}
