use std::{collections::BTreeMap, fmt, time::Duration};

use super::{StrategySpec, time};

/// What the values of a parameter are like. Its `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A whole number within limits.
    Number {
        /// The smallest.
        from: u64,
        /// The largest.
        to: u64,
    },
    /// Any number that is finite.
    Real,
    /// A time.
    Time,
    /// Yes or no.
    Flag,
    /// A name.
    Text,
    /// A range of whole numbers, both ends included.
    Range,
    /// Whole numbers by name.
    Shares,
    /// A strategy.
    Strategy,
}

impl Kind {
    pub(super) const SEED: Self = Self::Number { from: 0, to: u64::MAX };
    pub(super) const COUNT: Self = Self::Number { from: 0, to: u32::MAX as u64 };
    pub(super) const POSITIVE: Self = Self::Number { from: 1, to: u32::MAX as u64 };
    pub(super) const CHOICES: Self = Self::Number { from: 2, to: 10 };

    /// A value that is a single word.
    pub(super) fn read(self, word: &str) -> Option<Value> {
        Some(match self {
            Self::Number { from, to } => Value::Number(whole(word).filter(|number| (from..=to).contains(number))?),
            Self::Real => {
                // Not everything that Rust reads as a number looks like one: "inf", "nan".
                let plain = word.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
                Value::Real(word.parse().ok().filter(|real: &f64| plain && real.is_finite())?)
            }
            Self::Time => Value::Time(time::read(word)?),
            Self::Flag => Value::Flag(word.parse().ok()?),
            Self::Range => {
                let (from, to) = word.split_once("..")?;
                Value::Range(whole(from)?.try_into().ok()?, whole(to)?.try_into().ok()?)
            }
            // Of more than one word.
            Self::Text | Self::Shares | Self::Strategy => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { from, to: u64::MAX } => write!(f, "a whole number from {from} on, below 2^64"),
            Self::Number { from, to } if *to == u64::from(u32::MAX) => {
                write!(f, "a whole number from {from} on, below 2^32")
            }
            Self::Number { from, to } => write!(f, "a whole number from {from} to {to}"),
            Self::Real => f.write_str("a number"),
            Self::Time => f.write_str("a time in h, m, s, ms, us or ns"),
            Self::Flag => f.write_str("true or false"),
            Self::Text => f.write_str("a text (in quotes, if it has other characters than letters, digits and -_.:/+)"),
            Self::Range => f.write_str("a range of whole numbers below 2^32"),
            Self::Shares => f.write_str("a list of whole numbers below 2^32, each with its name"),
            Self::Strategy => f.write_str("a strategy"),
        }
    }
}

/// Decimal, or hexadecimal after `0x`.
pub fn whole(word: &str) -> Option<u64> {
    let (digits, radix) = word.strip_prefix("0x").map_or((word, 10), |digits| (digits, 16));
    // Rust would take a sign.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// What a parameter is set to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(u64),
    Real(f64),
    Time(Duration),
    Flag(bool),
    Text(String),
    Range(u32, u32),
    Shares(BTreeMap<String, u32>),
    Strategy(Box<StrategySpec>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Real(real) => real.fmt(f),
            Self::Time(time) => time::write(*time, f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => write_text(text, f),
            Self::Range(from, to) => write!(f, "{from}..{to}"),
            Self::Shares(shares) => {
                let mut lead = "{";
                for (name, share) in shares {
                    f.write_str(lead)?;
                    write_text(name, f)?;
                    write!(f, "={share}")?;
                    lead = ", ";
                }
                f.write_str(if shares.is_empty() { "{}" } else { "}" })
            }
            Self::Strategy(strategy) => strategy.fmt(f),
        }
    }
}

/// What may stand in a text without quotes, and in names and numbers.
pub fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_.:/+".contains(c)
}

/// In quotes unless all of it may stand without.
///
/// # Errors
///
/// When the formatter fails.
pub fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !text.is_empty() && text.chars().all(is_plain) {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
