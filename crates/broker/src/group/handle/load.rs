//! How a start reads groups back from the log.

use std::sync::Arc;

use parking_lot::Mutex;
use store::batch::{self, BatchHeader, HEADER_LEN};
use tracing::info;

use super::durable::tombstone;
use super::{Groups, Slot};
use crate::broker::Broker;
use crate::error::Error;
use crate::group::TOPIC;
use crate::group::error::GroupError;
use crate::group::journal::{GroupValue, Key, OffsetValue};
use crate::group::offsets::Committed;
use crate::group::state::{Member, State};

/// How much is read at a time, in bytes.
const LOAD_BYTES: usize = 4 << 20;

impl Groups {
    /// Reads all groups back. Blocks.
    pub(crate) fn load(&self, broker: &Broker) -> Result<(), Error> {
        let topic = broker.topic(TOPIC)?;
        for partition in topic.partitions().iter() {
            let stream = partition.stream();
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
                self.apply_batches(&bytes);
                from = read.next;
            }
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
            while started.3.is_none() {
                // The queue is full: what is in it goes to the disk first.
                broker.store().flush()?;
                started.3 = match started.1.append(&started.2) {
                    Ok(appended) => Some(appended),
                    Err(Error::Store(store::Error::Busy)) => None,
                    Err(error) => return Err(error),
                };
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

    fn apply_batches(&self, mut bytes: &[u8]) {
        while let Ok(header) = BatchHeader::parse(bytes) {
            let Some((batch, rest)) = bytes.split_at_checked(header.total_len()) else {
                return;
            };
            bytes = rest;
            let body = batch.get(HEADER_LEN..).unwrap_or_default();
            let Some(codec) = header.compression() else {
                continue;
            };
            let Ok(plain) = batch::decompress(codec, body, LOAD_BYTES * 64) else {
                continue;
            };
            for record in batch::records(&plain).flatten() {
                let delta = u64::try_from(record.offset_delta).unwrap_or(0);
                let place = u64::try_from(header.base_offset).unwrap_or(0) + delta;
                if let Some(key) = record.key.and_then(Key::decode) {
                    self.apply(key, record.value, place);
                }
            }
        }
    }

    fn apply(&self, key: Key, value: Option<&[u8]>, place: u64) {
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
                    return;
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
                    return;
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
    }
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
