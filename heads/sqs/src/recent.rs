//! What is remembered for minutes: when a queue was purged, which name a deleted queue had, and
//! what a receive with an attempt id got. All of it is bounded, and forgotten by a restart, which
//! is allowed: it makes a purge, a name or a repeated receive possible sooner.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{HashMap, Ledger};
use broker::queue::{Delivery, Receipt};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::config::Config;

mod attempts;

use attempts::{Attempt, Attempts};

/// How many purges and deletions are remembered.
const NOTED_MAX: usize = 10_000;

/// What happened, and when.
#[derive(Debug)]
struct Notes<K> {
    at: HashMap<K, i64>,
    order: VecDeque<K>,
    keep_ms: i64,
}

impl<K: std::hash::Hash + Eq + Clone> Notes<K> {
    fn new(keep_ms: u64) -> Self {
        Self {
            at: HashMap::default(),
            order: VecDeque::new(),
            keep_ms: i64::try_from(keep_ms).unwrap_or(i64::MAX),
        }
    }

    /// Whether it happened within the time; notes it if not.
    fn check(&mut self, key: &K, now_ms: i64) -> bool {
        let is_recent = self.is_recent(key, now_ms);
        if !is_recent {
            self.note(key, now_ms);
        }
        is_recent
    }

    fn is_recent(&self, key: &K, now_ms: i64) -> bool {
        self.at
            .get(key)
            .is_some_and(|at| now_ms.saturating_sub(*at) < self.keep_ms)
    }

    fn note(&mut self, key: &K, now_ms: i64) {
        if self.keep_ms == 0 {
            return;
        }
        if self.at.insert(key.clone(), now_ms).is_none() {
            self.order.push_back(key.clone());
        }
        while self.order.len() > NOTED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.at.remove(&oldest);
            }
        }
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Recent {
    purged: Mutex<Notes<Uuid>>,
    deleted: Mutex<Notes<String>>,
    attempts: Mutex<Attempts>,
}

impl Recent {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            purged: Mutex::new(Notes::new(config.purge_interval.0)),
            deleted: Mutex::new(Notes::new(config.recreate_after.0)),
            attempts: Mutex::new(Attempts::new(
                config.attempts_max,
                config.attempts_bytes_max.as_usize(),
            )),
        }
    }

    /// Whether the queue was purged just now; notes that it is, if not.
    pub(crate) fn purges(&self, queue: Uuid, now_ms: i64) -> bool {
        self.purged.lock().check(&queue, now_ms)
    }

    pub(crate) fn note_deleted(&self, name: &str, now_ms: i64) {
        self.deleted.lock().note(&name.to_owned(), now_ms);
    }

    pub(crate) fn was_deleted(&self, name: &str, now_ms: i64) -> bool {
        self.deleted.lock().is_recent(&name.to_owned(), now_ms)
    }

    /// Keeps what a receive got, if there is room.
    pub(crate) fn keep(
        &self,
        ledger: &Ledger,
        queue: Uuid,
        id: &str,
        deliveries: &[Delivery],
        now_ms: i64,
    ) {
        // Copied, so that it does not hold the batches that the messages lie in.
        let mut bytes = 0;
        let copies = deliveries.iter().map(|one| attempts::copy(one, &mut bytes));
        let copies = Arc::new(copies.collect::<Vec<_>>());
        if let Some(charge) = ledger.try_charge(bytes) {
            let attempt = Attempt::new(queue, id, now_ms, copies, charge);
            self.attempts.lock().insert(attempt, now_ms);
        }
    }

    /// What the receive `id` got, if it can be repeated.
    pub(crate) fn attempt(&self, queue: Uuid, id: &str, now_ms: i64) -> Option<Arc<Vec<Delivery>>> {
        self.attempts.lock().find(queue, id, now_ms)
    }

    /// A message was deleted or its visibility changed: what had it cannot be repeated.
    pub(crate) fn touch(&self, queue: Uuid, receipt: Receipt) {
        self.attempts.lock().forget(queue, receipt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_pass() {
        let mut notes = Notes::new(60_000);
        assert!(!notes.check(&1, 0));
        assert!(notes.check(&1, 59_999));
        assert!(!notes.check(&1, 60_000));
        for key in 2..20_000 {
            notes.note(&key, 60_001);
        }
        assert_eq!(notes.at.len(), NOTED_MAX);
        let mut none = Notes::new(0);
        assert!(!none.check(&1, 0) && !none.check(&1, 0));
    }

    #[test]
    fn an_attempt_is_repeated_until_one_of_its_messages_is_touched() {
        let recent = Recent::new(&Config::default());
        let ledger = Ledger::new(1 << 20);
        let queue = Uuid::from_u128(1);
        let receipt = Receipt {
            lane: 0,
            offset: 1,
            epoch: 1,
        };
        let delivery = Delivery {
            receipt,
            redelivered: false,
            attempts: 1,
            first_ms: 0,
            ready_left: 0,
            timestamp_ms: 0,
            key: None,
            value: None,
            headers: Vec::new(),
            attributes: broker::message::Attributes::default(),
        };
        let got = Arc::new(vec![delivery]);
        recent.keep(&ledger, queue, "a", &got, 0);
        assert!(recent.attempt(queue, "a", 299_999).is_some());
        assert!(recent.attempt(queue, "a", 300_000).is_none());
        assert!(recent.attempt(queue, "b", 0).is_none());
        recent.touch(queue, receipt);
        assert!(recent.attempt(queue, "a", 0).is_none());
        assert_eq!(ledger.used(), 0);
    }
}
