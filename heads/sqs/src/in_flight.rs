//! How many messages of a standard queue are in flight, as a bound from above.
//!
//! The limit (`sqs.in_flight_max`) is far from where most queues are, and to count takes a queue's
//! lock and may look at its head. So a count is kept, and what is received since is added to it:
//! only where that comes near the limit, or is older than a second, is there a new count. What
//! other protocols' consumers hold is known as of the last count.

use base::HashMap;
use parking_lot::Mutex;
use uuid::Uuid;

/// How long a count is good.
const FRESH_MS: i64 = 1000;
/// Of how many queues counts are kept; with more of them, all are forgotten.
const QUEUES_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Count {
    at_ms: i64,
    most: u64,
}

/// The counts of all queues.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<Uuid, Count>>);

impl InFlight {
    /// Whether `more` messages may be received although there may be no more than `max` in flight;
    /// they are counted if so. Fewer than `more` of room is room. `count` counts.
    pub(crate) fn reserve(
        &self,
        queue: Uuid,
        (more, max): (u64, u64),
        now_ms: i64,
        count: impl FnOnce() -> u64,
    ) -> bool {
        let mut counts = self.0.lock();
        if let Some(known) = counts.get_mut(&queue)
            && now_ms.saturating_sub(known.at_ms) < FRESH_MS
            && known.most.saturating_add(more) <= max
        {
            known.most += more;
            return true;
        }
        // Not while the counts are locked: the queue may be busy.
        drop(counts);
        let counted = count();
        if counted >= max {
            return false;
        }
        let mut counts = self.0.lock();
        if counts.len() >= QUEUES_MAX && !counts.contains_key(&queue) {
            counts.clear();
        }
        let most = counted.saturating_add(more);
        let at_ms = now_ms;
        counts.insert(queue, Count { at_ms, most });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_queue_is_counted_near_its_limit_and_once_a_second() {
        let flights = InFlight::default();
        let (queue, counted) = (Uuid::from_u128(1), Cell::new(0));
        let reserve = |now_ms, have| {
            let count = || {
                counted.set(counted.get() + 1);
                have
            };
            flights.reserve(queue, (10, 100), now_ms, count)
        };
        for _ in 0..10 {
            assert!(reserve(0, 0));
        }
        assert_eq!(counted.get(), 1);
        // All of it was received: the limit holds, whatever the count is worth.
        assert!(!reserve(1, 100));
        assert!(reserve(1, 95), "there is some room");
        assert_eq!(counted.get(), 3);
        assert!(reserve(2, 50));
        assert!(reserve(3, 50));
        assert_eq!(counted.get(), 4);
        assert!(!reserve(1002, 100), "others may have received");
        assert_eq!(counted.get(), 5);
    }

    #[test]
    fn no_more_queues_are_remembered_than_allowed() {
        let flights = InFlight::default();
        for queue in 0..2 * QUEUES_MAX {
            let queue = Uuid::from_u128(u128::try_from(queue).unwrap());
            assert!(flights.reserve(queue, (1, 2), 0, || 0));
        }
        assert!(flights.0.lock().len() <= QUEUES_MAX);
    }
}
