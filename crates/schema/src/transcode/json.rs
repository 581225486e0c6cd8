//! Protobuf's canonical JSON.

mod any;
mod base64;
mod number;
mod read;
mod read_known;
mod text;
mod time;
mod token;
mod write;
mod write_known;

pub(super) use base64::{decode as decode_base64, encode as encode_base64};
pub(crate) use read::JsonReader;
pub(crate) use text::quote;
pub(super) use text::write_quoted;
pub(super) use token::Tokens;
pub(crate) use write::JsonSink;
pub(super) use write::write_double;
