//! A client of AMQP 0-9-1 that costs next to nothing: what it measures is the server. It writes
//! frames that were made beforehand and reads no more of what comes than it needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xCE;
/// Bytes of a frame around its payload.
const OVERHEAD: usize = 8;
/// The largest frame that this client takes and sends: what servers offer.
const FRAME_MAX: u32 = 131_072;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The one channel of a connection.
const CHANNEL: u16 = 1;
/// What a read asks for at a time.
const READ: usize = 256 << 10;

/// Class and method: the first four bytes of a method's payload.
type Id = (u16, u16);
const START: Id = (10, 10);
const TUNE: Id = (10, 30);
const OPEN_OK: Id = (10, 41);
const CONNECTION_CLOSE: Id = (10, 50);
const BLOCKED: Id = (10, 60);
const UNBLOCKED: Id = (10, 61);
const CHANNEL_OPEN_OK: Id = (20, 11);
const CHANNEL_CLOSE: Id = (20, 40);
const EXCHANGE_DECLARE_OK: Id = (40, 11);
const QUEUE_DECLARE_OK: Id = (50, 11);
const QUEUE_BIND_OK: Id = (50, 21);
const QUEUE_DELETE_OK: Id = (50, 41);
const QOS_OK: Id = (60, 11);
const CONSUME_OK: Id = (60, 21);
const DELIVER: Id = (60, 60);
const ACK: Id = (60, 80);
const CONFIRM_OK: Id = (85, 11);

/// What came.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message for a consumer, with the first bytes of its body.
    Delivered { tag: u64, body: Bytes },
    /// Publishes up to `tag`, or only that one, are safe.
    Confirmed { tag: u64, multiple: bool },
}

/// A connection with one channel.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    input: BytesMut,
    scratch: Box<[u8]>,
}

fn frame(out: &mut BytesMut, kind: u8, channel: u16, payload: &[u8]) {
    out.put_u8(kind);
    out.put_u16(channel);
    out.put_u32(u32::try_from(payload.len()).unwrap_or(0));
    out.put_slice(payload);
    out.put_u8(END);
}

fn method(id: Id) -> BytesMut {
    let mut payload = BytesMut::new();
    payload.put_u16(id.0);
    payload.put_u16(id.1);
    payload
}

fn short(out: &mut BytesMut, text: &str) {
    out.put_u8(u8::try_from(text.len()).unwrap_or(0));
    out.put_slice(text.as_bytes());
}

fn long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(0));
    out.put_slice(bytes);
}

/// The frames of one publish to `exchange` with `key`; delivery mode 2 is persistent.
pub(crate) fn publish(exchange: &str, key: &str, persistent: bool, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let mut payload = method((60, 40));
    payload.put_u16(0);
    short(&mut payload, exchange);
    short(&mut payload, key);
    payload.put_u8(0);
    frame(&mut out, METHOD, CHANNEL, &payload);
    let mut header = BytesMut::new();
    header.put_u16(60);
    header.put_u16(0);
    header.put_u64(body.len() as u64);
    header.put_u16(0x1000);
    header.put_u8(if persistent { 2 } else { 1 });
    frame(&mut out, HEADER, CHANNEL, &header);
    for part in body.chunks(FRAME_MAX as usize - OVERHEAD) {
        frame(&mut out, BODY, CHANNEL, part);
    }
    out.freeze()
}

impl Connection {
    /// Connects as guest to the virtual host `/` and opens the channel.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self {
            socket,
            input: BytesMut::new(),
            scratch: vec![0; READ].into(),
        };
        connection.send(b"AMQP\0\0\x09\x01")?;
        connection.expect(START)?;
        let mut payload = method((10, 11));
        long(&mut payload, &[]);
        short(&mut payload, "PLAIN");
        long(&mut payload, b"\0guest\0guest");
        short(&mut payload, "en_US");
        connection.call(0, &payload, TUNE)?;
        let mut payload = method((10, 31));
        payload.put_u16(2047);
        payload.put_u32(FRAME_MAX);
        payload.put_u16(0);
        connection.tell(0, &payload)?;
        let mut payload = method((10, 40));
        short(&mut payload, "/");
        short(&mut payload, "");
        payload.put_u8(0);
        connection.call(0, &payload, OPEN_OK)?;
        let mut payload = method((20, 10));
        short(&mut payload, "");
        connection.call(CHANNEL, &payload, CHANNEL_OPEN_OK)?;
        Ok(connection)
    }

    /// A durable queue of a type of RabbitMQ's.
    pub(crate) fn declare(&mut self, queue: &str, kind: &str) -> Result<()> {
        let mut arguments = BytesMut::new();
        short(&mut arguments, "x-queue-type");
        arguments.put_u8(b'S');
        long(&mut arguments, kind.as_bytes());
        let mut payload = method((50, 10));
        payload.put_u16(0);
        short(&mut payload, queue);
        payload.put_u8(0b00010);
        long(&mut payload, &arguments);
        self.call(CHANNEL, &payload, QUEUE_DECLARE_OK)
    }

    /// A durable fanout exchange.
    pub(crate) fn fanout(&mut self, exchange: &str) -> Result<()> {
        let mut payload = method((40, 10));
        payload.put_u16(0);
        short(&mut payload, exchange);
        short(&mut payload, "fanout");
        payload.put_u8(0b00010);
        long(&mut payload, &[]);
        self.call(CHANNEL, &payload, EXCHANGE_DECLARE_OK)
    }

    pub(crate) fn bind(&mut self, queue: &str, exchange: &str) -> Result<()> {
        let mut payload = method((50, 20));
        payload.put_u16(0);
        short(&mut payload, queue);
        short(&mut payload, exchange);
        short(&mut payload, "");
        payload.put_u8(0);
        long(&mut payload, &[]);
        self.call(CHANNEL, &payload, QUEUE_BIND_OK)
    }

    pub(crate) fn delete(&mut self, queue: &str) -> Result<()> {
        let mut payload = method((50, 40));
        payload.put_u16(0);
        short(&mut payload, queue);
        payload.put_u8(0);
        self.call(CHANNEL, &payload, QUEUE_DELETE_OK)
    }

    /// From now on publishes are confirmed.
    pub(crate) fn confirm(&mut self) -> Result<()> {
        let mut payload = method((85, 10));
        payload.put_u8(0);
        self.call(CHANNEL, &payload, CONFIRM_OK)
    }

    /// Consumes from `queue`; a prefetch of 0 is without acknowledgements.
    pub(crate) fn consume(&mut self, queue: &str, prefetch: u16) -> Result<()> {
        if prefetch > 0 {
            let mut payload = method((60, 10));
            payload.put_u32(0);
            payload.put_u16(prefetch);
            payload.put_u8(0);
            self.call(CHANNEL, &payload, QOS_OK)?;
        }
        let mut payload = method((60, 20));
        payload.put_u16(0);
        short(&mut payload, queue);
        short(&mut payload, "");
        payload.put_u8(if prefetch == 0 { 0b0010 } else { 0 });
        long(&mut payload, &[]);
        // A delivery may not come before this answer.
        self.call(CHANNEL, &payload, CONSUME_OK)
    }

    /// Everything up to `tag` is done.
    pub(crate) fn ack(&mut self, tag: u64) -> Result<()> {
        let mut payload = method(ACK);
        payload.put_u64(tag);
        payload.put_u8(1);
        self.tell(CHANNEL, &payload)
    }

    /// Writes frames as they are.
    pub(crate) fn send(&mut self, frames: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(frames)?)
    }

    fn tell(&mut self, channel: u16, payload: &[u8]) -> Result<()> {
        let mut out = BytesMut::new();
        frame(&mut out, METHOD, channel, payload);
        self.send(&out)
    }

    fn call(&mut self, channel: u16, payload: &[u8], answer: Id) -> Result<()> {
        self.tell(channel, payload)?;
        self.expect(answer)
    }

    fn expect(&mut self, wanted: Id) -> Result<()> {
        let (kind, mut payload) = self.read_frame()?;
        ensure!(kind == METHOD, "frame {kind} instead of an answer");
        let id = (payload.get_u16(), payload.get_u16());
        ensure!(
            id == wanted,
            "{id:?} instead of {wanted:?}: {}",
            String::from_utf8_lossy(&payload)
        );
        Ok(())
    }

    fn fill(&mut self, wanted: usize) -> Result<()> {
        while self.input.len() < wanted {
            let n = self.socket.read(&mut self.scratch).context("reading")?;
            ensure!(n > 0, "the server closed the connection");
            self.input
                .extend_from_slice(self.scratch.get(..n).unwrap_or_default());
        }
        Ok(())
    }

    fn read_frame(&mut self) -> Result<(u8, Bytes)> {
        loop {
            self.fill(7)?;
            let length = self.input.get(3..7).and_then(|b| b.first_chunk::<4>());
            let length = u32::from_be_bytes(length.copied().unwrap_or_default()) as usize;
            ensure!(length <= FRAME_MAX as usize, "a frame of {length} bytes");
            self.fill(length + OVERHEAD)?;
            let mut whole = self.input.split_to(length + OVERHEAD).freeze();
            let kind = whole.get_u8();
            whole.advance(6);
            ensure!(whole.last() == Some(&END), "a frame without its end");
            whole.truncate(length);
            // Heartbeats are off; a server may send them all the same.
            if matches!(kind, METHOD | HEADER | BODY) {
                return Ok((kind, whole));
            }
        }
    }

    /// Whether an event can be had without waiting.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Waits for a delivery or a confirm.
    pub(crate) fn next(&mut self) -> Result<Event> {
        loop {
            let (kind, mut payload) = self.read_frame()?;
            ensure!(kind == METHOD, "frame {kind} out of place");
            let id = (payload.get_u16(), payload.get_u16());
            match id {
                DELIVER => {
                    let tag = usize::from(payload.get_u8());
                    payload.advance(tag);
                    let tag = payload.get_u64();
                    let body = self.body()?;
                    return Ok(Event::Delivered { tag, body });
                }
                ACK => {
                    let tag = payload.get_u64();
                    let multiple = payload.get_u8() & 1 == 1;
                    return Ok(Event::Confirmed { tag, multiple });
                }
                // Its socket says so too.
                BLOCKED | UNBLOCKED => {}
                CHANNEL_CLOSE | CONNECTION_CLOSE => {
                    bail!("closed: {}", String::from_utf8_lossy(&payload))
                }
                other => bail!("method {other:?} out of place"),
            }
        }
    }

    /// The content of a message; only its first frame is kept.
    fn body(&mut self) -> Result<Bytes> {
        let (kind, header) = self.read_frame()?;
        ensure!(kind == HEADER, "frame {kind} instead of a header");
        let size = header.get(4..12).and_then(|b| b.first_chunk::<8>());
        let mut left = u64::from_be_bytes(size.copied().unwrap_or_default());
        let mut first = Bytes::new();
        while left > 0 {
            let (kind, part) = self.read_frame()?;
            ensure!(kind == BODY, "frame {kind} instead of a body");
            left = left
                .checked_sub(part.len() as u64)
                .context("a body that is too long")?;
            if first.is_empty() {
                first = part;
            }
        }
        Ok(first)
    }
}
