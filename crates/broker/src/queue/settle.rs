//! Settling, and looking without taking.

use base::Offset;

use super::delivery::{Delivery, Outcome, Receipt};
use super::handle::Queue;
use super::lane::Place;
use crate::error::Error;

/// How much is read for a look, in bytes.
const PEEK_BYTES: usize = 1 << 20;

/// What settling came to.
#[derive(Clone, Debug)]
pub struct Settled {
    /// For each receipt, in order: whether it named a lease that was there.
    pub known: Vec<bool>,
    queue: Queue,
}

impl Settled {
    /// Waits until a restart will know of it.
    ///
    /// # Errors
    /// [`Error::Store`] when it never will be.
    pub async fn durable(&self) -> Result<(), Error> {
        self.queue.0.journaled().await
    }
}

impl Queue {
    /// Says what became of deliveries. Done at once; [`Settled::durable`] waits until a restart
    /// knows it.
    pub fn settle(&self, receipts: &[Receipt], outcome: Outcome) -> Settled {
        let now_ms = self.0.shared.clock.unix_ms();
        let known = self.0.change(|state| {
            state.pass_time(now_ms);
            let each = receipts.iter();
            each.map(|receipt| state.settle_receipt(*receipt, outcome, now_ms))
                .collect()
        });
        self.0.shared.metrics.settled.inc_by(receipts.len() as u64);
        if outcome == Outcome::Reject {
            self.0.schedule();
        }
        Settled {
            known,
            queue: self.clone(),
        }
    }

    /// Settles messages whoever has them now, by receipts of any age.
    pub fn settle_any(&self, receipts: &[Receipt]) -> Settled {
        let known = self.0.change(|state| {
            let each = receipts.iter();
            each.map(|receipt| state.settle_any((receipt.lane, receipt.offset)))
                .collect()
        });
        self.0.shared.metrics.settled.inc_by(receipts.len() as u64);
        Settled {
            known,
            queue: self.clone(),
        }
    }

    /// Up to `max` messages that are ready, from the `from`th on, lane by lane from the highest and
    /// in the order of the log. They are not leased. May read from disk.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Store`].
    pub async fn peek(&self, from: usize, max: usize) -> Result<Vec<Delivery>, Error> {
        let queue = self.clone();
        let done = self
            .0
            .shared
            .tasks
            .spawn_blocking("broker.queue_peek", move || queue.peek_now(from, max));
        done.await.map_err(|_| Error::ShuttingDown)?
    }

    fn peek_now(&self, from: usize, max: usize) -> Result<Vec<Delivery>, Error> {
        let bytes_max = self.0.shared.decompressed_bytes_max;
        let now_ms = self.0.shared.clock.unix_ms();
        let mut skip = from;
        let mut found = Vec::new();
        let lanes = self.0.state.lock().lanes.len();
        for number in (0..lanes).rev() {
            let lane_number = u16::try_from(number).unwrap_or(u16::MAX);
            let (stream, mut at) = {
                let state = self.0.state.lock();
                if state.deleted {
                    return Err(self.0.unknown());
                }
                let Some(lane) = state.lanes.get(number) else {
                    continue;
                };
                (lane.stream.clone(), lane.floor())
            };
            while at < stream.end().0 && found.len() < max {
                let read = stream.read(Offset(at), PEEK_BYTES)?;
                if read.next.0 <= at {
                    break;
                }
                let records = super::window::all(&read, at, bytes_max)?;
                at = read.next.0;
                let state = self.0.state.lock();
                let Some(lane) = state.lanes.get(number) else {
                    break;
                };
                for record in records {
                    let offset = record.offset;
                    let slot = lane.slots.get(&offset);
                    let visible = match slot {
                        Some(slot) => matches!(slot.place, Place::Ready | Place::Parked),
                        None => {
                            let later = record.attributes.deliver_ms.is_some_and(|t| t > now_ms);
                            offset >= lane.next && !lane.cursor.is_settled(offset) && !later
                        }
                    };
                    if !visible || found.len() >= max {
                        continue;
                    }
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                    let attempts = slot.map_or(0, |slot| slot.attempts);
                    found.push(Delivery {
                        receipt: Receipt {
                            lane: lane_number,
                            offset,
                            epoch: 0,
                        },
                        redelivered: slot.is_some_and(|slot| slot.redelivered),
                        attempts,
                        first_ms: slot.map_or(0, |slot| slot.first_ms),
                        ready_left: 0,
                        timestamp_ms: record.timestamp_ms,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                        attributes: record.attributes,
                    });
                }
            }
        }
        Ok(found)
    }
}
