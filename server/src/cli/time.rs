//! Points in time as people write them.

use base::{Clock, Millis};

use crate::exit::{Exit, Failure};

/// Milliseconds since 1970 of `text`: `30m` (ago), `2026-01-31T12:00:00Z`, `2026-01-31`, or the
/// milliseconds themselves.
pub(super) fn parse(text: &str) -> Result<i64, Failure> {
    at(text, Clock::system().unix_ms()).ok_or_else(|| {
        let message = format!(
            "`{text}` is no time: write 30m (ago), 2026-01-31T12:00:00Z, or milliseconds since 1970"
        );
        Failure::new(Exit::Usage, message)
    })
}

fn at(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    if let Ok(Millis(ago)) = text.parse() {
        return Some(now_ms.saturating_sub(i64::try_from(ago).ok()?));
    }
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
    let time = time.strip_suffix('Z')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let hour: i64 = time.next()?.parse().ok()?;
    let minute: i64 = time.next()?.parse().ok()?;
    let second: f64 = time.next().unwrap_or("0").parse().ok()?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&second)
        && (1970..10_000).contains(&year);
    if !in_range {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 61,000")]
    let millis = (second * 1000.0) as i64;
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + millis)
}

/// Days from 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, ms) in [
            ("1700000000000", Some(1_700_000_000_000)),
            ("10s", Some(990_000)),
            ("1970-01-02", Some(86_400_000)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
            ("2024-02-29T12:30:15.250Z", Some(1_709_209_815_250)),
            ("2024-02-29 12:30Z", Some(1_709_209_800_000)),
            ("2024-13-01", None),
            ("yesterday", None),
        ] {
            assert_eq!(at(text, 1_000_000), ms, "{text}");
        }
    }
}
