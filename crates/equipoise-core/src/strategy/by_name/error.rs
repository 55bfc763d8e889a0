use super::{DEEPEST, Definition, Kind, Parameter, Preset, nearest::suggestion, table};
use crate::strategy::{InvalidChoices, InvalidCombinator, InvalidHashing, InvalidSpan};

/// Why a text names no strategy. Where in the text it stands is a [`Position`]; messages count characters from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStrategy {
    /// There is none of this name.
    #[error("there is no strategy {name:?}{}: {}there are {}", place(*.at), suggestion(.name, table::ALL.iter().map(Definition::name)), names())]
    UnknownStrategy {
        /// The name as given.
        name: String,
        /// Where it stands.
        at: Position,
    },
    /// The strategy has no parameter of this name.
    #[error("{strategy} has no parameter {parameter:?}{}: {}{}", place(*.at), did_you_mean(strategy, .parameter), parameters(strategy))]
    UnknownParameter {
        /// The strategy.
        strategy: &'static str,
        /// The name as given.
        parameter: String,
        /// Where it stands.
        at: Position,
    },
    /// A parameter is set twice.
    #[error("{strategy} is given {parameter} twice{}", place(*.at))]
    RepeatedParameter {
        /// The strategy.
        strategy: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Where it stands for the second time.
        at: Position,
    },
    /// A parameter without a default is not set.
    #[error("{strategy}{} needs {parameter}=…: {}", place(*.at), wanted(strategy, parameter))]
    MissingParameter {
        /// The strategy.
        strategy: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Where the strategy stands.
        at: Position,
    },
    /// A value is not of the parameter's kind.
    #[error("{strategy} cannot have {parameter}={value:?}{}: {}", place(*.at), wanted(strategy, parameter))]
    InvalidValue {
        /// The strategy.
        strategy: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The value as given.
        value: String,
        /// Where it stands.
        at: Position,
    },
    /// All values are of the right kind, but the strategy does not take them.
    #[error("{strategy}{}: {reason}", place(*.at))]
    Refused {
        /// The strategy.
        strategy: &'static str,
        /// Where it stands.
        at: Position,
        /// Why not.
        reason: Refusal,
    },
    /// A combinator has nothing to wrap.
    #[error("{strategy}{} wraps another strategy, which stands in its brackets: {strategy}(p2c)", place(*.at))]
    NothingWrapped {
        /// The combinator.
        strategy: &'static str,
        /// Where it stands.
        at: Position,
    },
    /// A strategy stands in the brackets of one that wraps none, or one already.
    #[error("{strategy} wraps {}, so {found:?}{} has no place there; {}", capacity(strategy), place(*.at), parameters(strategy))]
    Misplaced {
        /// The strategy with the brackets.
        strategy: &'static str,
        /// What stands in them.
        found: String,
        /// Where.
        at: Position,
    },
    /// Strategies in strategies, and no end.
    #[error("strategies are nested more than {DEEPEST} deep{}", place(*.at))]
    TooDeep {
        /// Where the first one stands that is too deep.
        at: Position,
    },
    /// Something else should stand here: a bracket, a comma, the end.
    #[error("{expected} should stand{}, not {}", place(*.at), shown(.found))]
    Syntax {
        /// What should.
        expected: &'static str,
        /// What does; `None` at the end of the text.
        found: Option<char>,
        /// Where.
        at: Position,
    },
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub byte: usize,
    /// Characters before it.
    pub character: usize,
}

/// Why a strategy does not take values that are of the right kinds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// By the number of choices.
    #[error(transparent)]
    Choices(#[from] InvalidChoices),
    /// By a hashing strategy.
    #[error(transparent)]
    Hashing(#[from] InvalidHashing),
    /// A time is too short to remember anything over it.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    /// By a combinator.
    #[error(transparent)]
    Combinator(#[from] InvalidCombinator),
}

fn place(at: Position) -> String {
    format!(" (at {})", at.character + 1)
}

fn shown(found: &Option<char>) -> String {
    found.map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn did_you_mean(strategy: &str, parameter: &str) -> String {
    let known = Definition::named(strategy).map(Definition::parameters).unwrap_or_default();
    suggestion(parameter, known.iter().map(Parameter::name))
}

fn names() -> String {
    listed(table::ALL.iter().map(Definition::name))
}

fn parameters(strategy: &str) -> String {
    match Definition::named(strategy).map(Definition::parameters) {
        None | Some([]) => "it has no parameters".to_owned(),
        Some(known) => format!("its parameters are {}", listed(known.iter().map(Parameter::name))),
    }
}

fn capacity(strategy: &str) -> &'static str {
    if Definition::named(strategy).is_some_and(Definition::wraps) { "one strategy" } else { "no strategy" }
}

fn wanted(strategy: &str, parameter: &str) -> String {
    let Some(definition) = Definition::named(strategy) else { return String::new() };
    let Some(known) = definition.position(parameter).map(|at| &definition.parameters()[at]) else {
        return String::new();
    };
    let example = match (known.kind(), known.preset()) {
        (_, Preset::Is(preset)) => preset,
        (Kind::Text, _) => "eu-1a",
        (Kind::Shares, _) => "{eu-1a=3, eu-1b=2}",
        _ => "7",
    };
    format!("{parameter} is {}, such as {example}", known.kind())
}
