//! One group as a pure machine: requests and the time in, answers and the next deadline out.
//!
//! Answers to a join or a sync may come later: the request leaves the sending half of a channel
//! behind. A client that has gone away just never reads it; its member goes when its session ends.

mod machine;
mod member;
mod share;
mod size;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base::HashMap;
use bytes::Bytes;
use tokio::sync::oneshot;

pub(crate) use member::Member;

use super::error::GroupError;
use super::offsets::Offsets;

/// How long a new member that waits in a join may be silent.
const NEW_MEMBER: Duration = Duration::from_secs(300);

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no members.
    Empty,
    /// Members are being gathered.
    PreparingRebalance,
    /// The leader is sharing out.
    CompletingRebalance,
    /// Everybody has its part.
    Stable,
    /// It is gone.
    Dead,
}

/// A request to join.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// Empty for a new member.
    pub member_id: String,
    /// For a static member: who keeps its place when it comes back.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it is.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long it may take to join again.
    pub rebalance_timeout: Duration,
    /// The kind of group.
    pub protocol_type: String,
    /// The ways of sharing it knows, the dearest first, each with the member's own data.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether a new member is to be sent back with an id first.
    pub require_member_id: bool,
    /// Whether it understands that a returning static leader need not share out.
    pub can_skip_assignment: bool,
}

/// The answer to a join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The member's id.
    pub member_id: String,
    /// The round.
    pub generation: i32,
    /// The leader's id.
    pub leader: String,
    /// The kind of group.
    pub protocol_type: Option<String>,
    /// The chosen way of sharing.
    pub protocol: Option<String>,
    /// All members; only the leader gets them.
    pub members: Vec<JoinedMember>,
    /// Whether the leader need not share out: nothing has changed.
    pub skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// Its data for the chosen way of sharing.
    pub metadata: Bytes,
}

/// A request for the member's part; the leader's brings everybody's.
#[derive(Clone, Debug, Default)]
pub struct Sync {
    /// The round.
    pub generation: i32,
    /// Who asks.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// The kind of group, where the client says it.
    pub protocol_type: Option<String>,
    /// The way of sharing, where the client says it.
    pub protocol: Option<String>,
    /// The leader's work.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The kind of group.
    pub protocol_type: Option<String>,
    /// The chosen way of sharing.
    pub protocol: Option<String>,
    /// The member's part.
    pub assignment: Bytes,
}

/// A member that leaves.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// Its id; may be empty for a static member.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
}

pub(crate) type JoinAnswer = oneshot::Sender<Result<Joined, GroupError>>;
pub(crate) type SyncAnswer = oneshot::Sender<Result<Synced, GroupError>>;

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) instances: HashMap<String, String>,
    /// Ids given out and not yet used, and until when they may be.
    pub(crate) pending: HashMap<String, Instant>,
    /// When the join, or the wait for syncs, ends.
    pub(crate) round_ends: Option<Instant>,
    /// The first round of an empty group: how long it may still be drawn out, and whether
    /// somebody came since it last was.
    pub(crate) first_round: Option<FirstRound>,
    pub(crate) offsets: Offsets,
    /// Since when it is in its state, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    pub(crate) rebalances: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstRound {
    pub(crate) left: Duration,
    pub(crate) delay: Duration,
    pub(crate) somebody_came: bool,
}

/// What the handle has to do after a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Todo {
    /// The group as it is now has to be written.
    pub(crate) save: bool,
}

/// What a sync led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SyncStep {
    /// The answer has been given or will be.
    Answered,
    /// The leader has shared out: these parts are to be written, then [`Group::shared_out`].
    Save { generation: i32 },
}
