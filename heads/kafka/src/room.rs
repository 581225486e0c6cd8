//! The memory that answering a request takes: bounded, and charged before it is taken.
//!
//! A few bytes of a request can ask for megabytes: all topics, all settings of a topic named a
//! thousand times. So each request gets a [`Room`]. The dispatch charges it for what every answer
//! is made of, so much for each element of the request's lists, and nobody can forget that. A
//! handler whose answer also grows with what the *server* holds (partitions of a topic, members
//! of a group) says how much more it is about to build: `context.room.take(..).await`.
//!
//! [`Room::take`] does not return when that is not to be had: the dispatch sees why, drops the
//! handler where it stands, and ends the connection. So handlers have no errors to hand up, and
//! what they have not charged for they have not built. It also lets other connections run from
//! time to time, since a long answer is built on a thread that serves many.
//!
//! What a request and its copies take is not here but in the session's `weight`: the loop charges
//! it before the call begins.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;

use base::{Charge, Ledger};
use net::head::Close;
use parking_lot::Mutex;

/// What every answer may take without being charged: most are smaller, and gone at once.
const FREE: usize = 16 << 10;
/// What is charged beyond that is charged in steps of this size.
const STEP: usize = 64 << 10;
/// Who needs at most so much waits until there is room.
const WAIT: usize = 256 << 10;
/// After so many bytes built others get a turn.
const TURN: usize = 256 << 10;
/// What a step of a handler counts for at least, in bytes built: it has looked something up.
const LOOK: usize = 256;
/// What an element of a request's lists becomes while it is answered, in bytes of memory: a
/// structure of the answer, what is worked with until then, a sentence about what is wrong with
/// it, and all of it once more as bytes. Texts of the request that the answer repeats are part of
/// the session's `weight`.
pub(crate) const ELEMENT: usize = 512;

/// What answering one request may take.
#[derive(Debug)]
pub(crate) struct Room {
    ledger: Ledger,
    max: usize,
    state: Mutex<State>,
}

/// How long something may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// As long as its client likes.
    Long,
    /// Not for long: half of the process's memory is for those who do not wait.
    Briefly,
    /// There is no room for it.
    Not,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of memory asked for.
    taken: usize,
    /// Those of them that are the answer as it is sent.
    sent: usize,
    charge: Option<Charge>,
    /// Bytes built since others had their turn.
    built: usize,
    refused: Option<Close>,
}

impl Room {
    /// Room for at most `max` bytes, charged to `ledger`.
    pub(crate) fn new(ledger: Ledger, max: usize) -> Self {
        Self {
            ledger,
            max,
            state: Mutex::new(State::default()),
        }
    }

    /// Takes room for what an answer to `elements` elements is made of. For a little it waits until
    /// there is room. Who needs more holds a large request, too: if such waited, they could fill
    /// the memory with what they wait with, until nobody gets on.
    pub(crate) async fn begin(&self, elements: usize) {
        let bytes = elements.saturating_mul(ELEMENT);
        let missing = self.state.lock().grow(self.max, bytes, 0);
        let charge = match missing {
            Some(0) => return,
            Some(little) if little <= WAIT => self.ledger.charge(little).await,
            Some(much) => match self.ledger.try_charge(much) {
                Some(charge) => charge,
                None => {
                    self.state.lock().refused = Some(Close::Memory);
                    return pending().await;
                }
            },
            None => return pending().await,
        };
        self.state.lock().add(charge);
    }

    /// Takes room for `memory` bytes of structures and `sent` bytes of their encoding; does not
    /// return when there is none.
    pub(crate) async fn take(&self, memory: usize, sent: usize) {
        let turn = {
            let mut state = self.state.lock();
            let bytes = memory.saturating_add(sent);
            match state.grow(self.max, bytes, sent) {
                None => None,
                Some(0) => Some(state.turn(bytes)),
                Some(missing) => match self.ledger.try_charge(missing) {
                    Some(charge) => {
                        state.add(charge);
                        Some(state.turn(bytes))
                    }
                    // To wait with something in hand could be to wait for each other.
                    None => {
                        state.refused = Some(Close::Memory);
                        None
                    }
                },
            }
        };
        match turn {
            None => pending().await,
            Some(true) => yield_now().await,
            Some(false) => {}
        }
    }

    /// Takes room for `bytes` that are kept through a wait; for how long that may be.
    pub(crate) fn hold(&self, bytes: usize) -> Hold {
        let mut state = self.state.lock();
        let Some(missing) = state.grow(usize::MAX, bytes, 0) else {
            return Hold::Not;
        };
        if missing == 0 {
            return Hold::Long;
        }
        let Some(charge) = self.ledger.try_charge(missing) else {
            return Hold::Not;
        };
        state.add(charge);
        if self.ledger.used() <= self.ledger.limit() / 2 {
            Hold::Long
        } else {
            Hold::Briefly
        }
    }

    /// A step that builds nothing of its own: lets others run when it is time.
    pub(crate) async fn step(&self) {
        self.take(0, 0).await;
    }

    /// Does `work` as far as there is room for it.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Close> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => match self.state.lock().refused.take() {
                Some(why) => Poll::Ready(Err(why)),
                None => Poll::Pending,
            },
        })
        .await
    }

    /// How long the answer is that the handlers have announced, beside what `begin` knows of.
    pub(crate) fn announced(&self) -> usize {
        self.state.lock().sent
    }

    /// Sees that an answer of `answer` bytes to a request of `request` bytes was charged for.
    pub(crate) fn check(&self, answer: usize, request: usize) {
        let known = request.saturating_mul(4).saturating_add(FREE);
        debug_assert!(
            answer <= self.state.lock().taken.saturating_add(known),
            "an answer larger than its handler has taken room for: {answer} bytes"
        );
    }
}

impl State {
    /// Counts `bytes` more; how many bytes have to be charged for that, `None` when it is too much.
    fn grow(&mut self, max: usize, bytes: usize, sent: usize) -> Option<usize> {
        let taken = self.taken.saturating_add(bytes);
        if taken > max {
            self.refused = Some(Close::Limit("kafka.answer_bytes_max"));
            return None;
        }
        self.taken = taken;
        self.sent = self.sent.saturating_add(sent);
        let charged = self.charge.as_ref().map_or(0, Charge::bytes);
        if taken <= FREE.max(charged) {
            return Some(0);
        }
        Some((taken - charged).next_multiple_of(STEP))
    }

    fn add(&mut self, more: Charge) {
        match &mut self.charge {
            Some(charge) => charge.merge(more),
            None => self.charge = Some(more),
        }
    }

    /// Whether others are to have a turn.
    fn turn(&mut self, bytes: usize) -> bool {
        self.built = self.built.saturating_add(bytes).saturating_add(LOOK);
        let turn = self.built >= TURN;
        if turn {
            self.built = 0;
        }
        turn
    }
}

/// Lets whoever else is ready on this thread run first.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::FutureExt;

    fn within<T>(room: &Room, work: impl Future<Output = T>) -> Result<T, Close> {
        let mut done = Box::pin(room.within(work));
        loop {
            if let Some(done) = (&mut done).now_or_never() {
                return done;
            }
        }
    }

    #[test]
    fn small_answers_are_not_charged_and_large_ones_are_until_they_are_gone() {
        let ledger = Ledger::new(1 << 20);
        let room = Room::new(ledger.clone(), 1 << 20);
        within(&room, room.begin(FREE / ELEMENT)).unwrap();
        assert_eq!(ledger.used(), 0);
        within(&room, room.take(100_000, 100_000)).unwrap();
        let used = ledger.used();
        assert!((200_000..216_000 + STEP).contains(&used), "{used}");
        assert_eq!(room.announced(), 100_000);
        drop(room);
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn who_asks_for_too_much_goes_no_further() {
        let ledger = Ledger::new(1 << 20);
        let room = Room::new(ledger.clone(), 1 << 20);
        let mut reached = 0;
        let work = async {
            for _ in 0..3 {
                room.take(400 << 10, 0).await;
                reached += 1;
            }
        };
        let limit = Close::Limit("kafka.answer_bytes_max");
        assert_eq!(within(&room, work), Err(limit));
        assert_eq!(reached, 2);
        let full = Room::new(ledger, 1 << 20);
        assert_eq!(within(&full, full.take(400 << 10, 0)), Err(Close::Memory));
        let many = Room::new(Ledger::new(1 << 20), 1 << 20);
        let limit = Close::Limit("kafka.answer_bytes_max");
        assert_eq!(within(&many, many.begin(10_000)), Err(limit));
    }

    #[test]
    fn the_first_charge_waits_for_room_if_it_is_small() {
        let ledger = Ledger::new(512 << 10);
        let held = ledger.try_charge(512 << 10).unwrap();
        let large = Room::new(ledger.clone(), 1 << 20);
        let begun = within(&large, large.begin(1000));
        assert_eq!(begun, Err(Close::Memory));
        let room = Room::new(ledger, 1 << 20);
        let mut begin = Box::pin(room.within(room.begin(50)));
        assert_eq!((&mut begin).now_or_never(), None);
        drop(held);
        assert_eq!(begin.now_or_never(), Some(Ok(())));
    }

    #[test]
    fn who_waits_leaves_half_of_the_memory_to_others() {
        let ledger = Ledger::new(1 << 20);
        let hold = |bytes: usize| {
            let room = Room::new(ledger.clone(), 1);
            (room.hold(bytes), room)
        };
        let (small, first) = (hold(FREE), hold(512 << 10));
        assert_eq!((small.0, first.0), (Hold::Long, Hold::Long));
        let second = hold(512 << 10);
        assert_eq!(second.0, Hold::Briefly);
        assert_eq!(hold(FREE).0, Hold::Long);
        assert_eq!(hold(FREE + 1).0, Hold::Not);
        drop((first, second));
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn long_work_lets_others_run() {
        let room = Room::new(Ledger::new(1 << 30), 1 << 30);
        let mut work = Box::pin(async {
            for _ in 0..10_000 {
                room.step().await;
            }
        });
        let mut turns = 0;
        while (&mut work).now_or_never().is_none() {
            turns += 1;
        }
        assert_eq!(turns, 10_000 * LOOK / TURN);
    }
}
