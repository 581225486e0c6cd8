//! Deadlines: one task that sleeps until the earliest.

use std::time::{Duration, Instant};

use super::{Groups, Slot};

/// How often groups are looked through for offsets that nobody wants any more.
const EXPIRY_SCAN: Duration = Duration::from_secs(600);

impl Groups {
    /// Sets the alarm for a group, unless an earlier one is set.
    pub(super) fn schedule(&self, slot: &mut Slot) {
        let Some(deadline) = slot.group.deadline() else {
            return;
        };
        if slot.scheduled.is_some_and(|at| at <= deadline) {
            return;
        }
        let mut alarms = self.0.alarms.lock();
        if let Some(at) = slot.scheduled.replace(deadline) {
            alarms.remove(&(at, slot.group.name.clone()));
        }
        let first = alarms.first().is_none_or(|(at, _)| deadline < *at);
        alarms.insert((deadline, slot.group.name.clone()));
        drop(alarms);
        if first {
            self.0.alarm.notify_one();
        }
    }

    fn next_alarm(&self) -> Option<Instant> {
        self.0.alarms.lock().first().map(|(at, _)| *at)
    }

    fn due(&self, now: Instant) -> Vec<String> {
        let mut alarms = self.0.alarms.lock();
        let mut due = Vec::new();
        while alarms.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(alarms.pop_first().map(|(_, name)| name));
        }
        due
    }

    fn ring(&self, now: Instant) {
        for name in self.due(now) {
            if let Some(slot) = self.find(&name) {
                slot.lock().scheduled = None;
            }
            let _ = self.step(&name, false, |group, now| ((), group.expire(now)));
        }
    }

    pub(super) fn spawn_timer(&self) {
        let weak = std::sync::Arc::downgrade(&self.0);
        let mut shutdown = self.0.tasks.shutdown();
        self.0.tasks.spawn("broker.group.timer", async move {
            loop {
                let Some(groups) = weak.upgrade().map(Groups) else {
                    return;
                };
                let now = groups.0.clock.now();
                groups.ring(now);
                let wait = groups
                    .next_alarm()
                    .map(|at| at.saturating_duration_since(now));
                let inner = groups.0.clone();
                let told = inner.alarm.notified();
                drop(groups);
                let sleep = async {
                    match wait {
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = told => {}
                    () = sleep => {}
                }
            }
        });
    }

    pub(super) fn spawn_expiry(&self) {
        let weak = std::sync::Arc::downgrade(&self.0);
        let mut shutdown = self.0.tasks.shutdown();
        self.0.tasks.spawn("broker.group.expiry", async move {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(EXPIRY_SCAN) => {}
                }
                let Some(groups) = weak.upgrade().map(Groups) else {
                    return;
                };
                groups.expire_offsets().await;
            }
        });
    }
}
