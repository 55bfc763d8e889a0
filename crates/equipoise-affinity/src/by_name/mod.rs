//! Modes by name: for configuration files, command lines and tools.
//!
//! An [`AffinitySpec`] is a mode as text, with what happens where it does not hold: a name, and in brackets what differs
//! from the defaults. It reads like [strategies by name](equipoise_core::strategy::by_name).
//!
//! ```text
//! none
//! source(v4=24, v6=56, trusted={10.0.0.0/8, loopback}, header=x-forwarded-for, by=hash)
//! header(name=x-session, idle=1h, sessions=1000000)
//! path(segment=1, by=hash)
//! all-of(host, header=x-user)
//! cookie(name=SRV, indirect, nocache, httponly, secure, same-site=Lax, idle=30m, life=8h)
//! prefix(name=JSESSIONID, values=name, names={10.0.0.1:80=A, 10.0.0.2:80=B})
//! learn(cookie=JSESSIONID, path-parameter=jsessionid, unavailable=wait(2s))
//! route(cookie=JSESSIONID, after-last="!", missing=refuse)
//! cookie(name=SRV, force-cookie=maintenance, ignore-paths={/static, /images})
//! ```
//!
//! # Grammar
//!
//! ```text
//! mode      = name [ "(" [ argument { "," argument } ] ")" ]
//! argument  = name "=" value      a parameter, at most once each, in any order
//!           | name                a flag: as good as name=true
//! ```
//!
//! | a value is | as in |
//! | --- | --- |
//! | a whole number | `3`, `65536`, `0x10000` |
//! | a number | `1.25`, `2` |
//! | a time | `10s`, `2.5s`, `250ms`, `1m`, `1h` |
//! | a word of a few | `table`, `token`, `Lax` |
//! | a text | `x-session`, or with anything but letters, digits and `-_.:/+` in it, `"in \"quotes\""` |
//! | one character | `.`, `"!"` |
//! | texts | `{10.0.0.0/8, loopback}` |
//! | texts by name | `{10.0.0.1:80=A, 10.0.0.2:80=B}` |
//! | a [`Fallback`](crate::Fallback) | `rebind`, `refuse`, `wait(5s)` |
//!
//! White space between these parts does not matter. Names are written in lower case. [`all`] lists every mode with its
//! parameters, their defaults and what they mean. `by=hash` wants a pool whose strategy places by key, such as
//! `maglev`; all else goes with every strategy.
//!
//! # What is not in the text
//!
//! Secrets, stores and code are handed over when a mode is built, in its [`Means`]. A text can be logged. What a closure
//! says ([`SessionKey::by`](crate::key::SessionKey::by)) has no text. [`Affinity::except`], [`Affinity::force`] (which
//! replace `ignore-paths` and `force-cookie`), [`Affinity::session_limit`] and [`Affinity::clock`] can be called on what
//! was built.
//!
//! # What would have no effect is refused
//!
//! | | because |
//! | --- | --- |
//! | `unavailable`, `until-saturated`, `force-cookie` with `by=hash` | the strategy places requests, and passes over who cannot take them |
//! | `until-saturated` with `unavailable=refuse` or `wait` | nobody shares an endpoint that requests are strictly bound to |
//! | a store's settings without that store | such as `sessions` with `by=redis` |
//! | `header` without `trusted` | nobody is believed |
//! | `missing=refuse` with `by=table`, but under `learn` | nobody would ever get in |
//! | `same-site=None` without `secure` | browsers drop such cookies |

mod definition;
mod error;
mod make;
mod means;
mod parser;
mod refusal;
#[cfg(feature = "serde")]
mod serde;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::{fmt, str::FromStr};

use equipoise_core::Pool;
pub use equipoise_core::strategy::by_name::{Position, Preset};

pub use self::{
    definition::{Definition, Parameter},
    error::InvalidAffinity,
    means::{BuildError, Means},
    refusal::Refusal,
    value::Kind,
};
use self::{settings::Settings, value::Value};
use crate::Affinity;

/// A mode of affinity and its settings, as text and as a value: for choosing one at run time.
///
/// What is written out is read back as an equal value. Parameters that are set to their defaults are as good as not
/// set: they do not show. The [module](self) tells the grammar.
///
/// ```
/// use equipoise_affinity::{AffinitySpec, by_name::Means};
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let spec: AffinitySpec = "header(name=x-session, by=table, idle=1h, unavailable=wait(2s))".parse()?;
/// assert_eq!(spec.to_string(), "header(name=x-session, idle=1h, unavailable=wait(2s))");
///
/// let pool = Pool::default();
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let affinity = spec.build(&pool, &Means::new())?;
/// # drop(affinity);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is wrong is refused, with what would be right:
///
/// ```
/// use equipoise_affinity::AffinitySpec;
///
/// let error = "source(v4=33)".parse::<AffinitySpec>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"source cannot have v4="33" (at 11): v4 is a whole number from 0 to 32, such as 32"#
/// );
/// let error = "header(name=x-session, by=hash, unavailable=refuse)".parse::<AffinitySpec>().unwrap_err();
/// assert!(error.to_string().starts_with("header (at 33): unavailable has no effect with by=hash: it goes with by=table"));
/// ```
///
/// With the feature `serde` it is serialized as its text.
#[derive(Clone, Debug, PartialEq)]
pub struct AffinitySpec {
    definition: &'static Definition,
    /// As many as the definition has parameters; `None` where the preset holds, so that equal settings are equal values.
    values: Vec<Option<Value>>,
}

/// Numbers are finite wherever they are read.
impl Eq for AffinitySpec {}

impl AffinitySpec {
    /// The mode's name, without its settings.
    pub fn name(&self) -> &'static str {
        self.definition.name()
    }

    /// What [`all`] says of the mode.
    pub fn definition(&self) -> &'static Definition {
        self.definition
    }

    /// The mode over this pool. Each call makes new stores, but for one that is handed over.
    ///
    /// # Errors
    ///
    /// When the means lack what the mode needs, the pool's endpoints cannot be named in its cookie, or Redis cannot be
    /// what the URL says.
    pub fn build<T: Send + Sync + 'static>(&self, pool: &Pool<T>, means: &Means) -> Result<Affinity, BuildError> {
        let settings = Settings::of(self);
        let mut affinity = Affinity::new(pool, self.definition.make.mode(&settings, means)?)?;
        if let Some(fallback) = settings.get_if_set("missing") {
            affinity = affinity.missing(fallback);
        }
        if let Some(fallback) = settings.get_if_set("unavailable") {
            affinity = affinity.unavailable(fallback);
        }
        if let Some(factor) = settings.get_if_set("until-saturated") {
            affinity = affinity.until_saturated(factor);
        }
        if let Some(longest) = settings.get_if_set("lookup") {
            affinity = affinity.lookup_limit(longest);
        }
        Ok(make::apply_rules(&settings, affinity))
    }
}

/// `none`.
impl Default for AffinitySpec {
    fn default() -> Self {
        Self { definition: &table::ALL[0], values: Vec::new() }
    }
}

impl FromStr for AffinitySpec {
    type Err = InvalidAffinity;

    fn from_str(text: &str) -> Result<Self, InvalidAffinity> {
        parser::parse(text)
    }
}

impl TryFrom<&str> for AffinitySpec {
    type Error = InvalidAffinity;

    fn try_from(text: &str) -> Result<Self, InvalidAffinity> {
        text.parse()
    }
}

/// The text that is parsed to an equal value.
impl fmt::Display for AffinitySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut lead = "(";
        for (parameter, value) in self.definition.parameters().iter().zip(&self.values) {
            match value {
                Some(Value::Flag(true)) => write!(f, "{lead}{}", parameter.name())?,
                Some(value) => write!(f, "{lead}{}={value}", parameter.name())?,
                None => continue,
            }
            lead = ", ";
        }
        if lead == "(" { Ok(()) } else { f.write_str(")") }
    }
}

/// Every mode that has a name, in an order to read them in: none, what tells sessions by a part of the request, what the
/// balancer sets, what backends set.
///
/// ```
/// use equipoise_affinity::by_name;
///
/// for mode in by_name::all() {
///     println!("{mode}\n    {}", mode.about());
///     for parameter in mode.parameters() {
///         println!("    {}: {}; otherwise: {}", parameter.name(), parameter.about(), parameter.preset());
///     }
/// }
/// # assert!(by_name::all().iter().any(|mode| mode.name() == "cookie"));
/// ```
pub fn all() -> &'static [Definition] {
    table::ALL
}
