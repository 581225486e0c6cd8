//! Deleting records below an offset.

use kafka_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::Context;
use crate::{convert, error};

pub(super) async fn delete_records(
    context: &Context,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut response = DeleteRecordsResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            context.room.step().await;
            let found = context.shared.broker.topic(&topic.name);
            let mut answer = DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: -1,
                error_code: 0,
            };
            let outcome = match found.and_then(|topic| topic.partition(asked.partition_index)) {
                // -1 is everything that readers may see.
                Ok(partition) => {
                    let before = (asked.offset != -1).then_some(asked.offset);
                    partition.delete_before(before).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(start) => answer.low_watermark = convert::offset(start),
                Err(error) => answer.error_code = error::code(&error).code(),
            }
            partitions.push(answer);
        }
        response.topics.push(DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
        });
    }
    response
}
