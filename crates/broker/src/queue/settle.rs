//! Settling, and looking without taking.

use base::Offset;
use bytes::Bytes;

use super::delivery::{Delivery, Outcome, Receipt};
use super::handle::Queue;
use super::lane::{Lane, Place};
use super::window::Parsed;
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

    /// The receipt of the message's last delivery.
    #[must_use]
    pub fn latest(&self, receipt: Receipt) -> Receipt {
        let mut state = self.0.state.lock();
        let lane = state.lane(receipt.lane);
        let slot = lane.and_then(|lane| lane.slots.get(&receipt.offset));
        Receipt {
            epoch: slot.map_or(receipt.epoch, |slot| slot.epoch),
            ..receipt
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
    /// in the order of the log. They are not leased. May read from disk. Ends behind the message
    /// that makes their keys, values and headers `bytes` bytes or more.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Store`].
    pub async fn peek(
        &self,
        from: usize,
        max: usize,
        bytes: usize,
    ) -> Result<Vec<Delivery>, Error> {
        let queue = self.clone();
        let done = self
            .0
            .shared
            .tasks
            .spawn_blocking("broker.queue_peek", move || {
                queue.peek_now(from, max, bytes)
            });
        done.await.map_err(|_| Error::ShuttingDown)?
    }

    fn peek_now(&self, from: usize, max: usize, bytes: usize) -> Result<Vec<Delivery>, Error> {
        let bytes_max = self.0.shared.decompressed_bytes_max;
        let mut peek = Peek {
            skip: from,
            max,
            bytes,
            now_ms: self.0.shared.clock.unix_ms(),
            found: Vec::new(),
        };
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
            while at < stream.end().0 && !peek.is_full() {
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
                records
                    .into_iter()
                    .for_each(|record| peek.look_at(lane_number, lane, record));
            }
        }
        Ok(peek.found)
    }
}

/// Somebody who looks, and what was found.
struct Peek {
    skip: usize,
    max: usize,
    /// How many bytes more.
    bytes: usize,
    now_ms: i64,
    found: Vec<Delivery>,
}

impl Peek {
    fn is_full(&self) -> bool {
        self.found.len() >= self.max || self.bytes == 0
    }

    fn look_at(&mut self, number: u16, lane: &Lane, record: Parsed) {
        let offset = record.offset;
        let slot = lane.slots.get(&offset);
        let visible = match slot {
            Some(slot) => matches!(slot.place, Place::Ready | Place::Parked),
            None => {
                let deliver_ms = record.attributes.deliver_ms;
                let later = deliver_ms.is_some_and(|at| at > self.now_ms);
                offset >= lane.next && !lane.cursor.is_settled(offset) && !later
            }
        };
        if !visible || self.is_full() {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = record.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + length(value))
            .sum();
        let size = headers + length(&record.key) + length(&record.value);
        self.bytes = self.bytes.saturating_sub(size);
        self.found.push(Delivery {
            receipt: Receipt {
                lane: number,
                offset,
                epoch: 0,
            },
            redelivered: slot.is_some_and(|slot| slot.redelivered),
            attempts: slot.map_or(0, |slot| slot.attempts),
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
