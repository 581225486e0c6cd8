//! Who may come in, and what may be said before.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use kafka_wire::messages as m;
use kafka_wire::{ErrorCode, Str};
use net::head::Close;
use sha2::{Digest, Sha256};

use super::harness::{Client, Server, Settings, park, run, with};
use crate::Config;

/// A server whose only user is `anna`, with the password `secret`.
fn guarded(change: impl FnOnce(&mut Config), test: impl AsyncFnOnce(&Server)) {
    let mut kafka = Config {
        sasl: true,
        sasl_plain_without_tls: true,
        ..Config::default()
    };
    change(&mut kafka);
    let settings = Settings {
        kafka,
        ..Settings::default()
    };
    with(settings, async |server: &Server| {
        server.broker.meta().set_password("anna", "secret").unwrap();
        test(server).await;
    });
}

async fn handshake(client: &mut Client, version: i16, mechanism: &str) -> m::SaslHandshakeResponse {
    let request = m::SaslHandshakeRequest {
        mechanism: mechanism.into(),
    };
    client.ask(version, request).await
}

fn token(bytes: impl Into<Bytes>) -> m::SaslAuthenticateRequest {
    m::SaslAuthenticateRequest {
        auth_bytes: bytes.into(),
    }
}

/// Authenticates by PLAIN in the form of `version`.
async fn plain(client: &mut Client, version: i16, password: &str) -> m::SaslAuthenticateResponse {
    assert_eq!(handshake(client, 1, "PLAIN").await.error_code, 0);
    client
        .ask(version, token(format!("\0anna\0{password}")))
        .await
}

async fn is_open(client: &mut Client) -> bool {
    let sent = client.send(9, &m::MetadataRequest::default());
    sent.is_ok() && !client.script.is_waiting() && client.bytes().await.is_ok()
}

#[test]
fn nothing_but_versions_and_the_handshake_comes_first() {
    guarded(
        |_| {},
        async |server| {
            let mut client = server.client();
            let answer = client.ask(0, m::ApiVersionsRequest::default()).await;
            assert_eq!(answer.error_code, 0);
            let early = client.try_ask(9, &m::MetadataRequest::default()).await;
            assert!(matches!(early, Err(Close::Denied(_))));
            // A token that no handshake announced.
            let early = server.client().try_ask(1, &token("\0anna\0secret")).await;
            assert!(matches!(early, Err(Close::Denied(_))));
        },
    );
}

#[test]
fn an_unknown_mechanism_is_answered_with_those_there_are() {
    guarded(
        |_| {},
        async |server| {
            let mut client = server.client();
            for version in [0, 1] {
                let answer = handshake(&mut client, version, "GSSAPI").await;
                assert_eq!(
                    answer.error_code,
                    ErrorCode::UnsupportedSaslMechanism.code()
                );
                let names = ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"].map(Str::from);
                assert_eq!(answer.mechanisms, names);
            }
            // The client may choose again.
            assert_eq!(plain(&mut client, 1, "secret").await.error_code, 0);
            assert!(is_open(&mut client).await);
        },
    );
}

#[test]
fn a_password_opens_in_every_version() {
    guarded(
        |_| {},
        async |server| {
            for version in 0..=2 {
                let mut client = server.client();
                let answer = plain(&mut client, version, "secret").await;
                assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
                assert!(is_open(&mut client).await);
            }
        },
    );
}

#[test]
fn after_the_old_handshake_tokens_come_bare() {
    guarded(
        |_| {},
        async |server| {
            let mut client = server.client();
            assert_eq!(handshake(&mut client, 0, "PLAIN").await.error_code, 0);
            let mut frame = 12_u32.to_be_bytes().to_vec();
            frame.extend_from_slice(b"\0anna\0secret");
            client.send_bytes(&frame).unwrap();
            assert_eq!(client.bytes().await, Ok(Some(Bytes::from_static(&[0; 4]))));
            assert!(is_open(&mut client).await);
            // A wrong one has no words for it, but it takes as long.
            let mut client = server.client();
            handshake(&mut client, 0, "PLAIN").await;
            client.send_bytes(b"\0\0\0\x0b\0anna\0wrong").unwrap();
            assert_eq!(client.bytes().await, Ok(Some(Bytes::new())));
            assert_eq!(client.script.advance(Duration::from_millis(99)), Ok(()));
            let end = client.script.advance(Duration::from_millis(1));
            assert!(matches!(end, Err(Close::Denied(_))));
            assert!(client.script.output().is_empty());
        },
    );
}

#[test]
fn a_failure_is_told_late_and_ends_the_connection() {
    guarded(
        |_| {},
        async |server| {
            let mut client = server.client();
            handshake(&mut client, 1, "PLAIN").await;
            client.send(1, &token("\0anna\0wrong")).unwrap();
            let silent = client.bytes().await.unwrap();
            assert_eq!(
                silent.map(|bytes| bytes.len()),
                Some(0),
                "the answer is held back"
            );
            assert_eq!(client.script.advance(Duration::from_millis(99)), Ok(()));
            assert!(client.script.output().is_empty());
            let end = client.script.advance(Duration::from_millis(1));
            assert!(matches!(end, Err(Close::Denied(_))));
            let frame = client.script.output();
            let code = i16::from_be_bytes([frame[8], frame[9]]);
            assert_eq!(code, ErrorCode::SaslAuthenticationFailed.code());
        },
    );
}

#[test]
fn frames_before_authentication_are_small() {
    guarded(
        |config| config.sasl_frame_bytes_max = base::ByteSize(100),
        async |server| {
            let large = server.client().send_bytes(&101_u32.to_be_bytes());
            assert_eq!(large, Err(Close::Limit("kafka.sasl_frame_bytes_max")));
            let mut client = server.client();
            plain(&mut client, 1, "secret").await;
            assert_eq!(client.send_bytes(&101_u32.to_be_bytes()), Ok(()));
        },
    );
}

#[test]
fn an_authentication_lasts_so_long_and_is_renewed_by_the_same_user() {
    let lifetime = |config: &mut Config| config.sasl_lifetime = base::Millis(60_000);
    guarded(lifetime, async |server| {
        server.broker.meta().set_password("bob", "secret").unwrap();
        let mut client = server.client();
        let answer = plain(&mut client, 1, "secret").await;
        assert_eq!(answer.session_lifetime_ms, 60_000);
        client.script.advance(Duration::from_secs(59)).unwrap();
        assert!(is_open(&mut client).await);
        assert_eq!(
            plain(&mut client, 1, "secret").await.error_code,
            0,
            "renewed in time"
        );
        client.script.advance(Duration::from_secs(59)).unwrap();
        assert!(is_open(&mut client).await);
        client.script.advance(Duration::from_secs(2)).unwrap();
        let late = client.try_ask(9, &m::MetadataRequest::default()).await;
        assert!(matches!(late, Err(Close::Denied(_))));

        let mut client = server.client();
        plain(&mut client, 1, "secret").await;
        handshake(&mut client, 1, "PLAIN").await;
        let other = client.try_ask(1, &token("\0bob\0secret")).await;
        assert!(
            matches!(other, Err(Close::Denied(_))),
            "not as somebody else"
        );
    });
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The client's half of SCRAM-SHA-256 (RFC 5802 3): its last message.
fn last_message(first_bare: &str, server_first: &str, password: &str) -> String {
    let field = |name: &str| {
        let mut fields = server_first.split(',');
        fields
            .find_map(|field| field.strip_prefix(name))
            .unwrap()
            .to_owned()
    };
    let salt = BASE64.decode(field("s=")).unwrap();
    let mut block = mac(
        password.as_bytes(),
        &[&salt[..], &1_u32.to_be_bytes()].concat(),
    );
    let mut salted = block.clone();
    for _ in 1..field("i=").parse().unwrap() {
        block = mac(password.as_bytes(), &block);
        salted.iter_mut().zip(&block).for_each(|(a, b)| *a ^= b);
    }
    let client_key = mac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", field("r="));
    let said = format!("{first_bare},{server_first},{without_proof}");
    let signature = mac(&Sha256::digest(&client_key), said.as_bytes());
    let proof: Vec<u8> = client_key
        .iter()
        .zip(&signature)
        .map(|(a, b)| a ^ b)
        .collect();
    format!("{without_proof},p={}", BASE64.encode(proof))
}

#[test]
fn scram_opens_for_the_right_password_only() {
    guarded(
        |_| {},
        async |server| {
            for (password, opens) in [("secret", true), ("wrong", false)] {
                let mut client = server.client();
                handshake(&mut client, 1, "SCRAM-SHA-256").await;
                let bare = "n=anna,r=abcdef";
                let answer = client.ask(2, token(format!("n,,{bare}"))).await;
                let first = String::from_utf8(answer.auth_bytes.to_vec()).unwrap();
                client
                    .send(2, &token(last_message(bare, &first, password)))
                    .unwrap();
                let answered = client.bytes().await.unwrap().unwrap();
                assert_eq!(!answered.is_empty(), opens);
                assert_eq!(is_open(&mut client).await, opens);
            }
        },
    );
}

/// They wait for their turn without a thread, and who is gone by then is not looked at.
#[test]
fn a_flood_of_passwords_is_looked_at_a_few_at_a_time() {
    guarded(
        |_| {},
        async |server| {
            let before = server.tasks();
            let mut waiting = Vec::new();
            for _ in 0..20 {
                let asked = server.broker.verify_password("anna", "wrong");
                waiting.push(park(asked).await);
            }
            assert_eq!(server.tasks() - before, 2);
            drop(waiting);
            let right = server.broker.verify_password("anna", "secret").await;
            assert!(right.unwrap());
        },
    );
}

/// The salt, in bytes, and the iterations that somebody is told.
async fn told(server: &Server, mechanism: &str, user: &str) -> (String, usize, String) {
    let mut client = server.client();
    handshake(&mut client, 1, mechanism).await;
    let answer = client.ask(2, token(format!("n,,n={user},r=abcdef"))).await;
    let first = String::from_utf8(answer.auth_bytes.to_vec()).unwrap();
    let fields: Vec<_> = first.split(',').collect();
    let [_, salt, iterations] = fields[..] else {
        panic!("{first}")
    };
    let salt = salt.strip_prefix("s=").unwrap();
    let length = BASE64.decode(salt).unwrap().len();
    (salt.to_owned(), length, iterations.to_owned())
}

#[test]
fn nobody_learns_who_exists_not_even_by_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = None;
    for _ in 0..2 {
        let kafka = Config {
            sasl: true,
            ..Config::default()
        };
        let settings = Settings {
            kafka,
            ..Settings::default()
        };
        run(folder.path(), settings, async |server: &Server| {
            if before.is_none() {
                server.broker.meta().set_password("anna", "secret").unwrap();
            }
            let mut all = Vec::new();
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let known = told(server, mechanism, "anna").await;
                let unknown = told(server, mechanism, "bob").await;
                assert_eq!((known.1, &known.2), (unknown.1, &unknown.2));
                assert_eq!(told(server, mechanism, "bob").await, unknown);
                all.extend([known, unknown]);
            }
            let salts: std::collections::BTreeSet<_> = all.iter().map(|told| &told.0).collect();
            assert_eq!(salts.len(), 4, "each has a salt of its own");
            assert_eq!(before.get_or_insert_with(|| all.clone()), &all);
        });
    }
}

/// Of SCRAM's first message the text is kept until the second; a password is hashed thousands of
/// times: both have to be short.
#[test]
fn a_giant_token_is_refused_at_once() {
    guarded(
        |_| {},
        async |server| {
            for message in [
                format!("n,,n=anna,r={}", "x".repeat(5000)),
                format!("n,,n={},r=abc", "x".repeat(5000)),
                format!("n,a={},n=anna,r=abc", "x".repeat(5000)),
            ] {
                let mut client = server.client();
                handshake(&mut client, 1, "SCRAM-SHA-256").await;
                client.send(1, &token(message)).unwrap();
                let answered = client.bytes().await.unwrap().unwrap();
                assert_eq!(answered.len(), 0, "held back: it has failed");
            }
        },
    );
}
