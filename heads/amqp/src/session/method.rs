//! The methods of a channel but for contents and settlements.

use std::time::Instant;

use broker::queue::Outcome;
use net::head::{Lane, Next, Output};

use super::channel::{Consumer, Mode, Tx};
use super::{AmqpSession, Step, put};
use crate::call::{Call, Commit, Consume, Settle, Unsettled};
use crate::codec::{Method, Name, Table};
use crate::error::{Code, Failure};
use crate::handlers;

impl AmqpSession {
    /// The stream that has to be dropped before `method` is carried out.
    pub(super) fn cancel_first(&mut self, number: u16, method: Option<&Method>) -> Option<Lane> {
        let Some(Method::Cancel { consumer_tag, .. }) = method else {
            return None;
        };
        let channel = self.channels.get_mut(&number)?;
        let consumer = channel.consumers.remove(consumer_tag)?;
        if channel.consumers.is_empty() || consumer.no_ack {
            // Only a consumer of direct replies has a token, and it acknowledges nothing.
            let token_of = |consumer: &Consumer| {
                matches!(consumer.source, Some(crate::call::Source::Replies(_)))
            };
            if token_of(&consumer) {
                channel.reply_token = None;
            }
        }
        // Dropping it here ends the engine's consumer: nothing is dispatched to it any more.
        Some(consumer.lane)
    }

    /// Carries out a method of a channel that is open.
    pub(super) fn channel_method(
        &mut self,
        _now: Instant,
        number: u16,
        method: Method,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "everything else needs no arguments"
        )]
        match method {
            Method::Qos {
                prefetch_size,
                prefetch_count,
                global,
            } => self.qos(number, prefetch_size, prefetch_count, global, output),
            Method::Consume {
                queue,
                consumer_tag,
                no_ack,
                exclusive,
                nowait,
                arguments,
                ..
            } => {
                let wanted = Wanted {
                    queue,
                    tag: consumer_tag,
                    no_ack,
                    exclusive,
                    nowait,
                    arguments,
                };
                self.consume(number, wanted)
            }
            Method::Cancel {
                consumer_tag,
                nowait,
            } => {
                if !nowait {
                    put(output, number, &Method::CancelOk { consumer_tag });
                }
                Ok(Step::On)
            }
            Method::Recover { requeue } => self.recover(number, requeue, true, output),
            Method::RecoverAsync { requeue } => self.recover(number, requeue, false, output),
            Method::ConfirmSelect { nowait } => self.confirm_select(number, nowait, output),
            Method::TxSelect {} => self.tx_select(number, output),
            Method::TxCommit {} => self.tx_commit(number),
            Method::TxRollback {} => self.tx_rollback(number, output),
            method if handlers::is_asked(&method) => {
                let channel = self.channels.get(&number);
                let last_queue = channel.and_then(|channel| channel.last_queue.clone());
                self.ask(number, last_queue, method)
            }
            method => self.plain_method(number, &method, output),
        }
    }

    /// What needs nothing but an answer.
    fn plain_method(
        &mut self,
        number: u16,
        method: &Method,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are out of place"
        )]
        match method {
            Method::ChannelOpen { .. } => Err(Failure::new(
                Code::ChannelError,
                "second 'channel.open' seen",
            )),
            Method::ChannelClose { .. } => {
                self.forget_channel(number);
                put(output, number, &Method::ChannelCloseOk {});
                Ok(Step::On)
            }
            Method::ChannelCloseOk {} => Ok(Step::On),
            Method::Flow { active: true } => {
                put(output, number, &Method::FlowOk { active: true });
                Ok(Step::On)
            }
            Method::Flow { active: false } => Err(Failure::not_implemented("active=false")),
            Method::AccessRequest { .. } => {
                put(output, number, &Method::AccessRequestOk { ticket: 1 });
                Ok(Step::On)
            }
            _ => Err(Failure::new(Code::CommandInvalid, "unimplemented method")),
        }
    }

    fn qos(
        &mut self,
        number: u16,
        size: u32,
        count: u16,
        global: bool,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        if size != 0 {
            let why = format!("prefetch_size!=0 ({size})");
            return Err(Failure::not_implemented(why));
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            let count = u32::from(count);
            if global {
                channel.shared.set(count);
            } else {
                channel.prefetch = count;
            }
        }
        put(output, number, &Method::QosOk {});
        Ok(Step::On)
    }

    fn consume(&mut self, number: u16, wanted: Wanted) -> Result<Step, Failure> {
        let scope = self.scope()?;
        let lane = self.new_lane();
        let max = self.shared.config.consumers_per_channel_max;
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Step::On);
        };
        let tag = if wanted.tag.is_empty() {
            handlers::made_up_name(&self.shared, "amq.ctag-")
        } else {
            wanted.tag
        };
        if channel.consumers.contains_key(&tag) {
            let why = format!("attempt to reuse consumer tag '{tag}'");
            return Err(Failure::new(Code::NotAllowed, why));
        }
        if channel.consumers.len() >= max {
            let why = format!("reached maximum of {max} consumers on a channel");
            return Err(Failure::new(Code::NotAllowed, why));
        }
        let consumer = Consumer {
            lane,
            no_ack: wanted.no_ack,
            counts: false,
            source: None,
        };
        channel.consumers.insert(tag.clone(), consumer);
        self.lanes.insert(lane, (number, tag));
        let consume = Consume {
            scope,
            last_queue: channel.last_queue.clone(),
            queue: wanted.queue,
            no_ack: wanted.no_ack,
            exclusive: wanted.exclusive,
            nowait: wanted.nowait,
            arguments: wanted.arguments,
            prefetch: channel.prefetch,
            shared: channel.shared.clone(),
            has_reply_consumer: channel.reply_token.is_some(),
            hold: self.holds.hold(),
        };
        let call = Call::Consume(Box::new(consume));
        Ok(Step::Next(Next::Subscribe(lane, call)))
    }

    /// Everything unacknowledged goes back.
    fn recover(
        &mut self,
        number: u16,
        requeue: bool,
        answer: bool,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        if !requeue {
            return Err(Failure::not_implemented("requeue=false"));
        }
        let mut taken = Vec::new();
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.unacked.take(0, true, &mut taken);
        }
        let outcome = Outcome::Release {
            counted: false,
            delay: None,
        };
        let mut settles = Vec::new();
        self.settle(number, &taken, outcome, &mut settles);
        if answer {
            put(output, number, &Method::RecoverOk {});
        }
        Ok(self.settle_call(number, settles))
    }

    fn settle_call(&self, number: u16, settles: Vec<Settle>) -> Step {
        if settles.is_empty() {
            return Step::On;
        }
        Step::Next(Next::Call(self.lane(number), Call::Settle(settles)))
    }

    fn confirm_select(
        &mut self,
        number: u16,
        nowait: bool,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        if let Some(channel) = self.channels.get_mut(&number) {
            match channel.mode {
                Mode::Plain => channel.mode = Mode::Confirm(0),
                Mode::Confirm(_) => {}
                Mode::Tx(_) => {
                    let why = "cannot switch from tx to confirm mode";
                    return Err(Failure::precondition(why));
                }
            }
        }
        if !nowait {
            put(output, number, &Method::ConfirmSelectOk {});
        }
        Ok(Step::On)
    }

    fn tx_select(&mut self, number: u16, output: &mut Output) -> Result<Step, Failure> {
        if let Some(channel) = self.channels.get_mut(&number) {
            match channel.mode {
                Mode::Plain => {
                    channel.unacked.keep_places();
                    channel.mode = Mode::Tx(Box::default());
                }
                Mode::Tx(_) => {}
                Mode::Confirm(_) => {
                    let why = "cannot switch from confirm to tx mode";
                    return Err(Failure::precondition(why));
                }
            }
        }
        put(output, number, &Method::TxSelectOk {});
        Ok(Step::On)
    }

    /// Takes what the transaction holds back.
    fn take_tx(&mut self, number: u16) -> Result<Box<Tx>, Failure> {
        let mode = self.channels.get_mut(&number).map(|c| &mut c.mode);
        let Some(Mode::Tx(tx)) = mode else {
            return Err(Failure::precondition("channel is not transactional"));
        };
        let tx = std::mem::take(tx);
        self.unfinished -= tx.bytes;
        Ok(tx)
    }

    fn tx_commit(&mut self, number: u16) -> Result<Step, Failure> {
        let scope = self.scope()?;
        let tx = *self.take_tx(number)?;
        let mut settles = Vec::new();
        for (taken, outcome) in &tx.settled {
            self.settle(number, taken, *outcome, &mut settles);
        }
        let commit = Commit {
            scope,
            messages: tx.messages,
            charge: tx.charge,
            settles: Unsettled(settles),
            reply_token: self
                .channels
                .get(&number)
                .and_then(|channel| channel.reply_token.clone()),
            hold: self.holds.hold(),
        };
        let lane = self.lane(number);
        Ok(Step::Next(Next::Call(lane, Call::Commit(commit))))
    }

    fn tx_rollback(&mut self, number: u16, output: &mut Output) -> Result<Step, Failure> {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.roll_back();
        }
        drop(self.take_tx(number)?);
        put(output, number, &Method::TxRollbackOk {});
        Ok(Step::On)
    }
}

/// A consumer that is wanted.
struct Wanted {
    queue: Name,
    tag: Name,
    no_ack: bool,
    exclusive: bool,
    nowait: bool,
    arguments: Table,
}
