//! Schemas of calls and messages: what is said in `.proto` and `.thrift` files, made into tables on
//! which messages are carried from one format into another without a tree between them.
//!
//! | module | what it holds |
//! |---|---|
//! | `load` | from files and descriptor sets to a [`Snapshot`], with every problem named |
//! | `snapshot` | messages, enums, services and methods of one version, by index; immutable |
//! | `compat` | what a new snapshot breaks for those who have the old one |
//! | `transcode` | JSON, Protobuf and Thrift's three protocols, each into each, in one pass |
//! | `config` | limits and choices of transcoding |
//! | `error` | why a message was not transcoded, and where in it |
//!
//! No I/O, no async, no protocol: whoever has bytes and a snapshot gets bytes. Every limit of
//! [`Limits`] is compared before anything is allocated for what it bounds; recursion is as deep as
//! `depth_max` allows, and no deeper.

mod compat;
mod config;
mod error;
mod load;
mod snapshot;
mod transcode;

pub use compat::{Change, Rule};
pub use config::{Limits, Options, Unknown};
pub use error::{Cause, Error, Limit};
pub use load::{Loader, Problem, Problems};
pub use snapshot::{
    Enum, EnumId, Exception, Field, Idempotency, Kind, Message, MessageId, Method, MethodId,
    Origin, Presence, Service, ServiceId, Snapshot,
};
pub use transcode::{Format, Protocol, Report};

#[cfg(test)]
mod tests;
