//! Receipt handles: which delivery of which message, sealed, so that nobody can make one up.
//!
//! A handle holds all there is to know, and the key that seals it is kept with the control state:
//! handles outlive a restart, and nothing is remembered for them. base64url of
//!
//! | bytes | |
//! |---|---|
//! | 1 | version, 1 |
//! | 16 | the queue's id |
//! | 2, 8, 4 | lane, offset, epoch: the engine's receipt |
//! | 8 | when it was delivered, in milliseconds since 1970 |
//! | 16 | the first half of HMAC-SHA-256 over all of that |
//!
//! Numbers are big-endian.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use broker::queue::Receipt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::sigv4::hmac;

const VERSION: u8 = 1;
/// What is sealed for [`Sealer::id_after`] begins with this, so that it is no handle's seal.
const ID: u8 = 2;
const PLAIN: usize = 39;
const SEAL: usize = 16;

/// What a handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) queue: Uuid,
    pub(crate) receipt: Receipt,
    pub(crate) at_ms: i64,
}

/// Seals handles, and opens them.
#[derive(Clone)]
pub(crate) struct Sealer {
    key: [u8; 32],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    pub(crate) fn seal(&self, handle: &Handle) -> String {
        let mut bytes = [0; PLAIN + SEAL];
        let Receipt {
            lane,
            offset,
            epoch,
        } = handle.receipt;
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(handle.queue.as_bytes());
        bytes[17..19].copy_from_slice(&lane.to_be_bytes());
        bytes[19..27].copy_from_slice(&offset.to_be_bytes());
        bytes[27..31].copy_from_slice(&epoch.to_be_bytes());
        bytes[31..39].copy_from_slice(&handle.at_ms.to_be_bytes());
        let (plain, seal) = bytes.split_at_mut(PLAIN);
        seal.copy_from_slice(&hmac(&self.key, plain)[..SEAL]);
        BASE64.encode(bytes)
    }

    /// The id that a message has after a move from `queue`: the same each time, and one that no
    /// client can know before.
    pub(crate) fn id_after(&self, queue: Uuid, receipt: Receipt) -> Uuid {
        let mut place = [ID; 27];
        place[1..17].copy_from_slice(queue.as_bytes());
        place[17..19].copy_from_slice(&receipt.lane.to_be_bytes());
        place[19..].copy_from_slice(&receipt.offset.to_be_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hmac(&self.key, &place)[..16]);
        uuid::Builder::from_custom_bytes(id).into_uuid()
    }

    /// `None` if it is not one of ours.
    pub(crate) fn open(&self, text: &str) -> Option<Handle> {
        let mut bytes = [0; PLAIN + SEAL];
        // Longer texts do not fit, and are none of ours.
        let length = BASE64.decode_slice(text, &mut bytes).ok()?;
        let (plain, seal) = bytes.split_at(PLAIN);
        let expected = hmac(&self.key, plain);
        let is_sealed = bool::from(expected[..SEAL].ct_eq(seal));
        if length != bytes.len() || plain[0] != VERSION || !is_sealed {
            return None;
        }
        let number = |at: usize, n: usize| {
            let bytes = plain.iter().skip(at).take(n);
            bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Some(Handle {
            queue: Uuid::from_slice(&plain[1..17]).ok()?,
            receipt: Receipt {
                lane: u16::try_from(number(17, 2)).ok()?,
                offset: number(19, 8),
                epoch: u32::try_from(number(27, 4)).ok()?,
            },
            at_ms: i64::from_be_bytes(number(31, 8).to_be_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        Handle {
            queue: Uuid::from_u128(7),
            receipt: Receipt {
                lane: 3,
                offset: u64::MAX - 1,
                epoch: 9,
            },
            at_ms: 1_700_000_000_123,
        }
    }

    #[test]
    fn a_handle_opens_with_its_own_key_only() {
        let sealed = Sealer::new([1; 32]).seal(&handle());
        assert_eq!(Sealer::new([1; 32]).open(&sealed), Some(handle()));
        assert_eq!(Sealer::new([2; 32]).open(&sealed), None);
    }

    #[test]
    fn an_id_after_a_move_is_of_the_place_and_not_of_the_delivery() {
        let sealer = Sealer::new([1; 32]);
        let Handle { queue, receipt, .. } = handle();
        let id = sealer.id_after(queue, receipt);
        let later = Receipt {
            epoch: 10,
            ..receipt
        };
        assert_eq!(sealer.id_after(queue, later), id);
        let next = Receipt {
            offset: 1,
            ..receipt
        };
        assert_ne!(sealer.id_after(queue, next), id);
        assert_ne!(sealer.id_after(Uuid::nil(), receipt), id);
        assert_ne!(Sealer::new([2; 32]).id_after(queue, receipt), id);
    }

    #[test]
    fn a_changed_handle_does_not_open() {
        let sealer = Sealer::new([1; 32]);
        let sealed = sealer.seal(&handle());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sealer.open(&changed), None, "{at}");
        }
        for bad in ["", "x", "AQEB", &format!("{sealed}A"), &sealed[1..]] {
            assert_eq!(sealer.open(bad), None, "{bad}");
        }
    }
}
