//! The properties of a content: flags, and the values that they announce, in the flags' order.
//!
//! They are kept as the bytes that came. [`Properties`] walks them; what the broker must change
//! (a private key removed, a death recorded) is written anew by [`Properties::write`].

use bytes::{Bytes, BytesMut};

use super::{Malformed, Reader, Table, Writer};

/// `content-type`
pub const CONTENT_TYPE: u16 = 0x8000;
/// `content-encoding`
pub const CONTENT_ENCODING: u16 = 0x4000;
/// `headers`
pub const HEADERS: u16 = 0x2000;
/// `delivery-mode`
pub const DELIVERY_MODE: u16 = 0x1000;
/// `priority`
pub const PRIORITY: u16 = 0x0800;
/// `correlation-id`
pub const CORRELATION_ID: u16 = 0x0400;
/// `reply-to`
pub const REPLY_TO: u16 = 0x0200;
/// `expiration`
pub const EXPIRATION: u16 = 0x0100;
/// `message-id`
pub const MESSAGE_ID: u16 = 0x0080;
/// `timestamp`
pub const TIMESTAMP: u16 = 0x0040;
/// `type`
pub const TYPE: u16 = 0x0020;
/// `user-id`
pub const USER_ID: u16 = 0x0010;
/// `app-id`
pub const APP_ID: u16 = 0x0008;
/// `cluster-id`
pub const CLUSTER_ID: u16 = 0x0004;

/// No properties at all.
pub const NONE: [u8; 2] = [0, 0];

/// Properties, taken apart; strings stay slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    /// `content-type`
    pub content_type: Option<&'a [u8]>,
    /// `content-encoding`
    pub content_encoding: Option<&'a [u8]>,
    /// `headers`: the table's entries without their length.
    pub headers: Option<&'a [u8]>,
    /// `delivery-mode`: 2 is persistent.
    pub delivery_mode: Option<u8>,
    /// `priority`
    pub priority: Option<u8>,
    /// `correlation-id`
    pub correlation_id: Option<&'a [u8]>,
    /// `reply-to`
    pub reply_to: Option<&'a [u8]>,
    /// `expiration`: milliseconds as digits.
    pub expiration: Option<&'a [u8]>,
    /// `message-id`
    pub message_id: Option<&'a [u8]>,
    /// `timestamp`: seconds.
    pub timestamp: Option<u64>,
    /// `type`
    pub kind: Option<&'a [u8]>,
    /// `user-id`
    pub user_id: Option<&'a [u8]>,
    /// `app-id`
    pub app_id: Option<&'a [u8]>,
    /// `cluster-id`
    pub cluster_id: Option<&'a [u8]>,
}

/// The flags of a property block.
#[must_use]
pub fn flags(block: &[u8]) -> u16 {
    block
        .first_chunk::<2>()
        .map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

impl<'a> Properties<'a> {
    /// Walks a block.
    ///
    /// # Errors
    /// A block that ends too early, goes on behind its last value, or has a text that is none.
    pub fn read(block: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(block);
        let flags = reader.u16()?;
        let has = |flag: u16| flags & flag != 0;
        let mut all = Self::default();
        let short = |reader: &mut Reader<'a>, flag: u16| {
            if !has(flag) {
                return Ok(None);
            }
            reader.short().map(|text| Some(text.as_bytes()))
        };
        all.content_type = short(&mut reader, CONTENT_TYPE)?;
        all.content_encoding = short(&mut reader, CONTENT_ENCODING)?;
        if has(HEADERS) {
            all.headers = Some(reader.long()?);
        }
        if has(DELIVERY_MODE) {
            all.delivery_mode = Some(reader.u8()?);
        }
        if has(PRIORITY) {
            all.priority = Some(reader.u8()?);
        }
        all.correlation_id = short(&mut reader, CORRELATION_ID)?;
        all.reply_to = short(&mut reader, REPLY_TO)?;
        all.expiration = short(&mut reader, EXPIRATION)?;
        all.message_id = short(&mut reader, MESSAGE_ID)?;
        if has(TIMESTAMP) {
            all.timestamp = Some(reader.u64()?);
        }
        all.kind = short(&mut reader, TYPE)?;
        all.user_id = short(&mut reader, USER_ID)?;
        all.app_id = short(&mut reader, APP_ID)?;
        all.cluster_id = short(&mut reader, CLUSTER_ID)?;
        reader.end()?;
        Ok(all)
    }

    /// The headers, taken apart.
    ///
    /// # Errors
    /// As [`Reader::table`].
    pub fn header_table(&self) -> Result<Table, Malformed> {
        self.headers
            .map_or_else(|| Ok(Table::new()), |bytes| Reader::new(bytes).bare_table())
    }

    /// Writes them, with `headers` in the place of theirs.
    #[must_use]
    pub fn write(&self, headers: Option<&Table>) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        let mut writer = Writer::new(&mut out);
        writer.u16(self.flags(headers.is_some()));
        let short = |writer: &mut Writer<'_>, value: Option<&[u8]>| {
            if let Some(value) = value {
                writer.short(value);
            }
        };
        short(&mut writer, self.content_type);
        short(&mut writer, self.content_encoding);
        if let Some(headers) = headers {
            writer.table(headers);
        }
        if let Some(mode) = self.delivery_mode {
            writer.u8(mode);
        }
        if let Some(priority) = self.priority {
            writer.u8(priority);
        }
        short(&mut writer, self.correlation_id);
        short(&mut writer, self.reply_to);
        short(&mut writer, self.expiration);
        short(&mut writer, self.message_id);
        if let Some(seconds) = self.timestamp {
            writer.u64(seconds);
        }
        short(&mut writer, self.kind);
        short(&mut writer, self.user_id);
        short(&mut writer, self.app_id);
        short(&mut writer, self.cluster_id);
        out.freeze()
    }

    fn flags(&self, headers: bool) -> u16 {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        flag(self.content_type.is_some(), CONTENT_TYPE)
            | flag(self.content_encoding.is_some(), CONTENT_ENCODING)
            | flag(headers, HEADERS)
            | flag(self.delivery_mode.is_some(), DELIVERY_MODE)
            | flag(self.priority.is_some(), PRIORITY)
            | flag(self.correlation_id.is_some(), CORRELATION_ID)
            | flag(self.reply_to.is_some(), REPLY_TO)
            | flag(self.expiration.is_some(), EXPIRATION)
            | flag(self.message_id.is_some(), MESSAGE_ID)
            | flag(self.timestamp.is_some(), TIMESTAMP)
            | flag(self.kind.is_some(), TYPE)
            | flag(self.user_id.is_some(), USER_ID)
            | flag(self.app_id.is_some(), APP_ID)
            | flag(self.cluster_id.is_some(), CLUSTER_ID)
    }
}
