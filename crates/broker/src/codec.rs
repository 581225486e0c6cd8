//! How batches are compressed, for readers that do not know every way.

use std::io;
use std::sync::Arc;

use base::FileRange;
use store::Piece;
use store::batch::{BatchHeader, Compression, HEADER_LEN};

use crate::broker::Broker;
use crate::error::Error;

impl Broker {
    /// Whether any of the whole batches in `pieces` is compressed by `codec`. Looks at headers only,
    /// and at those on disk where no socket waits for it.
    ///
    /// # Errors
    /// [`Error::Store`] for whatever the disk answers; [`Error::ShuttingDown`].
    pub async fn any_compressed_by(
        &self,
        pieces: &[Piece],
        codec: Compression,
    ) -> Result<bool, Error> {
        if pieces.iter().all(|piece| matches!(piece, Piece::Memory(_))) {
            return has(pieces, codec);
        }
        let pieces = pieces.to_vec();
        self.shared()
            .blocking("broker.codecs", move || has(&pieces, codec))
            .await
    }
}

fn has(pieces: &[Piece], codec: Compression) -> Result<bool, Error> {
    let mut at = Place { pieces, within: 0 };
    let mut front = [0; HEADER_LEN];
    while at.peek(&mut front)? {
        let Ok(header) = BatchHeader::parse(&front) else {
            break;
        };
        if header.compression() == Some(codec) {
            return Ok(true);
        }
        at.pass(header.total_len());
    }
    Ok(false)
}

/// A place in pieces that are read as one. A batch's front may lie in two of them.
struct Place<'a> {
    pieces: &'a [Piece],
    within: usize,
}

impl Place<'_> {
    fn pass(&mut self, bytes: usize) {
        self.within = self.within.saturating_add(bytes);
        while let [first, rest @ ..] = self.pieces
            && self.within >= first.len()
        {
            self.within -= first.len();
            self.pieces = rest;
        }
    }

    /// Fills `front` with what comes next; whether there was enough.
    fn peek(&self, front: &mut [u8]) -> Result<bool, Error> {
        let (mut filled, mut from) = (0, self.within);
        for piece in self.pieces {
            let Some(rest) = front.get_mut(filled..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let count = rest.len().min(piece.len().saturating_sub(from));
            copy(piece, from, &mut rest[..count])?;
            (filled, from) = (filled + count, 0);
        }
        Ok(filled == front.len())
    }
}

fn copy(piece: &Piece, from: usize, into: &mut [u8]) -> Result<(), Error> {
    match piece {
        Piece::Memory(bytes) => into.copy_from_slice(&bytes[from..from + into.len()]),
        Piece::File(range) => {
            let part = FileRange {
                source: range.source.clone(),
                position: range.position + from as u64,
                len: into.len(),
            };
            let failed = |error: io::Error| store::Error::Disk {
                action: "read",
                path: "a segment".to_owned(),
                source: Arc::new(error),
            };
            into.copy_from_slice(&part.read().map_err(failed)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use store::batch::BatchBuilder;

    /// A file that is whole, or that cannot be read.
    struct Stored(Option<Vec<u8>>);

    impl base::ReadAt for Stored {
        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            let bytes = self.0.as_ref().ok_or(io::ErrorKind::Other)?;
            let rest = &bytes[usize::try_from(position).unwrap()..];
            let count = rest.len().min(buffer.len());
            // No more than is asked for: a header, not what follows.
            assert!(buffer.len() <= HEADER_LEN, "{} bytes", buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    fn batch(codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.push(0, None, Some(&[7; 300]), []);
        builder.build(codec).unwrap().to_vec()
    }

    fn file(bytes: &[u8]) -> Piece {
        let mut whole = vec![9; 10];
        whole.extend_from_slice(bytes);
        Piece::File(FileRange {
            source: Arc::new(Stored(Some(whole))),
            position: 10,
            len: bytes.len(),
        })
    }

    #[test]
    fn every_batch_is_looked_at_wherever_it_lies() {
        let (plain, zstd) = (batch(Compression::None), batch(Compression::Zstd));
        let zstd_in = |pieces: &[Piece]| has(pieces, Compression::Zstd).unwrap();
        for last in [&plain, &zstd] {
            let expected = last == &zstd;
            let all = [&plain[..], &plain, last].concat();
            assert_eq!(zstd_in(&[file(&all)]), expected);
            for cut in 0..=all.len() {
                let memory = |bytes: &[u8]| Piece::Memory(Bytes::copy_from_slice(bytes));
                let (front, back) = all.split_at(cut);
                assert_eq!(zstd_in(&[memory(front), memory(back)]), expected, "{cut}");
                assert_eq!(zstd_in(&[file(front), memory(back)]), expected, "{cut}");
            }
        }
        assert!(!zstd_in(&[]));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let broken = Piece::File(FileRange {
            source: Arc::new(Stored(None)),
            position: 0,
            len: 1000,
        });
        assert!(matches!(
            has(&[broken], Compression::Zstd),
            Err(Error::Store(_))
        ));
    }
}
