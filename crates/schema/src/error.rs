//! Why a message was not transcoded, and where in it.

use base::{Kind, Retry};
use thiserror::Error;

/// The limit of [`crate::Limits`] that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Limit {
    /// `depth_max`
    #[error("depth_max")]
    Depth,
    /// `input_bytes_max`
    #[error("input_bytes_max")]
    Input,
    /// `output_bytes_max`
    #[error("output_bytes_max")]
    Output,
    /// `string_bytes_max`
    #[error("string_bytes_max")]
    String,
    /// `elements_max`
    #[error("elements_max")]
    Elements,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Cause {
    /// The input is not well-formed in its format, or ends early.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A value of another type than the schema says.
    #[error("expected {0}")]
    Type(&'static str),
    /// A number that its type does not hold.
    #[error("out of range for {0}")]
    Range(&'static str),
    /// A text that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// JSON: a member that the schema does not know.
    #[error("no such field: {0}")]
    UnknownField(String),
    /// JSON: a name, or of a closed enum a number, that the enum does not have.
    #[error("no such value of the enum: {0}")]
    UnknownEnum(String),
    /// A field or key that comes twice.
    #[error("twice: {0}")]
    Duplicate(String),
    /// A second field of a oneof.
    #[error("a second member of a oneof: {0}")]
    Oneof(String),
    /// A field that has to be there.
    #[error("missing: {0}")]
    Missing(String),
    /// The type of an `Any` is not in the snapshot.
    #[error("no such type: {0}")]
    UnknownType(String),
    /// The output's format has no form for this value.
    #[error("cannot be expressed: {0}")]
    Inexpressible(&'static str),
    /// A limit is reached.
    #[error("over the limit {0}")]
    Over(Limit),
}

/// Why a message was not transcoded.
#[derive(Debug, Error)]
#[error("{}", self.describe())]
pub struct Error(Box<Fault>);

#[derive(Debug)]
struct Fault {
    cause: Cause,
    /// Innermost first, while the error is on its way out.
    path: Vec<String>,
    /// Where reading was in the input; unknown for what the writer found.
    offset: Option<usize>,
    /// No error: the input is in an order that one pass cannot follow.
    disorder: bool,
}

impl Error {
    #[cold]
    pub(crate) fn new(cause: Cause) -> Self {
        Self(Box::new(Fault {
            cause,
            path: Vec::new(),
            offset: None,
            disorder: false,
        }))
    }

    #[cold]
    pub(crate) fn at(cause: Cause, offset: usize) -> Self {
        let mut error = Self::new(cause);
        error.0.offset = Some(offset);
        error
    }

    /// The sign that the message has to be read through an index.
    #[cold]
    pub(crate) fn disorder() -> Self {
        let mut error = Self::new(Cause::Malformed("fields out of order"));
        error.0.disorder = true;
        error
    }

    pub(crate) fn is_disorder(&self) -> bool {
        self.0.disorder
    }

    /// Adds the name of the field around what is wrong.
    #[cold]
    pub(crate) fn within(mut self, step: impl Into<String>) -> Self {
        self.0.path.push(step.into());
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Where: names of fields, indexes and keys from the message inwards, `user.tags[3]`. Empty for
    /// the message itself.
    #[must_use]
    pub fn path(&self) -> String {
        let mut out = String::new();
        for step in self.0.path.iter().rev() {
            if !out.is_empty() && !step.starts_with('[') {
                out.push('.');
            }
            out.push_str(step);
        }
        out
    }

    /// How many bytes of the input had been read, where that says something.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0.cause {
            Cause::Over(_) => Kind::Exhausted,
            Cause::Malformed(_)
            | Cause::Type(_)
            | Cause::Range(_)
            | Cause::Utf8
            | Cause::UnknownField(_)
            | Cause::UnknownEnum(_)
            | Cause::Duplicate(_)
            | Cause::Oneof(_)
            | Cause::Missing(_)
            | Cause::UnknownType(_)
            | Cause::Inexpressible(_) => Kind::Invalid,
        }
    }

    /// The same bytes never get better.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Never
    }

    fn describe(&self) -> String {
        let path = self.path();
        let mut out = self.0.cause.to_string();
        if !path.is_empty() {
            out = format!("{path}: {out}");
        }
        if let Some(offset) = self.0.offset {
            out.push_str(&format!(" (at byte {offset})"));
        }
        out
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
