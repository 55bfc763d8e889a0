use super::{
    Kind, Parameter,
    scanner::{Position, Unexpected},
    suggestion::suggestion,
    vocabulary::{Definition, MAX_DEPTH, Vocabulary},
};

/// Why a text is not a valid spec. The message of each variant says at which character of the text the error is (the
/// first character is 1), and what would be valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidText<V: Vocabulary> {
    /// The text uses a name that does not exist, such as the name of an unknown strategy.
    #[error("there is no {} {name:?}{}: {}valid names are {}", V::NOUN, place(*.at), suggestion(.name, names::<V>()), listed(names::<V>()))]
    UnknownName {
        /// The unknown name, as it is in the text.
        name: String,
        /// The position of the unknown name in the text.
        at: Position,
    },
    /// The text sets a parameter that the strategy or affinity mode does not have.
    #[error("{} has no parameter {parameter:?}{}: {}{}", .definition.name(), place(*.at), suggestion(.parameter, parameter_names(.definition)), parameters(.definition))]
    UnknownParameter {
        /// The definition of the strategy or affinity mode in whose brackets the unknown parameter is.
        definition: &'static Definition<V>,
        /// The name of the unknown parameter, as it is in the text.
        parameter: String,
        /// The position of the unknown parameter in the text.
        at: Position,
    },
    /// The text sets a parameter twice.
    #[error("{} sets {} twice{}", .definition.name(), .parameter.name(), place(*.at))]
    RepeatedParameter {
        /// The definition of the strategy or affinity mode in whose brackets the parameter is set twice.
        definition: &'static Definition<V>,
        /// The parameter that is set twice.
        parameter: &'static Parameter,
        /// The position in the text at which the parameter is set for the second time.
        at: Position,
    },
    /// The text does not set a required parameter.
    #[error("{}{} needs {}=…: {}", .definition.name(), place(*.at), .parameter.name(), wanted(.parameter))]
    MissingParameter {
        /// The definition of the strategy or affinity mode whose required parameter is missing.
        definition: &'static Definition<V>,
        /// The parameter that is missing.
        parameter: &'static Parameter,
        /// The position in the text of the name of the strategy or affinity mode whose parameter is missing.
        at: Position,
    },
    /// The text sets a parameter to a value that does not have the parameter's [`Kind`], or that is outside the range
    /// of this kind.
    #[error("{} cannot have {}={value:?}{}: {}", .definition.name(), .parameter.name(), place(*.at), wanted(.parameter))]
    InvalidValue {
        /// The definition of the strategy or affinity mode in whose brackets the invalid value is.
        definition: &'static Definition<V>,
        /// The parameter that has the invalid value.
        parameter: &'static Parameter,
        /// The invalid value, as it is in the text. `…` if values of the parameter can contain a password.
        value: String,
        /// The position of the invalid value in the text.
        at: Position,
    },
    /// All values in the text are of the right kinds, but one of them is invalid, or two of them contradict each other.
    #[error("{}{}: {reason}", .definition.name(), place(*.at))]
    Refused {
        /// The definition of the strategy or affinity mode whose parameters have the invalid values.
        definition: &'static Definition<V>,
        /// The position of the error in the text. If one value is invalid, it is the position at which that parameter
        /// is set. If the error is about several parameters, it is the position of the name of the strategy or affinity
        /// mode.
        at: Position,
        /// Why the values are invalid.
        reason: V::Refusal,
    },
    /// The text uses a combinator (a strategy that wraps another one) without the strategy that it should wrap.
    #[error("{name}{} needs a strategy to wrap, in brackets, such as {name}(p2c)", place(*.at), name = .definition.name())]
    NothingWrapped {
        /// The definition of the combinator.
        definition: &'static Definition<V>,
        /// The position of the combinator's name in the text.
        at: Position,
    },
    /// The brackets contain a strategy where no strategy is allowed. Either the strategy or affinity mode in front of
    /// the brackets wraps no strategy, as in `p2c(random)`. Or the brackets already contain the wrapped strategy, as in
    /// `slow-start(p2c, random)`.
    #[error("{} cannot contain the strategy {found:?}{}, because it wraps {}; {}", .definition.name(), place(*.at), capacity(.definition), parameters(.definition))]
    Misplaced {
        /// The definition of the strategy or affinity mode in whose brackets the strategy is not allowed.
        definition: &'static Definition<V>,
        /// The name of the strategy that is not allowed in the brackets.
        found: String,
        /// The position in the text of the strategy that is not allowed.
        at: Position,
    },
    /// The text nests specs more than [`MAX_DEPTH`] levels deep.
    #[error("the text is nested more than {MAX_DEPTH} levels deep{}", place(*.at))]
    TooDeep {
        /// The position in the text of the first spec that is nested too deep.
        at: Position,
    },
    /// The text has a syntax error, such as a missing bracket or comma.
    #[error("expected {expected}{}, found {}", place(*.at), shown(*.found))]
    Syntax {
        /// What is valid at the position of the error, in words.
        expected: &'static str,
        /// The character at the position of the error. `None` if the error is at the end of the text.
        found: Option<char>,
        /// The position of the error in the text.
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
    found.map_or_else(|| "the end of the text".to_owned(), |found| format!("{found:?}"))
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
    if definition.wraps() { "only one strategy" } else { "no strategy" }
}

fn wanted(parameter: &Parameter) -> String {
    let Parameter { name, kind, example, note, .. } = parameter;
    match kind {
        // The description lists the values, so an example is not needed.
        Kind::Choice(_) | Kind::Bool | Kind::Flag => format!("{name} is {kind}{note}"),
        _ => format!("{name} is {kind}{note}, such as {example}"),
    }
}
