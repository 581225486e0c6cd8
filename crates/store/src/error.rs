//! What can go wrong in the log, by cause. What an operator sees names the path and the way out.

use std::io;
use std::sync::Arc;

use base::{Kind, Retry, StreamId};

use crate::batch::BatchError;

/// An operation on the log failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{path}: cannot {action}: {source}")]
    Disk {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// No room is left on the disk.
    #[error(
        "{path}: the disk is full. What was acknowledged is safe. Free space on this file system, or \
         move the data directory to a larger one, then start again (docs/errors/disk-full.md)"
    )]
    Full {
        /// The file that could not grow.
        path: String,
    },
    /// The data directory may only be read.
    #[error(
        "{path}: the data directory cannot be written. Give this user write access to it, or set \
         data_dir to another one (docs/errors/data-directory-not-writable.md)"
    )]
    ReadOnly {
        /// The file or folder that could not be written.
        path: String,
    },
    /// Another process holds the data directory.
    #[error(
        "{path}: the data directory is in use by another process. Stop it, or set data_dir to \
         another directory (docs/errors/data-directory-in-use.md)"
    )]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The data directory was written by a newer version.
    #[error(
        "{path}: the data directory has format {found}, this version reads up to {known}. Run the \
         version that wrote it, or a newer one (docs/errors/data-directory-too-new.md)"
    )]
    TooNew {
        /// The file that says so.
        path: String,
        /// Its format.
        found: String,
        /// The newest that is known.
        known: u32,
    },
    /// Bytes that were written are not there any more.
    #[error("{path}: damaged at byte {position}: {what} (docs/errors/damaged-log.md)")]
    Damaged {
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
        /// What was found.
        what: String,
    },
    /// A write or a sync failed earlier; nothing is written any more.
    #[error("the log has stopped: {0}")]
    Stopped(Arc<str>),
    /// Too much is waiting to be written.
    #[error("the commit queue is full")]
    Busy,
    /// The stream does not wait for the disk, so that nothing with it is all or nothing.
    #[error("stream {0} cannot be part of a group: it does not wait for the disk")]
    NotAtomic(StreamId),
    /// The stream was removed.
    #[error("stream {0} was removed")]
    Removed(StreamId),
    /// Not a batch.
    #[error("not a batch: {0}")]
    Batch(#[from] BatchError),
    /// An offset outside the stream.
    #[error("offset {offset} is outside {start}..={end}")]
    OutOfRange {
        /// The offset asked for.
        offset: u64,
        /// The first kept.
        start: u64,
        /// One past the last readable.
        end: u64,
    },
}

impl Error {
    /// What `error`, met while doing `action` to `path`, means.
    pub(crate) fn disk(action: &'static str, path: impl Into<String>, error: io::Error) -> Self {
        let path = path.into();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the standard library adds kinds"
        )]
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path }
            }
            _ => Self::Disk {
                action,
                path,
                source: Arc::new(error),
            },
        }
    }

    /// What the error is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disk { .. }
            | Self::Full { .. }
            | Self::ReadOnly { .. }
            | Self::Locked { .. }
            | Self::TooNew { .. }
            | Self::Damaged { .. }
            | Self::Stopped(_) => Kind::Unavailable,
            Self::Busy => Kind::Exhausted,
            Self::Removed(_) => Kind::NotFound,
            Self::NotAtomic(_) => Kind::Invalid,
            Self::Batch(_) | Self::OutOfRange { .. } => Kind::Invalid,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        if matches!(self, Self::Busy) {
            Retry::After
        } else {
            Retry::Never
        }
    }
}
