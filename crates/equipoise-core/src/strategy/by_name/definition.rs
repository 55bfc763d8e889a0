use std::fmt;

use super::{AnyStrategy, Kind, Refusal, Settings, table, value::Value};

/// What a name stands for. Its `Display` shows how it is written, with all parameters at their defaults.
pub struct Definition {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Whether it is a combinator.
    pub(super) wraps: bool,
    pub(super) parameters: &'static [Parameter],
    pub(super) make: fn(&Settings<'_>) -> Result<AnyStrategy, Refusal>,
}

impl Definition {
    /// How it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it does, in a line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Whether it wraps another strategy, which is then given in its brackets.
    pub fn wraps(&self) -> bool {
        self.wraps
    }

    /// What can be set.
    pub fn parameters(&self) -> &'static [Parameter] {
        self.parameters
    }

    pub(super) fn named(name: &str) -> Option<&'static Self> {
        table::ALL.iter().find(|definition| definition.name == name)
    }

    pub(super) fn position(&self, parameter: &str) -> Option<usize> {
        self.parameters.iter().position(|known| known.name == parameter)
    }
}

/// There is one of each name.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Definition {}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Definition").field(&self.name).finish()
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let mut lead = "(";
        if self.wraps {
            write!(f, "{lead}STRATEGY")?;
            lead = ", ";
        }
        for parameter in self.parameters {
            match parameter.preset {
                Preset::Is(value) => write!(f, "{lead}{}={value}", parameter.name)?,
                Preset::Required => write!(f, "{lead}{}=…", parameter.name)?,
                Preset::Drawn | Preset::Otherwise(_) => write!(f, "{lead}[{}=…]", parameter.name)?,
            }
            lead = ", ";
        }
        if lead == "(" { Ok(()) } else { f.write_str(")") }
    }
}

/// One setting of a strategy.
#[derive(Debug)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) about: &'static str,
}

impl Parameter {
    /// How it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What its values are like.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What holds if it is not set.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// What it means, in a line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// The preset's value, if it has one.
    pub(super) fn value(&self) -> Option<Value> {
        let Preset::Is(text) = self.preset else { return None };
        match self.kind {
            Kind::Strategy => text.parse().ok().map(|spec| Value::Strategy(Box::new(spec))),
            kind => kind.read(text),
        }
    }
}

/// What holds if a parameter is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// This value.
    Is(&'static str),
    /// A number that is drawn from the entropy of the pool.
    Drawn,
    /// Something that depends on the rest, in words.
    Otherwise(&'static str),
    /// Nothing: it has to be set.
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
