//! What groups forget in time: offsets that nobody wants any more, and themselves.

use tracing::warn;

use super::{Groups, Todo};
use crate::group::journal::Key;
use crate::group::state::{Group, State};

impl Groups {
    /// Looks through all groups once.
    pub(super) async fn expire_offsets(&self) {
        let keep = i64::try_from(self.0.config.offsets_retention.0).unwrap_or(i64::MAX);
        let now_ms = self.0.clock.unix_ms();
        let names: Vec<String> = self.0.table.lock().keys().cloned().collect();
        for name in names {
            let old = self.step(&name, false, |group, _| {
                (expired(group, now_ms, keep), Todo::default())
            });
            let Ok(old) = old else { continue };
            if !old.is_empty() {
                match self.delete_offsets(&name, &old).await {
                    Ok(()) => {
                        self.0.metrics.expired.inc_by(old.len() as u64);
                    }
                    Err(error) => warn!(group = name, %error, "offsets could not be expired"),
                }
            }
            self.forget_if_bare(&name).await;
        }
    }

    async fn forget_if_bare(&self, name: &str) {
        let bare = self.step(name, false, |group, _| (group.is_bare(), Todo::default()));
        if !bare.unwrap_or(false) {
            return;
        }
        let group = name.to_owned();
        match self
            .write(name, vec![(Key::Group { group }.encode(), None)])
            .await
        {
            Ok(_) => self.drop_if_bare(name),
            Err(error) => warn!(group = name, %error, "an empty group could not be forgotten"),
        }
    }
}

/// The offsets whose time is over. Those of a group are kept for `keep_ms` from when it emptied,
/// or from when they were committed after that; those of a consumer that belongs to no group from
/// when each was committed.
fn expired(group: &Group, now_ms: i64, keep_ms: i64) -> Vec<(String, i32)> {
    if group.state != State::Empty {
        return Vec::new();
    }
    let emptied = if group.protocol_type.is_some() {
        group.since_ms
    } else {
        i64::MIN
    };
    let all = group.offsets.iter();
    let old = all.filter(|(_, _, at)| {
        let until = at
            .expires_ms
            .unwrap_or_else(|| at.at_ms.max(emptied).saturating_add(keep_ms));
        until <= now_ms
    });
    old.map(|(topic, partition, _)| (topic.to_owned(), partition))
        .collect()
}
