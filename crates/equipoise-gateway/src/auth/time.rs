use std::time::{Duration, SystemTime};

/// Parses a point in time: seconds since 1970-01-01 (UTC), or a date such as `2026-12-31`, which is its first moment in
/// UTC. Years are 1970 to 9999.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let seconds = match text.split_once('-') {
        Some((year, rest)) => {
            let (month, day) = rest.split_once('-')?;
            days(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?)?.checked_mul(86_400)?
        }
        None if text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
        None => return None,
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn digits(text: &str, len: usize) -> Option<u64> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Returns the number of days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=length(month)).contains(&day) {
        return None;
    }
    // The leap days of all years before this one, since the year 0.
    let leap_days = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let of_years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    Some(of_years + (1..month).map(length).sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_first_moment_in_utc() {
        // From `date -u -d 2026-12-31 +%s` and so on.
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1972-03-01", 68_256_000),
            ("2000-02-29", 951_782_400),
            ("2026-12-31", 1_798_675_200),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
            ("1798675200", 1_798_675_200),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "-",
            "2026",
            "-1",
            "+1",
            "2026-1-1",
            "2026-02-29",
            "1900-01-01",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-32",
            "2026-04-31",
            "2026-01-01T00",
            "2026-01-01-",
            "9999999999999",
            "10000-01-01",
        ] {
            // A number of digits is seconds.
            assert_eq!(parse(text).is_some(), text == "2026", "{text}");
        }
    }
}
