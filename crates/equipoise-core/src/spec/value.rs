use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    scanner::{Scanner, Unexpected, is_plain, whole},
    time::{self, Time},
};

/// Which values a parameter takes. Its `Display` describes them in words, such as `a whole number from 2 to 10`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// A whole number, decimal or hexadecimal after `0x`.
    Number {
        /// The smallest number.
        from: u64,
        /// The largest number.
        to: u64,
    },
    /// A number with or without a decimal point.
    Real {
        /// The smallest number; `f64::MIN` if there is no limit.
        from: f64,
        /// The largest number; `f64::MAX` if there is no limit.
        to: f64,
    },
    /// A number with a unit: `h`, `m`, `s`, `ms`, `us` or `ns`.
    Time {
        /// The shortest time.
        from: Duration,
        /// The longest time; `Duration::MAX` if there is no limit but the 584 years that can be written.
        to: Duration,
    },
    /// `true` or `false`.
    Bool,
    /// `true` or `false`; `name` alone means `name=true`.
    Flag,
    /// A text, in quotes if necessary.
    Text,
    /// One ASCII character, in quotes if necessary.
    Character,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of several words, or another word with a time in brackets, such as `wait(5s)`.
    ChoiceOrTimed {
        /// The words that stand alone.
        words: &'static [&'static str],
        /// The word that has a time in brackets.
        timed: &'static str,
        /// The shortest time.
        from: Duration,
        /// The longest time.
        to: Duration,
    },
    /// A range of whole numbers below 2^32, both ends included.
    Range,
    /// Texts in curly brackets.
    List,
    /// Texts in curly brackets, each with a name of its own.
    TextsByName,
    /// Whole numbers below 2^32 in curly brackets, each with a name of its own.
    NumbersByName,
    /// A strategy, with parameters of its own.
    Strategy,
}

impl Kind {
    /// The value that comes next; `None` if what comes next is not of this kind. Strategies are read by the parser.
    pub(super) fn read(self, scanner: &mut Scanner<'_>) -> Result<Option<Value>, Unexpected> {
        Ok(match self {
            Self::Text => scanner.text()?.map(Value::Text),
            Self::Character => match scanner.text()?.as_deref().map(str::as_bytes) {
                Some([byte]) => Some(Value::Character(char::from(*byte))),
                _ => None,
            },
            Self::ChoiceOrTimed { words, timed, from, to } => {
                let word = scanner.word();
                if word == timed {
                    if !scanner.takes('(') {
                        return Err(scanner.expected("\"(\" and a time"));
                    }
                    scanner.space();
                    let time = time::read(scanner.word());
                    if !scanner.takes(')') {
                        return Err(scanner.expected("a time and \")\""));
                    }
                    time.filter(|time| (from..=to).contains(time)).map(|time| Value::Timed(timed, time))
                } else {
                    one_of(words, word).map(Value::Choice)
                }
            }
            Self::List => scanner.list()?.map(Value::List),
            Self::TextsByName => scanner.texts_by_name()?.map(Value::TextsByName),
            Self::NumbersByName => scanner.numbers_by_name()?.map(Value::NumbersByName),
            Self::Strategy => None,
            Self::Number { .. } | Self::Real { .. } | Self::Time { .. } => self.read_word(scanner.word()),
            Self::Bool | Self::Flag | Self::Choice(_) | Self::Range => self.read_word(scanner.word()),
        })
    }

    fn read_word(self, word: &str) -> Option<Value> {
        Some(match self {
            Self::Number { from, to } => Value::Number(whole(word).filter(|number| (from..=to).contains(number))?),
            Self::Real { from, to } => {
                // Not everything that Rust reads as a number looks like one: "inf", "nan".
                let plain = word.bytes().all(|byte| byte.is_ascii_digit() || b".-+eE".contains(&byte));
                Value::Real(word.parse().ok().filter(|real| plain && (from..=to).contains(real))?)
            }
            Self::Time { from, to } => Value::Time(time::read(word).filter(|time| (from..=to).contains(time))?),
            Self::Bool | Self::Flag => Value::Bool(word.parse().ok()?),
            Self::Choice(words) => Value::Choice(one_of(words, word)?),
            Self::Range => {
                let (from, to) = word.split_once("..")?;
                Value::Range(whole(from)?.try_into().ok()?, whole(to)?.try_into().ok()?)
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number { from, to: u64::MAX } => write!(f, "a whole number from {from} on, below 2^64"),
            Self::Number { from, to } if to == u64::from(u32::MAX) => {
                write!(f, "a whole number from {from} on, below 2^32")
            }
            Self::Number { from, to } => write!(f, "a whole number from {from} to {to}"),
            Self::Real { from: f64::MIN, to: f64::MAX } => f.write_str("a number"),
            Self::Real { from, to } => write!(f, "a number from {from} to {to}"),
            Self::Time { from: Duration::ZERO, to: Duration::MAX } => f.write_str("a time in h, m, s, ms, us or ns"),
            Self::Time { from, to } => write!(f, "a time from {} to {} in h, m, s, ms, us or ns", Time(from), Time(to)),
            Self::Bool => f.write_str("true or false"),
            Self::Flag => f.write_str("there or not, or true or false"),
            Self::Text => f.write_str("a text (in quotes, if it has other characters than letters, digits and -_.:/+)"),
            Self::Character => {
                f.write_str("one character of ASCII (in quotes, if it is none of letters, digits and -_.:/+)")
            }
            Self::Choice(words) => f.write_str(&either(words.iter().copied())),
            Self::ChoiceOrTimed { words, timed, from, to } => {
                let (words, from, to) = (words.join(", "), Time(from), Time(to));
                write!(f, "{words} or {timed}(…) with a time from {from} to {to}")
            }
            Self::Range => f.write_str("a range of whole numbers below 2^32"),
            Self::List => f.write_str("a list of texts in curly brackets"),
            Self::TextsByName => f.write_str("a list of texts in curly brackets, each with its name"),
            Self::NumbersByName => f.write_str("a list of whole numbers below 2^32, each with its name"),
            Self::Strategy => f.write_str("a strategy"),
        }
    }
}

/// The value of a parameter, as the text sets it. Its `Display` is the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Number`].
    Number(u64),
    /// Of [`Kind::Real`].
    Real(f64),
    /// Of [`Kind::Time`].
    Time(Duration),
    /// Of [`Kind::Bool`] and [`Kind::Flag`].
    Bool(bool),
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Character`].
    Character(char),
    /// Of [`Kind::Choice`], and a word that stands alone of [`Kind::ChoiceOrTimed`].
    Choice(&'static str),
    /// The word of [`Kind::ChoiceOrTimed`] that has a time.
    Timed(&'static str, Duration),
    /// Of [`Kind::Range`], both ends included.
    Range(u32, u32),
    /// Of [`Kind::List`].
    List(Vec<String>),
    /// Of [`Kind::TextsByName`].
    TextsByName(BTreeMap<String, String>),
    /// Of [`Kind::NumbersByName`].
    NumbersByName(BTreeMap<String, u32>),
}

impl Value {
    /// The value that a text is; `None` if it is not of this kind.
    pub fn parse(text: &str, kind: Kind) -> Option<Self> {
        kind.read(&mut Scanner::new(text)).ok().flatten()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Real(real) => real.fmt(f),
            Self::Time(time) => time::write(*time, f),
            Self::Bool(flag) => flag.fmt(f),
            Self::Text(text) => write_text(text, f),
            Self::Character(character) => write_text(character.encode_utf8(&mut [0; 4]), f),
            Self::Choice(word) => f.write_str(word),
            Self::Timed(word, time) => write!(f, "{word}({})", Time(*time)),
            Self::Range(from, to) => write!(f, "{from}..{to}"),
            Self::List(texts) => write_braced(texts, f, |text, f| write_text(text, f)),
            Self::TextsByName(texts) => write_braced(texts, f, |(name, text), f| {
                write_text(name, f)?;
                f.write_str("=")?;
                write_text(text, f)
            }),
            Self::NumbersByName(numbers) => write_braced(numbers, f, |(name, number), f| {
                write_text(name, f)?;
                write!(f, "={number}")
            }),
        }
    }
}

fn write_braced<T>(
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

/// Writes a text, in quotes unless all of it may stand without.
fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

fn one_of(words: &'static [&'static str], word: &str) -> Option<&'static str> {
    words.iter().copied().find(|known| *known == word)
}

/// The words as a text: `a, b or c`.
pub fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    match *words.into_iter().collect::<Vec<_>>() {
        [] => String::new(),
        [word] => word.to_owned(),
        [ref rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
