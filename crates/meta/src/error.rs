//! What can go wrong with the control state.

use base::{Kind, Retry};

/// An operation on the control state failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be used.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: String,
        /// What its library says.
        #[source]
        source: Box<redb::Error>,
    },
    /// Another process has it open.
    #[error(
        "{path}: in use by another process. Stop it, or set data_dir to another directory \
         (docs/errors/data-directory-in-use.md)"
    )]
    Locked {
        /// The file.
        path: String,
    },
    /// What it holds makes no sense.
    #[error(
        "{path}: {what} cannot be read; restore it from a backup (docs/errors/damaged-control-state.md)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What in it.
        what: String,
    },
    /// A topic of this name exists.
    #[error("topic `{0}` exists already")]
    TopicExists(String),
    /// There is no such topic.
    #[error("there is no topic `{0}`")]
    UnknownTopic(String),
    /// There is no such user.
    #[error("there is no user `{0}`")]
    UnknownUser(String),
}

impl Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the database adds errors")]
    pub(crate) fn database(path: &str, error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::Locked {
                path: path.to_owned(),
            },
            redb::Error::Corrupted(what) => Self::Damaged {
                path: path.to_owned(),
                what,
            },
            other => Self::Database {
                path: path.to_owned(),
                source: Box::new(other),
            },
        }
    }

    /// What the error is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Database { .. } | Self::Locked { .. } | Self::Damaged { .. } => Kind::Unavailable,
            Self::TopicExists(_) => Kind::Conflict,
            Self::UnknownTopic(_) | Self::UnknownUser(_) => Kind::NotFound,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}
