//! Between the protocol's values and the engine's.

use broker::Topic;
use kafka_wire::Str;
use uuid::Uuid;

use crate::Shared;
use crate::session::Connection;

/// What stands for operations that nobody asked about.
const NOT_ASKED: i32 = i32::MIN;

/// Operations on a kind of thing, one bit each. Without access control everybody may do all of
/// them.
#[derive(Clone, Copy)]
pub(crate) struct Operations(i32);

impl Operations {
    /// Read, write, create, delete, alter, describe, describe and alter the configuration.
    pub(crate) const TOPIC: Self = Self::of(&[3, 4, 5, 6, 7, 8, 10, 11]);
    /// Read, delete, describe, describe and alter the configuration.
    pub(crate) const GROUP: Self = Self::of(&[3, 6, 8, 10, 11]);
    /// Create, alter, describe, act as a broker, describe and alter the configuration, write
    /// idempotently.
    pub(crate) const CLUSTER: Self = Self::of(&[5, 7, 8, 9, 10, 11, 12]);

    const fn of(codes: &[u8]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < codes.len() {
            bits |= 1 << codes[at];
            at += 1;
        }
        Self(bits)
    }

    /// As an answer has them.
    pub(crate) fn when(self, asked: bool) -> i32 {
        if asked { self.0 } else { NOT_ASKED }
    }
}

/// Where clients find this broker.
pub(crate) fn address(shared: &Shared, connection: &Connection) -> (Str, i32) {
    match &shared.advertised {
        Some((host, port)) => (host.as_str().into(), *port),
        None => {
            let local = connection.peer.local;
            (
                local.ip().to_canonical().to_string().into(),
                i32::from(local.port()),
            )
        }
    }
}

/// A topic's id on the wire.
pub(crate) fn id(topic: &Topic) -> Uuid {
    topic.id().0
}

/// An offset on the wire.
pub(crate) fn offset(offset: base::Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}

/// An epoch that may be missing (-1).
pub(crate) fn epoch(epoch: i32) -> Option<i32> {
    (epoch >= 0).then_some(epoch)
}

/// A length or limit from the wire; negative is none.
pub(crate) fn size(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// Text that outlives the request.
pub(crate) fn owned(text: &Str) -> String {
    text.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_bits_by_code_and_none_are_named_unasked() {
        assert_eq!(Operations::TOPIC.when(true), 0b1101_1111_1000);
        assert_eq!(Operations::GROUP.when(true), 0b1101_0100_1000);
        assert_eq!(Operations::CLUSTER.when(true), 0b1_1111_1010_0000);
        assert_eq!(Operations::TOPIC.when(false), i32::MIN);
    }
}
