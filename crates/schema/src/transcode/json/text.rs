//! Texts of JSON: finding where one ends or needs an escape, eight bytes at a time.

use crate::error::Result;
use crate::transcode::output::Output;

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Marks bytes that are `value`; those behind the first mark may be wrong.
fn equal(word: u64, value: u8) -> u64 {
    let differences = word ^ (ONES * u64::from(value));
    differences.wrapping_sub(ONES) & !differences
}

/// How many bytes come before the first quote, backslash or control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (equal(word, b'"') | equal(word, b'\\') | control) & HIGHS;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// The escape of a byte that needs one.
fn escape(byte: u8, out: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    match byte {
        b'"' => out(b"\\\""),
        b'\\' => out(b"\\\\"),
        b'\n' => out(b"\\n"),
        b'\r' => out(b"\\r"),
        b'\t' => out(b"\\t"),
        0x08 => out(b"\\b"),
        0x0c => out(b"\\f"),
        _ => {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
            out(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)])
        }
    }
}

#[inline]
fn escaped(text: &str, mut out: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut rest = text.as_bytes();
    loop {
        let (run, after) = rest.split_at(plain(rest));
        out(run)?;
        let Some((byte, after)) = after.split_first() else {
            return Ok(());
        };
        escape(*byte, &mut out)?;
        rest = after;
    }
}

/// Writes a text with its quotes.
#[inline]
pub(crate) fn write_quoted(text: &str, out: &mut Output<'_>) -> Result<()> {
    out.byte(b'"')?;
    escaped(text, |run| out.put(run))?;
    out.byte(b'"')
}

/// The same, for names of a schema.
pub(crate) fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let done = escaped(text, |run| {
        out.extend_from_slice(run);
        Ok(())
    });
    debug_assert!(done.is_ok(), "writing to memory without a limit");
    out.push(b'"');
}
