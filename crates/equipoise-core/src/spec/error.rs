use super::{
    Kind, Parameter,
    scanner::{Position, Unexpected},
    suggestion::suggestion,
    vocabulary::{Definition, MAX_DEPTH, Vocabulary},
};

/// Why a text is not a valid spec: a strategy or affinity mode written as text, such as `peak-ewma(decay=10s)`. The
/// error message says at which character of the text the error is (the first character is 1), and what would be valid.
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
    /// The text sets a parameter that the strategy or affinity mode does not have, such as `speed` in `p2c(speed=3)`.
    #[error("{} has no parameter {parameter:?}{}: {}{}", .definition.name(), place(*.at), suggestion(.parameter, parameter_names(.definition)), parameters(.definition))]
    UnknownParameter {
        /// The definition of the strategy or affinity mode for which the text sets the unknown parameter.
        definition: &'static Definition<V>,
        /// The name of the unknown parameter, as it is in the text.
        parameter: String,
        /// The position of the unknown parameter in the text.
        at: Position,
    },
    /// The text sets a parameter twice.
    #[error("{} sets {} twice{}", .definition.name(), .parameter.name(), place(*.at))]
    RepeatedParameter {
        /// The definition of the strategy or affinity mode that has the parameter. The text sets this parameter twice.
        definition: &'static Definition<V>,
        /// The parameter that is set twice.
        parameter: &'static Parameter,
        /// The position in the text at which the parameter is set for the second time.
        at: Position,
    },
    /// The text does not set a required parameter.
    #[error("{}{} needs {}=…: {}", .definition.name(), place(*.at), .parameter.name(), wanted(.parameter))]
    MissingParameter {
        /// The definition of the strategy or affinity mode that requires the missing parameter.
        definition: &'static Definition<V>,
        /// The parameter that is missing.
        parameter: &'static Parameter,
        /// The position in the text at which the name of the strategy or affinity mode begins. The missing parameter is
        /// a parameter of this strategy or affinity mode.
        at: Position,
    },
    /// The text sets a parameter to a value that the parameter does not accept: the value has the wrong [`Kind`], such
    /// as a text instead of a number, or it is out of range.
    #[error("{} cannot have {}={value:?}{}: {}", .definition.name(), .parameter.name(), place(*.at), wanted(.parameter))]
    InvalidValue {
        /// The definition of the strategy or affinity mode that has the parameter with the invalid value.
        definition: &'static Definition<V>,
        /// The parameter that has the invalid value.
        parameter: &'static Parameter,
        /// The invalid value, as it is in the text. If values of this parameter can contain a password, `…` is stored
        /// instead of the value.
        value: String,
        /// The position of the invalid value in the text.
        at: Position,
    },
    /// The strategy or affinity mode refuses the values in the text, although each value has the right kind. Either one
    /// value is invalid, or two values contradict each other.
    #[error("{}{}: {reason}", .definition.name(), place(*.at))]
    Refused {
        /// The definition of the strategy or affinity mode that refuses the values.
        definition: &'static Definition<V>,
        /// The position of the error in the text. If the error is about one parameter, this is the position at which
        /// the text sets that parameter. If the error is about several parameters, this is the position of the name of
        /// the strategy or affinity mode.
        at: Position,
        /// The error that says why the values are invalid.
        reason: V::Refusal,
    },
    /// The text names a combinator (a strategy that wraps another strategy) without a strategy to wrap. For example,
    /// the text is `slow-start` instead of `slow-start(p2c)`.
    #[error("{name}{} needs a strategy to wrap, in brackets, such as {name}(p2c)", place(*.at), name = .definition.name())]
    NothingWrapped {
        /// The definition of the combinator that has no strategy to wrap.
        definition: &'static Definition<V>,
        /// The position in the text of the name of the combinator.
        at: Position,
    },
    /// The text contains an inner strategy where no inner strategy is allowed, such as `inner` in `outer(inner)`.
    /// Either `outer` cannot wrap a strategy, as in `p2c(random)`. Or `outer` already wraps another strategy, as in
    /// `slow-start(p2c, random)`.
    #[error("{} cannot contain the strategy {found:?}{}, because it wraps {}; {}", .definition.name(), place(*.at), capacity(.definition), parameters(.definition))]
    Misplaced {
        /// The definition of the outer strategy or affinity mode, such as `outer` in `outer(inner)`. The inner strategy
        /// is not allowed there.
        definition: &'static Definition<V>,
        /// The name of the inner strategy that is not allowed, such as `inner` in `outer(inner)`.
        found: String,
        /// The position in the text of the inner strategy that is not allowed, such as `inner` in `outer(inner)`.
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
