//! Words, numbers, texts and signs of a `.thrift` file.

use crate::load::Problem;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, also with points in it, or a keyword.
    Word(String),
    Int(i64),
    /// A number with a fraction: only constants have it, and those are not kept.
    Float,
    Text(String),
    Sign(u8),
    End,
}

/// What is left of a file.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    path: &'a str,
    rest: &'a str,
    /// The line of `rest`.
    end_line: u32,
    next: Token,
    /// The line of `next`.
    line: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Result<Self, Problem> {
        let mut lexer = Self {
            path,
            rest: text,
            end_line: 1,
            next: Token::End,
            line: 1,
        };
        lexer.take()?;
        Ok(lexer)
    }

    /// The line of the token that comes next.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn peek(&self) -> &Token {
        &self.next
    }

    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::new(self.path, "", what).on_line(self.line)
    }

    /// The next token; looks at the one behind it.
    pub(super) fn take(&mut self) -> Result<Token, Problem> {
        self.blanks()?;
        self.line = self.end_line;
        let next = self.read()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.end_line += u32::try_from(lines).unwrap_or(0);
        taken
    }

    fn blanks(&mut self) -> Result<(), Problem> {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.skip(blanks);
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest.get(2..).and_then(|rest| rest.find("*/"));
                let Some(end) = end else {
                    return Err(self.problem("a comment without an end"));
                };
                self.skip(end + 4);
            } else {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> Result<Token, Problem> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let length =
            |of: &dyn Fn(char) -> bool| self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        if first.is_ascii_alphabetic() || first == '_' {
            let length = length(&is_word);
            return Ok(Token::Word(self.skip(length).to_owned()));
        }
        if first.is_ascii_digit() || matches!(first, '+' | '-' | '.') {
            let length = length(&|c| is_word(c) || c == '+' || c == '-');
            let text = self.skip(length);
            return self.number(text);
        }
        if first == '"' || first == '\'' {
            let end = self.rest.get(1..).and_then(|rest| rest.find(first));
            let Some(end) = end else {
                return Err(self.problem("a text without an end"));
            };
            let text = self.skip(end + 2);
            return Ok(Token::Text(
                text.get(1..=end).unwrap_or_default().to_owned(),
            ));
        }
        match u8::try_from(first) {
            Ok(sign) if sign.is_ascii_punctuation() => {
                self.skip(1);
                Ok(Token::Sign(sign))
            }
            _ => Err(self.problem(format!("`{first}` does not belong here"))),
        }
    }

    fn number(&self, text: &str) -> Result<Token, Problem> {
        let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
        let hex = plain
            .strip_prefix("0x")
            .or_else(|| plain.strip_prefix("0X"));
        let value = match hex {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => plain.parse::<i64>().ok(),
        };
        match value {
            Some(value) if text.starts_with('-') => Ok(Token::Int(-value)),
            Some(value) => Ok(Token::Int(value)),
            None if text.parse::<f64>().is_ok() => Ok(Token::Float),
            None => Err(self.problem(format!("`{text}` is no number"))),
        }
    }
}
