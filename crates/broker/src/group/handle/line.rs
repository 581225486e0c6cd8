//! The order of a group's writes while the commit queue is full. Whoever finds no room takes a
//! ticket; who comes later takes one too, also when there is room again. So what a group has
//! decided is in its log in the order in which it has.

use std::collections::VecDeque;
use std::sync::Arc;

use base::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Who waits, by group. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<HashMap<String, Line>>>);

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<u64>,
    next: u64,
    moved: Arc<Notify>,
}

/// A place in a group's line; dropped, the others move up.
#[derive(Debug)]
pub(super) struct Ticket {
    lines: Lines,
    group: String,
    number: u64,
    moved: Arc<Notify>,
}

impl Lines {
    /// Whether somebody waits.
    pub(super) fn has(&self, group: &str) -> bool {
        self.0.lock().contains_key(group)
    }

    /// A place behind all others.
    pub(super) fn join(&self, group: &str) -> Ticket {
        let mut lines = self.0.lock();
        let line = lines.entry(group.to_owned()).or_default();
        let number = line.next;
        line.next += 1;
        line.waiting.push_back(number);
        Ticket {
            lines: self.clone(),
            group: group.to_owned(),
            number,
            moved: line.moved.clone(),
        }
    }
}

impl Ticket {
    fn is_first(&self) -> bool {
        let lines = self.lines.0.lock();
        let line = lines.get(&self.group);
        line.is_none_or(|line| line.waiting.front() == Some(&self.number))
    }

    /// Waits until nobody is before it.
    pub(super) async fn first(&self) {
        loop {
            // Made before the look, so that what happens in between is not missed.
            let told = self.moved.notified();
            if self.is_first() {
                return;
            }
            told.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut lines = self.lines.0.lock();
        if let Some(line) = lines.get_mut(&self.group) {
            line.waiting.retain(|number| *number != self.number);
            if line.waiting.is_empty() {
                lines.remove(&self.group);
            }
        }
        drop(lines);
        self.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_first_goes_first_and_who_gives_up_holds_nobody() {
        let lines = Lines::default();
        let (first, second, third) = (lines.join("g"), lines.join("g"), lines.join("g"));
        let other = lines.join("h");
        first.first().await;
        other.first().await;
        assert!(!second.is_first() && !third.is_first());
        drop(second);
        assert!(!third.is_first());
        let (_, ()) = tokio::join!(third.first(), async { drop(first) });
        assert!(lines.has("g"));
        drop(third);
        assert!(!lines.has("g") && lines.has("h"));
    }
}
