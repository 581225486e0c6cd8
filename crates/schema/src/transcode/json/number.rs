//! Numbers of JSON: whole ones exactly, however they are written.

use super::token::{Tokens, number_length};
use crate::error::{Cause, Result};

/// More digits than this are no whole number of 64 bits.
const DIGITS_MAX: i64 = 20;

/// A whole number: its sign and how big it is.
type Whole = (bool, u64);

impl Tokens<'_> {
    /// A whole number, bare or in quotes, also as `1e2` or `1.0`.
    #[inline]
    pub(crate) fn whole(&mut self, what: &'static str) -> Result<Whole> {
        let quoted = self.eat(b'"');
        let from = self.at;
        let negative = self.rest().first() == Some(&b'-');
        let (mut value, mut digits) = (0_u64, 0_usize);
        let mut bytes = self.rest();
        bytes = bytes.get(usize::from(negative)..).unwrap_or_default();
        // 18 digits always fit.
        while let Some((byte, rest)) = bytes.split_first()
            && byte.is_ascii_digit()
            && digits < 18
        {
            value = value * 10 + u64::from(byte - b'0');
            digits += 1;
            bytes = rest;
        }
        let leading_zero = digits > 1
            && value
                .checked_ilog10()
                .is_none_or(|log| (log as usize) + 1 < digits);
        let simple = digits > 0
            && !leading_zero
            && !matches!(bytes.first(), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
        if simple {
            self.at += digits + usize::from(negative);
            if quoted && !self.rest().starts_with(b"\"") {
                self.at = from - 1;
                return self.quoted_whole(what);
            }
            self.at += usize::from(quoted);
            return Ok((negative, value));
        }
        if quoted {
            self.at = from - 1;
            return self.quoted_whole(what);
        }
        if number_length(self.rest()).is_none() {
            return Err(self.unexpected(what));
        }
        let value = exact(self.number()?);
        value.ok_or_else(|| self.error(Cause::Range(what)))
    }

    /// A whole number in quotes that is written in another way than digits.
    fn quoted_whole(&mut self, what: &'static str) -> Result<Whole> {
        let text = self.string()?;
        if number_length(text.as_bytes()) != Some(text.len()) {
            return Err(self.error(Cause::Type(what)));
        }
        let value = exact(text);
        value.ok_or_else(|| self.error(Cause::Range(what)))
    }

    /// A signed number of `bits` bits.
    #[inline]
    pub(crate) fn signed(&mut self, bits: u32, what: &'static str) -> Result<i64> {
        let (negative, value) = self.whole(what)?;
        let limit = 1_u64 << (bits - 1);
        let fits = if negative {
            value <= limit
        } else {
            value < limit
        };
        if !fits {
            return Err(self.error(Cause::Range(what)));
        }
        let value = value.cast_signed();
        Ok(if negative {
            value.wrapping_neg()
        } else {
            value
        })
    }

    /// An unsigned number up to `max`.
    #[inline]
    pub(crate) fn unsigned(&mut self, max: u64, what: &'static str) -> Result<u64> {
        let (negative, value) = self.whole(what)?;
        if value > max || (negative && value != 0) {
            return Err(self.error(Cause::Range(what)));
        }
        Ok(value)
    }

    /// A number with its fraction, bare or in quotes; in quotes also `NaN` and the infinities.
    pub(crate) fn float<F>(&mut self, what: &'static str, is_finite: fn(F) -> bool) -> Result<F>
    where
        F: std::str::FromStr + Copy + From<f32>,
    {
        let quoted = self.peek() == Some(b'"');
        let parsed = if quoted {
            let text = self.string()?;
            match text {
                "NaN" => return Ok(F::from(f32::NAN)),
                "Infinity" => return Ok(F::from(f32::INFINITY)),
                "-Infinity" => return Ok(F::from(f32::NEG_INFINITY)),
                _ if number_length(text.as_bytes()) != Some(text.len()) => {
                    return Err(self.error(Cause::Type(what)));
                }
                _ => text.parse::<F>(),
            }
        } else {
            if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
                return Err(self.unexpected(what));
            }
            self.number()?.parse::<F>()
        };
        match parsed {
            Ok(value) if is_finite(value) => Ok(value),
            _ => Err(self.error(Cause::Range(what))),
        }
    }
}

/// The value of a number that may have fraction and exponent, if it is whole and fits.
fn exact(text: &str) -> Option<Whole> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, saturated(exponent)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The digits without zeros around them, and by which power of ten they are to be multiplied.
    let fraction = fraction.trim_end_matches('0');
    let mut power = exponent - i64::try_from(fraction.len()).ok()?;
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
        power += 1;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    if digits.is_empty() {
        return Some((negative, 0));
    }
    let length = i64::try_from(digits.len()).ok()?;
    if power < 0 || length + power > DIGITS_MAX {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
    }
    let factor = 10_u64.checked_pow(u32::try_from(power).ok()?)?;
    Some((negative, value.checked_mul(factor)?))
}

/// An exponent; those that are absurd are made a little less so.
fn saturated(text: &str) -> i64 {
    const MOST: i64 = 1 << 40;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = digits.bytes().fold(0_i64, |value, digit| {
        (value * 10 + i64::from(digit.wrapping_sub(b'0'))).min(MOST)
    });
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact_however_they_are_written() {
        assert_eq!(exact("1e2"), Some((false, 100)));
        assert_eq!(exact("1.50e1"), Some((false, 15)));
        assert_eq!(exact("-0.0"), Some((true, 0)));
        assert_eq!(exact("18446744073709551615"), Some((false, u64::MAX)));
        assert_eq!(exact("18446744073709551616"), None);
        assert_eq!(
            exact("9223372036854774784.0"),
            Some((false, 9_223_372_036_854_774_784))
        );
        assert_eq!(exact("1.5"), None);
        assert_eq!(exact("1e-1"), None);
        assert_eq!(exact("0e999999999999999999999"), Some((false, 0)));
        assert_eq!(exact("1e999999999999999999999"), None);
    }

    #[test]
    fn leading_zeros_signs_and_blanks_are_refused() {
        let read = |text: &str| {
            let mut tokens = Tokens::new(text.as_bytes(), 100).unwrap();
            tokens
                .signed(32, "int32")
                .and_then(|value| tokens.end().map(|()| value))
        };
        assert_eq!(read("\"12\"").unwrap(), 12);
        assert_eq!(read("-2147483648").unwrap(), i64::from(i32::MIN));
        for wrong in [
            "01",
            "\"01\"",
            "\"-01\"",
            "\" 1\"",
            "\"1 \"",
            "\"\"",
            "+1",
            "-",
            "2147483648",
            "1.",
            ".5",
            "0x1",
            "1a",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
