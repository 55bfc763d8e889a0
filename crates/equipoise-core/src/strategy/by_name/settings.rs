use crate::{
    spec::{Definition, Nested, Param, Setting, Settings, Spec},
    strategy::{AnyStrategy, InvalidChoices, InvalidCombinator, InvalidHashing, InvalidSpan, Random},
};

/// The [`Vocabulary`](crate::spec::Vocabulary) of strategies by name, as a marker type without values.
/// [`StrategyDefinition`] and [`InvalidStrategy`](super::InvalidStrategy) are the definitions and errors of this
/// vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategies {}

/// The definition of a strategy by name: its name, a description and its parameters.
pub type StrategyDefinition = Definition<Strategies>;

/// The parameter of hashing strategies that [`StrategySettings::fallback`] reads.
pub(super) const FALLBACK: Param<Nested> =
    Param::strategy("fallback", "the strategy that picks for requests without a key", "random");

/// Why a strategy cannot be created by name: the value of a parameter has the right kind, but is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStrategySettings {
    /// The number of endpoints that a pick compares (`choices`) is out of the range from 2 to 10.
    #[error(transparent)]
    Choices(#[from] InvalidChoices),
    /// A setting of a hashing strategy is invalid.
    #[error(transparent)]
    Hashing(#[from] InvalidHashing),
    /// A time setting of the strategy, such as `decay` or `period`, is below the minimum of 1 µs.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    /// A setting of a combinator (a strategy that wraps another one) is invalid.
    #[error(transparent)]
    Combinator(#[from] InvalidCombinator),
}

/// The settings from which a named strategy is created: the values of its parameters, and the strategy that it wraps.
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

pub(super) fn build(spec: &Spec<Strategies>) -> AnyStrategy {
    match (spec.definition().make())(&StrategySettings { settings: Settings::of(spec), check: false }) {
        Ok(strategy) => strategy.written_as(spec),
        Err(refusal) => unreachable!("{spec} was made before, when it was parsed: {refusal}"),
    }
}
