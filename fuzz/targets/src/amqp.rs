//! An AMQP client that sends anything: the session either answers or ends the connection. Frames
//! are played one after the other against a real engine; consumers get what is there for them.

use std::cell::RefCell;

use bytes::BytesMut;
use futures_util::stream::{BoxStream, StreamExt};
use futures_util::{FutureExt, stream::SelectAll};
use head_amqp::codec::{self, Method, Table, Value, hot, properties};
use head_amqp::{Amqp, AmqpSession, Config, Parts, Reply};
use net::head::{Close, Head, Lane, Peer};
use net::testing::{Asked, Script};

use crate::engine::Engine;

/// The most that a session may answer to one input: an input of 64 KiB asks for nothing larger.
const OUTPUT_MAX: usize = 64 << 20;
/// How often ten seconds pass in the end.
const SILENCE_STEPS: usize = 20;
/// How often what consumers have is looked at after a call.
const LOOKS: usize = 20;

thread_local! {
    static HEAD: RefCell<Option<(Engine, Amqp)>> = const { RefCell::new(None) };
}

/// Plays one input.
pub fn run(data: &[u8]) {
    HEAD.with_borrow_mut(|head| {
        let (engine, amqp) = head.get_or_insert_with(open);
        let _ = play(engine, amqp, data);
    });
}

/// A head over an engine of its own.
#[must_use]
pub fn open() -> (Engine, Amqp) {
    let engine = Engine::new(true);
    let amqp = Amqp::new(Parts {
        config: Config::default(),
        broker: engine.broker.clone(),
        rng: engine.rng.clone(),
        ledger: engine.ledger.clone(),
        tasks: engine.tasks.clone(),
        metrics: engine.metrics.clone(),
    });
    let amqp = amqp.unwrap();
    engine.runtime.block_on(amqp.prepare()).unwrap();
    (engine, amqp)
}

type Consumers = SelectAll<BoxStream<'static, (Lane, Reply)>>;

/// Plays the bytes of one connection; how it ended, if it did, and what was answered.
pub fn play(engine: &Engine, amqp: &Amqp, bytes: &[u8]) -> (Option<Close>, Vec<u8>) {
    let _inside = engine.runtime.enter();
    let now = engine.clock.now();
    let mut script = Script::new(amqp.open(now, &Peer::loopback()), now);
    script.push(bytes);
    let mut consumers = Consumers::new();
    let end = engine
        .runtime
        .block_on(converse(amqp, &mut script, &mut consumers));
    let mut end = end.err();
    let mut output = script.output();
    // Then it is silent until it is thought dead; what is sent to it in the meantime it takes.
    for _ in 0..SILENCE_STEPS {
        if end.is_none() {
            end = script.advance(std::time::Duration::from_secs(10)).err();
        }
        output.extend_from_slice(&script.output());
    }
    assert!(
        output.len() <= OUTPUT_MAX,
        "{} bytes answered",
        output.len()
    );
    // What is left of the connection is cleared away before the next one.
    drop((script, consumers));
    engine.runtime.block_on(async {
        for _ in 0..LOOKS {
            tokio::task::yield_now().await;
        }
    });
    (end, output)
}

async fn converse(
    amqp: &Amqp,
    script: &mut Script<AmqpSession>,
    consumers: &mut Consumers,
) -> Result<(), Close> {
    while let Some(asked) = script.next_asked()? {
        match asked {
            Asked::Call(lane, call) => {
                let mut replies = std::pin::pin!(amqp.call(call));
                while let Some(reply) = replies.next().await {
                    script.reply(lane, reply)?;
                }
                script.end_call();
            }
            Asked::Subscribe(lane, call) => {
                let mut replies = amqp.call(call).boxed();
                if let Some(first) = replies.next().await {
                    script.reply(lane, first)?;
                }
                script.end_call();
                consumers.push(replies.map(move |reply| (lane, reply)).boxed());
            }
            Asked::Cancel(_) => {}
        }
        for _ in 0..LOOKS {
            match consumers.next().now_or_never() {
                Some(Some((lane, reply))) => script.reply(lane, reply)?,
                _ => break,
            }
        }
    }
    Ok(())
}

/// A method on a channel.
#[must_use]
pub fn method(channel: u16, method: &Method) -> Vec<u8> {
    let mut out = BytesMut::new();
    codec::put_method(&mut out, channel, method);
    out.to_vec()
}

/// How a connection begins: header, authentication, tuning, opening, a channel.
#[must_use]
pub fn opening() -> Vec<Vec<u8>> {
    let start = Method::StartOk {
        client_properties: Table::new(),
        mechanism: "PLAIN".into(),
        response: b"\0guest\0guest"[..].into(),
        locale: "en_US".into(),
    };
    let tune = Method::TuneOk {
        channel_max: 100,
        frame_max: 131_072,
        heartbeat: 60,
    };
    let open = Method::Open {
        virtual_host: "/".into(),
        capabilities: "".into(),
        insist: false,
    };
    let channel = Method::ChannelOpen {
        out_of_band: "".into(),
    };
    vec![
        codec::PROTOCOL_HEADER.to_vec(),
        method(0, &start),
        method(0, &tune),
        method(0, &open),
        method(1, &channel),
    ]
}

/// A message in frames.
#[must_use]
pub fn publish(channel: u16, key: &str, properties: &[u8], body: &[u8]) -> Vec<u8> {
    let publish = Method::Publish {
        ticket: 0,
        exchange: "".into(),
        routing_key: key.into(),
        mandatory: true,
        immediate: false,
    };
    let mut out = BytesMut::new();
    codec::put_method(&mut out, channel, &publish);
    hot::put_content_header(&mut out, channel, body.len(), properties);
    if !body.is_empty() {
        codec::put_frame(&mut out, codec::FRAME_BODY, channel, |w| w.raw(body));
    }
    out.to_vec()
}

fn conversation() -> Vec<Vec<u8>> {
    let mut frames = opening();
    let declare = Method::QueueDeclare {
        ticket: 0,
        queue: "fuzz".into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Table::new().with("x-max-length", Value::I32(10)),
    };
    let consume = Method::Consume {
        ticket: 0,
        queue: "fuzz".into(),
        consumer_tag: "t".into(),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: Table::new(),
    };
    let headers = properties::Properties::default();
    let table = Table::new().with("CC", Value::Array(vec![Value::text("fuzz")]));
    let more = [
        declare,
        Method::ConfirmSelect { nowait: false },
        Method::Qos {
            prefetch_size: 0,
            prefetch_count: 5,
            global: false,
        },
        consume,
    ];
    frames.extend(more.iter().map(|one| method(1, one)));
    frames.push(publish(1, "fuzz", &properties::NONE, b"body"));
    frames.push(publish(1, "fuzz", &headers.write(Some(&table)), b""));
    let end = [
        // Whatever has come by then: whether it has is the disk's business.
        Method::Ack {
            delivery_tag: 0,
            multiple: true,
        },
        Method::Nack {
            delivery_tag: 0,
            multiple: true,
            requeue: true,
        },
        Method::Get {
            ticket: 0,
            queue: "fuzz".into(),
            no_ack: true,
        },
        Method::Cancel {
            consumer_tag: "t".into(),
            nowait: false,
        },
        Method::QueueDelete {
            ticket: 0,
            queue: "fuzz".into(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        },
    ];
    frames.extend(end.iter().map(|one| method(1, one)));
    frames
}

/// A whole conversation, and the beginning with every other method behind it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![conversation().concat()];
    for (class, id) in codec::methods::ALL {
        let mut out = BytesMut::from(&opening().concat()[..]);
        codec::put_frame(&mut out, codec::FRAME_METHOD, u16::from(*class > 10), |w| {
            w.u16(*class);
            w.u16(*id);
            w.raw(&[0; 16]);
        });
        seeds.push(out.to_vec());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_reaches_its_end() {
        let (engine, amqp) = open();
        let (end, output) = play(&engine, &amqp, &conversation().concat());
        assert_eq!(end, Some(Close::Idle), "nothing came for two heartbeats");
        let mut last = (0, 0);
        let mut rest = &output[..];
        while let Ok(codec::Look::Whole(front)) = codec::look(rest, 1 << 20) {
            if front.kind == codec::FRAME_METHOD {
                last = Method::decode(codec::payload(rest, front)).unwrap().ids();
            }
            rest = &rest[front.whole()..];
        }
        assert_eq!(last, (50, 41), "queue.delete-ok");
    }
}
