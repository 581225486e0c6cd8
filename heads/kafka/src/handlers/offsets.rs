//! Where partitions begin and end, by offset, time and epoch.

use std::sync::Arc;

use broker::{Error, Partition};
use kafka_wire::ErrorCode;
use kafka_wire::messages::list_offsets_request::ListOffsetsPartition;
use kafka_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_wire::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::Context;
use crate::{convert, error};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

fn partition(context: &Context, topic: &str, index: i32) -> Result<Arc<Partition>, Error> {
    context.shared.broker.topic(topic)?.partition(index)
}

pub(super) async fn list_offsets(
    context: &Context,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let mut response = ListOffsetsResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            context.room.step().await;
            let found = look_up(context, &topic.name, &asked).await;
            let mut answer = ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                timestamp: -1,
                offset: -1,
                leader_epoch: -1,
                ..ListOffsetsPartitionResponse::default()
            };
            match found {
                Ok((offset, timestamp, epoch)) => {
                    (answer.offset, answer.timestamp, answer.leader_epoch) =
                        (offset, timestamp, epoch);
                }
                Err(code) => answer.error_code = code.code(),
            }
            partitions.push(answer);
        }
        response.topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    response
}

async fn look_up(
    context: &Context,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<(i64, i64, i32), ErrorCode> {
    let code = |error: Error| error::code(&error);
    let partition = partition(context, topic, asked.partition_index).map_err(code)?;
    partition
        .check_epoch(convert::epoch(asked.current_leader_epoch))
        .map_err(code)?;
    let version = context.version();
    let epoch_at = |offset: base::Offset| {
        // The epoch in which the offset was, or will be, written.
        let end = partition.end();
        if offset >= end {
            partition.epoch()
        } else {
            partition.epoch_of(offset)
        }
    };
    match asked.timestamp {
        LATEST => Ok((convert::offset(partition.end()), -1, partition.epoch())),
        EARLIEST => {
            let start = partition.start();
            Ok((convert::offset(start), -1, epoch_at(start)))
        }
        MAX_TIMESTAMP if version >= 7 => {
            let found = partition.max_timestamp().await.map_err(code)?;
            Ok(found.map_or((-1, -1, -1), |(at, time, epoch)| {
                (convert::offset(at), time, epoch)
            }))
        }
        EARLIEST_LOCAL if version >= 8 => {
            let start = partition.start();
            Ok((convert::offset(start), -1, epoch_at(start)))
        }
        // Nothing is tiered.
        LATEST_TIERED if version >= 9 => Ok((-1, -1, -1)),
        time if time < 0 => Err(ErrorCode::UnsupportedVersion),
        time => {
            let found = partition.by_timestamp(time).await.map_err(code)?;
            Ok(found.map_or((-1, -1, -1), |(at, time, epoch)| {
                (convert::offset(at), time, epoch)
            }))
        }
    }
}

pub(super) async fn offset_for_leader_epoch(
    context: &Context,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut response = OffsetForLeaderEpochResponse::default();
    for asked in request.topics {
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for wanted in &asked.partitions {
            context.room.step().await;
            partitions.push(end_of(context, &asked.topic, wanted));
        }
        response.topics.push(OffsetForLeaderTopicResult {
            topic: asked.topic,
            partitions,
        });
    }
    response
}

fn end_of(context: &Context, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let mut answer = EpochEndOffset {
        partition: asked.partition,
        leader_epoch: -1,
        end_offset: -1,
        ..EpochEndOffset::default()
    };
    let partition = partition(context, topic, asked.partition).and_then(|partition| {
        partition.check_epoch(convert::epoch(asked.current_leader_epoch))?;
        Ok(partition)
    });
    match partition {
        Err(error) => answer.error_code = error::code(&error).code(),
        Ok(partition) => {
            if let Some((epoch, end)) = partition.epoch_end(asked.leader_epoch) {
                (answer.leader_epoch, answer.end_offset) = (epoch, convert::offset(end));
            }
        }
    }
    answer
}
