//! From the protocol's header to an open connection.

use net::head::{Close, Head, Peer};
use net::testing::{Script, check_splits};

use super::harness::{Server, on_server, with};
use crate::codec::{Method, PROTOCOL_HEADER, Table, Value};
use crate::{Config, Reply};

#[test]
fn a_connection_is_opened_and_closed() {
    on_server(async |server| {
        let mut client = server.client().await;
        let close = Method::Close {
            code: 200,
            text: "bye".into(),
            class: 0,
            method: 0,
        };
        assert_eq!(client.ask_for(0, &close).await, Method::CloseOk {});
        assert_eq!(client.end, Some(Close::Done));
    });
}

#[test]
fn who_speaks_something_else_is_told_what_is_spoken() {
    on_server(async |server| {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"AMQP\x00\x01\x00\x00",
            b"\x16\x03\x01",
        ] {
            let session = server.amqp.open(server.now(), &Peer::loopback());
            let mut script = Script::new(session, server.now());
            assert!(matches!(script.feed(bytes), Err(Close::Protocol(_))));
            assert_eq!(script.output(), PROTOCOL_HEADER);
        }
    });
}

#[test]
fn the_older_header_is_taken_for_the_same() {
    on_server(async |server| {
        let mut client = server.connect();
        client.send_bytes(b"AMQP\x01\x01\x00\x09");
        let Method::Start {
            mechanisms,
            server_properties,
            ..
        } = client.until("connection.start").await
        else {
            panic!()
        };
        assert_eq!(&mechanisms[..], b"PLAIN AMQPLAIN");
        let Some(Value::Table(capabilities)) = server_properties.get("capabilities") else {
            panic!("no capabilities")
        };
        assert!(capabilities.is_true("publisher_confirms"));
        assert!(capabilities.is_true("basic.nack"));
    });
}

#[test]
fn a_wrong_password_is_told_to_who_asked_to_be_told() {
    on_server(async |server| {
        let mut client = server.connect();
        client.handshake("nobody", "/", 0).await;
        assert!(matches!(client.end, Some(Close::Denied(_))));
        let (code, text) = client.refusal().await;
        assert_eq!(code, 403);
        let words = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN";
        assert!(text.starts_with(words), "{text}");
        // Others see the connection end.
        let mut client = server.connect();
        client.send_bytes(&PROTOCOL_HEADER);
        let _ = client.until("connection.start").await;
        let start = Method::StartOk {
            client_properties: Table::new(),
            mechanism: "AMQPLAIN".into(),
            response: crate::convert::table_bytes(
                &Table::new()
                    .with("LOGIN", Value::text("guest"))
                    .with("PASSWORD", Value::text("wrong")),
            ),
            locale: "en_US".into(),
        };
        client.send(0, &start);
        assert_eq!(client.next().await, None);
        assert!(matches!(client.end, Some(Close::Denied(_))));
    });
}

#[test]
fn the_default_user_comes_from_this_machine_only() {
    on_server(async |server| {
        let far = Peer {
            addr: ([192, 0, 2, 1], 40_000).into(),
            ..Peer::loopback()
        };
        let mut client = server.connect_from(&far);
        client.handshake("guest", "/", 0).await;
        assert!(matches!(client.end, Some(Close::Denied(_))));
    });
    let open = Config {
        default_user_loopback_only: false,
        ..Config::default()
    };
    with(open, async |server| {
        let far = Peer {
            addr: ([192, 0, 2, 1], 40_000).into(),
            ..Peer::loopback()
        };
        let mut client = server.connect_from(&far);
        client.handshake("guest", "/", 0).await;
        let _ = client.until("connection.open-ok").await;
    });
}

async fn tuned(server: &Server, channel_max: u16, frame_max: u32) -> (u16, String) {
    let mut client = server.connect();
    client.send_bytes(&PROTOCOL_HEADER);
    let _ = client.until("connection.start").await;
    let start = Method::StartOk {
        client_properties: Table::new(),
        mechanism: "PLAIN".into(),
        response: b"\0guest\0guest"[..].into(),
        locale: "en_US".into(),
    };
    client.send(0, &start);
    let _ = client.until("connection.tune").await;
    let tune = Method::TuneOk {
        channel_max,
        frame_max,
        heartbeat: 0,
    };
    client.send(0, &tune);
    client.refusal().await
}

#[test]
fn what_is_tuned_stays_within_the_offer() {
    on_server(async |server| {
        for (channels, frames, words) in [
            (0, 4096, "channel_max = 0 (no limit)"),
            (3000, 4096, "maximum allowed value (2047)"),
            (10, 4095, "frame_max = 4095 is lower"),
            (10, 200_000, "frame_max = 200000 is higher"),
        ] {
            let (code, text) = tuned(server, channels, frames).await;
            assert_eq!(code, 530);
            assert!(text.contains(words), "{text}");
        }
    });
}

#[test]
fn a_namespace_that_there_is_not_is_refused() {
    on_server(async |server| {
        let mut client = server.connect();
        client.handshake("guest", "nowhere", 0).await;
        let refusal = client.refusal().await;
        assert_eq!(
            refusal,
            (530, "NOT_ALLOWED - vhost nowhere not found".into())
        );
        // Only the answer is listened to.
        client.send_bytes(&PROTOCOL_HEADER);
        assert_eq!(client.end, None);
        client.send(0, &Method::CloseOk {});
    });
}

#[test]
fn a_method_out_of_order_ends_the_opening() {
    on_server(async |server| {
        let mut client = server.connect();
        client.send_bytes(&PROTOCOL_HEADER);
        let _ = client.until("connection.start").await;
        client.send(0, &Method::CloseOk {});
        assert!(matches!(client.end, Some(Close::Protocol(_))));
    });
}

#[test]
fn the_opening_may_be_cut_anywhere() {
    on_server(async |server| {
        let open = || {
            let now = server.now();
            Script::new(server.amqp.open(now, &Peer::loopback()), now)
        };
        let mut bytes = bytes::BytesMut::from(&PROTOCOL_HEADER[..]);
        let start = Method::StartOk {
            client_properties: Table::new().with("connection_name", Value::text("me")),
            mechanism: "PLAIN".into(),
            response: b"\0guest\0guest"[..].into(),
            locale: "en_US".into(),
        };
        crate::codec::put_method(&mut bytes, 0, &start);
        let (calls, output, end) = check_splits(open, &bytes, |_, _| None::<Reply>);
        assert_eq!((calls.len(), end), (1, None));
        assert!(!output.is_empty());
    });
}
