//! Modes of session affinity by name: modes written as text, such as `cookie(name=SRV, indirect)`, for configuration
//! files, command lines and tools.
//!
//! An [`AffinitySpec`] is parsed from such a text: the name of a mode, and in brackets its parameters. A parameter that
//! is not written has its default. The [grammar](equipoise_core::spec#grammar) is that of [strategies by
//! name](equipoise_core::strategy::by_name).
//!
//! ```text
//! none
//! source(v4=24, v6=56, trusted={10.0.0.0/8, loopback}, header=x-forwarded-for, by=hash)
//! header(name=x-session, idle-timeout=1h, capacity=1000000)
//! path(segment=1, by=hash)
//! all-of(host, header=x-user)
//! cookie(name=SRV, indirect, nocache, httponly, secure, same-site=Lax, idle-timeout=30m, lifetime=8h)
//! prefix(name=JSESSIONID, values=name, names={10.0.0.1:80=A, 10.0.0.2:80=B})
//! learn(cookie=JSESSIONID, path-parameter=jsessionid, unavailable=wait(2s))
//! route(cookie=JSESSIONID, after-last="!", missing=refuse)
//! cookie(name=SRV, force-cookie=maintenance, ignore-paths={/static, /images})
//! ```
//!
//! [`all`] lists all modes with their parameters, the defaults and a description. `by=hash` needs a pool whose strategy
//! uses keys, such as `maglev`. All other modes work with every strategy.
//!
//! # What is not in the text
//!
//! Secrets, stores and code are not in the text, so that the text can be logged. Pass them to [`AffinitySpec::build`]
//! in a [`BuildContext`]. A key that a closure computes ([`SessionKey::by`](crate::key::SessionKey::by)) cannot be
//! written as text. [`Affinity::session_limit`] and [`Affinity::clock`] can be set on an [`Affinity`] that was built
//! from a text. [`Affinity::except`] and [`Affinity::force`] can be set too: `except` replaces the parameter
//! `ignore-paths`, and `force` replaces `force-cookie`.
//!
//! # Parameters that would have no effect are refused
//!
//! | text | reason |
//! | --- | --- |
//! | `unavailable`, `max-share`, `force-cookie` with `by=hash` | the strategy chooses the endpoint, and skips endpoints that cannot serve the request |
//! | `max-share` with `unavailable=refuse` or `wait` | with these values, a request never goes to another endpoint than its own |
//! | a parameter of one store with another store | for example, `capacity` has no meaning for `by=redis` |
//! | `header` without `trusted` in the mode `source` | any client can set the header |
//! | `missing=refuse` with `by=table`, in all modes except `learn` | every request would be refused: a session gets into the table only when a request is accepted |
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
    parameters::{BY, By, LOOKUP_TIMEOUT, MAX_SHARE, MISSING, Settings, UNAVAILABLE},
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

/// A mode of session affinity with its parameters, parsed from a text such as `header(name=x-session)`. Use it to
/// choose a mode at run time. The default is the mode `none`.
///
/// `Display` writes a spec as text. Parsing this text gives an equal spec. A parameter that is set to its default is
/// not written. When specs are compared, such a parameter counts as not set. The [module](self) describes the text.
/// With the feature `serde`, a spec is serialized as its text.
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
/// The error for an invalid text says what would be valid:
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
/// let expected = "header (at 33): unavailable has no effect with by=hash: use it with by=table";
/// assert!(error.to_string().starts_with(expected));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AffinitySpec(Spec<Modes>);

equipoise_core::__spec_as_text!(AffinitySpec, Modes, "a mode of affinity by name, such as cookie(name=SRV, indirect)");

/// Numbers in a spec are finite, so a spec always equals itself.
impl Eq for AffinitySpec {}

impl AffinitySpec {
    /// Returns the name of the mode without its parameters, such as `cookie`.
    pub fn name(&self) -> &'static str {
        self.definition().name()
    }

    /// Returns the definition of the mode, which has its name, a description and its parameters. It is one of the
    /// definitions in [`all`].
    pub fn definition(&self) -> &'static ModeDefinition {
        self.0.definition()
    }

    /// Returns whether the strategy of the pool chooses the endpoint of a session by the session's key: whether the
    /// mode has the parameter `by=hash`. The pool then needs a strategy that
    /// [places by key](equipoise_core::Pool::places_by_key), such as `maglev`.
    pub fn places_by_key(&self) -> bool {
        matches!(self.definition().make(), Make::Keyed(_)) && Settings::of(&self.0).get(&BY) == By::Hash
    }

    /// Creates an [`Affinity`] with this mode for `pool`. `context` has what cannot be written as text, such as keys.
    /// If the mode needs a session store, each call creates a new one. The exception is the parameter `by=store`, with
    /// which the mode uses the store of `context`.
    ///
    /// # Errors
    ///
    /// [`BuildAffinityError`] in these cases:
    ///
    /// - `context` does not contain a secret or a session store that the mode needs.
    /// - The mode cannot be used with the pool. For example, the mode's cookie cannot name one of the pool's endpoints.
    /// - The store in Redis cannot be created, for example because there is no Tokio runtime. Call `build` in async
    ///   code, or enter a runtime before: `let _guard = runtime.enter();`.
    pub fn build<T: Send + Sync + 'static>(
        &self,
        pool: &Pool<T>,
        context: &BuildContext,
    ) -> Result<Affinity, BuildAffinityError> {
        let settings = Settings::of(&self.0);
        let mut affinity = Affinity::new(pool, self.definition().make().mode(&settings, context)?)?
            .missing(settings.get(&MISSING))
            .unavailable(settings.get(&UNAVAILABLE));
        if let Some(factor) = settings.get(&MAX_SHARE) {
            affinity = affinity.max_share(factor as f32);
        }
        if let Some(timeout) = settings.get(&LOOKUP_TIMEOUT) {
            affinity = affinity.lookup_timeout(timeout);
        }
        Ok(make::apply_rules(&settings, affinity))
    }
}

impl Default for AffinitySpec {
    fn default() -> Self {
        Self(Spec::of(&table::ALL[0]))
    }
}

/// Returns the definitions of all modes of session affinity that can be written as text, in this order:
///
/// 1. the mode `none`
/// 2. modes that identify a session by a part of the request, such as `header`
/// 3. modes with a cookie that the balancer sets or changes, such as `cookie`
/// 4. modes that use a session key that backends set, such as `learn`
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
