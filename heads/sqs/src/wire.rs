//! The two protocols that say the same things: JSON 1.0 and Query with XML.
//!
//! What is said is declared once, in [`crate::model`]: each member has a type of this module, which
//! knows how it is read from JSON ([`serde`], straight from the request's bytes) and from the
//! numbered parameters of Query ([`query`]), and how it is written as JSON and as XML ([`write`]).
//! A member that is absent is not written.
//!
//! Lists and maps keep [`KEPT_MAX`] items and count the rest: the largest that any action takes is
//! smaller, and an error names how many were sent.

pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod write;

use net::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;

use crate::error::{Code, Failure};
use query::{Params, Scope};
pub(crate) use read::{Blob, List, Map, Member, Text};
pub(crate) use write::{Body, Write};

/// How many items of a list or a map are kept.
pub(crate) const KEPT_MAX: usize = 128;

const JSON: &str = "application/x-amz-json-1.0";
const XML: &str = "text/xml";
const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// Which protocol a request speaks; its answer speaks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Json,
    Query,
}

/// What an action takes.
pub(crate) trait Input<'a>: Deserialize<'a> + Default {
    /// What documents say of it.
    const MEMBERS: &'static [crate::Member];
    /// From the parameters of Query.
    fn query(scope: Scope<'_, 'a>) -> Result<Self, Failure>;
    /// The first required member that is not there.
    fn missing(&self) -> Option<&'static str>;
}

/// The members of a request, not taken apart yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Members<'r> {
    Json(&'r [u8]),
    Query(&'r Params<'r>),
}

impl<'r> Members<'r> {
    pub(crate) fn read<T: Input<'r>>(self) -> Result<T, Failure> {
        let input = match self {
            Self::Json([]) => T::default(),
            Self::Json(body) => serde_json::from_slice(body)
                .map_err(|error| Failure::new(Code::Serialization, error.to_string()))?,
            Self::Query(params) => T::query(params.scope())?,
        };
        match input.missing() {
            Some(name) => Err(Failure::missing(name)),
            None => Ok(input),
        }
    }
}

/// The answer to an action that went well.
pub(crate) fn answer(
    protocol: Protocol,
    action: &str,
    id: &str,
    output: &(impl Write + ?Sized),
) -> Response {
    let mut out = Vec::with_capacity(512);
    match protocol {
        Protocol::Json => {
            output.json(&mut out);
            with_id(Response::bytes(StatusCode::OK, JSON, out), id)
        }
        Protocol::Query => {
            out.extend_from_slice(b"<?xml version=\"1.0\"?><");
            out.extend_from_slice(action.as_bytes());
            out.extend_from_slice(b"Response xmlns=\"");
            out.extend_from_slice(NAMESPACE.as_bytes());
            out.extend_from_slice(b"\">");
            if !output.is_absent() {
                output.xml(&format!("{action}Result"), &mut out);
            }
            out.extend_from_slice(b"<ResponseMetadata>");
            id.xml("RequestId", &mut out);
            out.extend_from_slice(b"</ResponseMetadata></");
            out.extend_from_slice(action.as_bytes());
            out.extend_from_slice(b"Response>");
            with_id(Response::bytes(StatusCode::OK, XML, out), id)
        }
    }
}

/// The answer to one that did not.
pub(crate) fn refusal(protocol: Protocol, id: &str, failure: &Failure) -> Response {
    let row = failure.code.row();
    let sender = if row.status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let mut out = Vec::with_capacity(512);
    let response = match protocol {
        Protocol::Json => {
            out.extend_from_slice(b"{\"__type\":\"com.amazonaws.sqs#");
            out.extend_from_slice(row.json.as_bytes());
            out.extend_from_slice(b"\",\"message\":");
            failure.message.as_ref().json(&mut out);
            out.push(b'}');
            let response = Response::bytes(row.status, JSON, out);
            match HeaderValue::try_from(format!("{};{sender}", row.query)) {
                Ok(value) => response.with_header(QUERY_ERROR, value),
                Err(_) => response,
            }
        }
        Protocol::Query => {
            out.extend_from_slice(b"<?xml version=\"1.0\"?><ErrorResponse xmlns=\"");
            out.extend_from_slice(NAMESPACE.as_bytes());
            out.extend_from_slice(b"\"><Error>");
            sender.xml("Type", &mut out);
            row.query.xml("Code", &mut out);
            failure.query_message().xml("Message", &mut out);
            out.extend_from_slice(b"<Detail/></Error>");
            id.xml("RequestId", &mut out);
            out.extend_from_slice(b"</ErrorResponse>");
            Response::bytes(row.status, XML, out)
        }
    };
    with_id(response, id)
}

/// Query at a queue's path without an action.
pub(crate) fn unknown_operation(id: &str) -> Response {
    let body = "<UnknownOperationException/>\n";
    with_id(Response::bytes(StatusCode::NOT_FOUND, XML, body), id)
}

fn with_id(response: Response, id: &str) -> Response {
    match HeaderValue::from_str(id) {
        Ok(id) => response.with_header(REQUEST_ID, id),
        Err(_) => response,
    }
}

#[cfg(test)]
mod tests;
