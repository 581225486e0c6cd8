//! The one table from the engine's errors to the protocol's codes.

use base::Kind;
use broker::group::GroupError;
use broker::{BatchProblem, Error, ProducerProblem};
use kafka_wire::ErrorCode;

/// The code of an engine's error.
pub(crate) fn code(error: &Error) -> ErrorCode {
    match error {
        Error::UnknownTopic(_) | Error::UnknownPartition { .. } => {
            ErrorCode::UnknownTopicOrPartition
        }
        Error::UnknownTopicId(_) => ErrorCode::UnknownTopicId,
        // Nothing that this protocol asks for is about queues.
        Error::UnknownQueue(_)
        | Error::UnknownExchange(_)
        | Error::UnknownNamespace(_)
        | Error::InUse(_)
        | Error::NotEmpty(_) => ErrorCode::UnknownServerError,
        Error::TopicExists(_) => ErrorCode::TopicAlreadyExists,
        Error::InvalidTopicName(_) => ErrorCode::InvalidTopicException,
        Error::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
        Error::InvalidConfig { .. } => ErrorCode::InvalidConfig,
        Error::InvalidRequest(_) => ErrorCode::InvalidRequest,
        Error::Policy(_) | Error::Limit { .. } => ErrorCode::PolicyViolation,
        Error::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        Error::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        Error::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        Error::Batch(problem) => batch(problem),
        Error::Producer(ProducerProblem::OutOfOrder { .. }) => ErrorCode::OutOfOrderSequenceNumber,
        Error::Producer(ProducerProblem::StaleEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
        Error::Store(_) if error.kind() == Kind::NotFound => ErrorCode::UnknownTopicOrPartition,
        Error::Store(_) | Error::Meta(_) => ErrorCode::KafkaStorageError,
        Error::ShuttingDown => ErrorCode::NotLeaderOrFollower,
    }
}

fn batch(problem: &BatchProblem) -> ErrorCode {
    match problem {
        BatchProblem::Corrupt(_) => ErrorCode::CorruptMessage,
        BatchProblem::Invalid(_) | BatchProblem::Records(_) => ErrorCode::InvalidRecord,
        BatchProblem::Timestamp { .. } => ErrorCode::InvalidTimestamp,
        BatchProblem::TooLarge { .. } => ErrorCode::MessageTooLarge,
        BatchProblem::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        BatchProblem::Compression(_) => ErrorCode::UnsupportedCompressionType,
    }
}

/// The code of a group's error.
pub(crate) fn group_code(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroup => ErrorCode::InvalidGroupId,
        GroupError::UnknownMember => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::FencedInstance => ErrorCode::FencedInstanceId,
        GroupError::MemberIdRequired(_) => ErrorCode::MemberIdRequired,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::Full | GroupError::TooManyGroups | GroupError::NoRoom => {
            ErrorCode::GroupMaxSizeReached
        }
        GroupError::TooLarge => ErrorCode::UnknownServerError,
        GroupError::NonEmpty => ErrorCode::NonEmptyGroup,
        GroupError::NotFound => ErrorCode::GroupIdNotFound,
        GroupError::Subscribed => ErrorCode::GroupSubscribedToTopic,
        GroupError::MetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::Unavailable(_) => ErrorCode::CoordinatorNotAvailable,
    }
}
