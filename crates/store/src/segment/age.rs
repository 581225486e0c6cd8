//! How old a segment is: by its place in time as the process knows it, and by what its tombstones say.

use super::Segment;

impl Segment {
    /// For how long it has been there, in milliseconds, counted from the start at the longest.
    pub(crate) fn age(&self, now_ms: i64) -> u64 {
        since(self.inner.read().created_ms, now_ms)
    }

    /// Something has been written to it at `at`, in milliseconds since 1970.
    pub(crate) fn note_written(&self, at: i64) {
        let mut inner = self.inner.write();
        inner.written_ms = inner.written_ms.max(at);
    }

    /// It was there when the process started, at `now_ms`. What its file says of when it was written
    /// counts for records that do not say it themselves.
    pub(crate) fn note_opened(&self, now_ms: i64) {
        let written = self.file.modified_ms().ok().flatten();
        self.note_written(written.unwrap_or(now_ms).min(now_ms));
        self.inner.write().created_ms = now_ms;
    }

    /// When something was last written to it, in milliseconds since 1970.
    pub(crate) fn written_ms(&self) -> i64 {
        self.inner.read().written_ms
    }

    /// When the first tombstones in it may go, in milliseconds since 1970, as far as that is
    /// known: what was there before the start is not looked through for it.
    pub(crate) fn horizon(&self) -> Option<i64> {
        Some(self.inner.read().horizon).filter(|at| *at != i64::MAX)
    }

    /// It holds tombstones that may go at `at`.
    pub(crate) fn note_horizon(&self, at: i64) {
        let mut inner = self.inner.write();
        inner.horizon = inner.horizon.min(at);
    }

    /// All of it has been looked through for tombstones: they may go at `at`, or there are none.
    pub(crate) fn set_horizon(&self, at: Option<i64>) {
        self.inner.write().horizon = at.unwrap_or(i64::MAX);
    }
}

fn since(at: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(at)).unwrap_or(0)
}
