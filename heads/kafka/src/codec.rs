//! Frames: a length, a header, a body.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::{ApiKey, DecodeError, Decoder, EncodeError, RequestHeader, put_response_header};
use net::head::{Close, Output};

use crate::handlers;
use crate::handlers::fetch::FetchReply;
use crate::handlers::produce::ProduceReply;
use crate::sasl;

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// A whole frame.
    Frame(Bytes),
    /// What became of a produce.
    Produce(ProduceReply),
    /// What a fetch found.
    Fetch(Box<FetchReply>),
    /// A step of an authentication was decided.
    Authenticated(Decided),
    /// Nothing; the connection ends.
    Close(Close),
}

/// A decided step of an authentication.
#[derive(Debug)]
pub struct Decided {
    pub(crate) outcome: sasl::Outcome,
    /// The frame to send.
    pub(crate) answer: Bytes,
}

/// Takes the header off a frame, and sees whether the request is served at all.
pub(crate) fn request(frame: Bytes) -> Result<(RequestHeader, ApiKey, Bytes), Close> {
    let mut decoder = Decoder::new(frame);
    let header = RequestHeader::decode(&mut decoder).map_err(malformed)?;
    let Some(key) = ApiKey::from_number(header.api_key) else {
        return Err(Close::protocol(format!(
            "unknown request {}",
            header.api_key
        )));
    };
    let served = handlers::served(key, header.api_version);
    // Who asks for the versions does not know them yet (KIP-511).
    if !served && key != ApiKey::ApiVersions {
        let version = header.api_version;
        return Err(Close::protocol(format!(
            "{} version {version} is not served",
            key.name()
        )));
    }
    Ok((header, key, decoder.into_rest()))
}

pub(crate) fn malformed(error: DecodeError) -> Close {
    if error == DecodeError::Elements {
        return Close::Limit("kafka.elements_per_request_max");
    }
    Close::protocol(format!("malformed request: {error}"))
}

/// A frame around a body of about `length` bytes.
pub(crate) fn frame(
    header: &RequestHeader,
    key: ApiKey,
    length: usize,
    body: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<Bytes, Close> {
    let mut out = BytesMut::with_capacity(128 + length);
    out.put_i32(0);
    put_response_header(&mut out, key, header.api_version, header.correlation_id);
    body(&mut out)
        .map_err(|e| Close::protocol(format!("an answer that cannot be written: {e}")))?;
    let length = i32::try_from(out.len() - 4)
        .map_err(|_| Close::protocol("an answer of more than 2 GiB"))?;
    if let Some(place) = out.get_mut(..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(out.freeze())
}

/// Writes a frame whose body is written piece by piece.
pub(crate) fn put_frame(
    output: &mut Output,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    body: impl FnOnce(&mut Output) -> Result<(), EncodeError>,
) -> Result<(), Close> {
    let hole = output.hole(4);
    put_response_header(output.buf(), key, version, correlation_id);
    body(output).map_err(|e| Close::protocol(format!("an answer that cannot be written: {e}")))?;
    let length = i32::try_from(output.since(&hole))
        .map_err(|_| Close::protocol("an answer of more than 2 GiB"))?;
    output.fill(hole, &length.to_be_bytes());
    Ok(())
}
