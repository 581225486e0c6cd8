//! Signs of life, and other things that time brings.
//!
//! A heartbeat goes out when nothing else did for half the interval. A peer that nothing came from
//! for two intervals is dead, a frame or a KiB of one; but not as long as we do not listen, because a method is not done or
//! the peer has not read what we sent.

use std::time::{Duration, Instant};

use net::head::{Close, Output};

use super::put;
use crate::codec::{FRAME_HEARTBEAT, Method, put_frame};

/// How long the answer to our closing is awaited.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Life {
    interval: Option<Duration>,
    heard: Instant,
    said: Instant,
    closing: Option<Instant>,
    /// When a client is told that its publishes wait; `None` when they do not.
    block_at: Option<Instant>,
    /// Whether it was told.
    blocked: bool,
}

impl Life {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            interval: None,
            heard: now,
            said: now,
            closing: None,
            block_at: None,
            blocked: false,
        }
    }

    /// The interval was agreed on; 0 is none.
    pub(crate) fn tune(&mut self, now: Instant, seconds: u16) {
        self.interval = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
        (self.heard, self.said) = (now, now);
    }

    /// The connection was closed by us.
    pub(crate) fn closing(&mut self, now: Instant) {
        self.closing = Some(now + CLOSING_MAX);
        self.interval = None;
        self.block_at = None;
    }

    /// A frame came, or a piece of one.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Something was written.
    pub(crate) fn said(&mut self, now: Instant) {
        self.said = now;
    }

    /// Publishes wait for room: the client is to be told after a while.
    pub(crate) fn hold_publishing(&mut self, now: Instant, after: Duration) {
        if !self.blocked && self.block_at.is_none() {
            self.block_at = Some(now + after);
        }
    }

    /// They do not any more.
    pub(crate) fn let_publishing(&mut self, output: &mut Output) {
        self.block_at = None;
        if std::mem::take(&mut self.blocked) {
            put(output, 0, &Method::Unblocked {});
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let beat = self.interval.map(|interval| self.said + interval / 2);
        let dead = self.interval.map(|interval| self.heard + interval * 2);
        [beat, dead, self.closing, self.block_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due. `deaf` is whether we do not listen.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        deaf: bool,
        output: &mut Output,
    ) -> Result<(), Close> {
        if self.closing.is_some_and(|at| at <= now) {
            return Err(Close::Done);
        }
        if self.block_at.is_some_and(|at| at <= now) {
            self.block_at = None;
            self.blocked = true;
            let reason = "publishing waits for the disk".into();
            put(output, 0, &Method::Blocked { reason });
            self.said = now;
        }
        let Some(interval) = self.interval else {
            return Ok(());
        };
        if self.heard + interval * 2 <= now {
            if !deaf && output.is_empty() {
                return Err(Close::Idle);
            }
            self.heard = now;
        }
        if self.said + interval / 2 <= now {
            put_frame(output.buf(), FRAME_HEARTBEAT, 0, |_| {});
            self.said = now;
        }
        Ok(())
    }
}
