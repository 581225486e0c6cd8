//! A line on a terminal that says how far long work is; nothing where nobody looks.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use base::{ByteSize, Clock};

use crate::out;

/// How often the line is written again.
const EVERY: Duration = Duration::from_millis(200);

pub(super) struct Progress {
    clock: Clock,
    started: Instant,
    shown: Option<Instant>,
    visible: bool,
    total_bytes: Option<u64>,
}

impl Progress {
    /// `total_bytes`: how much there is, where that is known.
    pub(super) fn new(total_bytes: Option<u64>) -> Self {
        let clock = Clock::system();
        let started = clock.now();
        // Without a total somebody types, or looks at the records themselves.
        let visible = std::io::stderr().is_terminal() && total_bytes.is_some();
        Self {
            clock,
            started,
            shown: None,
            visible,
            total_bytes,
        }
    }

    /// So much is done.
    pub(super) fn at(&mut self, records: u64, bytes: u64) {
        let now = self.clock.now();
        let due = self
            .shown
            .is_none_or(|shown| now.saturating_duration_since(shown) >= EVERY);
        if self.visible && due {
            self.shown = Some(now);
            self.write(records, bytes);
        }
    }

    /// All is done.
    pub(super) fn end(&mut self, records: u64, bytes: u64) {
        if self.visible && self.shown.is_some() {
            self.write(records, bytes);
            out::prompt(format_args!("\n"));
        }
    }

    fn write(&self, records: u64, bytes: u64) {
        let seconds = self
            .clock
            .now()
            .saturating_duration_since(self.started)
            .as_secs()
            .max(1);
        let bar = self.total_bytes.filter(|total| *total > 0).map(|total| {
            let percent = (bytes.saturating_mul(100) / total).min(100);
            let filled = usize::try_from(percent / 5).unwrap_or(20);
            format!("[{:<20}] {percent:>3} %  ", "#".repeat(filled))
        });
        let whole = ByteSize(bytes >> 20 << 20);
        out::prompt(format_args!(
            "\r{}{records} records, {whole}, {}/s   ",
            bar.unwrap_or_default(),
            records / seconds,
        ));
    }
}
