//! A request as a route's handler gets it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;

use super::response::Response;
use crate::head::Peer;

/// A whole request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as it came, percent-encoded: `/v1/topics/a%2Fb`.
    pub path: String,
    /// What stood behind the `?`, as it came; empty if nothing.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most `body_bytes_max` bytes.
    pub body: Bytes,
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What the braces of the route's pattern matched, decoded.
    pub(crate) params: Vec<(String, String)>,
}

impl Request {
    /// A request from this machine, as if it had come over a plain connection: for tests of
    /// handlers. `target` is a path, and a query behind a `?`.
    #[must_use]
    pub fn new(method: Method, target: &str, headers: HeaderMap, body: Bytes) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
            peer: Arc::new(Peer::loopback()),
            params: Vec::new(),
        }
    }

    /// What `{name}` of the route's pattern matched, percent-decoded; empty if the pattern has no
    /// such name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The first value of `name` in the query, decoded.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<String> {
        self.query_params()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// All pairs of the query, decoded; pairs that cannot be decoded are left out.
    pub fn query_params(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .filter_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(key, Plus::IsSpace)?, decode(value, Plus::IsSpace)?))
            })
    }

    /// A header's value, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, whatever `content-type` says.
    ///
    /// # Errors
    /// A finished 400 response that names line and column.
    #[expect(clippy::result_large_err, reason = "the handler returns it as it is")]
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Response> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Response::text(
                StatusCode::BAD_REQUEST,
                format!("the body is not as expected: {error}"),
            )
        })
    }
}

/// What a `+` means: a space in a query (HTML forms), itself in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    IsSpace,
    IsPlus,
}

/// Percent-decodes (RFC 3986 2.1); `None` if it is malformed or not UTF-8.
pub(crate) fn decode(text: &str, plus: Plus) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                high << 4 | low
            }
            b'+' if plus == Plus::IsSpace => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_paths_and_queries_and_refuses_half_an_escape() {
        assert_eq!(decode("a%2Fb+c", Plus::IsPlus).as_deref(), Some("a/b+c"));
        assert_eq!(decode("a%2Fb+c", Plus::IsSpace).as_deref(), Some("a/b c"));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(bad, Plus::IsPlus), None, "{bad}");
        }
    }
}
