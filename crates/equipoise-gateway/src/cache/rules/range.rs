//! Ranges of bytes (RFC 9110, 14).

use http::{HeaderMap, header::RANGE};

/// What to send for a `Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The whole response: there is no range, or one that is not understood, or there are too many.
    Whole,
    /// The bytes from `first` to `last`, both included.
    Bytes { first: u64, last: u64 },
    /// Several ranges of bytes that do not overlap, in the order of the request.
    Several(Vec<(u64, u64)>),
    /// None of the ranges is in the response.
    Unsatisfiable,
}

/// More ranges than this are ignored: the client gets the whole response.
const MAX_RANGES: usize = 16;

/// Reads a `Range` for a response of `len` bytes. Ranges that overlap get the whole response (RFC 9110, 14.2): so the
/// parts are never longer than that, apart from what is in front of each. Every range gets the whole of an empty
/// response. O(length of the field).
pub(crate) fn of(request: &HeaderMap, len: u64) -> Part {
    let mut values = request.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Part::Whole };
    let text = value.as_bytes();
    let Some((unit, ranges)) = text.iter().position(|byte| *byte == b'=').and_then(|at| text.split_at_checked(at))
    else {
        return Part::Whole;
    };
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") || len == 0 {
        return Part::Whole;
    }
    let ranges = ranges.get(1..).unwrap_or_default();
    let mut found = Vec::new();
    let mut count = 0;
    for range in ranges.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|range| !range.is_empty()) {
        count += 1;
        let Some(range) = one(range, len).filter(|_| count <= MAX_RANGES) else { return Part::Whole };
        found.extend(range);
    }
    match found[..] {
        _ if count == 0 => Part::Whole,
        [] => Part::Unsatisfiable,
        [(first, last)] => Part::Bytes { first, last },
        _ if overlap(&found) => Part::Whole,
        _ => Part::Several(found),
    }
}

fn overlap(ranges: &[(u64, u64)]) -> bool {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| matches!(pair, [(_, last), (first, _)] if first <= last))
}

/// Reads one range. `None` if it is not a range; `Some(None)` if no byte is in it.
fn one(range: &[u8], len: u64) -> Option<Option<(u64, u64)>> {
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (first, last) = range.split_at_checked(dash)?;
    let last = last.get(1..)?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some((suffix > 0).then(|| (len.saturating_sub(suffix), len.saturating_sub(1))));
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
    }

    #[test]
    fn every_range_gets_the_whole_of_an_empty_response() {
        for range in ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=7-"] {
            assert_eq!(part(range, 0), Part::Whole, "{range}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order() {
        assert_eq!(part("bytes=5-6, 0-1,-1", 11), Part::Several(vec![(5, 6), (0, 1), (10, 10)]));
        assert_eq!(part("bytes=0-1,2-3,20-", 11), Part::Several(vec![(0, 1), (2, 3)]));
    }

    #[test]
    fn overlapping_and_too_many_ranges_get_the_whole() {
        for range in ["bytes=0-5,5-6", "bytes=5-,0-,5-6", "bytes=0-0,0-0", "bytes=0-1,-11"] {
            assert_eq!(part(range, 11), Part::Whole, "{range}");
        }
        let list = |count: u64| (0..count).map(|at| format!("{0}-{0}", 2 * at)).collect::<Vec<_>>().join(",");
        assert!(matches!(part(&format!("bytes={}", list(16)), 1000), Part::Several(ranges) if ranges.len() == 16));
        assert_eq!(part(&format!("bytes={}", list(17)), 1000), Part::Whole);
    }

    #[test]
    fn what_is_not_one_range_gets_the_whole() {
        for range in ["bytes=0-1,x", "items=0-1", "bytes=", "bytes=2-1", "bytes=a-b", "bytes=-", "bytes", "bytes=0--1"]
        {
            assert_eq!(part(range, 11), Part::Whole, "{range}");
        }
        assert_eq!(part("bytes=20-21,0-1", 11), Part::Bytes { first: 0, last: 1 });
    }

    proptest! {
        #[test]
        fn parts_are_inside_of_the_response_and_no_longer_than_it(text in "bytes=[0-9,-]{0,40}", len in 0..50_u64) {
            let ranges = match part(&text, len) {
                Part::Bytes { first, last } => vec![(first, last)],
                Part::Several(ranges) => ranges,
                Part::Whole | Part::Unsatisfiable => Vec::new(),
            };
            prop_assert!(ranges.iter().all(|(first, last)| first <= last && *last < len));
            prop_assert!(ranges.iter().map(|(first, last)| last - first + 1).sum::<u64>() <= len);
        }
    }
}
