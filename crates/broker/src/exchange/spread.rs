//! Exchanges that choose one of their bindings.
//!
//! Both hashes must choose the same after a restart and on another machine, so they are computed
//! from names only, by a function that is written down here, and never from the order in which
//! bindings were made.

use std::sync::Arc;

use super::bound::Bound;
use super::kind::ExchangeKind;
use crate::error::Error;

/// 64-bit FNV-1a, its bits mixed by the finalizer of SplitMix64 (FNV alone leaves the high bits of
/// short texts alike).
fn hash(parts: &[&[u8]]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in *part {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // An end, so that moving a byte from one part to the next makes another text.
        sum = (sum ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    }
    let mut z = sum;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn of_bound(bound: &Bound) -> u64 {
    let target = bound.target();
    let kind: &[u8] = if target.is_exchange() {
        b"exchange"
    } else {
        b"queue"
    };
    hash(&[kind, target.name().as_bytes(), bound.key()])
}

/// The weight that a binding's key stands for.
///
/// # Errors
/// [`Error::InvalidRequest`].
pub(super) fn weight(key: &[u8]) -> Result<u32, Error> {
    let text = std::str::from_utf8(key).unwrap_or_default();
    let weight = text.parse::<u32>().ok();
    weight
        .filter(|weight| (1..=ExchangeKind::WEIGHT_MAX).contains(weight))
        .ok_or_else(|| {
            Error::InvalidRequest(format!(
                "the binding key is a weight: a number from 1 to {}",
                ExchangeKind::WEIGHT_MAX
            ))
        })
}

/// Bindings with weights. Each has a score for a text, made from both of their hashes, and the
/// highest wins (rendezvous hashing: Thaler and Ravishankar 1998; with weights: Schindelhauer and
/// Schomaker 2005). Exact shares and no table, for a look at each binding.
#[derive(Debug, Default)]
pub(super) struct ByHash(Vec<(u64, f64, Arc<Bound>)>);

impl ByHash {
    pub(super) fn insert(&mut self, bound: &Arc<Bound>) {
        // A key that is no weight was refused when it was bound.
        let weight = weight(bound.key()).unwrap_or(1);
        self.0
            .push((of_bound(bound), f64::from(weight), bound.clone()));
    }

    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        self.0.retain(|(_, _, other)| !Arc::ptr_eq(other, bound));
    }

    pub(super) fn choose(&self, text: &[u8]) -> Option<&Arc<Bound>> {
        let text = hash(&[text]);
        let score = |seed: u64, weight: f64| {
            let mixed = hash(&[&(seed ^ text).to_le_bytes()]);
            // 52 bits, so that the sum is exact and the result strictly between 0 and 1.
            #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
            let unit = ((mixed >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
            -weight / unit.ln()
        };
        let scored = self
            .0
            .iter()
            .map(|(seed, weight, bound)| (score(*seed, *weight), *seed, bound));
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map(|(_, _, bound)| bound)
    }
}

/// Bindings in the order of their destinations.
#[derive(Debug, Default)]
pub(super) struct InOrder(Vec<Arc<Bound>>);

impl InOrder {
    fn order(bound: &Bound) -> (bool, &str, &[u8]) {
        let target = bound.target();
        (target.is_exchange(), target.name(), bound.key())
    }

    pub(super) fn insert(&mut self, bound: &Arc<Bound>) {
        let order = Self::order(bound);
        let at = self.0.partition_point(|other| Self::order(other) < order);
        self.0.insert(at, bound.clone());
    }

    pub(super) fn remove(&mut self, bound: &Arc<Bound>) {
        self.0.retain(|other| !Arc::ptr_eq(other, bound));
    }

    pub(super) fn choose(&self, text: &[u8]) -> Option<&Arc<Bound>> {
        self.at(hash(&[text]))
    }

    /// The one whose number is `number`, modulo how many there are.
    pub(super) fn at(&self, number: u64) -> Option<&Arc<Bound>> {
        let many = self.0.len() as u64;
        let at = number.checked_rem(many)?;
        self.0.get(usize::try_from(at).ok()?)
    }
}
