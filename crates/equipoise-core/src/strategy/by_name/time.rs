//! Times as text: exact to the nanosecond in both directions.

use std::{fmt, time::Duration};

/// By length; what times are written in is the first one that they are at least as long as.
const UNITS: [(&str, u128); 6] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000), ("ns", 1)];

/// A number, with a decimal point or without, and a unit.
pub fn read(word: &str) -> Option<Duration> {
    let (number, unit) = word.split_at(word.find(|c: char| c.is_ascii_alphabetic())?);
    let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Nothing is shorter than a nanosecond, and the longest unit has thirteen digits of them.
    if !digits(whole) || !digits(fraction) || fraction.len() > 13 {
        return None;
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let parts = fraction.parse::<u128>().ok()? * unit;
    if !parts.is_multiple_of(scale) {
        return None;
    }
    let nanos = u128::from(whole.parse::<u64>().ok()?) * unit + parts / scale;
    nanos.try_into().ok().map(Duration::from_nanos)
}

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
