//! How many files this process may have open: each connection and each segment that is read is one.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Below this a few thousand connections are the end; many systems start with 1024.
const ENOUGH: u64 = 65_536;

/// Raises the limit to what the system allows this process (`RLIMIT_NOFILE`, its hard limit).
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, ?before, "the limit of open files could not be raised");
        return;
    }
    // `None` is no limit at all.
    match limit.maximum {
        Some(files) if files < ENOUGH => {
            debug!(
                files,
                "few files may be open: connections and segments need one each"
            );
        }
        files => debug!(?files, "open files allowed"),
    }
}
