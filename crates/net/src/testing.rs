//! Scripts of bytes against a [`Session`], without a socket and with the time in the test's hand.
//!
//! [`Script`] plays the drive: it feeds bytes, asks the session as the loop does, and keeps what
//! comes out. [`check_splits`] plays one script in every way the network may cut it.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use base::ReadAt;
use bytes::{Bytes, BytesMut};

use crate::head::{Close, Lane, Next, Session};
use crate::output::{Output, Part};

/// A session and what the loop would hold for it.
#[derive(Debug)]
pub struct Script<S: Session> {
    /// The session under test.
    pub session: S,
    now: Instant,
    input: BytesMut,
    wanted: usize,
    waiting: bool,
    output: Output,
}

/// What a session asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<C> {
    /// [`Next::Call`].
    Call(Lane, C),
    /// [`Next::Subscribe`].
    Subscribe(Lane, C),
    /// [`Next::Cancel`].
    Cancel(Lane),
}

impl<S: Session> Script<S> {
    /// A session that was opened at `now`.
    pub fn new(session: S, now: Instant) -> Self {
        let (input, output) = (BytesMut::new(), Output::new());
        Self {
            session,
            now,
            input,
            wanted: 1,
            waiting: false,
            output,
        }
    }

    /// The peer sends `bytes`; what the session asks for, in order, until it needs more bytes or
    /// waits.
    ///
    /// # Errors
    /// The session's reason to end the connection; what it had asked for before that is lost (use
    /// [`Script::push`] and [`Script::next_asked`] to see it).
    ///
    /// # Panics
    /// As [`Script::next_asked`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Asked<S::Call>>, Close> {
        self.push(bytes);
        let mut all = Vec::new();
        while let Some(asked) = self.next_asked()? {
            all.push(asked);
        }
        Ok(all)
    }

    /// The peer sends `bytes`; the session is not asked yet.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next thing that the session asks for; `None` when it needs more bytes or waits.
    ///
    /// # Errors
    /// The session's reason to end the connection.
    ///
    /// # Panics
    /// When the session breaks the contract: asks for what it has, or makes a call of nothing.
    pub fn next_asked(&mut self) -> Result<Option<Asked<S::Call>>, Close> {
        if self.waiting || self.input.len() < self.wanted {
            return Ok(None);
        }
        let before = self.input.len();
        let next = self
            .session
            .receive(self.now, &mut self.input, &mut self.output)?;
        let used = before
            .checked_sub(self.input.len())
            .expect("a session only takes");
        self.wanted = 1;
        Ok(match next {
            Next::Bytes(n) => {
                assert!(n > self.input.len(), "the session asked for what it had");
                self.wanted = n;
                None
            }
            Next::Wait => {
                self.waiting = true;
                None
            }
            Next::Call(lane, call) => {
                assert!(used > 0, "a call of nothing would be made again and again");
                Some(Asked::Call(lane, call))
            }
            Next::Subscribe(lane, call) => Some(Asked::Subscribe(lane, call)),
            Next::Cancel(lane) => Some(Asked::Cancel(lane)),
        })
    }

    /// A call answers. Ask with `feed(b"")` whether the session goes on with its input.
    ///
    /// # Errors
    /// The session's reason to end the connection.
    pub fn reply(&mut self, lane: Lane, reply: S::Reply) -> Result<(), Close> {
        self.waiting = false;
        self.session.reply(self.now, lane, reply, &mut self.output)
    }

    /// A call ends without (another) reply.
    pub fn end_call(&mut self) {
        self.waiting = false;
    }

    /// Time passes; the session's deadlines are met on the way, each at its instant.
    ///
    /// # Errors
    /// The session's reason to end the connection.
    ///
    /// # Panics
    /// When `expire` does not move the deadline.
    pub fn advance(&mut self, by: Duration) -> Result<(), Close> {
        let end = self.now + by;
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.waiting = false;
            self.session.expire(self.now, &mut self.output)?;
            let next = self.session.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "`expire` must move the deadline"
            );
        }
        self.now = end;
        Ok(())
    }

    /// The connection ends; what the session says to that.
    pub fn close(&mut self, why: &Close) -> Vec<u8> {
        self.session.close(self.now, why, &mut self.output);
        self.output()
    }

    /// What was put out since the last look.
    pub fn output(&mut self) -> Vec<u8> {
        take(&mut self.output)
    }

    /// Whether the session said [`Next::Wait`].
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// The session's time.
    pub fn now(&self) -> Instant {
        self.now
    }
}

/// Plays `bytes` whole, one byte at a time, and cut in two at every place; each must make the same
/// calls, the same output and the same end. `answer` answers each call at once, with any number of
/// replies. Returns the calls (shown by `Debug`), the output, and the end.
///
/// # Panics
/// When two ways of cutting differ.
pub fn check_splits<S, A>(
    open: impl Fn() -> Script<S>,
    bytes: &[u8],
    answer: impl Fn(Lane, S::Call) -> A,
) -> (Vec<String>, Vec<u8>, Option<Close>)
where
    S: Session,
    S::Call: Debug,
    A: IntoIterator<Item = S::Reply>,
{
    let play = |cuts: &mut dyn Iterator<Item = &[u8]>| play(&mut open(), cuts, &answer);
    let whole = play(&mut std::iter::once(bytes));
    assert_eq!(play(&mut bytes.chunks(1)), whole, "one byte at a time");
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(play(&mut [first, second].into_iter()), whole, "cut at {at}");
    }
    whole
}

fn play<S, A>(
    script: &mut Script<S>,
    pieces: &mut dyn Iterator<Item = &[u8]>,
    answer: &impl Fn(Lane, S::Call) -> A,
) -> (Vec<String>, Vec<u8>, Option<Close>)
where
    S: Session,
    S::Call: Debug,
    A: IntoIterator<Item = S::Reply>,
{
    let mut calls = Vec::new();
    let mut feed = |piece: &[u8]| -> Result<(), Close> {
        script.push(piece);
        while let Some(asked) = script.next_asked()? {
            calls.push(format!("{asked:?}"));
            if let Asked::Call(lane, call) | Asked::Subscribe(lane, call) = asked {
                for reply in answer(lane, call) {
                    script.reply(lane, reply)?;
                }
                script.end_call();
            }
        }
        Ok(())
    };
    let end = pieces.map(&mut feed).find_map(Result::err);
    (calls, script.output(), end)
}

/// A "file" in memory, without a descriptor.
#[derive(Debug)]
pub struct MemoryFile(Bytes);

impl MemoryFile {
    /// A file that holds `bytes`.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }
}

impl ReadAt for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let from = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let n = buffer.len().min(self.0.len() - from);
        buffer[..n].copy_from_slice(&self.0[from..from + n]);
        Ok(n)
    }
}

/// Takes everything out of `output`, file ranges read.
///
/// # Panics
/// When a file range cannot be read: the test promised bytes that are not there.
pub fn take(output: &mut Output) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(output.len());
    for part in output.drain() {
        match part {
            Part::Owned(part) => bytes.extend_from_slice(&part),
            Part::Shared(part) => bytes.extend_from_slice(&part),
            Part::File(range) => {
                bytes.extend(range.read().expect("the file holds what was promised"));
            }
        }
    }
    bytes
}
