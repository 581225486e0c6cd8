//! What stands before every request and every answer.

use bytes::{BufMut, BytesMut};

use crate::decode::{DecodeError, Decoder};
use crate::encode::put;
use crate::messages::api_key::ApiKey;
use crate::str::Str;

/// The header of a request, versions 1 and 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which request; an [`ApiKey`] where it is known.
    pub api_key: i16,
    /// Its version.
    pub api_version: i16,
    /// What the answer repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// Reads a header. Its own version follows from the key and the version in it; of an unknown
    /// key only the fixed part is read, so that the caller can say which it was.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not one.
    pub fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (api_key, api_version, correlation_id) = (d.i16()?, d.i16()?, d.i32()?);
        let mut header = Self {
            api_key,
            api_version,
            correlation_id,
            client_id: None,
        };
        let Some(key) = ApiKey::from_number(api_key) else {
            return Ok(header);
        };
        // The client's name keeps its old encoding in the flexible header.
        header.client_id = d.nullable_string(false, true)?;
        if api_version >= key.flexible_from() {
            d.skip_tags()?;
        }
        Ok(header)
    }

    /// Writes it, for clients and tests.
    ///
    /// # Errors
    /// [`crate::EncodeError`] for a name that is too long.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), crate::EncodeError> {
        out.put_i16(self.api_key);
        out.put_i16(self.api_version);
        out.put_i32(self.correlation_id);
        put::nullable_string(out, false, true, self.client_id.as_ref())?;
        let key = ApiKey::from_number(self.api_key);
        if key.is_some_and(|key| self.api_version >= key.flexible_from()) {
            put::uvarint(out, 0);
        }
        Ok(())
    }
}

/// Writes the header of an answer. That of `ApiVersions` is always the oldest: its reader does
/// not know yet what the server speaks (KIP-511).
pub fn put_response_header(out: &mut BytesMut, key: ApiKey, version: i16, correlation_id: i32) {
    out.put_i32(correlation_id);
    if key != ApiKey::ApiVersions && version >= key.flexible_from() {
        put::uvarint(out, 0);
    }
}
