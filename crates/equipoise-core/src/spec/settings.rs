use std::fmt;

use super::{Definition, Kind, Param, Parameter, Setting, Value, Vocabulary, definition::Call};

/// A spec that was parsed: a name, and the arguments that differ from the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec<V: Vocabulary> {
    pub(super) definition: &'static Definition<V>,
    /// The strategy that a combinator wraps.
    pub(super) inner: Option<Box<Spec<V>>>,
    /// One for each parameter of the definition; `None` where the preset holds.
    pub(super) arguments: Vec<Option<Argument<V>>>,
}

impl<V: Vocabulary> Spec<V> {
    /// A spec without arguments.
    pub fn of(definition: &'static Definition<V>) -> Self {
        Self { definition, inner: None, arguments: vec![None; definition.parameters().len()] }
    }

    /// What the spec's name stands for.
    pub fn definition(&self) -> &'static Definition<V> {
        self.definition
    }

    /// The strategy that a combinator wraps; `None` for other specs.
    pub fn inner(&self) -> Option<&Self> {
        self.inner.as_deref()
    }
}

impl<V: Vocabulary> fmt::Display for Spec<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = Call::new(self.definition.name(), f)?;
        if let Some(inner) = &self.inner {
            call.argument(format_args!("{inner}"))?;
        }
        for (Parameter { name, kind, .. }, argument) in self.definition.parameters().iter().zip(&self.arguments) {
            match argument {
                None => {}
                Some(Argument::Value(Value::Bool(true))) if *kind == Kind::Flag => {
                    call.argument(format_args!("{name}"))?;
                }
                Some(argument) => call.argument(format_args!("{name}={argument}"))?,
            }
        }
        call.end()
    }
}

/// What a parameter is set to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument<V: Vocabulary> {
    Value(Value),
    Spec(Box<Spec<V>>),
}

impl<V: Vocabulary> Argument<V> {
    /// A flag that stands alone.
    pub(super) const FLAG: Self = Self::Value(Value::Bool(true));
}

impl<V: Vocabulary> fmt::Display for Argument<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Spec(spec) => spec.fmt(f),
        }
    }
}

/// Typed access to the values of a spec.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a, V: Vocabulary>(&'a Spec<V>);

impl<'a, V: Vocabulary> Settings<'a, V> {
    /// The values of this spec.
    pub fn of(spec: &'a Spec<V>) -> Self {
        Self(spec)
    }

    /// The spec itself.
    pub fn spec(&self) -> &'a Spec<V> {
        self.0
    }

    /// The name of the definition.
    pub fn name(&self) -> &'static str {
        self.0.definition.name()
    }

    /// The value of a parameter. If the text does not set it, or the definition does not have it: its default.
    pub fn get<T: Setting>(&self, param: &Param<T>) -> T {
        match self.argument(&param.parameter) {
            Some(Argument::Value(value)) => T::read(value),
            _ => None,
        }
        .unwrap_or_else(|| T::from_preset(param.preset))
    }

    /// The spec that a parameter of kind [`Kind::Strategy`] is set to; `None` if the default holds.
    pub fn nested(&self, parameter: &Parameter) -> Option<&'a Spec<V>> {
        match self.argument(parameter)? {
            Argument::Spec(spec) => Some(spec),
            Argument::Value(_) => None,
        }
    }

    /// Whether the text sets a parameter. While a text is [checked](Vocabulary::check), also to its default; afterwards
    /// only to another value.
    pub fn is_set(&self, parameter: &Parameter) -> bool {
        self.argument(parameter).is_some()
    }

    /// `name=value`, as the text sets the parameter; only the name if the text does not set it.
    pub fn written(&self, parameter: &Parameter) -> String {
        let name = parameter.name;
        self.argument(parameter).map_or_else(|| name.to_owned(), |argument| format!("{name}={argument}"))
    }

    fn argument(&self, parameter: &Parameter) -> Option<&'a Argument<V>> {
        self.0.arguments.get(self.0.definition.position(parameter.name)?)?.as_ref()
    }
}
