//! What a group takes in memory: an estimate that grows with everything a client can make longer.

use super::{Group, Join, Member};

/// A group without anything in it, its places in the tables included.
const GROUP: usize = 1024;
/// A member, its places in the tables included.
const MEMBER: usize = 512;
/// An id that was given out.
const PENDING: usize = 128;

fn protocols(all: &[(String, bytes::Bytes)]) -> usize {
    all.iter()
        .map(|(name, metadata)| 64 + name.len() + metadata.len())
        .sum()
}

impl Member {
    fn size(&self) -> usize {
        let instance = self.instance_id.as_ref().map_or(0, String::len);
        let names =
            3 * self.id.len() + 2 * instance + self.client_id.len() + self.client_host.len();
        MEMBER + names + protocols(&self.protocols) + self.assignment.len()
    }
}

impl Join {
    /// What a member that joins so takes at most, in bytes.
    fn size(&self) -> usize {
        let instance = self.instance_id.as_ref().map_or(0, String::len);
        let names = 3 * (self.member_id.len() + self.client_id.len() + instance);
        MEMBER + names + self.client_host.len() + protocols(&self.protocols)
    }
}

impl Group {
    /// What it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let members: usize = self.members.values().map(Member::size).sum();
        let pending: usize = self.pending.keys().map(|id| PENDING + id.len()).sum();
        Self::size_of_empty(&self.name) + members + pending + self.offsets.size()
    }

    /// By how much a join would make it larger, in bytes.
    pub(crate) fn growth_by(&self, join: &Join) -> usize {
        let place = join
            .instance_id
            .as_ref()
            .and_then(|id| self.instances.get(id));
        let member = self.members.get(place.unwrap_or(&join.member_id));
        join.size().saturating_sub(member.map_or(0, Member::size))
    }

    /// What the members' parts take, in bytes.
    pub(crate) fn parts_size(&self) -> usize {
        self.members
            .values()
            .map(|member| member.assignment.len())
            .sum()
    }

    /// What a group of this name takes before there is anything in it, in bytes.
    pub(crate) fn size_of_empty(name: &str) -> usize {
        GROUP + 4 * name.len()
    }
}
