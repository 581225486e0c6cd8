//! Query: parameters of a form or a query string, whose names are paths with numbers.
//!
//! `MessageAttribute.2.Value.DataType` is a member of the value of the second attribute. The
//! parameters are sorted by name once, so everything below a name is one run of them. Numbers may
//! have gaps; their order is the order of the list.

use std::borrow::Cow;

use crate::error::{Code, Failure};

/// How many parameters a request may have. The largest lawful one, ten messages with ten
/// attributes each, has about 450.
const PARAMS_MAX: usize = 4096;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// All parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params<'a> {
    sorted: Vec<Pair<'a>>,
}

impl<'a> Params<'a> {
    /// Reads `text` and then `more`, both as forms encode them; of equal names the first counts.
    pub(crate) fn parse(text: &'a str, more: &'a str) -> Result<Self, Failure> {
        let mut sorted = Vec::new();
        for pair in text.split('&').chain(more.split('&')) {
            if pair.is_empty() {
                continue;
            }
            if sorted.len() == PARAMS_MAX {
                return Err(malformed("too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => sorted.push((name, value)),
                _ => return Err(malformed("a parameter is not percent-encoded UTF-8")),
            }
        }
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { sorted })
    }

    /// Adds a parameter behind what was given: it counts where its name was not there.
    pub(crate) fn or(&mut self, name: &'a str, value: Cow<'a, str>) {
        let at = self
            .sorted
            .partition_point(|(known, _)| known.as_ref() <= name);
        self.sorted.insert(at, (Cow::Borrowed(name), value));
    }

    pub(crate) fn scope(&self) -> Scope<'_, 'a> {
        Scope {
            pairs: &self.sorted,
            skip: 0,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.scope().value(name).map(Cow::as_ref)
    }
}

fn malformed(why: &'static str) -> Failure {
    Failure::new(Code::MalformedQueryString, why)
}

/// The parameters below a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'p, 'a> {
    pairs: &'p [Pair<'a>],
    /// How many bytes of each name are the way here.
    skip: usize,
}

impl<'p, 'a> Scope<'p, 'a> {
    /// The value called `name`.
    pub(crate) fn value(self, name: &str) -> Option<&'p Cow<'a, str>> {
        let at = self
            .pairs
            .partition_point(|pair| tail(pair, self.skip) < name);
        let pair = self.pairs.get(at)?;
        (tail(pair, self.skip) == name).then_some(&pair.1)
    }

    /// Everything below `name.`.
    pub(crate) fn inner(self, name: &str) -> Self {
        let prefix = format!("{name}.");
        let from = self
            .pairs
            .partition_point(|pair| tail(pair, self.skip) < prefix.as_str());
        let rest = self.pairs.get(from..).unwrap_or_default();
        let n = rest.partition_point(|pair| tail(pair, self.skip).starts_with(&prefix));
        Self {
            pairs: rest.get(..n).unwrap_or_default(),
            skip: self.skip + prefix.len(),
        }
    }

    /// The numbers that stand first in the names here, in order: the items of a list.
    pub(crate) fn numbers(self) -> Vec<u32> {
        let first = |pair: &Pair<'a>| {
            let number = tail(pair, self.skip).split('.').next()?;
            number.parse::<u32>().ok()
        };
        let mut numbers: Vec<u32> = self.pairs.iter().filter_map(first).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

fn tail<'s>(pair: &'s Pair<'_>, skip: usize) -> &'s str {
    pair.0.get(skip..).unwrap_or_default()
}

/// Decodes `+` and `%XX`; `None` if it is malformed or not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_and_numbers_may_have_gaps() {
        let params = Params::parse(
            "Action=X&Attribute.10.Name=b&Attribute.2.Name=a&Attribute.2.Value=1+2%2B3&AttributeName.1=All",
            "Action=Y",
        );
        let params = params.unwrap();
        assert_eq!(params.get("Action"), Some("X"));
        let list = params.scope().inner("Attribute");
        assert_eq!(list.numbers(), [2, 10]);
        let second = list.inner("2");
        assert_eq!(second.value("Value").map(AsRef::as_ref), Some("1 2+3"));
        assert_eq!(second.value("Val"), None);
        let names = params.scope().inner("AttributeName");
        assert_eq!(names.value("1").map(AsRef::as_ref), Some("All"));
        assert!(params.scope().inner("Attribut").numbers().is_empty());
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%ff=a"] {
            assert!(Params::parse(bad, "").is_err(), "{bad}");
        }
        let many = "a&".repeat(PARAMS_MAX + 1);
        assert!(Params::parse(&many, "").is_err());
    }
}
