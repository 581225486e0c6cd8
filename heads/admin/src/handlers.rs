//! What the routes do: one file per resource.

pub(crate) mod configs;
pub(crate) mod exchanges;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod publish;
pub(crate) mod queues;
pub(crate) mod records;
pub(crate) mod store;
pub(crate) mod tail;
pub(crate) mod topics;
pub(crate) mod users;

use net::http::Request;
use serde::Deserialize;

use crate::Shared;
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

/// `name=true` in the query; `false` where it is not there.
pub(crate) fn flag(request: &Request, name: &str) -> Result<bool, Problem> {
    match request.query_param(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let why = format!("`{name}={other}` is not true or false");
            Err(Problem::invalid(why))
        }
    }
}

/// How many a page of a list holds: `limit` of the query, as far as that is allowed.
pub(crate) fn page_max(shared: &Shared, request: &Request) -> Result<usize, Problem> {
    let limit: usize = number(request, "limit")?.unwrap_or(shared.config.list_max);
    Ok(limit.clamp(1, shared.config.list_max.max(1)))
}

/// The namespace and the name behind which a page begins: `after_namespace` and `after` of the
/// query.
pub(crate) fn after(request: &Request) -> Option<(String, String)> {
    let namespace = request.query_param("after_namespace");
    let namespace = namespace.or_else(|| request.query_param("namespace"));
    Some((
        namespace.unwrap_or_else(default_namespace),
        request.query_param("after")?,
    ))
}

/// The namespace where none is named.
pub(crate) fn default_namespace() -> String {
    broker::queue::DEFAULT_NAMESPACE.to_owned()
}
