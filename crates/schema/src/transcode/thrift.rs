//! Thrift's structs in its three protocols (apache/thrift, `doc/specs/`).
//!
//! Thrift has types that Protobuf lacks, and the other way round: containers in containers, maps
//! with any key, sets, uuids on one side, unsigned numbers on the other. What stands for what is
//! decided when a schema is loaded; here a container inside another is a message that is not
//! written, and a map whose keys Protobuf does not take is a list of messages of key and value.

mod binary;
mod compact;
mod protocol;
mod read;
mod uuid;
mod wire_json;
mod write;

pub(crate) use binary::{Binary, BinaryWriter};
pub(crate) use compact::{Compact, CompactWriter};
pub use protocol::Protocol;
pub(crate) use read::ThriftReader;
pub(crate) use wire_json::{WireJson, WireJsonWriter};
pub(crate) use write::ThriftSink;
