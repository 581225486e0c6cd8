//! From an HTTP request to an action, and back.
//!
//! Any path will do: SDKs post to `/` or to the queue's URL, and the queue is named by the last
//! part of its URL wherever that points to.

use std::borrow::Cow;
use std::sync::Arc;

use net::http::{Method, Request, Response, Routes, StatusCode};

use crate::access;
use crate::error::{Code, Failure};
use crate::handlers::{self, Context};
use crate::wire::query::Params;
use crate::wire::{self, Members, Protocol};
use crate::{Shared, Sqs};

const TARGET: &str = "AmazonSQS.";

impl Sqs {
    /// The routes, to be served.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let shared = self.0.clone();
        Routes::new().fallback(move |request| answer(shared.clone(), request))
    }
}

pub(crate) async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    let id = shared.rng.uuid().to_string();
    if let Some(target) = request.header("x-amz-target") {
        let action = target.strip_prefix(TARGET).unwrap_or_default();
        let members = Members::Json(&request.body);
        return act(&shared, &request, Protocol::Json, action, members, &id).await;
    }
    let refuse = |failure: &Failure| {
        shared.metrics.refused(failure.code.row().query);
        wire::refusal(Protocol::Query, &id, failure)
    };
    if request.method == Method::OPTIONS || request.method == Method::HEAD {
        return Response::empty(StatusCode::NO_CONTENT);
    }
    let Ok(form) = std::str::from_utf8(form(&request)) else {
        return refuse(&Failure::new(
            Code::MalformedQueryString,
            "the form is not UTF-8",
        ));
    };
    let mut params = match Params::parse(form, &request.query) {
        Ok(params) => params,
        Err(failure) => return refuse(&failure),
    };
    let at_queue = request.path.trim_matches('/').contains('/');
    let action = params.get("Action").map(str::to_owned);
    let action = match action {
        Some(action) => action,
        None if at_queue => return wire::unknown_operation(&id),
        None => String::new(),
    };
    let is_of_none = matches!(
        action.as_str(),
        "CreateQueue" | "ListQueues" | "GetQueueUrl"
    );
    if at_queue && (is_of_none && action != "GetQueueUrl" || !handlers::is_known(&action)) {
        return refuse(&Failure::new(
            Code::Action,
            format!("The action {action} is not valid for this endpoint."),
        ));
    }
    if at_queue {
        params.or("QueueUrl", Cow::Borrowed(request.path.as_str()));
    }
    let members = Members::Query(&params);
    act(&shared, &request, Protocol::Query, &action, members, &id).await
}

/// The form in the body, where there is one.
fn form(request: &Request) -> &[u8] {
    if request.method == Method::POST {
        &request.body
    } else {
        &[]
    }
}

async fn act(
    shared: &Arc<Shared>,
    request: &Request,
    protocol: Protocol,
    action: &str,
    members: Members<'_>,
    id: &str,
) -> Response {
    let now_ms = shared.broker.clock().unix_ms();
    let sender = match &shared.verifier {
        Some(verifier) => verifier.verify(request, now_ms).map(Some),
        None => {
            access::check(&shared.config, request, action).map(|()| crate::sigv4::claimed(request))
        }
    };
    let answered = match sender {
        Ok(sender) => {
            let context = Context {
                shared,
                request,
                sender: sender.unwrap_or("anonymous"),
                protocol,
                id,
                now_ms,
            };
            handlers::dispatch(&context, action, members).await
        }
        Err(failure) => Err(failure),
    };
    answered.unwrap_or_else(|failure| {
        shared.metrics.refused(failure.code.row().query);
        wire::refusal(protocol, id, &failure)
    })
}
