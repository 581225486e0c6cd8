//! Rust source, seen roughly: what is code and what is comment or text, where functions begin and
//! end, which lines are test code. A lexer of strings, characters and comments is enough for that;
//! macros that hide unbalanced braces are not understood, and there are none.

use std::ops::RangeInclusive;

/// A source with its comments, strings and characters blanked out, line by line as it was.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    masked: Vec<u8>,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// From its `fn` to the brace that ends it, from 1 on.
    pub(crate) lines: RangeInclusive<usize>,
}

impl Function {
    pub(crate) fn len(&self) -> usize {
        self.lines.end() + 1 - self.lines.start()
    }
}

impl Code {
    pub(crate) fn new(text: &str) -> Self {
        let masked = mask(text.as_bytes());
        let ends = masked.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let lines = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self { masked, lines }
    }

    /// The number of the line that holds byte `at`, from 1 on.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Every identifier and keyword: its line and its text.
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.words_at().map(|(at, word)| (self.line(at), word))
    }

    fn words_at(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.masked.get(at..)?;
            let start = at + rest.iter().position(is_word)?;
            let rest = self.masked.get(start..)?;
            let len = rest.iter().position(|b| !is_word(b)).unwrap_or(rest.len());
            at = start + len;
            Some((start, std::str::from_utf8(rest.get(..len)?).unwrap_or("")))
        })
    }

    /// The code without blanks.
    pub(crate) fn find(&self, needle: &str) -> Vec<usize> {
        let text = String::from_utf8_lossy(&self.masked);
        text.match_indices(needle)
            .map(|(at, _)| self.line(at))
            .collect()
    }

    /// All functions with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        let mut words = self.words_at().peekable();
        while let Some((at, word)) = words.next() {
            if word != "fn" {
                continue;
            }
            // `fn(A) -> B` is a type.
            let Some((name_at, name)) = words.peek().copied() else {
                continue;
            };
            let between = self.masked.get(at + 2..name_at).unwrap_or_default();
            if !between.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Some(end) = self.body(name_at) {
                let lines = self.line(at)..=self.line(end);
                found.push(Function {
                    name: name.to_owned(),
                    lines,
                });
            }
        }
        found
    }

    /// Where the first braces after `from` end; `None` when a `;` comes before them.
    fn body(&self, from: usize) -> Option<usize> {
        let mut depth = 0_i32;
        let mut braces = 0_i32;
        for (at, byte) in self.masked.iter().enumerate().skip(from) {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                b';' if depth == 0 && braces == 0 => return None,
                b'{' => braces += 1,
                b'}' => {
                    braces -= 1;
                    if braces == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The lines of items that are only there in tests.
    pub(crate) fn test_lines(&self) -> Vec<RangeInclusive<usize>> {
        let text = String::from_utf8_lossy(&self.masked);
        let marks = text.match_indices("#[cfg(test)]");
        marks
            .filter_map(|(at, mark)| {
                let end = self.body(at + mark.len())?;
                Some(self.line(at)..=self.line(end))
            })
            .collect()
    }
}

/// Whether a file as a whole is test code, by its path.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.contains("/benches/")
}

fn mask(text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    let mut at = 0;
    while at < text.len() {
        let end = match text.get(at..).unwrap_or_default() {
            [b'/', b'/', ..] => line_end(text, at),
            [b'/', b'*', ..] => comment_end(text, at),
            [b'"', ..] => string_end(text, at),
            [b'r', rest @ ..] if !follows_word(text, at) && is_raw(rest) => raw_end(text, at),
            [b'\'', rest @ ..] => match character(rest) {
                Some(len) => at + 1 + len,
                None => at,
            },
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        let end = end.min(text.len());
        for byte in out.get_mut(at..end).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    out
}

fn follows_word(text: &[u8], at: usize) -> bool {
    // `br"..."` is a string all the same.
    let before = at.checked_sub(1).and_then(|at| text.get(at));
    before.is_some_and(|b| (b.is_ascii_alphanumeric() && *b != b'b') || *b == b'_')
}

fn line_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

fn comment_end(text: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        match rest {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn is_raw(rest: &[u8]) -> bool {
    let hashes = rest.iter().take_while(|b| **b == b'#').count();
    rest.get(hashes) == Some(&b'"')
}

fn raw_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default();
    let hashes = rest.iter().take_while(|b| **b == b'#').count();
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inner = at + 2 + hashes;
    let rest = text.get(inner..).unwrap_or_default();
    let found = rest.windows(close.len()).position(|window| window == close);
    found.map_or(text.len(), |found| inner + found + close.len())
}

/// How long the character behind a quote is, closing quote included; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.first() == Some(&b'\\') {
        let end = rest.iter().skip(2).position(|b| *b == b'\'')?;
        return Some(end + 3);
    }
    // A character of up to four bytes.
    (1..=4)
        .find(|len| rest.get(*len) == Some(&b'\'') && rest.first() != Some(&b'\''))
        .filter(|len| *len == 1 || rest.first().is_some_and(|b| !b.is_ascii()))
        .map(|len| len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Code::new(text)
            .words()
            .map(|(_, word)| word.to_owned())
            .collect()
    }

    #[test]
    fn comments_texts_and_characters_are_no_code() {
        let text =
            "a /* b /* c */ d */ e // f\ng \"h \\\" i\" j r#\"k \" l\"# m 'n' 'o' '\\'' p<'q>";
        assert_eq!(words(text), ["a", "e", "g", "j", "m", "p", "q"]);
        assert_eq!(words("b'{' x br\"y\" 'ä' z"), ["b", "x", "b", "z"]);
    }

    #[test]
    fn functions_are_measured_to_their_last_brace() {
        let text = "fn a() {\n  if x { y(\"}\") }\n}\ntrait T {\n fn b(&self);\n fn c(&self) -> [u8; 2] {\n 1 }\n}\ntype F = fn(u8) -> u8;";
        let found = Code::new(text).functions();
        let found: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.lines.clone()))
            .collect();
        assert_eq!(found, [("a", 1..=3), ("c", 6..=7)]);
    }

    #[test]
    fn test_modules_are_found() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\n#[cfg(test)]\nmod c;\nfn d() {}";
        assert_eq!(Code::new(text).test_lines(), [2..=5]);
        assert!(is_test_file("crates/a/src/b/tests.rs") && !is_test_file("crates/a/src/b.rs"));
    }
}
