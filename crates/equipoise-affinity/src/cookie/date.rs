//! When a cookie was set and last seen, as HAProxy writes it: `value|last|first`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::scan;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Length of a timestamp: 30 bits, 6 per digit.
const LENGTH: usize = 5;
/// The resolution of a timestamp, in seconds.
const STEP: u64 = 4;
/// How far in the future a date may be, in seconds, since clocks and time zones are sometimes wrong.
const AHEAD: u64 = 24 * 60 * 60;

/// Separates a value from its dates.
pub(super) const DATE: u8 = b'|';

/// Seconds since 1970; 0 for earlier times.
pub(super) fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The dates that came with a cookie, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) last: Option<u64>,
    pub(super) first: Option<u64>,
}

impl Dates {
    /// Removes the dates from `value`, and stores those that can be read.
    pub(super) fn cut<'a>(&mut self, value: &'a [u8]) -> &'a [u8] {
        let Some((value, dates)) = split(value) else { return value };
        self.last = read(dates).or(self.last);
        self.first = split(dates).and_then(|(_, first)| read(first)).or(self.first);
        value
    }
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    scan::split_once(text, DATE)
}

/// Reads the timestamp at the start of `text`. The rest is ignored, and 0 counts as no timestamp.
fn read(text: &[u8]) -> Option<u64> {
    let steps = text.get(..LENGTH)?.iter().try_fold(0, |steps, byte| Some(steps << 6 | digit(*byte)?))?;
    (steps > 0).then_some(steps * STEP)
}

fn digit(byte: u8) -> Option<u64> {
    Some(u64::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Formats a time, rounded up, so that the current time is never read as a past one.
pub(super) fn written(seconds: u64) -> [u8; LENGTH] {
    let steps = seconds.div_ceil(STEP);
    [24_u32, 18, 12, 6, 0].map(|shift| DIGITS[(steps >> shift & 63) as usize])
}

/// Whether more than `limit` seconds have passed since `then`, or `then` is too far in the future.
pub(super) fn over(then: u64, now: u64, limit: u64) -> bool {
    now.saturating_sub(then) > limit || then.saturating_sub(now) > AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_those_that_haproxy_writes() {
        assert_eq!(&written(1_795_447_143), b"awRZa");
        assert_eq!(read(b"awRZa"), Some(1_795_447_144));
        assert_eq!(&written(0), b"AAAAA");
        assert_eq!(&written(u64::MAX).len(), &LENGTH);
    }

    #[test]
    fn dates_are_cut_off_even_if_they_say_nothing() {
        for (text, value, last, first) in [
            (&b"B"[..], &b"B"[..], None, None),
            (b"B|", b"B", None, None),
            (b"B|awRZ", b"B", None, None),
            (b"B|aw=Za|awRZa", b"B", None, Some(1_795_447_144)),
            (b"B||awRZa", b"B", None, Some(1_795_447_144)),
            (b"B|awRZaxyz|awRZafoo|x", b"B", Some(1_795_447_144), Some(1_795_447_144)),
            (b"B|AAAAA|AAAAA", b"B", None, None),
            (b"|awRZa", b"", Some(1_795_447_144), None),
        ] {
            let mut dates = Dates::default();
            assert_eq!(dates.cut(text), value);
            assert_eq!(dates, Dates { last, first });
        }
    }

    #[test]
    fn a_date_is_over_when_it_is_past_its_limit_or_more_than_a_day_ahead() {
        assert!(!over(1000, 1060, 60));
        assert!(over(1000, 1061, 60));
        assert!(!over(1000 + AHEAD, 1000, 60));
        assert!(over(1001 + AHEAD, 1000, 60));
    }
}
