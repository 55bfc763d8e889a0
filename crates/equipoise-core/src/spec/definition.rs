use std::fmt;

use super::{Kind, Vocabulary};

/// One name of a [`Vocabulary`]: what it stands for, and its parameters.
///
/// Its `Display` shows how it is written with all parameters at their defaults. A parameter that has no default value
/// and may be left out stands in square brackets, as does a flag.
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

    /// A definition that wraps a strategy.
    #[doc(hidden)]
    pub const fn combinator(
        name: &'static str,
        about: &'static str,
        parameters: &'static [Parameter],
        make: V::Make,
    ) -> Self {
        Self { name, about, wraps: true, parameters, make }
    }

    /// The name, such as `peak-ewma`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it does, in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Whether it is a combinator: a strategy that wraps another one, which is then given in its brackets.
    pub fn wraps(&self) -> bool {
        self.wraps
    }

    /// The parameters that can be set, in the order in which they are written.
    pub fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    /// The parameter of this name; `None` if there is none.
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

/// By name: a vocabulary has each name once.
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

/// Writes a name and its arguments; no brackets if there are none.
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

/// One setting of a [`Definition`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) example: &'static str,
    pub(super) about: &'static str,
    /// Follows the kind in messages.
    pub(super) note: &'static str,
    /// Whether its values are kept out of messages.
    pub(super) secret: bool,
}

impl Parameter {
    /// The name, such as `decay`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which values it takes.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What holds if it is not set.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// A value that it can have, as text. It is the default if there is one, except for flags.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// What it means, in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }
}

/// What holds if a parameter is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// This value, as text.
    Is(&'static str),
    /// A number that is drawn from the entropy of the pool.
    Drawn,
    /// Something that is no value of the parameter, in words: `the whole path counts`.
    Otherwise(&'static str),
    /// Nothing: a text without the parameter is refused.
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
