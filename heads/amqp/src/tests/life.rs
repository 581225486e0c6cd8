//! Heartbeats, and how long one waits for what does not come.

use std::time::Duration;

use net::head::Close;

use super::harness::{Got, on_server, publish};
use crate::codec::properties::NONE;
use crate::codec::{FRAME_HEARTBEAT, Method, put_frame};

#[test]
fn a_heartbeat_goes_out_when_nothing_else_did_for_half_the_interval() {
    on_server(async |server| {
        let mut client = server.connect();
        client.handshake("guest", "/", 10).await;
        let _ = client.until("connection.open-ok").await;
        client.advance(Duration::from_secs(4));
        client.nothing().await;
        client.advance(Duration::from_secs(2));
        assert_eq!(client.next().await, Some(Got::Heartbeat));
    });
}

#[test]
fn a_peer_that_is_silent_for_two_intervals_is_dead() {
    on_server(async |server| {
        let mut client = server.connect();
        client.handshake("guest", "/", 10).await;
        let _ = client.until("connection.open-ok").await;
        let mut beat = bytes::BytesMut::new();
        put_frame(&mut beat, FRAME_HEARTBEAT, 0, |_| {});
        for _ in 0..5 {
            client.advance(Duration::from_secs(15));
            assert_eq!(client.end, None);
            client.send_bytes(&beat);
        }
        // What was sent has been taken: only then is silence silence.
        client.advance(Duration::from_secs(19));
        assert_eq!(client.end, None);
        client.advance(Duration::from_secs(2));
        assert_eq!(client.end, Some(Close::Idle));
    });
}

#[test]
fn without_heartbeats_nobody_is_dead() {
    on_server(async |server| {
        let mut client = server.connect();
        client.handshake("guest", "/", 0).await;
        let _ = client.until("connection.open-ok").await;
        client.advance(Duration::from_secs(10_000));
        assert_eq!(client.end, None);
    });
}

#[test]
fn a_heartbeat_has_no_channel() {
    on_server(async |server| {
        let mut client = server.client().await;
        let mut beat = bytes::BytesMut::new();
        put_frame(&mut beat, FRAME_HEARTBEAT, 1, |_| {});
        client.send_bytes(&beat);
        assert_eq!(client.refusal().await.0, 505);
    });
}

#[test]
fn the_answer_to_a_close_is_awaited_for_a_while() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.send(0, &Method::FlowOk { active: true });
        assert_eq!(client.refusal().await.0, 503);
        client.advance(Duration::from_secs(9));
        assert_eq!(client.end, None);
        client.advance(Duration::from_secs(2));
        assert_eq!(client.end, Some(Close::Done));
    });
}

#[test]
fn a_server_that_goes_down_says_so() {
    on_server(async |server| {
        let mut client = server.client().await;
        let words = client.script.close(&Close::Drain);
        assert!(words.windows(17).any(|w| w == b"CONNECTION_FORCED"));
    });
}

#[test]
fn a_frame_that_comes_slowly_is_a_sign_of_life() {
    on_server(async |server| {
        let mut client = server.connect();
        client.handshake("guest", "/", 10).await;
        let _ = client.until("connection.open-ok").await;
        client.open_channel(1).await;
        for piece in publish("", "nowhere", false, &NONE, &[b'x'; 4080]).chunks(1100) {
            client.send_bytes(piece);
            client.advance(Duration::from_secs(15));
            assert_eq!(client.end, None);
        }
        client.advance(Duration::from_secs(15));
        assert_eq!(client.end, Some(Close::Idle));
    });
}
