//! A running server's HTTP API, as commands use it: JSON in and out, problems as failures.

use std::path::Path;
use std::time::Duration;

use base::Tasks;
use bytes::Bytes;
use net::http::{Answer, Client, HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use super::Common;
use crate::config::layers::read_text;
use crate::exit::{Exit, Failure};
use crate::out;

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";
/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Api {
    client: Client,
    server: String,
    token: Option<HeaderValue>,
    pub(super) json: bool,
}

impl Api {
    /// Asks nothing yet.
    pub(super) fn new(common: &Common) -> Result<Self, Failure> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let server = common.server.clone().or_else(|| env("STENTOR_SERVER"));
        let server = server.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let tls = match &common.ca {
            Some(ca) => Some(net::tls::ClientTls::load(ca, None)?),
            None if server.starts_with("https:") => {
                return Err(Failure::new(Exit::Usage, "an https URL needs --ca FILE"));
            }
            None => None,
        };
        let token = match &common.token_file {
            Some(path) => Some(read_secret(path)?),
            None => env("STENTOR_TOKEN"),
        };
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        let token = token
            .transpose()
            .map_err(|_| Failure::new(Exit::Usage, "the token is no text"))?;
        let client = Client::new(&server, tls, Tasks::current(), TIMEOUT)?;
        Ok(Self {
            client,
            server,
            token,
            json: common.json,
        })
    }

    /// Sends a request; the answer when it is no error.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        let mut bytes = Bytes::new();
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
            let body = serde_json::to_vec(body);
            bytes = body
                .map_err(|e| Failure::new(Exit::Failure, e.to_string()))?
                .into();
        }
        let answer = self.client.request(method, path, headers, bytes).await;
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(problem(answer).await)
        }
    }

    fn unreachable(&self, error: &net::Error) -> Failure {
        let message = format!(
            "{}: {error}. Is a server running there? (--server URL)",
            self.server
        );
        Failure::new(Exit::Unreachable, message)
    }

    /// Sends a request; the answer as JSON, `null` when it has no body.
    pub(super) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Value, Failure> {
        let answer = self.send(method, path, body).await?;
        if answer.status == StatusCode::NO_CONTENT {
            answer.bytes().await?;
            return Ok(Value::Null);
        }
        Ok(answer.json().await?)
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    pub(super) async fn delete(&mut self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// The answer as JSON where that is wanted, else `text`.
    pub(super) fn done(
        &self,
        answer: &Value,
        text: std::fmt::Arguments<'_>,
    ) -> Result<(), Failure> {
        let printed = if self.json {
            out::json(answer)
        } else {
            out::line(text)
        };
        Ok(printed?)
    }
}

async fn problem(answer: Answer) -> Failure {
    let status = answer.status;
    let exit = match status.as_u16() {
        404 => Exit::NotFound,
        429 | 500..=599 => Exit::Unavailable,
        _ => Exit::Refused,
    };
    let body = answer.bytes().await.unwrap_or_default();
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    let detail = parsed
        .as_ref()
        .and_then(|v| v.get("detail"))
        .and_then(Value::as_str);
    let text = detail.map_or_else(
        || String::from_utf8_lossy(&body).trim().to_owned(),
        str::to_owned,
    );
    Failure::new(
        exit,
        if text.is_empty() {
            status.to_string()
        } else {
            text
        },
    )
}

/// A secret from a file, without the line end.
pub(super) fn read_secret(path: &Path) -> Result<String, Failure> {
    Ok(read_text(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

/// A name as one segment of a path or one value of a query (RFC 3986 2.3).
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A member of a JSON object as a table shows it.
pub(super) fn cell(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.len().to_string(),
        Some(other) => other.to_string(),
    }
}

/// A list of a JSON object; empty when it is not there.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A table of the members of JSON objects.
pub(super) fn table<const N: usize>(
    heading: [&str; N],
    names: [&str; N],
    rows: &[Value],
) -> Result<(), Failure> {
    let cells: Vec<[String; N]> = rows
        .iter()
        .map(|row| names.map(|name| cell(row, name)))
        .collect();
    let rows = cells.iter().map(|row| row.each_ref().map(String::as_str));
    Ok(out::table(&heading, rows)?)
}
