//! Whether the process lives, whether it works, and what it counts.

use std::sync::Arc;

use net::http::{Request, Response, StatusCode};

use crate::Shared;
use crate::error::Problem;
use crate::routes::Answer;

/// The process answers.
pub(crate) fn alive(_: &Shared) -> Response {
    Response::text(StatusCode::OK, "ok\n")
}

/// The log takes appends.
pub(crate) fn ready(shared: &Shared) -> Response {
    match shared.broker.status().stopped {
        None => Response::text(StatusCode::OK, "ready\n"),
        Some(reason) => {
            let text = format!("not ready: the log takes no appends: {reason}\n");
            Response::text(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// Everything that is counted.
pub(crate) async fn metrics(shared: Arc<Shared>, _: Request) -> Answer {
    shared.broker.queues().measure().await;
    let text = shared.metrics.encode();
    let text =
        text.map_err(|error| Problem::invalid(format!("metrics cannot be shown: {error}")))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(Response::bytes(StatusCode::OK, kind, text))
}
