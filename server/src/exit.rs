//! Exit codes, one table: `stentor help exit-codes` prints it, scripts rely on it.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// Something else went wrong.
    Failure,
    /// The command line is wrong.
    Usage,
    /// The configuration is wrong.
    Config,
    /// Another process has the data directory open.
    InUse,
    /// A newer version wrote the data directory.
    TooNew,
    /// The data directory cannot be written.
    ReadOnly,
    /// No room is left on the disk.
    DiskFull,
    /// An address cannot be listened at.
    Address,
    /// The log or the control state is damaged.
    Damaged,
    /// A certificate or key cannot be used.
    Tls,
    /// The server cannot be reached.
    Unreachable,
    /// What was named does not exist.
    NotFound,
    /// The server refused the request.
    Refused,
    /// The server could not do it now.
    Unavailable,
}

/// Every code: name, number, meaning.
pub(crate) const TABLE: &[(Exit, u8, &str)] = &[
    (Exit::Ok, 0, "done"),
    (
        Exit::Failure,
        1,
        "something else went wrong; standard error says what",
    ),
    (Exit::Usage, 2, "the command line is wrong"),
    (Exit::Config, 3, "the configuration is wrong"),
    (
        Exit::InUse,
        4,
        "another process has the data directory open",
    ),
    (Exit::TooNew, 5, "a newer version wrote the data directory"),
    (Exit::ReadOnly, 6, "the data directory cannot be written"),
    (Exit::DiskFull, 7, "no room is left on the disk"),
    (
        Exit::Address,
        8,
        "an address cannot be listened at, for example because it is in use",
    ),
    (Exit::Damaged, 9, "the log or the control state is damaged"),
    (Exit::Tls, 10, "a certificate or key file cannot be used"),
    (
        Exit::Unreachable,
        20,
        "a client command cannot reach the server",
    ),
    (
        Exit::NotFound,
        21,
        "what a client command names does not exist",
    ),
    (
        Exit::Refused,
        22,
        "the server refused a client command's request",
    ),
    (
        Exit::Unavailable,
        23,
        "the server could not do it now; trying again may help",
    ),
];

impl Exit {
    pub(crate) fn number(self) -> u8 {
        TABLE
            .iter()
            .find(|(exit, ..)| *exit == self)
            .map_or(1, |(_, number, _)| *number)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// A command failed: how the process ends, and what to say on standard error.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        let exit = match &error {
            E::Locked { .. } => Exit::InUse,
            E::TooNew { .. } => Exit::TooNew,
            E::ReadOnly { .. } => Exit::ReadOnly,
            E::Full { .. } => Exit::DiskFull,
            E::Damaged { .. } => Exit::Damaged,
            E::Disk { .. }
            | E::Stopped(_)
            | E::Busy
            | E::Removed(_)
            | E::NotAtomic(_)
            | E::Batch(_)
            | E::OutOfRange { .. } => Exit::Failure,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<meta::Error> for Failure {
    fn from(error: meta::Error) -> Self {
        use meta::Error as E;
        let exit = match &error {
            E::Locked { .. } => Exit::InUse,
            E::Damaged { .. } => Exit::Damaged,
            E::Database { .. } | E::TopicExists(_) | E::UnknownTopic(_) | E::UnknownUser(_) => {
                Exit::Failure
            }
        };
        Self::new(exit, error.to_string())
    }
}

impl From<broker::Error> for Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "opening gives none of the others"
    )]
    fn from(error: broker::Error) -> Self {
        match error {
            broker::Error::Store(error) => error.into(),
            broker::Error::Meta(error) => error.into(),
            error @ broker::Error::InvalidConfig { .. } => {
                Self::new(Exit::Config, format!("[topics.defaults]: {error}"))
            }
            other => Self::new(Exit::Failure, other.to_string()),
        }
    }
}

impl From<net::Error> for Failure {
    fn from(error: net::Error) -> Self {
        use net::Error as E;
        let in_use = |source: &std::io::Error| source.kind() == std::io::ErrorKind::AddrInUse;
        let way_out = if matches!(&error, E::Bind { source, .. } if in_use(source)) {
            ". Stop the process that listens there, or set another address \
             (docs/errors/address-in-use.md)"
        } else {
            ""
        };
        let exit = match &error {
            E::Resolve { .. } | E::Bind { .. } => Exit::Address,
            E::TlsFile { .. } | E::Tls(_) => Exit::Tls,
            E::Connect { .. } | E::Http(_) | E::Timeout { .. } => Exit::Unreachable,
            E::Url(_) => Exit::Usage,
            E::TooLarge { .. } => Exit::Failure,
        };
        Self::new(exit, format!("{error}{way_out}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_used_once() {
        let numbers: std::collections::BTreeSet<u8> = TABLE.iter().map(|row| row.1).collect();
        assert_eq!(numbers.len(), TABLE.len());
    }

    #[test]
    fn failed_starts_have_codes_of_their_own() {
        let path = || "data/wal".to_owned();
        let full = store::Error::Full { path: path() };
        let locked = store::Error::Locked { path: path() };
        assert_eq!(Failure::from(full).exit, Exit::DiskFull);
        assert_eq!(Failure::from(locked).exit, Exit::InUse);
        let bind = net::Error::Bind {
            address: ([127, 0, 0, 1], 80).into(),
            source: std::io::ErrorKind::AddrInUse.into(),
        };
        let failure = Failure::from(bind);
        assert_eq!(failure.exit, Exit::Address);
        assert!(
            failure.message.contains("docs/errors/address-in-use.md"),
            "{failure}"
        );
    }
}
