//! Parameters, and their typed descriptors. One constant says how a parameter is listed, parsed and read.
//!
//! ```ignore
//! const DECAY: Param<Duration> = Param::time("decay", "after it, an old latency counts for 1/e").default("10s");
//! ```
//!
//! Defaults of numbers and times are parsed at compile time, so a default that is not a value of the type does not compile.

use std::{collections::BTreeMap, fmt, marker::PhantomData, ops::RangeInclusive, time::Duration};

use super::{Kind, Value, time};

/// One setting of a [`Definition`](super::Definition).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) example: &'static str,
    about: &'static str,
    /// Follows the kind in messages.
    pub(super) note: &'static str,
    /// Whether its values are kept out of messages.
    pub(super) secret: bool,
}

impl Parameter {
    /// The name, such as `decay`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The kind of its values.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What applies if it is not set.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// A value that it can have, as text. It is the default if there is one, except for flags.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// What it means, in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }
}

/// What applies if a parameter is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// The default value, as text.
    Is(&'static str),
    /// A number that is drawn from the entropy of the pool.
    Drawn,
    /// A default that is not a value of the parameter, in words: `the whole path counts`.
    Otherwise(&'static str),
    /// Nothing: a text without the parameter is refused.
    Required,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Is(text) | Self::Otherwise(text) => text,
            Self::Drawn => "random",
            Self::Required => "required",
        })
    }
}

/// A type that parameters are read as.
pub trait Setting: Sized {
    /// A value in a form that constants can hold.
    type Preset: Copy;

    /// The value, if it is of the right kind.
    fn read(value: &Value) -> Option<Self>;

    /// The value that a constant holds.
    fn from_preset(preset: Self::Preset) -> Self;
}

/// A parameter that is read as `T`.
pub struct Param<T: Setting> {
    /// What is listed and parsed.
    pub parameter: Parameter,
    /// The value if the text does not set the parameter. For a required parameter it is the example and is never used, because
    /// a text without the parameter is refused.
    pub(super) preset: T::Preset,
}

impl<T: Setting + PartialEq> Param<T> {
    /// Returns whether the default as text is the default as value. For tests.
    pub fn is_consistent(&self) -> bool {
        let Preset::Is(text) = self.parameter.preset else { return true };
        Value::parse(text, self.parameter.kind).and_then(|value| T::read(&value)) == Some(T::from_preset(self.preset))
    }
}

/// A parameter that lacks its default.
pub struct ParamBuilder<T> {
    parameter: Parameter,
    value: PhantomData<fn() -> T>,
}

impl<T: Setting> ParamBuilder<T> {
    /// A parameter of any kind. [`Param`] has shorter constructors for the usual kinds.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        let parameter = Parameter { name, kind, preset: Preset::Required, example: "", about, note: "", secret: false };
        Self { parameter, value: PhantomData }
    }

    /// Sets a text that follows the kind in messages.
    pub const fn note(mut self, note: &'static str) -> Self {
        self.parameter.note = note;
        self
    }

    /// Keeps values out of messages.
    pub const fn secret(mut self) -> Self {
        self.parameter.secret = true;
        self
    }

    /// A default as text and as value. A test compares them.
    pub const fn preset(self, text: &'static str, preset: T::Preset) -> Param<T> {
        self.finish(Preset::Is(text), text, preset)
    }

    /// No default: without a value, something else holds.
    pub const fn otherwise(self, otherwise: &'static str, example: &'static str) -> Param<Option<T>> {
        Param { parameter: self.described(Preset::Otherwise(otherwise), example), preset: () }
    }

    /// No default: without a value, one is drawn.
    pub const fn drawn(self, example: &'static str) -> Param<Option<T>> {
        Param { parameter: self.described(Preset::Drawn, example), preset: () }
    }

    const fn finish(self, preset: Preset, example: &'static str, value: T::Preset) -> Param<T> {
        Param { parameter: self.described(preset, example), preset: value }
    }

    const fn described(self, preset: Preset, example: &'static str) -> Parameter {
        Parameter { preset, example, ..self.parameter }
    }
}

impl<T: Number> Param<T> {
    /// A whole number, at most the largest of its type, and below 2^32 for `usize`.
    pub const fn number(name: &'static str, about: &'static str) -> ParamBuilder<T> {
        ParamBuilder::new(name, Kind::Number { from: 0, to: T::MAX }, about)
    }
}

impl<T: Number> ParamBuilder<T> {
    /// The smallest value that is accepted.
    pub const fn at_least(self, from: u64) -> Self {
        self.range(from, T::MAX)
    }

    /// The smallest and the largest value that are accepted.
    ///
    /// # Panics
    ///
    /// At compile time, if the type does not have these numbers.
    pub const fn range(mut self, from: u64, to: u64) -> Self {
        assert!(from <= to && to <= T::MAX, "a range of the type");
        self.parameter.kind = Kind::Number { from, to };
        self
    }

    /// The value that holds if the text does not set the parameter.
    pub const fn default(self, text: &'static str) -> Param<T> {
        self.finish(Preset::Is(text), text, whole(text))
    }

    /// No default: a text without the parameter is refused.
    pub const fn required(self, example: &'static str) -> Param<T> {
        self.finish(Preset::Required, example, whole(example))
    }
}

impl Param<f64> {
    /// A number with or without a decimal point.
    pub const fn real(name: &'static str, about: &'static str) -> ParamBuilder<f64> {
        ParamBuilder::new(name, Kind::Real { from: f64::MIN, to: f64::MAX }, about)
    }
}

impl ParamBuilder<f64> {
    /// The smallest and the largest value that are accepted.
    pub const fn range(mut self, from: f64, to: f64) -> Self {
        self.parameter.kind = Kind::Real { from, to };
        self
    }

    /// The value that holds if the text does not set the parameter.
    pub const fn default(self, text: &'static str) -> Param<f64> {
        self.finish(Preset::Is(text), text, decimal(text))
    }
}

impl Param<Duration> {
    /// A time with a unit.
    pub const fn time(name: &'static str, about: &'static str) -> ParamBuilder<Duration> {
        ParamBuilder::new(name, Kind::Time { from: Duration::ZERO, to: Duration::MAX }, about)
    }
}

impl ParamBuilder<Duration> {
    /// The smallest and the largest value that are accepted.
    pub const fn range(mut self, from: Duration, to: Duration) -> Self {
        self.parameter.kind = Kind::Time { from, to };
        self
    }

    /// The value that holds if the text does not set the parameter.
    ///
    /// # Panics
    ///
    /// At compile time, if the text is no time.
    pub const fn default(self, text: &'static str) -> Param<Duration> {
        match time::read(text) {
            Some(time) => self.finish(Preset::Is(text), text, time),
            None => panic!("no time"),
        }
    }
}

impl Param<bool> {
    /// A boolean that is written `name=true` or `name=false`, `false` by default.
    pub const fn bool(name: &'static str, about: &'static str) -> Self {
        ParamBuilder::new(name, Kind::Bool, about).preset("false", false)
    }

    /// A boolean for which `name` is enough, `false` by default.
    pub const fn flag(name: &'static str, about: &'static str) -> Self {
        ParamBuilder::new(name, Kind::Flag, about).finish(Preset::Is("false"), "true", false)
    }
}

impl Param<String> {
    /// A text, in quotes if necessary.
    pub const fn text(name: &'static str, about: &'static str) -> ParamBuilder<String> {
        ParamBuilder::new(name, Kind::Text, about)
    }
}

impl ParamBuilder<String> {
    /// The value that holds if the text does not set the parameter.
    pub const fn default(self, text: &'static str) -> Param<String> {
        self.finish(Preset::Is(text), text, text)
    }

    /// No default: a text without the parameter is refused.
    pub const fn required(self, example: &'static str) -> Param<String> {
        self.finish(Preset::Required, example, example)
    }
}

impl Param<Vec<String>> {
    /// Texts, none by default.
    pub const fn list(name: &'static str, about: &'static str) -> Self {
        ParamBuilder::new(name, Kind::List, about).preset("{}", ())
    }
}

impl Param<Nested> {
    /// A strategy; the default is what the reader takes for [`Settings::nested`](super::Settings::nested) without a
    /// value.
    pub const fn strategy(name: &'static str, about: &'static str, default: &'static str) -> Self {
        ParamBuilder::new(name, Kind::Strategy, about).preset(default, ())
    }
}

/// A parameter that is read by [`Settings::nested`](super::Settings::nested).
pub struct Nested;

impl Setting for Nested {
    type Preset = ();

    fn read(_: &Value) -> Option<Self> {
        None
    }

    fn from_preset((): ()) -> Self {
        Self
    }
}

/// A parameter without a default.
impl<T: Setting> Setting for Option<T> {
    type Preset = ();

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn from_preset((): ()) -> Self {
        None
    }
}

/// A type for whole numbers.
pub trait Number: Setting<Preset = u64> {
    /// The largest number.
    const MAX: u64;
}

macro_rules! settings {
    ($($type:ty, $preset:ty: $pattern:pat => $value:expr, $from:expr;)*) => {
        $(impl Setting for $type {
            type Preset = $preset;

            fn read(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $value,
                    _ => None,
                }
            }

            fn from_preset(preset: $preset) -> Self {
                let from: fn($preset) -> Self = $from;
                from(preset)
            }
        })*
    };
}

macro_rules! numbers {
    ($($type:ty: $max:expr;)*) => {
        settings! {
            // Presets are not larger than the type's largest number: `range` and `whole` see to it.
            $($type, u64: Value::Number(number) => (*number).try_into().ok(), |preset| preset.try_into().unwrap_or(<$type>::MAX);)*
        }
        $(impl Number for $type {
            const MAX: u64 = $max;
        })*
    };
}

numbers! {
    u8: u8::MAX as u64;
    u32: u32::MAX as u64;
    // The same texts on all platforms.
    usize: u32::MAX as u64;
    u64: u64::MAX;
}

settings! {
    f64, f64: Value::Real(real) => Some(*real), |preset| preset;
    bool, bool: Value::Bool(flag) => Some(*flag), |preset| preset;
    char, char: Value::Character(character) => Some(*character), |preset| preset;
    Duration, Duration: Value::Time(time) => Some(*time), |preset| preset;
    String, &'static str: Value::Text(text) => Some(text.clone()), str::to_owned;
    Vec<String>, (): Value::List(texts) => Some(texts.clone()), |()| Vec::new();
    RangeInclusive<u32>, (u32, u32): Value::Range(from, to) => Some(*from..=*to), |(from, to)| from..=to;
    BTreeMap<String, String>, (): Value::TextsByName(texts) => Some(texts.clone()), |()| BTreeMap::new();
    BTreeMap<String, u32>, (): Value::NumbersByName(numbers) => Some(numbers.clone()), |()| BTreeMap::new();
}

/// Digits as a number, in constants.
const fn whole(text: &str) -> u64 {
    match u64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("no whole number"),
    }
}

/// Digits, with a decimal point or without, as a number, in constants. The quotient is the nearest number, since both of
/// its sides are exact.
const fn decimal(text: &str) -> f64 {
    let (mut at, mut digits, mut scale, mut fraction) = (0, 0u64, 1u64, false);
    while at < text.len() {
        match text.as_bytes()[at] {
            b'.' if !fraction => fraction = true,
            digit @ b'0'..=b'9' => {
                digits = digits * 10 + (digit - b'0') as u64;
                if fraction {
                    scale *= 10;
                }
            }
            _ => panic!("no number"),
        }
        at += 1;
    }
    assert!(digits < 1 << 53 && scale < 1 << 53, "too many digits");
    digits as f64 / scale as f64
}
