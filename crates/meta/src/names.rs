//! What a topic may be called.

/// The longest name, in bytes.
pub const TOPIC_NAME_MAX: usize = 249;

/// A name that breaks the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It is empty.
    #[error("a topic's name may not be empty")]
    Empty,
    /// It is `.` or `..`.
    #[error("a topic may not be called `{0}`")]
    Dots(String),
    /// It is too long.
    #[error("a topic's name has at most {TOPIC_NAME_MAX} characters; this one has {0}")]
    Long(usize),
    /// It has a character that is not allowed.
    #[error("topic name `{0}` has characters other than a-z, A-Z, 0-9, `.`, `_` and `-`")]
    Character(String),
}

/// Whether a topic may be called `name`: the rules of Apache Kafka, whose tools make file and
/// metric names of it.
///
/// # Errors
/// Which rule it breaks.
pub fn check_topic_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name == "." || name == ".." {
        return Err(InvalidName::Dots(name.to_owned()));
    }
    if name.len() > TOPIC_NAME_MAX {
        return Err(InvalidName::Long(name.len()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(allowed) {
        Ok(())
    } else {
        Err(InvalidName::Character(name.to_owned()))
    }
}
