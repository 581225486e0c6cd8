//! The calls of one connection that wait for their end, in lanes; and its subscriptions.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use base::HashMap;
use futures_core::Stream;
use futures_util::stream::{
    AbortHandle, Abortable, BoxStream, SelectAll, StreamExt, abortable, once,
};

use crate::head::Lane;

/// Calls in order of arrival, by lane.
///
/// Lanes are few (one for Kafka, a channel each for AMQP), so they are a list, searched from the
/// one that was used last.
pub(super) struct Calls<R> {
    lanes: Vec<LaneQueue<R>>,
    /// The lane that the last call went to.
    last: usize,
    /// The lane that is polled first, by turns.
    first: usize,
    /// Calls in all lanes.
    pub(super) in_flight: usize,
    /// Bytes that these calls are charged for.
    pub(super) bytes: usize,
}

struct LaneQueue<R> {
    lane: Lane,
    queue: VecDeque<InFlight<R>>,
}

struct InFlight<R> {
    replies: BoxStream<'static, R>,
    bytes: usize,
}

/// What polling found.
pub(super) enum Event<R> {
    /// A reply, to be encoded.
    Reply(Lane, R),
    /// A call ended.
    Ended,
}

impl<R> Calls<R> {
    pub(super) fn new() -> Self {
        Self {
            lanes: Vec::new(),
            last: 0,
            first: 0,
            in_flight: 0,
            bytes: 0,
        }
    }

    /// Adds a call that is charged for `bytes` bytes.
    pub(super) fn push(&mut self, lane: Lane, replies: BoxStream<'static, R>, bytes: usize) {
        if self.lanes.get(self.last).is_none_or(|l| l.lane != lane) {
            self.last = self
                .lanes
                .iter()
                .position(|l| l.lane == lane)
                .unwrap_or_else(|| {
                    self.lanes.push(LaneQueue {
                        lane,
                        queue: VecDeque::new(),
                    });
                    self.lanes.len() - 1
                });
        }
        self.lanes[self.last]
            .queue
            .push_back(InFlight { replies, bytes });
        self.in_flight += 1;
        self.bytes += bytes;
    }

    /// Begins a round over the lanes: each gets its turn to be first.
    pub(super) fn begin(&mut self) -> Round {
        self.first = if self.lanes.is_empty() {
            0
        } else {
            (self.first + 1) % self.lanes.len()
        };
        Round { done: 0 }
    }

    /// The next event of this round: the oldest call of each lane is polled until it waits.
    /// Pending when all lanes wait.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, round: &mut Round) -> Poll<Event<R>> {
        while round.done < self.lanes.len() {
            let at = (self.first + round.done) % self.lanes.len();
            let lane = &mut self.lanes[at];
            let Some(oldest) = lane.queue.front_mut() else {
                round.done += 1;
                continue;
            };
            match oldest.replies.as_mut().poll_next(cx) {
                Poll::Ready(Some(reply)) => return Poll::Ready(Event::Reply(lane.lane, reply)),
                Poll::Ready(None) => {
                    self.in_flight -= 1;
                    self.bytes -= oldest.bytes;
                    lane.queue.pop_front();
                    return Poll::Ready(Event::Ended);
                }
                Poll::Pending => round.done += 1,
            }
        }
        Poll::Pending
    }

    /// Forgets lanes without calls once they are many, and all of them when nothing is in flight.
    pub(super) fn tidy(&mut self) {
        if self.in_flight == 0 && self.lanes.len() > 1 || self.lanes.len() > 2 * self.in_flight + 8
        {
            self.lanes.retain(|l| !l.queue.is_empty());
            self.last = 0;
        }
    }

    /// Gives the memory back if nothing is in flight.
    pub(super) fn release(&mut self) {
        if self.in_flight == 0 {
            self.lanes = Vec::new();
        }
    }

    /// Drops all calls, which cancels them.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

/// How far a round over the lanes has come.
pub(super) struct Round {
    done: usize,
}

type Deliveries<R> = Abortable<BoxStream<'static, (Lane, Option<R>)>>;

/// Streams that deliver until they are cancelled. Each is polled only when it was woken.
pub(super) struct Subscriptions<R> {
    streams: SelectAll<Deliveries<R>>,
    handles: HashMap<Lane, AbortHandle>,
}

impl<R: Send + 'static> Subscriptions<R> {
    pub(super) fn new() -> Self {
        Self {
            streams: SelectAll::new(),
            handles: HashMap::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    /// Adds one; one that has the same lane is cancelled.
    pub(super) fn push(&mut self, lane: Lane, replies: BoxStream<'static, R>) {
        let end = once(std::future::ready((lane, None)));
        let all = replies
            .map(move |reply| (lane, Some(reply)))
            .chain(end)
            .boxed();
        let (all, handle) = abortable(all);
        self.streams.push(all);
        if let Some(old) = self.handles.insert(lane, handle) {
            old.abort();
        }
    }

    /// Cancels one: its stream is dropped when the loop comes by, and delivers nothing more.
    pub(super) fn cancel(&mut self, lane: Lane) {
        if let Some(handle) = self.handles.remove(&lane) {
            handle.abort();
        }
    }

    /// The next delivery of any.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event<R>> {
        match Pin::new(&mut self.streams).poll_next(cx) {
            Poll::Ready(Some((lane, Some(reply)))) => Poll::Ready(Event::Reply(lane, reply)),
            Poll::Ready(Some((lane, None))) => {
                self.handles.remove(&lane);
                Poll::Ready(Event::Ended)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
