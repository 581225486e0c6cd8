//! One kept timer per connection. It is moved only when a deadline comes nearer: a deadline that
//! moves away with every byte (idle) costs nothing, the alarm then rings early once and is set
//! again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep};

#[derive(Debug, Default)]
pub(crate) struct Alarm {
    armed: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Alarm {
    /// Ready when `deadline` has come; otherwise the task is woken then, or a little earlier.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.armed = None;
            return Poll::Pending;
        };
        loop {
            if deadline <= now {
                return Poll::Ready(());
            }
            let timer = match &mut self.armed {
                Some((at, timer)) if *at <= deadline => timer,
                Some((at, timer)) => {
                    *at = deadline;
                    timer.set(sleep(deadline - now));
                    timer
                }
                None => {
                    &mut self
                        .armed
                        .insert((deadline, Box::pin(sleep(deadline - now))))
                        .1
                }
            };
            match timer.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                // It rang for an earlier deadline, which has moved.
                Poll::Ready(()) => self.armed = None,
            }
        }
    }
}
