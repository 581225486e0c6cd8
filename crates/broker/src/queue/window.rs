//! What has been read of a lane and not handed out yet: whole batches, cut into records one by
//! one. Keys, values and headers stay slices of the batch.

use std::collections::VecDeque;

use base::Charge;
use bytes::{Bytes, BytesMut};
use store::batch::{self, BatchHeader, Compression, HEADER_LEN, PLACE_LEN};
use store::{Piece, Read};

use crate::error::{BatchProblem, Error};
use crate::message::{Attributes, Decoder, HEADER, OWN_SEQUENCE};
use crate::records::RecordHeader;

/// A record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) offset: u64,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<RecordHeader>,
    pub(super) attributes: Attributes,
}

impl Parsed {
    /// How many bytes its value has.
    pub(super) fn size(&self) -> u64 {
        self.value.as_ref().map_or(0, |value| value.len() as u64)
    }

    /// When it was published, as far as anybody says so.
    pub(super) fn sent_ms(&self) -> i64 {
        self.attributes.sent_ms.unwrap_or(self.timestamp_ms)
    }
}

/// A batch, its records plain.
#[derive(Debug)]
pub(super) struct Loaded {
    base: u64,
    /// One past its last record.
    next: u64,
    base_timestamp: i64,
    /// The broker's time, where that counts.
    append_time: Option<i64>,
    /// Whether the broker wrote it.
    own: bool,
    records: Bytes,
    at: usize,
}

impl Loaded {
    fn new(header: &BatchHeader, records: Bytes) -> Self {
        Self {
            base: u64::try_from(header.base_offset).unwrap_or(0),
            next: header.next_offset(),
            base_timestamp: header.base_timestamp,
            append_time: header.is_log_append_time().then_some(header.max_timestamp),
            own: header.producer_id < 0 && header.base_sequence == OWN_SEQUENCE,
            records,
            at: 0,
        }
    }

    /// The next record; `None` at the end, and where the rest cannot be read.
    fn take(&mut self, decoder: &mut Decoder) -> Option<Parsed> {
        let rest = self.records.get(self.at..)?;
        let (record, encoded) = batch::encoded_records(rest).next()?.ok()?;
        let delta = u64::try_from(record.offset_delta).unwrap_or(0);
        let share = |part: &[u8]| self.records.slice_ref(part);
        let mut headers = Vec::new();
        let mut decoded = None;
        for header in record.headers {
            if header.key == HEADER {
                // The broker writes it first; any other of that name is somebody else's.
                if self.own && decoded.is_none() {
                    let value = header.value.map(share).unwrap_or_default();
                    decoded = Some(decoder.decode(value));
                }
            } else {
                headers.push((share(header.key), header.value.map(share)));
            }
        }
        let (mut attributes, origin) = decoded.unwrap_or_default();
        if let Some(name) = origin {
            let at = headers.iter().position(|(key, _)| key == name.as_bytes());
            let block = at.and_then(|at| headers.remove(at).1);
            attributes.origin = block.map(|block| (name, block));
        }
        let timestamp = self.base_timestamp.saturating_add(record.timestamp_delta);
        let parsed = Parsed {
            offset: self.base + delta,
            timestamp_ms: self.append_time.unwrap_or(timestamp),
            key: record.key.map(share),
            value: record.value.map(share),
            headers,
            attributes,
        };
        self.at += encoded.len();
        Some(parsed)
    }
}

/// Whether a read can be unpacked without waiting for anything.
pub(super) fn is_quick(read: &Read) -> bool {
    let (pairs, rest) = read.pieces.as_chunks::<2>();
    let plain = |pair: &[Piece; 2]| match pair {
        [Piece::Memory(head), Piece::Memory(body)] => {
            header(head, body).is_some_and(|h| h.compression() == Some(Compression::None))
        }
        _ => false,
    };
    rest.is_empty() && pairs.iter().all(plain)
}

fn header(head: &[u8], body: &[u8]) -> Option<BatchHeader> {
    if head.len() != PLACE_LEN {
        return None;
    }
    let mut bytes = [0; HEADER_LEN];
    bytes[..PLACE_LEN].copy_from_slice(head);
    bytes[PLACE_LEN..].copy_from_slice(body.get(..HEADER_LEN - PLACE_LEN)?);
    BatchHeader::parse(&bytes).ok()
}

/// The batches of a read. May read from disk and decompress, unless it [`is_quick`].
pub(super) fn unpack(read: &Read, bytes_max: usize) -> Result<Vec<Loaded>, Error> {
    if is_quick(read) {
        let (pairs, _) = read.pieces.as_chunks::<2>();
        let load = |pair: &[Piece; 2]| match pair {
            [Piece::Memory(head), Piece::Memory(body)] => {
                let header = header(head, body).filter(|header| !header.is_control())?;
                Some(Loaded::new(&header, body.slice(HEADER_LEN - PLACE_LEN..)))
            }
            _ => None,
        };
        return Ok(pairs.iter().filter_map(load).collect());
    }
    let mut whole = BytesMut::with_capacity(read.bytes);
    for piece in &read.pieces {
        match piece {
            Piece::Memory(part) => whole.extend_from_slice(part),
            Piece::File(range) => {
                let part = range.read().map_err(|error| corrupt(&error))?;
                whole.extend_from_slice(&part);
            }
        }
    }
    let mut rest = whole.freeze();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::parse(&rest).map_err(|e| corrupt(&e))?;
        if header.total_len() > rest.len() {
            return Err(corrupt(&"a batch is cut short"));
        }
        let batch = rest.split_to(header.total_len());
        if header.is_control() {
            continue;
        }
        let body = batch.slice(HEADER_LEN..);
        let records = match header.compression() {
            Some(Compression::None) => body,
            Some(codec) => {
                let plain = batch::decompress(codec, &body, bytes_max).map_err(|e| corrupt(&e))?;
                Bytes::from(plain)
            }
            None => return Err(corrupt(&"an unknown compression")),
        };
        all.push(Loaded::new(&header, records));
    }
    Ok(all)
}

fn corrupt(error: &dyn std::fmt::Display) -> Error {
    Error::Batch(BatchProblem::Corrupt(error.to_string()))
}

/// Batches that follow each other, read from the front.
#[derive(Debug, Default)]
pub(super) struct Window {
    batches: VecDeque<Loaded>,
    head: Option<Parsed>,
    /// Where what was read ends.
    end: u64,
    charge: Option<Charge>,
}

impl Window {
    /// Adds what was read from the end of the window on, up to `next`.
    pub(super) fn push(&mut self, loaded: Vec<Loaded>, next: u64, charge: Option<Charge>) {
        self.batches.extend(loaded);
        self.end = next;
        self.charge = charge;
    }

    /// One past the last offset that was read.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The first record at or behind `from`. What lies before it is let go.
    pub(super) fn peek(&mut self, from: u64, decoder: &mut Decoder) -> Option<&Parsed> {
        if self.head.as_ref().is_some_and(|head| head.offset < from) {
            self.head = None;
        }
        while self.head.is_none() {
            let Some(front) = self.batches.front_mut() else {
                self.charge = None;
                return None;
            };
            if front.next <= from {
                self.batches.pop_front();
                continue;
            }
            match front.take(decoder) {
                Some(parsed) if parsed.offset >= from => self.head = Some(parsed),
                Some(_) => {}
                None => {
                    self.batches.pop_front();
                }
            }
        }
        self.head.as_ref()
    }

    /// The record that [`Window::peek`] showed.
    pub(super) fn take(&mut self) -> Option<Parsed> {
        self.head.take()
    }
}

/// The batch that a returned record was read from last: the next one is often in it, too.
#[derive(Debug, Default)]
pub(super) struct Again {
    batch: Option<Loaded>,
    last: u64,
}

impl Again {
    pub(super) fn set(&mut self, batch: Option<Loaded>) {
        self.batch = batch;
        self.last = 0;
    }

    /// Whether the batch that was read covers `offset`.
    pub(super) fn covers(&self, offset: u64) -> bool {
        self.batch
            .as_ref()
            .is_some_and(|batch| batch.base <= offset && offset < batch.next)
    }

    /// The record at `offset`; `None` where there is none.
    pub(super) fn get(&mut self, offset: u64, decoder: &mut Decoder) -> Option<Parsed> {
        let batch = self.batch.as_mut()?;
        if offset <= self.last {
            batch.at = 0;
        }
        self.last = offset;
        loop {
            let parsed = batch.take(decoder)?;
            if parsed.offset == offset {
                return Some(parsed);
            }
            if parsed.offset > offset {
                batch.at = 0;
                return None;
            }
        }
    }
}

/// All records of a read at or behind `from`. May block as [`unpack`].
pub(super) fn all(read: &Read, from: u64, bytes_max: usize) -> Result<Vec<Parsed>, Error> {
    let mut decoder = Decoder::default();
    let mut records = Vec::new();
    for mut batch in unpack(read, bytes_max)? {
        while let Some(record) = batch.take(&mut decoder) {
            if record.offset >= from {
                records.push(record);
            }
        }
    }
    Ok(records)
}
