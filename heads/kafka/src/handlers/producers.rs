//! Idempotent producers: their ids, and what is known of them.

use broker::ProducerInfo;
use kafka_wire::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_wire::messages::{
    DescribeProducersRequest, DescribeProducersResponse, InitProducerIdRequest,
    InitProducerIdResponse,
};
use kafka_wire::{ErrorCode, Str};

use super::Context;
use crate::error;

/// What a producer takes in an answer, in memory (as the engine lists it, too) and as sent.
const PRODUCER: (usize, usize) = (size_of::<ProducerState>() + size_of::<ProducerInfo>(), 48);
/// The longest sentence about what is wrong with a partition.
const SENTENCE: usize = 512;

pub(super) async fn init_producer_id(
    context: &Context,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |code: ErrorCode| InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    match &request.transactional_id {
        Some(id) if id.is_empty() => return refused(ErrorCode::InvalidRequest),
        // Transactions are not served, and nothing announces them.
        Some(_) => return refused(ErrorCode::TransactionalIdAuthorizationFailed),
        None => {}
    }
    match context.shared.broker.new_producer_id().await {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(error) => refused(error::code(&error)),
    }
}

pub(super) async fn describe_producers(
    context: &Context,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut response = DescribeProducersResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in &topic.partition_indexes {
            let found = context.shared.broker.topic(&topic.name);
            let partition = found.and_then(|topic| topic.partition(*index));
            let count = partition.as_ref().map_or(0, |p| p.producers_count());
            let (memory, sent) = (count * PRODUCER.0, count * PRODUCER.1);
            let sentence = if partition.is_err() { SENTENCE } else { 0 };
            context.room.take(memory + sentence, sent + sentence).await;
            let mut answer = PartitionResponse {
                partition_index: *index,
                ..PartitionResponse::default()
            };
            match partition {
                Err(error) => {
                    answer.error_code = error::code(&error).code();
                    answer.error_message = Some(Str::from(error.to_string()));
                }
                Ok(partition) => {
                    let known = partition.producers().into_iter();
                    answer.active_producers = known
                        .map(|producer| ProducerState {
                            producer_id: producer.id,
                            producer_epoch: i32::from(producer.epoch),
                            last_sequence: producer.last_sequence,
                            last_timestamp: producer.last_timestamp,
                            coordinator_epoch: -1,
                            current_txn_start_offset: -1,
                        })
                        .collect();
                }
            }
            partitions.push(answer);
        }
        response.topics.push(TopicResponse {
            name: topic.name.clone(),
            partitions,
        });
    }
    response
}
