//! Answers and deliveries, written as frames.

use std::time::Instant;

use broker::queue::{Delivery, Outcome};
use net::head::{Close, Lane, Output};

use super::unacked::Held;
use super::{AmqpSession, CONNECTION, put};
use crate::call::{Consuming, Got, Publish, Ready, Reply, Source};
use crate::codec::hot::{self, Deliver};
use crate::codec::{FRAME_OVERHEAD, Method, Name};
use crate::convert;
use crate::error::{Code, Failure};

impl AmqpSession {
    /// Writes what a call answers.
    pub(super) fn write(
        &mut self,
        now: Instant,
        lane: Lane,
        reply: Reply,
        output: &mut Output,
    ) -> Result<(), Close> {
        let number = match self.channel_lanes.get(&lane) {
            Some(number) => *number,
            None if lane == CONNECTION => 0,
            None => return self.write_of_consumer(now, lane, reply, output),
        };
        match reply {
            Reply::Authenticated(principal) => return self.authenticated(principal, output),
            Reply::Closed => {
                put(output, 0, &Method::CloseOk {});
                return Err(Close::Done);
            }
            Reply::Done(method) => {
                if let Some(method) = method {
                    put(output, number, &method);
                }
            }
            Reply::Declared(name, method) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.last_queue = Some(name);
                }
                if let Some(method) = method {
                    put(output, number, &method);
                }
            }
            Reply::Failed(failure) => {
                self.fail(now, number, failure, output)?;
            }
            Reply::Returned(messages) => {
                for message in &messages {
                    self.put_return(number, message, output);
                }
            }
            Reply::Confirmed {
                first,
                count,
                rejected,
            } => put_confirms(output, number, first, count, &rejected),
            Reply::Got(got) => self.put_got(number, got, output),
            Reply::Committed => put(output, number, &Method::TxCommitOk {}),
            // These are of consumers' lanes.
            Reply::Consuming(_) | Reply::Deliveries(_) | Reply::Messages(_) | Reply::Cancelled => {}
        }
        Ok(())
    }

    fn write_of_consumer(
        &mut self,
        now: Instant,
        lane: Lane,
        reply: Reply,
        output: &mut Output,
    ) -> Result<(), Close> {
        // A consumer that is gone, whose guard has taken back what was dispatched to it; or a
        // channel that is.
        let Some((number, tag)) = self.lanes.get(&lane).cloned() else {
            give_back(reply);
            return Ok(());
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "everything else is of channels' lanes"
        )]
        match reply {
            Reply::Consuming(consuming) => self.begun(number, &tag, *consuming, output),
            Reply::Deliveries(deliveries) => self.deliver(number, &tag, deliveries, output),
            Reply::Messages(messages) => self.deliver_ready(number, lane, &tag, messages, output),
            Reply::Cancelled => self.ended.push(lane),
            Reply::Failed(failure) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.consumers.remove(&tag);
                }
                self.cancels.push(lane);
                self.fail(now, number, failure, output)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A consumer has begun.
    fn begun(&mut self, number: u16, tag: &Name, consuming: Consuming, output: &mut Output) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let Some(consumer) = channel.consumers.get_mut(tag) else {
            return;
        };
        consumer.counts = consuming.counts;
        match &consuming.source {
            Source::Replies(replies) => channel.reply_token = Some(replies.token().into()),
            Source::Queue { .. } | Source::Stream(_) => {}
        }
        consumer.source = Some(consuming.source);
        if !consuming.nowait {
            let consumer_tag = tag.clone();
            put(output, number, &Method::ConsumeOk { consumer_tag });
        }
    }

    /// Messages of a queue.
    fn deliver(&mut self, number: u16, tag: &Name, deliveries: Vec<Delivery>, output: &mut Output) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let Some(consumer) = channel.consumers.get(tag) else {
            return;
        };
        let (no_ack, counts) = (consumer.no_ack, consumer.counts);
        let Some(Source::Queue { queue, .. }) = &consumer.source else {
            return;
        };
        let queue = queue.clone();
        let queue_at = if no_ack {
            0
        } else {
            channel.unacked.queue(&queue)
        };
        self.shared
            .metrics
            .delivered
            .inc_by(deliveries.len() as u64);
        let payload_max = self.frame_max.saturating_sub(FRAME_OVERHEAD);
        for delivery in &deliveries {
            let delivery_tag = channel.take_tag();
            if !no_ack {
                let held = Held::Queue(queue_at, delivery.receipt);
                channel.unacked.push(delivery_tag, held);
            }
            let shown = convert::shown(delivery, queue.name());
            let deliver = Deliver {
                consumer_tag: tag.as_bytes(),
                tag: delivery_tag,
                redelivered: delivery.redelivered,
                exchange: shown.exchange,
                routing_key: shown.routing_key,
            };
            hot::put_deliver(output.buf(), number, &deliver);
            put_content(output, number, delivery, counts, payload_max);
        }
    }

    /// Messages of a stream, or direct replies.
    fn deliver_ready(
        &mut self,
        number: u16,
        lane: Lane,
        tag: &Name,
        messages: Vec<Ready>,
        output: &mut Output,
    ) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let no_ack = channel.consumers.get(tag).is_none_or(|c| c.no_ack);
        self.shared.metrics.delivered.inc_by(messages.len() as u64);
        let payload_max = self.frame_max.saturating_sub(FRAME_OVERHEAD);
        for message in &messages {
            let delivery_tag = channel.take_tag();
            if !no_ack {
                channel.unacked.push(delivery_tag, Held::Stream(lane.0));
            }
            let deliver = Deliver {
                consumer_tag: tag.as_bytes(),
                tag: delivery_tag,
                redelivered: false,
                exchange: message.exchange.as_bytes(),
                routing_key: &message.routing_key,
            };
            hot::put_deliver(output.buf(), number, &deliver);
            let size = message.body.len();
            hot::put_content_header(output.buf(), number, size, &message.properties);
            hot::put_body(output, number, &message.body, payload_max);
        }
    }

    /// The broker has ended consumers.
    pub(super) fn tell_ended(&mut self, output: &mut Output) {
        while let Some(lane) = self.ended.pop() {
            let Some((number, consumer_tag)) = self.lanes.get(&lane).cloned() else {
                continue;
            };
            let channel = self.channels.get_mut(&number);
            let known = channel.is_some_and(|c| c.consumers.remove(&consumer_tag).is_some());
            self.cancels.push(lane);
            if known && self.client.cancel_notify {
                let cancel = Method::Cancel {
                    consumer_tag,
                    nowait: true,
                };
                put(output, number, &cancel);
            }
        }
    }

    fn put_got(&mut self, number: u16, got: Got, output: &mut Output) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let Some(delivery) = got.delivery else {
            put(
                output,
                number,
                &Method::GetEmpty {
                    cluster_id: "".into(),
                },
            );
            return;
        };
        let delivery_tag = channel.take_tag();
        if !got.no_ack {
            let at = channel.unacked.queue(&got.queue);
            let held = Held::Queue(at, delivery.receipt);
            channel.unacked.push(delivery_tag, held);
        }
        self.shared.metrics.delivered.inc();
        let shown = convert::shown(&delivery, got.queue.name());
        let answer = Method::GetOk {
            delivery_tag,
            redelivered: delivery.redelivered,
            exchange: String::from_utf8_lossy(shown.exchange).into(),
            routing_key: String::from_utf8_lossy(shown.routing_key).into(),
            messages: u32::try_from(delivery.ready_left).unwrap_or(u32::MAX),
        };
        put(output, number, &answer);
        let payload_max = self.frame_max.saturating_sub(FRAME_OVERHEAD);
        put_content(output, number, &delivery, got.counts, payload_max);
    }

    /// A message that nobody wants goes back to its publisher.
    fn put_return(&self, number: u16, message: &Publish, output: &mut Output) {
        let answer = Method::Return {
            code: Code::NoRoute.number(),
            text: Code::NoRoute.name().into(),
            exchange: (*message.exchange).into(),
            routing_key: String::from_utf8_lossy(&message.routing_key).into(),
        };
        put(output, number, &answer);
        let size = message.body.len();
        hot::put_content_header(output.buf(), number, size, &message.properties);
        let payload_max = self.frame_max.saturating_sub(FRAME_OVERHEAD);
        hot::put_body(output, number, &message.body, payload_max);
    }
}

/// A lease that its consumer has never seen.
const UNSEEN: Outcome = Outcome::Release {
    counted: false,
    delay: None,
};

/// What came too late for its channel.
fn give_back(reply: Reply) {
    if let Reply::Got(Got {
        queue,
        delivery: Some(delivery),
        no_ack: false,
        ..
    }) = reply
    {
        let _ = queue.settle(&[delivery.receipt], UNSEEN);
    }
}

fn put_content(
    output: &mut Output,
    number: u16,
    delivery: &Delivery,
    counts: bool,
    payload_max: usize,
) {
    let size = delivery.value.as_ref().map_or(0, bytes::Bytes::len);
    let properties = convert::properties(delivery, counts);
    hot::put_content_header(output.buf(), number, size, &properties);
    if let Some(body) = &delivery.value {
        hot::put_body(output, number, body, payload_max);
    }
}

/// Confirms of messages that came one behind the other: as few as there can be. All earlier ones
/// are confirmed already, so that one with `multiple` means only these.
fn put_confirms(output: &mut Output, number: u16, first: u64, count: u64, rejected: &[u64]) {
    let out = output.buf();
    out.reserve(24 * (rejected.len() * 2 + 1));
    let mut next = first;
    for rejected in rejected {
        if *rejected > next {
            hot::put_ack(out, number, rejected - 1, rejected - next > 1);
        }
        hot::put_nack(out, number, *rejected, false);
        next = rejected + 1;
    }
    let end = first + count;
    if next < end {
        hot::put_ack(out, number, end - 1, end - next > 1);
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
