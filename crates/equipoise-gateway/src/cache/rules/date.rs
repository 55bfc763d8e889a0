//! Dates of HTTP (RFC 9110, 5.6.7).

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Reads a date in one of the three forms of HTTP. Names of days and months may be in any case, as other caches accept
/// them. O(length).
pub(crate) fn parse(value: &HeaderValue) -> Option<SystemTime> {
    let text = value.to_str().ok()?.trim_ascii();
    // The longest form is `Wednesday, 31-Dec-69 23:59:59 GMT`.
    if text.len() > 40 {
        return None;
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date);
    }
    let mut fixed = String::with_capacity(text.len());
    let mut in_word = false;
    for char in text.chars() {
        fixed.push(if in_word { char.to_ascii_lowercase() } else { char.to_ascii_uppercase() });
        in_word = char.is_ascii_alphabetic();
    }
    if let Some(start) = fixed.strip_suffix("Gmt") {
        let len = start.len();
        fixed.truncate(len);
        fixed.push_str("GMT");
    }
    if let Ok(date) = httpdate::parse_http_date(&fixed) {
        return Some(date);
    }
    // The day of the week says nothing new, so a wrong one does not count. It must be the name of a day, in the length
    // that the form has.
    let (day, rest) = fixed.split_at(fixed.find([',', ' '])?);
    let names = [DAYS, SHORT_DAYS].into_iter().find(|names| names.contains(&day))?;
    names.iter().find_map(|day| httpdate::parse_http_date(&format!("{day}{rest}")).ok())
}

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORT_DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads the date of a field. `None` if it is missing, repeated or not a date.
pub(crate) fn field(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { parse(value) }
}

/// Writes a date. `None` if it is not between the years 1970 and 9999.
pub(crate) fn format(date: SystemTime) -> Option<HeaderValue> {
    let seconds = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    // `httpdate` panics from the year 10000 on.
    if seconds >= 253_402_300_800 {
        return None;
    }
    HeaderValue::from_str(&httpdate::fmt_http_date(date)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<u64> {
        let date = parse(&HeaderValue::from_str(text).expect("a value"))?;
        Some(date.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs())
    }

    #[test]
    fn all_forms_are_read_in_any_case_and_with_any_day_of_the_week() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "SUN, 06 nov 1994 08:49:37 gMT",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Mon Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "0",
            "-1",
            "",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = parse(&value);
            }
        }

        #[test]
        fn a_written_date_is_read(seconds in 0_u64..253_402_300_800) {
            let date = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            prop_assert_eq!(parse(&format(date).expect("a date")), Some(date));
        }
    }
}
