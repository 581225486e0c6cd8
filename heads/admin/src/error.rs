//! One table: an error of the engine, and what it is over HTTP. Bodies are problem details
//! (RFC 9457).

use base::{Kind, Retry};
use broker::Error;
use broker::group::GroupError;
use net::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) kind: Kind,
    pub(crate) retry: Retry,
    pub(crate) detail: String,
}

/// The body.
#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    kind: &'static str,
    retry: &'static str,
    detail: &'a str,
}

impl Problem {
    fn new(kind: Kind, retry: Retry, detail: String) -> Self {
        Self {
            status: status(kind),
            kind,
            retry,
            detail,
        }
    }

    /// The request itself is wrong.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, Retry::Never, detail.into())
    }

    /// The token is missing or wrong.
    pub(crate) fn unauthorized() -> Self {
        let detail = "this server wants a token: authorization: Bearer TOKEN".to_owned();
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::new(Kind::Denied, Retry::Never, detail)
        }
    }

    /// A name by which the server does not know itself.
    pub(crate) fn misdirected(host: &str) -> Self {
        let detail = format!(
            "this server is not known as `{host}`: name it in http.hosts, or set http.token_file"
        );
        Self {
            // RFC 9110 15.5.20.
            status: StatusCode::MISDIRECTED_REQUEST,
            ..Self::new(Kind::Denied, Retry::Never, detail)
        }
    }

    /// A body of the wrong type.
    pub(crate) fn media_type() -> Self {
        let detail = "send the body with content-type: application/json".to_owned();
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self {
            status,
            ..Self::new(Kind::Invalid, Retry::Never, detail)
        }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, Retry::Never, detail.into())
    }

    /// What is there stands against it.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, Retry::Never, detail.into())
    }

    /// Nobody may do this.
    pub(crate) fn denied(detail: impl Into<String>) -> Self {
        Self::new(Kind::Denied, Retry::Never, detail.into())
    }

    pub(crate) fn into_response(self) -> Response {
        let body = Body {
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            kind: kind(self.kind),
            retry: match self.retry {
                Retry::Never => "never",
                Retry::Now => "now",
                Retry::After => "after",
            },
            detail: &self.detail,
        };
        let response = Response::json(self.status, &body).with_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match self.retry {
            Retry::After => {
                response.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
            Retry::Never | Retry::Now => response,
        }
    }
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "not_found",
        Kind::Conflict => "conflict",
        Kind::Denied => "denied",
        Kind::Invalid => "invalid",
        Kind::Exhausted => "exhausted",
        Kind::Unavailable => "unavailable",
        Kind::Internal => "internal",
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status_now = match &error {
            // RFC 9110 15.5.14, 15.5.17: these two have statuses of their own.
            Error::Batch(
                broker::BatchProblem::TooLarge { .. }
                | broker::BatchProblem::LargerThanSegment { .. },
            ) => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Error::OutOfRange { .. } => Some(StatusCode::RANGE_NOT_SATISFIABLE),
            Error::UnknownTopic(_)
            | Error::UnknownTopicId(_)
            | Error::UnknownPartition { .. }
            | Error::UnknownQueue(_)
            | Error::UnknownExchange(_)
            | Error::UnknownNamespace(_)
            | Error::InUse(_)
            | Error::NotEmpty(_)
            | Error::TopicExists(_)
            | Error::InvalidTopicName(_)
            | Error::InvalidPartitions(_)
            | Error::InvalidConfig { .. }
            | Error::InvalidRequest(_)
            | Error::Policy(_)
            | Error::Limit { .. }
            | Error::FencedEpoch { .. }
            | Error::UnknownEpoch { .. }
            | Error::Batch(_)
            | Error::Producer(_)
            | Error::Store(_)
            | Error::Meta(_)
            | Error::ShuttingDown => None,
        };
        let mut problem = Self::new(error.kind(), error.retry(), error.to_string());
        problem.status = status_now.unwrap_or(problem.status);
        problem
    }
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        let (kind, retry) = match &error {
            GroupError::InvalidGroup
            | GroupError::InconsistentProtocol
            | GroupError::InvalidSessionTimeout
            | GroupError::MemberIdRequired(_)
            | GroupError::MetadataTooLarge => (Kind::Invalid, Retry::Never),
            GroupError::NotFound | GroupError::UnknownMember => (Kind::NotFound, Retry::Never),
            GroupError::NonEmpty
            | GroupError::Subscribed
            | GroupError::IllegalGeneration
            | GroupError::FencedInstance => (Kind::Conflict, Retry::Never),
            GroupError::RebalanceInProgress => (Kind::Conflict, Retry::After),
            GroupError::Full | GroupError::TooManyGroups => (Kind::Exhausted, Retry::Never),
            GroupError::NoRoom => (Kind::Exhausted, Retry::After),
            GroupError::TooLarge => (Kind::Invalid, Retry::Never),
            GroupError::Unavailable(_) => (Kind::Unavailable, Retry::After),
        };
        Self::new(kind, retry, error.to_string())
    }
}
