use std::fmt;

use super::{Definition, Kind, Param, Parameter, Setting, Value, Vocabulary, definition::Call};

/// A parsed textual spec: its definition, and the arguments that differ from the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec<V: Vocabulary> {
    pub(super) definition: &'static Definition<V>,
    /// The strategy that a combinator wraps.
    pub(super) inner: Option<Box<Spec<V>>>,
    /// One entry for each parameter of the definition. `None` if the parameter has its default.
    pub(super) arguments: Vec<Option<Argument<V>>>,
}

impl<V: Vocabulary> Spec<V> {
    /// Creates the spec of a definition without arguments: all parameters have their defaults.
    pub fn of(definition: &'static Definition<V>) -> Self {
        Self { definition, inner: None, arguments: vec![None; definition.parameters().len()] }
    }

    /// Returns the definition of the strategy or mode that the spec names.
    pub fn definition(&self) -> &'static Definition<V> {
        self.definition
    }

    /// Returns the spec of the strategy that a combinator wraps. `None` for specs that wrap no strategy.
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

/// The value to which a spec sets a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument<V: Vocabulary> {
    Value(Value),
    Spec(Box<Spec<V>>),
}

impl<V: Vocabulary> Argument<V> {
    /// The value of a flag that is set by its name alone.
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

/// Typed access to the parameter values of a textual spec.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a, V: Vocabulary>(&'a Spec<V>);

impl<'a, V: Vocabulary> Settings<'a, V> {
    /// Creates a `Settings` that reads the parameter values of `spec`.
    pub fn of(spec: &'a Spec<V>) -> Self {
        Self(spec)
    }

    /// Returns the spec whose parameter values this `Settings` reads.
    pub fn spec(&self) -> &'a Spec<V> {
        self.0
    }

    /// Returns the name that the spec begins with, such as `peak-ewma`.
    pub fn name(&self) -> &'static str {
        self.0.definition.name()
    }

    /// Returns the value of a parameter. If the text does not set the parameter, or the definition does not have it,
    /// returns the default of `param`.
    pub fn get<T: Setting>(&self, param: &Param<T>) -> T {
        match self.argument(&param.parameter) {
            Some(Argument::Value(value)) => T::read(value),
            _ => None,
        }
        .unwrap_or_else(|| T::from_preset(param.preset))
    }

    /// Returns the strategy to which a parameter of kind [`Kind::Strategy`] is set. `None` if the parameter has its
    /// default.
    pub fn nested(&self, parameter: &Parameter) -> Option<&'a Spec<V>> {
        match self.argument(parameter)? {
            Argument::Spec(spec) => Some(spec),
            Argument::Value(_) => None,
        }
    }

    /// Returns whether the text sets a parameter.
    ///
    /// During [`Vocabulary::check`], also true for a parameter that the text sets to its default. Later true only for
    /// parameters with other values than their defaults.
    pub fn is_set(&self, parameter: &Parameter) -> bool {
        self.argument(parameter).is_some()
    }

    /// Returns the argument that sets a parameter, as text: `name=value`. Only the name if the text does not set the
    /// parameter.
    pub fn written(&self, parameter: &Parameter) -> String {
        let name = parameter.name;
        self.argument(parameter).map_or_else(|| name.to_owned(), |argument| format!("{name}={argument}"))
    }

    fn argument(&self, parameter: &Parameter) -> Option<&'a Argument<V>> {
        self.0.arguments.get(self.0.definition.position(parameter.name)?)?.as_ref()
    }
}
