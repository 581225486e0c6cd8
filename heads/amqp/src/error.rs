//! Reply codes, what they close, and the one table from the engine's errors to them.
//!
//! Clients match the texts with regular expressions, so they are RabbitMQ's to the letter.

use std::borrow::Cow;

use base::Kind;
use broker::Error;

use crate::codec::Malformed;

/// A reply code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 200: the normal end.
    Success,
    /// 312: no queue for a mandatory message.
    NoRoute,
    /// 320: the server ends the connection.
    ConnectionForced,
    /// 403
    AccessRefused,
    /// 404
    NotFound,
    /// 405
    ResourceLocked,
    /// 406
    PreconditionFailed,
    /// 501
    FrameError,
    /// 502
    SyntaxError,
    /// 503
    CommandInvalid,
    /// 504
    ChannelError,
    /// 505
    UnexpectedFrame,
    /// 506
    ResourceError,
    /// 530
    NotAllowed,
    /// 540
    NotImplemented,
    /// 541
    InternalError,
}

impl Code {
    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Success => 200,
            Self::NoRoute => 312,
            Self::ConnectionForced => 320,
            Self::AccessRefused => 403,
            Self::NotFound => 404,
            Self::ResourceLocked => 405,
            Self::PreconditionFailed => 406,
            Self::FrameError => 501,
            Self::SyntaxError => 502,
            Self::CommandInvalid => 503,
            Self::ChannelError => 504,
            Self::UnexpectedFrame => 505,
            Self::ResourceError => 506,
            Self::NotAllowed => 530,
            Self::NotImplemented => 540,
            Self::InternalError => 541,
        }
    }

    /// What every text begins with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::NoRoute => "NO_ROUTE",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Whether the connection ends, not just the channel.
    #[must_use]
    pub fn closes_connection(self) -> bool {
        !matches!(
            self,
            Self::Success
                | Self::NoRoute
                | Self::AccessRefused
                | Self::NotFound
                | Self::ResourceLocked
                | Self::PreconditionFailed
        )
    }
}

/// Why a method was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: Code,
    /// The explanation, without the code's name.
    pub why: Cow<'static, str>,
    /// Class and id of the method; zeros when there is none to blame.
    pub ids: (u16, u16),
    /// Whether it ends the connection although its code would only end a channel.
    pub hard: bool,
}

impl Failure {
    pub(crate) fn new(code: Code, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            why: why.into(),
            ids: (0, 0),
            hard: code.closes_connection(),
        }
    }

    /// The same, blaming a method unless one is blamed already.
    pub(crate) fn of(mut self, ids: (u16, u16)) -> Self {
        if self.ids == (0, 0) {
            self.ids = ids;
        }
        self
    }

    /// The same, ending the connection.
    pub(crate) fn hard(mut self) -> Self {
        self.hard = true;
        self
    }

    /// The reply text, cut to what fits.
    pub(crate) fn text(&self) -> Box<str> {
        let mut text = format!("{} - {}", self.code.name(), self.why);
        let mut end = text.len().min(255);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.into()
    }

    pub(crate) fn precondition(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PreconditionFailed, why)
    }

    pub(crate) fn refused(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::AccessRefused, why)
    }

    pub(crate) fn not_implemented(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotImplemented, why)
    }

    pub(crate) fn no_queue(namespace: &str, name: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("no queue '{name}' in vhost '{namespace}'"),
        )
    }

    pub(crate) fn no_exchange(namespace: &str, name: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("no exchange '{name}' in vhost '{namespace}'"),
        )
    }

    pub(crate) fn locked(namespace: &str, name: &str) -> Self {
        Self::new(
            Code::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked queue '{name}' in vhost '{namespace}'. \
                 It could be originally declared on another connection or the exclusive property \
                 value does not match that of the original declaration."
            ),
        )
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::FrameEnd => Self::new(Code::FrameError, "a frame does not end with 206"),
            Malformed::FrameSize(size) => Self::new(
                Code::FrameError,
                format!("a frame of {size} bytes is larger than what was agreed on"),
            ),
            Malformed::FrameType(kind) => Self::new(
                Code::FrameError,
                format!("there are no frames of type {kind}"),
            ),
            Malformed::NotUtf8 => Self::new(Code::FrameError, "a short string is not UTF-8"),
            Malformed::Short => {
                Self::new(Code::SyntaxError, "a length passes the end of its frame")
            }
            Malformed::Trailing => Self::new(Code::SyntaxError, "bytes behind the last argument"),
            Malformed::UnknownType(letter) => Self::new(
                Code::SyntaxError,
                format!("no table has values of type {letter}"),
            ),
            Malformed::TooDeep => Self::new(Code::SyntaxError, "a table is nested too deep"),
            Malformed::ContentHeader => Self::new(Code::SyntaxError, "not the header of a content"),
            Malformed::UnknownMethod(class, id) => Self {
                ids: (class, id),
                ..Self::new(
                    Code::CommandInvalid,
                    format!("there is no method {id} in class {class}"),
                )
            },
        }
    }
}

/// An engine's error about a queue or an exchange.
pub(crate) fn failure(error: &Error, namespace: &str) -> Failure {
    match error {
        Error::UnknownQueue(name) => Failure::no_queue(namespace, name),
        Error::UnknownExchange(name) => Failure::no_exchange(namespace, name),
        Error::InvalidTopicName(why)
        | Error::InvalidPartitions(why)
        | Error::InvalidRequest(why)
        | Error::Policy(why) => Failure::precondition(why.clone()),
        Error::InvalidConfig { .. } | Error::TopicExists(_) | Error::Batch(_) => {
            Failure::precondition(error.to_string())
        }
        Error::Limit { .. } => Failure::new(Code::NotAllowed, error.to_string()),
        Error::ShuttingDown => Failure::new(Code::ConnectionForced, "the broker shuts down"),
        Error::Store(_) if error.kind() == Kind::Exhausted => {
            Failure::new(Code::ResourceError, error.to_string())
        }
        Error::UnknownTopic(_)
        | Error::UnknownTopicId(_)
        | Error::UnknownPartition { .. }
        | Error::UnknownNamespace(_)
        | Error::InUse(_)
        | Error::NotEmpty(_)
        | Error::OutOfRange { .. }
        | Error::FencedEpoch { .. }
        | Error::UnknownEpoch { .. }
        | Error::Producer(_)
        | Error::Store(_)
        | Error::Meta(_) => Failure::new(Code::InternalError, error.to_string()),
    }
}
