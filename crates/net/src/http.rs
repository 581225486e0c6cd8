//! HTTP for heads that speak it, and a small client for the command line.
//!
//! A head makes [`Routes`]: paths and async functions from [`Request`] to [`Response`], and
//! [`crate::Net::serve_http`] serves them. Bodies of requests arrive whole and capped; a
//! response's body is whole or a stream. What carries the protocol (hyper) is nobody else's
//! business. HTTP/1.1 for now.
//!
//! ```
//! use net::http::{Request, Response, Routes, StatusCode};
//!
//! async fn hello(request: Request) -> Response {
//!     Response::text(StatusCode::OK, format!("hello {}", request.param("name")))
//! }
//! let routes = Routes::new().get("/v1/hello/{name}", hello);
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`routes`] | patterns of paths, and who answers them |
//! | [`request`], [`response`] | what goes in and out |
//! | [`server`] | one connection |
//! | `memory` | what a connection holds, charged for |
//! | `host` | the names that a server is asked for by |
//! | [`client`] | requests of our own |

use base::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

pub use self::client::{Answer, Client};
pub use self::host::{host_of, is_own_host};
pub use self::request::Request;
pub use self::response::{Body, Response};
pub use self::routes::Routes;

pub mod client;
mod host;
mod io;
mod memory;
pub mod request;
pub mod response;
pub mod routes;
pub(crate) mod server;
#[cfg(test)]
mod tests;

/// Bounds of HTTP requests, beside those of [`crate::Limits`] that every connection has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Bytes of a request's body; more is answered with 413. Default: 16MiB.
    pub body_bytes_max: ByteSize,
    /// Bytes that the bodies of requests and answers of all connections may hold together, out of
    /// `memory.limit` and half of it at most; headers a quarter of that besides. Who finds no room
    /// waits for `http.limits.memory_wait_max`, then is answered with 503. Default: 64MiB.
    pub memory_max: ByteSize,
    /// Bytes of a request's line and headers together; more is answered with 431. Default: 64KiB.
    pub header_bytes_max: ByteSize,
    /// Headers of a request. Default: 100.
    pub headers_max: usize,
    /// From the first byte of a request to the end of its headers, and from connecting to the
    /// first byte; `0` for no limit. Default: 10s.
    pub header_time_max: Millis,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: ByteSize(16 << 20),
            memory_max: ByteSize(64 << 20),
            header_bytes_max: ByteSize(64 << 10),
            headers_max: 100,
            header_time_max: Millis(10_000),
        }
    }
}
