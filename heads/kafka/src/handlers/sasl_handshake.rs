//! The choice of a mechanism. The session takes it when the request comes; this answers.

use bytes::Bytes;
use kafka_wire::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_wire::{Decoder, ErrorCode, RequestHeader, Str};

use super::Context;
use crate::Config;
use crate::config::Mechanism;
use crate::session;

/// The mechanism that a request chooses, if it is offered.
pub(crate) fn chosen_mechanism(
    config: &Config,
    tls: bool,
    header: &RequestHeader,
    body: &Bytes,
) -> Option<Mechanism> {
    let mut decoder = Decoder::new(body.clone());
    let request = SaslHandshakeRequest::decode(&mut decoder, header.api_version).ok()?;
    session::offered(config, tls, &request.mechanism)
}

pub(super) async fn sasl_handshake(
    context: &Context,
    request: SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    let config = &context.shared.config;
    if !config.sasl {
        let error_code = ErrorCode::IllegalSaslState.code();
        return SaslHandshakeResponse {
            error_code,
            ..SaslHandshakeResponse::default()
        };
    }
    let tls = context.connection.peer.tls.is_some();
    let offered = session::offered(config, tls, &request.mechanism).is_some();
    SaslHandshakeResponse {
        error_code: if offered {
            0
        } else {
            ErrorCode::UnsupportedSaslMechanism.code()
        },
        mechanisms: config
            .mechanisms(tls)
            .map(|m| Str::from_static(m.name()))
            .collect(),
    }
}

/// A token that no handshake announced.
pub(super) async fn out_of_order(
    _: &Context,
    _: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some(Str::from_static("SaslAuthenticate without SaslHandshake")),
        ..SaslAuthenticateResponse::default()
    }
}
