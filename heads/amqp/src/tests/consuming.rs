//! Consuming: delivery, acknowledgement, prefetch, cancelling, what comes back.

use broker::NewTopic;
use broker::exchange::NamespaceSettings;
use bytes::Bytes;

use super::harness::{Client, Server, consume, declare, eventually, on_server};
use crate::codec::properties::{NONE, Properties};
use crate::codec::{Method, Table, Value};

/// A client whose queue `q` holds messages `0..n`.
async fn filled(server: &Server, n: usize) -> Client {
    let mut client = server.client().await;
    client.declare("q", Table::new()).await;
    for at in 0..n {
        client.publish("", "q", &NONE, at.to_string().as_bytes());
    }
    client
}

/// The next delivery: its tag, whether it was delivered before, its body.
async fn delivered(client: &mut Client) -> (u64, bool, Bytes) {
    let Method::Deliver {
        delivery_tag,
        redelivered,
        ..
    } = client.until("basic.deliver").await
    else {
        panic!()
    };
    (delivery_tag, redelivered, client.content().await.1)
}

fn qos(count: u16, global: bool) -> Method {
    Method::Qos {
        prefetch_size: 0,
        prefetch_count: count,
        global,
    }
}

fn get(no_ack: bool) -> Method {
    Method::Get {
        ticket: 0,
        queue: "q".into(),
        no_ack,
    }
}

#[test]
fn messages_come_in_order_with_tags_from_one() {
    on_server(async |server| {
        let mut client = filled(server, 3).await;
        let begun = client
            .ask_for(1, &consume("q", "", false, Table::new()))
            .await;
        let Method::ConsumeOk { consumer_tag } = begun else {
            panic!("{begun:?}")
        };
        assert!(consumer_tag.starts_with("amq.ctag-"), "{consumer_tag}");
        for at in 0..3 {
            let (tag, redelivered, body) = delivered(&mut client).await;
            assert_eq!((tag, redelivered), (at + 1, false));
            assert_eq!(body, at.to_string());
        }
    });
}

#[test]
fn prefetch_holds_back_until_something_is_acknowledged() {
    on_server(async |server| {
        let mut client = filled(server, 5).await;
        assert_eq!(client.ask_for(1, &qos(2, false)).await, Method::QosOk {});
        client.send(1, &consume("q", "t", false, Table::new()));
        let _ = client.until("basic.consume-ok").await;
        assert_eq!(delivered(&mut client).await.0, 1);
        assert_eq!(delivered(&mut client).await.0, 2);
        client.nothing().await;
        client.send(
            1,
            &Method::Ack {
                delivery_tag: 2,
                multiple: true,
            },
        );
        assert_eq!(delivered(&mut client).await.0, 3);
        assert_eq!(delivered(&mut client).await.0, 4);
        client.nothing().await;
    });
}

#[test]
fn what_a_channel_leaves_behind_is_delivered_again() {
    on_server(async |server| {
        let mut client = filled(server, 2).await;
        client.send(1, &consume("q", "t", false, Table::new()));
        let _ = delivered(&mut client).await;
        let _ = delivered(&mut client).await;
        drop(client);
        let queue = server.broker.queues().get("/", "q").unwrap();
        eventually(|| queue.stats().ready == 2).await;
        let mut next = server.client().await;
        assert_eq!(next.ask_for(1, &get(false)).await.name(), "basic.get-ok");
        assert_eq!(&next.content().await.1[..], b"0");
        let Method::GetOk {
            redelivered,
            delivery_tag,
            messages,
            ..
        } = next.ask_for(1, &get(false)).await
        else {
            panic!()
        };
        assert_eq!((redelivered, delivery_tag, messages), (true, 2, 0));
        let _ = next.content().await;
        assert_eq!(next.ask_for(1, &get(true)).await.name(), "basic.get-empty");
    });
}

#[test]
fn refused_messages_go_back_to_their_place_or_go() {
    on_server(async |server| {
        let mut client = filled(server, 3).await;
        for tag in 1..=3 {
            assert_eq!(
                client.ask_for(1, &get(false)).await.name(),
                "basic.get-ok",
                "{tag}"
            );
            let _ = client.content().await;
        }
        client.send(
            1,
            &Method::Reject {
                delivery_tag: 1,
                requeue: false,
            },
        );
        client.send(
            1,
            &Method::Nack {
                delivery_tag: 3,
                multiple: true,
                requeue: true,
            },
        );
        for wanted in ["1", "2"] {
            assert_eq!(client.ask_for(1, &get(true)).await.name(), "basic.get-ok");
            assert_eq!(client.content().await.1, wanted);
        }
        assert_eq!(
            client.ask_for(1, &get(true)).await.name(),
            "basic.get-empty"
        );
        let twice = Method::Ack {
            delivery_tag: 3,
            multiple: false,
        };
        let refused = client.refused(&twice).await;
        assert_eq!(
            refused,
            (406, "PRECONDITION_FAILED - unknown delivery tag 3".into())
        );
    });
}

#[test]
fn recover_gives_everything_back() {
    on_server(async |server| {
        let mut client = filled(server, 2).await;
        client.send(1, &consume("q", "t", false, Table::new()));
        let _ = delivered(&mut client).await;
        let _ = delivered(&mut client).await;
        client.send(1, &Method::Recover { requeue: true });
        let _ = client.until("basic.recover-ok").await;
        let (tag, redelivered, body) = delivered(&mut client).await;
        assert_eq!((tag, redelivered, &body[..]), (3, true, &b"0"[..]));
    });
}

#[test]
fn nothing_follows_cancel_ok() {
    on_server(async |server| {
        let mut client = filled(server, 1).await;
        client.send(1, &consume("q", "t", true, Table::new()));
        let _ = delivered(&mut client).await;
        let cancel = Method::Cancel {
            consumer_tag: "t".into(),
            nowait: false,
        };
        assert_eq!(client.ask_for(1, &cancel).await.name(), "basic.cancel-ok");
        client.publish("", "q", &NONE, b"later");
        client.nothing().await;
        // A tag that is not known is cancelled all the same.
        assert_eq!(client.ask_for(1, &cancel).await.name(), "basic.cancel-ok");
        assert_eq!(client.ask_for(1, &get(true)).await.name(), "basic.get-ok");
    });
}

#[test]
fn consumers_hear_that_their_queue_is_gone() {
    on_server(async |server| {
        let mut client = filled(server, 0).await;
        client.send(1, &consume("q", "t", true, Table::new()));
        let _ = client.until("basic.consume-ok").await;
        let mut other = server.client().await;
        let delete = Method::QueueDelete {
            ticket: 0,
            queue: "q".into(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        };
        assert_eq!(other.ask_for(1, &delete).await.name(), "queue.delete-ok");
        let cancel = Method::Cancel {
            consumer_tag: "t".into(),
            nowait: true,
        };
        assert_eq!(client.until("basic.cancel").await, cancel);
    });
}

#[test]
fn consumers_are_refused_with_the_words_that_clients_know() {
    on_server(async |server| {
        let mut client = filled(server, 0).await;
        client.send(1, &consume("q", "t", true, Table::new()));
        let _ = client.until("basic.consume-ok").await;
        client.send(1, &consume("q", "t", true, Table::new()));
        let (code, text) = client.refusal().await;
        assert_eq!(
            (code, &*text),
            (530, "NOT_ALLOWED - attempt to reuse consumer tag 't'")
        );

        let mut one = server.client().await;
        let mut alone = consume("q", "a", true, Table::new());
        if let Method::Consume { exclusive, .. } = &mut alone {
            *exclusive = true;
        }
        let queue = server.broker.queues().get("/", "q").unwrap();
        eventually(|| queue.stats().consumers == 0).await;
        assert_eq!(one.ask_for(1, &alone).await.name(), "basic.consume-ok");
        let mut two = server.client().await;
        let refused = two.refused(&consume("q", "b", true, Table::new())).await;
        assert_eq!(
            refused,
            (
                403,
                "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use".into()
            )
        );
        let refused = two.refused(&consume("nope", "b", true, Table::new())).await;
        assert_eq!(
            refused,
            (404, "NOT_FOUND - no queue 'nope' in vhost '/'".into())
        );
    });
}

#[test]
fn a_dead_letter_tells_what_it_died_of() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.declare("dead", Table::new()).await;
        let arguments = Table::new()
            .with("x-dead-letter-exchange", Value::text(""))
            .with("x-dead-letter-routing-key", Value::text("dead"));
        client.send(1, &declare("q", arguments));
        let _ = client.until("queue.declare-ok").await;
        let headers = Table::new().with("mine", Value::I32(1));
        let block = Properties {
            expiration: Some(b"100000"),
            content_type: Some(b"text/plain"),
            ..Properties::default()
        };
        client.publish("", "q", &block.write(Some(&headers)), b"bad");
        assert_eq!(client.ask_for(1, &get(false)).await.name(), "basic.get-ok");
        let _ = client.content().await;
        client.send(
            1,
            &Method::Reject {
                delivery_tag: 1,
                requeue: false,
            },
        );
        client.send(1, &consume("dead", "t", true, Table::new()));
        assert_eq!(client.until("basic.deliver").await.ids(), (60, 60));
        let (properties, body) = client.content().await;
        assert_eq!(&body[..], b"bad");
        let properties = Properties::read(&properties).unwrap();
        assert_eq!(
            (properties.expiration, properties.content_type),
            (None, Some(&b"text/plain"[..]))
        );
        let headers = properties.header_table().unwrap();
        assert_eq!(headers.get("mine"), Some(&Value::I32(1)));
        let Some(Value::Array(deaths)) = headers.get("x-death") else {
            panic!("{headers:?}")
        };
        let [Value::Table(death)] = &deaths[..] else {
            panic!("{deaths:?}")
        };
        let words = |name| death.get(name).and_then(Value::as_str);
        assert_eq!(
            (words("reason"), words("queue")),
            (Some("rejected"), Some("q"))
        );
        assert_eq!(words("original-expiration"), Some("100000"));
        assert_eq!(death.get("count"), Some(&Value::I64(1)));
        assert_eq!(
            headers.get("x-first-death-reason").and_then(Value::as_str),
            Some("rejected")
        );
        assert_eq!(
            headers.get("x-last-death-queue").and_then(Value::as_str),
            Some("q")
        );
    });
}

#[test]
fn a_quorum_queue_counts_deliveries() {
    on_server(async |server| {
        let mut client = server.client().await;
        let quorum = Table::new().with("x-queue-type", Value::text("quorum"));
        client.declare("q", quorum).await;
        client.publish("", "q", &NONE, b"x");
        assert_eq!(client.ask_for(1, &get(false)).await.name(), "basic.get-ok");
        assert_eq!(&client.content().await.0[..], &NONE);
        client.send(
            1,
            &Method::Reject {
                delivery_tag: 1,
                requeue: true,
            },
        );
        assert_eq!(client.ask_for(1, &get(false)).await.name(), "basic.get-ok");
        let (properties, _) = client.content().await;
        let headers = Properties::read(&properties)
            .unwrap()
            .header_table()
            .unwrap();
        assert_eq!(headers.get("x-delivery-count"), Some(&Value::I64(1)));
    });
}

#[test]
fn a_stream_is_read_from_where_one_likes_and_keeps_everything() {
    on_server(async |server| {
        let mut client = server.client().await;
        let stream = Table::new().with("x-queue-type", Value::text("stream"));
        client.declare("q", stream).await;
        client.send(1, &Method::ConfirmSelect { nowait: true });
        for at in 0..4 {
            client.publish("", "q", &NONE, at.to_string().as_bytes());
        }
        for _ in 0..4 {
            let _ = client.until("basic.ack").await;
        }
        let from = |offset: Value| Table::new().with("x-stream-offset", offset);
        let first = consume("q", "t", false, from(Value::text("first")));
        let refused = client.refused(&first).await;
        assert_eq!(refused.0, 406, "{refused:?}");
        let mut other = server.client().await;
        other.send(1, &get(true));
        assert_eq!(other.refusal().await.0, 540);
        assert_eq!(client.ask_for(1, &qos(2, false)).await, Method::QosOk {});
        for (offset, wanted) in [(Value::text("first"), [0, 1]), (Value::I64(2), [2, 3])] {
            client.send(1, &consume("q", "t", false, from(offset)));
            let _ = client.until("basic.consume-ok").await;
            for at in wanted {
                let (tag, _, body) = delivered(&mut client).await;
                assert_eq!(body, at.to_string());
                assert!(tag > 0);
            }
            client.nothing().await;
            let cancel = Method::Cancel {
                consumer_tag: "t".into(),
                nowait: false,
            };
            assert_eq!(client.ask_for(1, &cancel).await.name(), "basic.cancel-ok");
        }
        client.nothing().await;
    });
}

#[test]
fn a_limit_of_the_channel_holds_for_consumers_that_were_there_before() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.declare("q", Table::new()).await;
        client.send(1, &consume("q", "t", false, Table::new()));
        let _ = client.until("basic.consume-ok").await;
        assert_eq!(client.ask_for(1, &qos(2, true)).await, Method::QosOk {});
        for _ in 0..5 {
            client.publish("", "q", &NONE, b"x");
        }
        assert_eq!(delivered(&mut client).await.0, 1);
        assert_eq!(delivered(&mut client).await.0, 2);
        client.nothing().await;
        let ack = Method::Ack {
            delivery_tag: 2,
            multiple: true,
        };
        client.send(1, &ack);
        assert_eq!(delivered(&mut client).await.0, 3);
        assert_eq!(delivered(&mut client).await.0, 4);
        client.nothing().await;
        // Without a limit again.
        assert_eq!(client.ask_for(1, &qos(0, true)).await, Method::QosOk {});
        assert_eq!(delivered(&mut client).await.0, 5);
    });
}

#[test]
fn a_stream_is_no_way_to_topics_of_others() {
    on_server(async |server| {
        let of = || Table::new().with("x-queue-type", Value::text("stream"));
        let mut client = server.client().await;
        client.declare("orders", of()).await;
        let refused = client.refused(&declare("__queues", of())).await;
        assert_eq!(refused.0, 403, "{refused:?}");
        assert!(server.broker.queues().get("/", "__queues").is_none());

        let made = server
            .broker
            .create_namespace("other", NamespaceSettings::default())
            .await;
        assert!(made.unwrap());
        let mut other = server.connect();
        other.handshake("guest", "other", 0).await;
        let _ = other.until("connection.open-ok").await;
        other.open_channel(1).await;
        let refused = other.refused(&declare("orders", of())).await;
        assert_eq!(refused.0, 406, "{refused:?}");
        assert!(server.broker.queues().get("other", "orders").is_none());
        // A queue of that name, which is no stream, has nothing to do with the topic.
        other.declare("orders", Table::new()).await;
        let delete = |queue: &str| Method::QueueDelete {
            ticket: 0,
            queue: queue.into(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        };
        let deleted = other.ask_for(1, &delete("orders")).await;
        assert_eq!(deleted.name(), "queue.delete-ok");
        assert!(server.broker.topic("orders").is_ok());

        // A topic goes with its stream, if it was made for it.
        let deleted = client.ask_for(1, &delete("orders")).await;
        assert_eq!(deleted.name(), "queue.delete-ok");
        assert!(server.broker.topic("orders").is_err());
        let new = NewTopic {
            name: "events".to_owned(),
            partitions: Some(1),
            config: std::collections::BTreeMap::new(),
            internal: false,
        };
        server.broker.create_topic(new, false).await.unwrap();
        client.declare("events", of()).await;
        let deleted = client.ask_for(1, &delete("events")).await;
        assert_eq!(deleted.name(), "queue.delete-ok");
        assert!(server.broker.topic("events").is_ok());
    });
}
