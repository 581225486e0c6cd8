//! What survives: commits, generations, deletions, and how a start reads them back.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use store::batch::{self, BatchBuilder, Compression};
use tracing::warn;

use super::line::Ticket;
use super::{Groups, Slot};
use crate::broker::{Broker, Shared as BrokerShared};
use crate::error::Error;
use crate::group::TOPIC;
use crate::group::error::GroupError;
use crate::group::journal::{GroupValue, Key, MemberValue, OffsetValue};
use crate::group::offsets::Committed;
use crate::group::state::{Group, State};
use crate::partition::{Ack, Partition};

type Record = (Vec<u8>, Option<Vec<u8>>);

/// A write of a group that has its place.
pub(super) struct Started {
    broker: Arc<BrokerShared>,
    pub(super) partition: Arc<Partition>,
    pub(super) batch: Bytes,
    pub(super) place: Place,
}

pub(super) enum Place {
    /// In the log.
    Log(crate::Appended),
    /// Among those who wait for room.
    Line(Ticket),
}

/// Java's `String.hashCode`, by which its tools find a group's partition.
fn hash(name: &str) -> u32 {
    let mut hash = 0_i32;
    for unit in name.encode_utf16() {
        hash = hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    }
    hash.cast_unsigned() & 0x7fff_ffff
}

/// The partition of the groups' topic, of `partitions`, that a group is in.
pub(super) fn shard(group: &str, partitions: u32) -> u32 {
    hash(group) % partitions.max(1)
}

impl Groups {
    fn broker(&self) -> Result<Arc<BrokerShared>, GroupError> {
        let gone = || GroupError::Unavailable("the broker is shutting down".to_owned());
        self.0.broker.upgrade().ok_or_else(gone)
    }

    fn partition(broker: &Arc<BrokerShared>, group: &str) -> Result<Arc<Partition>, Error> {
        let topic = Broker::of(broker).topic(TOPIC)?;
        let count = u32::try_from(topic.partitions().len()).unwrap_or(1);
        topic.partition(i32::try_from(shard(group, count)).unwrap_or(0))
    }

    /// Queues records of a group: their place in the log follows the order of calls. The future
    /// waits until they are durable, and gives the first one's offset.
    pub(super) fn write(
        &self,
        group: &str,
        records: Vec<Record>,
    ) -> impl Future<Output = Result<u64, GroupError>> + Send + use<> {
        let started = self.start_write(group, records);
        async move {
            let Started {
                broker,
                partition,
                batch,
                place,
            } = started?;
            let appended = match place {
                Place::Log(appended) => appended,
                Place::Line(ticket) => {
                    ticket.first().await;
                    loop {
                        Broker::of(&broker).room().await;
                        match partition.append(&batch) {
                            Err(Error::Store(store::Error::Busy)) => {}
                            other => break other?,
                        }
                    }
                }
            };
            partition.acknowledged(&appended, Ack::Quorum).await?;
            Ok(appended.first.0)
        }
    }

    pub(super) fn start_write(
        &self,
        group: &str,
        records: Vec<Record>,
    ) -> Result<Started, GroupError> {
        let broker = self.broker()?;
        let partition = Self::partition(&broker, group)?;
        let now_ms = self.0.clock.unix_ms();
        let mut builder = BatchBuilder::new();
        for (key, value) in records {
            builder.push(now_ms, Some(&key), value.as_deref(), []);
        }
        let unavailable = |e: batch::BatchError| GroupError::Unavailable(e.to_string());
        let batch = builder.build(Compression::None).map_err(unavailable)?;
        let mut place = None;
        if !self.0.lines.has(group) {
            match partition.append(&batch) {
                Ok(appended) => place = Some(Place::Log(appended)),
                Err(Error::Store(store::Error::Busy)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Started {
            broker,
            partition,
            batch,
            place: place.unwrap_or_else(|| Place::Line(self.0.lines.join(group))),
        })
    }

    pub(super) fn save_in_background(&self, group: &Group) {
        let write = self.write(&group.name, vec![group_record(group)]);
        let name = group.name.clone();
        self.0.tasks.spawn("broker.group.save", async move {
            if let Err(error) = write.await {
                warn!(group = name, %error, "a group could not be saved");
            }
        });
    }

    /// Writes what the leader shared out, then hands it out.
    pub(super) fn save_shared_out(&self, name: &str, generation: i32) {
        let Some(slot) = self.find(name) else { return };
        let write = {
            let mut slot = slot.lock();
            slot.group.since_ms = self.0.clock.unix_ms();
            self.write(name, vec![group_record(&slot.group)])
        };
        let (groups, name) = (self.clone(), name.to_owned());
        self.0.tasks.spawn("broker.group.share", async move {
            let outcome = write.await.map(|_| ());
            let _ = groups.step(&name, false, |group, now| {
                group.shared_out(generation, outcome, now);
                ((), super::Todo::default())
            });
        });
    }

    /// Commits offsets; durable when it returns. `member` is the member and its generation; a
    /// consumer that belongs to no group has a negative generation.
    ///
    /// # Errors
    /// [`GroupError`] for all; an outcome for each offset otherwise.
    pub async fn commit(
        &self,
        name: &str,
        member: (&str, Option<&str>, i32),
        offsets: Vec<(String, i32, Committed)>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let (id, instance, generation) = member;
        let make = generation < 0;
        let limit = self.0.config.metadata_bytes_max;
        let outcomes = outcomes(&offsets, limit);
        let now_ms = self.0.clock.unix_ms();
        let started = self.step(name, make, |group, now| {
            let may = may_commit(group, id, instance, generation, now);
            let has_room = self.0.room.has(group.offsets.growth(&offsets));
            let may = may.and(if has_room {
                Ok(())
            } else {
                Err(GroupError::NoRoom)
            });
            // The place in the log is taken in the same step: nothing that the group does later comes
            // before it.
            let started = may.map(|()| {
                let kept = offsets
                    .iter()
                    .filter(|(_, _, at)| at.metadata.len() <= limit);
                let records: Vec<_> = kept
                    .map(|offset| offset_record(name, offset, now_ms))
                    .collect();
                (!records.is_empty()).then(|| {
                    group.offsets.begin_commit();
                    self.write(name, records)
                })
            });
            (started, super::Todo::default())
        });
        let started = match started {
            Err(GroupError::NotFound) => return Err(GroupError::IllegalGeneration),
            other => other??,
        };
        let Some(write) = started else {
            return Ok(outcomes);
        };
        let _open = OpenCommit {
            groups: self.clone(),
            name,
        };
        let kept: Vec<_> = offsets
            .into_iter()
            .filter(|(_, _, at)| at.metadata.len() <= limit)
            .collect();
        let place = write.await?;
        self.0.metrics.commits.inc_by(kept.len() as u64);
        self.step(name, true, |group, _| {
            for (topic, partition, at) in kept {
                group.offsets.put(
                    &topic,
                    partition,
                    Committed {
                        at_ms: now_ms,
                        place,
                        ..at
                    },
                );
            }
            ((), super::Todo::default())
        })?;
        Ok(outcomes)
    }

    /// A group's offset of one partition.
    #[must_use]
    pub fn committed(&self, name: &str, topic: &str, partition: i32) -> Option<Committed> {
        self.positions(name)?.get(topic, partition)
    }

    /// A group's offsets, to look at one after the other.
    #[must_use]
    pub fn positions(&self, name: &str) -> Option<Positions> {
        self.find(name).map(Positions)
    }

    /// All of a group's offsets.
    #[must_use]
    pub fn all_committed(&self, name: &str) -> Vec<(String, i32, Committed)> {
        let Some(slot) = self.find(name) else {
            return Vec::new();
        };
        let slot = slot.lock();
        let all = slot.group.offsets.iter();
        all.map(|(topic, partition, at)| (topic.to_owned(), partition, at.clone()))
            .collect()
    }

    /// Forgets offsets; durable when it returns.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::Unavailable`].
    pub async fn delete_offsets(
        &self,
        name: &str,
        partitions: &[(String, i32)],
    ) -> Result<(), GroupError> {
        let write = self.step(name, false, |group, _| {
            let known = partitions
                .iter()
                .filter(|(t, p)| group.offsets.get(t, *p).is_some());
            let dead: Vec<_> = known.map(|(t, p)| tombstone(name, t, *p)).collect();
            let write = (!dead.is_empty()).then(|| self.write(name, dead));
            (write, super::Todo::default())
        })?;
        let Some(write) = write else {
            return Ok(());
        };
        let place = write.await?;
        self.step(name, false, |group, _| {
            for (topic, partition) in partitions {
                group.offsets.bury(topic, *partition, place);
            }
            ((), super::Todo::default())
        })
    }

    /// Deletes a group without members, with its offsets; durable when it returns.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::NonEmpty`], [`GroupError::Unavailable`].
    pub async fn delete(&self, name: &str) -> Result<(), GroupError> {
        let (write, known) = self.step(name, false, |group, _| {
            let outcome = if group.members.is_empty() && group.state == State::Empty {
                let known = group.offsets.iter().map(|(t, p, _)| (t.to_owned(), p));
                let known: Vec<_> = known.collect();
                Ok((self.write(name, tombstones(group)), known))
            } else {
                Err(GroupError::NonEmpty)
            };
            (outcome, super::Todo::default())
        })??;
        let place = write.await?;
        self.step(name, false, |group, _| {
            for (topic, partition) in &known {
                group.offsets.bury(topic, *partition, place);
            }
            group.pending.clear();
            ((), super::Todo::default())
        })?;
        self.drop_if_bare(name);
        Ok(())
    }

    /// Forgets all offsets of a topic that is no more; whether that is durable.
    pub async fn forget_topic(&self, topic: &str) -> bool {
        let mut forgotten = true;
        let names: Vec<String> = self.0.table.lock().keys().cloned().collect();
        for name in names {
            let all = self.all_committed(&name);
            let of_topic = all.into_iter().filter(|(other, ..)| other == topic);
            let partitions: Vec<_> = of_topic
                .map(|(topic, partition, _)| (topic, partition))
                .collect();
            if partitions.is_empty() {
                continue;
            }
            if let Err(error) = self.delete_offsets(&name, &partitions).await {
                warn!(group = name, topic, %error, "offsets of a deleted topic were not forgotten");
                forgotten = false;
            }
        }
        forgotten
    }
}

/// How far a group has read, as it is at each look.
#[derive(Clone, Debug)]
pub struct Positions(Arc<Mutex<Slot>>);

impl Positions {
    /// The offset of one partition.
    #[must_use]
    pub fn get(&self, topic: &str, partition: i32) -> Option<Committed> {
        self.0.lock().group.offsets.get(topic, partition).cloned()
    }

    /// What [`Positions::partitions`] takes in memory, in bytes: for whoever has to know before.
    #[must_use]
    pub fn partitions_size(&self) -> usize {
        let slot = self.0.lock();
        let mut last = "";
        let mut size = 0;
        for (topic, ..) in slot.group.offsets.iter() {
            if topic != last {
                size += 2 * size_of::<(String, Vec<i32>)>() + topic.len();
                last = topic;
            }
            // The list may have room for twice as many.
            size += 2 * size_of::<i32>();
        }
        size
    }

    /// The topics and partitions that have one.
    #[must_use]
    pub fn partitions(&self) -> Vec<(String, Vec<i32>)> {
        let slot = self.0.lock();
        let mut all: Vec<(String, Vec<i32>)> = Vec::new();
        for (topic, partition, _) in slot.group.offsets.iter() {
            match all.last_mut() {
                Some((last, partitions)) if last == topic => partitions.push(partition),
                _ => all.push((topic.to_owned(), vec![partition])),
            }
        }
        all
    }
}

/// What is answered for each offset: those with more metadata than `limit` bytes are not kept.
fn outcomes(offsets: &[(String, i32, Committed)], limit: usize) -> Vec<Result<(), GroupError>> {
    let outcome = |at: &Committed| {
        if at.metadata.len() > limit {
            return Err(GroupError::MetadataTooLarge);
        }
        Ok(())
    };
    offsets.iter().map(|(_, _, at)| outcome(at)).collect()
}

/// A commit that is on its way, however that ends.
struct OpenCommit<'a> {
    groups: Groups,
    name: &'a str,
}

impl Drop for OpenCommit<'_> {
    fn drop(&mut self) {
        let _ = self.groups.step(self.name, false, |group, _| {
            group.offsets.end_commit();
            ((), super::Todo::default())
        });
    }
}

/// The record that keeps one offset of `group`.
fn offset_record(
    group: &str,
    (topic, partition, at): &(String, i32, Committed),
    now_ms: i64,
) -> Record {
    let key = Key::Offset {
        group: group.to_owned(),
        topic: topic.clone(),
        partition: *partition,
    };
    let value = OffsetValue {
        offset: at.offset,
        leader_epoch: at.leader_epoch,
        metadata: at.metadata.clone(),
        at_ms: now_ms,
        expires_ms: at.expires_ms,
    };
    (key.encode(), Some(value.encode()))
}

pub(in crate::group) fn may_commit(
    group: &mut Group,
    id: &str,
    instance: Option<&str>,
    generation: i32,
    now: std::time::Instant,
) -> Result<(), GroupError> {
    if generation < 0 && group.members.is_empty() {
        return Ok(());
    }
    group.check_member(id, instance, generation)?;
    if let Some(member) = group.members.get_mut(id) {
        member.deadline = now + member.session_timeout;
    }
    match group.state {
        State::CompletingRebalance => Err(GroupError::RebalanceInProgress),
        State::Empty | State::PreparingRebalance | State::Stable | State::Dead => Ok(()),
    }
}

fn group_record(group: &Group) -> Record {
    let chosen = group.protocol.clone().unwrap_or_default();
    let millis = |d: std::time::Duration| i32::try_from(d.as_millis()).unwrap_or(i32::MAX);
    let members = group.members.values().map(|member| MemberValue {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: millis(member.rebalance_timeout),
        session_timeout_ms: millis(member.session_timeout),
        metadata: member.metadata(&chosen),
        assignment: member.assignment.clone(),
    });
    let value = GroupValue {
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        generation: group.generation,
        protocol: group.protocol.clone(),
        leader: group.leader.clone(),
        since_ms: group.since_ms,
        members: members.collect(),
    };
    (
        Key::Group {
            group: group.name.clone(),
        }
        .encode(),
        Some(value.encode()),
    )
}

pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    let key = Key::Offset {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
    };
    (key.encode(), None)
}

fn tombstones(group: &Group) -> Vec<Record> {
    let offsets = group.offsets.iter();
    let mut dead: Vec<Record> = offsets
        .map(|(t, p, _)| tombstone(&group.name, t, p))
        .collect();
    dead.push((
        Key::Group {
            group: group.name.clone(),
        }
        .encode(),
        None,
    ));
    dead
}
