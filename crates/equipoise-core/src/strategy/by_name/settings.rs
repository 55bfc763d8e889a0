use crate::{
    spec::{Definition, Nested, Param, Setting, Settings, Spec},
    strategy::{AnyStrategy, InvalidChoices, InvalidCombinator, InvalidHashing, InvalidSpan, Random},
};

/// The vocabulary of strategies: marks their definitions and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategies {}

/// The definition of a strategy: its name and its parameters.
pub type StrategyDefinition = Definition<Strategies>;

/// The parameter of hashing strategies that [`StrategySettings::fallback`] reads.
pub(super) const FALLBACK: Param<Nested> =
    Param::strategy("fallback", "the strategy that picks for requests without a key", "random");

/// Why a strategy refuses values that are of the right kinds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStrategySettings {
    /// The number of choices is refused.
    #[error(transparent)]
    Choices(#[from] InvalidChoices),
    /// A setting of a hashing strategy is refused.
    #[error(transparent)]
    Hashing(#[from] InvalidHashing),
    /// The time over which a strategy forgets is too short.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    /// A setting of a combinator is refused.
    #[error(transparent)]
    Combinator(#[from] InvalidCombinator),
}

/// What a strategy is made from.
pub struct StrategySettings<'a> {
    settings: Settings<'a, Strategies>,
    /// Whether the strategy is made only to see whether it takes its settings. Nested ones have been checked before, and
    /// are not made again.
    check: bool,
}

impl<'a> StrategySettings<'a> {
    pub(super) fn to_check(spec: &'a Spec<Strategies>) -> Self {
        Self { settings: Settings::of(spec), check: true }
    }

    pub(super) fn get<T: Setting>(&self, param: &Param<T>) -> T {
        self.settings.get(param)
    }

    /// The strategy that a combinator wraps.
    pub(super) fn inner(&self) -> AnyStrategy {
        self.nested(self.settings.spec().inner())
    }

    /// The strategy that picks for requests without a key.
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
