//! The codecs, bounded: nothing is decompressed past the caller's limit.

use std::io::{self, Read, Write};

use super::BatchError;

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, bare or in the framing of Java's library.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// How Java's snappy library begins a stream.
const XERIAL: &[u8; 8] = b"\x82SNAPPY\0";
/// Its header: the magic and two versions.
const XERIAL_HEADER: usize = 16;
/// How much goes into one of its blocks.
const XERIAL_BLOCK: usize = 32 << 10;
/// The largest window that a zstd frame may ask for, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Compression {
    /// The codec of a header's attribute bits.
    #[must_use]
    pub fn from_bits(bits: i16) -> Option<Self> {
        Some(match bits {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    /// Its attribute bits.
    #[must_use]
    pub fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    fn fails(self, why: impl ToString) -> BatchError {
        BatchError::Compressed {
            codec: self.name(),
            why: why.to_string(),
        }
    }
}

/// Decompresses, but no more than `max` bytes.
///
/// # Errors
/// [`BatchError::Compressed`], [`BatchError::TooLarge`].
pub fn decompress(codec: Compression, bytes: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None => {
            if bytes.len() > max {
                return Err(BatchError::TooLarge(max));
            }
            Ok(bytes.to_vec())
        }
        Compression::Gzip => drain(codec, flate2::bufread::MultiGzDecoder::new(bytes), max),
        Compression::Snappy => snappy(bytes, max),
        Compression::Lz4 => drain(codec, lz4_flex::frame::FrameDecoder::new(bytes), max),
        Compression::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(bytes).map_err(|e| codec.fails(e))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|e| codec.fails(e))?;
            drain(codec, decoder, max)
        }
    }
}

fn drain(codec: Compression, reader: impl Read, max: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|e| codec.fails(e))?;
    if out.len() > max {
        Err(BatchError::TooLarge(max))
    } else {
        Ok(out)
    }
}

fn snappy(bytes: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
    if !bytes.starts_with(XERIAL) {
        let mut out = Vec::new();
        snappy_block(bytes, max, &mut out)?;
        return Ok(out);
    }
    let codec = Compression::Snappy;
    let mut rest = bytes
        .get(XERIAL_HEADER..)
        .ok_or_else(|| codec.fails("no header"))?;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| codec.fails("cut short"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, after) = after
            .split_at_checked(length)
            .ok_or_else(|| codec.fails("cut short"))?;
        snappy_block(block, max, &mut out)?;
        rest = after;
    }
    Ok(out)
}

fn snappy_block(block: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let fails = |e: snap::Error| Compression::Snappy.fails(e);
    let length = snap::raw::decompress_len(block).map_err(fails)?;
    // A block cannot be more than about 21 times smaller than what it holds.
    if length > max.saturating_sub(out.len()) || length > block.len().saturating_mul(64) + 64 {
        return Err(BatchError::TooLarge(max));
    }
    let at = out.len();
    out.resize(at + length, 0);
    let place = out.get_mut(at..).unwrap_or_default();
    snap::raw::Decoder::new()
        .decompress(block, place)
        .map_err(fails)?;
    Ok(())
}

/// Compresses. `level` goes to the codecs that have one; -1 is gzip's default.
///
/// # Errors
/// [`BatchError::Compressed`] when the library refuses.
pub fn compress(codec: Compression, bytes: &[u8], level: i32) -> Result<Vec<u8>, BatchError> {
    let fails = |e: io::Error| codec.fails(e);
    match codec {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => {
            let level = u32::try_from(level).map_or_else(
                |_| flate2::Compression::default(),
                |level| flate2::Compression::new(level.min(9)),
            );
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).map_err(fails)?;
            encoder.finish().map_err(fails)
        }
        Compression::Snappy => {
            let mut out = XERIAL.to_vec();
            out.extend_from_slice(&1_u32.to_be_bytes());
            out.extend_from_slice(&1_u32.to_be_bytes());
            for block in bytes.chunks(XERIAL_BLOCK) {
                let block = snap::raw::Encoder::new()
                    .compress_vec(block)
                    .map_err(|e| codec.fails(e))?;
                out.extend_from_slice(&u32::try_from(block.len()).unwrap_or(0).to_be_bytes());
                out.extend_from_slice(&block);
            }
            Ok(out)
        }
        Compression::Lz4 => {
            // Java's reader takes independent blocks only.
            let info = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(bytes).map_err(fails)?;
            encoder.finish().map_err(|e| codec.fails(e))
        }
        Compression::Zstd => zstd::bulk::compress(bytes, level).map_err(fails),
    }
}
