//! The definition table's text form, parsed.

use anyhow::{Context, Result, bail, ensure};

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) min: i16,
    pub(super) max: i16,
}

impl Versions {
    const NONE: Self = Self {
        min: i16::MAX,
        max: i16::MIN,
    };

    fn parse(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(min) = text.strip_suffix('+') {
            return Ok(Self {
                min: min.parse()?,
                max: i16::MAX,
            });
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            min: min.parse()?,
            max: max.parse()?,
        })
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.min > self.max
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Request,
    Response,
    Data,
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) key: Option<i16>,
    pub(super) versions: Versions,
    pub(super) flexible: Versions,
    pub(super) fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// Without the `[]`.
    pub(super) kind: String,
    pub(super) array: bool,
    pub(super) versions: Versions,
    pub(super) null: Versions,
    pub(super) tag: Option<(u32, Versions)>,
    pub(super) default: Option<String>,
    /// Of a structure.
    pub(super) fields: Vec<Self>,
}

/// Parses one file of the table.
pub(super) fn parse(text: &str) -> Result<Vec<Message>> {
    let mut messages: Vec<Message> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let depth = (line.len() - content.len()) / 2;
        let place = || format!("line {}: {content}", at + 1);
        if depth == 0 {
            messages.push(message(content).with_context(place)?);
            continue;
        }
        let message = messages.last_mut().with_context(place)?;
        let mut fields = &mut message.fields;
        for _ in 1..depth {
            fields = &mut fields.last_mut().with_context(place)?.fields;
        }
        fields.push(field(content).with_context(place)?);
    }
    Ok(messages)
}

fn message(line: &str) -> Result<Message> {
    let mut words = line.split_whitespace();
    let role = match words.next() {
        Some("request") => Role::Request,
        Some("response") => Role::Response,
        Some("data") => Role::Data,
        other => bail!("{other:?} is neither request, response nor data"),
    };
    let name = words.next().context("no name")?.to_owned();
    let (mut key, mut versions, mut flexible) = (None, Versions::NONE, Versions::NONE);
    for word in words {
        match word.split_once('=').context("not key=value")? {
            ("key", value) => key = Some(value.parse()?),
            ("versions", value) => versions = Versions::parse(value)?,
            ("flexible", value) => flexible = Versions::parse(value)?,
            (other, _) => bail!("unknown word {other}"),
        }
    }
    ensure!(!versions.is_empty(), "no versions");
    Ok(Message {
        role,
        name,
        key,
        versions,
        flexible,
        fields: Vec::new(),
    })
}

fn field(line: &str) -> Result<Field> {
    let mut words = line.split_whitespace();
    let name = words.next().context("no name")?.to_owned();
    let kind = words.next().context("no type")?;
    let versions = Versions::parse(words.next().context("no versions")?)?;
    let (mut null, mut tag, mut default) = (Versions::NONE, None, None);
    for word in words {
        match word.split_once('=').context("not key=value")? {
            ("null", value) => null = Versions::parse(value)?,
            ("tag", value) => {
                let (number, versions) = value.split_once(':').context("tag without versions")?;
                tag = Some((number.parse()?, Versions::parse(versions)?));
            }
            ("default", value) => default = Some(value.to_owned()),
            (other, _) => bail!("unknown word {other}"),
        }
    }
    let (kind, array) = kind
        .strip_prefix("[]")
        .map_or((kind, false), |kind| (kind, true));
    let kind = kind.to_owned();
    Ok(Field {
        name,
        kind,
        array,
        versions,
        null,
        tag,
        default,
        fields: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_parsed_by_indentation() {
        let text = "request ARequest key=3 versions=0-13 flexible=9+\n  b []B 1+ null=2+\n    c int32 0-4 default=-1\n  d string 9+ tag=0:9+\n";
        let messages = parse(text).unwrap();
        let [message] = messages.as_slice() else {
            panic!("{messages:?}")
        };
        assert_eq!(
            (message.key, message.versions.max, message.flexible.min),
            (Some(3), 13, 9)
        );
        assert_eq!(message.fields.len(), 2);
        assert_eq!(message.fields[0].fields[0].default.as_deref(), Some("-1"));
        assert_eq!(message.fields[1].tag.unwrap().0, 0);
    }

    #[test]
    fn nonsense_names_its_line() {
        let error = parse("request A versions=0-1 flexible=none\n  b\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
