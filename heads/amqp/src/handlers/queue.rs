//! The methods of queues, and `basic.get`.

use std::sync::Arc;

use broker::access::Right;
use broker::exchange::{Binding, Destination};
use broker::queue::{DEFAULT_NAMESPACE, DeadLetter, DeleteWhen, Queue, QueueSettings, Take};
use broker::{Error, NewTopic, Topic};

use super::arguments::{QueueType, Wanted, age, made_topic, note_topic};
use super::exchange::binding_arguments;
use super::{Context, clean, done, made_up_name};
use crate::access::{self, Resource};
use crate::call::{Got, Reply};
use crate::codec::{Method, Name, Table, Value};
use crate::error::{self, Code, Failure};
use crate::reply_to;

/// The longest prefix of a made up name that a client may choose.
const PREFIX_MAX: usize = 64;

impl Context {
    pub(super) async fn queue(&self, method: Method) -> Result<Reply, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`carry_out` sends nothing else"
        )]
        match method {
            Method::QueueDeclare {
                queue,
                passive: true,
                nowait,
                ..
            } => self.passive(&queue, nowait),
            Method::QueueDeclare {
                queue,
                durable,
                exclusive,
                auto_delete,
                nowait,
                arguments,
                ..
            } => {
                let name = self.new_name(&queue, &arguments)?;
                let wanted = Wanted {
                    namespace: &self.scope.namespace,
                    name: &name,
                    durable,
                    exclusive,
                    auto_delete,
                    arguments: &arguments,
                };
                self.declare(&wanted, queue.is_empty(), nowait).await
            }
            Method::QueuePurge { queue, nowait, .. } => self.purge(&queue, nowait).await,
            Method::QueueDelete {
                queue,
                if_unused,
                if_empty,
                nowait,
                ..
            } => {
                let when = DeleteWhen {
                    unused: if_unused,
                    empty: if_empty,
                };
                self.delete(&queue, when, nowait).await
            }
            method => self.queue_bindings(method).await,
        }
    }

    async fn queue_bindings(&self, method: Method) -> Result<Reply, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "`carry_out` sends nothing else"
        )]
        match method {
            Method::QueueBind {
                queue,
                exchange,
                routing_key,
                nowait,
                arguments,
                ..
            } => {
                let binding = self.binding(&queue, &exchange, &routing_key, &arguments)?;
                let bound = self.exchanges().bind(&self.scope.namespace, binding).await;
                bound.map_err(|error| self.failure(&error))?;
                Ok(done(nowait, Method::QueueBindOk {}))
            }
            Method::QueueUnbind {
                queue,
                exchange,
                routing_key,
                arguments,
                ..
            } => {
                let binding = self.binding(&queue, &exchange, &routing_key, &arguments)?;
                self.unbind(&binding).await?;
                Ok(done(false, Method::QueueUnbindOk {}))
            }
            _ => Err(Failure::new(Code::CommandInvalid, "unimplemented method")),
        }
    }

    fn exchanges(&self) -> &broker::exchange::Exchanges {
        self.shared.broker.exchanges()
    }

    pub(crate) fn failure(&self, error: &Error) -> Failure {
        error::failure(error, &self.scope.namespace)
    }

    pub(super) fn check(
        &self,
        right: Right,
        resource: Resource,
        name: &str,
    ) -> Result<(), Failure> {
        access::check(&self.shared.broker, &self.scope, right, resource, name)
    }

    /// A queue that has to be there, and that this connection may use.
    pub(super) fn found(&self, name: &str) -> Result<Queue, Failure> {
        let namespace = &self.scope.namespace;
        let queue = self.shared.broker.queues().get(namespace, name);
        let queue = queue.ok_or_else(|| Failure::no_queue(namespace, name))?;
        self.check_owner(&queue)?;
        Ok(queue)
    }

    fn check_owner(&self, queue: &Queue) -> Result<(), Failure> {
        match queue.settings().owner {
            Some(owner) if owner != self.scope.owner => {
                Err(Failure::locked(&self.scope.namespace, queue.name()))
            }
            _ => Ok(()),
        }
    }

    fn new_name(&self, queue: &Name, arguments: &Table) -> Result<Name, Failure> {
        if !queue.is_empty() {
            return Ok(clean(queue));
        }
        let prefix = arguments.get("x-name-prefix").and_then(Value::as_str);
        match prefix {
            Some(prefix) if prefix.len() > PREFIX_MAX => Err(Failure::precondition(format!(
                "x-name-prefix has more than {PREFIX_MAX} bytes"
            ))),
            Some(prefix) => Ok(made_up_name(&self.shared, &clean(prefix))),
            None => Ok(made_up_name(&self.shared, "amq.gen-")),
        }
    }

    /// Whether it is there.
    fn passive(&self, queue: &Name, nowait: bool) -> Result<Reply, Failure> {
        let name = self.queue_name(queue)?;
        if let Some(reply) = self.reply_queue(&name, nowait) {
            return reply;
        }
        let queue = self.found(&name)?;
        let (broker, scope) = (&self.shared.broker, &self.scope);
        let rights = [Right::Read, Right::Write, Right::Configure];
        if !rights
            .iter()
            .any(|right| access::may(broker, scope, *right, &name))
        {
            self.check(Right::Configure, Resource::Queue, &name)?;
        }
        Ok(declared(&queue, nowait))
    }

    /// Direct replies have queues in name only: declaring one asks whether somebody waits.
    fn reply_queue(&self, name: &str, nowait: bool) -> Option<Result<Reply, Failure>> {
        let awaited = if name == reply_to::QUEUE {
            true
        } else if name.starts_with(reply_to::PREFIX) {
            self.shared.replies.is_awaited(name)
        } else {
            return None;
        };
        if !awaited {
            return Some(Err(Failure::no_queue(&self.scope.namespace, name)));
        }
        let answer = Method::QueueDeclareOk {
            queue: name.into(),
            messages: 0,
            consumers: 1,
        };
        Some(Ok(done(nowait, answer)))
    }

    async fn declare(
        &self,
        wanted: &Wanted<'_>,
        made_up: bool,
        nowait: bool,
    ) -> Result<Reply, Failure> {
        if let Some(reply) = self.reply_queue(wanted.name, nowait) {
            return reply;
        }
        self.check(Right::Configure, Resource::Queue, wanted.name)?;
        let queues = self.shared.broker.queues();
        if let Some(queue) = queues.get(wanted.namespace, wanted.name) {
            return self.again(wanted, &queue, nowait);
        }
        let of = wanted.check()?;
        if !made_up && wanted.name.starts_with("amq.") {
            return Err(Failure::refused(format!(
                "queue name '{}' contains reserved prefix 'amq.*'",
                wanted.name
            )));
        }
        let mut settings = wanted.settings(of);
        settings.owner = wanted.exclusive.then_some(self.scope.owner);
        self.check_dead_letter(wanted.name, &settings)?;
        let mut topic = None;
        if of == QueueType::Stream {
            topic = self.make_topic(wanted).await?;
        }
        if topic.is_some() {
            note_topic(&mut settings);
        }
        let made = queues
            .declare(wanted.namespace, wanted.name, settings)
            .await;
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                if let Some(topic) = topic {
                    let _ = self.shared.broker.delete_topic(topic).await;
                }
                return Err(self.failure(&error));
            }
        };
        if !made.created {
            return self.again(wanted, &made.queue, nowait);
        }
        Ok(declared(&made.queue, nowait))
    }

    /// It is there already: is it what is wanted?
    fn again(&self, wanted: &Wanted<'_>, queue: &Queue, nowait: bool) -> Result<Reply, Failure> {
        self.check_owner(queue)?;
        let settings = queue.settings();
        if settings.owner.is_some() != wanted.exclusive {
            return Err(Failure::locked(wanted.namespace, wanted.name));
        }
        wanted.compare(&settings)?;
        Ok(declared(queue, nowait))
    }

    /// Who makes a queue that sends dead letters must be allowed to read it and to write there.
    fn check_dead_letter(&self, name: &str, settings: &QueueSettings) -> Result<(), Failure> {
        if let Some(DeadLetter::Exchange { exchange, .. }) = &settings.dead_letter {
            self.check(Right::Read, Resource::Queue, name)?;
            self.check(Right::Write, Resource::Exchange, exchange)?;
        }
        Ok(())
    }

    /// A stream is a queue over a topic that stays: the topic is made first. `None` when it is
    /// there already. Topics know no namespaces, so that only the one has streams whose queues are
    /// topics of their names; and the engine's own topics are nobody's.
    async fn make_topic(&self, wanted: &Wanted<'_>) -> Result<Option<Arc<Topic>>, Failure> {
        let Wanted {
            name, namespace, ..
        } = wanted;
        if *namespace != DEFAULT_NAMESPACE {
            return Err(Failure::precondition(format!(
                "queue '{name}' in vhost '{namespace}': streams are in vhost '{DEFAULT_NAMESPACE}' only"
            )));
        }
        let value = |name| wanted.arguments.get(name);
        let bytes = value("x-max-length-bytes").and_then(Value::integer);
        let kept = value("x-max-age").and_then(Value::as_str).and_then(age);
        let ms = kept.map_or(-1, |kept| {
            i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
        });
        let config = [
            ("cleanup.policy".to_owned(), "delete".to_owned()),
            (
                "retention.bytes".to_owned(),
                bytes.unwrap_or(-1).to_string(),
            ),
            ("retention.ms".to_owned(), ms.to_string()),
        ];
        let new = NewTopic {
            name: wanted.name.to_owned(),
            partitions: Some(1),
            config: config.into(),
            internal: false,
        };
        let broker = &self.shared.broker;
        match broker.create_topic(new, false).await {
            Ok(topic) => Ok(Some(topic)),
            Err(Error::TopicExists(_)) if broker.topic(name).is_ok_and(|t| !t.is_internal()) => {
                Ok(None)
            }
            Err(Error::TopicExists(_)) => Err(Failure::refused(format!(
                "queue name '{name}' in vhost '{namespace}' is that of an internal topic"
            ))),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// A binding of a queue, checked as far as it can be without the engine.
    fn binding(
        &self,
        queue: &Name,
        exchange: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<Binding, Failure> {
        let name = self.queue_name(queue)?;
        let (exchange, mut key) = (clean(exchange), clean(key));
        if queue.is_empty() && key.is_empty() {
            key = name.clone();
        }
        if name.starts_with(reply_to::QUEUE) {
            return Err(Failure::refused("cannot bind a queue of direct replies"));
        }
        self.check(Right::Write, Resource::Queue, &name)?;
        self.check_source(&exchange, &key)?;
        if let Some(queue) = self
            .shared
            .broker
            .queues()
            .get(&self.scope.namespace, &name)
        {
            self.check_owner(&queue)?;
        }
        Ok(Binding {
            source: exchange.into(),
            destination: Destination::Queue(name.into()),
            key: key.into(),
            arguments: binding_arguments(arguments)?,
        })
    }

    async fn purge(&self, queue: &Name, nowait: bool) -> Result<Reply, Failure> {
        let name = self.queue_name(queue)?;
        self.check(Right::Read, Resource::Queue, &name)?;
        let queue = self.found(&name)?;
        if QueueType::of(&queue.settings()) == QueueType::Stream {
            return Err(not_on_streams("purge", &name, &self.scope.namespace));
        }
        let purged = queue.purge(false).await;
        let purged = purged.map_err(|error| self.failure(&error))?;
        let messages = u32::try_from(purged).unwrap_or(u32::MAX);
        Ok(done(nowait, Method::QueuePurgeOk { messages }))
    }

    async fn delete(&self, queue: &Name, when: DeleteWhen, nowait: bool) -> Result<Reply, Failure> {
        let name = self.queue_name(queue)?;
        self.check(Right::Configure, Resource::Queue, &name)?;
        let namespace = &self.scope.namespace;
        let queues = self.shared.broker.queues();
        let Some(queue) = queues.get(namespace, &name) else {
            return Ok(done(nowait, Method::QueueDeleteOk { messages: 0 }));
        };
        self.check_owner(&queue)?;
        let refused = |what: &str| {
            Failure::precondition(format!("queue '{name}' in vhost '{namespace}' {what}"))
        };
        let deleted = queues.delete(&queue, when).await;
        let deleted = match deleted {
            Ok(deleted) => deleted,
            // Somebody was faster.
            Err(Error::UnknownQueue(_)) => 0,
            Err(Error::InUse(_)) => return Err(refused("in use")),
            Err(Error::NotEmpty(_)) => return Err(refused("not empty")),
            Err(error) => return Err(self.failure(&error)),
        };
        // A topic that was there before the stream stays.
        if made_topic(&queue.settings()) {
            let topic = queue.topic().clone();
            match self.shared.broker.delete_topic(topic).await {
                Ok(()) | Err(Error::UnknownTopic(_)) => {}
                Err(error) => return Err(self.failure(&error)),
            }
        }
        let messages = u32::try_from(deleted).unwrap_or(u32::MAX);
        Ok(done(nowait, Method::QueueDeleteOk { messages }))
    }

    /// `basic.get`
    pub(super) async fn get(&self, queue: &Name, no_ack: bool) -> Result<Reply, Failure> {
        let name = self.queue_name(queue)?;
        self.check(Right::Read, Resource::Queue, &name)?;
        let queue = self.found(&name)?;
        let settings = queue.settings();
        let of = QueueType::of(&settings);
        if of == QueueType::Stream {
            return Err(not_on_streams("basic.get", &name, &self.scope.namespace));
        }
        if settings.single_active {
            return Err(Failure::new(
                Code::ResourceLocked,
                format!(
                    "queue '{name}' in vhost '{}' has a single active consumer: basic.get is not allowed",
                    self.scope.namespace
                ),
            ));
        }
        let take = Take {
            auto_settle: no_ack,
            ..Take::default()
        };
        let taken = queue.take(take).await;
        let taken = taken.map_err(|error| self.failure(&error))?;
        Ok(Reply::Got(Got {
            no_ack,
            counts: of == QueueType::Quorum,
            delivery: taken.into_iter().next().map(Box::new),
            queue,
        }))
    }
}

/// `queue.declare-ok`
fn declared(queue: &Queue, nowait: bool) -> Reply {
    let name: Name = (**queue.name()).into();
    if nowait {
        return Reply::Declared(name, None);
    }
    let stats = queue.stats();
    let answer = Method::QueueDeclareOk {
        queue: name.clone(),
        messages: u32::try_from(stats.ready).unwrap_or(u32::MAX),
        consumers: u32::try_from(stats.consumers).unwrap_or(u32::MAX),
    };
    Reply::Declared(name, Some(answer))
}

pub(super) fn not_on_streams(what: &str, name: &str, namespace: &str) -> Failure {
    Failure::not_implemented(format!(
        "{what} not supported by stream queues queue '{name}' in vhost '{namespace}'"
    ))
}
