//! What can go wrong with a group.

use crate::error::{BatchProblem, Error};

/// A request about a group was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GroupError {
    /// The group's name is empty, or too long to be written.
    #[error("a group needs a name, of at most 32767 bytes")]
    InvalidGroup,
    /// No member has this id.
    #[error("the group has no such member")]
    UnknownMember,
    /// The member is of another generation.
    #[error("the generation is not the group's")]
    IllegalGeneration,
    /// The member knows none of the ways of sharing that all others know, or is of another type.
    #[error("no way of sharing is known to all members")]
    InconsistentProtocol,
    /// A round is under way: join again.
    #[error("a rebalance is in progress")]
    RebalanceInProgress,
    /// Another member has taken this instance's place.
    #[error("another member has this instance id")]
    FencedInstance,
    /// The id to join with.
    #[error("join again as {0}")]
    MemberIdRequired(String),
    /// The session's length is out of bounds.
    #[error("the session timeout is outside the allowed range")]
    InvalidSessionTimeout,
    /// The group is full.
    #[error("the group has as many members as it may have")]
    Full,
    /// There are as many groups as there may be.
    #[error("there are as many groups as there may be")]
    TooManyGroups,
    /// The groups take as much memory as they may.
    #[error("groups take as much memory as groups.memory_max allows")]
    NoRoom,
    /// What is to be saved does not fit into one record batch.
    #[error("the group is too large to be saved")]
    TooLarge,
    /// The group has members.
    #[error("the group has members")]
    NonEmpty,
    /// There is no such group.
    #[error("there is no such group")]
    NotFound,
    /// Members read this topic.
    #[error("the group is subscribed to the topic")]
    Subscribed,
    /// What goes with the offset is too long.
    #[error("the offset's metadata is too long")]
    MetadataTooLarge,
    /// The group could not be written.
    #[error("the group could not be saved: {0}")]
    Unavailable(String),
}

impl From<Error> for GroupError {
    fn from(error: Error) -> Self {
        let too_large = matches!(
            error,
            Error::Batch(BatchProblem::TooLarge { .. } | BatchProblem::LargerThanSegment { .. })
        );
        if too_large {
            return Self::TooLarge;
        }
        Self::Unavailable(error.to_string())
    }
}
