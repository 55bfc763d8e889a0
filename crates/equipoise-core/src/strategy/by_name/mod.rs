//! Strategies by name: for configuration files, command lines and tools.
//!
//! A [`StrategySpec`] is a strategy as text. It reads as the builders do: a name, and in brackets what is wrapped and
//! what differs from the defaults.
//!
//! ```text
//! p2c
//! p2c(choices=3)
//! peak-ewma(decay=10s, fade=2.5s, penalty=5s)
//! maglev(table=65537, seed=7, fallback=round-robin)
//! bounded-load(ring(points=160), factor=1.5)
//! slow-start(zone-aware(p2c, zone=eu-1a), window=1m)
//! ```
//!
//! # Grammar
//!
//! ```text
//! strategy  = name [ "(" [ argument { "," argument } ] ")" ]
//! argument  = strategy            what a combinator wraps: exactly one, anywhere in the brackets
//!           | name "=" value      a parameter, at most once each, in any order
//! ```
//!
//! | a value is | as in |
//! | --- | --- |
//! | a whole number | `3`, `65537`, `0x5eed` |
//! | a number | `1.25`, `2` |
//! | a time | `10s`, `2.5s`, `250ms`, `1m`, `1h`, `10us`, `1ns` |
//! | yes or no | `true`, `false` |
//! | a range, both ends included | `1024..65536` |
//! | a text | `eu-1a`, or with anything but letters, digits and `-_.:/+` in it, `"in \"quotes\""` |
//! | numbers by name | `{eu-1a=3, eu-1b=2}` |
//! | a strategy | `peak-ewma(decay=5s)` |
//!
//! White space between these parts does not matter. Strategies nest up to [`DEEPEST`] deep. Names are written in lower
//! case.
//!
//! [`all`] lists every strategy with its parameters, their defaults and what they mean. Who only wants the types'
//! defaults needs none of this: every strategy is a type of its own.

mod definition;
mod error;
mod nearest;
mod parser;
#[cfg(feature = "serde")]
mod serde;
mod settings;
mod table;
// How times and texts are written is shared with other specs by name (`equipoise-affinity`).
#[doc(hidden)]
pub mod time;
mod value;

use std::{fmt, str::FromStr};

#[doc(hidden)]
pub use self::nearest::suggestion;
#[doc(hidden)]
pub use self::value::{is_plain, whole, write_text};
pub use self::{
    definition::{Definition, Parameter, Preset},
    error::{InvalidStrategy, Position, Refusal},
    parser::DEEPEST,
    value::Kind,
};
use self::{settings::Settings, value::Value};
use super::AnyStrategy;

/// A strategy and its settings, as text and as a value: for choosing one at run time.
///
/// What is written out is read back as an equal value. Parameters that are set to their defaults are as good as not
/// set: they do not show. The [module](self) tells the grammar.
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, StrategySpec};
///
/// let spec: StrategySpec = "bounded-load(maglev(table=4099, seed=0), factor=1.5)".parse()?;
/// assert_eq!(spec.to_string(), "bounded-load(maglev(table=4099), factor=1.5)");
///
/// let pool = Pool::new(spec.build());
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let lease = pool.pick(&PickRequest::new().key(b"user-42"))?;
/// # drop(lease);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is wrong is refused, with what would be right:
///
/// ```
/// use equipoise_core::{InvalidStrategy, StrategySpec};
///
/// let error = "p2c(choices=11)".parse::<StrategySpec>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"p2c cannot have choices="11" (at 13): choices is a whole number from 2 to 10, such as 2"#
/// );
/// ```
///
/// A name that is not known is answered with the one that was probably meant:
///
/// ```
/// use equipoise_core::StrategySpec;
///
/// let error = "peek-ewma".parse::<StrategySpec>().unwrap_err();
/// assert!(error.to_string().starts_with(r#"there is no strategy "peek-ewma" (at 1): did you mean peak-ewma? there are"#));
/// ```
///
/// With the feature `serde` it is serialized as its text.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategySpec {
    definition: &'static Definition,
    /// What a combinator wraps.
    inner: Option<Box<StrategySpec>>,
    /// As many as the definition has parameters; `None` where the preset holds, so that equal settings are equal values.
    values: Vec<Option<Value>>,
}

/// Numbers are finite wherever they are read.
impl Eq for StrategySpec {}

impl StrategySpec {
    /// The strategy's name, without its settings.
    pub fn name(&self) -> &'static str {
        self.definition.name()
    }

    /// What [`all`] says of the strategy.
    pub fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// The strategy that a combinator wraps.
    pub fn inner(&self) -> Option<&Self> {
        self.inner.as_deref()
    }

    /// The strategy. Each call makes a new one, that shares nothing with the last: one for each pool.
    pub fn build(&self) -> AnyStrategy {
        match (self.definition.make)(&Settings::of(self)) {
            Ok(strategy) => strategy.written_as(self),
            Err(refusal) => unreachable!("{self} has been made before, when it was parsed: {refusal}"),
        }
    }
}

impl FromStr for StrategySpec {
    type Err = InvalidStrategy;

    fn from_str(text: &str) -> Result<Self, InvalidStrategy> {
        parser::parse(text)
    }
}

impl TryFrom<&str> for StrategySpec {
    type Error = InvalidStrategy;

    fn try_from(text: &str) -> Result<Self, InvalidStrategy> {
        text.parse()
    }
}

/// The text that is parsed to an equal value.
impl fmt::Display for StrategySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut lead = "(";
        if let Some(inner) = &self.inner {
            write!(f, "{lead}{inner}")?;
            lead = ", ";
        }
        for (parameter, value) in self.definition.parameters().iter().zip(&self.values) {
            if let Some(value) = value {
                write!(f, "{lead}{}={value}", parameter.name())?;
                lead = ", ";
            }
        }
        if lead == "(" { Ok(()) } else { f.write_str(")") }
    }
}

impl From<StrategySpec> for AnyStrategy {
    fn from(spec: StrategySpec) -> Self {
        spec.build()
    }
}

impl From<&StrategySpec> for AnyStrategy {
    fn from(spec: &StrategySpec) -> Self {
        spec.build()
    }
}

/// Every strategy that has a name, in an order to read them in: what takes turns or chances, what looks at load, what
/// places by key, what wraps others.
///
/// ```
/// use equipoise_core::strategy::by_name;
///
/// for strategy in by_name::all() {
///     println!("{strategy}\n    {}", strategy.about());
/// }
/// # assert!(by_name::all().iter().any(|strategy| strategy.to_string() == "p2c(choices=2)"));
/// ```
pub fn all() -> &'static [Definition] {
    table::ALL
}
