//! Typed parameters of textual specs. A constant describes a parameter. The same constant is used to list the
//! parameter, to parse its value and to read its value.
//!
//! ```ignore
//! const DECAY: Param<Duration> = Param::time("decay", "the time after which an old latency weighs 1/e").default("10s");
//! ```
//!
//! Defaults of numbers and times are parsed at compile time. A default that is not a value of the type is a compile
//! error.

use std::{collections::BTreeMap, fmt, marker::PhantomData, ops::RangeInclusive, time::Duration};

use super::{Kind, Value, time};

/// One parameter that a textual spec can set, such as `decay` in `peak-ewma(decay=5s)`. It belongs to a
/// [`Definition`](super::Definition).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) example: &'static str,
    about: &'static str,
    /// A text that follows the description of the kind in error messages.
    pub(super) note: &'static str,
    /// Whether error messages omit the values of the parameter.
    pub(super) secret: bool,
}

impl Parameter {
    /// Returns the name of the parameter, such as `decay`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the kind of values that the parameter accepts.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what applies if a spec does not set the parameter: a default value, a random number, a rule in words, or
    /// an error.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// Returns an example of a value, as text. If the parameter has a default, the example is the default. Exception:
    /// the example of a flag is `true`.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// Returns a description of the parameter in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }
}

/// The default of a parameter: what applies if a spec does not set the parameter. Returned by [`Parameter::preset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// If a spec does not set the parameter, this default value applies. The string contains the value as text, such as
    /// `10s`.
    Is(&'static str),
    /// If a spec does not set the parameter, its value is a random number from the pool's source of random numbers.
    Drawn,
    /// The parameter has no default value. If a spec does not set the parameter, a rule applies. The string describes
    /// this rule in words, such as `the whole path counts`.
    Otherwise(&'static str),
    /// The parameter has no default. A spec must set it, otherwise parsing fails.
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

/// A type that the value of a parameter can have, such as `u32` or `Duration`.
pub trait Setting: Sized {
    /// The type of the default in a constant [`Param`]. For a parameter of type `String`, this is `&'static str`.
    type Preset: Copy;

    /// Converts a parsed value into this type. Returns `None` if the value is of a kind that this type cannot
    /// represent, such as a text for a `u32`.
    fn read(value: &Value) -> Option<Self>;

    /// Converts the default of a parameter into this type. `preset` is the default as a constant [`Param`] stores it.
    fn from_preset(preset: Self::Preset) -> Self;
}

/// A parameter of a textual spec. `T` is the type of the parameter's value, such as `Duration`.
pub struct Param<T: Setting> {
    /// The description of the parameter for listing and parsing: name, kind of values, default and explanation.
    pub parameter: Parameter,
    /// The default: the value if the text does not set the parameter. A required parameter has its example here. The
    /// example is never used, because a text without the parameter is refused.
    pub(super) preset: T::Preset,
}

impl<T: Setting + PartialEq> Param<T> {
    /// Returns whether the default is stored correctly. A parameter stores its default twice: as text and as a value.
    /// Parsing the text must give the value. Returns `true` if the parameter has no default value. Tests use this
    /// method.
    pub fn is_consistent(&self) -> bool {
        let Preset::Is(text) = self.parameter.preset else { return true };
        Value::parse(text, self.parameter.kind).and_then(|value| T::read(&value)) == Some(T::from_preset(self.preset))
    }
}

/// The definition of a parameter of a textual spec, still without its default. A method such as
/// [`preset`](Self::preset) adds the default and returns the complete [`Param`].
pub struct ParamBuilder<T> {
    parameter: Parameter,
    value: PhantomData<fn() -> T>,
}

impl<T: Setting> ParamBuilder<T> {
    /// Starts the definition of a parameter `name` with values of the kind `kind`. `about` explains the parameter in
    /// one line. [`Param`] has shorter constructors for the usual kinds.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        let parameter = Parameter { name, kind, preset: Preset::Required, example: "", about, note: "", secret: false };
        Self { parameter, value: PhantomData }
    }

    /// Sets a note about the accepted values. Error messages show the note after the description of the kind of values.
    /// Default: empty.
    pub const fn note(mut self, note: &'static str) -> Self {
        self.parameter.note = note;
        self
    }

    /// Marks the parameter's values as secret: error messages show `…` instead of a value.
    pub const fn secret(mut self) -> Self {
        self.parameter.secret = true;
        self
    }

    /// Completes the definition of the parameter with a default. `text` is the default as text, and `preset` is the
    /// same default as a value. A test checks that both are the same.
    pub const fn preset(self, text: &'static str, preset: T::Preset) -> Param<T> {
        self.finish(Preset::Is(text), text, preset)
    }

    /// Completes the definition of the parameter. The parameter has no default value: if a text does not set it, its
    /// value is `None`. `otherwise` describes in words what applies in this case. `example` is a valid value.
    pub const fn otherwise(self, otherwise: &'static str, example: &'static str) -> Param<Option<T>> {
        Param { parameter: self.described(Preset::Otherwise(otherwise), example), preset: () }
    }

    /// Completes the definition of the parameter. The parameter has no default value: if a text does not set it, its
    /// value is `None`, and a random number is used. `example` is a valid value.
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
    /// Starts the definition of a parameter `name` whose value is a whole number from 0 to `T::MAX`. `about` explains
    /// it in one line.
    pub const fn number(name: &'static str, about: &'static str) -> ParamBuilder<T> {
        ParamBuilder::new(name, Kind::Number { from: 0, to: T::MAX }, about)
    }
}

impl<T: Number> ParamBuilder<T> {
    /// Sets the smallest number that the parameter accepts. Default: 0. Also sets the largest number to `T::MAX`.
    ///
    /// # Panics
    ///
    /// Panics at compile time if `from` is above `T::MAX`.
    pub const fn at_least(self, from: u64) -> Self {
        self.range(from, T::MAX)
    }

    /// Sets the smallest and the largest number that the parameter accepts. Default: 0 and `T::MAX`.
    ///
    /// # Panics
    ///
    /// Panics at compile time if `from` is above `to`, or if `to` is above `T::MAX`.
    pub const fn range(mut self, from: u64, to: u64) -> Self {
        assert!(from <= to && to <= T::MAX, "a range of the type");
        self.parameter.kind = Kind::Number { from, to };
        self
    }

    /// Completes the definition of the parameter. Its default is the number that `text` contains in decimal digits.
    ///
    /// # Panics
    ///
    /// Panics at compile time if `text` is not a whole number.
    pub const fn default(self, text: &'static str) -> Param<T> {
        self.finish(Preset::Is(text), text, whole(text))
    }

    /// Completes the definition of the parameter. The parameter is required: a text that does not set it is refused.
    /// `example` is a valid number.
    ///
    /// # Panics
    ///
    /// Panics at compile time if `example` is not a whole number.
    pub const fn required(self, example: &'static str) -> Param<T> {
        self.finish(Preset::Required, example, whole(example))
    }
}

impl Param<f64> {
    /// Starts the definition of a parameter `name` whose value is a number, with or without a decimal point. `about`
    /// explains it in one line.
    pub const fn real(name: &'static str, about: &'static str) -> ParamBuilder<f64> {
        ParamBuilder::new(name, Kind::Real { from: f64::MIN, to: f64::MAX }, about)
    }
}

impl ParamBuilder<f64> {
    /// Sets the smallest and the largest number that the parameter accepts. Default: all numbers are accepted.
    pub const fn range(mut self, from: f64, to: f64) -> Self {
        self.parameter.kind = Kind::Real { from, to };
        self
    }

    /// Completes the definition of the parameter. Its default is the number that `text` contains in decimal digits,
    /// with or without a decimal point.
    ///
    /// # Panics
    ///
    /// Panics at compile time if `text` is not such a number, or has too many digits for an exact conversion.
    pub const fn default(self, text: &'static str) -> Param<f64> {
        self.finish(Preset::Is(text), text, decimal(text))
    }
}

impl Param<Duration> {
    /// Starts the definition of a parameter `name` whose value is a time with a unit, such as `10s`. `about` explains
    /// it in one line.
    pub const fn time(name: &'static str, about: &'static str) -> ParamBuilder<Duration> {
        ParamBuilder::new(name, Kind::Time { from: Duration::ZERO, to: Duration::MAX }, about)
    }
}

impl ParamBuilder<Duration> {
    /// Sets the shortest and the longest time that the parameter accepts. Default: all times are accepted.
    pub const fn range(mut self, from: Duration, to: Duration) -> Self {
        self.parameter.kind = Kind::Time { from, to };
        self
    }

    /// Completes the definition of the parameter. Its default is the time that `text` contains, such as `10s`.
    ///
    /// # Panics
    ///
    /// Panics at compile time if `text` is not a time.
    pub const fn default(self, text: &'static str) -> Param<Duration> {
        match time::read(text) {
            Some(time) => self.finish(Preset::Is(text), text, time),
            None => panic!("no time"),
        }
    }
}

impl Param<bool> {
    /// Creates a parameter `name` whose value is a boolean, written as `name=true` or `name=false`. The default of the
    /// parameter is `false`.
    pub const fn bool(name: &'static str, about: &'static str) -> Self {
        ParamBuilder::new(name, Kind::Bool, about).preset("false", false)
    }

    /// Creates a parameter `name` whose value is a boolean. The name alone means `name=true`. The default of the
    /// parameter is `false`.
    pub const fn flag(name: &'static str, about: &'static str) -> Self {
        ParamBuilder::new(name, Kind::Flag, about).finish(Preset::Is("false"), "true", false)
    }
}

impl Param<String> {
    /// Starts the definition of a parameter `name` whose value is a text. `about` explains it in one line.
    pub const fn text(name: &'static str, about: &'static str) -> ParamBuilder<String> {
        ParamBuilder::new(name, Kind::Text, about)
    }
}

impl ParamBuilder<String> {
    /// Completes the definition of the parameter. Its default is `text`.
    pub const fn default(self, text: &'static str) -> Param<String> {
        self.finish(Preset::Is(text), text, text)
    }

    /// Completes the definition of the parameter. The parameter is required: a spec that does not set it is refused.
    /// `example` is a valid text.
    pub const fn required(self, example: &'static str) -> Param<String> {
        self.finish(Preset::Required, example, example)
    }
}

impl Param<Vec<String>> {
    /// Creates a parameter `name` whose value is a list of texts. The default of the parameter is an empty list.
    pub const fn list(name: &'static str, about: &'static str) -> Self {
        ParamBuilder::new(name, Kind::List, about).preset("{}", ())
    }
}

impl Param<Nested> {
    /// Creates a parameter `name` whose value is a strategy. `default` describes in words which strategy is used by
    /// default. Only listings show `default`. If a text does not set the parameter,
    /// [`Settings::nested`](super::Settings::nested) returns `None`, and the caller must use the described strategy.
    pub const fn strategy(name: &'static str, about: &'static str, default: &'static str) -> Self {
        ParamBuilder::new(name, Kind::Strategy, about).preset(default, ())
    }
}

/// The `T` of a [`Param<T>`](Param) for a parameter that has a strategy as its value.
/// [`Settings::nested`](super::Settings::nested) reads the value.
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

/// The value of a parameter without a default: `None` if the text does not set the parameter.
impl<T: Setting> Setting for Option<T> {
    type Preset = ();

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn from_preset((): ()) -> Self {
        None
    }
}

/// A type of whole numbers that a parameter can have as its value, such as `u32`.
pub trait Number: Setting<Preset = u64> {
    /// The largest number that a parameter of this type accepts. For `usize` this is 2^32 - 1, so that the same texts
    /// are valid on all platforms.
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
            // No default is above the type's largest number: `range` and `whole` ensure this.
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
    // The same texts are valid on all platforms.
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

/// Parses decimal digits as a whole number, at compile time.
const fn whole(text: &str) -> u64 {
    match u64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("no whole number"),
    }
}

/// Parses decimal digits, with or without a decimal point, as a number, at compile time. The result is the nearest
/// `f64`, because the division has two exact operands.
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
