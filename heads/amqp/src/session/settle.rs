//! Acknowledgements and refusals: a run of them on one channel becomes one call.

use broker::queue::Outcome;
use bytes::{Buf, BytesMut};
use net::head::{Lane, Next};

use super::channel::Mode;
use super::unacked::Held;
use super::{AmqpSession, Step};
use crate::call::{Call, Settle, Source};
use crate::codec::hot::{self, Settlement};
use crate::codec::{self, CLASS_BASIC, Look};
use crate::error::Failure;

/// How many settlements become one call.
const RUN_MAX: usize = 4096;

/// What a settlement means to the engine. What a client rejects for another try counts as one;
/// what it merely gives back does not.
fn outcome(settlement: &Settlement) -> Outcome {
    let back = |counted| Outcome::Release {
        counted,
        delay: None,
    };
    match (settlement.method, settlement.requeue) {
        (80, _) => Outcome::Accept,
        (90, true) => back(true),
        (_, true) => back(false),
        (_, false) => Outcome::Reject,
    }
}

impl AmqpSession {
    /// Takes the run at the front.
    pub(super) fn settlements(
        &mut self,
        number: u16,
        input: &mut BytesMut,
    ) -> Result<Step, Failure> {
        let mut settles = Vec::new();
        for _ in 0..RUN_MAX {
            let Ok(Look::Whole(front)) = codec::look(input, self.frame_max) else {
                break;
            };
            if front.channel != number || !hot::is_settlement(input, front) {
                break;
            }
            let settled = match hot::settlement(codec::payload(input, front)) {
                Ok(Some(settlement)) => self
                    .settlement(number, &settlement, &mut settles)
                    .map_err(|failure| failure.of((CLASS_BASIC, settlement.method))),
                Ok(None) => break,
                Err(malformed) => Err(malformed.into()),
            };
            match settled {
                Ok(()) => {}
                // It is met again, by itself, after what was before it.
                Err(_) if !settles.is_empty() => break,
                Err(failure) => {
                    input.advance(front.whole());
                    return Err(failure);
                }
            }
            input.advance(front.whole());
        }
        if settles.is_empty() {
            return Ok(Step::On);
        }
        let lane = self.lane(number);
        Ok(Step::Next(Next::Call(lane, Call::Settle(settles))))
    }

    fn settlement(
        &mut self,
        number: u16,
        settlement: &Settlement,
        settles: &mut Vec<Settle>,
    ) -> Result<(), Failure> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let mut taken = Vec::new();
        let Settlement { tag, multiple, .. } = *settlement;
        if !channel.unacked.take(tag, multiple, &mut taken) {
            return Err(Failure::precondition(format!("unknown delivery tag {tag}")));
        }
        let outcome = outcome(settlement);
        if let Mode::Tx(tx) = &mut channel.mode {
            tx.settled.push((taken, outcome));
            return Ok(());
        }
        self.shared.metrics.settled.inc_by(taken.len() as u64);
        self.settle(number, &taken, outcome, settles);
        Ok(())
    }

    /// Adds what the engine is to do for deliveries that were taken off the list; consumers of
    /// streams get room for more.
    pub(super) fn settle(
        &self,
        number: u16,
        taken: &[(u64, Held)],
        outcome: Outcome,
        settles: &mut Vec<Settle>,
    ) {
        let Some(channel) = self.channels.get(&number) else {
            return;
        };
        channel.unacked.settles(taken, outcome, settles, |lane| {
            let known = self.lanes.get(&Lane(lane));
            let consumer = known.and_then(|(_, tag)| channel.consumers.get(tag));
            if let Some(Source::Stream(cursor)) = consumer.and_then(|c| c.source.as_ref()) {
                cursor.grant(1);
            }
        });
    }
}
