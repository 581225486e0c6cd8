//! The group's machine, state by state, under a given time.
//!
//! What each request leads to in each state is what Apache Kafka's classic groups do; clients are
//! written against that.

use std::time::{Duration, Instant};

use base::Clock;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::GroupError;
use super::state::{Group, Join, Joined, Leaving, State, Sync, SyncStep, Synced, Todo};

mod membership;
mod rounds;
mod states;
mod statics;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_secs(3);
const MEMBERS_MAX: usize = 100;

type JoinReply = oneshot::Receiver<Result<Joined, GroupError>>;
type SyncReply = oneshot::Receiver<Result<Synced, GroupError>>;

/// A group and the time.
struct Bench {
    group: Group,
    now: Instant,
    delay: Duration,
    members_max: usize,
    made: u32,
    /// Whether the last step asked for the group to be saved.
    save: bool,
}

fn join() -> Join {
    Join {
        client_id: "c".into(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from_static(b"topics"))],
        ..Join::default()
    }
}

/// A member that was there before.
fn known(id: &str) -> Join {
    Join {
        member_id: id.into(),
        ..join()
    }
}

/// A member that keeps its place.
fn fixed(instance: &str) -> Join {
    Join {
        instance_id: Some(instance.into()),
        can_skip_assignment: true,
        ..join()
    }
}

/// A member that knows these ways of sharing.
fn knowing(names: &[&str]) -> Join {
    let way = |name: &&str| ((*name).to_owned(), Bytes::from_static(b"topics"));
    Join {
        protocols: names.iter().map(way).collect(),
        ..join()
    }
}

impl Bench {
    /// An empty group without an initial delay.
    fn new() -> Self {
        Self {
            group: Group::new("g", 0),
            now: Clock::manual(0).now(),
            delay: Duration::ZERO,
            members_max: MEMBERS_MAX,
            made: 0,
            save: false,
        }
    }

    fn join(&mut self, join: Join) -> JoinReply {
        self.made += 1;
        let (sender, reply) = oneshot::channel();
        let (limits, id) = ((self.members_max, self.delay), format!("m{}", self.made));
        self.save = self.group.join(join, id, limits, sender, self.now).save;
        reply
    }

    /// A join that is answered at once.
    fn joined(&mut self, join: Join) -> Result<Joined, GroupError> {
        self.join(join).try_recv().expect("answered at once")
    }

    fn sync(&mut self, id: &str, parts: &[(&str, &'static [u8])]) -> SyncReply {
        let generation = self.group.generation;
        self.sync_as(Sync {
            generation,
            member_id: id.into(),
            assignments: parts
                .iter()
                .map(|(id, part)| ((*id).to_owned(), Bytes::from_static(part)))
                .collect(),
            ..Sync::default()
        })
    }

    /// A sync; the leader's is saved at once.
    fn sync_as(&mut self, sync: Sync) -> SyncReply {
        let (sender, reply) = oneshot::channel();
        if let SyncStep::Save { generation } = self.group.sync(sync, sender, self.now) {
            self.group.shared_out(generation, Ok(()), self.now);
        }
        reply
    }

    fn beat(&mut self, id: &str) -> Result<(), GroupError> {
        self.group
            .heartbeat(id, None, self.group.generation, self.now)
    }

    fn leave(&mut self, id: &str) -> Result<(), GroupError> {
        let leaving = Leaving {
            member_id: id.into(),
            instance_id: None,
        };
        let todo = self.group.leave(&leaving, self.now)?;
        self.save = todo.save;
        Ok(())
    }

    fn commit(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        super::handle::may_commit(&mut self.group, id, None, generation, self.now)
    }

    /// Lets time pass; every deadline on the way is met at its instant.
    fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.group.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let Todo { save } = self.group.expire(self.now);
            self.save |= save;
            let next = self.group.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a deadline stays: {:?}",
                self.group
            );
        }
        self.now = end;
    }

    /// A stable group of `count` members, the leader first; it has gone through one round.
    fn stable(count: usize) -> (Self, Vec<String>) {
        let mut bench = Self::new();
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..count {
            let mut waiting = vec![bench.join(join())];
            for id in &ids {
                waiting.push(bench.join(known(id)));
            }
            ids = waiting
                .iter_mut()
                .map(|reply| reply.try_recv().unwrap().unwrap().member_id)
                .collect();
            let leader = bench.group.leader.clone().unwrap();
            ids.sort_by_key(|id| (*id != leader, id.clone()));
            for id in &ids {
                bench.sync(id, &[]);
            }
        }
        assert_eq!(bench.group.state, State::Stable);
        (bench, ids)
    }
}

/// The kind of an outcome, for comparisons.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what no test expects fails it"
)]
fn kind<T>(outcome: Result<T, GroupError>) -> Result<(), &'static str> {
    outcome.map(|_| ()).map_err(|error| match error {
        GroupError::UnknownMember => "unknown member",
        GroupError::IllegalGeneration => "illegal generation",
        GroupError::InconsistentProtocol => "inconsistent protocol",
        GroupError::RebalanceInProgress => "rebalance in progress",
        GroupError::FencedInstance => "fenced instance",
        GroupError::MemberIdRequired(_) => "member id required",
        GroupError::Full => "full",
        other => panic!("{other}"),
    })
}

/// What a request that waits has been answered by now; `None` is nothing.
fn told<T>(
    reply: &mut oneshot::Receiver<Result<T, GroupError>>,
) -> Option<Result<(), &'static str>> {
    reply.try_recv().ok().map(kind)
}
