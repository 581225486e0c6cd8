//! What the routes do: one file per resource.

pub(crate) mod configs;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod publish;
pub(crate) mod records;
pub(crate) mod store;
pub(crate) mod tail;
pub(crate) mod topics;
pub(crate) mod users;

use net::http::Request;
use serde::Deserialize;

use crate::error::Problem;

/// The body as JSON.
pub(crate) fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, Problem> {
    serde_json::from_slice(&request.body)
        .map_err(|error| Problem::invalid(format!("the body is not as expected: {error}")))
}

/// A number of the query.
pub(crate) fn number<T: std::str::FromStr>(
    request: &Request,
    name: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = request.query_param(name) else {
        return Ok(None);
    };
    let wrong = || Problem::invalid(format!("`{name}={text}` is not a number that fits"));
    text.parse().map(Some).map_err(|_| wrong())
}
