//! Strategies by name: strategies written as text, for configuration files, command lines and tools.
//!
//! A [`StrategySpec`] is parsed from such a text. The text begins with the name of a strategy. After the name, brackets
//! may contain the wrapped strategy and the parameters. A parameter that is not in the text has its default. The name
//! of a strategy is the name of its type in lower case and with hyphens, such as `least-time` for
//! [`LeastTime`](crate::LeastTime). Most parameters have the names of the builder methods, also with hyphens:
//! `max-trial-interval` for [`LogEwma::max_trial_interval`](crate::LogEwma::max_trial_interval).
//!
//! ```text
//! p2c
//! p2c(choices=3)
//! log-ewma(penalty=2s, max-trial-interval=5s)
//! maglev(table=65537, seed=7, fallback=round-robin)
//! bounded-load(ring(points=160), factor=1.5)
//! slow-start(zone-aware(p2c, zone=eu-1a), window=1m)
//! ```
//!
//! Strategies and affinity modes have the same [grammar](crate::spec#grammar). [`all`] lists every strategy with its
//! parameters, and the default and the meaning of each parameter. If the strategy is known at compile time, use the
//! type of the strategy instead of its name.

mod settings;
mod table;

use self::settings::StrategySettings;
pub use self::settings::{InvalidStrategySettings, Strategies, StrategyDefinition};
use super::AnyStrategy;
use crate::spec::{InvalidText, Settings, Spec, Vocabulary};
pub use crate::spec::{Kind, MAX_DEPTH, Parameter, Position, Preset};

/// Why a text is not a valid strategy, such as an unknown name or a parameter that is out of its range. Returned when a
/// [`StrategySpec`] is parsed.
pub type InvalidStrategy = InvalidText<Strategies>;

impl Vocabulary for Strategies {
    type Make = fn(&StrategySettings<'_>) -> Result<AnyStrategy, InvalidStrategySettings>;
    type Refusal = InvalidStrategySettings;

    const NOUN: &'static str = "strategy";
    const EXPECTED: &'static str = "the name of a strategy";

    fn definitions() -> &'static [StrategyDefinition] {
        table::ALL
    }

    fn check(settings: &Settings<'_, Self>) -> Result<(), InvalidStrategySettings> {
        let spec = settings.spec();
        (spec.definition().make())(&StrategySettings::to_check(spec)).map(drop)
    }
}

/// A strategy and its settings, as a value that can be parsed from text and written as text. Use it to choose a
/// strategy at run time.
///
/// A spec that is written as text and parsed again is equal to the original. A parameter that has its default value is
/// not written: `p2c(choices=2)` is written as `p2c`, and both texts give equal specs. The [module](self) describes the
/// text. With the feature `serde`, a spec is serialized as its text.
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
/// The error for an invalid text says what would be valid:
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
/// The error for an unknown name suggests the name that was probably meant:
///
/// ```
/// use equipoise_core::StrategySpec;
///
/// let error = "peek-ewma".parse::<StrategySpec>().unwrap_err();
/// assert!(error.to_string().starts_with(r#"there is no strategy "peek-ewma" (at 1): did you mean peak-ewma? valid names are"#));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StrategySpec(Spec<Strategies>);

crate::__spec_as_text!(StrategySpec, Strategies, "a strategy by name, such as p2c(choices=3)");

/// Every spec equals itself, because the numbers in a spec are never NaN.
impl Eq for StrategySpec {}

impl StrategySpec {
    /// Returns the name of the strategy without its settings, such as `p2c`.
    pub fn name(&self) -> &'static str {
        self.definition().name()
    }

    /// Returns the definition of the strategy: its name, its description and its parameters. [`all`] contains the same
    /// definition.
    pub fn definition(&self) -> &'static StrategyDefinition {
        self.0.definition()
    }

    /// Returns the spec of the inner strategy, which this strategy wraps. For example, the inner strategy of
    /// `slow-start(p2c)` is `p2c`. `None` if this strategy wraps no other strategy.
    pub fn inner(&self) -> Option<Self> {
        self.0.inner().cloned().map(Self)
    }

    /// Creates the strategy. Each call creates a new strategy, which shares no state with other strategies. Call this
    /// method once for each pool, because a strategy must not be used in two pools.
    pub fn build(&self) -> AnyStrategy {
        settings::build(&self.0)
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

/// Returns the definitions of all strategies that have a name.
///
/// The strategies are in this order: strategies that pick endpoints in turn or at random, strategies that compare the
/// load of endpoints, strategies that pick by the key of the request, and strategies that wrap another strategy.
///
/// ```
/// use equipoise_core::strategy::by_name;
///
/// for strategy in by_name::all() {
///     println!("{strategy}\n    {}", strategy.about());
/// }
/// # assert!(by_name::all().iter().any(|strategy| strategy.to_string() == "p2c(choices=2)"));
/// ```
pub fn all() -> &'static [StrategyDefinition] {
    table::ALL
}
