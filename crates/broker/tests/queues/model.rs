//! A queue against a small model, through crashes: every message is in one place, none is lost,
//! none that was settled for certain comes back, order is kept, nobody gets more than his credit.
//!
//! `STENTOR_SIM_ROUNDS` sets how many histories are tried, `STENTOR_SIM_SEED` the first one's seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{Clock, Rng};
use broker::message::{Attributes, Message};
use broker::queue::{
    Consumer, ConsumerEvent, ConsumerSettings, DeadLetter, Delivery, Extended, Outcome, Queue,
    QueueSettings, Take,
};
use bytes::Bytes;
use store::sim::SimDisk;

use crate::machine::{Machine, Setup, text};

const ROUNDS: u64 = 30;
const PREFETCH: u32 = 3;

/// What is known of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    group: u64,
    /// Whether it must be there.
    durable: bool,
    /// Settling was asked for, and is known to a restart.
    settled: bool,
    settled_for_certain: bool,
    /// It was rejected: it is in the queue or in the one for dead letters.
    rejected: bool,
    /// Offset, once it was seen.
    offset: Option<u64>,
}

struct World {
    rng: Rng,
    ordered: bool,
    clock: Clock,
    known: BTreeMap<String, Known>,
    held: Vec<Delivery>,
    log: Vec<String>,
}

fn settings(ordered: bool) -> QueueSettings {
    QueueSettings {
        ordered_groups: ordered,
        lease: Some(Duration::from_secs(30)),
        dead_letter: Some(DeadLetter::Queue("dead".to_owned())),
        ..QueueSettings::default()
    }
}

impl World {
    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    fn message(&mut self) -> (String, Message) {
        let name = format!("m{}", self.known.len());
        let group = self.rng.below(3);
        let known = Known {
            group,
            ..Known::default()
        };
        self.known.insert(name.clone(), known);
        let size = self.rng.below(60) as usize;
        let attributes = Attributes {
            group: Some(Bytes::from(group.to_string())),
            ..Attributes::default()
        };
        let value = Bytes::from(format!("{name} {}", "x".repeat(size)));
        let message = Message {
            value,
            attributes,
            ..Message::default()
        };
        (name, message)
    }

    async fn publish(&mut self, queue: &Queue) -> Result<(), broker::Error> {
        let count = 1 + self.rng.below(6);
        let (names, messages): (Vec<_>, Vec<_>) = (0..count).map(|_| self.message()).unzip();
        let wait = self.rng.below(3) > 0;
        self.note(format!("publish {names:?}, wait: {wait}"));
        let published = match queue.publish(messages) {
            Ok(published) => published,
            Err(broker::Error::Store(store::Error::Busy)) => {
                names.iter().for_each(|name| {
                    self.known.remove(name);
                });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if wait {
            published.durable().await?;
            for name in &names {
                self.known.get_mut(name).unwrap().durable = true;
            }
        }
        Ok(())
    }

    /// Looks at what was handed out together.
    fn got(&mut self, deliveries: Vec<Delivery>) {
        let names: Vec<String> = deliveries.iter().map(name).collect();
        self.note(format!("got {names:?}"));
        for pair in deliveries.windows(2) {
            let in_order = pair[0].receipt.offset < pair[1].receipt.offset;
            assert!(in_order, "{names:?}\n{}", self.log.join("\n"));
        }
        for (at, delivery) in deliveries.iter().enumerate() {
            let offset = delivery.receipt.offset;
            let known = *self.known.get(&names[at]).unwrap();
            assert!(
                !known.settled_for_certain,
                "{}\n{}",
                names[at],
                self.log.join("\n")
            );
            assert!(
                known.offset.is_none_or(|was| was == offset),
                "{}",
                names[at]
            );
            if self.ordered {
                for (other, state) in &self.known {
                    let before = state.offset.is_some_and(|o| o < offset);
                    let open = !state.settled && !state.rejected && state.group == known.group;
                    assert!(
                        !(before && open) || names[..at].contains(other),
                        "{} overtakes {other}\n{}",
                        names[at],
                        self.log.join("\n")
                    );
                }
            }
            self.known.get_mut(&names[at]).unwrap().offset = Some(offset);
            let twice = self.held.iter().any(|held| held.receipt.offset == offset);
            assert!(
                !twice,
                "{} is held twice\n{}",
                names[at],
                self.log.join("\n")
            );
        }
        self.held.extend(deliveries);
    }

    async fn settle(&mut self, queue: &Queue) -> Result<(), broker::Error> {
        if self.held.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.held.len() as u64) as usize;
        let delivery = self.held.swap_remove(at);
        let name = name(&delivery);
        let outcome = match self.rng.below(6) {
            0 => Outcome::Reject,
            1 => Outcome::Release {
                counted: self.rng.below(2) == 0,
                delay: (self.rng.below(2) == 0).then(|| Duration::from_secs(5)),
            },
            _ => Outcome::Accept,
        };
        let wait = self.rng.below(3) == 0;
        self.note(format!("settle {name}: {outcome:?}, wait: {wait}"));
        let known = self.known.get_mut(&name).unwrap();
        match outcome {
            Outcome::Accept => known.settled = true,
            Outcome::Reject => known.rejected = true,
            Outcome::Release { .. } => {}
        }
        let settled = queue.settle(&[delivery.receipt], outcome);
        assert_eq!(settled.known, [true], "{}", self.log.join("\n"));
        if wait {
            settled.durable().await?;
            if outcome == Outcome::Accept {
                self.known.get_mut(&name).unwrap().settled_for_certain = true;
            }
        }
        Ok(())
    }

    /// What is held as the clock has it.
    fn advance(&mut self) {
        let by = 1 + self.rng.below(20);
        self.note(format!("advance {by} s"));
        self.clock.advance(Duration::from_secs(by));
    }

    /// Leases that may have ended are none to count on.
    fn forget_ended(&mut self, queue: &Queue) {
        let (mut kept, held) = (Vec::new(), std::mem::take(&mut self.held));
        for delivery in held {
            let forever = Duration::from_secs(100_000);
            if queue.extend(delivery.receipt, forever) == Extended::Leased {
                kept.push(delivery);
            }
        }
        self.held = kept;
    }

    async fn step(&mut self, queue: &Queue) -> Result<(), broker::Error> {
        match self.rng.below(10) {
            0..=2 => self.publish(queue).await,
            3 | 4 => {
                let take = Take {
                    max: 1 + self.rng.below(5) as usize,
                    ..Take::default()
                };
                let deliveries = queue.take(take).await?;
                self.got(deliveries);
                Ok(())
            }
            5..=7 => self.settle(queue).await,
            8 => {
                self.advance();
                self.forget_ended(queue);
                Ok(())
            }
            _ => self.consume(queue).await,
        }
    }

    /// A consumer for a moment: it never holds more than its credit.
    async fn consume(&mut self, queue: &Queue) -> Result<(), broker::Error> {
        let settings = ConsumerSettings {
            prefetch: PREFETCH,
            ..ConsumerSettings::default()
        };
        let mut consumer = queue.consume(settings)?;
        let mut got = Vec::new();
        for _ in 0..20 {
            if let Some(deliveries) = poll(&mut consumer).await {
                got.extend(deliveries);
            }
            assert!(got.len() <= PREFETCH as usize, "{got:?}");
            tokio::task::yield_now().await;
        }
        queue.cancel(consumer.id());
        let mut got_one_by_one = got;
        got_one_by_one.sort_by_key(|delivery| delivery.receipt);
        self.got(got_one_by_one);
        Ok(())
    }

    fn compare(&self, here: &BTreeSet<String>, there: &BTreeSet<String>) {
        for (name, known) in &self.known {
            let (is_here, is_there) = (here.contains(name), there.contains(name));
            let fails = |what: &str| panic!("{name} {what}: {known:?}\n{}", self.log.join("\n"));
            if is_here && is_there {
                fails("is in two places");
            }
            if known.settled_for_certain && (is_here || is_there) {
                fails("was settled and is back");
            }
            if known.durable && !known.settled && !is_here && !is_there {
                fails("is lost");
            }
            if is_there && !known.rejected {
                fails("is dead without a reason");
            }
        }
    }

    /// Every message is where it may be, and only there.
    async fn check(&mut self, queue: &Queue, dead: &Queue) -> Result<(), broker::Error> {
        self.note("check".to_owned());
        self.held.clear();
        let mut here = BTreeSet::new();
        let mut last = None;
        // Leases of before and delays are over.
        self.clock.advance(Duration::from_secs(200_000));
        loop {
            let take = Take {
                max: 7,
                lease: Some(Duration::from_secs(1_000_000)),
                ..Take::default()
            };
            let got = queue.take(take).await?;
            if got.is_empty() {
                break;
            }
            for delivery in got {
                let place = (delivery.receipt.lane, delivery.receipt.offset);
                if !self.ordered {
                    assert!(last < Some(place), "{}", self.log.join("\n"));
                }
                last = Some(place);
                let new = here.insert(name(&delivery));
                assert!(new, "{} twice\n{}", name(&delivery), self.log.join("\n"));
                // A group goes on when what is before is settled.
                self.held.push(delivery);
            }
            if self.ordered {
                let receipts: Vec<_> = self.held.drain(..).map(|d| d.receipt).collect();
                queue.settle(&receipts, Outcome::Accept);
            }
        }
        let mut there = BTreeSet::new();
        for delivery in dead.peek(0, 10_000, usize::MAX).await? {
            let new = there.insert(name(&delivery));
            assert!(
                new,
                "{} twice among the dead\n{}",
                name(&delivery),
                self.log.join("\n")
            );
        }
        self.compare(&here, &there);
        if self.ordered {
            // All of it was settled on the way.
            for name in here {
                self.known.get_mut(&name).unwrap().settled = true;
            }
        } else {
            let back = Outcome::Release {
                counted: false,
                delay: None,
            };
            let receipts: Vec<_> = self.held.drain(..).map(|d| d.receipt).collect();
            queue.settle(&receipts, back);
        }
        Ok(())
    }
}

fn name(delivery: &Delivery) -> String {
    let text = text(delivery);
    text.split(' ').next().unwrap_or_default().to_owned()
}

async fn poll(consumer: &mut Consumer) -> Option<Vec<Delivery>> {
    std::future::poll_fn(|cx| {
        let polled = futures_core::Stream::poll_next(std::pin::Pin::new(&mut *consumer), cx);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(Some(ConsumerEvent::Deliveries(got))) => Some(got),
            std::task::Poll::Ready(_) | std::task::Poll::Pending => None,
        })
    })
    .await
}

/// One life of the process; how it ended is the next one's disk.
async fn live(world: &mut World, disk: &SimDisk, rng: &Rng) -> SimDisk {
    let setup = Setup {
        clock: world.clock.clone(),
        wal_bytes: 4000,
        tail_bytes: 0,
        ..Setup::default()
    };
    let machine = match Machine::start(disk, rng, setup) {
        Ok(machine) => machine,
        Err(error) => {
            assert!(disk.is_off(), "{error}\n{}", world.log.join("\n"));
            return disk.crash(world.rng.next_u64());
        }
    };
    let declared = async {
        let queues = machine.queues();
        let dead = queues
            .declare("/", "dead", QueueSettings::default())
            .await?;
        let queue = queues.declare("/", "jobs", settings(world.ordered)).await?;
        Ok::<_, broker::Error>((queue.queue, dead.queue))
    };
    let mut result = Ok(());
    match declared.await {
        Ok((queue, dead)) => {
            result = world.check(&queue, &dead).await;
            let steps = 20 + world.rng.below(60);
            for _ in 0..steps {
                if result.is_err() {
                    break;
                }
                result = world.step(&queue).await;
            }
            let busy = matches!(result, Err(broker::Error::Store(store::Error::Busy)));
            if let Err(error) = &result {
                assert!(disk.is_off() || busy, "{error}\n{}", world.log.join("\n"));
            }
        }
        Err(error) => assert!(disk.is_off(), "{error}\n{}", world.log.join("\n")),
    }
    world.held.clear();
    if disk.is_off() {
        let next = disk.crash(world.rng.next_u64());
        let _ = machine.stop().await;
        world.note("the power went".to_owned());
        return next;
    }
    if result.is_ok() && world.rng.below(2) == 0 {
        world.note("stop".to_owned());
        return match machine.stop().await {
            Ok(()) => disk.clone(),
            Err(error) => {
                assert!(disk.is_off(), "{error}\n{}", world.log.join("\n"));
                disk.crash(world.rng.next_u64())
            }
        };
    }
    world.note("kill".to_owned());
    machine.kill(disk).await
}

fn history(seed: u64, ordered: bool) {
    let rng = Rng::seeded(seed);
    let run = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    run.block_on(async {
        let mut world = World {
            ordered,
            clock: Clock::manual(1_000_000),
            known: BTreeMap::new(),
            held: Vec::new(),
            log: vec![format!("seed {seed}, ordered: {ordered}")],
            rng: rng.clone(),
        };
        let mut disk = SimDisk::new();
        for _ in 0..4 {
            if world.rng.below(2) == 0 {
                disk.power_off_at(disk.steps() + 30 + world.rng.below(200));
            }
            disk = live(&mut world, &disk, &rng).await;
        }
        let _ = live(&mut world, &disk, &rng).await;
    });
}

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn every_message_is_in_one_place_through_crashes() {
    let first = number("STENTOR_SIM_SEED", 1);
    for seed in first..first + number("STENTOR_SIM_ROUNDS", ROUNDS) {
        history(seed, false);
    }
}

#[test]
fn groups_keep_their_order_through_crashes() {
    let first = number("STENTOR_SIM_SEED", 1);
    for seed in first..first + number("STENTOR_SIM_ROUNDS", ROUNDS) {
        history(seed, true);
    }
}
