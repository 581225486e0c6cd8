//! Contents: a run of publishes on one channel is cut from the input at once and becomes one call.
//!
//! The run is found first, without reading more than the fronts of its frames; then it is cut off
//! as one piece of shared memory, and keys, properties and bodies are slices of it. A body of
//! several frames is copied together, and so is the rest of a content that a run leaves open: a
//! slice would keep a whole buffer for as long as the peer likes. What such copies take is charged
//! and bounded.

use base::Charge;
use bytes::{BufMut, Bytes, BytesMut};
use net::head::Next;

use super::channel::{Assembly, Body, Channel, Mode};
use super::{AmqpSession, Step};
use crate::Shared;
use crate::call::{Call, Publish, Publishes};
use crate::codec::hot;
use crate::codec::{
    self, CLASS_BASIC, FRAME_BODY, FRAME_HEAD, FRAME_HEADER, FRAME_METHOD, Front, Look,
};
use crate::error::{Code, Failure};

/// How many messages become one call.
const RUN_MESSAGES_MAX: usize = 2048;
/// How many bytes of input become one call; a frame that is longer is one by itself.
const RUN_BYTES_MAX: usize = 1 << 20;
/// Class and id of `basic.publish`.
const PUBLISH: (u16, u16) = (CLASS_BASIC, 40);

/// Whether the frame at the front begins or goes on with a content.
pub(super) fn is_content(input: &[u8], front: Front) -> bool {
    front.kind == FRAME_HEADER || front.kind == FRAME_BODY || hot::is_publish(input, front)
}

/// A method came where a content goes on.
pub(super) fn interrupted(channel: &Channel) -> Failure {
    let header = channel
        .assembly
        .as_ref()
        .is_some_and(|a| a.header.is_none());
    Failure::new(
        Code::UnexpectedFrame,
        if header {
            "expected content header for class 60, got non content header frame instead"
        } else {
            "expected content body, got non content body frame instead"
        },
    )
    .of(PUBLISH)
}

/// What a channel holds that counts against `amqp.unfinished_bytes_max`.
pub(super) fn weight(channel: &Channel) -> usize {
    let open = channel.assembly.as_ref().map_or(0, Assembly::weight);
    match &channel.mode {
        Mode::Tx(tx) => open + tx.bytes,
        Mode::Plain | Mode::Confirm(_) => open,
    }
}

/// How many bytes of the input are the run: whole frames of one channel that belong to contents.
fn run(input: &[u8], channel: u16, frame_max: usize) -> usize {
    let (mut end, mut messages) = (0, 0);
    while let Some(rest) = input.get(end..) {
        let Ok(Look::Whole(front)) = codec::look(rest, frame_max) else {
            break;
        };
        if front.channel != channel || !is_content(rest, front) {
            break;
        }
        messages += usize::from(front.kind == FRAME_METHOD);
        let after = end + front.whole();
        if end > 0 && (messages > RUN_MESSAGES_MAX || after > RUN_BYTES_MAX) {
            break;
        }
        end = after;
    }
    end
}

impl AmqpSession {
    /// Cuts the run at the front and puts its messages together.
    pub(super) fn contents(&mut self, number: u16, input: &mut BytesMut) -> Result<Step, Failure> {
        let run = input.split_to(run(input, number, self.frame_max)).freeze();
        let mut messages = Vec::new();
        let mut at = 0;
        let mut failure = None;
        while let Some(rest) = run.get(at..).filter(|rest| !rest.is_empty()) {
            let Ok(Look::Whole(front)) = codec::look(rest, self.frame_max) else {
                break;
            };
            let start = at + FRAME_HEAD;
            let payload = run.slice(start..start + front.size);
            at += front.whole();
            match self.content(number, front.kind, payload) {
                Ok(None) => {}
                Ok(Some(publish)) => messages.push(publish),
                Err(why) => {
                    failure = Some(why.of(PUBLISH));
                    break;
                }
            }
        }
        if failure.is_none() {
            failure = self.keep(number).err().map(|why| why.of(PUBLISH));
        }
        if messages.is_empty() {
            return failure.map_or(Ok(Step::On), Err);
        }
        self.shared.metrics.published.inc_by(messages.len() as u64);
        self.publish(number, messages, failure)
    }

    /// A frame of a content; the message, if it is the last one.
    fn content(
        &mut self,
        number: u16,
        kind: u8,
        payload: Bytes,
    ) -> Result<Option<Publish>, Failure> {
        let unexpected = |why: &'static str| Err(Failure::new(Code::UnexpectedFrame, why));
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(None);
        };
        match (kind, &mut channel.assembly) {
            (FRAME_METHOD, None) => {
                channel.assembly = Some(begin(channel, &payload)?);
                return Ok(None);
            }
            (FRAME_METHOD, Some(_)) => return Err(interrupted(channel)),
            (FRAME_HEADER, Some(assembly)) if assembly.header.is_none() => {
                let header = codec::content_header(&payload)?;
                let max = self.shared.config.message_bytes_max.as_usize();
                let size = usize::try_from(header.body_size).unwrap_or(usize::MAX);
                if size > max {
                    return Err(Failure::precondition(format!(
                        "message size {} is larger than configured max size {max}",
                        header.body_size
                    )));
                }
                let properties = payload.slice_ref(header.properties);
                assembly.header = Some((size, properties));
            }
            (FRAME_BODY, Some(assembly)) if assembly.header.is_some() => {
                self.body(number, payload)?;
            }
            (FRAME_HEADER, _) => {
                return unexpected("expected content body, got content header frame instead");
            }
            _ => {
                return unexpected(
                    "expected content header for class 60, got non content header frame instead",
                );
            }
        }
        self.finish(number)
    }

    /// A piece of a body.
    fn body(&mut self, number: u16, payload: Bytes) -> Result<(), Failure> {
        let channel = self.channels.get_mut(&number);
        let Some(assembly) = channel.and_then(|channel| channel.assembly.as_mut()) else {
            return Ok(());
        };
        // An empty piece is none, and is not counted as one.
        if payload.is_empty() {
            return Ok(());
        }
        let wanted = assembly.header.as_ref().map_or(0, |(size, _)| *size);
        if assembly.body.len() + payload.len() > wanted {
            return Err(Failure::new(
                Code::FrameError,
                format!("a body is longer than the {wanted} bytes of its header"),
            ));
        }
        if payload.len() == wanted {
            assembly.body = Body::One(payload);
            return Ok(());
        }
        let charge = unfinished(&self.shared, &mut self.unfinished, payload.len())?;
        if let Body::Many(bytes, all) = &mut assembly.body {
            bytes.put_slice(&payload);
            all.merge(charge);
        } else {
            // As much as is announced, but no more than one more frame ahead of what came.
            let mut bytes = BytesMut::with_capacity(wanted.min(payload.len() * 2));
            bytes.put_slice(&payload);
            assembly.body = Body::Many(bytes, charge);
        }
        Ok(())
    }

    /// Copies what a run has left open.
    fn keep(&mut self, number: u16) -> Result<(), Failure> {
        let channel = self.channels.get_mut(&number);
        let Some(assembly) = channel.and_then(|channel| channel.assembly.as_mut()) else {
            return Ok(());
        };
        let key = &mut assembly.routing_key;
        let properties = assembly.header.as_mut().map(|(_, properties)| properties);
        let weight = size_of::<Assembly>() + key.len() + properties.as_ref().map_or(0, |p| p.len());
        let kept = assembly.kept.as_ref().map_or(0, Charge::bytes);
        // They come one after the other, and each of them once.
        if weight <= kept {
            return Ok(());
        }
        let charge = unfinished(&self.shared, &mut self.unfinished, weight - kept)?;
        match &mut assembly.kept {
            Some(all) => all.merge(charge),
            None => assembly.kept = Some(charge),
        }
        *key = Bytes::copy_from_slice(key);
        if let Some(properties) = properties {
            *properties = Bytes::copy_from_slice(properties);
        }
        Ok(())
    }

    /// The message, if all of it is there.
    fn finish(&mut self, number: u16) -> Result<Option<Publish>, Failure> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(None);
        };
        let whole = channel.assembly.take_if(|assembly| {
            assembly
                .header
                .as_ref()
                .is_some_and(|(size, _)| *size == assembly.body.len())
        });
        let Some(assembly) = whole else {
            return Ok(None);
        };
        self.unfinished -= assembly.weight();
        let Some((_, properties)) = assembly.header else {
            return Ok(None);
        };
        Ok(Some(Publish {
            exchange: assembly.exchange,
            routing_key: assembly.routing_key,
            mandatory: assembly.mandatory,
            properties,
            body: assembly.body.finish(),
        }))
    }

    /// Whole messages: to the engine, or to the transaction.
    fn publish(
        &mut self,
        number: u16,
        messages: Vec<Publish>,
        failure: Option<Failure>,
    ) -> Result<Step, Failure> {
        let scope = self.scope()?;
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Step::On);
        };
        if let Mode::Tx(_) = &channel.mode {
            self.hold_back(number, &messages)?;
            return failure.map_or(Ok(Step::On), Err);
        }
        let confirm = if let Mode::Confirm(given) = &mut channel.mode {
            let first = *given + 1;
            *given += messages.len() as u64;
            Some(first)
        } else {
            None
        };
        let publishes = Publishes {
            scope,
            messages,
            confirm,
            reply_token: channel.reply_token.clone(),
            failure,
            holds: self.holds.clone(),
        };
        let lane = channel.lane;
        Ok(Step::Next(Next::Call(lane, Call::Publish(publishes))))
    }

    /// Copies messages for the transaction's end: slices would keep whole buffers.
    fn hold_back(&mut self, number: u16, messages: &[Publish]) -> Result<(), Failure> {
        let max = self.shared.config.unfinished_bytes_max.as_usize();
        let Some(Mode::Tx(tx)) = self.channels.get_mut(&number).map(|c| &mut c.mode) else {
            return Ok(());
        };
        for message in messages {
            let weight = message.routing_key.len() + message.properties.len() + message.body.len();
            let weight = weight + size_of::<Publish>();
            let charge = self.shared.ledger.try_charge(weight);
            let (Some(charge), true) = (charge, self.unfinished + weight <= max) else {
                self.shared.metrics.unfinished_refused.inc();
                return Err(Failure::new(
                    Code::ResourceError,
                    "a transaction is too large (amqp.unfinished_bytes_max, memory.limit)",
                ));
            };
            self.unfinished += weight;
            tx.bytes += weight;
            match &mut tx.charge {
                Some(all) => all.merge(charge),
                None => tx.charge = Some(charge),
            }
            tx.messages.push(Publish {
                routing_key: Bytes::copy_from_slice(&message.routing_key),
                properties: Bytes::copy_from_slice(&message.properties),
                body: Bytes::copy_from_slice(&message.body),
                ..message.clone()
            });
        }
        Ok(())
    }
}

/// A content begins.
fn begin(channel: &mut Channel, payload: &Bytes) -> Result<Assembly, Failure> {
    let publish = hot::publish(payload)?;
    if publish.immediate {
        return Err(Failure::not_implemented("immediate=true"));
    }
    let (Ok(exchange), Ok(_)) = (
        std::str::from_utf8(publish.exchange),
        std::str::from_utf8(publish.routing_key),
    ) else {
        return Err(codec::Malformed::NotUtf8.into());
    };
    Ok(Assembly {
        exchange: channel.exchange(exchange),
        routing_key: payload.slice_ref(publish.routing_key),
        mandatory: publish.mandatory,
        header: None,
        body: Body::None,
        kept: None,
    })
}

/// Charges what contents that are not whole take.
fn unfinished(shared: &Shared, all: &mut usize, bytes: usize) -> Result<Charge, Failure> {
    let max = shared.config.unfinished_bytes_max.as_usize();
    let charge = shared.ledger.try_charge(bytes);
    let (Some(charge), true) = (charge, *all + bytes <= max) else {
        shared.metrics.unfinished_refused.inc();
        return Err(Failure::new(
            Code::ResourceError,
            "too many contents that are not whole (amqp.unfinished_bytes_max, memory.limit)",
        ));
    };
    *all += bytes;
    Ok(charge)
}
