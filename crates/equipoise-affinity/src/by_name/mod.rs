//! Modes of affinity by name: for configuration files, command lines and tools.
//!
//! An [`AffinitySpec`] is a mode as text: a name, and in brackets the parameters that differ from their defaults. It has
//! the same [grammar](equipoise_core::spec#grammar) as
//! [strategies by name](equipoise_core::strategy::by_name).
//!
//! ```text
//! none
//! source(v4=24, v6=56, trusted={10.0.0.0/8, loopback}, header=x-forwarded-for, by=hash)
//! header(name=x-session, idle-timeout=1h, capacity=1000000)
//! path(segment=1, by=hash)
//! all-of(host, header=x-user)
//! cookie(name=SRV, indirect, nocache, httponly, secure, same-site=Lax, max-idle=30m, max-life=8h)
//! prefix(name=JSESSIONID, values=name, names={10.0.0.1:80=A, 10.0.0.2:80=B})
//! learn(cookie=JSESSIONID, path-parameter=jsessionid, unavailable=wait(2s))
//! route(cookie=JSESSIONID, after-last="!", missing=refuse)
//! cookie(name=SRV, force-cookie=maintenance, ignore-paths={/static, /images})
//! ```
//!
//! [`all`] lists every mode with its parameters, their defaults and what they mean. `by=hash` needs a pool whose strategy
//! places by key, such as `maglev`; all other modes work with every strategy.
//!
//! # What is not in the text
//!
//! A text can be logged: secrets, stores and code are not in it. They are in the [`BuildContext`] with which a mode is
//! built. A key that a closure computes ([`SessionKey::by`](crate::key::SessionKey::by)) has no text.
//! [`Affinity::except`] and [`Affinity::force`] (which replace `ignore-paths` and `force-cookie`),
//! [`Affinity::session_limit`] and [`Affinity::clock`] can be called on a mode that was built from a text.
//!
//! # Parameters that would have no effect are refused
//!
//! | text | reason |
//! | --- | --- |
//! | `unavailable`, `max-share`, `force-cookie` with `by=hash` | the strategy places requests, and skips endpoints that cannot accept them |
//! | `max-share` with `unavailable=refuse` or `wait` | a request that is strictly bound to an endpoint never goes elsewhere |
//! | a store's settings without that store | for example, `capacity` has no meaning for `by=redis` |
//! | `header` without `trusted` | any client can set the header |
//! | `missing=refuse` with `by=table`, except under `learn` | every request would be refused: only accepted requests enter the table |
//! | `same-site=None` without `secure` | browsers drop such cookies |

mod context;
mod error;
mod make;
mod parameters;
mod table;
#[cfg(test)]
mod tests;

pub use equipoise_core::spec::{Kind, Parameter, Position, Preset};
use equipoise_core::{
    Pool,
    spec::{Spec, Vocabulary},
};

pub use self::{
    context::{BuildAffinityError, BuildContext},
    error::InvalidModeSettings,
    parameters::{InvalidAffinity, ModeDefinition, Modes},
};
use self::{
    make::Make,
    parameters::{LOOKUP, MISSING, Settings, UNAVAILABLE, UNTIL},
};
use crate::Affinity;

impl Vocabulary for Modes {
    type Make = Make;
    type Refusal = InvalidModeSettings;

    const NOUN: &'static str = "mode";
    const EXPECTED: &'static str = "the name of a mode";

    fn definitions() -> &'static [ModeDefinition] {
        table::ALL
    }

    fn check(settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
        settings.spec().definition().make().check(settings)
    }

    fn refused_parameter(refusal: &InvalidModeSettings) -> Option<&'static str> {
        refusal.parameter()
    }
}

/// A mode of affinity and its settings, as text and as a value: for choosing one at run time. The default is `none`.
///
/// A spec that is written as text is read back as an equal value. A parameter that is set to its default counts as not
/// set: it is not written, and specs with and without it are equal. The [module](self) describes the text. With the
/// feature `serde` a spec is serialized as its text.
///
/// ```
/// use equipoise_affinity::{AffinitySpec, by_name::BuildContext};
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let spec: AffinitySpec = "header(name=x-session, by=table, idle-timeout=1h, unavailable=wait(2s))".parse()?;
/// assert_eq!(spec.to_string(), "header(name=x-session, idle-timeout=1h, unavailable=wait(2s))");
///
/// let pool = Pool::default();
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let affinity = spec.build(&pool, &BuildContext::new())?;
/// # drop(affinity);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The error for a wrong text says what would be right:
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
#[derive(Clone, Debug, PartialEq)]
pub struct AffinitySpec(Spec<Modes>);

equipoise_core::__spec_as_text!(AffinitySpec, Modes, "a mode of affinity by name, such as cookie(name=SRV, indirect)");

/// Numbers in a spec are finite, so equality is reflexive.
impl Eq for AffinitySpec {}

impl AffinitySpec {
    /// The mode's name, without its settings.
    pub fn name(&self) -> &'static str {
        self.definition().name()
    }

    /// The mode's entry in [`all`].
    pub fn definition(&self) -> &'static ModeDefinition {
        self.0.definition()
    }

    /// Builds the mode for a pool. Each call makes new stores, except for `by=store`, which takes the store of the
    /// context.
    ///
    /// # Errors
    ///
    /// [`BuildAffinityError`], if the context lacks what the mode needs, if an endpoint of the pool cannot be named in
    /// the mode's cookie, or if the store in Redis cannot be built.
    pub fn build<T: Send + Sync + 'static>(
        &self,
        pool: &Pool<T>,
        context: &BuildContext,
    ) -> Result<Affinity, BuildAffinityError> {
        let settings = Settings::of(&self.0);
        let mut affinity = Affinity::new(pool, self.definition().make().mode(&settings, context)?)?
            .missing(settings.get(&MISSING))
            .unavailable(settings.get(&UNAVAILABLE));
        if let Some(factor) = settings.get(&UNTIL) {
            affinity = affinity.max_share(factor as f32);
        }
        if let Some(longest) = settings.get(&LOOKUP) {
            affinity = affinity.lookup_timeout(longest);
        }
        Ok(make::apply_rules(&settings, affinity))
    }
}

impl Default for AffinitySpec {
    fn default() -> Self {
        Self(Spec::of(&table::ALL[0]))
    }
}

/// Every mode that has a name: first `none`, then those that identify a session by a part of the request, then those
/// whose cookie the balancer sets, then those that use what backends set.
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
pub fn all() -> &'static [ModeDefinition] {
    table::ALL
}
