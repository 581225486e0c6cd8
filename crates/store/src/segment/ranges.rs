//! Which bytes of a file are known to be good.

use std::collections::BTreeMap;

/// Ranges by their start; they neither touch nor overlap.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `start..end`, joined with what it touches.
    pub(super) fn add(&mut self, mut start: u64, mut end: u64) {
        let touched: Vec<u64> = self
            .0
            .range(..=end)
            .rev()
            .take_while(|(_, other_end)| **other_end >= start)
            .map(|(other, _)| *other)
            .collect();
        for other in touched {
            if let Some(other_end) = self.0.remove(&other) {
                start = start.min(other);
                end = end.max(other_end);
            }
        }
        self.0.insert(start, end);
    }

    /// Whether all of `start..end` is in.
    pub(super) fn covers(&self, start: u64, end: u64) -> bool {
        self.0
            .range(..=start)
            .next_back()
            .is_some_and(|(_, other_end)| *other_end >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join() {
        let mut ranges = Ranges::default();
        ranges.add(0, 10);
        ranges.add(20, 30);
        assert!(ranges.covers(2, 10) && !ranges.covers(5, 25) && !ranges.covers(10, 20));
        ranges.add(10, 20);
        assert!(ranges.covers(0, 30));
        assert_eq!(ranges.0.len(), 1);
        ranges.add(5, 40);
        assert!(ranges.covers(0, 40) && !ranges.covers(0, 41));
    }
}
