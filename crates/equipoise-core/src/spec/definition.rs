use std::fmt;

use super::{Kind, Vocabulary};

/// The definition of one name that textual specs can use, such as `peak-ewma`: a description and the list of
/// parameters.
///
/// Its `Display` shows the name with all parameters at their defaults. Flags are in square brackets, and so are
/// optional parameters without a default value.
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

    /// Returns a description of the strategy or mode that has this name, in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Returns whether the name stands for a combinator: a strategy that wraps another strategy. The wrapped strategy
    /// is given in the brackets, as in `slow-start(p2c)`.
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

/// Compares the names, because a vocabulary defines each name once.
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
pub(super) struct Call<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    lead: &'static str,
}

impl<'a, 'b> Call<'a, 'b> {
    pub(super) fn new(name: &str, f: &'a mut fmt::Formatter<'b>) -> Result<Self, fmt::Error> {
        f.write_str(name)?;
        Ok(Self { f, lead: "(" })
    }

    pub(super) fn argument(&mut self, argument: fmt::Arguments<'_>) -> fmt::Result {
        self.f.write_str(self.lead)?;
        self.lead = ", ";
        self.f.write_fmt(argument)
    }

    pub(super) fn end(self) -> fmt::Result {
        if self.lead == "(" { Ok(()) } else { self.f.write_str(")") }
    }
}

/// One parameter of a textual spec, such as `decay` in `peak-ewma(decay=10s)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) example: &'static str,
    pub(super) about: &'static str,
    /// A text that follows the description of the kind in error messages.
    pub(super) note: &'static str,
    /// Whether error messages omit the values of the parameter.
    pub(super) secret: bool,
}

impl Parameter {
    /// Returns the name of the parameter, such as `decay`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the kind and the range of values that the parameter accepts.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what applies if a spec does not set the parameter: the default, if there is one.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// Returns an example of a value, as text. If the parameter has a default, the example is the default. Exception:
    /// the example of a flag is `true`.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// Returns a description, in one line, of what the parameter means.
    pub fn about(&self) -> &'static str {
        self.about
    }
}

/// What applies if a textual spec does not set a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// If a spec does not set the parameter, it has this value, written as text.
    Is(&'static str),
    /// If a spec does not set the parameter, its value is a random number, drawn from the entropy of the pool.
    Drawn,
    /// If a spec does not set the parameter, this behaviour applies, described in words, such as `the whole path
    /// counts`. No value of the parameter gives the same behaviour.
    Otherwise(&'static str),
    /// Every spec must set the parameter, because it has no default.
    Required,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Is(text) | Self::Otherwise(text) => text,
            Self::Drawn => "random",
            Self::Required => "required",
        })
    }
}
