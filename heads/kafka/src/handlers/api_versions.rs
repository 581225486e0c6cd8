//! What is served, for clients that ask (KIP-511).

use bytes::Bytes;
use kafka_wire::messages::api_versions_response::ApiVersion;
use kafka_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_wire::{ApiKey, ErrorCode, RequestHeader};
use net::head::Close;

use super::{APIS, Context};
use crate::codec;

/// The answer's frame. To a version that is not known the answer is in the oldest form, and says
/// which are.
pub(super) fn frame(context: &Context, body: Bytes) -> Result<Bytes, Close> {
    let key = ApiKey::ApiVersions;
    let version = context.version();
    if !ApiVersionsRequest::VERSIONS.contains(&version) {
        let header = RequestHeader {
            api_version: 0,
            ..context.header.clone()
        };
        let response = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: APIS
                .iter()
                .filter(|api| api.key == key)
                .map(entry)
                .collect(),
            ..ApiVersionsResponse::default()
        };
        return codec::frame(&header, key, 0, |out| response.encode(out, 0));
    }
    let mut decoder = context.decoder(body);
    let request = ApiVersionsRequest::decode(&mut decoder, version).map_err(codec::malformed)?;
    let response = answer(version, &request);
    codec::frame(&context.header, key, 0, |out| response.encode(out, version))
}

pub(super) fn answer(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    let names = [
        &request.client_software_name,
        &request.client_software_version,
    ];
    let error_code = if version >= 3 && !names.iter().all(|name| is_software_name(name)) {
        ErrorCode::InvalidRequest.code()
    } else {
        0
    };
    ApiVersionsResponse {
        error_code,
        api_keys: APIS.iter().map(entry).collect(),
        ..ApiVersionsResponse::default()
    }
}

fn entry(api: &super::Api) -> ApiVersion {
    ApiVersion {
        api_key: api.key.number(),
        min_version: api.min,
        max_version: api.max,
    }
}

/// Letters, digits, `-` and `.`, with a letter or digit at both ends (KIP-511).
fn is_software_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    end(name.chars().next()) && end(name.chars().last()) && name.chars().all(inner)
}
