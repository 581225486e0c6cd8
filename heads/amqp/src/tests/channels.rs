//! Channels: what closes them, what closes the connection, and contents that are put together.

use base::ByteSize;
use bytes::BytesMut;
use net::head::Close;

use super::harness::{Got, declare, on_server, publish, with};
use crate::Config;
use crate::codec::properties::{NONE, Properties};
use crate::codec::{FRAME_BODY, FRAME_HEADER, Method, Table, Value, hot, put_frame, put_method};

fn open() -> Method {
    Method::ChannelOpen {
        out_of_band: "".into(),
    }
}

#[test]
fn a_channel_is_opened_once_and_before_it_is_used() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.send(2, &declare("q", Table::new()));
        let refusal = client.refusal().await;
        assert_eq!(
            refusal,
            (504, "CHANNEL_ERROR - expected 'channel.open'".into())
        );
        let mut client = server.client().await;
        client.send(1, &open());
        let refusal = client.refusal().await;
        assert_eq!(
            refusal,
            (504, "CHANNEL_ERROR - second 'channel.open' seen".into())
        );
        let mut client = server.client().await;
        client.send(101, &open());
        assert_eq!(client.refusal().await.0, 530);
    });
}

#[test]
fn a_closed_channel_hears_only_the_answer_and_can_be_opened_again() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.send(
            1,
            &Method::Ack {
                delivery_tag: 7,
                multiple: false,
            },
        );
        let refusal = client.refusal().await;
        assert_eq!(
            refusal,
            (406, "PRECONDITION_FAILED - unknown delivery tag 7".into())
        );
        client.send(1, &declare("ignored", Table::new()));
        client.publish("", "ignored", &NONE, b"x");
        client.nothing().await;
        client.send(1, &Method::ChannelCloseOk {});
        client.open_channel(1).await;
        assert!(server.broker.queues().get("/", "ignored").is_none());
    });
}

#[test]
fn unknown_methods_and_broken_frames_close_the_connection() {
    on_server(async |server| {
        let mut client = server.client().await;
        let mut unknown = BytesMut::new();
        put_frame(&mut unknown, 1, 1, |w| w.raw(&[0, 60, 0, 99]));
        client.send_bytes(&unknown);
        assert_eq!(client.refusal().await.0, 503);

        let mut client = server.client().await;
        let mut broken = BytesMut::new();
        put_method(&mut broken, 1, &Method::QosOk {});
        *broken.last_mut().unwrap() = 0;
        client.send_bytes(&broken);
        assert_eq!(client.refusal().await.0, 501);

        let mut client = server.client().await;
        let mut large = BytesMut::new();
        put_frame(&mut large, 1, 1, |w| w.raw(&[0; 5000]));
        client.send_bytes(&large);
        assert_eq!(client.refusal().await.0, 501);

        let mut client = server.client().await;
        let mut short = BytesMut::new();
        put_frame(&mut short, 1, 1, |w| w.raw(&[0, 50, 0, 10, 0, 0, 200]));
        client.send_bytes(&short);
        assert_eq!(client.refusal().await.0, 502);
    });
}

#[test]
fn contents_out_of_order_close_the_connection() {
    on_server(async |server| {
        let whole = publish("", "q", false, &NONE, b"body");
        let method = publish("", "q", false, &NONE, b"").len() - 22;
        let mut header = BytesMut::new();
        hot::put_content_header(&mut header, 1, 4, &NONE);
        let mut body = BytesMut::new();
        put_frame(&mut body, FRAME_BODY, 1, |w| w.raw(b"longer than said"));
        let mut other = BytesMut::new();
        put_method(&mut other, 1, &Method::QosOk {});
        for (bytes, code) in [
            (header.to_vec(), 505),
            (body.to_vec(), 505),
            ([&whole[..method], &other[..]].concat(), 505),
            ([&whole[..method], &whole[..method]].concat(), 505),
            ([&whole[..method], &body[..]].concat(), 505),
            ([&whole[..method], &header[..], &body[..]].concat(), 501),
        ] {
            let mut client = server.client().await;
            client.send_bytes(&bytes);
            assert_eq!(client.refusal().await.0, code, "{bytes:02x?}");
        }
        assert_eq!(whole[method], FRAME_HEADER);
    });
}

#[test]
fn bodies_of_several_frames_interleave_over_channels() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.open_channel(2).await;
        client.declare("one", Table::new()).await;
        let body = vec![7; 10_000];
        let mut both = Vec::new();
        let first = publish("", "one", false, &NONE, &body);
        let mut second = BytesMut::new();
        hot::put_content_header(&mut second, 2, 0, &NONE);
        let mut at = BytesMut::new();
        let to = Method::Publish {
            ticket: 0,
            exchange: "".into(),
            routing_key: "one".into(),
            mandatory: false,
            immediate: false,
        };
        put_method(&mut at, 2, &to);
        // The other channel's frames stand before the last of this one's.
        let cut = first.len() - (10_000 - 2 * 4088) - 8;
        both.extend_from_slice(&first[..cut]);
        both.extend_from_slice(&at);
        both.extend_from_slice(&second);
        both.extend_from_slice(&first[cut..]);
        for piece in both.chunks(1000) {
            client.send_bytes(piece);
        }
        let get = Method::Get {
            ticket: 0,
            queue: "one".into(),
            no_ack: true,
        };
        for size in [0, 10_000] {
            assert_eq!(client.ask_for(1, &get).await.name(), "basic.get-ok");
            assert_eq!(client.content().await.1.len(), size);
        }
    });
}

#[test]
fn a_message_may_be_so_large_and_no_larger() {
    on_server(async |server| {
        let mut client = server.client().await;
        let method = publish("", "q", false, &NONE, b"").len() - 22;
        client.send_bytes(&publish("", "q", false, &NONE, b"")[..method]);
        let mut header = BytesMut::new();
        hot::put_content_header(&mut header, 1, 20_000_000, &NONE);
        client.send_bytes(&header);
        let (code, text) = client.refusal().await;
        assert_eq!(code, 406);
        let words = "message size 20000000 is larger than configured max size 16777216";
        assert!(text.ends_with(words), "{text}");
    });
}

#[test]
fn what_is_not_implemented_says_so() {
    on_server(async |server| {
        for method in [
            Method::Flow { active: false },
            Method::Recover { requeue: false },
            Method::Qos {
                prefetch_size: 1,
                prefetch_count: 0,
                global: false,
            },
            Method::Publish {
                ticket: 0,
                exchange: "".into(),
                routing_key: "".into(),
                mandatory: false,
                immediate: true,
            },
        ] {
            let mut client = server.client().await;
            client.send(1, &method);
            assert_eq!(client.refusal().await.0, 540, "{method:?}");
            client.send(0, &Method::CloseOk {});
            assert_eq!(client.end, Some(Close::Done));
        }
        let mut client = server.client().await;
        let flow = Method::Flow { active: true };
        let answer = client.ask_for(1, &flow).await;
        assert_eq!(answer, Method::FlowOk { active: true });
        let close = Method::ChannelClose {
            code: 200,
            text: "".into(),
            class: 0,
            method: 0,
        };
        assert_eq!(client.ask_for(1, &close).await, Method::ChannelCloseOk {});
        client.send(1, &open());
        assert!(matches!(
            client.next().await,
            Some(Got::Method(1, Method::ChannelOpenOk { .. }))
        ));
    });
}

#[test]
fn contents_that_are_begun_on_many_channels_are_bounded() {
    let config = Config {
        unfinished_bytes_max: ByteSize(32 << 10),
        ..Config::default()
    };
    with(config, async |server| {
        let mut client = server.client().await;
        let long = Table::new().with("x", Value::text(&"x".repeat(3000)));
        let properties = Properties::default().write(Some(&long));
        for number in 2..12 {
            client.open_channel(number).await;
            client.send_bytes(&on_channel(number, &properties));
        }
        // What is done makes room.
        let mut body = BytesMut::new();
        put_frame(&mut body, FRAME_BODY, 2, |writer| writer.raw(b"x"));
        client.send_bytes(&body);
        client.send_bytes(&on_channel(2, &properties));
        client.nothing().await;
        client.open_channel(12).await;
        client.send_bytes(&on_channel(12, &properties));
        assert_eq!(client.refusal().await.0, 506);
    });
}

/// A message on a channel, but for its body of one byte.
fn on_channel(number: u16, properties: &[u8]) -> BytesMut {
    let method = Method::Publish {
        ticket: 0,
        exchange: "".into(),
        routing_key: "nowhere".into(),
        mandatory: false,
        immediate: false,
    };
    let mut out = BytesMut::new();
    put_method(&mut out, number, &method);
    hot::put_content_header(&mut out, number, 1, properties);
    out
}
