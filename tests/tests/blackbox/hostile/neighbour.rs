//! A client that behaves, beside those that do not: produces a record, reads it back, again and
//! again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::messages as m;
use kafka_wire::{ApiKey, Decoder, RequestHeader};
use store::batch::{BatchBuilder, Compression};

use crate::server::Server;

/// What `memory.limit` is in these tests.
pub(crate) const MEMORY_LIMIT: u64 = 256 << 20;
/// What a process may take beyond `memory.limit`: code and stacks, the allocator's slack, topics and
/// partitions, the newest records in memory (docs/operations/running.md).
pub(crate) const PROCESS_ALLOWANCE: u64 = 256 << 20;
/// How long one record may take there and back, whatever others do. Most take milliseconds; this
/// is for machines on which more runs than these tests.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(60);

/// A server with a limit that is quickly reached, and the topic `orders`.
pub(crate) fn server(settings: &[(&str, &str)]) -> Server {
    let limit = MEMORY_LIMIT.to_string();
    let mut all = vec![("MEMORY__LIMIT", limit.as_str())];
    all.extend_from_slice(settings);
    let server = Server::start_with(&all);
    server.create_topic("orders", 4);
    server
}

/// A request's frame.
pub(crate) fn frame(
    key: ApiKey,
    version: i16,
    body: impl FnOnce(&mut BytesMut) -> Result<(), kafka_wire::EncodeError>,
) -> Vec<u8> {
    let header = RequestHeader {
        api_key: key.number(),
        api_version: version,
        correlation_id: 1,
        client_id: None,
    };
    let mut out = BytesMut::new();
    out.put_i32(0);
    header.encode(&mut out).unwrap();
    body(&mut out).unwrap();
    let length = i32::try_from(out.len() - 4).unwrap();
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.to_vec()
}

/// The frame of an answer, its header taken off.
pub(crate) fn answer(socket: &mut TcpStream, tagged: bool) -> std::io::Result<Bytes> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut body)?;
    Ok(Bytes::from(body).slice(if tagged { 5.. } else { 4.. }))
}

/// A produce of one batch.
pub(crate) fn produce(topic: &str, records: Bytes) -> Vec<u8> {
    use m::produce_request::{PartitionProduceData, TopicProduceData};
    let request = m::ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records),
            }],
            ..Default::default()
        }],
    };
    frame(ApiKey::Produce, 8, |out| request.encode(out, 8))
}

/// A fetch of everything from an offset on.
pub(crate) fn fetch(topic: &str, from: i64, max_wait_ms: i32) -> Vec<u8> {
    use m::fetch_request::{FetchPartition, FetchTopic};
    let request = m::FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition: 0,
                fetch_offset: from,
                partition_max_bytes: 50 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    frame(ApiKey::Fetch, 11, |out| request.encode(out, 11))
}

/// A batch of one record of `bytes` bytes.
pub(crate) fn batch(bytes: usize, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(0, Some(b"key"), Some(&vec![0; bytes]), []);
    builder.build(codec).unwrap()
}

/// The client.
pub(crate) struct Neighbour {
    socket: TcpStream,
}

impl Neighbour {
    pub(crate) fn new(server: &Server) -> Self {
        let socket = TcpStream::connect(server.kafka).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(ROUND_TRIP_MAX)).unwrap();
        Self { socket }
    }

    /// Says who it is, by PLAIN.
    pub(crate) fn authenticate(&mut self, user: &str, password: &str) {
        let choice = m::SaslHandshakeRequest {
            mechanism: "PLAIN".into(),
        };
        let token = m::SaslAuthenticateRequest {
            auth_bytes: format!("\0{user}\0{password}").into(),
        };
        let choice = frame(ApiKey::SaslHandshake, 1, |out| choice.encode(out, 1));
        let token = frame(ApiKey::SaslAuthenticate, 1, |out| token.encode(out, 1));
        for step in [choice, token] {
            self.socket.write_all(&step).unwrap();
            let told = answer(&mut self.socket, false).unwrap();
            assert_eq!(told[..2], [0, 0], "authentication");
        }
    }

    /// One record to `orders` and back.
    fn round_trip(&mut self) {
        let sent = batch(100, Compression::None);
        self.socket
            .write_all(&produce("orders", sent.clone()))
            .unwrap();
        let told = answer(&mut self.socket, false).expect("a produce is answered");
        let told = m::ProduceResponse::decode(&mut Decoder::new(told), 8).unwrap();
        let told = &told.responses[0].partition_responses[0];
        assert_eq!(told.error_code, 0);
        self.socket
            .write_all(&fetch("orders", told.base_offset, 1000))
            .unwrap();
        let got = answer(&mut self.socket, false).expect("a fetch is answered");
        let got = m::FetchResponse::decode(&mut Decoder::new(got), 11).unwrap();
        let records = got.responses[0].partitions[0].records.clone().unwrap();
        assert_eq!(records[16..sent.len()], sent[16..]);
    }

    /// Goes there and back so often, and sees that the server is well.
    pub(crate) fn is_well(&mut self, server: &Server, rounds: usize) {
        for at in 0..rounds {
            let before = Instant::now();
            self.round_trip();
            let took = before.elapsed();
            assert!(took < ROUND_TRIP_MAX, "round {at} took {took:?}");
        }
        let (status, _) = server
            .request("GET", "/healthz", "")
            .expect("it answers operators");
        assert_eq!(status, 200);
        let resident = server.resident() >> 20;
        let limit = (MEMORY_LIMIT + PROCESS_ALLOWANCE) >> 20;
        assert!(
            resident < limit,
            "{resident} MiB resident, {limit} MiB allowed"
        );
        let log = server.log();
        let complaint = log.lines().find(|line| {
            ["ERROR", "WARN", "panicked"]
                .iter()
                .any(|word| line.contains(word))
        });
        assert_eq!(complaint, None, "nothing here is the server's fault");
    }
}
