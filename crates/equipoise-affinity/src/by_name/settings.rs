use std::{collections::BTreeMap, time::Duration};

use super::{AffinitySpec, Value};
use crate::Fallback;

/// What constructors are given: a spec's values, or what holds where there are none.
pub(super) struct Settings<'a>(&'a AffinitySpec);

impl<'a> Settings<'a> {
    pub(super) fn of(spec: &'a AffinitySpec) -> Self {
        Self(spec)
    }

    pub(super) fn mode(&self) -> &'static str {
        self.0.name()
    }

    /// Whether the text sets it, be it to its default. To be asked of what is parsed: later, defaults are not set.
    pub(super) fn is_set(&self, parameter: &str) -> bool {
        let at = self.0.definition.position(parameter);
        at.and_then(|at| self.0.values.get(at)).is_some_and(Option::is_some)
    }

    /// The value of a parameter that has a default or has to be set.
    pub(super) fn get<T: Setting>(&self, parameter: &str) -> T {
        match self.get_if_set(parameter) {
            Some(value) => value,
            None => unreachable!("{} has no {parameter} of this kind; a test makes each mode", self.mode()),
        }
    }

    /// The value of a parameter that may be left open, or that this mode may not have.
    pub(super) fn get_if_set<T: Setting>(&self, parameter: &str) -> Option<T> {
        let at = self.0.definition.position(parameter)?;
        let set = self.0.values.get(at)?.clone();
        T::from_value(set.or_else(|| self.0.definition.parameters().get(at)?.value())?)
    }

    pub(super) fn flag(&self, parameter: &str) -> bool {
        self.get_if_set(parameter).unwrap_or(false)
    }
}

/// A type that constructors take.
pub(super) trait Setting: Sized {
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! settings {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {
        $(impl Setting for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    $pattern => $value,
                    _ => None,
                }
            }
        })*
    };
}

settings! {
    u8: Value::Number(number) => number.try_into().ok();
    char: Value::Character(byte) => Some(byte.into());
    usize: Value::Number(number) => number.try_into().ok();
    f32: Value::Real(real) => Some(real);
    bool: Value::Flag(flag) => Some(flag);
    Duration: Value::Time(time) => Some(time);
    String: Value::Text(text) => Some(text);
    &'static str: Value::Choice(word) => Some(word);
    Vec<String>: Value::List(texts) => Some(texts);
    BTreeMap<String, String>: Value::Names(names) => Some(names);
    Fallback: Value::Fallback(fallback) => Some(fallback);
}
