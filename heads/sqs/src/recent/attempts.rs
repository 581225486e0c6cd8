//! What receives with an attempt id got, oldest first; found by the id and by each message.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Charge, HashMap};
use broker::message::Attributes;
use broker::queue::{Delivery, Receipt};
use bytes::Bytes;
use uuid::Uuid;

/// How long an attempt can be repeated.
const ATTEMPT_MS: i64 = 300_000;

/// A receive that can be repeated.
#[derive(Debug)]
pub(super) struct Attempt {
    queue: Uuid,
    id: String,
    at_ms: i64,
    deliveries: Arc<Vec<Delivery>>,
    charge: Charge,
}

impl Attempt {
    pub(super) fn new(
        queue: Uuid,
        id: &str,
        at_ms: i64,
        deliveries: Arc<Vec<Delivery>>,
        charge: Charge,
    ) -> Self {
        Self {
            queue,
            id: id.to_owned(),
            at_ms,
            deliveries,
            charge,
        }
    }
}

/// All of them. Nothing that is asked of it looks at more than it answers or forgets.
#[derive(Debug)]
pub(super) struct Attempts {
    /// In the order in which they came.
    list: BTreeMap<u64, Attempt>,
    by_id: HashMap<(Uuid, String), u64>,
    by_receipt: HashMap<(Uuid, Receipt), u64>,
    next: u64,
    bytes: usize,
    max: usize,
    bytes_max: usize,
}

impl Attempts {
    pub(super) fn new(max: usize, bytes_max: usize) -> Self {
        Self {
            list: BTreeMap::new(),
            by_id: HashMap::default(),
            by_receipt: HashMap::default(),
            next: 0,
            bytes: 0,
            max,
            bytes_max,
        }
    }

    /// Adds one. It takes the place of the same one, and of the oldest where there are too many;
    /// one that is too large by itself is not kept.
    pub(super) fn insert(&mut self, attempt: Attempt, now_ms: i64) {
        self.expire(now_ms);
        let key = (attempt.queue, attempt.id.clone());
        if let Some(same) = self.by_id.get(&key).copied() {
            self.remove(same);
        }
        let bytes = attempt.charge.bytes();
        if self.max == 0 || bytes > self.bytes_max {
            return;
        }
        while self.list.len() >= self.max || self.bytes + bytes > self.bytes_max {
            let Some((oldest, _)) = self.list.first_key_value() else {
                break;
            };
            self.remove(*oldest);
        }
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        for delivery in attempt.deliveries.iter() {
            self.by_receipt
                .insert((attempt.queue, delivery.receipt), number);
        }
        self.by_id.insert(key, number);
        self.list.insert(number, attempt);
    }

    /// What the receive `id` got.
    pub(super) fn find(
        &mut self,
        queue: Uuid,
        id: &str,
        now_ms: i64,
    ) -> Option<Arc<Vec<Delivery>>> {
        self.expire(now_ms);
        let number = self.by_id.get(&(queue, id.to_owned()))?;
        Some(self.list.get(number)?.deliveries.clone())
    }

    /// Forgets the one that got the delivery that `receipt` names.
    pub(super) fn forget(&mut self, queue: Uuid, receipt: Receipt) {
        if let Some(number) = self.by_receipt.get(&(queue, receipt)).copied() {
            self.remove(number);
        }
    }

    fn expire(&mut self, now_ms: i64) {
        while let Some((oldest, attempt)) = self.list.first_key_value() {
            if now_ms.saturating_sub(attempt.at_ms) < ATTEMPT_MS {
                break;
            }
            self.remove(*oldest);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(attempt) = self.list.remove(&number) else {
            return;
        };
        self.bytes -= attempt.charge.bytes();
        for delivery in attempt.deliveries.iter() {
            self.by_receipt.remove(&(attempt.queue, delivery.receipt));
        }
        self.by_id.remove(&(attempt.queue, attempt.id));
    }
}

/// A delivery that holds nothing but itself; adds to `sum` how much that is.
pub(super) fn copy(delivery: &Delivery, sum: &mut usize) -> Delivery {
    *sum += size_of::<Delivery>();
    let mut own = |bytes: &Bytes| {
        *sum += bytes.len() + size_of::<Bytes>();
        Bytes::copy_from_slice(bytes)
    };
    let mut copied = delivery.clone();
    let Attributes {
        routing_keys,
        group,
        dedup,
        message_id,
        origin,
        ..
    } = &mut copied.attributes;
    let headers = &mut copied.headers;
    let single = [&mut copied.key, &mut copied.value, group, dedup, message_id];
    single
        .into_iter()
        .flatten()
        .chain(routing_keys)
        .chain(origin.as_mut().map(|(_, block)| block))
        .for_each(|bytes| *bytes = own(bytes));
    for (name, value) in headers {
        *name = own(name);
        *value = value.as_ref().map(&mut own);
    }
    copied
}

#[cfg(test)]
mod tests {
    use base::Ledger;

    use super::*;

    const QUEUE: Uuid = Uuid::from_u128(1);

    fn delivery(offset: u64) -> Delivery {
        Delivery {
            receipt: Receipt {
                lane: 0,
                offset,
                epoch: 1,
            },
            redelivered: false,
            attempts: 1,
            first_ms: 0,
            ready_left: 0,
            timestamp_ms: 0,
            key: None,
            value: Some(Bytes::from_static(b"value")),
            headers: vec![(Bytes::from_static(b"name"), Some(Bytes::new()))],
            attributes: Attributes::default(),
        }
    }

    fn attempt(ledger: &Ledger, offset: u64, at_ms: i64, bytes: usize) -> Attempt {
        let got = Arc::new(vec![delivery(offset), delivery(1000 + offset)]);
        let charge = ledger.try_charge(bytes).unwrap();
        Attempt::new(QUEUE, &offset.to_string(), at_ms, got, charge)
    }

    #[test]
    fn the_oldest_is_forgotten_where_there_is_no_room() {
        let ledger = Ledger::new(1 << 20);
        let mut attempts = Attempts::new(3, 100);
        for offset in 0..5 {
            attempts.insert(attempt(&ledger, offset, 0, 10), 0);
        }
        assert!(attempts.find(QUEUE, "1", 0).is_none());
        assert!(attempts.find(QUEUE, "2", 0).is_some());
        attempts.insert(attempt(&ledger, 5, 0, 90), 0);
        assert!(attempts.find(QUEUE, "3", 0).is_none());
        assert!(attempts.find(QUEUE, "4", 0).is_some());
        attempts.insert(attempt(&ledger, 6, 0, 101), 0);
        assert!(attempts.find(QUEUE, "6", 0).is_none());
        assert_eq!((attempts.bytes, ledger.used()), (100, 100));
        assert_eq!((attempts.by_id.len(), attempts.by_receipt.len()), (2, 4));
    }

    #[test]
    fn what_is_old_or_touched_is_forgotten_as_a_whole() {
        let ledger = Ledger::new(1 << 20);
        let mut attempts = Attempts::new(10, 100);
        attempts.insert(attempt(&ledger, 1, 0, 10), 0);
        attempts.insert(attempt(&ledger, 2, 1, 10), 1);
        attempts.insert(attempt(&ledger, 3, 1, 10), 1);
        assert!(attempts.find(QUEUE, "1", ATTEMPT_MS).is_none());
        attempts.forget(QUEUE, delivery(1002).receipt);
        attempts.forget(Uuid::nil(), delivery(3).receipt);
        assert!(attempts.find(QUEUE, "2", ATTEMPT_MS).is_none());
        assert!(attempts.find(QUEUE, "3", ATTEMPT_MS).is_some());
        // The same id again is another receive.
        attempts.insert(attempt(&ledger, 3, 2, 20), 2);
        assert_eq!((attempts.bytes, ledger.used()), (20, 20));
    }

    #[test]
    fn a_copy_is_the_same_and_holds_nothing_else() {
        let batch = Bytes::from(vec![7; 1 << 20]);
        let mut given = delivery(1);
        given.value = Some(batch.slice(5..10));
        given.attributes.group = Some(batch.slice(0..1));
        let mut bytes = 0;
        let copied = copy(&given, &mut bytes);
        assert_eq!(copied, given);
        drop(given);
        assert!(batch.is_unique(), "the copy holds the batch");
        assert!((10..4096).contains(&bytes), "{bytes}");
    }
}
