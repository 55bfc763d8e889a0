use std::fmt;

use super::{Kind, Preset, Value, make::Make, parser, table};

/// What a name stands for. Its `Display` shows how it is written, with all parameters at their defaults; what has none
/// and may be left out is in square brackets.
pub struct Definition {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) make: Make,
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

    pub(super) fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|known| known.name == name)
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
        for parameter in self.parameters {
            match parameter.preset {
                Preset::Is(_) if parameter.kind == Kind::Flag => write!(f, "{lead}[{}]", parameter.name)?,
                Preset::Is(value) => write!(f, "{lead}{}={value}", parameter.name)?,
                Preset::Required => write!(f, "{lead}{}=…", parameter.name)?,
                _ => write!(f, "{lead}[{}=…]", parameter.name)?,
            }
            lead = ", ";
        }
        if lead == "(" { Ok(()) } else { f.write_str(")") }
    }
}

/// One setting of a mode.
#[derive(Debug)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) example: &'static str,
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

    /// A value that it can have, as text.
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// What it means, in a line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// The preset's value, if it has one.
    pub(super) fn value(&self) -> Option<Value> {
        match self.preset {
            Preset::Is(text) => parser::value(text, self.kind),
            _ => None,
        }
    }
}
