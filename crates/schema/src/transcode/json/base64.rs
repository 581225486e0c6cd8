//! Bytes as base64: written with padding in the standard alphabet, read in both, padded or not.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{Cause, Error, Result};
use crate::transcode::output::Output;

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// Bytes that are encoded at once: a multiple of three, so that pieces fit together.
const PIECE: usize = 768;

/// Decodes into `out`, which is emptied first. The text is not longer than a string may be.
pub(crate) fn decode(text: &str, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    let url = text.bytes().any(|byte| byte == b'-' || byte == b'_');
    let engine = if url { &URL } else { &PLAIN };
    let done = engine.decode_vec(text, out);
    done.map_err(|_| Error::new(Cause::Type("base64")))
}

/// Appends the text of `bytes`, without quotes.
pub(crate) fn encode(bytes: &[u8], padded: bool, out: &mut Output<'_>) -> Result<()> {
    out.room(bytes.len().div_ceil(3) * 4)?;
    let mut piece = [0_u8; PIECE / 3 * 4];
    for bytes in bytes.chunks(PIECE) {
        let length = PLAIN.encode_slice(bytes, &mut piece).unwrap_or(0);
        let text = piece.get(..length).unwrap_or_default();
        let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
        let length = if padded { length } else { length - padding };
        out.put(text.get(..length).unwrap_or_default())?;
    }
    Ok(())
}
