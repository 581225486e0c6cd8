//! The deduplication window: ids that were seen, for as long as the queue says. It is in memory and
//! read back from the log at a start, for which the log is kept as long.

use std::collections::VecDeque;

use base::HashMap;
use bytes::Bytes;

use super::settings::{Dedup, DedupScope};
use crate::message::Attributes;

/// What an entry is taken to need, in bytes, over the message's id.
const ENTRY_BYTES: usize = 112;

/// Where the first message with an id went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) lane: u16,
    pub(super) offset: u64,
    pub(super) message_id: Option<Bytes>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct DedupWindow {
    scope: DedupScope,
    window_ms: i64,
    first: HashMap<u128, First>,
    /// When each was seen, the oldest first.
    order: VecDeque<(i64, u128, u16, u64)>,
    bytes: usize,
    /// Two hashes with secrets of their own: 128 bits that nobody can aim at.
    hashers: [HashMap<(), ()>; 2],
}

impl DedupWindow {
    pub(super) fn new(dedup: Dedup) -> Self {
        Self {
            scope: dedup.scope,
            window_ms: i64::try_from(dedup.window.as_millis()).unwrap_or(i64::MAX),
            first: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            hashers: [HashMap::default(), HashMap::default()],
        }
    }

    /// How far back it looks, in milliseconds.
    pub(super) fn window_ms(&self) -> i64 {
        self.window_ms
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a message is known by; `None` when it has no id.
    pub(super) fn key(&self, attributes: &Attributes) -> Option<u128> {
        let id = attributes.dedup.as_ref()?;
        let scope = match self.scope {
            DedupScope::Queue => None,
            DedupScope::Group => attributes.group.as_ref(),
        };
        let [high, low] = &self.hashers;
        let hash = |map: &HashMap<(), ()>| map.hasher().hash_one((scope, id));
        Some((u128::from(hash(high)) << 64) | u128::from(hash(low)))
    }

    pub(super) fn get(&self, key: u128) -> Option<&First> {
        self.first.get(&key)
    }

    /// Remembers a message; the oldest is forgotten when there are more than `max`.
    pub(super) fn insert(&mut self, key: u128, first: First, now_ms: i64, max: usize) {
        self.expire(now_ms);
        while self.order.len() >= max.max(1) {
            self.pop();
        }
        self.bytes += ENTRY_BYTES + first.message_id.as_ref().map_or(0, Bytes::len);
        self.order
            .push_back((now_ms, key, first.lane, first.offset));
        self.first.insert(key, first);
    }

    /// Forgets what is older than the window.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let before = now_ms.saturating_sub(self.window_ms);
        while self.order.front().is_some_and(|(at, ..)| *at < before) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, key, lane, offset)) = self.order.pop_front()
            && let Some(first) = self.first.get(&key)
            && (first.lane, first.offset) == (lane, offset)
        {
            self.bytes -= ENTRY_BYTES + first.message_id.as_ref().map_or(0, Bytes::len);
            self.first.remove(&key);
        }
    }

    /// The first record of `lane` that the next start has to read to know what is known now.
    pub(super) fn floor(&self, lane: u16) -> Option<u64> {
        self.order
            .iter()
            .find(|(_, _, of, _)| *of == lane)
            .map(|(.., offset)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_are_remembered_for_the_window_and_no_more_than_allowed() {
        let mut window = DedupWindow::new(Dedup {
            window: Duration::from_millis(100),
            scope: DedupScope::Group,
        });
        let key = |window: &DedupWindow, group: &'static [u8], id: &'static [u8]| {
            let attributes = Attributes {
                group: Some(Bytes::from_static(group)),
                dedup: Some(Bytes::from_static(id)),
                ..Attributes::default()
            };
            window.key(&attributes).unwrap()
        };
        let first = |offset| First {
            lane: 0,
            offset,
            message_id: None,
        };
        let (a, b) = (key(&window, b"g", b"1"), key(&window, b"h", b"1"));
        assert_ne!(a, b, "the id is the group's");
        window.insert(a, first(0), 1000, 2);
        window.insert(b, first(1), 1050, 2);
        assert_eq!(window.floor(0), Some(0));
        window.expire(1101);
        assert_eq!((window.get(a), window.get(b)), (None, Some(&first(1))));
        window.insert(a, first(2), 1101, 2);
        let c = key(&window, b"g", b"2");
        window.insert(c, first(3), 1101, 2);
        assert_eq!(window.get(b), None, "there is room for two");
        assert_eq!(window.bytes(), 2 * ENTRY_BYTES);
    }
}
