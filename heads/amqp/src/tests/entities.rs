//! Declaring, binding, deleting: what is the same, what is not, and the words for it.

use super::harness::{Client, declare, eventually, on_server};
use crate::codec::properties::NONE;
use crate::codec::{Method, Table, Value};

fn exchange(name: &str, kind: &str) -> Method {
    Method::ExchangeDeclare {
        ticket: 0,
        exchange: name.into(),
        kind: kind.into(),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: Table::new(),
    }
}

fn bind(queue: &str, exchange: &str, key: &str, arguments: Table) -> Method {
    Method::QueueBind {
        ticket: 0,
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        nowait: false,
        arguments,
    }
}

fn delete(queue: &str, if_unused: bool, if_empty: bool) -> Method {
    Method::QueueDelete {
        ticket: 0,
        queue: queue.into(),
        if_unused,
        if_empty,
        nowait: false,
    }
}

async fn ready(client: &mut Client, queue: &str) -> u32 {
    let mut passive = declare(queue, Table::new());
    if let Method::QueueDeclare { passive, .. } = &mut passive {
        *passive = true;
    }
    let Method::QueueDeclareOk { messages, .. } = client.ask_for(1, &passive).await else {
        panic!("no answer to the declaration")
    };
    messages
}

#[test]
fn a_queue_is_declared_again_only_as_it_is() {
    on_server(async |server| {
        let mut client = server.client().await;
        let ten = |value| Table::new().with("x-max-length", value);
        client.declare("q", ten(Value::I32(10))).await;
        // Integers of any width are one number; a type that is not said is classic; what nobody
        // knows is not compared.
        let same = ten(Value::I8(10))
            .with("x-queue-type", Value::text("classic"))
            .with("x-unknown", Value::Bool(true));
        let again = client.declare("q", same).await;
        assert_eq!(again.name(), "queue.declare-ok");
        let words =
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': ";
        let refused = client.refused(&declare("q", ten(Value::I32(11)))).await;
        assert_eq!(
            refused.1,
            format!(
                "{words}received the value '11' of type 'signedint' but current is the value '10' of type 'signedint'"
            )
        );
        let refused = client.refused(&declare("q", Table::new())).await;
        assert_eq!(
            refused.1,
            format!("{words}received none but current is the value '10' of type 'signedint'")
        );
        let mut transient = declare("q", ten(Value::I32(10)));
        if let Method::QueueDeclare { durable, .. } = &mut transient {
            *durable = false;
        }
        assert_eq!(
            client.refused(&transient).await.1,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"
        );
    });
}

#[test]
fn arguments_are_checked() {
    on_server(async |server| {
        let mut client = server.client().await;
        for (name, value, words) in [
            ("x-message-ttl", Value::I32(-1), "{value_negative,-1}"),
            ("x-expires", Value::I32(0), "{value_zero,0}"),
            (
                "x-max-length",
                Value::text("ten"),
                "{unacceptable_type,longstr}",
            ),
            ("x-max-priority", Value::I32(256), "{value_too_big,256}"),
            (
                "x-max-age",
                Value::text("1D"),
                "of queue type rabbit_classic_queue",
            ),
            (
                "x-dead-letter-routing-key",
                Value::text("k"),
                "routing_key_but_no_dlx_defined",
            ),
            ("x-queue-type", Value::text("heap"), "unknown queue type"),
        ] {
            let arguments = Table::new().with(name, value);
            let (code, text) = client.refused(&declare("bad", arguments)).await;
            assert_eq!(code, 406);
            assert!(text.contains(&format!("invalid arg '{name}'")), "{text}");
            assert!(text.ends_with(words), "{text}");
        }
    });
}

#[test]
fn names_are_made_up_cleaned_and_reserved() {
    on_server(async |server| {
        let mut client = server.client().await;
        let made = client.declare("", Table::new()).await;
        let Method::QueueDeclareOk { queue, .. } = made else {
            panic!("{made:?}")
        };
        assert!(queue.starts_with("amq.gen-"), "{queue}");
        // The empty name is the one declared last.
        let purge = Method::QueuePurge {
            ticket: 0,
            queue: "".into(),
            nowait: false,
        };
        assert_eq!(
            client.ask_for(1, &purge).await,
            Method::QueuePurgeOk { messages: 0 }
        );
        let clean = client.declare("a\r\nb", Table::new()).await;
        let Method::QueueDeclareOk { queue, .. } = clean else {
            panic!("{clean:?}")
        };
        assert_eq!(&*queue, "ab");
        let refused = client.refused(&declare("amq.mine", Table::new())).await;
        assert_eq!(
            refused,
            (
                403,
                "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'".into()
            )
        );
        let refused = client.refused(&purge).await;
        assert_eq!(
            refused,
            (404, "NOT_FOUND - no previously declared queue".into())
        );
    });
}

#[test]
fn an_exclusive_queue_is_its_connections_alone_and_goes_with_it() {
    on_server(async |server| {
        let mut client = server.client().await;
        let mut mine = declare("mine", Table::new());
        if let Method::QueueDeclare { exclusive, .. } = &mut mine {
            *exclusive = true;
        }
        assert_eq!(client.ask_for(1, &mine).await.name(), "queue.declare-ok");
        let mut other = server.client().await;
        let (code, text) = other.refused(&mine).await;
        assert_eq!(code, 405);
        assert!(text.starts_with("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'."), "{text}");
        assert_eq!(other.refused(&delete("mine", false, false)).await.0, 405);
        let close = Method::Close {
            code: 200,
            text: "".into(),
            class: 0,
            method: 0,
        };
        assert_eq!(client.ask_for(0, &close).await, Method::CloseOk {});
        assert!(server.broker.queues().get("/", "mine").is_none());
        // Who just disappears leaves nothing behind either.
        assert_eq!(other.ask_for(1, &mine).await.name(), "queue.declare-ok");
        drop(other);
        eventually(|| server.broker.queues().get("/", "mine").is_none()).await;
    });
}

#[test]
fn deletion_keeps_its_conditions_and_minds_nothing_that_is_gone() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.declare("q", Table::new()).await;
        client.publish("", "q", &NONE, b"x");
        let refused = client.refused(&delete("q", false, true)).await;
        assert_eq!(
            refused.1,
            "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
        );
        client.send(1, &super::harness::consume("q", "t", false, Table::new()));
        let _ = client.until("basic.deliver").await;
        let _ = client.content().await;
        let refused = client.refused(&delete("q", true, false)).await;
        assert_eq!(
            refused.1,
            "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"
        );
        assert_eq!(
            client.ask_for(1, &delete("q", false, false)).await,
            Method::QueueDeleteOk { messages: 1 }
        );
        assert_eq!(
            client.ask_for(1, &delete("q", false, false)).await,
            Method::QueueDeleteOk { messages: 0 }
        );
    });
}

#[test]
fn exchanges_are_what_they_were_declared_as() {
    on_server(async |server| {
        let mut client = server.client().await;
        for _ in 0..2 {
            let declared = client.ask_for(1, &exchange("x", "topic")).await;
            assert_eq!(declared, Method::ExchangeDeclareOk {});
        }
        for (method, code, words) in [
            (
                exchange("x", "direct"),
                406,
                "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'direct' but current is 'topic'",
            ),
            (exchange("y", "foo"), 406, "unknown exchange type 'foo'"),
            (
                exchange("amq.y", "direct"),
                403,
                "exchange name 'amq.y' contains reserved prefix 'amq.*'",
            ),
            (
                exchange("", "direct"),
                403,
                "operation not permitted on the default exchange",
            ),
            (
                bind("nope", "x", "", Table::new()),
                404,
                "no queue 'nope' in vhost '/'",
            ),
        ] {
            let (got, text) = client.refused(&method).await;
            assert_eq!(got, code, "{text}");
            assert!(text.ends_with(words), "{text}");
        }
        let gone = Method::ExchangeDelete {
            ticket: 0,
            exchange: "nope".into(),
            if_unused: true,
            nowait: false,
        };
        assert_eq!(client.ask_for(1, &gone).await, Method::ExchangeDeleteOk {});
    });
}

#[test]
fn messages_go_where_bindings_lead() {
    on_server(async |server| {
        let mut client = server.client().await;
        client.declare("q", Table::new()).await;
        let bound = client
            .ask_for(1, &bind("q", "amq.topic", "a.*.c", Table::new()))
            .await;
        assert_eq!(bound, Method::QueueBindOk {});
        client.publish("amq.topic", "a.b.c", &NONE, b"yes");
        client.publish("amq.topic", "a.c", &NONE, b"no");
        assert_eq!(ready(&mut client, "q").await, 1);
        let unbind = Method::QueueUnbind {
            ticket: 0,
            queue: "q".into(),
            exchange: "amq.topic".into(),
            routing_key: "a.*.c".into(),
            arguments: Table::new(),
        };
        for _ in 0..2 {
            assert_eq!(client.ask_for(1, &unbind).await, Method::QueueUnbindOk {});
        }
        client.publish("amq.topic", "a.b.c", &NONE, b"no more");
        assert_eq!(ready(&mut client, "q").await, 1);
        let any = Table::new().with("x-match", Value::text("some"));
        let refused = client.refused(&bind("q", "amq.headers", "", any)).await;
        assert_eq!(refused.0, 406);
    });
}
