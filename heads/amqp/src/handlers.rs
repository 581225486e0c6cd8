//! What is served: a table of methods, and a file for each class of them.
//!
//! Publishes and settlements are carried out before [`start`] returns; everything else when it is
//! polled, while the session holds its input back.

pub(crate) mod arguments;
mod authenticate;
pub(crate) mod consume;
pub(crate) mod exchange;
mod publish;
mod queue;
mod settle;

use std::sync::Arc;

pub use arguments::{ARGUMENTS, Argument};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use futures_util::stream;

use crate::call::{Ask, Call, Hold, Reply};
use crate::codec::{Method, Name};
use crate::error::{Code, Failure};
use crate::{Answers, Shared};

/// A method that clients send: its name, and what is to be said about it in documents.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The specification's name.
    pub name: &'static str,
    /// What is special about it here.
    pub note: &'static str,
}

const fn served(name: &'static str, note: &'static str) -> Served {
    Served { name, note }
}

/// Every method that clients send, in the order of the specification.
pub const METHODS: &[Served] = &[
    served(
        "connection.start-ok",
        "PLAIN, AMQPLAIN; EXTERNAL with a verified TLS certificate",
    ),
    served("connection.tune-ok", "frames from 4096 bytes on"),
    served("connection.open", ""),
    served(
        "connection.close",
        "exclusive queues are gone before the answer",
    ),
    served("connection.update-secret", ""),
    served("channel.open", ""),
    served(
        "channel.flow",
        "`active=false` is refused (540), as by RabbitMQ",
    ),
    served("channel.close", ""),
    served("access.request", "answered, without meaning"),
    served(
        "exchange.declare",
        "direct, fanout, topic, headers, x-consistent-hash, x-modulus-hash, x-random, x-delayed-message; alternate-exchange",
    ),
    served("exchange.delete", ""),
    served("exchange.bind", ""),
    served("exchange.unbind", ""),
    served(
        "queue.declare",
        "classic, quorum, stream; their arguments are in the table below",
    ),
    served("queue.bind", ""),
    served("queue.purge", ""),
    served("queue.delete", "if-unused and if-empty for every type"),
    served("queue.unbind", ""),
    served(
        "basic.qos",
        "per consumer, or `global` for the channel; no prefetch-size, as RabbitMQ",
    ),
    served(
        "basic.consume",
        "x-priority, x-stream-offset; `amq.rabbitmq.reply-to`",
    ),
    served("basic.cancel", ""),
    served(
        "basic.publish",
        "mandatory, CC, BCC, expiration, priority, user-id; no `immediate`, as RabbitMQ",
    ),
    served("basic.get", "not on streams"),
    served("basic.ack", ""),
    served("basic.reject", ""),
    served("basic.nack", ""),
    served(
        "basic.recover",
        "`requeue=false` is refused (540), as by RabbitMQ",
    ),
    served("basic.recover-async", "the same"),
    served("confirm.select", "confirmed is on disk"),
    served("tx.select", ""),
    served("tx.commit", "atomic for each queue, not for several"),
    served("tx.rollback", ""),
];

/// Whether the head carries a method out when it is asked, and answers by a method.
pub(crate) fn is_asked(method: &Method) -> bool {
    matches!(
        method,
        Method::ExchangeDeclare { .. }
            | Method::ExchangeDelete { .. }
            | Method::ExchangeBind { .. }
            | Method::ExchangeUnbind { .. }
            | Method::QueueDeclare { .. }
            | Method::QueueBind { .. }
            | Method::QueuePurge { .. }
            | Method::QueueDelete { .. }
            | Method::QueueUnbind { .. }
            | Method::Get { .. }
    )
}

/// A name that the server makes up.
pub(crate) fn made_up_name(shared: &Shared, prefix: &str) -> Name {
    let mut random = [0; 16];
    shared.rng.fill_secret(&mut random);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random)).into()
}

/// Carries out a call.
pub(crate) fn start(shared: &Arc<Shared>, call: Call) -> Answers {
    let shared = shared.clone();
    match call {
        Call::Publish(publishes) => publish::start(&shared, publishes),
        Call::Settle(settles) => {
            settle::carry_out(&settles);
            Answers::None
        }
        Call::Consume(consume) => consume::start(&shared, *consume),
        Call::Ask(ask) => once(async move { asked(&shared, *ask).await }),
        Call::Authenticate(proof, hold) => once(async move {
            let principal = authenticate::principal(&shared, proof).await;
            drop(hold);
            Reply::Authenticated(principal)
        }),
        Call::Commit(commit) => {
            let replies = async move {
                let (replies, hold) = settle::commit(&shared, commit).await;
                all(replies.into_iter(), Some(hold))
            };
            Answers::Stream(stream::once(replies).flatten().boxed())
        }
        Call::Close(owner, hold) => once(async move {
            shared.broker.queues().drop_owner(owner).await;
            drop(hold);
            Reply::Closed
        }),
    }
}

fn once(reply: impl Future<Output = Reply> + Send + 'static) -> Answers {
    Answers::Stream(stream::once(reply).boxed())
}

/// These answers; what holds the input back goes when the last of them is taken.
fn all(
    replies: impl Iterator<Item = Reply>,
    hold: Option<Hold>,
) -> impl futures_core::Stream<Item = Reply> {
    let end = stream::once(async move {
        drop(hold);
        None
    });
    stream::iter(replies).chain(end.filter_map(std::future::ready))
}

async fn asked(shared: &Arc<Shared>, ask: Ask) -> Reply {
    let ids = ask.method.ids();
    // It is dropped when the answer is there.
    let _hold = ask.hold;
    let context = Context {
        shared: shared.clone(),
        scope: ask.scope,
        last_queue: ask.last_queue,
    };
    let done = context.carry_out(ask.method).await;
    done.unwrap_or_else(|failure| {
        let failure = failure.of(ids);
        // Whatever fails on the connection itself ends it.
        let failure = if ask.channel == 0 {
            failure.hard()
        } else {
            failure
        };
        Reply::Failed(failure)
    })
}

/// What a method needs to know of its connection and channel.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scope: Arc<crate::call::Scope>,
    pub(crate) last_queue: Option<Name>,
}

impl Context {
    /// The queue that a method means: the empty name is the one declared last.
    pub(crate) fn queue_name(&self, name: &Name) -> Result<Name, Failure> {
        if !name.is_empty() {
            return Ok(clean(name));
        }
        let none = || Failure::new(Code::NotFound, "no previously declared queue");
        self.last_queue.clone().ok_or_else(none)
    }

    async fn carry_out(&self, method: Method) -> Result<Reply, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`is_asked` lets nothing else through"
        )]
        match method {
            Method::UpdateSecret { secret, .. } => self.update_secret(&secret).await,
            method @ (Method::ExchangeDeclare { .. }
            | Method::ExchangeDelete { .. }
            | Method::ExchangeBind { .. }
            | Method::ExchangeUnbind { .. }) => self.exchange(method).await,
            Method::Get { queue, no_ack, .. } => self.get(&queue, no_ack).await,
            method => self.queue(method).await,
        }
    }
}

/// An answer, unless none was asked for.
pub(crate) fn done(nowait: bool, method: Method) -> Reply {
    Reply::Done((!nowait).then_some(method))
}

/// A name without line ends, as they are stripped from those of queues and exchanges.
pub(crate) fn clean(name: &str) -> Name {
    if name.contains(['\r', '\n']) {
        name.replace(['\r', '\n'], "").into()
    } else {
        name.into()
    }
}
