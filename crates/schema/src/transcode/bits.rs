//! Small sets: which fields of a message were there, which keys of a map.

use base::{HashMap, HashSet};

/// A set of small numbers, without an allocation up to 63.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    low: u64,
    high: Vec<u64>,
}

impl Bits {
    /// Adds `at`; whether it was not there before.
    #[inline]
    pub(crate) fn insert(&mut self, at: u16) -> bool {
        let bit = 1_u64 << (at % 64);
        let word = if at < 64 {
            &mut self.low
        } else {
            let word = usize::from(at / 64 - 1);
            if self.high.len() <= word {
                self.high.resize(word + 1, 0);
            }
            &mut self.high[word]
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn contains(&self, at: u16) -> bool {
        let bit = 1_u64 << (at % 64);
        let word = match usize::from(at / 64).checked_sub(1) {
            None => self.low,
            Some(word) => self.high.get(word).copied().unwrap_or(0),
        };
        word & bit != 0
    }
}

/// The fingerprints of a map's keys. Whole numbers are their own; those of texts are seeded, so that
/// nobody can choose two texts of one.
#[derive(Debug)]
pub(crate) struct Keys {
    few: [u64; Self::FEW],
    count: usize,
    many: HashSet<u64>,
}

impl Keys {
    /// So many are searched one by one.
    const FEW: usize = 16;

    pub(crate) fn new() -> Self {
        Self {
            few: [0; Self::FEW],
            count: 0,
            many: HashSet::default(),
        }
    }

    /// Adds a key; whether it was not there before.
    pub(crate) fn insert(&mut self, key: u64) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(key);
        }
        let few = &self.few[..self.count];
        if few.contains(&key) {
            return false;
        }
        if let Some(place) = self.few.get_mut(self.count) {
            *place = key;
            self.count += 1;
        } else {
            self.many.extend(self.few);
            self.many.insert(key);
        }
        true
    }

    /// The fingerprint of a text.
    pub(crate) fn of_text(
        snapshot_names: &HashMap<Box<str>, crate::MessageId>,
        text: &[u8],
    ) -> u64 {
        snapshot_names.hasher().hash_one(text)
    }
}
