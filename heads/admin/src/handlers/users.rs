//! Users. Passwords come in, nothing of them goes out.

use std::sync::Arc;

use net::http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body;
use crate::Shared;
use crate::error::Problem;
use crate::routes::Answer;

/// The longest name and the longest password, in bytes.
const TEXT_MAX: usize = 1024;

#[derive(Serialize)]
struct List {
    users: Vec<String>,
}

/// `GET /v1/users`
pub(crate) async fn list(shared: Arc<Shared>, _: Request) -> Answer {
    let users = shared.broker.meta().users();
    Ok(Response::json(StatusCode::OK, &List { users }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    password: String,
}

/// `PUT /v1/users/{user}`: makes a user, or gives one a new password.
pub(crate) async fn put(shared: Arc<Shared>, request: Request) -> Answer {
    let put: Put = body(&request)?;
    let user = request.param("user");
    if user.len() > TEXT_MAX || put.password.len() > TEXT_MAX {
        return Err(Problem::invalid(format!(
            "a name or password has at most {TEXT_MAX} bytes"
        )));
    }
    shared.broker.set_password(user, put.password).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// `DELETE /v1/users/{user}`
pub(crate) async fn delete(shared: Arc<Shared>, request: Request) -> Answer {
    shared.broker.delete_user(request.param("user")).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}
