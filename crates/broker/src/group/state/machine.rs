//! The steps of a group.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    FirstRound, Group, Join, JoinAnswer, Joined, JoinedMember, Leaving, Member, NEW_MEMBER, State,
    Todo,
};
use crate::group::error::GroupError;

impl Group {
    pub(crate) fn new(name: &str, now_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: std::collections::BTreeMap::new(),
            instances: base::HashMap::default(),
            pending: base::HashMap::default(),
            round_ends: None,
            first_round: None,
            offsets: super::Offsets::default(),
            since_ms: now_ms,
            rebalances: 0,
        }
    }

    /// Whether there is nothing in it: nobody, and nothing that anybody has left behind.
    pub(crate) fn is_bare(&self) -> bool {
        let nobody = self.members.is_empty() && self.pending.is_empty();
        nobody && self.state == State::Empty && self.offsets.is_idle()
    }

    /// Whether it has ever got as far as a record in the log.
    pub(crate) fn is_saved(&self) -> bool {
        self.generation > 0
    }

    /// Takes up a join; `new_id` is for a member that has none.
    pub(crate) fn join(
        &mut self,
        join: Join,
        new_id: String,
        limits: (usize, Duration),
        answer: JoinAnswer,
        now: Instant,
    ) -> Todo {
        let (members_max, delay) = limits;
        if let Err(error) = self.may_join(&join, members_max) {
            let _ = answer.send(Err(error));
            return Todo::default();
        }
        let known = join
            .instance_id
            .as_ref()
            .and_then(|id| self.instances.get(id))
            .cloned();
        if join.member_id.is_empty() {
            return match known {
                Some(old) => self.replace(&old, join, new_id, answer, now),
                None if join.require_member_id && join.instance_id.is_none() => {
                    self.pending
                        .insert(new_id.clone(), now + join.session_timeout);
                    let _ = answer.send(Err(GroupError::MemberIdRequired(new_id)));
                    Todo::default()
                }
                None => self.add(join, new_id, delay, answer, now),
            };
        }
        if known.as_ref().is_some_and(|known| *known != join.member_id) {
            let _ = answer.send(Err(GroupError::FencedInstance));
            return Todo::default();
        }
        let member = self.members.contains_key(&join.member_id);
        if member && (join.instance_id.is_none() || known.is_some()) {
            return self.rejoin(join, answer, now);
        }
        if join.instance_id.is_none() && self.pending.remove(&join.member_id).is_some() {
            let id = join.member_id.clone();
            return self.add(join, id, delay, answer, now);
        }
        let _ = answer.send(Err(GroupError::UnknownMember));
        Todo::default()
    }

    fn may_join(&self, join: &Join, members_max: usize) -> Result<(), GroupError> {
        let known = self.members.contains_key(&join.member_id)
            || join
                .instance_id
                .as_ref()
                .is_some_and(|id| self.instances.contains_key(id));
        if !known && self.members.len() + self.pending.len() >= members_max {
            let promised = self.pending.contains_key(&join.member_id);
            if !promised || self.members.len() >= members_max {
                return Err(GroupError::Full);
            }
        }
        if join.protocols.is_empty() || join.protocol_type.is_empty() {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.members.is_empty() {
            return Ok(());
        }
        let same_type = self.protocol_type.as_ref() == Some(&join.protocol_type);
        let others: Vec<_> = self
            .members
            .values()
            .filter(|m| m.id != join.member_id)
            .collect();
        let shared = join.protocols.iter().any(|(name, _)| {
            others
                .iter()
                .all(|member| member.protocols.iter().any(|(other, _)| other == name))
        });
        if same_type && shared {
            Ok(())
        } else {
            Err(GroupError::InconsistentProtocol)
        }
    }

    fn add(
        &mut self,
        join: Join,
        id: String,
        delay: Duration,
        answer: JoinAnswer,
        now: Instant,
    ) -> Todo {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = Member {
            id: id.clone(),
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols,
            assignment: Bytes::new(),
            deadline: now + NEW_MEMBER,
            join: Some(answer),
            sync: None,
            is_new: true,
            synced: false,
        };
        self.members.insert(id, member);
        if let Some(first) = &mut self.first_round {
            first.somebody_came = true;
        }
        self.gather(delay, now)
    }

    /// Begins a round, or sees whether the one under way is complete.
    fn gather(&mut self, delay: Duration, now: Instant) -> Todo {
        if self.state != State::PreparingRebalance {
            self.prepare(delay, now);
        }
        self.complete_if_all(now)
    }

    /// Begins a round.
    pub(super) fn prepare(&mut self, delay: Duration, now: Instant) {
        for member in self.members.values_mut() {
            if let Some(answer) = member.sync.take() {
                member.deadline = now + member.session_timeout;
                let _ = answer.send(Err(GroupError::RebalanceInProgress));
            }
        }
        let longest = self.rebalance_timeout();
        if self.state == State::Empty && !delay.is_zero() {
            let first = delay.min(longest);
            let left = longest.saturating_sub(first);
            self.first_round = Some(FirstRound {
                left,
                delay,
                somebody_came: false,
            });
            self.round_ends = Some(now + first);
        } else {
            self.round_ends = Some(now + longest);
        }
        self.rebalances += 1;
        self.state = State::PreparingRebalance;
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members
            .values()
            .map(|m| m.rebalance_timeout)
            .max()
            .unwrap_or_default()
    }

    fn complete_if_all(&mut self, now: Instant) -> Todo {
        let all = self.members.values().all(|member| member.join.is_some());
        let waits = self.first_round.is_some() || !self.pending.is_empty() || !all;
        if self.state != State::PreparingRebalance || waits {
            return Todo::default();
        }
        self.complete_join(now)
    }

    fn rejoin(&mut self, join: Join, answer: JoinAnswer, now: Instant) -> Todo {
        let leads = self.leader.as_deref() == Some(join.member_id.as_str());
        let Some(member) = self.members.get_mut(&join.member_id) else {
            return Todo::default();
        };
        let changed = member.protocols != join.protocols;
        let goes_on = match self.state {
            State::CompletingRebalance => !changed,
            State::Stable => !changed && !leads,
            State::Empty | State::PreparingRebalance | State::Dead => false,
        };
        if goes_on {
            member.deadline = now + member.session_timeout;
            let joined = self.joined(&join.member_id);
            let _ = answer.send(Ok(joined));
            return Todo::default();
        }
        member.protocols = join.protocols;
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.deadline = now + member.session_timeout;
        if let Some(before) = member.join.replace(answer) {
            // The same member has asked twice; only the newest is answered with the round.
            let _ = before.send(Err(GroupError::RebalanceInProgress));
        }
        self.gather(Duration::ZERO, now)
    }

    /// A static member comes back under a new id.
    fn replace(
        &mut self,
        old: &str,
        join: Join,
        new_id: String,
        answer: JoinAnswer,
        now: Instant,
    ) -> Todo {
        let Some(mut member) = self.members.remove(old) else {
            let _ = answer.send(Err(GroupError::UnknownMember));
            return Todo::default();
        };
        if let Some(answer) = member.join.take() {
            let _ = answer.send(Err(GroupError::FencedInstance));
        }
        if let Some(answer) = member.sync.take() {
            let _ = answer.send(Err(GroupError::FencedInstance));
        }
        let led = self.leader.as_deref() == Some(old);
        member.id.clone_from(&new_id);
        member.client_id = join.client_id;
        member.client_host = join.client_host;
        member.session_timeout = join.session_timeout;
        member.rebalance_timeout = join.rebalance_timeout;
        member.protocols = join.protocols;
        member.deadline = now + member.session_timeout;
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
        if led {
            self.leader = Some(new_id.clone());
        }
        let same_protocol = self.choose() == self.protocol;
        // Its data may differ: what a consumer that comes back owns is nothing, for example.
        if self.state == State::Stable && same_protocol {
            let mut joined = self.joined(&new_id);
            if led && join.can_skip_assignment {
                joined.skip_assignment = true;
            } else if led {
                // An older client that believes it leads would share out: let it believe that
                // its predecessor does.
                joined.leader = old.to_owned();
                joined.members.clear();
            }
            let _ = answer.send(Ok(joined));
            return Todo { save: true };
        }
        if let Some(member) = self.members.get_mut(&new_id) {
            member.join = Some(answer);
        }
        self.gather(Duration::ZERO, now)
    }

    /// The round begins: members that did not join are out, the others get their answer.
    fn complete_join(&mut self, now: Instant) -> Todo {
        self.first_round = None;
        self.round_ends = None;
        let absent: Vec<String> = self
            .members
            .values()
            .filter(|member| member.join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            self.forget(&id);
        }
        let joined = |member: &Member| member.join.is_some();
        if !self.members.is_empty() && !self.members.values().any(joined) {
            // Static members only, and all are away: nobody could share out.
            self.round_ends = Some(now + self.rebalance_timeout());
            return Todo::default();
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.state = State::Empty;
            return Todo { save: true };
        }
        let joined = |id: &String| self.members.get(id).is_some_and(|m| m.join.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let first = self.members.values().find(|member| member.join.is_some());
            self.leader = first
                .map(|member| member.id.clone())
                .or_else(|| self.leader.take());
        }
        self.protocol = self.choose();
        self.state = State::CompletingRebalance;
        self.round_ends = Some(now + self.rebalance_timeout());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer_with = self.joined(&id);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.synced = false;
            member.is_new = false;
            if let Some(answer) = member.join.take() {
                member.deadline = now + member.session_timeout;
                let _ = answer.send(Ok(answer_with));
            }
        }
        Todo::default()
    }

    /// The way of sharing that most members prefer among those that all know.
    fn choose(&self) -> Option<String> {
        let mut members = self.members.values();
        let first = members.next()?;
        let known_to_all = |name: &&str| {
            self.members
                .values()
                .all(|m| m.protocols.iter().any(|(other, _)| other == name))
        };
        let names = first.protocols.iter().map(|(name, _)| name.as_str());
        let candidates: Vec<&str> = names.filter(known_to_all).collect();
        let votes = |name: &str| {
            self.members
                .values()
                .filter(|member| member.vote(&candidates) == Some(name))
                .count()
        };
        // Of several with as many votes, the one that the first member likes best.
        let best = candidates
            .iter()
            .copied()
            .rev()
            .max_by_key(|name| votes(name));
        best.map(ToOwned::to_owned)
    }

    fn joined(&self, id: &str) -> Joined {
        let protocol = self.protocol.clone();
        let leads = self.leader.as_deref() == Some(id);
        let members = if leads {
            let chosen = protocol.as_deref().unwrap_or_default();
            let seen = |member: &Member| JoinedMember {
                id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(chosen),
            };
            self.members.values().map(seen).collect()
        } else {
            Vec::new()
        };
        Joined {
            member_id: id.to_owned(),
            generation: self.generation,
            leader: self.leader.clone().unwrap_or_default(),
            protocol_type: self.protocol_type.clone(),
            protocol,
            members,
            skip_assignment: false,
        }
    }

    /// The member a request comes from, if it is one of this generation.
    pub(crate) fn check_member(
        &self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if let Some(known) = instance.and_then(|instance| self.instances.get(instance)) {
            if known != id {
                return Err(GroupError::FencedInstance);
            }
        } else if instance.is_some() {
            return Err(GroupError::UnknownMember);
        }
        if !self.members.contains_key(id) {
            return Err(GroupError::UnknownMember);
        }
        if generation == self.generation {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), GroupError> {
        self.check_member(id, instance, generation)?;
        let Some(member) = self.members.get_mut(id) else {
            return Err(GroupError::UnknownMember);
        };
        member.deadline = now + member.session_timeout;
        match self.state {
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
            State::Empty | State::Dead => Err(GroupError::UnknownMember),
        }
    }

    pub(crate) fn leave(&mut self, leaving: &Leaving, now: Instant) -> Result<Todo, GroupError> {
        let known = leaving
            .instance_id
            .as_ref()
            .map(|instance| self.instances.get(instance).cloned());
        let id = match known {
            Some(None) => return Err(GroupError::UnknownMember),
            Some(Some(known)) if !leaving.member_id.is_empty() && known != leaving.member_id => {
                return Err(GroupError::FencedInstance);
            }
            Some(Some(known)) => known,
            None => leaving.member_id.clone(),
        };
        if self.pending.remove(&id).is_some() {
            return Ok(self.complete_if_all(now));
        }
        if !self.members.contains_key(&id) {
            return Err(GroupError::UnknownMember);
        }
        Ok(self.remove(&id, now))
    }

    /// Takes a member out, with whatever it waits for.
    fn forget(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if let Some(answer) = member.join {
            let _ = answer.send(Err(GroupError::UnknownMember));
        }
        if let Some(answer) = member.sync {
            let _ = answer.send(Err(GroupError::UnknownMember));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
    }

    /// A member is gone: the others share anew.
    fn remove(&mut self, id: &str, now: Instant) -> Todo {
        self.forget(id);
        match self.state {
            State::Stable | State::CompletingRebalance => self.gather(Duration::ZERO, now),
            State::PreparingRebalance if self.members.is_empty() => self.complete_join(now),
            State::PreparingRebalance => self.complete_if_all(now),
            State::Empty | State::Dead => Todo::default(),
        }
    }

    /// What has become due by `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Todo {
        let mut todo = Todo::default();
        let pending = self.pending.len();
        self.pending.retain(|_, until| *until > now);
        if pending != self.pending.len() {
            todo.save |= self.complete_if_all(now).save;
        }
        let gone: Vec<String> = self
            .members
            .values()
            .filter(|m| m.is_gone(now))
            .map(|m| m.id.clone())
            .collect();
        for id in gone {
            todo.save |= self.remove(&id, now).save;
        }
        if self.round_ends.is_some_and(|ends| ends <= now) {
            todo.save |= self.end_round(now).save;
        }
        todo
    }

    fn end_round(&mut self, now: Instant) -> Todo {
        match (self.state, &mut self.first_round) {
            (State::PreparingRebalance, Some(first))
                if first.somebody_came && !first.left.is_zero() =>
            {
                let more = first.delay.min(first.left);
                first.left -= more;
                first.somebody_came = false;
                self.round_ends = Some(now + more);
                Todo::default()
            }
            (State::PreparingRebalance, _) => self.complete_join(now),
            (State::CompletingRebalance | State::Stable, _) => {
                self.round_ends = None;
                let late = self.members.values().filter(|member| !member.synced);
                let late: Vec<String> = late.map(|member| member.id.clone()).collect();
                let mut todo = Todo::default();
                for id in late {
                    todo.save |= self.remove(&id, now).save;
                }
                todo
            }
            (State::Empty | State::Dead, _) => {
                self.round_ends = None;
                Todo::default()
            }
        }
    }

    /// When [`Group::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let members = self
            .members
            .values()
            .filter(|member| (member.join.is_none() || member.is_new) && member.sync.is_none());
        let sessions = members.map(|member| member.deadline);
        sessions
            .chain(self.pending.values().copied())
            .chain(self.round_ends)
            .min()
    }
}
