//! What compaction remembers of a stretch of a stream: of each key the offset of its last record.
//!
//! Keys are known by the first 128 bits of SHA-256 over a seed and the key. Two keys of one name
//! would lose a record, so it has to be a name that nobody can find another key for. An entry
//! takes 24 bytes, whatever the key's length.

use base::{Charge, Ledger, Rng};
use sha2::{Digest, Sha256};

/// Bytes of an entry.
const ENTRY: usize = size_of::<Slot>();
/// How many entries the first table has.
const SLOTS_MIN: usize = 1024;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    name: [u64; 2],
    /// One past the offset; 0 where there is no entry.
    next: u64,
}

/// The table: open addressing, at most three quarters full. It grows as long as the process's
/// budget and its own limit allow; then it is full.
#[derive(Debug)]
pub(super) struct Keys {
    seed: [u8; 16],
    slots: Vec<Slot>,
    used: usize,
    bytes_max: usize,
    ledger: Ledger,
    charge: Charge,
}

impl Keys {
    /// An empty one, which takes no more than `bytes_max`, its growing included. `None` when the
    /// process has no memory for it now.
    pub(super) fn new(ledger: &Ledger, bytes_max: usize) -> Option<Self> {
        let charge = ledger.try_charge(SLOTS_MIN * ENTRY)?;
        let mut seed = [0; 16];
        Rng::system().fill_secret(&mut seed);
        Some(Self {
            seed,
            slots: vec![Slot::default(); SLOTS_MIN],
            used: 0,
            bytes_max,
            ledger: ledger.clone(),
            charge,
        })
    }

    fn name(&self, key: &[u8]) -> [u64; 2] {
        let digest = Sha256::new()
            .chain_update(self.seed)
            .chain_update(key)
            .finalize();
        let word = |at: usize| {
            let bytes = digest.get(at..).and_then(<[u8]>::first_chunk::<8>);
            u64::from_le_bytes(bytes.copied().unwrap_or_default())
        };
        [word(0), word(8)]
    }

    /// Where `name` is or would be.
    fn place(slots: &[Slot], name: [u64; 2]) -> usize {
        let count = slots.len() as u64;
        // The upper half of the product spreads evenly over any number of slots.
        let mut at = ((u128::from(name[0]) * u128::from(count)) >> 64) as usize;
        while slots
            .get(at)
            .is_some_and(|slot| slot.next != 0 && slot.name != name)
        {
            at = (at + 1) % slots.len();
        }
        at
    }

    /// Remembers that `key` was last at `offset`. False, and nothing is remembered, when it is
    /// full.
    pub(super) fn put(&mut self, key: &[u8], offset: u64) -> bool {
        let name = self.name(key);
        let mut at = Self::place(&self.slots, name);
        if self.slots.get(at).is_none_or(|slot| slot.next == 0) {
            if (self.used + 1) * 4 > self.slots.len() * 3 {
                if !self.grow() {
                    return false;
                }
                at = Self::place(&self.slots, name);
            }
            self.used += 1;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            let next = (offset + 1).max(slot.next);
            *slot = Slot { name, next };
        }
        true
    }

    /// The last offset of `key`, where that is known.
    pub(super) fn last(&self, key: &[u8]) -> Option<u64> {
        if self.used == 0 {
            return None;
        }
        let at = Self::place(&self.slots, self.name(key));
        self.slots.get(at)?.next.checked_sub(1)
    }

    /// How many keys are known.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.charge.bytes()
    }

    fn grow(&mut self) -> bool {
        let old = self.slots.len() * ENTRY;
        // Both tables are there while entries move.
        let room = self.bytes_max.saturating_sub(old) / ENTRY;
        let count = (self.slots.len() * 2).min(room);
        if count < self.slots.len() + self.slots.len() / 4 {
            return false;
        }
        let Some(charge) = self.ledger.try_charge(count * ENTRY) else {
            return false;
        };
        let mut slots = vec![Slot::default(); count];
        for slot in self.slots.iter().filter(|slot| slot.next != 0) {
            let at = Self::place(&slots, slot.name);
            if let Some(place) = slots.get_mut(at) {
                *place = *slot;
            }
        }
        self.slots = slots;
        self.charge = charge;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_known() {
        let ledger = Ledger::new(1 << 30);
        let mut keys = Keys::new(&ledger, 1 << 20).unwrap();
        assert_eq!(keys.last(b"0"), None);
        for offset in 0..20_000_u64 {
            assert!(keys.put((offset % 7000).to_string().as_bytes(), offset));
        }
        assert_eq!(keys.len(), 7000);
        for key in 0..7000_u64 {
            let last = if key < 6000 { key + 14_000 } else { key + 7000 };
            assert_eq!(keys.last(key.to_string().as_bytes()), Some(last));
        }
        assert_eq!(keys.last(b"7000"), None);
        assert_eq!(ledger.used(), keys.bytes());
        drop(keys);
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn it_is_full_at_its_limit_and_at_the_budget() {
        for (budget, limit) in [(1 << 30, 100_000), (100_000, 1 << 30)] {
            let ledger = Ledger::new(budget);
            let mut keys = Keys::new(&ledger, limit).unwrap();
            let fits = (0..u64::MAX)
                .take_while(|at| keys.put(&at.to_be_bytes(), *at))
                .count();
            assert!(fits > 1500 && fits < 3200, "{fits}");
            assert!(ledger.peak() <= 100_000, "{}", ledger.peak());
            // What is known already can still be raised.
            assert!(keys.put(&0_u64.to_be_bytes(), 9_999_999));
            assert_eq!(keys.last(&0_u64.to_be_bytes()), Some(9_999_999));
        }
        assert!(Keys::new(&Ledger::new(100), 1 << 20).is_none());
    }
}
