//! Reading one frame, which lies in memory as a whole.

use bytes::{Buf, Bytes};
use uuid::Uuid;

use crate::str::Str;

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame ends before the message does, or a length reaches past its end.
    #[error("a length reaches past the end of the frame")]
    Short,
    /// A length that cannot be.
    #[error("a length of {0}")]
    Length(i64),
    /// A null where there may be none.
    #[error("null where a value must be")]
    Null,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A variable-length number of more bytes than its type has.
    #[error("a number that does not end")]
    Number,
    /// Tags must rise.
    #[error("tags out of order")]
    Tags,
    /// Elements would take much more memory than the frame has bytes.
    #[error("more elements than a frame of this size may hold")]
    TooMany,
    /// More elements in lists than the reader allows ([`Decoder::with_elements_max`]).
    #[error("more elements than a request may hold")]
    Elements,
    /// A version that is not known.
    #[error("unknown version {0}")]
    Version(i16),
}

/// A frame being read.
#[derive(Clone, Debug)]
pub struct Decoder {
    rest: Bytes,
    /// How many bytes of memory the elements of arrays may still take.
    budget: usize,
    /// How many elements arrays may hold in all.
    elements_max: usize,
    /// How many elements the arrays read so far hold.
    elements: usize,
}

/// How much memory the arrays of any frame may take, however small it is.
const BUDGET_MIN: usize = 1 << 10;
/// How many bytes of memory a byte of the frame may become: the smallest structures are a few
/// bytes on the wire and dozens in memory.
const BUDGET_PER_BYTE: usize = 16;
/// The largest structure in a list, in bytes of memory.
const ELEMENT_BYTES_MAX: usize = 256;

fn budget(bytes: usize) -> usize {
    bytes
        .saturating_mul(BUDGET_PER_BYTE)
        .saturating_add(BUDGET_MIN)
}

macro_rules! fixed {
    ($($name:ident: $type:ty = $get:ident;)*) => {$(
        pub(crate) fn $name(&mut self) -> Result<$type, DecodeError> {
            if self.rest.len() < size_of::<$type>() {
                return Err(DecodeError::Short);
            }
            Ok(self.rest.$get())
        }
    )*};
}

impl Decoder {
    /// Reads `frame` from its beginning.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let budget = budget(frame.len());
        Self {
            rest: frame,
            budget,
            elements_max: usize::MAX,
            elements: 0,
        }
    }

    /// The same, refusing what holds more than `max` elements in all its lists together before
    /// there is memory for them.
    #[must_use]
    pub fn with_elements_max(mut self, max: usize) -> Self {
        self.elements_max = max;
        self
    }

    /// How many elements the lists read so far hold.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// How much memory, in bytes, what is read from `bytes` bytes with at most `elements_max`
    /// elements takes at most beside those bytes, which texts share.
    #[must_use]
    pub fn memory_max(bytes: usize, elements_max: usize) -> usize {
        budget(bytes).min(elements_max.saturating_mul(ELEMENT_BYTES_MAX))
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// What has not been read.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fixed! {
        i8: i8 = get_i8;
        i16: i16 = get_i16;
        i32: i32 = get_i32;
        i64: i64 = get_i64;
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let Some(bytes) = self.rest.first_chunk::<16>() else {
            return Err(DecodeError::Short);
        };
        let uuid = Uuid::from_bytes(*bytes);
        self.rest.advance(16);
        Ok(uuid)
    }

    /// An unsigned number of up to 32 bits, seven to a byte, the lowest first.
    pub(crate) fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.i8()?.cast_unsigned();
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(DecodeError::Number);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Number)
    }

    /// Passes over `length` bytes.
    pub(crate) fn pass(&mut self, length: usize) -> Result<(), DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Short);
        }
        self.rest.advance(length);
        Ok(())
    }

    /// Passes over text.
    pub(crate) fn pass_string(&mut self, flexible: bool) -> Result<(), DecodeError> {
        let length = self.string_length(flexible)?.unwrap_or(0);
        self.pass(length)
    }

    /// The next `length` bytes, shared with the frame.
    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Short);
        }
        Ok(self.rest.split_to(length))
    }

    fn signed(length: i64) -> Result<Option<usize>, DecodeError> {
        match length {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| DecodeError::Length(length)),
        }
    }

    fn compact(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            self.compact()
        } else {
            Self::signed(i64::from(self.i16()?))
        }
    }

    /// The length of bytes or of an array; `None` is null.
    pub(crate) fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            self.compact()
        } else {
            Self::signed(i64::from(self.i32()?))
        }
    }

    fn text(&mut self, length: usize) -> Result<Str, DecodeError> {
        Str::from_utf8(self.take(length)?).ok_or(DecodeError::Utf8)
    }

    pub(crate) fn string(&mut self, flexible: bool) -> Result<Str, DecodeError> {
        let length = self.string_length(flexible)?.ok_or(DecodeError::Null)?;
        self.text(length)
    }

    pub(crate) fn nullable_string(
        &mut self,
        flexible: bool,
        allowed: bool,
    ) -> Result<Option<Str>, DecodeError> {
        match self.string_length(flexible)? {
            Some(length) => self.text(length).map(Some),
            None if allowed => Ok(None),
            None => Err(DecodeError::Null),
        }
    }

    pub(crate) fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        let length = self.length(flexible)?.ok_or(DecodeError::Null)?;
        self.take(length)
    }

    pub(crate) fn nullable_bytes(
        &mut self,
        flexible: bool,
        allowed: bool,
    ) -> Result<Option<Bytes>, DecodeError> {
        match self.length(flexible)? {
            Some(length) => self.take(length).map(Some),
            None if allowed => Ok(None),
            None => Err(DecodeError::Null),
        }
    }

    /// Counts `count` elements of `T` before there is memory for them: each takes at least a byte
    /// of the frame, all together no more memory than the budget, and there may be so many.
    fn admit<T>(&mut self, count: usize) -> Result<(), DecodeError> {
        const {
            assert!(
                size_of::<T>() <= ELEMENT_BYTES_MAX,
                "raise ELEMENT_BYTES_MAX"
            );
        }
        if count > self.rest.len() {
            return Err(DecodeError::Short);
        }
        let elements = self.elements.saturating_add(count);
        if elements > self.elements_max {
            return Err(DecodeError::Elements);
        }
        self.elements = elements;
        let memory = count.saturating_mul(size_of::<T>());
        self.budget = self
            .budget
            .checked_sub(memory)
            .ok_or(DecodeError::TooMany)?;
        Ok(())
    }

    fn list<T>(
        &mut self,
        count: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.admit::<T>(count)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(read(self)?);
        }
        Ok(elements)
    }

    pub(crate) fn array<T>(
        &mut self,
        flexible: bool,
        read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.length(flexible)?.ok_or(DecodeError::Null)?;
        self.list(count, read)
    }

    /// Reads an array to the end of a list that holds others already; how many elements it has.
    pub(crate) fn array_into<T>(
        &mut self,
        flexible: bool,
        into: &mut Vec<T>,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<usize, DecodeError> {
        let count = self.length(flexible)?.ok_or(DecodeError::Null)?;
        self.admit::<T>(count)?;
        into.reserve(count);
        for _ in 0..count {
            into.push(read(self)?);
        }
        Ok(count)
    }

    pub(crate) fn nullable_array<T>(
        &mut self,
        flexible: bool,
        allowed: bool,
        read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        match self.length(flexible)? {
            Some(count) => self.list(count, read).map(Some),
            None if allowed => Ok(None),
            None => Err(DecodeError::Null),
        }
    }

    pub(crate) fn nullable<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    /// The tagged fields at the end of a structure (KIP-482). `read` says whether it knows the
    /// tag; the bytes of an unknown one are skipped.
    pub(crate) fn tags(
        &mut self,
        mut read: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        let mut last = None;
        for _ in 0..count {
            let tag = self.uvarint()?;
            if last.is_some_and(|last| tag <= last) {
                return Err(DecodeError::Tags);
            }
            last = Some(tag);
            let size = self.uvarint()? as usize;
            let mut field = Self {
                rest: self.take(size)?,
                budget: self.budget,
                elements_max: self.elements_max,
                elements: self.elements,
            };
            if read(tag, &mut field)? && !field.is_empty() {
                return Err(DecodeError::Length(size as i64));
            }
            self.budget = field.budget;
            self.elements = field.elements;
        }
        Ok(())
    }

    pub(crate) fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|_, _| Ok(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(bytes: &'static [u8]) -> Decoder {
        Decoder::new(Bytes::from_static(bytes))
    }

    #[test]
    fn numbers_of_variable_length_end() {
        assert_eq!(decoder(&[0xac, 0x02]).uvarint(), Ok(300));
        assert_eq!(
            decoder(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(),
            Ok(u32::MAX)
        );
        assert_eq!(
            decoder(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(),
            Err(DecodeError::Number)
        );
        assert_eq!(decoder(&[0x80]).uvarint(), Err(DecodeError::Short));
    }

    #[test]
    fn an_announced_count_allocates_nothing() {
        // Metadata 12 with four billion topics, which made another codec ask for 309 GB.
        let array = decoder(&[0xff, 0xff, 0xff, 0xff, 0x0f]).array(true, |d| d.uuid());
        assert_eq!(array, Err(DecodeError::Short));
        assert_eq!(
            decoder(&[0x7f, 0xff, 0xff, 0xff]).bytes(false),
            Err(DecodeError::Short)
        );
        assert_eq!(
            decoder(&[0xff, 0xff, 0xff, 0xfe]).bytes(false),
            Err(DecodeError::Length(-2))
        );
    }

    #[test]
    fn many_tiny_elements_stay_within_the_budget() {
        let frame = Bytes::from(vec![1_u8; 1 << 20]);
        let mut decoder = Decoder::new(frame);
        let elements = decoder.list(1 << 19, |d| Ok([u64::from(d.bool()?); 32]));
        assert_eq!(elements, Err(DecodeError::TooMany));
    }

    #[test]
    fn elements_are_counted_over_all_lists() {
        let lists = [0, 0, 0, 2, 7, 7, 0, 0, 0, 1, 7];
        let read = |max: usize| {
            let mut decoder = Decoder::new(Bytes::copy_from_slice(&lists)).with_elements_max(max);
            decoder.array(false, Decoder::bool)?;
            decoder.array(false, Decoder::bool)?;
            Ok(decoder.elements())
        };
        assert_eq!(read(3), Ok(3));
        assert_eq!(read(2), Err(DecodeError::Elements));
        assert_eq!(read(1), Err(DecodeError::Elements));
    }

    #[test]
    fn tags_rise_and_unknown_ones_are_skipped() {
        assert_eq!(decoder(&[1, 9, 2, 0, 0]).skip_tags(), Ok(()));
        assert_eq!(
            decoder(&[2, 9, 0, 9, 0]).skip_tags(),
            Err(DecodeError::Tags)
        );
        assert_eq!(decoder(&[1, 9, 9, 0]).skip_tags(), Err(DecodeError::Short));
    }
}
