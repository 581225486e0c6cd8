//! `basic.publish`: a run of messages is checked, routed and put into its queues before `start`
//! returns; what follows is only what the publisher is told.
//!
//! Each queue gets its share of the run as one append, in the order of the run. When the engine
//! has no room, the session's input is held back until there is: the order of publishes is kept.

use std::sync::Arc;

use broker::access::Right;
use broker::exchange::{Exchange, ExchangeKind, Match};
use broker::message::Message;
use broker::queue::{Publication, Queue, Verdict};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::access::{self, Resource};
use crate::call::{Hold, Holds, Publish, Publishes, Reply, Scope};
use crate::codec::{CLASS_BASIC, Name};
use crate::convert::{self, Looked};
use crate::error::{self, Failure};
use crate::reply_to;
use crate::{Answers, Shared};

/// Class and id of `basic.publish`.
const IDS: (u16, u16) = (CLASS_BASIC, 40);

/// A queue's share of a run.
struct Share {
    queue: Queue,
    messages: Vec<Message>,
    /// Which messages of the run they are.
    places: Vec<usize>,
}

/// What is known of the exchange that was published to last: most of a run goes to the same.
struct Known {
    name: Arc<str>,
    exchange: Option<Arc<Exchange>>,
    /// Where this key leads, when nothing but the key decides.
    route: Option<(Bytes, Vec<usize>)>,
}

/// A run, on its way into the queues.
struct Run<'a> {
    shared: &'a Shared,
    scope: &'a Scope,
    reply_token: Option<Name>,
    now_ms: i64,
    known: Option<Known>,
    shares: Vec<Share>,
    returned: Vec<usize>,
    /// Which messages are direct replies.
    answers: Vec<usize>,
}

/// What became of a share.
enum Appended {
    Now(Publication, Vec<usize>),
    /// There was no room; the messages are made again when there is.
    Later(Queue, Vec<usize>),
    Refused(Vec<usize>),
}

impl Run<'_> {
    /// Checks and routes one message.
    fn add(&mut self, at: usize, publish: &mut Publish) -> Result<(), Failure> {
        self.find(&publish.exchange)?;
        self.reply_to(publish)?;
        let looked = convert::look(publish)?;
        let exchange = self.known.as_ref().and_then(|known| known.exchange.clone());
        self.check(publish, &looked, exchange.as_deref())?;
        if publish.exchange.is_empty()
            && publish.routing_key.starts_with(reply_to::PREFIX.as_bytes())
        {
            self.answers.push(at);
            return Ok(());
        }
        let delayed = exchange
            .as_ref()
            .is_some_and(|e| matches!(e.settings().kind, ExchangeKind::Delayed(_)));
        let places = self.route(publish, &looked, exchange.as_deref())?;
        let Some((last, others)) = places.split_last() else {
            // A message that is held back is not known to be unroutable yet.
            if publish.mandatory && !delayed {
                self.returned.push(at);
            }
            return Ok(());
        };
        let message = convert::message(publish, &looked, delayed, self.now_ms);
        for place in others {
            self.put(*place, at, message.clone());
        }
        self.put(*last, at, message);
        Ok(())
    }

    fn put(&mut self, place: usize, at: usize, message: Message) {
        if let Some(share) = self.shares.get_mut(place) {
            share.messages.push(message);
            share.places.push(at);
        }
    }

    /// Looks the exchange up, and whether it may be published to.
    fn find(&mut self, name: &Arc<str>) -> Result<(), Failure> {
        if self
            .known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(&known.name, name) || known.name == *name)
        {
            return Ok(());
        }
        let (broker, scope) = (&self.shared.broker, self.scope);
        access::check(broker, scope, Right::Write, Resource::Exchange, name)?;
        let exchange = if name.is_empty() {
            None
        } else {
            let found = broker.exchanges().get(&scope.namespace, name);
            let exchange = found.ok_or_else(|| Failure::no_exchange(&scope.namespace, name))?;
            if exchange.settings().internal {
                return Err(Failure::refused(format!(
                    "cannot publish to internal exchange '{name}' in vhost '{}'",
                    scope.namespace
                )));
            }
            Some(exchange)
        };
        self.known = Some(Known {
            name: name.clone(),
            exchange,
            route: None,
        });
        Ok(())
    }

    /// Puts the token of a direct reply in the place of its queue's name.
    fn reply_to(&self, publish: &mut Publish) -> Result<(), Failure> {
        use crate::codec::properties::{self, Properties};
        if properties::flags(&publish.properties) & properties::REPLY_TO == 0 {
            return Ok(());
        }
        let block = publish.properties.clone();
        let mut all = Properties::read(&block)?;
        if all.reply_to != Some(reply_to::QUEUE.as_bytes()) {
            return Ok(());
        }
        let Some(token) = &self.reply_token else {
            return Err(Failure::precondition("fast reply consumer does not exist"));
        };
        all.reply_to = Some(token.as_bytes());
        let headers = all.header_table()?;
        publish.properties = all.write(all.headers.is_some().then_some(&headers));
        Ok(())
    }

    /// What may be wrong with a message for this exchange and this user.
    fn check(
        &self,
        publish: &Publish,
        looked: &Looked,
        exchange: Option<&Exchange>,
    ) -> Result<(), Failure> {
        if let Some(user) = &looked.user_id
            && user.as_ref() != self.scope.user.as_bytes()
        {
            return Err(Failure::precondition(format!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(user),
                self.scope.user
            )));
        }
        if let Some(exchange) = exchange
            && matches!(exchange.settings().kind.routing(), ExchangeKind::Topic)
        {
            let (broker, scope) = (&self.shared.broker, self.scope);
            let key = &publish.routing_key;
            access::check_key(broker, scope, Right::Write, exchange.name(), key)?;
        }
        Ok(())
    }

    /// The places of the queues that a message goes to.
    fn route(
        &mut self,
        publish: &Publish,
        looked: &Looked,
        exchange: Option<&Exchange>,
    ) -> Result<Vec<usize>, Failure> {
        let by_key_alone = looked.headers.is_none() && exchange.is_none_or(key_decides);
        if let Some((key, places)) = self.known.as_ref().and_then(|k| k.route.as_ref())
            && by_key_alone
            && *key == publish.routing_key
        {
            return Ok(places.clone());
        }
        let mut keys = Vec::with_capacity(1 + looked.more_keys.len());
        keys.push(publish.routing_key.clone());
        keys.extend(looked.more_keys.iter().cloned());
        let headers = |name: &str| {
            let value = looked.headers.as_ref()?.get(name)?;
            Some(super::arguments::comparable(value))
        };
        let exchanges = self.shared.broker.exchanges();
        let namespace = &self.scope.namespace;
        let headers: &dyn Fn(&str) -> Option<Match> = &headers;
        let queues = exchanges
            .route(namespace, &publish.exchange, &keys, headers)
            .map_err(|error| error::failure(&error, namespace))?;
        let places: Vec<usize> = queues.into_iter().map(|queue| self.place(queue)).collect();
        if let Some(known) = &mut self.known {
            known.route = by_key_alone.then(|| (publish.routing_key.clone(), places.clone()));
        }
        Ok(places)
    }

    /// The place of a queue's share.
    fn place(&mut self, queue: Queue) -> usize {
        let known = self
            .shares
            .iter()
            .position(|share| share.queue.id() == queue.id());
        known.unwrap_or_else(|| {
            self.shares.push(Share {
                queue,
                messages: Vec::new(),
                places: Vec::new(),
            });
            self.shares.len() - 1
        })
    }
}

/// Whether the next message without headers and with the same key goes to the same queues. An
/// exchange behind this one that chooses at random may then choose once for a run.
fn key_decides(exchange: &Exchange) -> bool {
    matches!(
        exchange.settings().kind,
        ExchangeKind::Direct | ExchangeKind::Topic | ExchangeKind::Fanout
    )
}

/// Hands a direct reply over; `false` when nobody takes it.
fn answer(shared: &Shared, publish: &Publish) -> bool {
    // A token is made of letters that are text.
    let token = String::from_utf8_lossy(&publish.routing_key);
    let taken = shared.replies.send(&token, publish);
    if !taken {
        shared.metrics.replies_dropped.inc();
    }
    taken
}

/// Where the messages of a run are to go. Nothing has been done yet.
struct Plan {
    shares: Vec<Share>,
    returned: Vec<usize>,
    answers: Vec<usize>,
    failure: Option<Failure>,
    /// How many messages of the run were looked at before it failed.
    taken: usize,
}

/// Looks at a run, up to the first message that makes no sense.
fn plan(
    shared: &Shared,
    scope: &Scope,
    messages: &mut [Publish],
    reply_token: Option<Name>,
) -> Plan {
    let mut run = Run {
        shared,
        scope,
        reply_token,
        now_ms: shared.broker.clock().unix_ms(),
        known: None,
        shares: Vec::new(),
        returned: Vec::new(),
        answers: Vec::new(),
    };
    let mut failure = None;
    let mut taken = 0;
    for (at, publish) in messages.iter_mut().enumerate() {
        if let Err(why) = run.add(at, publish) {
            failure = Some(why.of(IDS));
            break;
        }
        taken += 1;
    }
    Plan {
        shares: run.shares,
        returned: run.returned,
        answers: run.answers,
        failure,
        taken,
    }
}

impl Plan {
    /// Puts the messages into their queues.
    fn carry_out(&mut self, shared: &Shared, messages: &[Publish]) -> Vec<Appended> {
        for at in std::mem::take(&mut self.answers) {
            let publish = messages.get(at);
            if publish.is_some_and(|publish| !answer(shared, publish) && publish.mandatory) {
                self.returned.push(at);
            }
        }
        self.returned.sort_unstable();
        let shares = std::mem::take(&mut self.shares).into_iter();
        let shares = shares.filter(|share| !share.places.is_empty());
        shares.map(append).collect()
    }
}

fn append(share: Share) -> Appended {
    let Share {
        queue,
        messages,
        places,
    } = share;
    match queue.publish(messages) {
        Ok(publication) => Appended::Now(publication, places),
        Err(error) if is_busy(&error) => Appended::Later(queue, places),
        // A queue that is deleted takes nothing and refuses nothing.
        Err(broker::Error::UnknownQueue(_) | broker::Error::UnknownTopic(_)) => {
            Appended::Refused(Vec::new())
        }
        Err(error) => {
            tracing::debug!(queue = %queue.name(), %error, "a publish was refused");
            Appended::Refused(places)
        }
    }
}

fn is_busy(error: &broker::Error) -> bool {
    matches!(error, broker::Error::Store(_)) && error.kind() == base::Kind::Exhausted
}

/// Carries out a run.
pub(super) fn start(shared: &Arc<Shared>, publishes: Publishes) -> Answers {
    let Publishes {
        scope,
        mut messages,
        confirm,
        reply_token,
        failure,
        holds,
    } = publishes;
    let mut plan = plan(shared, &scope, &mut messages, reply_token);
    let appended = plan.carry_out(shared, &messages);
    let has_later = appended.iter().any(|a| matches!(a, Appended::Later(..)));
    let failure = plan.failure.or(failure);
    if plan.returned.is_empty() && failure.is_none() && confirm.is_none() && !has_later {
        return Answers::None;
    }
    if has_later {
        shared.metrics.deferred.inc();
    }
    // What comes after a failure is not looked at before the channel is closed for it.
    let hold = (has_later || failure.is_some()).then(|| holds.hold());
    let count = confirm.map_or(0, |_| plan.taken as u64);
    let told = Told {
        first: confirm.unwrap_or(0),
        count,
        returned: take(&messages, &plan.returned),
        failure,
    };
    let work = Work {
        shared: shared.clone(),
        scope,
        messages: if has_later { messages } else { Vec::new() },
        appended,
        holds,
        hold,
    };
    Answers::Stream(answers(work, told).boxed())
}

/// The messages at these places, out of the run.
fn take(messages: &[Publish], places: &[usize]) -> Vec<Publish> {
    let at = places.iter().filter_map(|at| messages.get(*at).cloned());
    at.collect()
}

/// What the publisher is told.
struct Told {
    first: u64,
    count: u64,
    returned: Vec<Publish>,
    failure: Option<Failure>,
}

/// What is left to do for a run.
struct Work {
    shared: Arc<Shared>,
    scope: Arc<Scope>,
    /// The run, if some of it is to be published yet.
    messages: Vec<Publish>,
    appended: Vec<Appended>,
    holds: Holds,
    hold: Option<Hold>,
}

fn answers(work: Work, mut told: Told) -> impl futures_core::Stream<Item = Reply> {
    let metrics = work.shared.metrics.clone();
    let returned = std::mem::take(&mut told.returned);
    metrics.returned.inc_by(returned.len() as u64);
    let returned = (!returned.is_empty()).then_some(Reply::Returned(returned));
    let rest = stream::once(async move {
        let Told {
            first,
            count,
            failure,
            ..
        } = told;
        // Whoever is told nothing does not wait for the disk either.
        let (rejected, hold) = finish(work, count > 0).await;
        let confirmed = (count > 0).then(|| {
            metrics.confirmed.inc_by(count - rejected.len() as u64);
            metrics.rejected.inc_by(rejected.len() as u64);
            Reply::Confirmed {
                first,
                count,
                rejected: rejected.iter().map(|at| first + *at as u64).collect(),
            }
        });
        // Whoever was held back is told that it goes on.
        let end = hold.is_some().then_some(Reply::Done(None));
        let failed = failure.map(Reply::Failed).or(end);
        super::all(confirmed.into_iter().chain(failed), hold)
    });
    stream::iter(returned).chain(rest.flatten())
}

/// Publishes what there was no room for, waits for the disk; the places of what was rejected, in
/// order.
async fn finish(mut work: Work, durable: bool) -> (Vec<usize>, Option<Hold>) {
    let mut rejected = Vec::new();
    let mut publications = Vec::new();
    for appended in std::mem::take(&mut work.appended) {
        let appended = match appended {
            Appended::Later(queue, places) => publish_when_room(&work, queue, places).await,
            Appended::Now(..) | Appended::Refused(_) => appended,
        };
        match appended {
            Appended::Now(publication, places) => publications.push((publication, places)),
            Appended::Refused(places) | Appended::Later(_, places) => rejected.extend(places),
        }
    }
    // Everything has its place in the log: what comes next may go on.
    work.messages = Vec::new();
    let hold = work.hold.take();
    for (publication, places) in publications {
        let verdicts = publication.verdicts.iter().zip(&places);
        let refused = verdicts.filter(|(verdict, _)| **verdict == Verdict::Rejected);
        rejected.extend(refused.map(|(_, at)| *at));
        if durable && publication.durable().await.is_err() {
            rejected.extend(places);
        }
    }
    rejected.sort_unstable();
    rejected.dedup();
    (rejected, hold)
}

/// Waits until the engine has room, then publishes.
async fn publish_when_room(work: &Work, queue: Queue, places: Vec<usize>) -> Appended {
    let _waiting = work.holds.wait_for_room();
    let mut share = Share {
        queue,
        messages: Vec::new(),
        places,
    };
    loop {
        work.shared.broker.room().await;
        let now_ms = work.shared.broker.clock().unix_ms();
        share.messages = share
            .places
            .iter()
            .filter_map(|at| again(work, *at, now_ms))
            .collect();
        match append(share) {
            Appended::Later(queue, places) => {
                share = Share {
                    queue,
                    messages: Vec::new(),
                    places,
                };
            }
            done @ (Appended::Now(..) | Appended::Refused(_)) => return done,
        }
    }
}

/// The message of a place once more. It was looked into before, so that it can be.
fn again(work: &Work, at: usize, now_ms: i64) -> Option<Message> {
    let publish = work.messages.get(at)?;
    let looked = convert::look(publish).ok()?;
    let exchanges = work.shared.broker.exchanges();
    let exchange = exchanges.get(&work.scope.namespace, &publish.exchange);
    let delayed = exchange.is_some_and(|e| matches!(e.settings().kind, ExchangeKind::Delayed(_)));
    Some(convert::message(publish, &looked, delayed, now_ms))
}

/// Publishes the messages of a transaction and waits for the disk. When one of them cannot be
/// published, none is.
pub(super) async fn transacted(
    shared: &Arc<Shared>,
    scope: &Arc<Scope>,
    mut messages: Vec<Publish>,
    reply_token: Option<Name>,
) -> Result<Vec<Publish>, Failure> {
    let mut plan = plan(shared, scope, &mut messages, reply_token);
    if let Some(failure) = plan.failure.take() {
        return Err(failure);
    }
    let appended = plan.carry_out(shared, &messages);
    let returned = take(&messages, &plan.returned);
    let work = Work {
        shared: shared.clone(),
        scope: scope.clone(),
        messages,
        appended,
        holds: Holds::default(),
        hold: None,
    };
    let (rejected, _) = finish(work, true).await;
    if rejected.is_empty() {
        Ok(returned)
    } else {
        Err(Failure::precondition("partial tx completion"))
    }
}
