//! One message from one format to another, in one pass and without a tree.
//!
//! A *reader* walks the input along the tables of the schema and tells a *sink* what it finds: a
//! field with its value, a message that opens, a list. A sink writes at once. Three readers and
//! three sinks make all pairs, each compiled by itself. What does not fit into a pass:
//!
//! - Protobuf lets fields come in any order, twice, and lists in pieces. A reader that meets this
//!   where the output cannot follow gives up, and the message is read once more through an index of
//!   each message's fields (`proto/index.rs`). So nobody pays for what nobody sends.
//! - An `Any` says what it is wherever it likes: JSON is searched for `@type` first, and Protobuf's
//!   bytes are kept until the type is known.
//! - Protobuf writes a message's length before it: a byte is left for it, and the message moved when
//!   it turns out to be longer than 127 bytes.

mod bits;
mod json;
mod output;
mod proto;
mod sink;
mod thrift;

pub(crate) use json::quote;
pub(crate) use proto::Wire;
pub use thrift::Protocol;

use json::{JsonReader, JsonSink};
use output::Output;
use proto::{ProtoReader, ProtoSink};
use sink::Sink;
use thrift::{
    Binary, BinaryWriter, Compact, CompactWriter, ThriftReader, ThriftSink, WireJson,
    WireJsonWriter,
};

use crate::config::Options;
use crate::error::{Cause, Error, Limit, Result};
use crate::snapshot::{Message, MessageId, Snapshot};

/// How a message is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Protobuf's canonical JSON.
    Json,
    /// Protobuf's wire format.
    Protobuf,
    /// A Thrift struct in one of Thrift's protocols.
    Thrift(Protocol),
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// Fields that the schema does not know and that were left out.
    pub dropped: u64,
}

impl Snapshot {
    /// Reads one message in `from` out of all of `input`, and appends it to `output` in `to`.
    ///
    /// # Errors
    /// Nothing is appended then. See [`crate::Cause`] for what can be wrong.
    pub fn transcode(
        &self,
        message: MessageId,
        from: Format,
        to: Format,
        input: &[u8],
        output: &mut Vec<u8>,
        options: &Options,
    ) -> Result<Report> {
        if input.len() > options.limits.input_bytes_max {
            return Err(Error::new(Cause::Over(Limit::Input)));
        }
        let start = output.len();
        let it = Transcoding {
            snapshot: self,
            message: self.message(message),
            from,
            input,
            options,
        };
        let done = it.to(to, output);
        if done.is_err() {
            output.truncate(start);
        }
        done
    }
}

/// Where a message comes from.
struct Transcoding<'s, 'a> {
    snapshot: &'s Snapshot,
    message: &'s Message,
    from: Format,
    input: &'a [u8],
    options: &'a Options,
}

impl<'s> Transcoding<'s, '_> {
    fn to(&self, to: Format, output: &mut Vec<u8>) -> Result<Report> {
        let out = Output::new(output, self.options.limits.output_bytes_max);
        let (snapshot, options) = (self.snapshot, self.options);
        match to {
            Format::Json => self.into(JsonSink::new(snapshot, options, out)),
            Format::Protobuf => self.into(ProtoSink::new(out)),
            Format::Thrift(Protocol::Binary) => {
                self.into(ThriftSink::<BinaryWriter>::new(snapshot, out))
            }
            Format::Thrift(Protocol::Compact) => {
                self.into(ThriftSink::<CompactWriter>::new(snapshot, out))
            }
            Format::Thrift(Protocol::Json) => {
                self.into(ThriftSink::<WireJsonWriter>::new(snapshot, out))
            }
        }
    }

    fn into<S: Sink<'s>>(&self, mut sink: S) -> Result<Report> {
        let (snapshot, options) = (self.snapshot, self.options);
        let dropped = match self.from {
            Format::Json => {
                let mut reader = JsonReader::new(snapshot, options, self.input)?;
                reader.root(self.message, &mut sink)?;
                reader.dropped
            }
            Format::Protobuf => {
                let mut reader = ProtoReader::new(snapshot, options);
                match reader.root(self.message, self.input, &mut sink) {
                    Err(error) if error.is_disorder() => {
                        sink.restart();
                        reader = ProtoReader::new(snapshot, options).through_index();
                        reader.root(self.message, self.input, &mut sink)?;
                    }
                    done => done?,
                }
                reader.dropped
            }
            Format::Thrift(protocol) => {
                let (message, input) = (self.message, self.input);
                match protocol {
                    Protocol::Binary => {
                        let mut reader = ThriftReader::<Binary<'_>>::new(snapshot, options, input)?;
                        reader.root(message, &mut sink)?;
                        reader.dropped
                    }
                    Protocol::Compact => {
                        let mut reader =
                            ThriftReader::<Compact<'_>>::new(snapshot, options, input)?;
                        reader.root(message, &mut sink)?;
                        reader.dropped
                    }
                    Protocol::Json => {
                        let mut reader =
                            ThriftReader::<WireJson<'_>>::new(snapshot, options, input)?;
                        reader.root(message, &mut sink)?;
                        reader.dropped
                    }
                }
            }
        };
        Ok(Report { dropped })
    }
}
