use crate::{
    endpoint::EndpointSpec,
    spec::{Definition, Nested, Param, Setting, Settings, Spec},
    strategy::{
        AnyStrategy, BuildError, InvalidChoices, InvalidCombinator, InvalidHashing, InvalidSpan, Picker, Random,
        Strategy,
    },
    view::View,
};

/// A marker type without values, which stands for the set of all named strategies. It is used as the type argument of
/// the generic types in [`spec`](crate::spec). For example, [`StrategyDefinition`] is `Definition<Strategies>`, the
/// definition of one strategy, and [`InvalidStrategy`](super::InvalidStrategy) is `InvalidText<Strategies>`, the error
/// for an invalid text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategies {}

/// The definition of a strategy that can be written as text: its name, such as `p2c`, a description and its parameters.
pub type StrategyDefinition = Definition<Strategies>;

/// The parameter of hashing strategies that [`StrategySettings::fallback`] reads.
pub(super) const FALLBACK: Param<Nested> =
    Param::strategy("fallback", "the strategy that picks for requests without a key", "random");

/// Why the value of a parameter of a named strategy is invalid. The value has the right kind, such as a number or a
/// time, but the strategy does not accept it. For example, `bounded-load(ring, factor=0.5)` is invalid, because the
/// minimum of `factor` is 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStrategySettings {
    /// The parameter `choices`, the number of endpoints that a pick compares, is not in the range from 2 to 10.
    #[error(transparent)]
    Choices(#[from] InvalidChoices),
    /// A parameter of a hashing strategy or of `bounded-load` is invalid, such as a `table` size that is not a prime
    /// number.
    #[error(transparent)]
    Hashing(#[from] InvalidHashing),
    /// A time parameter of the strategy, such as `decay` or `period`, is below the minimum of 1 µs.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    /// A parameter of a combinator (a strategy that wraps another one) is invalid, such as a `floor` of 2 for
    /// `slow-start`.
    #[error(transparent)]
    Combinator(#[from] InvalidCombinator),
}

/// The settings from which a named strategy is created: the values of its parameters, and the inner strategy if the
/// strategy wraps another one.
pub struct StrategySettings<'a> {
    settings: Settings<'a, Strategies>,
    /// Whether the strategy is created only to check its settings. The strategies that it wraps have been checked
    /// before, and are not created again.
    check: bool,
}

impl<'a> StrategySettings<'a> {
    pub(super) fn to_check(spec: &'a Spec<Strategies>) -> Self {
        Self { settings: Settings::of(spec), check: true }
    }

    pub(super) fn get<T: Setting>(&self, param: &Param<T>) -> T {
        self.settings.get(param)
    }

    /// Creates the strategy that a combinator wraps.
    pub(super) fn inner(&self) -> AnyStrategy {
        self.nested(self.settings.spec().inner())
    }

    /// Creates the strategy that picks for requests without a key.
    pub(super) fn fallback(&self) -> AnyStrategy {
        self.nested(self.settings.nested(&FALLBACK.parameter))
    }

    fn nested(&self, spec: Option<&Spec<Strategies>>) -> AnyStrategy {
        match spec {
            Some(spec) if !self.check => build(spec),
            _ => AnyStrategy::new(Random::new()),
        }
    }
}

/// Creates the strategy of a spec.
pub(super) fn build(spec: &Spec<Strategies>) -> AnyStrategy {
    let made = (spec.definition().make())(&StrategySettings { settings: Settings::of(spec), check: false });
    // Parsing checks the settings of a spec, so this error does not occur. If it did, the pool would report it.
    made.unwrap_or_else(|refusal| AnyStrategy::new(Invalid(refusal))).written_as(spec)
}

/// A strategy with invalid settings. A pool with this strategy refuses endpoints, and its error says what is invalid.
struct Invalid(InvalidStrategySettings);

impl Strategy for Invalid {
    type State = ();
    type Picker = Box<dyn Picker>;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, _: &View, _: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        Err(BuildError::Refused(self.0.to_string()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{P2c, Pool, UpdateError};

    #[test]
    fn a_pool_reports_invalid_settings_of_its_strategy() {
        let refusal = P2c::with_choices(11).expect_err("at most 10");
        let pool: Pool<()> = Pool::new(AnyStrategy::new(Invalid(refusal.into())));
        let error = pool.add(EndpointSpec::new("a:80"), ()).expect_err("no endpoint can be added");
        assert_eq!(error, UpdateError::Strategy(BuildError::Refused(refusal.to_string())));
    }
}
