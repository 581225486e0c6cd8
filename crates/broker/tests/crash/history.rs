//! What was asked and what was answered, and what must be found after that.

use std::collections::BTreeMap;

use base::Rng;
use broker::group::Committed;
use broker::{Ack, Appended, Broker, Error, NewTopic, Piece};
use bytes::Bytes;
use store::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN, rebuild, records};

/// The group that reads.
const GROUP: &str = "readers";
/// How many batches of a producer the broker remembers.
const REMEMBERED: usize = 5;

/// A batch that a producer has sent.
#[derive(Clone, Debug)]
struct Sent {
    sequence: i32,
    records: i32,
    /// Where it is, once that was answered.
    answered: Option<u64>,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Yes,
    No,
    /// It was asked for and not answered.
    Perhaps,
}

/// A topic of one partition with one idempotent producer.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    there: There,
    id: base::TopicId,
    producer: i64,
    sent: Vec<Sent>,
    /// The offset that was last committed for certain, and those asked for since.
    committed: Option<i64>,
    commits: Vec<i64>,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) rng: Rng,
    pub(crate) log: Vec<String>,
    /// By name; of a name, the last.
    topics: BTreeMap<String, Topic>,
    /// Ids of topics that are no more.
    gone: Vec<base::TopicId>,
    producers: Vec<i64>,
}

/// What makes a payload one of a kind.
fn payload(topic: base::TopicId, sequence: i32) -> String {
    format!("{topic} {sequence}")
}

fn batch(topic: base::TopicId, producer: i64, sent: &Sent) -> Bytes {
    let mut builder = BatchBuilder::new();
    for at in 0..sent.records {
        let text = payload(topic, sent.sequence + at);
        builder.push(1_000_000, None, Some(text.as_bytes()), []);
    }
    let plain = builder.build(Compression::None).unwrap();
    let header = BatchHeader {
        producer_id: producer,
        producer_epoch: 0,
        base_sequence: sent.sequence,
        ..BatchHeader::parse(&plain).unwrap()
    };
    rebuild(&header, &plain[HEADER_LEN..], Compression::None, -1).unwrap()
}

/// Appends, when there is room.
async fn append(broker: &Broker, topic: &str, batch: &Bytes) -> Result<Appended, Error> {
    let partition = broker.topic(topic)?.partition(0)?;
    loop {
        match partition.append(batch) {
            Err(Error::Store(store::Error::Busy)) => broker.room().await,
            other => return other,
        }
    }
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::seeded(seed),
            log: Vec::new(),
            topics: BTreeMap::new(),
            gone: Vec::new(),
            producers: Vec::new(),
        }
    }

    pub(crate) fn fork(&self, seed: u64) -> Self {
        Self {
            rng: Rng::seeded(seed),
            ..self.clone()
        }
    }

    /// One random thing that a client does.
    pub(crate) async fn step(&mut self, broker: &Broker) -> Result<(), Error> {
        let name = ["orders", "bills"][self.rng.below(2) as usize].to_owned();
        let there = self
            .topics
            .get(&name)
            .is_some_and(|t| t.there == There::Yes);
        if !there {
            return self.create(broker, name).await;
        }
        match self.rng.below(24) {
            0..=13 => {
                let many = 1 + self.rng.below(4);
                self.produce(broker, &name, many).await
            }
            14..=19 => self.commit(broker, &name).await,
            20..=21 => self.resend(broker, &name).await,
            _ => self.delete(broker, &name).await,
        }
    }

    async fn create(&mut self, broker: &Broker, name: String) -> Result<(), Error> {
        self.log.push(format!("create {name}"));
        let producer = broker.new_producer_id().await?;
        assert!(
            !self.producers.contains(&producer),
            "producer {producer} again"
        );
        self.producers.push(producer);
        let topic = Topic {
            there: There::Perhaps,
            id: base::TopicId::default(),
            producer,
            sent: Vec::new(),
            committed: None,
            commits: Vec::new(),
        };
        self.topics.insert(name.clone(), topic);
        let new = NewTopic {
            name: name.clone(),
            partitions: Some(1),
            ..NewTopic::default()
        };
        let created = broker.create_topic(new, false).await?;
        assert_eq!(broker.groups().committed(GROUP, &name, 0), None);
        if let Some(topic) = self.topics.get_mut(&name) {
            (topic.there, topic.id) = (There::Yes, created.id());
        }
        Ok(())
    }

    async fn delete(&mut self, broker: &Broker, name: &str) -> Result<(), Error> {
        self.log.push(format!("delete {name}"));
        let topic = self.topics.get_mut(name).unwrap();
        topic.there = There::Perhaps;
        broker.delete_topic(broker.topic(name)?).await?;
        topic.there = There::No;
        self.gone.push(topic.id);
        Ok(())
    }

    /// Sends batches without waiting in between, then waits for all.
    async fn produce(&mut self, broker: &Broker, name: &str, many: u64) -> Result<(), Error> {
        let mut answers = Vec::new();
        for _ in 0..many {
            let records = 1 + self.rng.below(3) as i32;
            let topic = self.topics.get_mut(name).unwrap();
            let sequence = topic.sent.last().map_or(0, |s| s.sequence + s.records);
            let sent = Sent {
                sequence,
                records,
                answered: None,
            };
            self.log
                .push(format!("send {sequence}+{records} to {name}"));
            let batch = batch(topic.id, topic.producer, &sent);
            topic.sent.push(sent);
            answers.push((topic.sent.len() - 1, append(broker, name, &batch).await?));
        }
        for (at, answer) in answers {
            let partition = broker.topic(name)?.partition(0)?;
            partition.acknowledged(&answer, Ack::Quorum).await?;
            assert!(!answer.duplicate, "{:?}", self.log);
            self.topics.get_mut(name).unwrap().sent[at].answered = Some(answer.first.0);
        }
        Ok(())
    }

    /// Sends the last batches again, as a client does that has got no answer. Each must be where it
    /// was, or, when it was never answered, be appended now.
    async fn resend(&mut self, broker: &Broker, name: &str) -> Result<(), Error> {
        let topic = self.topics.get_mut(name).unwrap();
        let from = topic.sent.len().saturating_sub(REMEMBERED);
        for sent in topic.sent.iter_mut().skip(from) {
            let what = format!("send {}+{} to {name} again", sent.sequence, sent.records);
            self.log.push(what.clone());
            let answer = append(broker, name, &batch(topic.id, topic.producer, sent)).await?;
            let partition = broker.topic(name)?.partition(0)?;
            partition.acknowledged(&answer, Ack::Quorum).await?;
            if let Some(answered) = sent.answered {
                let same = answer.duplicate && answer.first.0 == answered;
                assert!(same, "{what}: {answer:?}, not {answered}: {:?}", self.log);
            }
            sent.answered = Some(answer.first.0);
        }
        Ok(())
    }

    async fn commit(&mut self, broker: &Broker, name: &str) -> Result<(), Error> {
        let topic = self.topics.get_mut(name).unwrap();
        let offset = self.rng.below(1000) as i64;
        self.log.push(format!("commit {offset} of {name}"));
        topic.commits.push(offset);
        let at = Committed::new(offset, -1, String::new());
        let offsets = vec![(name.to_owned(), 0, at)];
        match broker.groups().commit(GROUP, ("", None, -1), offsets).await {
            Ok(outcomes) => outcomes.into_iter().for_each(|outcome| outcome.unwrap()),
            Err(_) => return Err(Error::ShuttingDown),
        }
        topic.committed = Some(offset);
        topic.commits.clear();
        Ok(())
    }

    /// Compares a broker that was started again with all that was answered, then has the clients
    /// send again what they do not know of, and compares once more.
    pub(crate) async fn check(&mut self, broker: &Broker) -> Result<(), String> {
        self.log.push("started again".to_owned());
        for (name, topic) in &mut self.topics {
            let found = broker.topic(name).ok();
            match (&found, topic.there) {
                (None, There::Yes) => return Err(format!("{name} is gone")),
                (Some(found), There::No) => return Err(format!("{name} is back: {found:?}")),
                (Some(found), There::Yes) if found.id() != topic.id => {
                    return Err(format!("{name} is another topic"));
                }
                _ => {}
            }
            let committed = broker
                .groups()
                .committed(GROUP, name, 0)
                .map(|at| at.offset);
            if let Some(found) = found {
                let known = committed == topic.committed
                    || committed.is_some_and(|offset| topic.commits.contains(&offset));
                if !known {
                    return Err(format!("{committed:?} is committed of {name}: {topic:?}"));
                }
                (topic.there, topic.id) = (There::Yes, found.id());
                topic.committed = committed;
            } else {
                if committed.is_some() {
                    return Err(format!(
                        "{committed:?} is committed of {name}, which is no more"
                    ));
                }
                if topic.there == There::Perhaps {
                    self.gone.push(topic.id);
                }
                topic.there = There::No;
                topic.committed = None;
            }
            topic.commits.clear();
        }
        let streams = broker.store().streams();
        if let Some(id) = streams.iter().find(|id| self.gone.contains(&id.topic)) {
            return Err(format!("{id} of a deleted topic is left"));
        }
        let names: Vec<String> = self.topics.keys().cloned().collect();
        for name in &names {
            if self.topics[name].there != There::Yes {
                continue;
            }
            self.check_records(broker, name)?;
            self.resend(broker, name)
                .await
                .map_err(|e| format!("sending again: {e}"))?;
            let end = self.check_records(broker, name)?;
            let topic = &self.topics[name];
            let sent: i32 = topic.sent.iter().map(|sent| sent.records).sum();
            if end != sent as u64 {
                return Err(format!("{name} has {end} records, of {sent}"));
            }
        }
        Ok(())
    }

    /// Everything that is there was sent, once, in order, and lies where it was said to.
    fn check_records(&self, broker: &Broker, name: &str) -> Result<u64, String> {
        let topic = &self.topics[name];
        let partition = broker
            .topic(name)
            .and_then(|topic| topic.partition(0))
            .map_err(|e| e.to_string())?;
        let stream = broker.store().stream(partition.id()).unwrap();
        let (mut at, end) = (0, partition.end().0);
        let mut batches = topic.sent.iter();
        while at < end {
            let read = stream
                .read(base::Offset(at), 2000)
                .map_err(|e| e.to_string())?;
            let mut bytes = Vec::new();
            for piece in &read.pieces {
                match piece {
                    Piece::Memory(memory) => bytes.extend_from_slice(memory),
                    Piece::File(range) => bytes.extend(range.read().map_err(|e| e.to_string())?),
                }
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let header = BatchHeader::parse(rest).map_err(|e| e.to_string())?;
                let (batch, later) = rest.split_at(header.total_len());
                rest = later;
                let Some(sent) = batches.next() else {
                    return Err(format!("{name}: more than was sent at {at}"));
                };
                let here = header.base_offset as u64;
                if here != at || sent.answered.is_some_and(|answered| answered != here) {
                    return Err(format!("{name}: {sent:?} is at {here}"));
                }
                let body = Bytes::copy_from_slice(&batch[HEADER_LEN..]);
                for (i, record) in records(&body).enumerate() {
                    let record = record.map_err(|e| e.to_string())?;
                    let value = record.value.unwrap_or_default();
                    if value != payload(topic.id, sent.sequence + i as i32).as_bytes() {
                        return Err(format!("{name}: {value:?} at {at}"));
                    }
                }
                at = header.next_offset();
            }
        }
        match batches.find(|sent| sent.answered.is_some()) {
            Some(lost) => Err(format!("{name} ends at {end} without {lost:?}")),
            None => Ok(end),
        }
    }
}
