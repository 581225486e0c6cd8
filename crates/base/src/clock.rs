//! Time. Nothing else in Stentor asks the operating system what time it is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A source of monotonic and wall time; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Mutex<Manual>>),
    Runtime {
        start: tokio::time::Instant,
        unix_ms: i64,
    },
}

#[derive(Debug)]
struct Manual {
    now: Instant,
    unix_ms: i64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that moves only by [`Clock::advance`] and starts at `unix_ms`.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can only be had by asking for one"
    )]
    pub fn manual(unix_ms: i64) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(Manual {
            now: Instant::now(),
            unix_ms,
        }))))
    }

    /// The async runtime's own clock, for tests under paused time: it stands still and moves
    /// together with the runtime's timers. Starts at `unix_ms`.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place they are replaced by"
    )]
    pub fn runtime(unix_ms: i64) -> Self {
        Self(Source::Runtime {
            start: tokio::time::Instant::now(),
            unix_ms,
        })
    }

    /// Monotonic time, for deadlines and durations.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place they are replaced by"
    )]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual(manual) => manual.lock().now,
            Source::Runtime { .. } => tokio::time::Instant::now().into_std(),
        }
    }

    /// Wall time in milliseconds since 1970-01-01 UTC, for what is stored or shown.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place they are replaced by"
    )]
    pub fn unix_ms(&self) -> i64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            Source::Manual(manual) => manual.lock().unix_ms,
            Source::Runtime { start, unix_ms } => {
                let passed = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
                unix_ms.saturating_add(passed)
            }
        }
    }

    /// Moves a manual clock; the others ignore it.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let mut manual = manual.lock();
            manual.now += by;
            manual.unix_ms += i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(1_000);
        let start = clock.now();
        clock.advance(Duration::from_millis(250));
        assert_eq!(clock.unix_ms(), 1_250);
        assert_eq!(clock.now() - start, Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_clock_moves_with_the_timers() {
        let clock = Clock::runtime(1_000);
        let start = clock.now();
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(clock.unix_ms(), 1_250);
        assert_eq!(clock.now() - start, Duration::from_millis(250));
    }
}
