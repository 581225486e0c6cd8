//! The canonical request: the one text that both sides make of a request, to be digested.

use std::borrow::Cow;
use std::fmt::Write;

use net::http::HeaderMap;

/// The headers that were signed, as the canonical request wants them.
#[derive(Debug)]
pub(super) struct Signed {
    headers: String,
    names: String,
}

impl Signed {
    /// `None` when `host` or a header that begins with `x-amz-` was left out.
    pub(super) fn new(headers: &HeaderMap, names: &[&str]) -> Option<Self> {
        let is_signed = |name: &str| names.iter().any(|signed| signed.eq_ignore_ascii_case(name));
        // A session token may be added after signing; it says nothing here.
        let must = |name: &str| {
            name == "host" || (name.starts_with("x-amz-") && name != "x-amz-security-token")
        };
        if headers
            .keys()
            .any(|name| must(name.as_str()) && !is_signed(name.as_str()))
        {
            return None;
        }
        let mut sorted: Vec<String> = names.iter().map(|n| n.to_ascii_lowercase()).collect();
        sorted.sort_unstable();
        let mut text = String::new();
        for name in &sorted {
            let values = headers.get_all(name.as_str()).iter();
            let values: Vec<String> = values.map(|v| collapsed(v.as_bytes())).collect();
            let _ = writeln!(text, "{name}:{}", values.join(","));
        }
        Some(Self {
            headers: text,
            names: sorted.join(";"),
        })
    }
}

/// Without space around it, and one space where there were more.
fn collapsed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn request(
    method: &str,
    path: &str,
    query: &str,
    signed: &Signed,
    payload: &str,
) -> String {
    format!(
        "{method}\n{}\n{}\n{}\n{}\n{payload}",
        path_of(path),
        query_of(query),
        signed.headers,
        signed.names
    )
}

/// Dot segments and empty ones resolved, each encoded once more.
fn path_of(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut out = String::from("/");
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 {
            out.push('/');
        }
        encode(segment.as_bytes(), &mut out);
    }
    if path.ends_with('/') && !segments.is_empty() {
        out.push('/');
    }
    out
}

/// Sorted by name and value, each encoded as the specification wants it.
fn query_of(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (again(name), again(value))
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Decoded, and encoded in the one way that both sides agree on.
fn again(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(&decoded(text), &mut out);
    out
}

/// `%XX` decoded; a `%` without two digits is itself.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|two| std::str::from_utf8(two).ok());
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match value {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

fn encode(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
