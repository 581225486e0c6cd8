//! Services and methods, with what their definition says about calling them.

use super::{MessageId, ServiceId};

/// The language that something was defined in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A `.proto` file or a descriptor set.
    Protobuf,
    /// A `.thrift` file.
    Thrift,
}

/// What the definition promises about calling a method twice (Protobuf's `idempotency_level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Idempotency {
    /// Nothing.
    #[default]
    Unknown,
    /// A call changes nothing.
    NoSideEffects,
    /// The second call changes nothing more.
    Idempotent,
}

/// A service.
#[derive(Debug)]
pub struct Service {
    pub(crate) name: Box<str>,
    pub(crate) origin: Origin,
    pub(crate) methods: Vec<super::MethodId>,
    pub(crate) options: Box<[u8]>,
    pub(crate) annotations: Vec<(Box<str>, Box<str>)>,
    pub(crate) file: Box<str>,
}

impl Service {
    /// Its full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that defines it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it was defined in.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Its methods in the order of the definition; those of services that it extends come first.
    #[must_use]
    pub fn methods(&self) -> &[super::MethodId] {
        &self.methods
    }

    /// `google.protobuf.ServiceOptions` as in the descriptor, custom options included.
    #[must_use]
    pub fn options(&self) -> &[u8] {
        &self.options
    }

    /// Thrift's annotations in parentheses.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations
            .iter()
            .map(|(key, value)| (&**key, &**value))
    }
}

/// An exception that a Thrift method declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The field id in the reply.
    pub id: i16,
    /// The name of that field.
    pub name: Box<str>,
    /// What is in it.
    pub message: MessageId,
}

/// A method.
#[derive(Debug)]
pub struct Method {
    pub(crate) name: Box<str>,
    pub(crate) service: ServiceId,
    pub(crate) input: MessageId,
    pub(crate) output: MessageId,
    pub(crate) client_streams: bool,
    pub(crate) server_streams: bool,
    pub(crate) oneway: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) exceptions: Vec<Exception>,
    pub(crate) bare_output: bool,
    pub(crate) options: Box<[u8]>,
    pub(crate) annotations: Vec<(Box<str>, Box<str>)>,
}

impl Method {
    /// Its name without the service's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose it is.
    #[must_use]
    pub fn service(&self) -> ServiceId {
        self.service
    }

    /// What it is called with. Of a Thrift method: its arguments, as one message.
    #[must_use]
    pub fn input(&self) -> MessageId {
        self.input
    }

    /// What it answers. Of a Thrift method whose result is no struct: a message whose only field is
    /// `success`, or without fields for `void` (see [`Self::bare_output`]).
    #[must_use]
    pub fn output(&self) -> MessageId {
        self.output
    }

    /// Whether the caller sends a stream.
    #[must_use]
    pub fn client_streams(&self) -> bool {
        self.client_streams
    }

    /// Whether the callee sends a stream.
    #[must_use]
    pub fn server_streams(&self) -> bool {
        self.server_streams
    }

    /// Whether nobody waits for an answer.
    #[must_use]
    pub fn oneway(&self) -> bool {
        self.oneway
    }

    /// What the definition promises about calling it twice.
    #[must_use]
    pub fn idempotency(&self) -> Idempotency {
        self.idempotency
    }

    /// Thrift's declared exceptions.
    #[must_use]
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// Whether the output's field stands in Thrift's reply by itself: the result struct *is* the
    /// output, with `success` at id 0. Otherwise field 0 of the reply holds the output.
    #[must_use]
    pub fn bare_output(&self) -> bool {
        self.bare_output
    }

    /// `google.protobuf.MethodOptions` as in the descriptor, custom options included.
    #[must_use]
    pub fn options(&self) -> &[u8] {
        &self.options
    }

    /// Thrift's annotations in parentheses.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations
            .iter()
            .map(|(key, value)| (&**key, &**value))
    }
}
