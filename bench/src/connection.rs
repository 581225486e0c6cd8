//! A blocking connection that speaks as much of the Kafka protocol as the load tools need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest, FetchResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProduceRequest, ProduceResponse,
};
use kafka_wire::{ApiKey, Decoder, EncodeError, ErrorCode};

const PRODUCE: i16 = 9;
const FETCH: i16 = 12;
/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a fetch may bring, as Java's consumer asks for it.
const FETCH_BYTES: i32 = 50 << 20;
const PARTITION_BYTES: i32 = 1 << 20;

/// One connection. Requests may be sent before answers are read.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    sent: i32,
}

/// A request's frame.
fn frame(
    key: ApiKey,
    version: i16,
    id: i32,
    flexible: bool,
    body: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<BytesMut> {
    let mut out = BytesMut::new();
    out.put_i32(0);
    out.put_i16(key.number());
    out.put_i16(version);
    out.put_i32(id);
    out.put_i16(5);
    out.put_slice(b"bench");
    if flexible {
        out.put_u8(0);
    }
    body(&mut out)?;
    let length = i32::try_from(out.len() - 4)?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// A produce request.
pub(crate) fn produce_frame(
    id: i32,
    topic: &str,
    acks: i16,
    batches: impl Iterator<Item = (i32, Bytes)>,
) -> Result<BytesMut> {
    let parts = batches.map(|(index, records)| PartitionProduceData {
        index,
        records: Some(records),
    });
    let request = ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: parts.collect(),
            ..TopicProduceData::default()
        }],
    };
    frame(ApiKey::Produce, PRODUCE, id, true, |out| {
        request.encode(out, PRODUCE)
    })
}

/// Reads an answer to a produce; every part of it must have been taken.
pub(crate) fn check_produced(answer: Bytes) -> Result<()> {
    let mut decoder = untagged(answer)?;
    let response = ProduceResponse::decode(&mut decoder, PRODUCE)?;
    for part in response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
    {
        ensure!(part.error_code == 0, "produce: error {}", part.error_code);
    }
    Ok(())
}

/// What follows the header of a flexible answer, which has no tagged fields so far.
fn untagged(answer: Bytes) -> Result<Decoder> {
    ensure!(
        answer.first() == Some(&0),
        "tagged fields in an answer's header"
    );
    Ok(Decoder::new(answer.slice(1..)))
}

/// Reads one answer: its correlation id, and what follows.
pub(crate) fn read_answer(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<(i32, Bytes)> {
    let mut head = [0; 4];
    socket.read_exact(&mut head)?;
    let length = usize::try_from(i32::from_be_bytes(head)).context("a negative length")?;
    buffer.resize(length, 0);
    socket.read_exact(buffer)?;
    let answer = buffer.split().freeze();
    let id = answer.first_chunk::<4>().context("a short answer")?;
    Ok((i32::from_be_bytes(*id), answer.slice(4..)))
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, sent: 0 })
    }

    /// The socket, for a second thread.
    pub(crate) fn socket(&self) -> Result<TcpStream> {
        Ok(self.socket.try_clone()?)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(frame)?)
    }

    fn call(
        &mut self,
        key: ApiKey,
        version: i16,
        flexible: bool,
        body: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<Decoder> {
        self.sent += 1;
        let frame = frame(key, version, self.sent, flexible, body)?;
        self.send(&frame)?;
        let (id, answer) = read_answer(&mut self.socket, &mut BytesMut::new())?;
        ensure!(id == self.sent, "an answer to something else");
        if flexible {
            untagged(answer)
        } else {
            Ok(Decoder::new(answer))
        }
    }

    /// Any answer will do: the server is there.
    pub(crate) fn versions(&mut self) -> Result<()> {
        let request = ApiVersionsRequest::default();
        let mut d = self.call(ApiKey::ApiVersions, 0, false, |out| request.encode(out, 0))?;
        let response = ApiVersionsResponse::decode(&mut d, 0)?;
        ensure!(response.error_code == 0, "error {}", response.error_code);
        Ok(())
    }

    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        config: Option<(&str, &str)>,
    ) -> Result<()> {
        let configs = config.map(|(name, value)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.into_iter().collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 30_000,
            ..CreateTopicsRequest::default()
        };
        let mut d = self.call(ApiKey::CreateTopics, 5, true, |out| request.encode(out, 5))?;
        let response = CreateTopicsResponse::decode(&mut d, 5)?;
        let code = response.topics.first().context("no answer")?.error_code;
        ensure!(code == 0, "create topic {name}: error {code}");
        Ok(())
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<()> {
        let request = DeleteTopicsRequest {
            topics: Vec::new(),
            topic_names: vec![name.into()],
            timeout_ms: 30_000,
        };
        let mut d = self.call(ApiKey::DeleteTopics, 4, true, |out| request.encode(out, 4))?;
        let response = DeleteTopicsResponse::decode(&mut d, 4)?;
        let code = response.responses.first().context("no answer")?.error_code;
        ensure!(code == 0, "delete topic {name}: error {code}");
        Ok(())
    }

    /// A producer's id and epoch; a broker that has just started is given time to load.
    pub(crate) fn producer_id(&mut self) -> Result<(i64, i16)> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            ..InitProducerIdRequest::default()
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let mut d = self.call(ApiKey::InitProducerId, 2, true, |out| {
                request.encode(out, 2)
            })?;
            let response = InitProducerIdResponse::decode(&mut d, 2)?;
            let loading = response.error_code == ErrorCode::CoordinatorLoadInProgress.code();
            if loading && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            ensure!(
                response.error_code == 0,
                "producer id: error {}",
                response.error_code
            );
            return Ok((response.producer_id, response.producer_epoch));
        }
    }

    /// One fetch of partitions `0..offsets.len()` from these offsets: the partitions with records.
    pub(crate) fn fetch(&mut self, topic: &str, offsets: &[i64]) -> Result<Vec<(usize, Bytes)>> {
        let parts = offsets
            .iter()
            .zip(0..)
            .map(|(offset, partition)| FetchPartition {
                partition,
                fetch_offset: *offset,
                partition_max_bytes: PARTITION_BYTES,
                ..FetchPartition::default()
            });
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic.into(),
                partitions: parts.collect(),
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let mut d = self.call(ApiKey::Fetch, FETCH, true, |out| request.encode(out, FETCH))?;
        let response = FetchResponse::decode(&mut d, FETCH)?;
        ensure!(
            response.error_code == 0,
            "fetch: error {}",
            response.error_code
        );
        let mut found = Vec::new();
        for part in response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
        {
            ensure!(part.error_code == 0, "fetch: error {}", part.error_code);
            if let Some(records) = part.records.filter(|records| !records.is_empty()) {
                found.push((usize::try_from(part.partition_index)?, records));
            }
        }
        Ok(found)
    }
}
