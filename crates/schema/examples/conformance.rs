//! The program that Protobuf's conformance runner plays with: `conformance FOLDER`, where FOLDER has
//! the runner's `.proto` files. Requests come and answers go with their length before them.

#![allow(
    clippy::disallowed_methods,
    reason = "files and pipes are this program's work"
)]

use std::io::{self, Read, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schema::{Format, Loader, Options, Snapshot, Unknown};
use serde_json::{Value, json};

/// What is imported by the others comes first.
const FILES: [&str; 3] = [
    "conformance/conformance.proto",
    "google/protobuf/test_messages_proto2.proto",
    "google/protobuf/test_messages_proto3.proto",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("usage: conformance FOLDER")?;
    let mut loader = Loader::new();
    for file in FILES {
        loader.proto(
            file,
            &std::fs::read_to_string(Path::new(&folder).join(file))?,
        );
    }
    let snapshot = loader.load()?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let mut length = [0; 4];
        if input.read_exact(&mut length).is_err() {
            return Ok(());
        }
        let mut request = vec![0; usize::try_from(u32::from_le_bytes(length))?];
        input.read_exact(&mut request)?;
        let response = respond(&snapshot, &request)?;
        output.write_all(&u32::try_from(response.len())?.to_le_bytes())?;
        output.write_all(&response)?;
        output.flush()?;
    }
}

/// Request and answer are messages as any: we carry them to JSON and back ourselves.
fn respond(snapshot: &Snapshot, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let find = |name| snapshot.find_message(name).ok_or("no conformance.proto");
    let (request_id, response_id) = (
        find("conformance.ConformanceRequest")?,
        find("conformance.ConformanceResponse")?,
    );
    let options = Options::default();
    let mut text = Vec::new();
    let (proto, json) = (Format::Protobuf, Format::Json);
    snapshot.transcode(request_id, proto, json, request, &mut text, &options)?;
    let answer = answer(snapshot, &serde_json::from_slice(&text)?)?;
    let mut response = Vec::new();
    let answer = answer.to_string();
    snapshot.transcode(
        response_id,
        json,
        proto,
        answer.as_bytes(),
        &mut response,
        &options,
    )?;
    Ok(response)
}

fn answer(snapshot: &Snapshot, request: &Value) -> Result<Value, Failure> {
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let message = text("messageType").unwrap_or_default();
    if message == "conformance.FailureSet" {
        return Ok(json!({"protobufPayload": ""}));
    }
    let Some(id) = snapshot.find_message(message) else {
        return Ok(json!({"skipped": format!("{message}: no editions")}));
    };
    let (from, input) = if let Some(json) = text("jsonPayload") {
        (Format::Json, json.as_bytes().to_vec())
    } else if let Some(bytes) = text("protobufPayload") {
        (Format::Protobuf, STANDARD.decode(bytes)?)
    } else if request.get("textPayload").is_some() || request.get("jspbPayload").is_some() {
        return Ok(json!({"skipped": "neither JSON nor Protobuf"}));
    } else {
        (Format::Protobuf, Vec::new())
    };
    let to = match text("requestedOutputFormat") {
        Some("PROTOBUF") => Format::Protobuf,
        Some("JSON") => Format::Json,
        _ => return Ok(json!({"skipped": "neither JSON nor Protobuf"})),
    };
    let options = Options {
        unknown: match text("testCategory") {
            Some("JSON_IGNORE_UNKNOWN_PARSING_TEST") => Unknown::Ignore,
            _ => Unknown::Reject,
        },
        ..Options::default()
    };
    let mut output = Vec::new();
    Ok(
        match snapshot.transcode(id, from, to, &input, &mut output, &options) {
            Ok(_) if to == Format::Json => json!({"jsonPayload": String::from_utf8(output)?}),
            Ok(_) => json!({"protobufPayload": STANDARD.encode(output)}),
            Err(error) if matches!(error.cause(), schema::Cause::Inexpressible(_)) => {
                json!({"serializeError": error.to_string()})
            }
            Err(error) => json!({"parseError": error.to_string()}),
        },
    )
}
