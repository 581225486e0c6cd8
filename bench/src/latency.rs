//! Latency end to end at a fixed rate, without coordinated omission: a record's time begins when
//! it was due, not when the client got round to it.
//!
//! Every millisecond the records that are due since the last one leave as one batch, to the
//! partitions by turns; nobody waits for acknowledgements. Each value begins with the time at which
//! it was due. A consumer takes the time when it has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bytes::{Bytes, BytesMut};
use store::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN, records};

use crate::connection::{Connection, check_produced, produce_frame, read_answer};
use crate::driver::Load;

/// How often due records leave.
const TICK: Duration = Duration::from_millis(1);
/// Records in the first part of a run do not count.
const WARM_UP: Duration = Duration::from_secs(2);

/// Latencies, sorted, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// In milliseconds; `share` of 0.99 is p99.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let at = (self.0.len() as f64 * share) as usize;
        f64::from(self.0.get(at.min(self.0.len() - 1)).copied().unwrap_or(0)) / 1000.0
    }
}

/// Sends `rate` records a second for `load.records / rate` seconds.
pub(crate) fn measure(address: SocketAddr, load: &Load, rate: usize) -> Result<Latencies> {
    let start = Instant::now() + Duration::from_millis(200);
    let failed = Arc::new(AtomicBool::new(false));
    let (consumed, produced) = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(address, load, start, &failed));
        let producer = scope.spawn(|| {
            let result = produce(address, load, rate, start);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            result
        });
        (consumer.join(), producer.join())
    });
    produced.map_err(|_| anyhow!("the producer panicked"))??;
    let mut all = consumed.map_err(|_| anyhow!("the consumer panicked"))??;
    all.sort_unstable();
    ensure!(!all.is_empty(), "nothing was measured");
    Ok(Latencies(all))
}

fn batch(size: usize, due: impl Iterator<Item = Duration>) -> Result<Bytes> {
    let mut builder = BatchBuilder::new();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_millis();
    let mut value = vec![b'x'; size.max(8)];
    for due in due {
        value[..8].copy_from_slice(&u64::try_from(due.as_nanos())?.to_be_bytes());
        builder.push(i64::try_from(now)?, None, Some(&value), []);
    }
    Ok(builder.build(Compression::None)?)
}

fn produce(address: SocketAddr, load: &Load, rate: usize, start: Instant) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let mut answers = connection.socket()?;
    let due = |at: usize| Duration::from_secs_f64(at as f64 / rate as f64);
    let (total, mut sent, mut requests) = (load.records, 0, 0_i32);
    std::thread::scope(|scope| -> Result<()> {
        let (count, counted) = std::sync::mpsc::sync_channel(100_000);
        let reader = scope.spawn(move || -> Result<()> {
            let mut buffer = BytesMut::new();
            while counted.recv().is_ok() {
                check_produced(read_answer(&mut answers, &mut buffer)?.1)?;
            }
            Ok(())
        });
        while sent < total {
            std::thread::sleep(due(sent).saturating_sub(start.elapsed()).max(TICK));
            let now = start.elapsed();
            let from = sent;
            while sent < total && due(sent) <= now {
                sent += 1;
            }
            if sent == from {
                continue;
            }
            let records = batch(load.size, (from..sent).map(due))?;
            let partition = requests % load.partitions;
            let one = std::iter::once((partition, records));
            connection.send(&produce_frame(requests, &load.topic, load.acks, one)?)?;
            requests += 1;
            // It listens no more: it has failed, and says why when it is joined.
            if count.send(()).is_err() {
                break;
            }
        }
        drop(count);
        reader.join().map_err(|_| anyhow!("the reader panicked"))?
    })
}

fn consume(
    address: SocketAddr,
    load: &Load,
    start: Instant,
    failed: &AtomicBool,
) -> Result<Vec<u32>> {
    let mut connection = Connection::open(address)?;
    let mut offsets = vec![0; usize::try_from(load.partitions)?];
    let mut latencies = Vec::with_capacity(load.records);
    let mut seen = 0;
    while seen < load.records {
        ensure!(!failed.load(Ordering::Relaxed), "the producer failed");
        let found = connection.fetch(&load.topic, &offsets)?;
        let now = start.elapsed();
        for (partition, mut rest) in found {
            while let Ok(header) = BatchHeader::parse(&rest) {
                if header.total_len() > rest.len() {
                    break;
                }
                for record in records(&rest[HEADER_LEN..header.total_len()]) {
                    let record = record?;
                    let due = record
                        .value
                        .and_then(|value| value.first_chunk::<8>().copied());
                    let due = Duration::from_nanos(u64::from_be_bytes(due.unwrap_or_default()));
                    if due >= WARM_UP {
                        latencies.push(u32::try_from(now.saturating_sub(due).as_micros())?);
                    }
                    seen += 1;
                }
                offsets[partition] = i64::try_from(header.next_offset())?;
                rest = rest.slice(header.total_len()..);
            }
        }
    }
    Ok(latencies)
}
