//! What answers are made of, written straight as JSON or XML.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::read::{Keyed, Named};

/// A value of an answer.
pub(crate) trait Write {
    /// Whether it is left out.
    fn is_absent(&self) -> bool {
        false
    }
    fn json(&self, out: &mut Vec<u8>);
    /// As the element `name`; a list is as many elements.
    fn xml(&self, name: &str, out: &mut Vec<u8>);
}

pub(crate) fn element(name: &str, out: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    inner(out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

/// Text of XML: markup as entities, and the line ends that a parser would change (XML 1.0 2.11).
fn escape(text: &str, out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'"' => b"&quot;",
            b'\r' => b"&#13;",
            _ => continue,
        };
        out.extend_from_slice(text.get(from..at).unwrap_or_default().as_bytes());
        out.extend_from_slice(entity);
        from = at + 1;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default().as_bytes());
}

impl Write for str {
    fn json(&self, out: &mut Vec<u8>) {
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer(out, self);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        element(name, out, |out| escape(self, out));
    }
}

impl Write for &'static str {
    fn json(&self, out: &mut Vec<u8>) {
        (**self).json(out);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        (**self).xml(name, out);
    }
}

impl Write for String {
    fn json(&self, out: &mut Vec<u8>) {
        self.as_str().json(out);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        self.as_str().xml(name, out);
    }
}

impl Write for Cow<'static, str> {
    fn json(&self, out: &mut Vec<u8>) {
        self.as_ref().json(out);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        self.as_ref().xml(name, out);
    }
}

impl Write for i64 {
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        element(name, out, |out| self.json(out));
    }
}

impl Write for bool {
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        element(name, out, |out| self.json(out));
    }
}

impl<T: Write> Write for Option<T> {
    fn is_absent(&self) -> bool {
        self.as_ref().is_none_or(Write::is_absent)
    }

    fn json(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.json(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.xml(name, out);
        }
    }
}

/// An action without an answer.
impl Write for () {
    fn is_absent(&self) -> bool {
        true
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }

    fn xml(&self, _: &str, _: &mut Vec<u8>) {}
}

impl<T: Write> Write for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, item) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.json(out);
        }
        out.push(b']');
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        for item in self {
            item.xml(name, out);
        }
    }
}

/// A list that is written even if it is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Always<T>(pub(crate) Vec<T>);

impl<T: Write> Write for Always<T> {
    fn json(&self, out: &mut Vec<u8>) {
        self.0.json(out);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        self.0.xml(name, out);
    }
}

/// A map, in the order of its entries; `E` names its keys in XML.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<K, T, E = Named>(pub(crate) Vec<(K, T)>, pub(crate) E);

/// Tags, whose key is called so.
pub(crate) type Tags = Pairs<String, String, Keyed>;

impl<K, T, E: Default> Default for Pairs<K, T, E> {
    fn default() -> Self {
        Self(Vec::new(), E::default())
    }
}

impl<K: Write, T: Write, E: super::read::Entries> Write for Pairs<K, T, E> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (key, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            key.json(out);
            out.push(b':');
            value.json(out);
        }
        out.push(b'}');
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            element(name, out, |out| {
                key.xml(E::KEY, out);
                value.xml("Value", out);
            });
        }
    }
}

/// A message's body: bytes that are UTF-8, shared with the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body(pub(crate) Bytes);

impl Body {
    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl Write for Body {
    fn json(&self, out: &mut Vec<u8>) {
        out.reserve(self.0.len() + 2);
        self.text().as_ref().json(out);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        out.reserve(self.0.len() + 2 * name.len() + 5);
        self.text().as_ref().xml(name, out);
    }
}

/// Bytes, as base64.
#[derive(Clone, Debug, Default)]
pub(crate) struct Binary(pub(crate) Bytes);

impl Write for Binary {
    fn json(&self, out: &mut Vec<u8>) {
        BASE64.encode(&self.0).json(out);
    }

    fn xml(&self, name: &str, out: &mut Vec<u8>) {
        BASE64.encode(&self.0).xml(name, out);
    }
}
