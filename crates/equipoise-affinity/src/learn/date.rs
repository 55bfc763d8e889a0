//! Parses dates in cookies. Their parts can be in any order and in many notations.

use crate::scan;

/// Parses a date by the algorithm of RFC 6265 §5.1.1. Returns the seconds since 1970, or `None` if it is not a date.
pub(super) fn cookie_date(text: &[u8]) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for word in text.split(|byte| is_delimiter(scan::look(*byte))).filter(|word| !word.is_empty()) {
        // A word can match several parts. It is used for the first of these parts that has not been found yet.
        if time.is_none() && clock(word).is_some() {
            time = clock(word);
        } else if day.is_none() && number(word, 1, 2).is_some() {
            day = number(word, 1, 2);
        } else if month.is_none() && month_of(word).is_some() {
            month = month_of(word);
        } else if year.is_none() && number(word, 2, 4).is_some() {
            year = number(word, 2, 4);
        }
    }
    let (hour, minute, second) = time?;
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (month, day) = (month?, day?);
    if year < 1601 || hour > 23 || minute > 59 || second > 59 || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// Parses the digits at the start of the word. Returns `None` if there are fewer than `least` or more than `most`.
fn number(word: &[u8], least: usize, most: usize) -> Option<i64> {
    let digits = scan::bytes(word).take_while(u8::is_ascii_digit).count();
    if !(least..=most).contains(&digits) {
        return None;
    }
    Some(word.iter().take(digits).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn clock(word: &[u8]) -> Option<(i64, i64, i64)> {
    let mut parts = word.splitn(3, |byte| scan::look(*byte) == b':');
    let whole = |part: &[u8]| scan::bytes(part).all(|byte| byte.is_ascii_digit()).then(|| number(part, 1, 2)).flatten();
    Some((whole(parts.next()?)?, whole(parts.next()?)?, number(parts.next()?, 1, 2)?))
}

fn month_of(word: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let start = word.get(..3)?;
    (1..).zip(MONTHS).find(|(_, month)| start.eq_ignore_ascii_case(month)).map(|(number, _)| number)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Returns the days from 1970-01-01 to this date of the proleptic Gregorian calendar. The calculation uses years that
/// begin in March, so that the leap day is the last day of a year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_of_many_spellings_are_read() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 01-Jan-1970 00:00:10 GMT", 10),
            ("Thu, 01-Jan-70 00:00:01 GMT", 1),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Mon, 01 Jan 1601 00:00:00 GMT", -11_644_473_600),
            ("1 march 2030 1:2:3pm", 1_898_557_323),
        ] {
            assert_eq!(cookie_date(text.as_bytes()), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "session",
            "Wed, 30 Feb 2000 00:00:00 GMT",
            "Wed, 29 Feb 2100 00:00:00 GMT",
            "Thu, 01 Jan 1600 00:00:00 GMT",
            "Thu, 00 Jan 2000 00:00:00 GMT",
            "Thu, 01 Jan 2000 24:00:00 GMT",
            "Thu, 01 Jan 2000 00:00 GMT",
            "Thu, 01 Jan 20000 00:00:00 GMT",
            "Thu, 01 2000 00:00:00 GMT",
        ] {
            assert_eq!(cookie_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut expected = days_since_1970(1601, 1, 1);
        assert_eq!(expected * 86_400, -11_644_473_600);
        for year in 1601..=2400 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            cookie_date(&bytes);
        }

        #[test]
        fn no_digits_panic(text in "[0-9:a-zJ ]{0,40}") {
            cookie_date(text.as_bytes());
        }
    }
}
