//! Between the protocol's values and the engine's.

use broker::Topic;
use kafka_wire::Str;
use uuid::Uuid;

use crate::Shared;
use crate::session::Connection;

/// What stands for operations that nobody asked about.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

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
