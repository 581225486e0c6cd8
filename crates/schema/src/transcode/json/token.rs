//! JSON (RFC 8259), token by token, out of a text that is known to be UTF-8.

use super::text::plain;
use crate::error::{Cause, Error, Limit, Result};

/// A place in a text.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    pub(crate) at: usize,
    string_bytes_max: usize,
    /// The last text that had escapes, without them.
    scratch: String,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(bytes: &'a [u8], string_bytes_max: usize) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::at(Cause::Utf8, error.valid_up_to()))?;
        Ok(Self {
            text,
            at: 0,
            string_bytes_max,
            scratch: String::new(),
        })
    }

    #[cold]
    pub(crate) fn error(&self, cause: Cause) -> Error {
        Error::at(cause, self.at)
    }

    #[cold]
    pub(crate) fn malformed(&self, what: &'static str) -> Error {
        self.error(Cause::Malformed(what))
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The text from one place to another; both are between characters.
    pub(crate) fn between(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The next byte that is no blank.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Steps over `byte` if it comes next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.eat(byte) {
            return Ok(());
        }
        Err(self.unexpected(what))
    }

    /// Something else than `what` comes next: a value of another type, or no JSON at all.
    #[cold]
    pub(crate) fn unexpected(&mut self, what: &'static str) -> Error {
        let starts_value = |byte| {
            matches!(
                byte,
                b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
            )
        };
        match self.peek() {
            Some(byte) if starts_value(byte) => self.error(Cause::Type(what)),
            Some(_) => self.malformed("not JSON"),
            None => self.malformed("ends early"),
        }
    }

    /// Behind an element: whether another one comes (`true`) or the end, which is stepped over.
    #[inline]
    pub(crate) fn more(&mut self, end: u8) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.malformed("a comma or an end is missing")),
            None => Err(self.malformed("ends early")),
        }
    }

    /// Only blanks may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("something behind the value")),
        }
    }

    pub(crate) fn literal(&mut self, word: &'static str) -> Result<()> {
        self.peek();
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.malformed("not JSON"))
    }

    /// A text. It lies in the input if it has no escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&str> {
        self.expect(b'"', "a text")?;
        let from = self.at;
        let length = plain(self.rest());
        self.at += length;
        self.allowed(length)?;
        if self.rest().first() == Some(&b'"') {
            self.at += 1;
            return Ok(self.text.get(from..self.at - 1).unwrap_or_default());
        }
        self.scratch.clear();
        self.scratch.push_str(self.between(from, self.at));
        self.escaped()?;
        Ok(&self.scratch)
    }

    fn allowed(&self, bytes: usize) -> Result<()> {
        if bytes > self.string_bytes_max {
            return Err(self.error(Cause::Over(Limit::String)));
        }
        Ok(())
    }

    /// The rest of a text, from its first escape on.
    fn escaped(&mut self) -> Result<()> {
        loop {
            match self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(());
                }
                [b'\\', b'u', ..] => {
                    self.at += 2;
                    let c = self.unicode()?;
                    self.scratch.push(c);
                }
                [b'\\', byte, ..] => {
                    let c = match byte {
                        b'"' | b'\\' | b'/' => char::from(*byte),
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        _ => return Err(self.malformed("no such escape")),
                    };
                    self.at += 2;
                    self.scratch.push(c);
                }
                [] | [b'\\'] => return Err(self.malformed("ends early")),
                _ => return Err(self.malformed("a control character in a text")),
            }
            let run = plain(self.rest());
            self.allowed(self.scratch.len() + run)?;
            let from = self.at;
            self.at += run;
            self.scratch
                .push_str(self.text.get(from..self.at).unwrap_or_default());
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let high = self.four_digits()?;
        let code = match high {
            0xd800..=0xdbff if self.rest().starts_with(b"\\u") => {
                self.at += 2;
                let low = self.four_digits()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.malformed("half a surrogate pair"));
                }
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => high,
        };
        char::from_u32(code).ok_or_else(|| self.malformed("half a surrogate pair"))
    }

    fn four_digits(&mut self) -> Result<u32> {
        let digits = self.rest().first_chunk::<4>();
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let value = value.ok_or_else(|| self.malformed("no such escape"))?;
        self.at += 4;
        Ok(value)
    }

    /// A number, as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let length = number_length(self.rest());
        let length = length.ok_or_else(|| self.unexpected("a number"))?;
        let from = self.at;
        self.at += length;
        Ok(self.between(from, self.at))
    }

    /// Steps over a value; `depth` of them may lie in each other.
    pub(crate) fn skip(&mut self, depth: u32) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'{' | b'[') => self.skip_nested(depth),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(_) => Err(self.malformed("not JSON")),
            None => Err(self.malformed("ends early")),
        }
    }

    fn skip_nested(&mut self, depth: u32) -> Result<()> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| self.error(Cause::Over(Limit::Depth)))?;
        let object = self.eat(b'{');
        let end = if object { b'}' } else { b']' };
        if !object {
            self.expect(b'[', "a list")?;
        }
        if self.eat(end) {
            return Ok(());
        }
        loop {
            if object {
                self.string()?;
                self.expect(b':', "a colon")?;
            }
            self.skip(depth)?;
            if !self.more(end)? {
                return Ok(());
            }
        }
    }
}

/// How long the number is that `bytes` begin with.
pub(super) fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    at += match bytes.get(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    // No leading zeros.
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        let more = digits(at + 1);
        at += 1 + more;
        if more == 0 {
            return None;
        }
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let more = digits(at);
        at += more;
        if more == 0 {
            return None;
        }
    }
    Some(at)
}

impl Tokens<'_> {
    /// Whether a place is between characters.
    pub(crate) fn is_boundary(&self, at: usize) -> bool {
        self.text.is_char_boundary(at)
    }
}
