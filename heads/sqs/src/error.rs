//! The one table of errors: what each is called in either protocol, and its HTTP status; and what
//! an error of the engine becomes.

use std::borrow::Cow;

use base::{Kind, Retry};
use broker::Error;
use net::http::StatusCode;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in JSON.
    pub json: &'static str,
    /// Its name in Query, which SDKs that spoke Query still look for.
    pub query: &'static str,
    /// The status.
    pub status: StatusCode,
}

macro_rules! codes {
    ($($code:ident $json:literal $query:literal $status:ident;)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($code,)*
        }

        /// Every error that is answered.
        pub const ERRORS: &[Row] = &[
            $(Row { json: $json, query: $query, status: StatusCode::$status },)*
        ];

        impl Code {
            pub(crate) fn row(self) -> &'static Row {
                // The variants are numbered as the rows are.
                ERRORS.get(self as usize).unwrap_or(&INTERNAL)
            }
        }
    };
}

const INTERNAL: Row = Row {
    json: "InternalError",
    query: "InternalError",
    status: StatusCode::INTERNAL_SERVER_ERROR,
};

codes! {
    QueueDoesNotExist "QueueDoesNotExist" "AWS.SimpleQueueService.NonExistentQueue" BAD_REQUEST;
    QueueNameExists "QueueNameExists" "QueueAlreadyExists" BAD_REQUEST;
    QueueDeletedRecently "QueueDeletedRecently" "AWS.SimpleQueueService.QueueDeletedRecently" BAD_REQUEST;
    PurgeQueueInProgress "PurgeQueueInProgress" "AWS.SimpleQueueService.PurgeQueueInProgress" FORBIDDEN;
    EmptyBatch "EmptyBatchRequest" "AWS.SimpleQueueService.EmptyBatchRequest" BAD_REQUEST;
    TooManyEntries "TooManyEntriesInBatchRequest" "AWS.SimpleQueueService.TooManyEntriesInBatchRequest" BAD_REQUEST;
    IdsNotDistinct "BatchEntryIdsNotDistinct" "AWS.SimpleQueueService.BatchEntryIdsNotDistinct" BAD_REQUEST;
    InvalidEntryId "InvalidBatchEntryId" "AWS.SimpleQueueService.InvalidBatchEntryId" BAD_REQUEST;
    BatchTooLong "BatchRequestTooLong" "AWS.SimpleQueueService.BatchRequestTooLong" BAD_REQUEST;
    Unsupported "UnsupportedOperation" "AWS.SimpleQueueService.UnsupportedOperation" BAD_REQUEST;
    ReceiptHandle "ReceiptHandleIsInvalid" "ReceiptHandleIsInvalid" BAD_REQUEST;
    AttributeName "InvalidAttributeName" "InvalidAttributeName" BAD_REQUEST;
    AttributeValue "InvalidAttributeValue" "InvalidAttributeValue" BAD_REQUEST;
    Contents "InvalidMessageContents" "InvalidMessageContents" BAD_REQUEST;
    Parameter "InvalidParameterValueException" "InvalidParameterValue" BAD_REQUEST;
    Missing "MissingRequiredParameterException" "MissingParameter" BAD_REQUEST;
    OverLimit "OverLimit" "OverLimit" FORBIDDEN;
    NotFound "ResourceNotFoundException" "ResourceNotFoundException" NOT_FOUND;
    Throttled "RequestThrottled" "RequestThrottled" BAD_REQUEST;
    Action "InvalidAction" "InvalidAction" BAD_REQUEST;
    UnknownOperation "UnknownOperationException" "InvalidAction" NOT_FOUND;
    MissingAction "MissingAction" "MissingAction" BAD_REQUEST;
    Serialization "SerializationException" "SerializationException" BAD_REQUEST;
    MalformedQueryString "MalformedQueryString" "MalformedQueryString" BAD_REQUEST;
    NoToken "MissingAuthenticationTokenException" "MissingAuthenticationToken" FORBIDDEN;
    UnknownKey "UnrecognizedClientException" "InvalidClientTokenId" FORBIDDEN;
    Signature "InvalidSignatureException" "SignatureDoesNotMatch" FORBIDDEN;
    IncompleteSignature "IncompleteSignatureException" "IncompleteSignature" BAD_REQUEST;
    Expired "InvalidSignatureException" "RequestExpired" FORBIDDEN;
    Denied "AccessDeniedException" "AccessDenied" FORBIDDEN;
    Internal "InternalError" "InternalError" INTERNAL_SERVER_ERROR;
    Unavailable "ServiceUnavailable" "ServiceUnavailable" SERVICE_UNAVAILABLE;
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
}

const NO_QUEUE: &str = "The specified queue does not exist.";
const NO_QUEUE_QUERY: &str = "The specified queue does not exist for this wsdl version.";

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// A parameter is not possible.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Parameter, message)
    }

    /// A parameter is not possible, in the words that SDKs look for.
    pub(crate) fn value(value: &str, parameter: &str, reason: &str) -> Self {
        Self::invalid(format!(
            "Value {value} for parameter {parameter} is invalid. Reason: {reason}"
        ))
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            Code::Missing,
            format!("The request must contain the parameter {parameter}."),
        )
    }

    pub(crate) fn no_queue() -> Self {
        Self::new(Code::QueueDoesNotExist, NO_QUEUE)
    }

    /// The message as Query says it.
    pub(crate) fn query_message(&self) -> &str {
        if self.code == Code::QueueDoesNotExist {
            NO_QUEUE_QUERY
        } else {
            &self.message
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error, Error::UnknownQueue(_)) {
            return Self::no_queue();
        }
        let code = match (error.kind(), error.retry()) {
            (Kind::NotFound, _) => return Self::no_queue(),
            (Kind::Invalid | Kind::Conflict | Kind::Denied, _) => Code::Parameter,
            (Kind::Exhausted, Retry::Never) => Code::OverLimit,
            (Kind::Exhausted, Retry::Now | Retry::After) => Code::Throttled,
            (Kind::Unavailable, _) => Code::Unavailable,
            (Kind::Internal, _) => {
                tracing::error!(%error, "a request failed");
                Code::Internal
            }
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_find_their_rows() {
        assert_eq!(Code::QueueDoesNotExist.row().json, "QueueDoesNotExist");
        assert_eq!(Code::NotFound.row().status, StatusCode::NOT_FOUND);
        assert_eq!(Code::Unavailable.row().query, "ServiceUnavailable");
        assert_eq!(ERRORS.len(), Code::Unavailable as usize + 1);
    }
}
