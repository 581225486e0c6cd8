//! Sharing out: the leader's sync brings everybody's part, every sync fetches one.

use std::time::{Duration, Instant};

use super::{Group, State, Sync, SyncAnswer, SyncStep, Synced};
use crate::group::error::GroupError;

impl Group {
    pub(crate) fn sync(&mut self, sync: Sync, answer: SyncAnswer, now: Instant) -> SyncStep {
        if let Err(error) = self.may_sync(&sync) {
            let _ = answer.send(Err(error));
            return SyncStep::Answered;
        }
        let leads = self.leader.as_deref() == Some(sync.member_id.as_str());
        let (state, generation) = (self.state, self.generation);
        let synced = self.synced(&sync.member_id);
        let Some(member) = self.members.get_mut(&sync.member_id) else {
            return SyncStep::Answered;
        };
        member.deadline = now + member.session_timeout;
        member.synced = true;
        match state {
            State::Stable => {
                let _ = answer.send(Ok(synced));
                SyncStep::Answered
            }
            State::CompletingRebalance => {
                if let Some(before) = member.sync.replace(answer) {
                    let _ = before.send(Err(GroupError::RebalanceInProgress));
                }
                if !leads {
                    return SyncStep::Answered;
                }
                // Whoever was forgotten gets nothing.
                for member in self.members.values_mut() {
                    let part = sync.assignments.iter().find(|(id, _)| *id == member.id);
                    member.assignment = part.map(|(_, bytes)| bytes.clone()).unwrap_or_default();
                }
                SyncStep::Save { generation }
            }
            State::Empty | State::PreparingRebalance | State::Dead => {
                let _ = answer.send(Err(GroupError::RebalanceInProgress));
                SyncStep::Answered
            }
        }
    }

    fn may_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_member(
            &sync.member_id,
            sync.instance_id.as_deref(),
            sync.generation,
        )?;
        let other = |said: &Option<String>, ours: &Option<String>| said.is_some() && said != ours;
        if other(&sync.protocol_type, &self.protocol_type) || other(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .members
                .get(id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// What the leader of `generation` shared out has been written, or could not be.
    pub(crate) fn shared_out(
        &mut self,
        generation: i32,
        outcome: Result<(), GroupError>,
        now: Instant,
    ) {
        if self.generation != generation || self.state != State::CompletingRebalance {
            return;
        }
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let synced = self.synced(&id);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            if let Some(answer) = member.sync.take() {
                member.deadline = now + member.session_timeout;
                let _ = answer.send(outcome.clone().map(|()| synced));
            }
        }
        if outcome.is_ok() {
            self.state = State::Stable;
            // Those who have not asked yet have until the round's end.
            if self.members.values().all(|member| member.synced) {
                self.round_ends = None;
            }
        } else {
            self.prepare(Duration::ZERO, now);
        }
    }
}
