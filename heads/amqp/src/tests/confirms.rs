//! Publishing: confirms, returns, transactions, what is refused.

use base::ByteSize;
use bytes::BytesMut;

use super::harness::{Client, Got, consume, on_server, publish, with};
use crate::Config;
use crate::codec::properties::{NONE, Properties};
use crate::codec::{Method, Table, Value, put_method};

async fn confirming(server: &super::harness::Server) -> Client {
    let mut client = server.client().await;
    let select = Method::ConfirmSelect { nowait: false };
    assert_eq!(client.ask_for(1, &select).await, Method::ConfirmSelectOk {});
    client
}

#[test]
fn a_run_of_publishes_gets_one_confirm() {
    on_server(async |server| {
        let mut client = confirming(server).await;
        client.declare("q", Table::new()).await;
        let run: Vec<u8> = (0..100)
            .flat_map(|_| publish("", "q", false, &NONE, b"x"))
            .collect();
        client.send_bytes(&run);
        let ack = |tag, multiple| Method::Ack {
            delivery_tag: tag,
            multiple,
        };
        assert_eq!(client.until("basic.ack").await, ack(100, true));
        client.publish("", "q", &NONE, b"alone");
        assert_eq!(client.until("basic.ack").await, ack(101, false));
        // Nobody wants it: it is as safe as it will be.
        client.publish("", "nowhere", &NONE, b"lost");
        assert_eq!(client.until("basic.ack").await, ack(102, false));
    });
}

#[test]
fn a_channel_that_is_opened_again_hears_nothing_of_the_one_before() {
    on_server(async |server| {
        let mut client = confirming(server).await;
        client.declare("q", Table::new()).await;
        let mut bytes: Vec<u8> = (0..50)
            .flat_map(|_| publish("", "q", true, &NONE, b"x"))
            .collect();
        // It comes back, but to nobody.
        bytes.extend(publish("", "nowhere", true, &NONE, b"x"));
        let close = Method::ChannelClose {
            code: 200,
            text: "".into(),
            class: 0,
            method: 0,
        };
        let open = Method::ChannelOpen {
            out_of_band: "".into(),
        };
        let select = Method::ConfirmSelect { nowait: false };
        let mut methods = BytesMut::new();
        for method in [close, open, select] {
            put_method(&mut methods, 1, &method);
        }
        bytes.extend_from_slice(&methods);
        client.send_bytes(&bytes);
        for name in ["channel.close-ok", "channel.open-ok", "confirm.select-ok"] {
            let Some(Got::Method(1, method)) = client.next().await else {
                panic!("no {name}");
            };
            assert_eq!(method.name(), name);
        }
        client.nothing().await;
        client.publish("", "q", &NONE, b"y");
        let one = Method::Ack {
            delivery_tag: 1,
            multiple: false,
        };
        assert_eq!(client.next().await, Some(Got::Method(1, one)));
    });
}

#[test]
fn what_comes_back_comes_back_before_its_confirm() {
    on_server(async |server| {
        let mut client = confirming(server).await;
        client.send_bytes(&publish("", "nowhere", true, &NONE, b"mine"));
        let Method::Return {
            code,
            text,
            routing_key,
            ..
        } = client.until("basic.return").await
        else {
            panic!()
        };
        assert_eq!((code, &*text, &*routing_key), (312, "NO_ROUTE", "nowhere"));
        assert_eq!(&client.content().await.1[..], b"mine");
        assert_eq!(client.until("basic.ack").await.ids(), (60, 80));
    });
}

#[test]
fn a_full_queue_that_rejects_is_a_nack_between_acks() {
    on_server(async |server| {
        let mut client = confirming(server).await;
        let arguments = Table::new()
            .with("x-max-length", Value::I32(2))
            .with("x-overflow", Value::text("reject-publish"));
        client.declare("small", arguments).await;
        let run: Vec<u8> = (0..3)
            .flat_map(|_| publish("", "small", false, &NONE, b"x"))
            .collect();
        client.send_bytes(&run);
        assert_eq!(
            client.until("basic.ack").await,
            Method::Ack {
                delivery_tag: 2,
                multiple: true
            }
        );
        assert_eq!(
            client.until("basic.nack").await,
            Method::Nack {
                delivery_tag: 3,
                multiple: false,
                requeue: false
            }
        );
    });
}

#[test]
fn a_message_that_makes_no_sense_closes_the_channel() {
    on_server(async |server| {
        let block = |properties: Properties<'_>, headers: Option<&Table>| {
            properties.write(headers).to_vec()
        };
        let expires = block(
            Properties {
                expiration: Some(b"soon"),
                ..Properties::default()
            },
            None,
        );
        let user = block(
            Properties {
                user_id: Some(b"other"),
                ..Properties::default()
            },
            None,
        );
        let copies = Table::new().with("CC", Value::text("q"));
        let copies = block(Properties::default(), Some(&copies));
        let reply = block(
            Properties {
                reply_to: Some(b"amq.rabbitmq.reply-to"),
                ..Properties::default()
            },
            None,
        );
        for (exchange, properties, words) in [
            (
                "",
                &expires,
                "PRECONDITION_FAILED - invalid expiration 'soon'",
            ),
            (
                "",
                &user,
                "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'",
            ),
            (
                "",
                &copies,
                "PRECONDITION_FAILED - unacceptable_type_in_header 'CC'",
            ),
            (
                "",
                &reply,
                "PRECONDITION_FAILED - fast reply consumer does not exist",
            ),
            (
                "nope",
                &NONE.to_vec(),
                "NOT_FOUND - no exchange 'nope' in vhost '/'",
            ),
            (
                "amq.rabbitmq.trace",
                &NONE.to_vec(),
                "ACCESS_REFUSED - cannot publish to internal exchange",
            ),
        ] {
            let mut client = server.client().await;
            client.publish(exchange, "q", properties, b"x");
            // What stands behind it is not looked at.
            client.publish("", "q", &NONE, b"y");
            let (_, text) = client.refusal().await;
            assert!(text.starts_with(words), "{text}");
        }
    });
}

#[test]
fn a_transaction_holds_back_and_lets_go() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.declare("q", Table::new()).await;
        assert_eq!(
            client.ask_for(1, &Method::TxSelect {}).await,
            Method::TxSelectOk {}
        );
        client.publish("", "q", &NONE, b"rolled back");
        assert_eq!(
            client.ask_for(1, &Method::TxRollback {}).await,
            Method::TxRollbackOk {}
        );
        client.publish("", "q", &NONE, b"kept");
        let queue = server.broker.queues().get("/", "q").unwrap();
        assert_eq!(queue.stats().ready, 0);
        assert_eq!(
            client.ask_for(1, &Method::TxCommit {}).await,
            Method::TxCommitOk {}
        );
        assert_eq!(queue.stats().ready, 1);
        let get = Method::Get {
            ticket: 0,
            queue: "q".into(),
            no_ack: false,
        };
        assert_eq!(client.ask_for(1, &get).await.name(), "basic.get-ok");
        assert_eq!(&client.content().await.1[..], b"kept");
        // An acknowledgement that was rolled back can be given again.
        let ack = Method::Ack {
            delivery_tag: 1,
            multiple: false,
        };
        client.send(1, &ack);
        assert_eq!(
            client.ask_for(1, &Method::TxRollback {}).await,
            Method::TxRollbackOk {}
        );
        client.send(1, &ack);
        assert_eq!(
            client.ask_for(1, &Method::TxCommit {}).await,
            Method::TxCommitOk {}
        );
        assert_eq!(queue.stats().leased, 0);
        let refused = client
            .refused(&Method::ConfirmSelect { nowait: false })
            .await;
        assert_eq!(
            refused.1,
            "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
        );
        let refused = client.refused(&Method::TxCommit {}).await;
        assert_eq!(
            refused.1,
            "PRECONDITION_FAILED - channel is not transactional"
        );
    });
}

#[test]
fn a_transaction_that_does_not_end_settles_nothing() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.declare("q", Table::new()).await;
        client.publish("", "q", &NONE, b"x");
        let _ = client.ask_for(1, &Method::TxSelect {}).await;
        let get = Method::Get {
            ticket: 0,
            queue: "q".into(),
            no_ack: false,
        };
        assert_eq!(client.ask_for(1, &get).await.name(), "basic.get-ok");
        let _ = client.content().await;
        let ack = Method::Ack {
            delivery_tag: 1,
            multiple: false,
        };
        client.send(1, &ack);
        // To an exchange that there is not: the transaction fails, with all that is in it.
        client.publish("", "q", &NONE, b"before it");
        client.publish("nope", "q", &NONE, b"y");
        assert_eq!(client.refused(&Method::TxCommit {}).await.0, 404);
        let queue = server.broker.queues().get("/", "q").unwrap();
        assert_eq!((queue.stats().leased, queue.stats().ready), (0, 1));
        let _ = client.ask_for(1, &Method::TxSelect {}).await;
        assert_eq!(client.ask_for(1, &get).await.name(), "basic.get-ok");
        let _ = client.content().await;
        client.send(1, &ack);
        drop(client);
        assert_eq!((queue.stats().leased, queue.stats().ready), (0, 1));
    });
}

#[test]
fn a_direct_reply_goes_to_who_asked() {
    on_server(async |server| {
        let mut asking = server.client().await;
        let refused = asking
            .refused(&consume("amq.rabbitmq.reply-to", "r", false, Table::new()))
            .await;
        assert_eq!(
            refused.1,
            "PRECONDITION_FAILED - reply consumer cannot acknowledge"
        );
        asking.declare("work", Table::new()).await;
        let begun = asking
            .ask_for(
                1,
                &consume("amq.rabbitmq.reply-to", "r", true, Table::new()),
            )
            .await;
        assert_eq!(begun.name(), "basic.consume-ok");
        let block = Properties {
            reply_to: Some(b"amq.rabbitmq.reply-to"),
            correlation_id: Some(b"7"),
            ..Properties::default()
        };
        asking.publish("", "work", &block.write(None), b"question");

        let mut answering = server.client().await;
        let get = Method::Get {
            ticket: 0,
            queue: "work".into(),
            no_ack: true,
        };
        assert_eq!(answering.ask_for(1, &get).await.name(), "basic.get-ok");
        let (properties, body) = answering.content().await;
        assert_eq!(&body[..], b"question");
        let properties = Properties::read(&properties).unwrap();
        let token = std::str::from_utf8(properties.reply_to.unwrap()).unwrap();
        assert!(token.len() > "amq.rabbitmq.reply-to.".len() + 20, "{token}");
        answering.publish("", token, &NONE, b"answer");
        assert_eq!(asking.until("basic.deliver").await.ids(), (60, 60));
        assert_eq!(&asking.content().await.1[..], b"answer");

        let cancel = Method::Cancel {
            consumer_tag: "r".into(),
            nowait: false,
        };
        assert_eq!(asking.ask_for(1, &cancel).await.name(), "basic.cancel-ok");
        answering.send_bytes(&publish("", token, true, &NONE, b"too late"));
        assert_eq!(answering.until("basic.return").await.ids(), (60, 50));
        assert!(matches!(answering.next().await, Some(Got::Content(..))));
    });
}

#[test]
fn direct_replies_that_nobody_reads_are_bounded_in_bytes() {
    let config = Config {
        direct_replies_bytes_max: ByteSize(10_000),
        ..Config::default()
    };
    with(config, async |server| {
        let mut asking = server.client().await;
        let wait = consume("amq.rabbitmq.reply-to", "r", true, Table::new());
        assert_eq!(asking.ask_for(1, &wait).await.name(), "basic.consume-ok");
        let block = Properties {
            reply_to: Some(b"amq.rabbitmq.reply-to"),
            ..Properties::default()
        };
        asking.declare("work", Table::new()).await;
        asking.publish("", "work", &block.write(None), b"question");
        let mut answering = server.client().await;
        let get = Method::Get {
            ticket: 0,
            queue: "work".into(),
            no_ack: true,
        };
        assert_eq!(answering.ask_for(1, &get).await.name(), "basic.get-ok");
        let (properties, _) = answering.content().await;
        let token = Properties::read(&properties).unwrap().reply_to.unwrap();
        let token = std::str::from_utf8(token).unwrap();
        for _ in 0..3 {
            answering.send_bytes(&publish("", token, true, &NONE, &[b'x'; 4000]));
        }
        assert_eq!(answering.until("basic.return").await.ids(), (60, 50));
        let _ = answering.content().await;
        answering.nothing().await;
        for _ in 0..2 {
            let _ = asking.until("basic.deliver").await;
            let _ = asking.content().await;
        }
        asking.nothing().await;
        // One that is larger than all waits alone.
        answering.send_bytes(&publish("", token, true, &NONE, &[b'x'; 20_000]));
        let _ = asking.until("basic.deliver").await;
        assert_eq!(asking.content().await.1.len(), 20_000);
    });
}
