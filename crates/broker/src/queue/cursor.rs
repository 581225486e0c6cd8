//! Which records of a lane are settled: everything below a floor, and chunks of [`CHUNK`] records
//! above it that are settled as a whole or in part. A backlog that nobody has touched has no
//! chunks; one with a hole in each chunk has half a kilobyte for each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How many records a chunk covers.
pub(super) const CHUNK: u64 = 4096;
const WORDS: usize = (CHUNK / 64) as usize;

/// The bits of a chunk that is settled in part.
pub(super) type Bits = Box<[u64; WORDS]>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// All of it.
    Full,
    /// What the bits say, and how many they are.
    Mixed(Bits, u16),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    floor: u64,
    chunks: BTreeMap<u64, Chunk>,
    /// How many records above the floor are settled.
    above: u64,
    /// Chunks that changed since they were journaled.
    dirty: BTreeSet<u64>,
}

fn bit(offset: u64) -> (usize, u64) {
    let at = offset % CHUNK;
    ((at / 64) as usize, 1 << (at % 64))
}

impl Cursor {
    /// One with everything below `floor` settled.
    pub(super) fn new(floor: u64) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// How many records above the floor are settled.
    pub(super) fn above(&self) -> u64 {
        self.above
    }

    /// How many chunks are kept.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn is_settled(&self, offset: u64) -> bool {
        if offset < self.floor {
            return true;
        }
        match self.chunks.get(&(offset / CHUNK)) {
            None => false,
            Some(Chunk::Full) => true,
            Some(Chunk::Mixed(bits, _)) => {
                let (word, mask) = bit(offset);
                bits.get(word).is_some_and(|word| word & mask != 0)
            }
        }
    }

    /// Settles one record; false when it was.
    pub(super) fn settle(&mut self, offset: u64) -> bool {
        if offset == self.floor {
            self.floor += 1;
            self.advance();
            return true;
        }
        if self.is_settled(offset) {
            return false;
        }
        let chunk = self
            .chunks
            .entry(offset / CHUNK)
            .or_insert_with(|| Chunk::Mixed(Box::new([0; WORDS]), 0));
        if let Chunk::Mixed(bits, count) = chunk {
            let (word, mask) = bit(offset);
            if let Some(word) = bits.get_mut(word) {
                *word |= mask;
            }
            *count += 1;
            if u64::from(*count) == CHUNK {
                *chunk = Chunk::Full;
            }
        }
        self.above += 1;
        self.dirty.insert(offset / CHUNK);
        true
    }

    /// Settles all of `range`.
    pub(super) fn settle_range(&mut self, range: Range<u64>) {
        let mut at = range.start.max(self.floor);
        if at == self.floor && at < range.end {
            let passed = self.settled_within(at..range.end);
            self.above -= passed;
            self.floor = range.end;
            self.advance();
            return;
        }
        while at < range.end {
            let end = (at / CHUNK + 1) * CHUNK;
            if at.is_multiple_of(CHUNK) && end <= range.end {
                let before = match self.chunks.insert(at / CHUNK, Chunk::Full) {
                    None => 0,
                    Some(Chunk::Full) => CHUNK,
                    Some(Chunk::Mixed(_, count)) => u64::from(count),
                };
                self.above += CHUNK - before;
                self.dirty.insert(at / CHUNK);
            } else {
                for offset in at..end.min(range.end) {
                    self.settle(offset);
                }
            }
            at = end;
        }
    }

    /// How many of `range`, which lies at or above the floor, are settled.
    fn settled_within(&self, range: Range<u64>) -> u64 {
        let mut count = 0;
        let first = range.start / CHUNK;
        for (number, chunk) in self.chunks.range(first..range.end.div_ceil(CHUNK)) {
            let chunk_range = number * CHUNK..(number + 1) * CHUNK;
            let from = range.start.max(chunk_range.start);
            let to = range.end.min(chunk_range.end);
            count += match chunk {
                Chunk::Full => to - from,
                Chunk::Mixed(_, all) if from == chunk_range.start && to == chunk_range.end => {
                    u64::from(*all)
                }
                Chunk::Mixed(..) => (from..to).filter(|at| self.is_settled(*at)).count() as u64,
            };
        }
        count
    }

    /// Raises the floor over what is settled behind it, and forgets what lies below.
    fn advance(&mut self) {
        loop {
            let number = self.floor / CHUNK;
            let passed = match self.chunks.get(&number) {
                None => 0,
                Some(Chunk::Full) => (number + 1) * CHUNK - self.floor,
                Some(Chunk::Mixed(bits, _)) => run(bits, self.floor),
            };
            if passed == 0 {
                break;
            }
            self.floor += passed;
            self.above -= passed;
        }
        let floor = self.floor / CHUNK;
        while let Some(first) = self.chunks.first_entry() {
            if *first.key() >= floor {
                break;
            }
            first.remove();
        }
        while let Some(first) = self.dirty.first() {
            if *first >= floor {
                break;
            }
            self.dirty.pop_first();
        }
    }

    /// The first record at or above `from` that is not settled.
    pub(super) fn next_unsettled(&self, from: u64) -> u64 {
        let mut at = from.max(self.floor);
        loop {
            let number = at / CHUNK;
            let passed = match self.chunks.get(&number) {
                None => 0,
                Some(Chunk::Full) => (number + 1) * CHUNK - at,
                Some(Chunk::Mixed(bits, _)) => run(bits, at),
            };
            if passed == 0 {
                return at;
            }
            at += passed;
        }
    }

    /// A chunk's state, as the journal wants it.
    pub(super) fn chunk(&self, number: u64) -> Option<&Chunk> {
        self.chunks.get(&number)
    }

    /// The chunks that changed since the last [`Cursor::take_dirty`].
    pub(super) fn dirty(&self) -> &BTreeSet<u64> {
        &self.dirty
    }

    /// The chunks that changed since the last call.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.dirty)
    }

    /// Something other than settling changed in a chunk.
    pub(super) fn touch(&mut self, offset: u64) {
        if offset >= self.floor {
            self.dirty.insert(offset / CHUNK);
        }
    }

    /// Takes over a chunk that was read back. The floor has to be known before.
    pub(super) fn load(&mut self, number: u64, chunk: Chunk) {
        if (number + 1) * CHUNK <= self.floor {
            return;
        }
        self.chunks.insert(number, chunk);
        let end = (number + 1) * CHUNK;
        self.above += self.settled_within(self.floor.max(number * CHUNK)..end);
    }

    /// To be called when everything is loaded.
    pub(super) fn loaded(&mut self) {
        self.advance();
    }
}

/// How many records from `from` on, to the end of its chunk at most, are settled.
fn run(bits: &Bits, from: u64) -> u64 {
    let at = from % CHUNK;
    let (mut word, shift) = ((at / 64) as usize, at % 64);
    let Some(first) = bits.get(word) else {
        return 0;
    };
    let ones = u64::from((first >> shift).trailing_ones());
    if ones < 64 - shift {
        return ones;
    }
    let mut count = ones;
    loop {
        word += 1;
        let Some(next) = bits.get(word) else {
            return count;
        };
        let ones = u64::from(next.trailing_ones());
        count += ones;
        if ones < 64 {
            return count;
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    /// The cursor against a plain set.
    fn compare(cursor: &Cursor, settled: &BTreeSet<u64>, end: u64) {
        let floor = (0..).find(|at| !settled.contains(at)).unwrap_or(0);
        assert_eq!(cursor.floor(), floor);
        let above = settled.range(floor..).count() as u64;
        assert_eq!(cursor.above(), above);
        for at in 0..end + 10 {
            assert_eq!(cursor.is_settled(at), settled.contains(&at), "{at}");
        }
    }

    #[test]
    fn it_is_a_set() {
        for seed in 0..30 {
            let rng = Rng::seeded(seed);
            let (mut cursor, mut settled) = (Cursor::new(0), BTreeSet::new());
            let end = 3 * CHUNK + rng.below(CHUNK);
            for _ in 0..60 {
                let at = rng.below(end);
                if rng.below(3) == 0 {
                    let to = (at + rng.below(2 * CHUNK)).min(end);
                    cursor.settle_range(at..to);
                    settled.extend(at..to);
                } else {
                    assert_eq!(cursor.settle(at), settled.insert(at));
                }
                let from = rng.below(end);
                let next = (from..).find(|at| !settled.contains(at)).unwrap_or(0);
                assert_eq!(cursor.next_unsettled(from), next, "seed {seed} from {from}");
            }
            compare(&cursor, &settled, end);
            // Read back chunk by chunk.
            let mut again = Cursor::new(cursor.floor());
            for (number, chunk) in &cursor.chunks {
                again.load(*number, chunk.clone());
            }
            again.loaded();
            compare(&again, &settled, end);
        }
    }

    #[test]
    fn what_is_settled_in_order_leaves_nothing_behind() {
        let mut cursor = Cursor::new(5);
        for at in 5..3 * CHUNK {
            cursor.settle(at);
        }
        assert_eq!((cursor.floor(), cursor.chunks()), (3 * CHUNK, 0));
        cursor.settle_range(3 * CHUNK..9 * CHUNK);
        assert_eq!((cursor.floor(), cursor.chunks()), (9 * CHUNK, 0));
    }
}
