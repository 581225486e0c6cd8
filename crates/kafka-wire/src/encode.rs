//! Writing messages.

/// A message that does not fit its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Text or bytes longer than the version's length field counts.
    #[error("{0} bytes or elements are more than the length field can say")]
    TooLong(usize),
    /// A version that is not known.
    #[error("unknown version {0}")]
    Version(i16),
}

/// How each type is written.
pub(crate) mod put {
    use bytes::{BufMut, Bytes, BytesMut};
    use uuid::Uuid;

    use super::EncodeError;

    pub(crate) fn bool(out: &mut BytesMut, value: bool) {
        out.put_u8(u8::from(value));
    }

    pub(crate) fn uuid(out: &mut BytesMut, value: Uuid) {
        out.put_slice(value.as_bytes());
    }

    pub(crate) fn uvarint(out: &mut BytesMut, mut value: u32) {
        while value >= 0x80 {
            out.put_u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        out.put_u8(value as u8);
    }

    fn compact(out: &mut BytesMut, length: Option<usize>) -> Result<(), EncodeError> {
        let Some(length) = length else {
            out.put_u8(0);
            return Ok(());
        };
        let plus_one = u32::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(1));
        uvarint(out, plus_one.ok_or(EncodeError::TooLong(length))?);
        Ok(())
    }

    fn wide(length: usize) -> Result<i32, EncodeError> {
        i32::try_from(length).map_err(|_| EncodeError::TooLong(length))
    }

    pub(crate) fn length(
        out: &mut BytesMut,
        flexible: bool,
        length: usize,
    ) -> Result<(), EncodeError> {
        if flexible {
            return compact(out, Some(length));
        }
        out.put_i32(wide(length)?);
        Ok(())
    }

    /// A null that the version cannot express is written as empty.
    pub(crate) fn nullable_length(
        out: &mut BytesMut,
        flexible: bool,
        allowed: bool,
        count: Option<usize>,
    ) -> Result<(), EncodeError> {
        match count {
            None if allowed && flexible => compact(out, None),
            None if allowed => {
                out.put_i32(-1);
                Ok(())
            }
            count => length(out, flexible, count.unwrap_or(0)),
        }
    }

    pub(crate) fn string(
        out: &mut BytesMut,
        flexible: bool,
        value: &str,
    ) -> Result<(), EncodeError> {
        if flexible {
            compact(out, Some(value.len()))?;
        } else {
            let too_long = EncodeError::TooLong(value.len());
            out.put_i16(i16::try_from(value.len()).map_err(|_| too_long)?);
        }
        out.put_slice(value.as_bytes());
        Ok(())
    }

    pub(crate) fn nullable_string(
        out: &mut BytesMut,
        flexible: bool,
        allowed: bool,
        value: Option<&crate::Str>,
    ) -> Result<(), EncodeError> {
        match value {
            None if allowed && flexible => compact(out, None),
            None if allowed => {
                out.put_i16(-1);
                Ok(())
            }
            value => string(out, flexible, value.map_or("", |text| text.as_str())),
        }
    }

    pub(crate) fn bytes(
        out: &mut BytesMut,
        flexible: bool,
        value: &Bytes,
    ) -> Result<(), EncodeError> {
        length(out, flexible, value.len())?;
        out.put_slice(value);
        Ok(())
    }

    pub(crate) fn nullable_bytes(
        out: &mut BytesMut,
        flexible: bool,
        allowed: bool,
        value: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        nullable_length(out, flexible, allowed, value.map(Bytes::len))?;
        if let Some(value) = value {
            out.put_slice(value);
        }
        Ok(())
    }

    /// A tagged field: its tag, its size, and what `write` writes.
    pub(crate) fn tag(
        out: &mut BytesMut,
        tag: u32,
        write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut value = BytesMut::new();
        write(&mut value)?;
        uvarint(out, tag);
        uvarint(
            out,
            u32::try_from(value.len()).map_err(|_| EncodeError::TooLong(value.len()))?,
        );
        out.put_slice(&value);
        Ok(())
    }
}
