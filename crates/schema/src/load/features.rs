//! What a file's syntax or edition means for its fields: presence, packing, groups, closed enums.
//! Editions write it down as features, which whatever is inside inherits.

use crate::error::Result;
use crate::transcode::Wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldPresence {
    Explicit,
    Implicit,
    Required,
}

/// `google.protobuf.FeatureSet`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) presence: FieldPresence,
    pub(super) packed: bool,
    pub(super) delimited: bool,
    pub(super) closed: bool,
}

impl Features {
    pub(super) const PROTO2: Self = Self {
        presence: FieldPresence::Explicit,
        packed: false,
        delimited: false,
        closed: true,
    };
    pub(super) const PROTO3: Self = Self {
        presence: FieldPresence::Implicit,
        packed: true,
        delimited: false,
        closed: false,
    };
    /// Since edition 2023.
    pub(super) const EDITION: Self = Self {
        presence: FieldPresence::Explicit,
        packed: true,
        delimited: false,
        closed: false,
    };

    /// These, changed by the features in `options`, where they are field `number`.
    pub(super) fn with(mut self, options: &[u8], number: u32) -> Result<Self> {
        let mut wire = Wire::new(options);
        while !wire.is_empty() {
            let tag = wire.tag()?;
            if tag == number << 3 | 2 {
                self.read(wire.slice()?)?;
            } else {
                wire.skip(tag, 8)?;
            }
        }
        Ok(self)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<()> {
        let mut wire = Wire::new(bytes);
        while !wire.is_empty() {
            let tag = wire.tag()?;
            if tag & 7 != 0 {
                wire.skip(tag, 8)?;
                continue;
            }
            let value = wire.varint()?;
            match (tag >> 3, value) {
                (1, 1) => self.presence = FieldPresence::Explicit,
                (1, 2) => self.presence = FieldPresence::Implicit,
                (1, 3) => self.presence = FieldPresence::Required,
                (2, 1) => self.closed = false,
                (2, 2) => self.closed = true,
                (3, 1) => self.packed = true,
                (3, 2) => self.packed = false,
                (5, 1) => self.delimited = false,
                (5, 2) => self.delimited = true,
                _ => {}
            }
        }
        Ok(())
    }
}
