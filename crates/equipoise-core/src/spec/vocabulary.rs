//! A vocabulary: its definitions, and the specs that are made of them.

use std::{error::Error, fmt};

use super::{
    param::{Param, Parameter, Preset, Setting},
    value::{Kind, Value},
};

/// The maximum number of levels of nested textual specs: 16, including the outermost spec. `a(b(c))` has 3 levels. The
/// maximum limits the use of the stack.
pub const MAX_DEPTH: usize = 16;

/// A set of names that textual specs can use, such as the names of the strategies.
///
/// `equipoise` implements this trait for strategies and for affinity modes. Other crates should not use its items,
/// because they may change in any release.
pub trait Vocabulary: Sized + Clone + fmt::Debug + PartialEq + 'static {
    /// The type of the value that creates a strategy or affinity mode from its parameters. Usually a function. Each
    /// definition contains one such value.
    #[doc(hidden)]
    type Make: Send + Sync + 'static;
    /// The type of the error for parameter values that have the right kinds but are invalid or contradict each other.
    type Refusal: Error + Clone + PartialEq;

    /// The word that error messages use for a name of this vocabulary, such as `strategy`.
    #[doc(hidden)]
    const NOUN: &'static str;
    /// The words that describe a missing spec in a syntax error, such as `the name of a strategy`.
    #[doc(hidden)]
    const EXPECTED: &'static str;

    /// Returns all definitions of the vocabulary.
    #[doc(hidden)]
    fn definitions() -> &'static [Definition<Self>];

    /// Returns an error if the values of a spec's parameters are invalid or contradict each other. During this call,
    /// [`Settings::is_set`] also returns `true` for a parameter that the text sets to its default.
    #[doc(hidden)]
    fn check(settings: &Settings<'_, Self>) -> Result<(), Self::Refusal>;

    /// Returns the name of the parameter that an error of [`check`](Self::check) is about. `None` if the error is about
    /// several parameters.
    #[doc(hidden)]
    fn refused_parameter(_refusal: &Self::Refusal) -> Option<&'static str> {
        None
    }
}

/// The definition of one name that textual specs can use, such as `peak-ewma`: a description and the list of
/// parameters.
///
/// Its `Display` text is the name with all parameters and their defaults. Flags are in square brackets. Optional
/// parameters without a default value are in square brackets, too.
pub struct Definition<V: Vocabulary> {
    name: &'static str,
    about: &'static str,
    wraps: bool,
    parameters: &'static [Parameter],
    make: V::Make,
}

impl<V: Vocabulary> Definition<V> {
    #[doc(hidden)]
    pub const fn new(name: &'static str, about: &'static str, parameters: &'static [Parameter], make: V::Make) -> Self {
        Self { name, about, wraps: false, parameters, make }
    }

    /// Creates the definition of a combinator: a strategy that wraps another one.
    #[doc(hidden)]
    pub const fn combinator(
        name: &'static str,
        about: &'static str,
        parameters: &'static [Parameter],
        make: V::Make,
    ) -> Self {
        Self { name, about, wraps: true, parameters, make }
    }

    /// Returns the name that this definition describes, such as `peak-ewma`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns a description of the strategy or affinity mode in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Returns whether the strategy is a combinator: a strategy that wraps another strategy, as `slow-start` wraps
    /// `p2c` in `slow-start(p2c)`.
    pub fn wraps(&self) -> bool {
        self.wraps
    }

    /// Returns the parameters that a spec with this name can set, in the order in which they are written.
    pub fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    /// Returns the parameter with this name. `None` if the definition has no parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.get(self.position(name)?)
    }

    #[doc(hidden)]
    pub fn make(&self) -> &V::Make {
        &self.make
    }

    pub(super) fn position(&self, parameter: &str) -> Option<usize> {
        self.parameters.iter().position(|known| known.name == parameter)
    }

    pub(super) fn named(name: &str) -> Option<&'static Self> {
        V::definitions().iter().find(|definition| definition.name == name)
    }
}

/// Definitions are compared by name, because a vocabulary has each name once.
impl<V: Vocabulary> PartialEq for Definition<V> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<V: Vocabulary> Eq for Definition<V> {}

impl<V: Vocabulary> fmt::Debug for Definition<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Definition").field(&self.name).finish()
    }
}

impl<V: Vocabulary> fmt::Display for Definition<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = Call::new(self.name, f)?;
        if self.wraps {
            call.argument(format_args!("STRATEGY"))?;
        }
        for Parameter { name, kind, preset, .. } in self.parameters {
            match (preset, kind) {
                (Preset::Is(_), Kind::Flag) => call.argument(format_args!("[{name}]"))?,
                (Preset::Is(value), _) => call.argument(format_args!("{name}={value}"))?,
                (Preset::Required, _) => call.argument(format_args!("{name}=…"))?,
                (Preset::Drawn | Preset::Otherwise(_), _) => call.argument(format_args!("[{name}=…]"))?,
            }
        }
        call.end()
    }
}

/// Writes a name and its arguments in brackets. Omits the brackets if there are no arguments.
struct Call<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    lead: &'static str,
}

impl<'a, 'b> Call<'a, 'b> {
    fn new(name: &str, f: &'a mut fmt::Formatter<'b>) -> Result<Self, fmt::Error> {
        f.write_str(name)?;
        Ok(Self { f, lead: "(" })
    }

    fn argument(&mut self, argument: fmt::Arguments<'_>) -> fmt::Result {
        self.f.write_str(self.lead)?;
        self.lead = ", ";
        self.f.write_fmt(argument)
    }

    fn end(self) -> fmt::Result {
        if self.lead == "(" { Ok(()) } else { self.f.write_str(")") }
    }
}

/// A parsed textual spec, such as `peak-ewma(decay=5s)`: the definition of the strategy or affinity mode, and the
/// parameter values that differ from the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec<V: Vocabulary> {
    pub(super) definition: &'static Definition<V>,
    /// The strategy that a combinator wraps.
    pub(super) inner: Option<Box<Spec<V>>>,
    /// The argument of each parameter of the definition. `None` if the spec does not set the parameter.
    pub(super) arguments: Vec<Option<Argument<V>>>,
}

impl<V: Vocabulary> Spec<V> {
    /// Creates the spec of a definition without arguments: all parameters have their defaults.
    pub fn of(definition: &'static Definition<V>) -> Self {
        Self { definition, inner: None, arguments: vec![None; definition.parameters().len()] }
    }

    /// Returns the definition of the strategy or affinity mode that the spec names.
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

/// The value or spec that a parameter is set to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument<V: Vocabulary> {
    Value(Value),
    Spec(Box<Spec<V>>),
}

impl<V: Vocabulary> Argument<V> {
    /// The value of a flag that is written without a value.
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

    /// Returns the value of a parameter. Returns the default of `param` in two cases: the text does not set the
    /// parameter, or the definition has no parameter with this name.
    pub fn get<T: Setting>(&self, param: &Param<T>) -> T {
        match self.argument(&param.parameter) {
            Some(Argument::Value(value)) => T::read(value),
            _ => None,
        }
        .unwrap_or_else(|| T::from_preset(param.preset))
    }

    /// Returns the value of a parameter of kind [`Kind::Strategy`]: the spec of a strategy. `None` if the parameter has
    /// its default.
    pub fn nested(&self, parameter: &Parameter) -> Option<&'a Spec<V>> {
        match self.argument(parameter)? {
            Argument::Spec(spec) => Some(spec),
            Argument::Value(_) => None,
        }
    }

    /// Returns whether the text sets a parameter to another value than its default.
    ///
    /// During [`Vocabulary::check`], the result is also `true` if the text sets the parameter to its default.
    pub fn is_set(&self, parameter: &Parameter) -> bool {
        self.argument(parameter).is_some()
    }

    /// Returns the argument of `parameter` in the parsed spec, in the form `name=value`. If the spec has no argument for
    /// `parameter`, returns only the name of the parameter.
    pub fn written(&self, parameter: &Parameter) -> String {
        let name = parameter.name;
        self.argument(parameter).map_or_else(|| name.to_owned(), |argument| format!("{name}={argument}"))
    }

    fn argument(&self, parameter: &Parameter) -> Option<&'a Argument<V>> {
        self.0.arguments.get(self.0.definition.position(parameter.name)?)?.as_ref()
    }
}
