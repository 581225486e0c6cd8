//! The state of the log, and what the start found.

use std::sync::Arc;

use net::http::{Request, Response, StatusCode};
use serde::Serialize;

use crate::Shared;
use crate::routes::Answer;

#[derive(Serialize)]
struct Store {
    state: &'static str,
    reason: Option<String>,
    cluster_id: String,
    epoch: i32,
    recovery: Recovery,
}

#[derive(Serialize)]
struct Recovery {
    clean: bool,
    replayed_entries: u64,
    replayed_bytes: u64,
    torn_bytes: u64,
    damage: Vec<String>,
    took_ms: u128,
}

/// `GET /v1/store`
pub(crate) async fn state(shared: Arc<Shared>, _: Request) -> Answer {
    let status = shared.broker.status();
    let store = Store {
        state: if status.stopped.is_some() {
            "stopped"
        } else {
            "running"
        },
        reason: status.stopped,
        cluster_id: status.cluster_id,
        epoch: status.epoch,
        recovery: Recovery {
            clean: status.clean_start,
            replayed_entries: status.replayed,
            replayed_bytes: status.replayed_bytes,
            torn_bytes: status.torn_bytes,
            damage: status.damage,
            took_ms: status.recovery.as_millis(),
        },
    };
    Ok(Response::json(StatusCode::OK, &store))
}
