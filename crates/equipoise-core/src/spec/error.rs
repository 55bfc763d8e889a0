use super::{
    Kind, Parameter,
    scanner::{Position, Unexpected},
    suggestion::suggestion,
    vocabulary::{Definition, MAX_DEPTH, Vocabulary},
};

/// Why a text is no spec. Every message says where the error is, counted in characters from 1, and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidText<V: Vocabulary> {
    /// The vocabulary does not have this name.
    #[error("there is no {} {name:?}{}: {}there are {}", V::NOUN, place(*.at), suggestion(.name, names::<V>()), listed(names::<V>()))]
    UnknownName {
        /// The name as given.
        name: String,
        /// Where the name stands.
        at: Position,
    },
    /// The definition has no parameter of this name.
    #[error("{} has no parameter {parameter:?}{}: {}{}", .definition.name(), place(*.at), suggestion(.parameter, parameter_names(.definition)), parameters(.definition))]
    UnknownParameter {
        /// The definition that the text names.
        definition: &'static Definition<V>,
        /// The parameter's name as given.
        parameter: String,
        /// Where the parameter stands.
        at: Position,
    },
    /// A parameter is set twice.
    #[error("{} is given {} twice{}", .definition.name(), .parameter.name(), place(*.at))]
    RepeatedParameter {
        /// The definition that the text names.
        definition: &'static Definition<V>,
        /// The parameter that is set twice.
        parameter: &'static Parameter,
        /// Where the parameter stands for the second time.
        at: Position,
    },
    /// A required parameter is not set.
    #[error("{}{} needs {}=…: {}", .definition.name(), place(*.at), .parameter.name(), wanted(.parameter))]
    MissingParameter {
        /// The definition that the text names.
        definition: &'static Definition<V>,
        /// The parameter that is missing.
        parameter: &'static Parameter,
        /// Where the definition's name stands.
        at: Position,
    },
    /// A value is not of the parameter's [`Kind`], or out of its range.
    #[error("{} cannot have {}={value:?}{}: {}", .definition.name(), .parameter.name(), place(*.at), wanted(.parameter))]
    InvalidValue {
        /// The definition that the text names.
        definition: &'static Definition<V>,
        /// The parameter that has the value.
        parameter: &'static Parameter,
        /// The value as given. `…` for a parameter that may hold a password.
        value: String,
        /// Where the value stands.
        at: Position,
    },
    /// All values are of the right kind, but one is refused, or they do not go together.
    #[error("{}{}: {reason}", .definition.name(), place(*.at))]
    Refused {
        /// The definition that the text names.
        definition: &'static Definition<V>,
        /// Where the parameter stands that is refused. If it is not a single one: where the definition's name stands.
        at: Position,
        /// Why the values are refused.
        reason: V::Refusal,
    },
    /// A combinator has no strategy to wrap.
    #[error("{name}{} wraps another strategy, which stands in its brackets: {name}(p2c)", place(*.at), name = .definition.name())]
    NothingWrapped {
        /// The combinator.
        definition: &'static Definition<V>,
        /// Where the combinator's name stands.
        at: Position,
    },
    /// A strategy stands in the brackets of one that wraps none, or that wraps one already.
    #[error("{} wraps {}, so {found:?}{} has no place there; {}", .definition.name(), capacity(.definition), place(*.at), parameters(.definition))]
    Misplaced {
        /// The definition with the brackets.
        definition: &'static Definition<V>,
        /// The name that stands in the brackets.
        found: String,
        /// Where that name stands.
        at: Position,
    },
    /// Specs are nested more than [`MAX_DEPTH`] deep.
    #[error("more than {MAX_DEPTH} are nested in each other{}", place(*.at))]
    TooDeep {
        /// Where the first one stands that is too deep.
        at: Position,
    },
    /// Something else is expected here, such as a bracket, a comma or the end.
    #[error("{expected} should stand{}, not {}", place(*.at), shown(*.found))]
    Syntax {
        /// What is expected, in words.
        expected: &'static str,
        /// The character that stands there; `None` at the end of the text.
        found: Option<char>,
        /// Where that character stands.
        at: Position,
    },
}

impl<V: Vocabulary> From<Unexpected> for InvalidText<V> {
    fn from(Unexpected { expected, found, at }: Unexpected) -> Self {
        Self::Syntax { expected, found, at }
    }
}

fn place(at: Position) -> String {
    format!(" (at {})", at.character + 1)
}

fn shown(found: Option<char>) -> String {
    found.map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn names<V: Vocabulary>() -> impl Iterator<Item = &'static str> {
    V::definitions().iter().map(Definition::name)
}

fn parameter_names<V: Vocabulary>(definition: &Definition<V>) -> impl Iterator<Item = &'static str> {
    definition.parameters().iter().map(Parameter::name)
}

fn parameters<V: Vocabulary>(definition: &Definition<V>) -> String {
    if definition.parameters().is_empty() {
        return "it has no parameters".to_owned();
    }
    format!("its parameters are {}", listed(parameter_names(definition)))
}

fn capacity<V: Vocabulary>(definition: &Definition<V>) -> &'static str {
    if definition.wraps() { "one strategy" } else { "no strategy" }
}

fn wanted(parameter: &Parameter) -> String {
    let Parameter { name, kind, example, note, .. } = parameter;
    match kind {
        // The words are examples enough.
        Kind::Choice(_) => format!("{name} is {kind}{note}"),
        _ => format!("{name} is {kind}{note}, such as {example}"),
    }
}
