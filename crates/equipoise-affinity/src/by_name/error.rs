use equipoise_core::strategy::by_name::suggestion;

use super::{Definition, Parameter, Position, Refusal, value::Kind};

/// Why a text names no mode of affinity. Where in the text it stands is a [`Position`]; messages count characters from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAffinity {
    /// There is none of this name.
    #[error("there is no mode {name:?}{}: {}there are {}", place(*.at), suggestion(.name, super::all().iter().map(Definition::name)), names())]
    UnknownMode {
        /// The name as given.
        name: String,
        /// Where it stands.
        at: Position,
    },
    /// The mode has no parameter of this name.
    #[error("{mode} has no parameter {parameter:?}{}: {}{}", place(*.at), did_you_mean(mode, .parameter), parameters(mode))]
    UnknownParameter {
        /// The mode.
        mode: &'static str,
        /// The name as given.
        parameter: String,
        /// Where it stands.
        at: Position,
    },
    /// A parameter is set twice.
    #[error("{mode} is given {parameter} twice{}", place(*.at))]
    RepeatedParameter {
        /// The mode.
        mode: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Where it stands for the second time.
        at: Position,
    },
    /// A parameter without a default is not set.
    #[error("{mode}{} needs {parameter}=…: {}", place(*.at), wanted(mode, parameter))]
    MissingParameter {
        /// The mode.
        mode: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Where the mode stands.
        at: Position,
    },
    /// A value is not of the parameter's kind, or out of its range.
    #[error("{mode} cannot have {parameter}={value:?}{}: {}", place(*.at), wanted(mode, parameter))]
    InvalidValue {
        /// The mode.
        mode: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// The value as given; of a URL, which may hold a password, only `…`.
        value: String,
        /// Where it stands.
        at: Position,
    },
    /// All values are of the right kind, but the mode does not take them, or not together.
    #[error("{mode}{}: {reason}", place(*.at))]
    Refused {
        /// The mode.
        mode: &'static str,
        /// Where the parameter that is refused stands, or the mode.
        at: Position,
        /// Why not.
        reason: Refusal,
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

fn place(at: Position) -> String {
    format!(" (at {})", at.character + 1)
}

fn shown(found: &Option<char>) -> String {
    found.map_or_else(|| "the end".to_owned(), |found| format!("{found:?}"))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn did_you_mean(mode: &str, parameter: &str) -> String {
    let known = Definition::named(mode).map(Definition::parameters).unwrap_or_default();
    suggestion(parameter, known.iter().map(Parameter::name))
}

fn names() -> String {
    listed(super::all().iter().map(Definition::name))
}

fn parameters(mode: &str) -> String {
    match Definition::named(mode).map(Definition::parameters) {
        None | Some([]) => "it has no parameters".to_owned(),
        Some(known) => format!("its parameters are {}", listed(known.iter().map(Parameter::name))),
    }
}

fn wanted(mode: &str, parameter: &str) -> String {
    let Some(known) = Definition::named(mode).and_then(|mode| mode.parameter(parameter)) else {
        return String::new();
    };
    let absent = if parameter == "by" && cfg!(not(feature = "redis")) { " (feature redis adds redis)" } else { "" };
    match known.kind() {
        kind @ Kind::Choice(_) => format!("{parameter} is {kind}{absent}"),
        kind => format!("{parameter} is {kind}, such as {}", known.example()),
    }
}
