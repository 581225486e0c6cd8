//! What a route's handler answers.

use std::fmt;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream::{BoxStream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

/// An answer: status, headers, body.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers; `content-length`, `date` and `transfer-encoding` are added by the server.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// A response's body.
pub enum Body {
    /// All of it.
    Full(Bytes),
    /// Piece by piece, each sent when it comes (chunked). The stream is polled only as fast as the
    /// peer reads, and dropped when the peer goes away, or `drain_max` after the server has begun to
    /// drain.
    Stream(BoxStream<'static, Bytes>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Response {
    /// No body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Full(Bytes::new()),
        }
    }

    /// `bytes` of the type `content_type`.
    #[must_use]
    pub fn bytes(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let body = Body::Full(bytes.into());
        let response = Self {
            status,
            headers: HeaderMap::new(),
            body,
        };
        response.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// Plain text.
    #[must_use]
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::bytes(status, "text/plain; charset=utf-8", text.into())
    }

    /// `value` as JSON; 500 if it cannot be written as such (a map with keys that are no strings).
    #[must_use]
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::bytes(status, "application/json", json),
            Err(error) => {
                tracing::error!(%error, "a response is no JSON: this is a bug");
                Self::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// A stream of pieces of the type `content_type`: JSON lines (`application/x-ndjson`), server
    /// sent events (`text/event-stream`).
    #[must_use]
    pub fn stream(
        content_type: &'static str,
        pieces: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Self {
        let body = Body::Stream(pieces.boxed());
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body,
        }
        .with_header(CONTENT_TYPE, HeaderValue::from_static(content_type))
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// The same with a header set.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}
