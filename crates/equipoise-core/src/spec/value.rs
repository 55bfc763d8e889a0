use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    scanner::{Scanner, Unexpected, is_plain, whole},
    time::{self, Time},
};

/// The kind and the range of values that a parameter of a textual spec accepts. Its `Display` text describes the
/// accepted values in words, such as `a whole number from 2 to 10`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// The parameter accepts whole numbers, in decimal digits, or in hexadecimal digits after `0x`.
    Number {
        /// The smallest number that is accepted.
        from: u64,
        /// The largest number that is accepted.
        to: u64,
    },
    /// The parameter accepts numbers with or without a decimal point.
    Real {
        /// The smallest number that is accepted. `f64::MIN` means that there is no minimum.
        from: f64,
        /// The largest number that is accepted. `f64::MAX` means that there is no maximum.
        to: f64,
    },
    /// The parameter accepts times: a number and a unit, such as `2.5s`. Units: `h`, `m`, `s`, `ms`, `us` and `ns`.
    Time {
        /// The shortest time that is accepted.
        from: Duration,
        /// The longest time that is accepted. `Duration::MAX` means that there is no maximum. The longest time that can
        /// be written as text is 584 years.
        to: Duration,
    },
    /// The parameter accepts `true` and `false`.
    Bool,
    /// The parameter accepts `true` and `false`. The name alone, without a value, means `name=true`.
    Flag,
    /// The parameter accepts a text. The text must be in quotes if it has characters other than letters, digits and
    /// `-_.:/+`.
    Text,
    /// The parameter accepts one ASCII character. A character other than a letter, a digit or one of `-_.:/+` must be
    /// in quotes.
    Character,
    /// The parameter accepts one of several words. The slice contains the accepted words.
    Choice(&'static [&'static str]),
    /// The parameter accepts one of several words without a time, or one other word with a time in brackets, such as
    /// `wait(5s)`.
    ChoiceOrTimed {
        /// The words that are accepted without a time.
        words: &'static [&'static str],
        /// The word that is accepted only with a time in brackets.
        timed: &'static str,
        /// The shortest time that is accepted in the brackets.
        from: Duration,
        /// The longest time that is accepted in the brackets.
        to: Duration,
    },
    /// The parameter accepts a range of whole numbers below 2^32, such as `1024..65536`. Both ends belong to the range.
    Range,
    /// The parameter accepts a list of texts in curly brackets, such as `{10.0.0.0/8, loopback}`.
    List,
    /// The parameter accepts a list of pairs of a name and a text in curly brackets, such as
    /// `{10.0.0.1:80=A, 10.0.0.2:80=B}`. Each name may occur once.
    TextsByName,
    /// The parameter accepts a list of pairs of a name and a whole number below 2^32 in curly brackets, such as
    /// `{eu-1a=3, eu-1b=2}`. Each name may occur once.
    NumbersByName,
    /// The parameter accepts the spec of a strategy, such as `peak-ewma(decay=5s)`.
    Strategy,
}

impl Kind {
    /// Reads the next value of this kind. Returns `None` if the next text is not of this kind. Strategies are read by
    /// the parser.
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
            Self::Number { from, to: u64::MAX } => write!(f, "a whole number from {from} to 2^64 - 1"),
            Self::Number { from, to } if to == u64::from(u32::MAX) => {
                write!(f, "a whole number from {from} to 2^32 - 1")
            }
            Self::Number { from, to } => write!(f, "a whole number from {from} to {to}"),
            Self::Real { from: f64::MIN, to: f64::MAX } => f.write_str("a number"),
            Self::Real { from, to } => write!(f, "a number from {from} to {to}"),
            Self::Time { from: Duration::ZERO, to: Duration::MAX } => f.write_str("a time in h, m, s, ms, us or ns"),
            Self::Time { from, to } => write!(f, "a time from {} to {} in h, m, s, ms, us or ns", Time(from), Time(to)),
            Self::Bool => f.write_str("true or false"),
            Self::Flag => f.write_str("true or false; its name alone means true"),
            Self::Text => f.write_str("a text (in quotes if it has characters other than letters, digits and -_.:/+)"),
            Self::Character => {
                f.write_str("one ASCII character (in quotes unless it is a letter, a digit or one of -_.:/+)")
            }
            Self::Choice(words) => f.write_str(&either(words.iter().copied())),
            Self::ChoiceOrTimed { words, timed, from, to } => {
                let (words, from, to) = (words.join(", "), Time(from), Time(to));
                write!(f, "{words} or {timed}(…) with a time from {from} to {to}")
            }
            Self::Range => f.write_str("a range of whole numbers below 2^32"),
            Self::List => f.write_str("a list of texts in curly brackets"),
            Self::TextsByName => f.write_str("a list of texts in curly brackets, each with its name"),
            Self::NumbersByName => {
                f.write_str("a list of whole numbers below 2^32 in curly brackets, each with its name")
            }
            Self::Strategy => f.write_str("a strategy"),
        }
    }
}

/// A parsed value of a parameter of a textual spec. Its `Display` text can be parsed to the same value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number: the value of a parameter of kind [`Kind::Number`].
    Number(u64),
    /// A number with or without a decimal point: the value of a parameter of kind [`Kind::Real`].
    Real(f64),
    /// A time: the value of a parameter of kind [`Kind::Time`].
    Time(Duration),
    /// `true` or `false`: the value of a parameter of kind [`Kind::Bool`] or [`Kind::Flag`].
    Bool(bool),
    /// A text, without quotes: the value of a parameter of kind [`Kind::Text`].
    Text(String),
    /// One ASCII character: the value of a parameter of kind [`Kind::Character`].
    Character(char),
    /// One of the words that the parameter accepts: the value of a parameter of kind [`Kind::Choice`], or of kind
    /// [`Kind::ChoiceOrTimed`] if the word has no time.
    Choice(&'static str),
    /// A word with a time, such as `wait(10s)`: a value of a parameter of kind [`Kind::ChoiceOrTimed`].
    Timed(&'static str, Duration),
    /// The first and the last number of a range: the value of a parameter of kind [`Kind::Range`].
    Range(u32, u32),
    /// A list of texts: the value of a parameter of kind [`Kind::List`].
    List(Vec<String>),
    /// Pairs of a name and a text: the value of a parameter of kind [`Kind::TextsByName`].
    TextsByName(BTreeMap<String, String>),
    /// Pairs of a name and a whole number: the value of a parameter of kind [`Kind::NumbersByName`].
    NumbersByName(BTreeMap<String, u32>),
}

impl Value {
    /// Parses `text` as a value of the kind `kind`. Returns `None` if `text` is not a value of this kind. Returns
    /// `None` for [`Kind::Strategy`].
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

/// Writes a text, in quotes if any of its characters needs them.
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

/// Joins words into one text, such as `a, b or c`.
pub fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    match *words.into_iter().collect::<Vec<_>>() {
        [] => String::new(),
        [word] => word.to_owned(),
        [ref rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
