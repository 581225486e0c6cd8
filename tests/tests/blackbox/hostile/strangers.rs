//! Clients that have not said who they are.

use kafka_wire::{ApiKey, messages as m};

use super::neighbour::{fetch, frame};
use super::*;

fn handshake(mechanism: &str) -> Vec<u8> {
    let request = m::SaslHandshakeRequest {
        mechanism: mechanism.into(),
    };
    frame(ApiKey::SaslHandshake, 1, |out| request.encode(out, 1))
}

fn token(bytes: Vec<u8>) -> Vec<u8> {
    let request = m::SaslAuthenticateRequest {
        auth_bytes: bytes.into(),
    };
    frame(ApiKey::SaslAuthenticate, 1, |out| request.encode(out, 1))
}

#[test]
fn strangers_hurt_nobody_who_is_known() {
    let server = Server::start_with(&[
        ("MEMORY__LIMIT", &neighbour::MEMORY_LIMIT.to_string()),
        ("KAFKA__SASL", "true"),
        ("KAFKA__SASL_PLAIN_WITHOUT_TLS", "true"),
    ]);
    server.create_topic("orders", 4);
    let body = json!({"password": "secret"}).to_string();
    let (status, told) = server.request("PUT", "/v1/users/anna", &body).unwrap();
    assert!(status < 300, "{status} {told}");
    let socket = neighbour::connect(&server);
    let mut neighbour = Neighbour::over(socket).authenticated("anna", "secret");
    neighbour.is_well(&server, 10);
    let giant = |prefix: &str| {
        let mut bytes = prefix.as_bytes().to_vec();
        bytes.resize(500 << 10, b'x');
        token(bytes)
    };
    let scram = [handshake("SCRAM-SHA-256"), giant("n,,n=anna,r=")].concat();
    let name = [handshake("SCRAM-SHA-512"), giant("n,,n=")].concat();
    let password = [handshake("PLAIN"), giant("\0anna\0")].concat();
    let mut half_token = handshake("PLAIN");
    half_token.extend_from_slice(&(500_u32 << 10).to_be_bytes());
    half_token.resize(half_token.len() + (400 << 10), 0);
    let large = (600_u32 << 10).to_be_bytes().to_vec();
    for attack in [
        scram,
        name,
        password,
        half_token,
        large,
        fetch("orders", 0, 0),
    ] {
        let sockets = crowd(&server, 200, &attack);
        neighbour.is_well(&server, 20);
        drop(sockets);
    }
}
