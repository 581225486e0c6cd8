//! How a start reads groups back from the log.

use std::sync::Arc;

use base::HashMap;
use parking_lot::Mutex;
use store::batch::{self, BatchError, BatchHeader, HEADER_LEN};
use tracing::{error, info, warn};

use super::durable::{Place, shard, tombstone};
use super::{Fenced, Groups, Slot};
use crate::broker::Broker;
use crate::error::Error;
use crate::group::TOPIC;
use crate::group::error::GroupError;
use crate::group::journal::{GroupValue, Key, OffsetValue};
use crate::group::offsets::Committed;
use crate::group::state::{Member, State};
use crate::partition::Partition;

/// How much is read at a time, in bytes.
const LOAD_BYTES: usize = 4 << 20;

impl Groups {
    /// Reads all groups back. Of a partition that is damaged none are: what has been read of them may
    /// be older than what was acknowledged. Blocks.
    pub(crate) fn load(&self, broker: &Broker) -> Result<(), Error> {
        let topic = broker.topic(TOPIC)?;
        let mut damaged = HashMap::default();
        for partition in topic.partitions().iter() {
            match self.load_partition(partition) {
                Ok(0) => {}
                Ok(unknown) => warn!(
                    partition = partition.index(),
                    unknown, "records of the groups' topic that this version does not know"
                ),
                Err(Error::Store(why)) if is_damage(&why) => {
                    error!(
                        partition = partition.index(), error = %why,
                        "a damaged partition of the groups' topic: its groups are not served"
                    );
                    let why = format!("partition {} of {TOPIC}: {why}", partition.index());
                    damaged.insert(partition.id().partition, why);
                }
                Err(error) => return Err(error),
            }
        }
        if !damaged.is_empty() {
            let partitions = u32::try_from(topic.partitions().len()).unwrap_or(1);
            let fenced = Fenced {
                partitions,
                damaged,
            };
            let of_damaged = |name: &str| fenced.damaged.contains_key(&shard(name, partitions));
            self.0.table.lock().retain(|name, _| !of_damaged(name));
            let _ = self.0.fenced.set(fenced);
        }
        let slots: Vec<_> = self.0.table.lock().values().cloned().collect();
        for slot in &slots {
            let mut slot = slot.lock();
            self.schedule(&mut slot);
            let bytes = slot.group.size();
            self.0.room.hold(&mut slot.held, bytes);
        }
        info!(groups = slots.len(), "groups are loaded");
        Ok(())
    }

    /// Reads the groups of one partition; returns how many records are of no known kind.
    fn load_partition(&self, partition: &Partition) -> Result<u64, Error> {
        if let Some(damage) = partition.fenced() {
            return Err(Error::Store(damage.clone()));
        }
        let stream = partition.stream();
        let mut unknown = 0;
        let mut from = stream.start();
        while from < stream.end() {
            let read = stream.read(from, LOAD_BYTES)?;
            if read.bytes == 0 {
                break;
            }
            let mut bytes = Vec::with_capacity(read.bytes);
            for piece in &read.pieces {
                match piece {
                    store::Piece::Memory(part) => bytes.extend_from_slice(part),
                    store::Piece::File(range) => {
                        bytes.extend_from_slice(&range.read().map_err(|e| {
                            Error::InvalidRequest(format!("{TOPIC} cannot be read: {e}"))
                        })?)
                    }
                }
            }
            unknown += self.apply_batches(&bytes).map_err(store::Error::Batch)?;
            from = read.next;
        }
        Ok(unknown)
    }

    /// Forgets all offsets of these topics, whose deletion a crash has interrupted. Blocks until
    /// that is durable.
    pub(crate) fn forget_deleted(&self, broker: &Broker, topics: &[&str]) -> Result<(), Error> {
        let names: Vec<String> = self.0.table.lock().keys().cloned().collect();
        let mut forgotten = false;
        for name in names {
            let Some(slot) = self.find(&name) else {
                continue;
            };
            let mut slot = slot.lock();
            let all = slot.group.offsets.iter();
            let dead: Vec<(String, i32)> = all
                .filter(|(topic, ..)| topics.contains(topic))
                .map(|(topic, partition, _)| (topic.to_owned(), partition))
                .collect();
            if dead.is_empty() {
                continue;
            }
            let records = dead.iter().map(|(t, p)| tombstone(&name, t, *p)).collect();
            let unavailable = |error: GroupError| Error::InvalidRequest(error.to_string());
            let mut started = self.start_write(&name, records).map_err(unavailable)?;
            while let Place::Line(_) = started.place {
                // The queue is full: what is in it goes to the disk first.
                broker.store().flush()?;
                match started.partition.append(&started.batch) {
                    Ok(appended) => started.place = Place::Log(appended),
                    Err(Error::Store(store::Error::Busy)) => {}
                    Err(error) => return Err(error),
                }
            }
            for (topic, partition) in &dead {
                slot.group.offsets.remove(topic, *partition);
            }
            forgotten = true;
        }
        if forgotten {
            broker.store().flush()?;
        }
        Ok(())
    }

    /// What was acknowledged is there again, whatever the limits are now.
    fn find_or_load(&self, name: &str) -> Arc<Mutex<Slot>> {
        let mut table = self.0.table.lock();
        match table.get(name) {
            Some(slot) => slot.clone(),
            None => self.make(&mut table, name),
        }
    }

    /// Returns how many records are of no known kind.
    fn apply_batches(&self, mut bytes: &[u8]) -> Result<u64, BatchError> {
        let mut unknown = 0;
        while !bytes.is_empty() {
            let header = BatchHeader::parse(bytes)?;
            let Some((batch, rest)) = bytes.split_at_checked(header.total_len()) else {
                return Err(BatchError::Short);
            };
            bytes = rest;
            let body = batch.get(HEADER_LEN..).unwrap_or_default();
            let codec = header.compression().ok_or(BatchError::Record("codec"))?;
            let plain = batch::decompress(codec, body, LOAD_BYTES * 64)?;
            for record in batch::records(&plain) {
                let record = record?;
                let delta = u64::try_from(record.offset_delta).unwrap_or(0);
                let place = u64::try_from(header.base_offset).unwrap_or(0) + delta;
                match record.key.and_then(Key::decode) {
                    Some(key) => unknown += u64::from(!self.apply(key, record.value, place)),
                    None => unknown += 1,
                }
            }
        }
        Ok(unknown)
    }

    /// False for a value of no known kind.
    fn apply(&self, key: Key, value: Option<&[u8]>, place: u64) -> bool {
        match (key, value) {
            (
                Key::Offset {
                    group,
                    topic,
                    partition,
                },
                Some(value),
            ) => {
                let Some(value) = OffsetValue::decode(value) else {
                    return false;
                };
                let slot = self.find_or_load(&group);
                let committed = Committed {
                    offset: value.offset,
                    leader_epoch: value.leader_epoch,
                    metadata: value.metadata,
                    at_ms: value.at_ms,
                    expires_ms: value.expires_ms,
                    place,
                };
                slot.lock().group.offsets.put(&topic, partition, committed);
            }
            (
                Key::Offset {
                    group,
                    topic,
                    partition,
                },
                None,
            ) => {
                if let Some(slot) = self.find(&group) {
                    slot.lock().group.offsets.remove(&topic, partition);
                }
            }
            (Key::Group { group }, Some(value)) => {
                let Some(value) = GroupValue::decode(value) else {
                    return false;
                };
                let slot = self.find_or_load(&group);
                restore(&mut slot.lock(), value, self.0.clock.now());
            }
            (Key::Group { group }, None) => {
                let mut table = self.0.table.lock();
                let empty = table
                    .get(&group)
                    .is_some_and(|s| s.lock().group.offsets.is_empty());
                if empty {
                    table.remove(&group);
                }
            }
        }
        true
    }
}

/// Whether what was written is not what is there.
fn is_damage(error: &store::Error) -> bool {
    matches!(error, store::Error::Damaged { .. } | store::Error::Batch(_))
}

/// A group as it was written: its members have a whole session to be heard of again.
fn restore(slot: &mut Slot, value: GroupValue, now: std::time::Instant) {
    let group = &mut slot.group;
    group.protocol_type = Some(value.protocol_type).filter(|kind| !kind.is_empty());
    group.generation = value.generation;
    group.protocol.clone_from(&value.protocol);
    group.leader = value.leader;
    group.since_ms = value.since_ms;
    group.members.clear();
    group.instances.clear();
    for member in value.members {
        let millis = |ms: i32| std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        if let Some(instance) = &member.instance_id {
            group.instances.insert(instance.clone(), member.id.clone());
        }
        let chosen = value.protocol.clone().unwrap_or_default();
        let session_timeout = millis(member.session_timeout_ms);
        group.members.insert(
            member.id.clone(),
            Member {
                id: member.id,
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                session_timeout,
                rebalance_timeout: millis(member.rebalance_timeout_ms),
                protocols: vec![(chosen, member.metadata)],
                assignment: member.assignment,
                deadline: now + session_timeout,
                join: None,
                sync: None,
                is_new: false,
                synced: true,
            },
        );
    }
    group.state = if group.members.is_empty() {
        State::Empty
    } else {
        State::Stable
    };
}
