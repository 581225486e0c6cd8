//! One connection: cuts frames, keeps the state of the authentication, writes the answers.
//!
//! Everything is answered in the order of arrival (lane 0). Until a client has authenticated,
//! where it has to, nothing but the steps of the authentication is taken, in small frames; while a
//! step is being decided nothing is taken at all.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_wire::{ApiKey, Decoder, RequestHeader, produce};
use net::head::{Close, Lane, Next, Output, Peer, Session};

use crate::Shared;
use crate::codec::{self, Decided, Reply};
use crate::config::Mechanism;
use crate::handlers;
use crate::sasl;

/// How long the answer to a failed authentication is held back.
const FAILURE_DELAY: Duration = Duration::from_millis(100);
/// How many times the bytes of a request are in memory at most while it is answered, beside its
/// structures: as they came, as the engine keeps them, in a sentence about them, and in the answer,
/// whose buffer may have grown to twice of what it holds.
const COPIES: usize = 5;
/// What an element of a produce's lists takes in memory while it is answered.
const PRODUCE_ELEMENT: usize = 640;
/// All answers of a connection keep the order of their requests.
const LANE: Lane = Lane(0);

/// What the requests of one connection have in common.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The two ends.
    pub(crate) peer: Peer,
    /// Who authenticated.
    pub(crate) principal: Option<String>,
    /// Produce requests that wait for room in the commit queue; as long as there are any, later
    /// ones wait behind them.
    pub(crate) deferred: Arc<AtomicUsize>,
}

/// A request, its header taken off.
#[derive(Debug)]
pub struct Request {
    pub(crate) connection: Arc<Connection>,
    pub(crate) header: RequestHeader,
    pub(crate) key: ApiKey,
    pub(crate) body: Bytes,
}

/// What a connection asks of the head.
#[derive(Debug)]
pub enum Call {
    /// A request.
    Request(Request),
    /// A step of an authentication.
    Authenticate(Authenticate),
}

/// A step of an authentication.
#[derive(Debug)]
pub struct Authenticate {
    pub(crate) step: sasl::Step,
    /// `None`: the token came bare, as after the first version of the handshake.
    pub(crate) header: Option<RequestHeader>,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
enum State {
    /// Requests are served.
    Open,
    /// The client has to authenticate.
    Closed,
    /// A mechanism was chosen; `bare` is whether tokens come without a header.
    Step { step: sasl::Step, bare: bool },
    /// A step is being decided.
    Deciding { bare: bool },
    /// The answer is held back, then the connection ends.
    Refused { answer: Bytes, at: Instant },
}

/// A connection's session.
#[derive(Debug)]
pub struct KafkaSession {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    state: State,
    /// When the authentication has to be repeated.
    expires: Option<Instant>,
}

impl KafkaSession {
    pub(crate) fn new(shared: Arc<Shared>, peer: Peer) -> Self {
        let state = if shared.config.sasl {
            State::Closed
        } else {
            State::Open
        };
        let deferred = Arc::new(AtomicUsize::new(0));
        let connection = Arc::new(Connection {
            peer,
            principal: None,
            deferred,
        });
        Self {
            shared,
            connection,
            state,
            expires: None,
        }
    }

    fn frame_max(&self) -> (usize, &'static str) {
        let config = &self.shared.config;
        if matches!(self.state, State::Open) {
            (
                config.request_bytes_max.as_usize(),
                "kafka.request_bytes_max",
            )
        } else {
            (
                config.sasl_frame_bytes_max.as_usize(),
                "kafka.sasl_frame_bytes_max",
            )
        }
    }

    /// A whole frame: what to do with it.
    fn frame(&mut self, now: Instant, frame: Bytes) -> Result<Next<Call>, Close> {
        if let State::Step { bare: true, .. } = self.state {
            return self.authenticate(None, frame);
        }
        let (header, key, body) = codec::request(frame)?;
        match self.state {
            State::Open => {
                let expired = self.expires.is_some_and(|at| now >= at);
                let renews = matches!(key, ApiKey::SaslHandshake | ApiKey::ApiVersions);
                if expired && !renews {
                    return Err(Close::denied("the authentication has expired"));
                }
            }
            State::Closed | State::Step { .. } => {}
            State::Deciding { .. } | State::Refused { .. } => return Ok(Next::Wait),
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "only the steps of the authentication are special"
        )]
        match key {
            ApiKey::SaslHandshake if self.shared.config.sasl => {
                Ok(self.handshake(header, key, body))
            }
            ApiKey::SaslAuthenticate if matches!(self.state, State::Step { .. }) => {
                self.authenticate(Some(header), body)
            }
            _ if matches!(self.state, State::Open) || key == ApiKey::ApiVersions => {
                Ok(self.request(header, key, body))
            }
            _ => Err(Close::denied("a request before authentication")),
        }
    }

    fn request(&self, header: RequestHeader, key: ApiKey, body: Bytes) -> Next<Call> {
        let connection = self.connection.clone();
        Next::Call(
            LANE,
            Call::Request(Request {
                connection,
                header,
                key,
                body,
            }),
        )
    }

    /// The choice of a mechanism takes effect at once; the handler answers the same way.
    fn handshake(&mut self, header: RequestHeader, key: ApiKey, body: Bytes) -> Next<Call> {
        let tls = self.connection.peer.tls.is_some();
        if let Some(mechanism) =
            handlers::chosen_mechanism(&self.shared.config, tls, &header, &body)
        {
            let bare = header.api_version == 0;
            self.state = State::Step {
                step: sasl::Step::First(mechanism),
                bare,
            };
        }
        self.request(header, key, body)
    }

    fn authenticate(
        &mut self,
        header: Option<RequestHeader>,
        body: Bytes,
    ) -> Result<Next<Call>, Close> {
        let bare = header.is_none();
        let state = std::mem::replace(&mut self.state, State::Deciding { bare });
        let State::Step { step, .. } = state else {
            return Err(Close::protocol("a token without a handshake"));
        };
        Ok(Next::Call(
            LANE,
            Call::Authenticate(Authenticate { step, header, body }),
        ))
    }

    fn decided(
        &mut self,
        now: Instant,
        outcome: sasl::Outcome,
        answer: Bytes,
        output: &mut Output,
    ) -> Result<(), Close> {
        let bare = matches!(self.state, State::Deciding { bare: true });
        match outcome {
            sasl::Outcome::Continue(step) => self.state = State::Step { step, bare },
            sasl::Outcome::Done {
                principal,
                lifetime,
            } => {
                if self
                    .connection
                    .principal
                    .as_ref()
                    .is_some_and(|before| *before != principal)
                {
                    return Err(Close::denied("re-authentication as somebody else"));
                }
                self.connection = Arc::new(Connection {
                    peer: self.connection.peer.clone(),
                    principal: Some(principal),
                    deferred: self.connection.deferred.clone(),
                });
                self.expires = lifetime.map(|lifetime| now + lifetime);
                self.state = State::Open;
            }
            sasl::Outcome::Refused => {
                self.state = State::Refused {
                    answer,
                    at: now + FAILURE_DELAY,
                };
                return Ok(());
            }
        }
        output.push(answer);
        Ok(())
    }
}

impl Session for KafkaSession {
    type Call = Call;
    type Reply = Reply;

    fn receive(
        &mut self,
        now: Instant,
        input: &mut BytesMut,
        _output: &mut Output,
    ) -> Result<Next<Call>, Close> {
        if matches!(self.state, State::Deciding { .. } | State::Refused { .. }) {
            return Ok(Next::Wait);
        }
        let Some(length) = input.first_chunk::<4>() else {
            return Ok(Next::Bytes(4));
        };
        let (max, name) = self.frame_max();
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            return Err(Close::protocol("a frame of negative length"));
        };
        if length > max {
            return Err(Close::Limit(name));
        }
        let control_max = self.shared.config.control_bytes_max.as_usize();
        if length > control_max {
            let Some(key) = input.get(4..).and_then(<[u8]>::first_chunk::<2>) else {
                return Ok(Next::Bytes(6));
            };
            if i16::from_be_bytes(*key) != ApiKey::Produce.number() {
                return Err(Close::Limit("kafka.control_bytes_max"));
            }
        }
        if input.len() < 4 + length {
            return Ok(Next::Bytes(4 + length));
        }
        let frame = input.split_to(4 + length).freeze().slice(4..);
        self.frame(now, frame)
    }

    fn reply(
        &mut self,
        now: Instant,
        _lane: Lane,
        reply: Reply,
        output: &mut Output,
    ) -> Result<(), Close> {
        match reply {
            Reply::Frame(frame) => output.push(frame),
            Reply::Produce(reply) => reply.write(output),
            Reply::Fetch(reply) => reply.write(output),
            Reply::Authenticated(Decided { outcome, answer }) => {
                return self.decided(now, outcome, answer, output);
            }
            Reply::Close(why) => return Err(why),
        }
        Ok(())
    }

    /// What the request's bytes, its structures and its copies take; what the answer takes beyond
    /// that is charged by `room` before it is built.
    fn weight(&self, call: &Call, bytes: usize) -> usize {
        let elements_max = self.shared.config.elements_per_request_max;
        match call {
            // Its records stay slices of the frame.
            Call::Request(request) if request.key == ApiKey::Produce => {
                let version = request.header.api_version;
                let elements = produce::elements(&request.body, version, elements_max);
                bytes.saturating_add(elements.saturating_mul(PRODUCE_ELEMENT))
            }
            Call::Request(_) | Call::Authenticate(_) => {
                let structures = Decoder::memory_max(bytes, elements_max);
                bytes.saturating_mul(COPIES).saturating_add(structures)
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Refused { at, .. } => Some(at),
            State::Open | State::Closed | State::Step { .. } | State::Deciding { .. } => None,
        }
    }

    fn expire(&mut self, _now: Instant, output: &mut Output) -> Result<(), Close> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        if let State::Refused { answer, .. } = state {
            output.push(answer);
            return Err(Close::denied("authentication failed"));
        }
        self.state = state;
        Ok(())
    }

    fn is_established(&self) -> bool {
        matches!(self.state, State::Open)
    }
}

/// The mechanism called `name`, if it is offered.
pub(crate) fn offered(config: &crate::Config, tls: bool, name: &str) -> Option<Mechanism> {
    config
        .mechanisms(tls)
        .find(|mechanism| mechanism.name() == name)
}
