//! The types that members of requests are made of.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::KEPT_MAX;
use super::query::Scope;
use crate::error::{Code, Failure};

/// A member of a request.
pub(crate) trait Member<'a>: Deserialize<'a> + Default {
    /// What documents call its type.
    const KIND: &'static str;
    /// Whether it was given.
    fn is_there(&self) -> bool;
    /// From the parameter `name` and what is below it.
    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure>;
}

/// A text, borrowed from the request where nothing in it is escaped. Empty is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        from.deserialize_any(Texts)
    }
}

impl<'a> Member<'a> for Text<'a> {
    const KIND: &'static str = "string";

    fn is_there(&self) -> bool {
        !self.0.is_empty()
    }

    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
        Ok(Self(scope.value(name).cloned().unwrap_or_default()))
    }
}

impl<'a> Member<'a> for Option<Text<'a>> {
    const KIND: &'static str = "string";

    fn is_there(&self) -> bool {
        self.is_some()
    }

    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
        Ok(scope.value(name).cloned().map(Text))
    }
}

impl<'a> Member<'a> for Option<i64> {
    const KIND: &'static str = "integer";

    fn is_there(&self) -> bool {
        self.is_some()
    }

    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
        let Some(text) = scope.value(name) else {
            return Ok(None);
        };
        let wrong = |_| {
            Failure::invalid(format!(
                "Value {text} for parameter {name} is invalid. Reason: Must be an integer."
            ))
        };
        text.trim().parse().map(Some).map_err(wrong)
    }
}

/// Bytes; base64 on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(from)?;
        let bytes = BASE64.decode(text.as_bytes());
        bytes.map(Self).map_err(D::Error::custom)
    }
}

impl<'a> Member<'a> for Option<Blob> {
    const KIND: &'static str = "blob";

    fn is_there(&self) -> bool {
        self.is_some()
    }

    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
        let Some(text) = scope.value(name) else {
            return Ok(None);
        };
        let wrong = |_| Failure::new(Code::Serialization, format!("{name} is not base64"));
        BASE64
            .decode(text.as_bytes())
            .map(|bytes| Some(Blob(bytes)))
            .map_err(wrong)
    }
}

/// A list: its first items, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) sent: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            sent: 0,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Lists<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Lists<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<List<T>, A::Error> {
                let mut list = List::default();
                while list.sent < KEPT_MAX {
                    let Some(item) = from.next_element()? else {
                        return Ok(list);
                    };
                    list.items.push(item);
                    list.sent += 1;
                }
                while from.next_element::<IgnoredAny>()?.is_some() {
                    list.sent += 1;
                }
                Ok(list)
            }
        }
        from.deserialize_any(Lists(PhantomData))
    }
}

impl<'a, T: Member<'a>> Member<'a> for List<T> {
    const KIND: &'static str = "list";

    fn is_there(&self) -> bool {
        self.sent > 0
    }

    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
        let below = scope.inner(name);
        let numbers = below.numbers();
        let item = |number: &u32| T::query(below, &number.to_string());
        let items: Result<Vec<T>, Failure> = numbers.iter().take(KEPT_MAX).map(item).collect();
        Ok(Self {
            items: items?,
            sent: numbers.len(),
        })
    }
}

/// What the two parts of a map's entry are called in Query.
pub(crate) trait Entries {
    const KEY: &'static str;
}

/// `Attribute.N.Name`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named;

impl Entries for Named {
    const KEY: &'static str = "Name";
}

/// `Tag.N.Key`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keyed;

impl Entries for Keyed {
    const KEY: &'static str = "Key";
}

/// A map: its first entries in the order in which they came, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map<'a, T, E = Named> {
    pub(crate) entries: Vec<(Text<'a>, T)>,
    pub(crate) sent: usize,
    naming: PhantomData<E>,
}

impl<T, E> Default for Map<'_, T, E> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            sent: 0,
            naming: PhantomData,
        }
    }
}

impl<T, E> Map<'_, T, E> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        let found = self.entries.iter().find(|(key, _)| &**key == name);
        found.map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>, E> Deserialize<'de> for Map<'a, T, E> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Maps<T, E>(PhantomData<(T, E)>);
        impl<'de, T: Deserialize<'de>, E> Visitor<'de> for Maps<T, E> {
            type Value = Map<'de, T, E>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<Er: Error>(self) -> Result<Self::Value, Er> {
                Ok(Map::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                let mut map = Map::default();
                while map.sent < KEPT_MAX {
                    let Some(entry) = from.next_entry()? else {
                        return Ok(map);
                    };
                    map.entries.push(entry);
                    map.sent += 1;
                }
                while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    map.sent += 1;
                }
                Ok(map)
            }
        }
        let map: Map<'de, T, E> = from.deserialize_any(Maps(PhantomData))?;
        Ok(Map {
            entries: map.entries,
            sent: map.sent,
            naming: PhantomData,
        })
    }
}

impl<'a, T: Member<'a>, E: Entries> Member<'a> for Map<'a, T, E> {
    const KIND: &'static str = "map";

    fn is_there(&self) -> bool {
        self.sent > 0
    }

    fn query(scope: Scope<'_, 'a>, name: &str) -> Result<Self, Failure> {
        let below = scope.inner(name);
        let numbers = below.numbers();
        let mut entries = Vec::with_capacity(numbers.len().min(KEPT_MAX));
        for number in numbers.iter().take(KEPT_MAX) {
            let entry = below.inner(&number.to_string());
            entries.push((Text::query(entry, E::KEY)?, T::query(entry, "Value")?));
        }
        Ok(Self {
            entries,
            sent: numbers.len(),
            naming: PhantomData,
        })
    }
}
