//! Protobuf's wire format.

mod index;
mod read;
mod wire;
mod write;

pub(crate) use read::{ProtoReader, missing};
pub(crate) use wire::Wire;
pub(crate) use write::ProtoSink;
