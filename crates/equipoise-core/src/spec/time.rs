//! Formats durations as text and parses them. Both directions are exact to the nanosecond.

use std::{fmt, time::Duration};

/// The units and their lengths in nanoseconds, longest first.
const UNITS: [(&str, u128); 6] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000), ("ns", 1)];

/// The maximum number of digits after the decimal point: the longest unit has 13 digits of nanoseconds.
const MAX_FRACTION: usize = 13;

/// Parses a time: a number, with or without a decimal point, followed by a unit, such as `2.5s`. Units: `h`, `m`, `s`,
/// `ms`, `us` and `ns`.
///
/// Returns `None` in these cases:
///
/// - The text does not have this form.
/// - The time is not a whole number of nanoseconds, such as `0.5ns`.
/// - The time is 2^64 nanoseconds (584 years) or more.
pub const fn read(word: &str) -> Option<Duration> {
    let bytes = word.as_bytes();
    let (mut at, mut whole) = (0, 0u128);
    while at < bytes.len() && bytes[at].is_ascii_digit() {
        whole = whole * 10 + (bytes[at] - b'0') as u128;
        if whole > u64::MAX as u128 {
            return None;
        }
        at += 1;
    }
    if at == 0 {
        return None;
    }
    let (mut parts, mut scale) = (0u128, 1u128);
    if at < bytes.len() && bytes[at] == b'.' {
        let point = at;
        at += 1;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            if at - point > MAX_FRACTION {
                return None;
            }
            parts = parts * 10 + (bytes[at] - b'0') as u128;
            scale *= 10;
            at += 1;
        }
        if at == point + 1 {
            return None;
        }
    }
    let unit = match unit(bytes, at) {
        Some(unit) => unit,
        None => return None,
    };
    if !(parts * unit).is_multiple_of(scale) {
        return None;
    }
    let nanos = whole * unit + parts * unit / scale;
    if nanos > u64::MAX as u128 { None } else { Some(Duration::from_nanos(nanos as u64)) }
}

/// Returns the length in nanoseconds of the unit that `bytes` contains from `begin` to the end.
const fn unit(bytes: &[u8], begin: usize) -> Option<u128> {
    let mut known = 0;
    while known < UNITS.len() {
        let (name, unit) = UNITS[known];
        let name = name.as_bytes();
        let mut at = 0;
        while at < name.len() && begin + at < bytes.len() && name[at] == bytes[begin + at] {
            at += 1;
        }
        if at == name.len() && begin + at == bytes.len() {
            return Some(unit);
        }
        known += 1;
    }
    None
}

/// Formats a time as a number with a unit, such as `2.5s`. If the time is shorter than 2^64 nanoseconds, [`read`]
/// parses the text to the same time.
///
/// # Errors
///
/// Returns an error if the formatter fails.
pub fn write(time: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let nanos = time.as_nanos();
    if nanos == 0 {
        return f.write_str("0s");
    }
    // Hours and minutes only if they are whole: 1.5m is harder to read than 90s.
    let fits = |&(_, unit): &(&str, u128)| nanos >= unit && (unit <= UNITS[2].1 || nanos.is_multiple_of(unit));
    let (name, unit) = UNITS.into_iter().find(fits).unwrap_or(UNITS[5]);
    write!(f, "{}", nanos / unit)?;
    if !nanos.is_multiple_of(unit) {
        let width = unit.ilog10() as usize;
        let fraction = format!("{:0width$}", nanos % unit);
        write!(f, ".{}", fraction.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

/// A time whose `Display` is its form in textual specs, such as `2.5s`.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f)
    }
}
