//! Groups and offsets as records of the internal topic, in the layout that Kafka's tools read:
//! a key with a version and what it is about, a value with a version and the rest; a record
//! without a value deletes.

use bytes::{Buf, BufMut, Bytes};

/// Keys of committed offsets have version 0 or 1.
const OFFSET_KEY: i16 = 1;
/// Keys of groups have version 2.
const GROUP_KEY: i16 = 2;
const VALUE: i16 = 3;
/// Values of offsets that are kept for a time of their own: with that time, without an epoch.
const EXPIRING_VALUE: i16 = 1;

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Offset {
        group: String,
        topic: String,
        partition: i32,
    },
    Group {
        group: String,
    },
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OffsetValue {
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: String,
    pub(super) at_ms: i64,
    pub(super) expires_ms: Option<i64>,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupValue {
    pub(super) protocol_type: String,
    pub(super) generation: i32,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) since_ms: i64,
    pub(super) members: Vec<MemberValue>,
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemberValue {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) metadata: Bytes,
    pub(super) assignment: Bytes,
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(
        text.as_bytes()
            .get(..usize::from(i16::MAX.cast_unsigned()))
            .unwrap_or(text.as_bytes()),
    );
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}

fn optional(rest: &mut &[u8]) -> Option<Option<String>> {
    let length = rest.try_get_i16().ok()?;
    let Ok(length) = usize::try_from(length) else {
        return Some(None);
    };
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Some(std::str::from_utf8(text).ok()?.to_owned()))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    optional(rest)?
}

fn bytes(rest: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Bytes::copy_from_slice(bytes))
}

impl Key {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Offset {
                group,
                topic,
                partition,
            } => {
                out.put_i16(OFFSET_KEY);
                put_text(&mut out, group);
                put_text(&mut out, topic);
                out.put_i32(*partition);
            }
            Self::Group { group } => {
                out.put_i16(GROUP_KEY);
                put_text(&mut out, group);
            }
        }
        out
    }

    pub(super) fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        match rest.try_get_i16().ok()? {
            0 | OFFSET_KEY => Some(Self::Offset {
                group: text(rest)?,
                topic: text(rest)?,
                partition: rest.try_get_i32().ok()?,
            }),
            GROUP_KEY => Some(Self::Group { group: text(rest)? }),
            _ => None,
        }
    }
}

impl OffsetValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let version = if self.expires_ms.is_some() {
            EXPIRING_VALUE
        } else {
            VALUE
        };
        out.put_i16(version);
        out.put_i64(self.offset);
        if version == VALUE {
            out.put_i32(self.leader_epoch);
        }
        put_text(&mut out, &self.metadata);
        out.put_i64(self.at_ms);
        if let Some(expires_ms) = self.expires_ms {
            out.put_i64(expires_ms);
        }
        out
    }

    pub(super) fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let version = rest.try_get_i16().ok()?;
        if ![VALUE, EXPIRING_VALUE].contains(&version) {
            return None;
        }
        let expiring = version == EXPIRING_VALUE;
        Some(Self {
            offset: rest.try_get_i64().ok()?,
            leader_epoch: if expiring {
                -1
            } else {
                rest.try_get_i32().ok()?
            },
            metadata: text(rest)?,
            at_ms: rest.try_get_i64().ok()?,
            expires_ms: if expiring {
                Some(rest.try_get_i64().ok()?)
            } else {
                None
            },
        })
    }
}

impl GroupValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_i16(VALUE);
        put_text(&mut out, &self.protocol_type);
        out.put_i32(self.generation);
        put_optional(&mut out, self.protocol.as_deref());
        put_optional(&mut out, self.leader.as_deref());
        out.put_i64(self.since_ms);
        out.put_i32(i32::try_from(self.members.len()).unwrap_or(i32::MAX));
        for member in &self.members {
            put_text(&mut out, &member.id);
            put_optional(&mut out, member.instance_id.as_deref());
            put_text(&mut out, &member.client_id);
            put_text(&mut out, &member.client_host);
            out.put_i32(member.rebalance_timeout_ms);
            out.put_i32(member.session_timeout_ms);
            put_bytes(&mut out, &member.metadata);
            put_bytes(&mut out, &member.assignment);
        }
        out
    }

    pub(super) fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        if rest.try_get_i16().ok()? != VALUE {
            return None;
        }
        let mut group = Self {
            protocol_type: text(rest)?,
            generation: rest.try_get_i32().ok()?,
            protocol: optional(rest)?,
            leader: optional(rest)?,
            since_ms: rest.try_get_i64().ok()?,
            members: Vec::new(),
        };
        for _ in 0..rest.try_get_i32().ok()? {
            group.members.push(MemberValue {
                id: text(rest)?,
                instance_id: optional(rest)?,
                client_id: text(rest)?,
                client_host: text(rest)?,
                rebalance_timeout_ms: rest.try_get_i32().ok()?,
                session_timeout_ms: rest.try_get_i32().ok()?,
                metadata: bytes(rest)?,
                assignment: bytes(rest)?,
            });
        }
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_written_and_cut_ones_are_not() {
        let key = Key::Offset {
            group: "g".into(),
            topic: "t".into(),
            partition: 7,
        };
        assert_eq!(Key::decode(&key.encode()), Some(key));
        let key = Key::Group { group: "g".into() };
        assert_eq!(Key::decode(&key.encode()), Some(key));
        let value = OffsetValue {
            offset: 5,
            leader_epoch: -1,
            metadata: "note".into(),
            at_ms: 9,
            expires_ms: None,
        };
        assert_eq!(OffsetValue::decode(&value.encode()), Some(value.clone()));
        let value = OffsetValue {
            expires_ms: Some(10),
            ..value
        };
        assert_eq!(OffsetValue::decode(&value.encode()), Some(value));
        let member = MemberValue {
            id: "m".into(),
            instance_id: Some("i".into()),
            metadata: Bytes::from_static(b"topics"),
            ..MemberValue::default()
        };
        let value = GroupValue {
            protocol_type: "consumer".into(),
            generation: 3,
            leader: Some("m".into()),
            members: vec![member],
            ..GroupValue::default()
        };
        let bytes = value.encode();
        assert_eq!(GroupValue::decode(&bytes), Some(value));
        for len in 0..bytes.len() {
            assert_eq!(GroupValue::decode(&bytes[..len]), None, "{len} bytes");
        }
    }
}
