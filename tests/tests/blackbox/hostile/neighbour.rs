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
/// How long one record may take there and back, whatever others do: longer, and its connection has
/// waited for memory as long as any may (`limits.memory_wait_max`, 10 s), once to be read and once
/// to be started, and was not even closed then.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(30);
/// How many round trips say what is usual when nobody attacks.
const USUAL_ROUNDS: usize = 30;
/// How much longer than usual the middle one of some round trips may take beside an attack. The
/// attack, the server and this test share the machine's processors, two on the smallest: what
/// takes turns with a few that are always busy takes several times as long, and a sync of the disk
/// that others use too. What is meant to be found, waits for memory and for whoever is served
/// first, takes seconds. The middle one: what a machine does to a single round trip says nothing.
const SLOWER_MAX: u32 = 20;
/// Below this nobody is slow: a usual round trip takes so little that other tests, which run on the
/// same machine, make the factor a matter of luck.
const SLOW_MIN: Duration = Duration::from_millis(250);

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
pub(crate) fn answer(socket: &mut impl Read, tagged: bool) -> std::io::Result<Bytes> {
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

/// What the client speaks through.
pub(crate) trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// The client.
pub(crate) struct Neighbour {
    socket: Box<dyn Wire>,
    /// What a round trip takes when nobody attacks.
    usual: Option<Duration>,
}

/// A connection to the server's Kafka listener that does not wait for ever.
pub(crate) fn connect(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.kafka).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(ROUND_TRIP_MAX)).unwrap();
    socket
}

impl Neighbour {
    /// Finds out what is usual: nobody may be attacking yet.
    pub(crate) fn new(server: &Server) -> Self {
        Self::over(connect(server)).rested()
    }

    /// By `socket`, before it is known what is usual.
    pub(crate) fn over(socket: impl Wire + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            usual: None,
        }
    }

    /// Having found out what is usual.
    pub(crate) fn rested(mut self) -> Self {
        self.usual = Some(self.middle(USUAL_ROUNDS));
        self
    }

    /// Says who it is, by PLAIN.
    pub(crate) fn authenticated(mut self, user: &str, password: &str) -> Self {
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
        self.rested()
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

    /// Goes there and back so often; how long the middle one took.
    fn middle(&mut self, rounds: usize) -> Duration {
        let mut all = Vec::with_capacity(rounds);
        for at in 0..rounds {
            let before = Instant::now();
            self.round_trip();
            let took = before.elapsed();
            assert!(took < ROUND_TRIP_MAX, "round {at} took {took:?}");
            all.push(took);
        }
        all.sort_unstable();
        all[rounds / 2]
    }

    /// Goes there and back so often, and sees that it takes no longer than it may, and that the
    /// server is well and has been.
    pub(crate) fn is_well(&mut self, server: &Server, rounds: usize) {
        let (usual, middle) = (self.usual.unwrap(), self.middle(rounds));
        let allowed = SLOW_MIN.max(usual * SLOWER_MAX);
        assert!(
            middle <= allowed,
            "the middle of {rounds} round trips took {middle:?}, usual are {usual:?}"
        );
        let (status, _) = server
            .request("GET", "/healthz", "")
            .expect("it answers operators");
        assert_eq!(status, 200);
        let resident = server.resident_peak() >> 20;
        let limit = (MEMORY_LIMIT + PROCESS_ALLOWANCE) >> 20;
        assert!(
            resident < limit,
            "{resident} MiB were resident, {limit} MiB are allowed"
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
