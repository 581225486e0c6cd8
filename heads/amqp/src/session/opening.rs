//! From the protocol's header to an open connection, and the methods of the connection.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use net::head::{Close, Next, Output};

use super::{AmqpSession, CONNECTION, Client, State, Step, put};
use crate::access;
use crate::call::{Ask, Call, Principal, Proof, Scope};
use crate::codec::{Method, PROTOCOL_HEADER, PROTOCOL_HEADER_0_9, Reader, Table, Value};
use crate::config::FRAME_MIN;
use crate::error::{Code, Failure};

/// What the server can do beyond the specification.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// What the methods of a connection lead to: the end, or a failure, or what is next.
type Outcome = Result<Result<Step, Failure>, Close>;

impl AmqpSession {
    /// The eight bytes that a client opens with.
    pub(super) fn protocol_header(
        &mut self,
        input: &mut BytesMut,
        output: &mut Output,
    ) -> Result<Step, Close> {
        let Some(header) = input.first_chunk::<8>().copied() else {
            // What cannot become the header is refused at once.
            let begun = input.len().min(4);
            if input.get(..begun) != PROTOCOL_HEADER.get(..begun) {
                return Err(self.not_amqp(input, output));
            }
            return Ok(Step::Next(Next::Bytes(8)));
        };
        if header != PROTOCOL_HEADER && header != PROTOCOL_HEADER_0_9 {
            return Err(self.not_amqp(input, output));
        }
        input.advance(8);
        put(output, 0, &self.start());
        self.state = State::Starting;
        Ok(Step::On)
    }

    /// Says what would be understood.
    fn not_amqp(&self, input: &BytesMut, output: &mut Output) -> Close {
        let what = match input.first_chunk::<4>() {
            Some(b"GET " | b"POST" | b"HEAD") => "HTTP",
            Some([0x16, 3, ..]) => "TLS",
            Some(b"AMQP") => "another version of AMQP",
            _ => "another protocol",
        };
        tracing::debug!(peer = %self.peer.addr, what, "not AMQP 0-9-1");
        output.put(&PROTOCOL_HEADER);
        Close::protocol(format!("a client that speaks {what}"))
    }

    fn mechanisms(&self) -> &'static str {
        let verified = self
            .peer
            .tls
            .as_ref()
            .is_some_and(|tls| tls.subject.is_some());
        if verified {
            "PLAIN AMQPLAIN EXTERNAL"
        } else {
            "PLAIN AMQPLAIN"
        }
    }

    fn start(&self) -> Method {
        let mut capabilities = Table::new();
        for name in CAPABILITIES {
            capabilities.push(name, Value::Bool(true));
        }
        let server_properties = Table::new()
            .with("capabilities", Value::Table(capabilities))
            .with("cluster_name", Value::text("stentor"))
            .with("copyright", Value::text("The Stentor authors"))
            .with("information", Value::text("Licensed under Apache-2.0"))
            .with("platform", Value::text("Rust"))
            .with("product", Value::text(&self.shared.config.product))
            .with("version", Value::text(env!("CARGO_PKG_VERSION")));
        Method::Start {
            version_major: 0,
            version_minor: 9,
            server_properties,
            mechanisms: Bytes::from_static(self.mechanisms().as_bytes()),
            locales: Bytes::from_static(b"en_US"),
        }
    }

    /// A method of the connection.
    pub(super) fn connection_method(
        &mut self,
        now: Instant,
        method: Method,
        output: &mut Output,
    ) -> Outcome {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "everything else is out of place in every state"
        )]
        match (self.state, method) {
            (
                State::Starting,
                Method::StartOk {
                    client_properties,
                    mechanism,
                    response,
                    ..
                },
            ) => {
                self.client = client(&client_properties);
                let proof = self.proof(&mechanism, &response)?;
                self.client.mechanism = mechanism;
                self.state = State::Authenticating;
                let call = Call::Authenticate(proof, self.holds.hold());
                Ok(Ok(Step::Next(Next::Call(CONNECTION, call))))
            }
            (
                State::Tuning,
                Method::TuneOk {
                    channel_max,
                    frame_max,
                    heartbeat,
                },
            ) => Ok(self.tune(now, channel_max, frame_max, heartbeat)),
            (State::Opening, Method::Open { virtual_host, .. }) => {
                Ok(self.open(&virtual_host, output))
            }
            (State::Running, Method::UpdateSecret { secret, reason }) => {
                let method = Method::UpdateSecret { secret, reason };
                Ok(self.ask(0, None, method))
            }
            (State::Tuning | State::Opening | State::Running, Method::Close { .. }) => {
                Ok(Ok(self.closed_by_client(output)?))
            }
            (State::Running, _) => Ok(Err(Failure::new(
                Code::CommandInvalid,
                "unimplemented method",
            ))),
            (state, method) => {
                let state = match state {
                    State::Tuning => "tuning",
                    State::Opening => "opening",
                    _ => "starting",
                };
                let why = format!(
                    "unexpected method '{}' in connection state {state}",
                    method.name()
                );
                Ok(Err(Failure::new(Code::ChannelError, why)))
            }
        }
    }

    /// The client wants to go: its channels end at once, then what is its own.
    fn closed_by_client(&mut self, output: &mut Output) -> Result<Step, Close> {
        self.drop_channels();
        let Some(scope) = &self.scope else {
            put(output, 0, &Method::CloseOk {});
            return Err(Close::Done);
        };
        self.state = State::Ending;
        let call = Call::Close(scope.owner, self.holds.hold());
        Ok(Step::Next(Next::Call(CONNECTION, call)))
    }

    /// A method that is carried out by the head and answered when it is done.
    pub(super) fn ask(
        &self,
        channel: u16,
        last_queue: Option<crate::codec::Name>,
        method: Method,
    ) -> Result<Step, Failure> {
        let ask = Ask {
            scope: self.scope()?,
            channel,
            last_queue,
            method,
            hold: self.holds.hold(),
        };
        let call = Call::Ask(Box::new(ask));
        Ok(Step::Next(Next::Call(self.lane(channel), call)))
    }

    /// What a client proves itself with.
    fn proof(&self, mechanism: &str, response: &[u8]) -> Result<Proof, Close> {
        let broken = || Close::protocol("a token of an authentication that makes no sense");
        match mechanism {
            "PLAIN" => {
                let text = std::str::from_utf8(response).map_err(|_| broken())?;
                // [authorization] NUL user NUL password (RFC 4616 2).
                let mut parts = text.splitn(3, '\0').skip(1).map(str::to_owned);
                match (parts.next(), parts.next()) {
                    (Some(user), Some(password)) => Ok(Proof::Password {
                        user,
                        password,
                        loopback: self.is_near(),
                    }),
                    _ => Err(broken()),
                }
            }
            "AMQPLAIN" => {
                let table = Reader::new(response).bare_table().map_err(|_| broken())?;
                let text = |name| {
                    let value = table.get(name).and_then(Value::as_str);
                    value.map(str::to_owned).ok_or_else(broken)
                };
                Ok(Proof::Password {
                    user: text("LOGIN")?,
                    password: text("PASSWORD")?,
                    loopback: self.is_near(),
                })
            }
            "EXTERNAL" => {
                let tls = self.peer.tls.as_ref();
                let subject = tls.and_then(|tls| tls.subject.clone());
                subject.map(Proof::Certificate).ok_or_else(broken)
            }
            _ => Err(Close::protocol("an authentication that was not offered")),
        }
    }

    /// Whether the peer is on this machine.
    fn is_near(&self) -> bool {
        self.peer.addr.ip().to_canonical().is_loopback()
    }

    /// Somebody was authenticated, or not.
    pub(super) fn authenticated(
        &mut self,
        principal: Option<Principal>,
        output: &mut Output,
    ) -> Result<(), Close> {
        let Some(principal) = principal else {
            self.shared.metrics.failure(Code::AccessRefused);
            if self.client.failure_close {
                let text = format!(
                    "ACCESS_REFUSED - Login was refused using authentication mechanism {}. \
                     For details see the broker logfile.",
                    self.client.mechanism
                );
                let close = Method::Close {
                    code: Code::AccessRefused.number(),
                    text: text.into(),
                    class: 0,
                    method: 0,
                };
                put(output, 0, &close);
            }
            return Err(Close::denied("wrong user or password"));
        };
        self.principal = Some(principal);
        let config = &self.shared.config;
        let tune = Method::Tune {
            channel_max: config.channels_max,
            frame_max: config.frame_max(),
            heartbeat: config.heartbeat_seconds(),
        };
        put(output, 0, &tune);
        self.state = State::Tuning;
        Ok(())
    }

    fn tune(
        &mut self,
        now: Instant,
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    ) -> Result<Step, Failure> {
        let config = &self.shared.config;
        agreed(
            "channel_max",
            channel_max.into(),
            config.channels_max.into(),
        )?;
        agreed("frame_max", frame_max, config.frame_max())?;
        if frame_max < FRAME_MIN {
            return Err(Failure::new(
                Code::NotAllowed,
                format!(
                    "negotiated frame_max = {frame_max} is lower than the minimum allowed value ({FRAME_MIN})"
                ),
            ));
        }
        self.channel_max = channel_max;
        self.frame_max = usize::try_from(frame_max).unwrap_or(usize::MAX);
        self.life.tune(now, heartbeat);
        self.state = State::Opening;
        Ok(Step::On)
    }

    fn open(&mut self, virtual_host: &str, output: &mut Output) -> Result<Step, Failure> {
        let Some(principal) = &self.principal else {
            return Err(Failure::new(Code::InternalError, "nobody has come in"));
        };
        let broker = &self.shared.broker;
        if !access::namespace_exists(broker, virtual_host) {
            let why = format!("vhost {virtual_host} not found");
            return Err(Failure::new(Code::NotAllowed, why));
        }
        let scope = Scope {
            user: principal.user.clone(),
            is_default_user: principal.is_default_user,
            namespace: Arc::from(virtual_host),
            owner: broker.queues().new_owner(),
        };
        if !access::may_enter(broker, &scope) {
            let why = format!(
                "access to vhost '{virtual_host}' refused for user '{}'",
                principal.user
            );
            return Err(Failure::new(Code::NotAllowed, why));
        }
        self.scope = Some(Arc::new(scope));
        self.state = State::Running;
        put(
            output,
            0,
            &Method::OpenOk {
                known_hosts: "".into(),
            },
        );
        Ok(Step::On)
    }

    /// What is said when the connection ends for a reason that is not the client's.
    pub(super) fn last_words(&self, why: &Close, output: &mut Output) {
        if !matches!(self.state, State::Running | State::Opening | State::Tuning) {
            return;
        }
        let (code, text) = match why {
            Close::Drain => (Code::ConnectionForced, "the broker shuts down".to_owned()),
            Close::Memory | Close::Slow | Close::Limit(_) => (Code::ResourceError, why.to_string()),
            Close::Protocol(_) => (Code::InternalError, why.to_string()),
            // Who is silent does not listen either; who is refused or done was told.
            Close::Peer
            | Close::Done
            | Close::Denied(_)
            | Close::Idle
            | Close::Handshake
            | Close::Io(_) => return,
        };
        let failure = Failure::new(code, text);
        let close = Method::Close {
            code: code.number(),
            text: failure.text(),
            class: 0,
            method: 0,
        };
        put(output, 0, &close);
    }
}

/// What a client says to an offer: no more than it, and not "no limit".
fn agreed(name: &str, wanted: u32, offered: u32) -> Result<(), Failure> {
    if wanted > 0 && wanted <= offered {
        return Ok(());
    }
    let unlimited = if wanted == 0 { " (no limit)" } else { "" };
    Err(Failure::new(
        Code::NotAllowed,
        format!(
            "negotiated {name} = {wanted}{unlimited} is higher than the maximum allowed value ({offered})"
        ),
    ))
}

/// What a client says about itself.
fn client(properties: &Table) -> Client {
    let none = Table::new();
    let capabilities = match properties.get("capabilities") {
        Some(Value::Table(table)) => table,
        _ => &none,
    };
    let name = properties.get("connection_name").and_then(Value::as_str);
    Client {
        name: name.unwrap_or_default().chars().take(255).collect(),
        cancel_notify: capabilities.is_true("consumer_cancel_notify"),
        blocked: capabilities.is_true("connection.blocked"),
        mechanism: "".into(),
        failure_close: capabilities.is_true("authentication_failure_close"),
    }
}
