//! A client that has to authenticate and sends anything: it does not get in. The first byte
//! chooses the mechanism and how tokens are framed; a zero byte parts two tokens.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use head_kafka::{Config, Kafka};
use kafka_wire::{ApiKey, messages as m};

use crate::engine::Engine;
use crate::kafka::{frame, open, play};

const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "NONE"];

thread_local! {
    static HEAD: RefCell<Option<(Engine, Kafka)>> = const { RefCell::new(None) };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    let [mode, tokens @ ..] = data else { return };
    HEAD.with_borrow_mut(|head| {
        let (engine, kafka) = head.get_or_insert_with(|| {
            open(Config {
                sasl: true,
                sasl_plain_without_tls: true,
                ..Config::default()
            })
        });
        let bare = mode & 4 != 0;
        let mut bytes = handshake(MECHANISMS[usize::from(mode & 3)], bare);
        // PLAIN has zero bytes of its own.
        let parts = if mode & 3 == 0 {
            vec![tokens]
        } else {
            tokens.splitn(2, |b| *b == 0).collect()
        };
        for token in parts {
            bytes.extend(if bare {
                bare_token(token)
            } else {
                authenticate(token)
            });
        }
        let before = bytes.len();
        bytes.extend(list_groups());
        assert!(bytes.len() > before);
        let (end, _) = play(engine, kafka, &bytes);
        // Nobody has an account here.
        assert!(end.is_some(), "let in without an account");
    });
}

fn handshake(mechanism: &str, bare: bool) -> Vec<u8> {
    let version = i16::from(!bare);
    let mut body = BytesMut::new();
    let request = m::SaslHandshakeRequest {
        mechanism: mechanism.into(),
    };
    request.encode(&mut body, version).unwrap();
    frame(ApiKey::SaslHandshake, version, &body)
}

fn authenticate(token: &[u8]) -> Vec<u8> {
    let mut body = BytesMut::new();
    let request = m::SaslAuthenticateRequest {
        auth_bytes: Bytes::copy_from_slice(token),
    };
    request.encode(&mut body, 2).unwrap();
    frame(ApiKey::SaslAuthenticate, 2, &body)
}

fn bare_token(token: &[u8]) -> Vec<u8> {
    let length = u32::try_from(token.len()).unwrap().to_be_bytes();
    [&length[..], token].concat()
}

fn list_groups() -> Vec<u8> {
    let mut body = BytesMut::new();
    m::ListGroupsRequest::default()
        .encode(&mut body, 2)
        .unwrap();
    frame(ApiKey::ListGroups, 2, &body)
}

/// First and last messages of each mechanism.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let tokens: [(u8, &[u8]); 6] = [
        (0, b"\0user\0password"),
        (4, b"user\0user\0password"),
        (1, b"n,,n=user,r=abcdef\0c=biws,r=abcdef,p=AAAA"),
        (2, b"y,a=u,n=u,r=x\0c=eSxhPXUs,r=x,p=AAAA"),
        (5, b"n,,n=a=2Cb,r=abcdef\0c=biws,r=abcdef,p="),
        (3, b""),
    ];
    tokens
        .map(|(mode, token)| [&[mode], token].concat())
        .to_vec()
}
