//! Timestamps and durations as texts (RFC 3339, and seconds with an `s`).

use crate::error::{Cause, Error, Result};

/// Seconds of the years 1 and 9999, where RFC 3339 begins and ends.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;
/// The longest duration: about ten thousand years.
const DURATION_MAX: i64 = 315_576_000_000;

const NO_TIMESTAMP: Cause = Cause::Type("a timestamp of RFC 3339");
const NO_DURATION: Cause = Cause::Type("a duration in seconds, with an `s` behind it");
const DAY: i64 = 86_400;

/// Days since 1970 of a day of the Gregorian calendar (years are counted from March here, so that
/// the leap day is the last one).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day since 1970.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Reads digits and signs off the beginning of a text.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        let value = |value: i64, digit: &u8| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i64::from(digit - b'0'))
        };
        digits.iter().try_fold(0, value)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// One to nine digits behind a point, as nanoseconds; 0 without a point.
    fn fraction(&mut self) -> Option<i32> {
        if self.eat(b'.').is_none() {
            return Some(0);
        }
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let value = i32::try_from(self.digits(count)?).ok()?;
        Some(value * 10_i32.pow(u32::try_from(9 - count).ok()?))
    }
}

/// Seconds since 1970 and nanoseconds.
pub(super) fn parse_timestamp(text: &str) -> Result<(i64, i32)> {
    let parsed = timestamp(&mut Scan(text.as_bytes()));
    let (seconds, nanos) = parsed.ok_or_else(|| Error::new(NO_TIMESTAMP))?;
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(Error::new(Cause::Range("google.protobuf.Timestamp")));
    }
    Ok((seconds, nanos))
}

fn timestamp(scan: &mut Scan<'_>) -> Option<(i64, i32)> {
    let year = scan.digits(4)?;
    scan.eat(b'-')?;
    let month = scan.digits(2)?;
    scan.eat(b'-')?;
    let day = scan.digits(2)?;
    scan.eat(b'T')?;
    let hour = scan.digits(2)?;
    scan.eat(b':')?;
    let minute = scan.digits(2)?;
    scan.eat(b':')?;
    let second = scan.digits(2)?;
    let nanos = scan.fraction()?;
    let offset = match scan.0 {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let mut rest = Scan(rest);
            let hours = rest.digits(2)?;
            rest.eat(b':')?;
            let minutes = rest.digits(2)?;
            if hours > 23 || minutes > 59 || !rest.0.is_empty() {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let day_number = days(year, month.clamp(1, 12), day);
    let in_range = (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    // A day that a month does not have comes back as another.
    if !in_range || date(day_number) != (year, month, day) {
        return None;
    }
    let seconds = day_number * DAY + hour * 3600 + minute * 60 + second - offset;
    Some((seconds, nanos))
}

/// Seconds and nanoseconds, of one sign.
pub(super) fn parse_duration(text: &str) -> Result<(i64, i32)> {
    let mut scan = Scan(text.as_bytes());
    let (seconds, nanos) = duration(&mut scan).ok_or_else(|| Error::new(NO_DURATION))?;
    if seconds.abs() > DURATION_MAX {
        return Err(Error::new(Cause::Range("google.protobuf.Duration")));
    }
    Ok((seconds, nanos))
}

fn duration(scan: &mut Scan<'_>) -> Option<(i64, i32)> {
    let negative = scan.eat(b'-').is_some();
    let count = scan.0.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=18).contains(&count) {
        return None;
    }
    let seconds = scan.digits(count)?;
    let nanos = scan.fraction()?;
    scan.eat(b's')?;
    if !scan.0.is_empty() {
        return None;
    }
    Some(if negative {
        (-seconds, -nanos)
    } else {
        (seconds, nanos)
    })
}

/// A text of at most 40 bytes.
#[derive(Debug)]
pub(super) struct Short {
    bytes: [u8; 40],
    length: usize,
}

impl Short {
    fn new() -> Self {
        Self {
            bytes: [0; 40],
            length: 0,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn digits(&mut self, value: i64, count: u32) {
        for place in (0..count).rev() {
            let digit = value / 10_i64.pow(place) % 10;
            self.byte(b'0' + digit.to_le_bytes()[0]);
        }
    }

    /// Point and 3, 6 or 9 digits; nothing for zero.
    fn fraction(&mut self, nanos: i32) {
        let nanos = i64::from(nanos);
        if nanos == 0 {
            return;
        }
        self.byte(b'.');
        if nanos % 1_000_000 == 0 {
            self.digits(nanos / 1_000_000, 3);
        } else if nanos % 1000 == 0 {
            self.digits(nanos / 1000, 6);
        } else {
            self.digits(nanos, 9);
        }
    }
}

/// `1970-01-01T00:00:00Z`
pub(super) fn format_timestamp(seconds: i64, nanos: i32) -> Result<Short> {
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        let cause = Cause::Inexpressible("a timestamp outside of the years 1 to 9999");
        return Err(Error::new(cause));
    }
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    let mut out = Short::new();
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (time / 3600, 2, b':'),
        (time / 60 % 60, 2, b':'),
    ];
    for (value, count, behind) in parts {
        out.digits(value, count);
        out.byte(behind);
    }
    out.digits(time % 60, 2);
    out.fraction(nanos);
    out.byte(b'Z');
    Ok(out)
}

/// `1.5s`
pub(super) fn format_duration(seconds: i64, nanos: i32) -> Result<Short> {
    let mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    let in_range = seconds.unsigned_abs() <= DURATION_MAX.unsigned_abs()
        && nanos.unsigned_abs() < 1_000_000_000;
    if mixed || !in_range {
        let cause = Cause::Inexpressible("a duration over ten thousand years, or of two signs");
        return Err(Error::new(cause));
    }
    let mut out = Short::new();
    if seconds < 0 || nanos < 0 {
        out.byte(b'-');
    }
    let seconds = seconds.abs();
    out.digits(seconds, seconds.checked_ilog10().unwrap_or(0) + 1);
    out.fraction(nanos.abs());
    out.byte(b's');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_comes_back() {
        for number in (-719_162..2_932_897).step_by(13) {
            let (year, month, day) = date(number);
            assert_eq!(days(year, month, day), number);
        }
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
    }

    #[test]
    fn timestamps_are_read_and_written() {
        let text = |seconds, nanos| {
            let short = format_timestamp(seconds, nanos).unwrap();
            String::from_utf8(short.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(text(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(text(SECONDS_MIN, 0), "0001-01-01T00:00:00Z");
        assert_eq!(
            text(SECONDS_MAX, 999_999_999),
            "9999-12-31T23:59:59.999999999Z"
        );
        assert_eq!(text(-1, 500_000_000), "1969-12-31T23:59:59.500Z");
        assert_eq!(
            parse_timestamp("1970-01-01T01:00:00.25+01:00").unwrap(),
            (0, 250_000_000)
        );
        assert_eq!(
            parse_timestamp("2016-02-29T00:00:00-00:01").unwrap(),
            (1_456_704_060, 0)
        );
        for wrong in [
            "",
            "1970-01-01",
            "1970-01-01t00:00:00Z",
            "1970-01-01T00:00:00z",
            "1970-01-01T00:00:00",
            "1970-02-29T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "0000-01-01T00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567890Z",
            "0001-01-01T00:00:00+00:01",
            "1970-01-01 00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "1970-00-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
        ] {
            assert!(parse_timestamp(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_and_written() {
        let text = |seconds, nanos| {
            let short = format_duration(seconds, nanos).unwrap();
            String::from_utf8(short.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(text(0, 0), "0s");
        assert_eq!(text(-3, -1), "-3.000000001s");
        assert_eq!(text(0, -500_000_000), "-0.500s");
        assert_eq!(text(DURATION_MAX, 0), "315576000000s");
        assert_eq!(parse_duration("-0.5s").unwrap(), (0, -500_000_000));
        for wrong in [
            "1",
            "1.s",
            ".5s",
            "s",
            "1 s",
            "+1s",
            "315576000001s",
            "1e3s",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert!(format_duration(1, -1).is_err() && format_duration(i64::MIN, 0).is_err());
        assert!(format_timestamp(0, -1).is_err());
    }
}
