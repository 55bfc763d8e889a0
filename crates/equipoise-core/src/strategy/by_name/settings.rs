use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::{AnyStrategy, StrategySpec, Value};
use crate::strategy::Random;

/// What a constructor is given: a spec's values, or what holds where there are none.
pub(super) struct Settings<'a> {
    spec: &'a StrategySpec,
    /// Only to see whether the values are taken: what is inside has been made already, and need not be made again.
    trial: bool,
}

impl<'a> Settings<'a> {
    pub(super) fn of(spec: &'a StrategySpec) -> Self {
        Self { spec, trial: false }
    }

    pub(super) fn on_trial(spec: &'a StrategySpec) -> Self {
        Self { spec, trial: true }
    }

    /// What is wrapped.
    pub(super) fn inner(&self) -> AnyStrategy {
        match &self.spec.inner {
            Some(inner) => self.made(inner),
            None => unreachable!("only combinators ask, and none is parsed without"),
        }
    }

    /// The value of a parameter that has a default or has to be set.
    pub(super) fn get<T: Setting>(&self, parameter: &str) -> T {
        match self.get_if_set(parameter) {
            Some(value) => value,
            None => unreachable!("{} has no {parameter} of this kind; a test makes each strategy", self.spec.name()),
        }
    }

    /// The value of a parameter that may be left open.
    pub(super) fn get_if_set<T: Setting>(&self, parameter: &str) -> Option<T> {
        let definition = self.spec.definition;
        let at = definition.position(parameter)?;
        let value = self.spec.values.get(at)?.clone().or_else(|| definition.parameters()[at].value())?;
        T::from_value(value, self)
    }

    fn made(&self, spec: &StrategySpec) -> AnyStrategy {
        if self.trial { AnyStrategy::new(Random::new()) } else { spec.build() }
    }
}

/// A type that constructors take.
pub(super) trait Setting: Sized {
    fn from_value(value: Value, settings: &Settings<'_>) -> Option<Self>;
}

macro_rules! settings {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {
        $(impl Setting for $type {
            fn from_value(value: Value, _: &Settings<'_>) -> Option<Self> {
                match value {
                    $pattern => $value,
                    _ => None,
                }
            }
        })*
    };
}

settings! {
    u64: Value::Number(number) => Some(number);
    u32: Value::Number(number) => number.try_into().ok();
    usize: Value::Number(number) => number.try_into().ok();
    f64: Value::Real(real) => Some(real);
    bool: Value::Flag(flag) => Some(flag);
    Duration: Value::Time(time) => Some(time);
    String: Value::Text(text) => Some(text);
    RangeInclusive<u32>: Value::Range(from, to) => Some(from..=to);
    BTreeMap<String, u32>: Value::Shares(shares) => Some(shares);
}

impl Setting for AnyStrategy {
    fn from_value(value: Value, settings: &Settings<'_>) -> Option<Self> {
        match value {
            Value::Strategy(spec) => Some(settings.made(&spec)),
            _ => None,
        }
    }
}
