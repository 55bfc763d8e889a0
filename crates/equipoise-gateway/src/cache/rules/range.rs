//! Ranges of bytes (RFC 9110, 14).

use http::{HeaderMap, header::RANGE};

/// What to send for a `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The whole response: there is no range, or one that is not understood, or several.
    Whole,
    /// The bytes from `first` to `last`, both included.
    Bytes { first: u64, last: u64 },
    /// None of the ranges is in the response.
    Unsatisfiable,
}

/// More ranges than this are ignored: the client gets the whole response.
const MAX_RANGES: usize = 16;

/// Reads a `Range` for a response of `len` bytes. Several ranges that can be satisfied get the whole response, as RFC
/// 9110 (14.2) allows. O(length of the field).
pub(crate) fn of(request: &HeaderMap, len: u64) -> Part {
    let mut values = request.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Part::Whole };
    let text = value.as_bytes();
    let Some((unit, ranges)) = text.iter().position(|byte| *byte == b'=').and_then(|at| text.split_at_checked(at))
    else {
        return Part::Whole;
    };
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return Part::Whole;
    }
    let ranges = ranges.get(1..).unwrap_or_default();
    let mut found = None;
    let mut count = 0;
    for range in ranges.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|range| !range.is_empty()) {
        count += 1;
        let Some(range) = one(range, len) else { return Part::Whole };
        if count > MAX_RANGES || (range.is_some() && found.is_some()) {
            return Part::Whole;
        }
        found = found.or(range);
    }
    match found {
        _ if count == 0 => Part::Whole,
        Some((first, last)) => Part::Bytes { first, last },
        None => Part::Unsatisfiable,
    }
}

/// Reads one range. `None` if it is not a range; `Some(None)` if no byte is in it.
fn one(range: &[u8], len: u64) -> Option<Option<(u64, u64)>> {
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (first, last) = range.split_at_checked(dash)?;
    let last = last.get(1..)?;
    if first.is_empty() {
        let suffix = number(last)?;
        let empty = suffix == 0 || len == 0;
        return Some((!empty).then(|| (len.saturating_sub(suffix), len.saturating_sub(1))));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first < len).then(|| (first, last.min(len.saturating_sub(1)))))
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn part(range: &str, len: u64) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).expect("a value"));
        of(&headers, len)
    }

    #[test]
    fn one_range_is_cut_to_the_length() {
        assert_eq!(part("bytes=0-1", 11), Part::Bytes { first: 0, last: 1 });
        assert_eq!(part("bytes=1-", 11), Part::Bytes { first: 1, last: 10 });
        assert_eq!(part("BYTES=5-99999999999999999999999", 11), Part::Bytes { first: 5, last: 10 });
        assert_eq!(part("bytes=-1", 11), Part::Bytes { first: 10, last: 10 });
        assert_eq!(part("bytes=-50", 11), Part::Bytes { first: 0, last: 10 });
    }

    #[test]
    fn ranges_behind_the_end_cannot_be_satisfied() {
        for range in ["bytes=11-", "bytes=11-12", "bytes=-0", "bytes=11-,20-21"] {
            assert_eq!(part(range, 11), Part::Unsatisfiable, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_range_gets_the_whole() {
        for range in
            ["bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=2-1", "bytes=a-b", "bytes=-", "bytes", "bytes=0--1"]
        {
            assert_eq!(part(range, 11), Part::Whole, "{range}");
        }
        assert_eq!(part("bytes=20-21,0-1", 11), Part::Bytes { first: 0, last: 1 });
    }

    proptest! {
        #[test]
        fn a_part_is_inside_of_the_response(text in "bytes=[0-9,-]{0,40}", len in 0..50_u64) {
            if let Part::Bytes { first, last } = part(&text, len) {
                prop_assert!(first <= last && last < len);
            }
        }
    }
}
