//! Times in signatures: `20150830T123600Z`, or a `Date` header (RFC 9110 5.6.7).

const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Milliseconds since 1970.
pub(super) fn parse(text: &str) -> Option<i64> {
    let iso = iso(text)?;
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = iso.get(range)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    fits.then(|| days(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000)
}

/// The basic form of either.
pub(super) fn iso(text: &str) -> Option<String> {
    let text = text.trim();
    let bytes = text.as_bytes();
    if bytes.len() == 16 && bytes.get(8) == Some(&b'T') && bytes.ends_with(b"Z") {
        return text.is_ascii().then(|| text.to_owned());
    }
    // Sun, 06 Nov 1994 08:49:37 GMT
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let time: String = words.next()?.split(':').collect();
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let iso = format!("{year:0>4}{month:02}{day:0>2}T{time}Z");
    (iso.len() == 16 && iso.is_ascii()).then_some(iso)
}

/// Days since 1970 of a day of the Gregorian calendar (years begin in March here, so that the day
/// that comes and goes is the last).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `20150830T123600Z`.
pub(super) fn show(ms: i64) -> String {
    let (days, rest) = (
        ms.div_euclid(DAY_MS) + 719_468,
        ms.rem_euclid(DAY_MS) / 1000,
    );
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_one_is_written() {
        assert_eq!(parse("20150830T123600Z"), Some(1_440_938_160_000));
        assert_eq!(
            parse("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777_000)
        );
        assert_eq!(show(1_440_938_160_000), "20150830T123600Z");
        for ms in [0, 951_782_400_000, 951_868_800_000, 4_102_444_800_000] {
            assert_eq!(parse(&show(ms)), Some(ms));
        }
        for bad in [
            "",
            "20150830",
            "2015-08-30T12:36:00Z",
            "20151330T123600Z",
            "Sun, x",
            "2015083\u{e9}T12360Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
