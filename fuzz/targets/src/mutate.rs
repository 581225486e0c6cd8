//! Changes to inputs: bits, numbers at their limits, pieces cut out, doubled, moved, mixed.

use base::Rng;

/// Numbers that lengths and counts go wrong at.
const NUMBERS: [i64; 12] = [
    0,
    1,
    -1,
    -2,
    127,
    128,
    255,
    i16::MAX as i64,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

/// The longest input that is made.
const LEN_MAX: usize = 64 << 10;

fn index(rng: &Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).unwrap_or(0)
}

/// One of `seeds`, changed once or a few times; now and then one that none was the parent of.
#[must_use]
pub fn mutate(seeds: &[Vec<u8>], rng: &Rng) -> Vec<u8> {
    if seeds.is_empty() || rng.below(20) == 0 {
        let len = index(rng, 200);
        return (0..len).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
    }
    let mut bytes = seeds[index(rng, seeds.len())].clone();
    for _ in 0..=rng.below(4) {
        change(&mut bytes, seeds, rng);
    }
    bytes.truncate(LEN_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &Rng) {
    if bytes.is_empty() {
        bytes.push(rng.next_u64().to_le_bytes()[0]);
    }
    let at = index(rng, bytes.len());
    match rng.below(8) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.next_u64().to_le_bytes()[0],
        2 => number(bytes, at, rng),
        3 => bytes.truncate(at),
        4 => {
            let end = at + 1 + index(rng, (bytes.len() - at).min(16));
            bytes.drain(at..end.min(bytes.len()));
        }
        5 => {
            let end = at + 1 + index(rng, bytes.len() - at);
            let piece = bytes[at..end].to_vec();
            let to = index(rng, bytes.len());
            bytes.splice(to..to, piece);
        }
        6 => {
            let other = &seeds[index(rng, seeds.len())];
            let from = index(rng, other.len().max(1)).min(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let piece = [0xff; 5];
            let len = 1 + index(rng, 5);
            bytes.splice(at..at, piece[..len].iter().copied());
        }
    }
}

/// Writes a number at its limit, of one to eight bytes, the highest first.
fn number(bytes: &mut [u8], at: usize, rng: &Rng) {
    let value = NUMBERS[index(rng, NUMBERS.len())].to_be_bytes();
    let width = 1_usize << rng.below(4);
    for (place, byte) in bytes[at..].iter_mut().zip(&value[8 - width..]) {
        *place = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_of_different_inputs() {
        let seeds = [b"hello world".to_vec(), vec![0; 40]];
        let make = |seed| {
            let rng = Rng::seeded(seed);
            (0..100).map(|_| mutate(&seeds, &rng)).collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        let mut all = make(2);
        all.sort();
        all.dedup();
        assert!(all.len() > 90, "{}", all.len());
    }
}
