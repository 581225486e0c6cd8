//! Randomness. Seeded from the operating system in production and from a number in tests, so that
//! a failing run can be repeated.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

/// A random generator (SplitMix64, Steele et al. 2014); cheap to clone, clones share their state.
/// Secrets (nonces, salts) come from [`Rng::fill_secret`], never from the generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: Arc<Mutex<u64>>,
    secure: bool,
}

impl Rng {
    /// Seeded by the operating system.
    ///
    /// # Panics
    /// When the operating system has no entropy to give, without which nothing should run.
    #[must_use]
    pub fn system() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).expect("the operating system gives entropy");
        Self {
            state: Arc::new(Mutex::new(u64::from_le_bytes(seed))),
            secure: true,
        }
    }

    /// The same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(seed)),
            secure: false,
        }
    }

    /// The next 64 bits.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        let mut state = self.state.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 for a bound of 0); the bias is below 2^-32 for bounds under 2^32.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.next_u64() % bound
        }
    }

    /// A random UUID (RFC 9562, version 4). Unique, not secret.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let bits = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// Fills `buffer` with bytes nobody can guess: from the operating system in production, from
    /// the seed in tests.
    ///
    /// # Panics
    /// When the operating system has no entropy to give.
    pub fn fill_secret(&self, buffer: &mut [u8]) {
        if self.secure {
            getrandom::fill(buffer).expect("the operating system gives entropy");
        } else {
            for chunk in buffer.chunks_mut(8) {
                chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (a, b) = (Rng::seeded(7), Rng::seeded(7));
        assert_eq!(a.next_u64(), b.next_u64());
        assert_eq!(a.uuid(), b.uuid());
        assert_ne!(a.uuid(), a.uuid());
    }
}
