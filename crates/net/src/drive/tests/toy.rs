//! A protocol for tests: frames of `length u32 | lane u8 | op u8 | body`, the length counting all
//! behind itself. A reply is `length u32 | body`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base::FileRange;
use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;

use crate::head::{Close, Head, Lane, Next, Output, Peer, Session};
use crate::testing::MemoryFile;

/// What tests steer and see.
#[derive(Clone, Debug)]
pub(crate) struct Toy {
    /// Calls `g` with a body of one byte wait until this is at least that.
    pub(crate) gate: Arc<watch::Sender<u8>>,
    pub(crate) started: Arc<AtomicUsize>,
    /// Calls and subscriptions that live.
    pub(crate) live: Arc<AtomicUsize>,
    pub(crate) heartbeat: Option<Duration>,
    /// Whether the connection counts as established before its first frame.
    pub(crate) established: bool,
    /// What calls `f` answer.
    pub(crate) file: FileRange,
    /// Bytes that a call is charged for, for each byte of input.
    pub(crate) weight: usize,
}

impl Default for Toy {
    fn default() -> Self {
        let source = Arc::new(MemoryFile::new(Bytes::from_static(b"0123456789")));
        Self {
            gate: Arc::new(watch::Sender::new(0)),
            started: Arc::default(),
            live: Arc::default(),
            heartbeat: None,
            established: true,
            file: FileRange {
                source,
                position: 2,
                len: 5,
            },
            weight: 1,
        }
    }
}

impl Toy {
    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct ToyCall {
    op: u8,
    body: Bytes,
}

pub(crate) enum ToyReply {
    Bytes(Bytes),
    File(FileRange),
    Last(Bytes),
}

pub(crate) struct ToySession {
    heartbeat: Option<(Duration, Instant)>,
    established: bool,
    waiting: bool,
    weight: usize,
}

/// A frame on the wire.
pub(crate) fn frame(lane: u8, op: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 2).unwrap();
    [&len.to_be_bytes()[..], &[lane, op], body].concat()
}

impl Session for ToySession {
    type Call = ToyCall;
    type Reply = ToyReply;

    fn receive(
        &mut self,
        _now: Instant,
        input: &mut BytesMut,
        output: &mut Output,
    ) -> Result<Next<ToyCall>, Close> {
        loop {
            if self.waiting {
                return Ok(Next::Wait);
            }
            let Some(len) = input.get(..4) else {
                return Ok(Next::Bytes(4));
            };
            let len = u32::from_be_bytes(len.try_into().unwrap()) as usize;
            if len < 2 {
                return Err(Close::protocol("too short"));
            }
            if input.len() < 4 + len {
                return Ok(Next::Bytes(4 + len));
            }
            let mut body = input.split_to(4 + len).freeze();
            body.advance(4);
            let (lane, op) = (Lane(u32::from(body.get_u8())), body.get_u8());
            self.established = true;
            return Ok(match op {
                b'p' => {
                    output.put(b"pong");
                    continue;
                }
                b'!' => return Err(Close::protocol("as asked")),
                b's' => Next::Subscribe(lane, ToyCall { op, body }),
                b'c' => Next::Cancel(lane),
                b'a' => {
                    self.waiting = true;
                    Next::Call(lane, ToyCall { op: b'g', body })
                }
                op => Next::Call(lane, ToyCall { op, body }),
            });
        }
    }

    fn reply(
        &mut self,
        _now: Instant,
        _lane: Lane,
        reply: ToyReply,
        output: &mut Output,
    ) -> Result<(), Close> {
        self.waiting = false;
        let hole = output.hole(4);
        let end = match reply {
            ToyReply::Bytes(bytes) => {
                output.push(bytes);
                Ok(())
            }
            ToyReply::File(range) => {
                output.push_file(range);
                Ok(())
            }
            ToyReply::Last(bytes) => {
                output.push(bytes);
                Err(Close::Done)
            }
        };
        let len = u32::try_from(output.since(&hole)).unwrap();
        output.fill(hole, &len.to_be_bytes());
        end
    }

    fn weight(&self, _call: &ToyCall, bytes: usize) -> usize {
        bytes * self.weight
    }

    fn deadline(&self) -> Option<Instant> {
        self.heartbeat.map(|(_, at)| at)
    }

    fn expire(&mut self, now: Instant, output: &mut Output) -> Result<(), Close> {
        if let Some((every, at)) = &mut self.heartbeat {
            *at = now + *every;
            output.put(b"beat");
        }
        Ok(())
    }

    fn is_established(&self) -> bool {
        self.established
    }

    fn close(&mut self, _now: Instant, why: &Close, output: &mut Output) {
        output.put(format!("bye {}", why.label()).as_bytes());
    }
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Head for Toy {
    type Session = ToySession;

    const NAME: &'static str = "toy";

    fn open(&self, now: Instant, _peer: &Peer) -> ToySession {
        let heartbeat = self.heartbeat.map(|every| (every, now + every));
        ToySession {
            heartbeat,
            established: self.established,
            waiting: false,
            weight: self.weight,
        }
    }

    fn call(&self, call: ToyCall) -> impl Stream<Item = ToyReply> + Send + 'static {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.live.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.live));
        let ToyCall { op, body } = call;
        let replies = match op {
            b'n' => stream::empty().boxed(),
            b'f' => one(ToyReply::File(self.file.clone())),
            b'l' => one(ToyReply::Last(body)),
            b'm' => {
                let times = usize::from(body[0]);
                stream::iter((0..times).map(move |_| ToyReply::Bytes(body.clone()))).boxed()
            }
            b'k' => one(ToyReply::Bytes(
                vec![b'k'; usize::from(body[0]) << 10].into(),
            )),
            b'g' => {
                let mut gate = self.gate.subscribe();
                stream::once(async move {
                    gate.wait_for(|open| *open >= body[0]).await.unwrap();
                    ToyReply::Bytes(body)
                })
                .boxed()
            }
            // Delivers each value of the gate.
            b's' => stream::unfold(self.gate.subscribe(), |mut gate| async move {
                gate.changed().await.ok()?;
                let value = *gate.borrow_and_update();
                Some((ToyReply::Bytes(vec![value].into()), gate))
            })
            .boxed(),
            _ => one(ToyReply::Bytes(body)),
        };
        replies.map(move |reply| {
            let _alive = &alive;
            reply
        })
    }
}

fn one(reply: ToyReply) -> stream::BoxStream<'static, ToyReply> {
    stream::iter([reply]).boxed()
}
