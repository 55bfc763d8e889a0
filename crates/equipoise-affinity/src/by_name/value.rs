use std::{collections::BTreeMap, fmt, time::Duration};

use equipoise_core::strategy::by_name::{time, whole, write_text};

use crate::Fallback;

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
    /// Any number within limits.
    Real {
        /// The smallest.
        from: u16,
        /// The largest.
        to: u16,
    },
    /// A time within limits.
    Time {
        /// The shortest.
        from: Duration,
        /// The longest.
        to: Duration,
    },
    /// Yes or no: `name` is as good as `name=true`.
    Flag,
    /// A text.
    Text,
    /// One character of ASCII.
    Character,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Texts.
    List,
    /// Texts by name.
    Names,
    /// What happens to requests that cannot go where they belong: a [`Fallback`].
    Fallback,
}

/// How long requests may wait.
pub(super) const WAITS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3600));

impl Kind {
    /// A value that is a single word.
    pub(super) fn read(self, word: &str) -> Option<Value> {
        Some(match self {
            Self::Number { from, to } => Value::Number(whole(word).filter(|number| (from..=to).contains(number))?),
            Self::Real { from, to } => {
                // Not everything that Rust reads as a number looks like one: "inf", "nan".
                let plain = word.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
                let limits = f32::from(from)..=f32::from(to);
                Value::Real(word.parse().ok().filter(|real| plain && limits.contains(real))?)
            }
            Self::Time { from, to } => Value::Time(time::read(word).filter(|time| (from..=to).contains(time))?),
            Self::Flag => Value::Flag(word.parse().ok()?),
            Self::Choice(words) => Value::Choice(words.iter().find(|known| **known == word)?),
            // Of more than a word.
            Self::Text | Self::Character | Self::List | Self::Names | Self::Fallback => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number { from, to } => write!(f, "a whole number from {from} to {to}"),
            Self::Real { from, to } => write!(f, "a number from {from} to {to}"),
            Self::Time { from, to } => write!(f, "a time from {} to {} in h, m, s, ms, us or ns", Time(from), Time(to)),
            Self::Flag => f.write_str("there or not, or true or false"),
            Self::Text => f.write_str("a text (in quotes, if it has other characters than letters, digits and -_.:/+)"),
            Self::Character => {
                f.write_str("one character of ASCII (in quotes, if it is none of letters, digits and -_.:/+)")
            }
            Self::Choice(words) => f.write_str(&either(words.iter().copied())),
            Self::List => f.write_str("a list of texts in curly brackets"),
            Self::Names => f.write_str("a list of texts in curly brackets, each with its name"),
            Self::Fallback => {
                let (from, to) = WAITS;
                write!(f, "rebind, refuse or wait(…) with a time from {} to {}", Time(from), Time(to))
            }
        }
    }
}

/// `a, b or c`.
pub(super) fn either<'a>(words: impl DoubleEndedIterator<Item = &'a str>) -> String {
    let mut words = words.rev();
    let last = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.rev().collect();
    if rest.is_empty() { last.to_owned() } else { format!("{} or {last}", rest.join(", ")) }
}

/// What a parameter is set to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(u64),
    Real(f32),
    Time(Duration),
    Flag(bool),
    Text(String),
    Character(u8),
    Choice(&'static str),
    List(Vec<String>),
    Names(BTreeMap<String, String>),
    Fallback(Fallback),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Real(real) => real.fmt(f),
            Self::Time(time) => time::write(*time, f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => write_text(text, f),
            Self::Character(byte) => write_text(char::from(*byte).encode_utf8(&mut [0; 4]), f),
            Self::Choice(word) => f.write_str(word),
            Self::List(texts) => braced(texts, f, |text, f| write_text(text, f)),
            Self::Names(names) => braced(names, f, |(name, text), f| {
                write_text(name, f)?;
                f.write_str("=")?;
                write_text(text, f)
            }),
            Self::Fallback(Fallback::Rebind) => f.write_str("rebind"),
            Self::Fallback(Fallback::Refuse) => f.write_str("refuse"),
            Self::Fallback(Fallback::Wait(longest)) => write!(f, "wait({})", Time(*longest)),
        }
    }
}

fn braced<T>(
    items: impl IntoIterator<Item = T>,
    f: &mut fmt::Formatter<'_>,
    write: impl Fn(T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_str("{")?;
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write(item, f)?;
    }
    f.write_str("}")
}

struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        time::write(self.0, f)
    }
}
